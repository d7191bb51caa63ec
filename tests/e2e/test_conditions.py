"""What a person is told of a tunnel that is up and yet does not serve as it should: status.conditions and the event tunnel.condition."""

import time

import pytest

from harness.clients import Connection
from harness.events import Reader
from harness.loop import INNER, Ends, pages
from harness.process import wait_until
from harness.relay import Relay
from harness.servers import Server
from harness.spec import Peer, proxy_address

INNER_OTHER, INNER_CLIENT_OTHER = "fd99::1", "fd99::2"
SIZE_MAX = 1380   # of datagrams: inner packets of 1,340 bytes pass


def conditions(api, id):
    return {condition["type"]: condition["detail"] for condition in api.get(f"/v1/tunnels/{id}/status")["conditions"]}


def condition_events(reader, id):
    return [(event["condition"], event["holds"], event["detail"]) for event in list(reader.events)
            if event["type"] == "tunnel.condition" and event["tunnel"] == id]


def exchange(created, target, request, timeout=15):
    """The response through the proxy, and the time it took."""
    started = time.monotonic()
    with Connection(proxy_address(created), timeout=timeout) as connection:
        connection.http_connect(target)
        connection.send(request)
        return connection.read_all(), time.monotonic() - started


def count_bytes(sock):
    """Answers an upload with the number of bytes received."""
    sock.settimeout(30)
    size = int(sock.recv(10))
    left = size
    while left > 0 and (data := sock.recv(65536)):
        left -= len(data)
    sock.sendall(b"%d" % (size - left))


def upload(created, size, host=INNER):
    return exchange(created, f"[{host}]:80" if ":" in host else f"{host}:80", b"%010d" % size + bytes(size))


def create_over_relay(api, ends, target, size_max):
    """The far end has a second address, of the other family."""
    document = ends.far(target)
    spec = document["spec"]
    spec["interface"]["addresses"].append(INNER_OTHER)
    spec["peers"][0]["allowed_ips"].append(f"{INNER_CLIENT_OTHER}/128")
    spec["forwards"].append({**spec["forwards"][0], "name": "other", "listen": f"[{INNER_OTHER}]:80"})
    far = api.create(document, wait_up=False)
    relay = Relay(far["status"]["udp_port"], size_max)
    document = ends.near(relay.port)
    document["spec"]["interface"]["addresses"].append(INNER_CLIENT_OTHER)
    document["spec"]["peers"][0]["allowed_ips"].append("::/0")
    return relay, api.create(document)


def test_an_upload_gets_round_an_mtu_black_hole(local_daemon):
    """X8: small packets pass and large ones vanish. The stream finds the size, the tunnel remembers it, and a person is told."""
    api, ends = local_daemon.api, Ends()
    with Server(None, ("127.0.0.1", 0), count_bytes) as server:
        relay, near = create_over_relay(api, ends, server.address, SIZE_MAX)
        with relay:
            events = Reader(local_daemon)
            assert conditions(api, "near") == {}
            answer, _ = upload(near, 300000)
            assert answer == b"300000" and relay.dropped > 0
            # One far end alone may have a rule of its own.
            assert conditions(api, "near") == {}
            assert upload(near, 300000, INNER_OTHER)[0] == b"300000"
            wait_until(lambda: "mtu_too_large" in conditions(api, "near"), what="the condition is told")
            detail = conditions(api, "near")["mtu_too_large"]
            assert "of 1420 bytes do not arrive, those of 1280 do" in detail and "interface.mtu to 1280" in detail
            wait_until(lambda: condition_events(events, "near") == [("mtu_too_large", True, detail)], what="the event")
            # The next connection uses the known size.
            dropped = relay.dropped
            answer, took = upload(near, 300000)
            assert answer == b"300000" and took < 2 and relay.dropped == dropped
            assert api.state("near") == "up"
            # Following the advice ends it.
            api.patch("near", {"spec": {"interface": {"mtu": 1280}}})
            wait_until(lambda: conditions(api, "near") == {}, what="the condition is over")
            answer, took = upload(near, 300000)
            assert answer == b"300000" and took < 2
            wait_until(lambda: condition_events(events, "near")[1:] == [("mtu_too_large", False, "")], what="the event")
            events.close()


def test_a_download_gets_round_an_mtu_black_hole(local_daemon):
    """The far tunnel's stack sends: it finds the size, as the near one does for uploads."""
    api, ends = local_daemon.api, Ends()
    with pages(300000) as server:
        relay, near = create_over_relay(api, ends, server.address, SIZE_MAX)
        with relay:
            for limit in (15, 2):
                answer, took = exchange(near, f"{INNER}:80", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert len(answer) > 300000 and took < limit
            assert conditions(api, "near") == conditions(api, "far") == {}


def test_no_segment_is_made_smaller_than_the_floor(local_daemon):
    """A path that carries only the smallest packets gets 536 bytes of payload, and no far end gets less."""
    api, ends = local_daemon.api, Ends()
    with Server(None, ("127.0.0.1", 0), count_bytes) as server:
        relay, near = create_over_relay(api, ends, server.address, 620)
        with relay:
            assert upload(near, 100000)[0] == b"100000"
            assert conditions(api, "near") == {}


@pytest.mark.parametrize("size", [3000, 1 << 20], ids=["a small segment comes", "nothing comes"])
def test_answers_that_vanish_make_later_connections_ask_for_smaller_ones(daemon, far, size):
    """The kernel's TCP repeats its full segments for ever: only a smaller MSS in our SYN helps. If no small segment follows them, the sign is the
    sequence number of the far end's empty ones: it has sent more than arrives."""
    peer = Peer(far, "hole")
    created = daemon.api.create(peer.document())

    def answer(sock):
        sock.recv(100)
        sock.sendall(bytes(size))
    try:
        far.drop_larger(SIZE_MAX)
        with Server(far.namespace, ("10.77.0.1", 8099), answer):
            def ask():
                with Connection(proxy_address(created), namespace=far.home, timeout=9) as connection:
                    connection.http_connect("10.77.0.1:8099")
                    connection.send(b"x")
                    try:
                        return connection.read(size)
                    except OSError:
                        return b""
            assert ask() == b""
            wait_until(lambda: ask() == bytes(size), timeout=15, what="a smaller MSS is asked for")
            assert conditions(daemon.api, created["id"]) == {}
    finally:
        far.drop_larger(0)
        far.remove_peer(peer.key.public)


def test_one_key_in_use_twice_is_told_while_it_lasts(local_daemon):
    """Each tunnel's handshake takes the other's session; what is sent on the older one is answered on the newer, until it asks anew."""
    api, ends = local_daemon.api, Ends()
    with pages() as server:
        far = api.create(ends.far(server.address), wait_up=False)
        near = api.create(ends.near(far["status"]["udp_port"]))
        assert conditions(api, "near") == {}
        twin = api.create({**ends.near(far["status"]["udp_port"]), "id": "twin"})

        def use_both():
            for created in (near, twin):
                with Connection(proxy_address(created), timeout=5) as connection:
                    connection.send(b"CONNECT %s:80 HTTP/1.1\r\nHost: x\r\n\r\n" % INNER.encode())
                    try:
                        connection.read(1)
                    except OSError:
                        pass
            return "duplicate_key" in {**conditions(api, "near"), **conditions(api, "twin")}
        wait_until(use_both, timeout=120, what="the condition is told")
        api.delete("twin")
        wait_until(lambda: conditions(api, "near") == {}, timeout=45, what="the condition is over")
