"""A client that disconnects is noticed, whatever it waits for: a reset at once, and a FIN within 10 s once its request is complete."""

import socket
import time

import pytest

from harness import clock
from harness.clients import Connection, socks5_address
from harness.loop import INNER, Ends
from harness.process import wait_until
from harness.servers import Server, echo, free_port
from harness.spec import proxy_address

SILENT = "10.99.0.77"   # an unused inner address
AT_ONCE, LEFT = 5, 10


def _quiet(sock):
    """Answers nothing, or at /events the start of a body that never ends."""
    if b"/events" in sock.recv(65536):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
    while sock.recv(65536):
        pass


def _get(target):
    return f"GET http://{target}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def _connect(target):
    return f"CONNECT {target}:80 HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def _socks4(target):
    address = b"\0\0\0\1\0" + target.encode() + b"\0" if target[0].isalpha() else socket.inet_aton(target) + b"\0"
    return b"\4\1\0\x50" + address


def _socks5(target):
    return b"\5\1\0\5\1\0" + socks5_address(target, 80)


REQUESTS = [_get, _connect, _socks4, _socks5]


@pytest.fixture
def near(local_daemon):
    """The proxy and an outbound forward of a tunnel that is up; its DNS server receives every query and answers none."""
    api, ends = local_daemon.api, Ends()
    with Server(None, ("127.0.0.1", 0), _quiet) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dns:
        dns.bind(("127.0.0.1", 0))
        document = ends.far(server.address)
        document["spec"]["forwards"].append({"name": "dns", "direction": "inbound", "protocol": "udp", "listen": f"{INNER}:53",
                                             "target": f"127.0.0.1:{dns.getsockname()[1]}"})
        far = api.create(document, wait_up=False)
        document = ends.near(far["status"]["udp_port"], proxy={}, forwards=[
            {"name": "out", "direction": "outbound", "protocol": "tcp", "listen": f"127.0.0.1:{free_port()}", "target": f"{SILENT}:80"}])
        document["spec"]["interface"]["dns"] = [INNER]
        yield api, api.create(document)


@pytest.fixture
def waiting(local_daemon):
    """The proxy of a tunnel whose peer is silent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        yield local_daemon.api, local_daemon.api.create(Ends().near(peer.getsockname()[1], proxy={}), wait_up=False)


def _open(api, id, address, requests):
    connections = [Connection(address, timeout=20).send(request) for request in requests]
    wait_until(lambda: api.stats(id)["connections_open"] >= len(requests), what="all are open")
    return connections


def _leave(connections, how):
    for connection in connections:
        if how == "reset":
            connection.reset()
        else:
            connection.close()


def _are_gone(api, id, how, begun):
    wait_until(lambda: api.stats(id)["connections_open"] == 0, timeout=AT_ONCE if how == "reset" else LEFT + AT_ONCE, what="all are gone")
    if how == "end":
        assert time.monotonic() - begun >= LEFT - 1, "a client that only finished was given up too soon"


@pytest.mark.parametrize("how", ["reset", "end"])
def test_whatever_the_client_waited_for(near, how):
    """A name, a connection, an answer, the rest of a body that is silent; by each protocol that can wait for it, and by a forward."""
    api, tunnel = near
    host, port = tunnel["spec"]["forwards"][0]["listen"].rsplit(":", 1)
    forwarded = Connection((host, int(port)))
    connections = _open(api, "near", proxy_address(tunnel), [
        *(request("silent.test") for request in REQUESTS), *(request(SILENT) for request in REQUESTS), _get(INNER), _get(f"{INNER}/events")])
    assert connections[-1].read_head()[0] == 200
    assert connections[-1].read(8) == b"data: 1\n"
    wait_until(lambda: api.stats("near")["connections_open"] == len(connections) + 1, what="the forward's too")
    begun = time.monotonic()
    _leave([*connections, forwarded], how)
    _are_gone(api, "near", how, begun)


@pytest.mark.parametrize("how", ["reset", "end"])
def test_while_the_tunnel_waits_for_its_peer(waiting, how):
    api, tunnel = waiting
    connections = _open(api, "near", proxy_address(tunnel), [request(SILENT) for request in REQUESTS])
    _leave(connections, how)
    wait_until(lambda: api.stats("near")["connections_open"] == 0, timeout=AT_ONCE if how == "reset" else LEFT + AT_ONCE, what="all are gone")


def test_a_client_that_only_finishes_gets_its_answer(near):
    """A half-closed connection is not abandoned: while data moves it continues, and otherwise it is answered."""
    api, tunnel = near

    def slow(sock):
        sock.recv(65536)
        for piece in (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b"s", b"l", b"o", b"w"):
            clock.pace(2.5)
            sock.sendall(piece)
    with Server(None, ("127.0.0.1", 0), slow) as server:
        far = api.get("/v1/tunnels/far")
        forwards = far["spec"]["forwards"] + [{"name": "slow", "direction": "inbound", "protocol": "tcp", "listen": f"{INNER}:81",
                                               "target": f"127.0.0.1:{server.address[1]}"}]
        api.patch("far", {"spec": {"forwards": forwards}})
        with Connection(proxy_address(tunnel), timeout=30) as moving, Connection(proxy_address(tunnel), timeout=30) as still:
            moving.send(_get(f"{INNER}:81")).half_close()
            still.send(_get(INNER)).half_close()
            assert still.read_head()[0] == 504
            assert moving.read_reply()[2] == b"slow"


def test_an_idle_connection_lives_while_both_ends_answer(local_daemon):
    """Like an SSH session: several times the idle timeout without a byte, until its far end is gone."""
    api, ends = local_daemon.api, Ends()
    with Server(None, ("127.0.0.1", 0), echo) as server:
        far = api.create(ends.far(server.address), wait_up=False)
        near = api.create(ends.near(far["status"]["udp_port"], proxy={"idle_timeout": 2}))
        with Connection(proxy_address(near), timeout=20) as connection:
            assert connection.http_connect(f"{INNER}:80")[0] == 200
            for _ in range(2):
                clock.let_pass(5, "an idle connection lives on")
                assert connection.send(b"still here").read(10) == b"still here"
            api.patch("far", {"spec": {"enabled": False}})
            begun = time.monotonic()
            assert connection.is_at_end()
            assert time.monotonic() - begun < 2 + AT_ONCE


def test_places_are_free_again(near):
    """Clients that reset free their places in limits.connections."""
    api, tunnel = near
    api.patch("near", {"spec": {"limits": {"connections": 20}}})
    address = proxy_address(tunnel)
    for _ in range(3):
        connections = _open(api, "near", address, [_get(INNER)] * 20)
        _leave(connections, "reset")
        wait_until(lambda: api.stats("near")["connections_open"] == 0, timeout=AT_ONCE, what="all are gone")
