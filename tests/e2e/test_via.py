"""Tunnels through tunnels (interface.via): two and three hops to real far ends, which listen inside each other's networks. A capture between the
daemon's host and the far end shows that nothing ever left outside the outermost tunnel (P1)."""

import hashlib
import os
import signal
import socket

import pytest

from harness import clock, keys, tools
from harness.capture import Capture
from harness.clients import Connection, Download, curl, random_file
from harness.daemon import binary
from harness.farend import INNER, NAME, PORT, Hop
from harness.process import wait_until
from harness.servers import Recorder, free_port
from harness.spec import Peer, proxy_address
from harness.upgrade import upgrade

WEB = 8080


class Chain:
    """Documents of tunnels t0 (to the far end), t1 (to the next hop, through t0), t2 (through t1)."""

    def __init__(self, far, hops):
        self.far, self.hops = far, hops
        self.outer = Peer(far, "t0")
        self.keys = [keys.new_key() for _ in hops]
        self.addresses = [f"10.{hop.network}.1.2" for hop in hops]
        for hop, key, address in zip(hops, self.keys, self.addresses):
            hop.add_peer(key.public, address)

    def document(self, number, via=True, **members):
        if number == 0:
            return self.outer.document(proxy={"listen": ["127.0.0.1:0"]}, **members)
        hop = self.hops[number - 1]
        interface = {"private_key": self.keys[number - 1].private, "addresses": [self.addresses[number - 1]]}
        if via:
            interface["via"] = f"t{number - 1}"
        reached_at = INNER if number == 1 else self.hops[number - 2].address
        return {"id": f"t{number}", "spec": {
            "interface": {**interface, **members.get("interface", {})},
            "peers": [{"public_key": hop.public_key, "endpoint": members.get("endpoint", f"{reached_at}:{hop.port}"), "allowed_ips": ["0.0.0.0/0"]}],
            "proxy": {"listen": ["127.0.0.1:0"]}}}

    def host(self, number):
        """Where the web server is, seen from the tunnel."""
        return INNER if number == 0 else self.hops[number - 1].address

    def close(self):
        self.far.remove_peer(self.outer.key.public)


@pytest.fixture(scope="module")
def hops(far):
    if not tools.path("wireguard-go"):
        pytest.skip("no wireguard-go")
    hops = [Hop(far, PORT + 1, 78), Hop(far, PORT + 2, 79)]
    web = far.namespace.start(["python3", "-m", "http.server", "--bind", "0.0.0.0", "--directory", f"{far.directory}/www", str(WEB)],
                              f"{far.directory}/web.log")

    def answers():
        try:
            far.namespace.connect((INNER, WEB), timeout=1).close()
        except OSError:
            return False
        return True

    wait_until(answers, what="the web server answers")
    yield hops
    web.stop()
    for hop in hops:
        hop.wireguard.stop()


@pytest.fixture
def chain(far, hops):
    chain = Chain(far, hops)
    yield chain
    chain.close()


@pytest.fixture
def watched(far, home, directory):
    """All that reaches the far end from the host; at the end, that it was the outermost tunnel's alone."""
    with Capture(far.namespace, far.far_interface, "udp or tcp", directory, name="link") as capture:
        yield capture
    assert capture.lines(f"udp port {PORT}")
    strangers = capture.lines(f"not udp port {PORT}")
    assert not strangers, strangers[:5]


def _url(chain, number, name="hello"):
    return f"http://{chain.host(number)}:{WEB}/{name}"


def _proxy(tunnel):
    host, port = proxy_address(tunnel)
    return f"http://{host}:{port}"


def _page(home, chain, tunnel, number, **options):
    return curl(home, "-f", "-x", _proxy(tunnel), _url(chain, number), **options)


def _works(home, chain, tunnel, number):
    return _page(home, chain, tunnel, number, check=False, timeout=3).returncode == 0


def test_p1_two_and_three_hops_carry_64_mb(home, far, daemon, chain, watched):
    size = 64 << 20
    digest = random_file(far.path("big"), size)
    tunnels = [daemon.api.create(chain.document(number)) for number in range(3)]
    assert len({tunnel["status"]["worker"] for tunnel in tunnels}) == 1
    assert tunnels[0]["status"]["udp_port"] > 0 and [tunnel["status"]["udp_port"] for tunnel in tunnels[1:]] == [0, 0]
    for number in (1, 2):
        download = Download(home, "-f", "-x", _proxy(tunnels[number]), _url(chain, number, "big"))
        assert download.finish() == (0, digest), download.error
    assert daemon.api.stats("t2")["bytes_received"] >= size

    def add_up():
        """Each hop is payload of the one outside it. t1 has payload of its own besides."""
        stats = [daemon.api.stats(f"t{number}") for number in range(3)]
        return stats[0]["bytes_received"] == stats[1]["wire_bytes_received"] and stats[1]["bytes_received"] >= stats[2]["wire_bytes_received"] + size

    wait_until(add_up, what="the figures of the tunnels agree")
    # Nothing of it was larger than the link's packets, so nothing was cut.
    assert not watched.lines("ip[6:2] & 0x3fff != 0")


def test_the_outer_tunnel_is_changed_deleted_and_back(home, daemon, chain, watched):
    for number in range(3):
        daemon.api.create(chain.document(number))
    tunnel = daemon.api.get("/v1/tunnels/t2")
    # In place: nothing happens to what is inside.
    daemon.api.patch("t0", {"spec": {"limits": {"connections": 9}}})
    assert daemon.api.state("t2") == "up"
    # Another stack.
    assert daemon.api.patch("t0", {"spec": {"interface": {"mtu": 1380}}})["applied"] == "restarted"
    wait_until(lambda: _works(home, chain, tunnel, 2), what="it goes on inside another stack")
    daemon.api.patch("t1", {"spec": {"enabled": False}})
    status = daemon.api.wait_state("t2", "stale")
    assert status["reason"] == "the outer tunnel t1 is disabled"
    assert _page(home, chain, tunnel, 2, check=False).returncode != 0
    daemon.api.patch("t1", {"spec": {"enabled": True}})
    daemon.api.wait_state("t2", "up")
    assert _page(home, chain, tunnel, 2).stdout.startswith("hello")
    daemon.api.delete("t0")
    status = daemon.api.wait_state("t1", "stale")
    assert status["reason"] == "the outer tunnel t0 is not running"
    daemon.api.wait_state("t2", "stale")
    clock.let_pass(2, "nothing may be sent")
    daemon.api.create(chain.document(0))
    daemon.api.wait_state("t2", "up")
    assert _page(home, chain, tunnel, 2).stdout.startswith("hello")
    assert daemon.api.patch("t0", {"spec": {"peers": []}})["spec"]["peers"] == []
    status = daemon.api.wait_state("t1", "stale")
    assert status["reason"] == "the outer tunnel t0 is not up"


def test_the_outer_peer_is_killed(home, far, daemon, chain, watched):
    for number in range(2):
        daemon.api.create(chain.document(number))
    tunnel = daemon.api.get("/v1/tunnels/t1")
    assert _page(home, chain, tunnel, 1).stdout.startswith("hello")
    far.stop_wireguard()
    try:
        wait_until(lambda: not _works(home, chain, tunnel, 1) and daemon.api.state("t0") == "stale", timeout=30, what="the outer tunnel is stale")
        assert "t0 is not up" in daemon.api.wait_state("t1", "stale")["reason"]
    finally:
        far.start_wireguard()
    wait_until(lambda: _works(home, chain, tunnel, 1), timeout=60, what="it is back with the outer tunnel")


def test_their_worker_is_killed(home, daemon, chain, watched):
    for number in range(3):
        daemon.api.create(chain.document(number))
    tunnel = daemon.api.get("/v1/tunnels/t2")
    for pid in daemon.workers():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: _works(home, chain, tunnel, 2), timeout=20, what="it is back on its port")
    assert len({daemon.api.get(f"/v1/tunnels/t{number}/status")["worker"] for number in range(3)}) == 1


def test_a_running_tunnel_is_put_inside_another(home, make_daemon, chain, far, watched):
    """They are on different workers before, and the one inside has a client's port that it keeps."""
    daemon = make_daemon(namespace=home, arguments=["--workers", "2"]).start()
    daemon.api.create(chain.document(0))
    document = chain.document(1, via=False)
    document["spec"]["enabled"] = False
    inside = daemon.api.create(document, wait_up=False)
    assert inside["status"]["worker"] != daemon.api.get("/v1/tunnels/t0/status")["worker"]
    daemon.api.patch("t1", {"spec": {"enabled": True, "interface": {"via": "t0"}}})
    daemon.api.wait_state("t1", "up")
    after = daemon.api.get("/v1/tunnels/t1")
    assert after["status"]["listen"] == inside["status"]["listen"]
    assert after["status"]["worker"] == daemon.api.get("/v1/tunnels/t0/status")["worker"]
    assert _page(home, chain, after, 1).stdout.startswith("hello")


def test_what_is_inside_moves_with_the_outer_tunnel(home, make_daemon, chain, watched):
    daemon = make_daemon(namespace=home, arguments=["--workers", "2"]).start()
    for number in range(3):
        daemon.api.create(chain.document(number))
    tunnel = daemon.api.get("/v1/tunnels/t2")
    elsewhere = 1 - tunnel["status"]["worker"]
    reply = daemon.api.request("POST", "/v1/tunnels/t2/actions/move", {"worker": elsewhere})
    assert (reply.status, reply.pointers) == (422, ["/worker"])
    daemon.api.expect(200, "POST", "/v1/tunnels/t0/actions/move", {"worker": elsewhere})
    wait_until(lambda: daemon.api.get("/v1/tunnels/t2/status")["worker"] == elsewhere, what="the inner tunnels follow")
    daemon.api.wait_state("t2", "up")
    assert _page(home, chain, tunnel, 2).stdout.startswith("hello")


def test_p1_an_endpoint_name_is_asked_for_inside(home, far, daemon, chain, watched):
    before = len(far.queries())
    daemon.api.create(chain.document(0))
    daemon.api.create(chain.document(1, endpoint=f"v4.far.test:{PORT + 1}"))
    asked = [line for line in far.queries()[before:] if "v4.far.test" in line]
    assert asked
    with open(home.resolver_log, encoding="ascii", errors="replace") as file:
        assert "v4.far.test" not in file.read()
    daemon.api.patch("t0", {"spec": {"interface": {"dns": []}}})
    created = daemon.api.patch("t1", {"spec": {"peers": [{"public_key": chain.hops[0].public_key, "endpoint": f"{NAME}:{PORT + 1}",
                                                         "allowed_ips": ["0.0.0.0/0"]}]}})
    assert [warning["code"] for warning in created["warnings"]] == ["unroutable"]


def test_a_chain_in_a_state_and_after_a_restart(home, daemon, chain, watched):
    """The outer tunnels come after the inner ones, in the document and in the order of their ids."""
    documents = [chain.document(number) for number in range(3)]
    names = {"t0": "z", "t1": "m", "t2": "a"}
    for document in documents:
        document["id"] = names[document["id"]]
        interface = document["spec"]["interface"]
        if "via" in interface:
            interface["via"] = names[interface["via"]]
    reply = daemon.api.expect(200, "PUT", "/v1/state", {"tunnels": documents[::-1]}).json
    assert reply["created"] == 3
    daemon.api.wait_state("a", "up")
    tunnel = daemon.api.get("/v1/tunnels/a")
    assert _page(home, chain, tunnel, 2).stdout.startswith("hello")
    kept = daemon.api.get("/v1/state")
    assert daemon.api.expect(200, "PUT", "/v1/state", kept).json["unchanged"] == 3
    daemon.stop()
    daemon.start()
    daemon.api.wait_state("a", "up")
    assert _page(home, chain, daemon.api.get("/v1/tunnels/a"), 2).stdout.startswith("hello")


def test_an_upgrade_cuts_nothing(home, far, make_own, chain, watched):
    digest = random_file(far.path("across"), 64 << 20)
    daemon = make_own(namespace=home)
    tunnels = [daemon.api.create(chain.document(number)) for number in range(3)]
    download = Download(home, "-f", "-x", _proxy(tunnels[2]), "--limit-rate", "20M", _url(chain, 2, "across"))
    wait_until(lambda: download.bytes > 1 << 20, what="the transfer runs")
    upgrade(daemon, binary())
    assert download.finish() == (0, digest), download.error
    assert daemon.api.state("t2") == "up"
    # The program that took over knows who goes through whom.
    assert daemon.api.request("PATCH", "/v1/tunnels/t0", {"spec": {"interface": {"via": "t2"}}},
                              content_type="application/merge-patch+json").pointers == ["/spec/interface/via"]


def test_files_come_in_any_order(home, make_daemon, chain, directory, watched):
    folder = f"{directory}/tunnels"
    os.makedirs(folder)
    for number, name in ((2, "a"), (1, "b"), (0, "c")):
        document = chain.document(number)
        interface, peer = document["spec"]["interface"], document["spec"]["peers"][0]
        via = {2: "# warren: via = b\n", 1: "# warren: via = c\n", 0: ""}[number]
        with open(f"{folder}/{name}.conf", "w", encoding="ascii") as file:
            file.write(f"[Interface]\nPrivateKey = {interface['private_key']}\nAddress = {interface['addresses'][0]}\n{via}"
                       f"# warren: listen = 127.0.0.1:0\n[Peer]\nPublicKey = {peer['public_key']}\nEndpoint = {peer['endpoint']}\n"
                       "AllowedIPs = 0.0.0.0/0\n")
    daemon = make_daemon(namespace=home, arguments=["--tunnels-dir", folder]).start()
    wait_until(lambda: daemon.api.request("GET", "/v1/tunnels/a").status == 200, what="the innermost file is applied")
    daemon.api.wait_state("a", "up")
    assert _page(home, chain, daemon.api.get("/v1/tunnels/a"), 2).stdout.startswith("hello")
    assert "is not applied" not in daemon.process.log()


def test_a_token_goes_through_its_own_tunnels_alone(home, daemon):
    document = {"spec": {"enabled": False, "interface": {"generate_private_key": True, "addresses": ["10.1.1.1"]}}}
    for id, team in (("red", "red"), ("blue", "blue")):
        daemon.api.put(id, {**document, "labels": {"team": team}})
    token = daemon.api.expect(201, "POST", "/v1/tokens", {"name": "red", "scopes": ["write"], "labels": {"team": "red"}}).json["token"]
    api = daemon.tcp_api(token)

    def through(id):
        interface = {**document["spec"]["interface"], "via": id}
        return api.request("PUT", "/v1/tunnels/mine", {"labels": {"team": "red"}, "spec": {"enabled": False, "interface": interface}})
    for id in ("blue", "none"):
        reply = through(id)
        assert (reply.status, reply.pointers) == (422, ["/spec/interface/via"])
        assert reply.json["errors"][0]["detail"] == "There is no tunnel with the id that via names."
    assert through("red").status == 201


def test_a_replaced_worker_gives_the_whole_chain_to_its_successor(home, far, make_daemon, chain, watched):
    """Whoever goes through another follows it; a connection through the innermost keeps all of them."""
    daemon = make_daemon(namespace=home, arguments=["--workers", "1"]).start()
    for number in range(3):
        daemon.api.create(chain.document(number))
    tunnel = daemon.api.wait_state("t2", "up") and daemon.api.get("/v1/tunnels/t2")
    handshakes = daemon.api.stats("t0")["handshakes"]

    def places():
        return [daemon.api.get(f"/v1/tunnels/t{number}/status")["worker"] for number in range(3)]

    with Connection(proxy_address(tunnel), home) as connection:
        connection.http_connect(f"{chain.host(2)}:{WEB}")
        daemon.api.expect(202, "POST", "/v1/workers/0/actions/replace")
        wait_until(lambda: [worker["state"] for worker in daemon.api.get("/v1/info")["workers"]] == ["retiring", "ready"], what="it retires")
        assert _page(home, chain, tunnel, 2).stdout.startswith("hello")
        assert places() == [0, 0, 0]
    wait_until(lambda: [worker["index"] for worker in daemon.api.get("/v1/info")["workers"]] == [1], what="worker 0 is replaced")
    assert places() == [1, 1, 1]
    wait_until(lambda: _works(home, chain, tunnel, 2), what="it works")
    assert daemon.api.stats("t0")["handshakes"] == handshakes


def test_both_may_be_disguised(make_daemon):
    """Over loopback, between two daemons: the far end of the outer tunnel forwards the inner one's datagrams."""
    outside = {"type": "amneziawg", "jc": 3, "jmin": 10, "jmax": 50, "s1": 72, "s2": 56, "s3": 32, "s4": 16, "h1": "134567-245678",
               "h2": "3456789-4567890", "h3": "56789012-67890123", "h4": "456789012-567890123"}
    inside = {"type": "lwo"}
    near, far = make_daemon().start(), make_daemon().start()
    keys_of = {name: keys.new_key() for name in ("a", "b", "far-a", "far-b")}
    ports = {name: free_port(socket.SOCK_DGRAM) for name in ("a", "b")}
    body = os.urandom(4 << 20)
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body

    def far_end(name, address, obfuscation, forwards):
        far.api.create({"id": name, "spec": {
            "interface": {"private_key": keys_of[f"far-{name}"].private, "addresses": [address], "listen_port": ports[name],
                          "obfuscation": obfuscation},
            "peers": [{"public_key": keys_of[name].public, "allowed_ips": ["0.0.0.0/0"]}], "forwards": forwards}}, wait_up=False)

    def tunnel(name, address, endpoint, **interface):
        return near.api.create({"id": name, "spec": {
            "interface": {"private_key": keys_of[name].private, "addresses": [address], **interface},
            "peers": [{"public_key": keys_of[f"far-{name}"].public, "endpoint": endpoint, "allowed_ips": ["0.0.0.0/0"]}],
            "proxy": {"listen": ["127.0.0.1:0"]}}})
    with Recorder(None, ("127.0.0.1", 0), reply) as web:
        far_end("a", "10.99.0.1", outside, [{"name": "hop", "direction": "inbound", "protocol": "udp", "listen": f"10.99.0.1:{ports['b']}",
                                             "target": f"127.0.0.1:{ports['b']}"}])
        far_end("b", "10.98.0.1", inside, [{"name": "web", "direction": "inbound", "protocol": "tcp", "listen": "10.98.0.1:80",
                                            "target": f"127.0.0.1:{web.address[1]}"}])
        tunnel("a", "10.99.0.2", f"127.0.0.1:{ports['a']}", obfuscation=outside)
        created = tunnel("b", "10.98.0.2", f"10.99.0.1:{ports['b']}", obfuscation=inside, via="a")
        download = Download(None, "-f", "-x", _proxy(created), "http://10.98.0.1/file")
        assert download.finish() == (0, hashlib.sha256(body).hexdigest()), download.error
    wait_until(lambda: near.api.stats("a")["wire_bytes_received"] > near.api.stats("b")["wire_bytes_received"] > len(body),
               what="the figures are there")
