"""Connections that can be seen and cut: over both workers, of every protocol, in pages and by filter."""

import contextlib
import os
import signal
import socket
import time
import urllib.parse

import pytest

from harness.clients import Connection, socks5_address
from harness.loop import INNER, INNER_CLIENT, Ends
from harness.process import wait_until
from harness.servers import Server, echo
from harness.spec import proxy_address

USER = {"username": "anna", "password": "secret"}
LOGIN = "anna:secret"
MEMBERS = ["id", "tunnel", "pool", "protocol", "client", "user", "target", "address", "opened_at", "age", "bytes_sent", "bytes_received", "session"]


def _listed(api, query="", path="/v1/connections", size=1000):
    """Every page, in the order of the pages."""
    found, token = [], ""
    while True:
        page = api.get(f"{path}?page_size={size}&page_token={token}{'&' + query if query else ''}")
        assert "incomplete" not in page, "a worker was left before its end"
        found += page["connections"]
        if not (token := page["next_page_token"]):
            return found


def _proxied(connections):
    """Without those that an inbound forward has at the far side."""
    return [connection for connection in connections if connection["protocol"] != "forward"]


def _echo_but_http(sock):
    while data := sock.recv(65536):
        if not data.startswith(b"POST"):
            sock.sendall(data)


class _World:
    """Two pairs on one daemon with two workers; the far side of each leads to an echo server. Pair 1 has users."""

    def __init__(self, daemon, server):
        self.daemon, self.api = daemon, daemon.api
        self.near = []
        for number in range(2):
            ends = Ends(str(number))
            far = self.api.create(ends.far(server.address), wait_up=False)
            self.near.append(self.api.create(ends.near(far["status"]["udp_port"], proxy={"users": [USER]} if number else {})))
        self.open = contextlib.ExitStack()

    def connect(self, number=0):
        connection = self.open.enter_context(Connection(proxy_address(self.near[number])))
        assert connection.http_connect(f"{INNER}:80", login=LOGIN if number else None)[0] == 200
        return connection

    def connect_all(self, count):
        """Over both pairs. A client is answered before the far side has its last ACK, and with that its connection: each is waited for."""
        opened = [self.connect(number % 2) for number in range(count)]
        wait_until(lambda: len(_listed(self.api)) == 2 * count, what="each has its other side, an inbound forward of the far tunnel")
        return opened


@pytest.fixture
def world(make_daemon):
    with Server(None, ("127.0.0.1", 0), echo) as server:
        world = _World(make_daemon(arguments=["--workers", "2"]).start(), server)
        with world.open:
            yield world


def test_fifty_connects_are_listed_and_one_is_cut(world):
    opened = world.connect_all(50)
    for connection in opened:
        assert connection.send(b"hello").read(5) == b"hello"
    wait_until(lambda: all(c["bytes_received"] == 5 for c in _proxied(_listed(world.api))), what="the bytes are counted")
    found = _proxied(_listed(world.api))
    ours = {f"127.0.0.1:{connection.sock.getsockname()[1]}": connection for connection in opened}
    assert len(found) == 50 and {c["client"] for c in found} == set(ours) and len({c["id"] for c in found}) == 50
    for one in found:
        assert list(one) == MEMBERS
        assert (one["protocol"], one["target"], one["address"]) == ("connect", f"{INNER}:80", f"{INNER}:80")
        assert (one["bytes_sent"], one["bytes_received"], one["pool"], one["session"]) == (5, 5, None, None)
        assert one["user"] == ("anna" if one["tunnel"] == "near1" else None)
        assert 0 <= one["age"] < 60 and one["opened_at"].endswith("Z")
        seen = world.api.get(f"/v1/connections/{one['id']}")
        assert {**seen, "age": 0} == {**one, "age": 0}
    cut = found[7]
    world.api.expect(204, "DELETE", f"/v1/connections/{cut['id']}")
    assert ours.pop(cut["client"]).is_at_end()
    assert world.api.expect(404, "DELETE", f"/v1/connections/{cut['id']}").code == "not_found"
    world.api.get(f"/v1/connections/{cut['id']}", status=404)
    assert len(_proxied(_listed(world.api))) == 49
    for connection in ours.values():
        assert connection.send(b"again").read(5) == b"again"


def test_pages_hold_each_once(world):
    world.connect_all(40)
    whole = [connection["id"] for connection in _listed(world.api)]
    for size in (1, 7, 40, 1000):
        assert [connection["id"] for connection in _listed(world.api, size=size)] == whole
    assert len(whole) == len(set(whole)) == 80


def test_those_that_a_filter_means_are_cut(world):
    opened = world.connect_all(20)
    port = opened[0].sock.getsockname()[1]
    assert len(_listed(world.api, "tunnel=near1")) == 10
    assert len(_listed(world.api, "user=anna&target=" + INNER)) == 10
    assert len(_listed(world.api, f"protocol=connect&target={INNER}:80&tunnel=near0")) == 10
    assert len(_listed(world.api, f"protocol=connect&client=127.0.0.1:{port}")) == 1
    assert len(_listed(world.api, "protocol=connect&client=127.0.0.1")) == 20
    assert len(_listed(world.api, path="/v1/tunnels/near0/connections")) == 10
    for nobody in ("user=bert", "pool=eu", "tunnel=absent", "protocol=socks5", "target=10.0.0.9", "client=192.0.2.1", "user=" + "x" * 300):
        assert _listed(world.api, nobody) == []
    assert world.api.expect(200, "DELETE", "/v1/connections?user=anna&dry_run=true").json == {"closed": 10}
    assert world.api.expect(200, "DELETE", "/v1/connections?user=anna").json == {"closed": 10}
    for number, connection in enumerate(opened):
        if number % 2:
            assert connection.is_at_end()
        else:
            assert connection.send(b"on").read(2) == b"on"
    assert world.api.expect(200, "DELETE", "/v1/connections?protocol=connect").json == {"closed": 10}
    assert _proxied(_listed(world.api)) == []


@pytest.mark.parametrize("query", ["protocol=tcp", "client=anna", "client=", "user=", "page_size=0", "page_token=x", "page_token=MC0w", "users=anna",
                                   "tunnel=near0&tunnel=near1"])
def test_a_filter_that_is_none_changes_nothing(world, query):
    kept = world.connect()
    assert world.api.get(f"/v1/connections?{query}", status=400)["code"] == "invalid_request"
    assert world.api.expect(400, "DELETE", f"/v1/connections?{query}").code == "invalid_request"
    assert kept.send(b"still").read(5) == b"still"


def test_an_id_that_is_none_is_not_found(world):
    world.connect()
    id = _listed(world.api)[0]["id"]
    worker, term, number = id.split("-")
    for wrong in ("x", "0", "9-" + term + "-" + number, f"{worker}-{int(term, 16) - 1:x}-{number}", f"{worker}-{term}-ffffff", id + "0" * 60, "0" + id,
                  f"{worker}-{term}-0", urllib.parse.quote(id + " ")):
        world.api.get(f"/v1/connections/{wrong}", status=404)
        world.api.expect(404, "DELETE", f"/v1/connections/{wrong}")
    world.api.get("/v1/tunnels/absent/connections", status=404)
    world.api.get(f"/v1/connections/{id}")


def _associate(connection):
    assert connection.socks5_greet() == b"\5\0"
    code, host, port = connection.socks5_request("0.0.0.0", 0, command=3)
    assert code == 0
    return host, port


def test_every_protocol_has_its_name(make_daemon):
    """UDP ASSOCIATE and the forwards, TCP and UDP, both ways (the far side of each is an inbound one)."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server(None, ("127.0.0.1", 0), _echo_but_http))
        echoer = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        echoer.bind(("127.0.0.1", 0))
        daemon = make_daemon(arguments=["--workers", "2"]).start()
        api, ends = daemon.api, Ends()
        document = ends.far(server.address)
        document["spec"]["forwards"].append({"name": "udp", "direction": "inbound", "protocol": "udp", "listen": f"{INNER}:53",
                                             "target": f"127.0.0.1:{echoer.getsockname()[1]}"})
        far = api.create(document, wait_up=False)
        near = api.create(ends.near(far["status"]["udp_port"], forwards=[
            {"name": "tcp", "direction": "outbound", "protocol": "tcp", "listen": "127.0.0.1:0", "target": f"{INNER}:80"},
            {"name": "udp", "direction": "outbound", "protocol": "udp", "listen": "127.0.0.1:0", "target": f"{INNER}:53"}]))
        ports = {f["name"]: f["listen"].rsplit(":", 1) for f in near["status"]["forwards"]}
        tcp = stack.enter_context(Connection(("127.0.0.1", int(ports["tcp"][1]))))
        assert tcp.send(b"tcp").read(3) == b"tcp"
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.connect(("127.0.0.1", int(ports["udp"][1])))
        udp.send(b"udp")
        echoer.settimeout(10)
        assert echoer.recv(10) == b"udp"
        control = stack.enter_context(Connection(proxy_address(near)))
        relay = _associate(control)
        through = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        through.sendto(b"\0\0\0" + socks5_address(INNER, 53) + b"far", relay)
        assert echoer.recv(10) == b"far"
        four = stack.enter_context(Connection(proxy_address(near)))
        four.send(b"\4\1\0\x50" + socket.inet_aton(INNER) + b"me\0")
        assert four.read(8)[1] == 90
        http = stack.enter_context(Connection(proxy_address(near)))
        http.send(f"POST http://{INNER}/ HTTP/1.1\r\nHost: {INNER}\r\nContent-Length: 0\r\n\r\n".encode())
        wait_until(lambda: len(_listed(api, "tunnel=near&protocol=http&target=" + INNER)) == 1, what="the request is passed on")
        found = {(c["protocol"], c["target"]): c for c in _listed(api, "tunnel=near")}
        assert set(found) == {("forward", f"{INNER}:80"), ("forward", f"{INNER}:53"), ("udp", None), ("socks4", f"{INNER}:80"), ("http", f"{INNER}:80")}
        assert found[("udp", None)]["bytes_sent"] == 3 and found[("forward", f"{INNER}:53")]["bytes_sent"] == 3
        assert found[("forward", f"{INNER}:53")]["address"] == f"{INNER}:53"
        inbound = _listed(api, path="/v1/tunnels/far/connections")
        assert {c["client"].rsplit(":", 1)[0] for c in inbound} == {INNER_CLIENT}
        assert {c["target"] for c in inbound} == {f"127.0.0.1:{server.address[1]}", f"127.0.0.1:{echoer.getsockname()[1]}"}
        assert api.expect(200, "DELETE", "/v1/connections?tunnel=near").json == {"closed": 5}
        for connection in (tcp, control, four):
            assert connection.is_at_end()


def test_a_connection_of_a_dead_worker_is_not_found(world):
    """An id of the process before names nothing of the one that took its place."""
    world.connect_all(4)
    before = _listed(world.api)
    for pid in world.daemon.workers():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: world.api.request("GET", "/readyz").status == 200 and _listed(world.api) == [], what="new workers have taken over")
    for tunnel in world.near:
        world.api.wait_state(tunnel["id"], "up")
    world.connect_all(4)
    after = _listed(world.api)
    assert len(after) == 8 and not {c["id"] for c in before} & {c["id"] for c in after}
    for connection in before:
        world.api.expect(404, "DELETE", f"/v1/connections/{connection['id']}")
    assert len(_listed(world.api)) == 8


def test_a_hung_worker_delays_a_listing_but_does_not_end_it(world):
    """Its heartbeat stops, it is replaced after 5 s, and the listing has what the other worker holds."""
    world.connect_all(4)
    hung = world.daemon.workers()[0]
    os.kill(hung, signal.SIGSTOP)
    before = time.monotonic()
    page = world.api.get("/v1/connections")
    assert page["next_page_token"] == "" and len(page["connections"]) in range(1, 8)
    assert time.monotonic() - before < 30, "a guard against a hang"
