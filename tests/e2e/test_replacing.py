"""A worker is replaced by hand: its tunnels move to a successor one by one, and nothing that runs is lost."""

import contextlib
import os
import random
import signal
import socket
import threading

from harness import clock
from harness.clients import Connection, Download, curl, fetch_page, random_file
from harness.daemon import binary
from harness.events import Reader
from harness.farend import INNER
from harness.process import is_alive, wait_until
from harness.servers import Server, UdpEcho, echo, free_port
from harness.spec import Peer, proxy_address
from harness.upgrade import built, upgrade


def _workers(daemon):
    return daemon.api.get("/v1/info")["workers"]


def _replace(daemon, index, status=202, **body):
    return daemon.api.expect(status, "POST", f"/v1/workers/{index}/actions/replace", body).json


def _heard(far, daemon, ids):
    """Tunnels that are up and never silent, and their peers."""
    peers = [Peer(far, id) for id in ids]
    tunnels = [daemon.api.create(peer.document(), wait_up=True) for peer in peers]
    for peer in peers:
        peer.keep_alive()
    return peers, tunnels


def _assert_sessions_go_on(home, far, tunnels, peers, first):
    """Nothing asked for a handshake, and a page needs none. Each is asked at once: on a machine that stands still for seconds later silence may."""
    assert [far.peer(peer.key.public)["latest_handshake"] for peer in peers] == first
    for tunnel, peer, at in zip(tunnels, peers, first):
        assert fetch_page(home, tunnel).returncode == 0
        assert far.peer(peer.key.public)["latest_handshake"] == at


def _is_replaced(daemon, index):
    return index not in [worker["index"] for worker in _workers(daemon)]


def _daemon(home, make_daemon, workers=1, arguments=()):
    return make_daemon(namespace=home, arguments=["--workers", str(workers), *arguments]).start()


def test_idle_tunnels_move_at_once_and_their_peers_see_no_handshake(home, far, make_daemon):
    daemon = _daemon(home, make_daemon)
    peers, tunnels = _heard(far, daemon, [f"t{i}" for i in range(6)])
    first = [far.peer(peer.key.public)["latest_handshake"] for peer in peers]
    reader = Reader(daemon)
    assert reader.is_open.wait(5)
    before = _workers(daemon)
    assert [worker["state"] for worker in before] == ["ready"]
    reply = _replace(daemon, 0)
    assert reply == {"state": "replacing", "worker": 0, "successor": 1, "drain_timeout": 3600}
    wait_until(lambda: _is_replaced(daemon, 0), what="worker 0 is replaced")
    after = _workers(daemon)
    assert [(worker["index"], worker["state"], worker["tunnels"], worker["restarts"]) for worker in after] == [(1, "ready", 6, 0)]
    assert after[0]["pid"] != before[0]["pid"] and not is_alive(before[0]["pid"])
    _assert_sessions_go_on(home, far, tunnels, peers, first)
    wait_until(lambda: "worker.replaced" in [event["type"] for event in reader.events], what="its event is read")
    types = [event["type"] for event in reader.events]
    assert [type for type in types if type.startswith("worker.")] == ["worker.replacing", "worker.replaced"]
    assert not {"tunnel.state", "tunnel.handshake", "tunnel.endpoint"} & set(types)
    metrics = daemon.api.expect(200, "GET", "/metrics").body.decode()
    assert "warren_worker_restarts_total 0" in metrics and "warren_workers 1\n" in metrics and "warren_workers_ready 1\n" in metrics
    # And back.
    assert _replace(daemon, 1)["successor"] == 0
    wait_until(lambda: _is_replaced(daemon, 1), what="worker 1 is replaced")
    assert [(worker["index"], worker["restarts"]) for worker in _workers(daemon)] == [(0, 0)]
    assert fetch_page(home, tunnels[0]).returncode == 0
    assert far.peer(peers[0].key.public)["latest_handshake"] == first[0]
    reader.close()


def test_open_connections_are_waited_for(home, far, make_daemon):
    daemon = _daemon(home, make_daemon)
    busy, idle = (daemon.api.create(Peer(far, name).document(), wait_up=True) for name in ("busy", "idle"))
    with Connection(proxy_address(busy), home) as connection:
        connection.http_connect(f"{INNER}:80")
        _replace(daemon, 0)
        wait_until(lambda: [worker["tunnels"] for worker in _workers(daemon)] == [1, 1], what="the idle one has moved")
        states = {worker["index"]: worker["state"] for worker in _workers(daemon)}
        assert states == {0: "retiring", 1: "ready"}
        assert daemon.api.request("GET", "/readyz").status == 200
        # What is new goes to the successor; the old one still serves its own.
        new = daemon.api.create(Peer(far, "new").document(), wait_up=True)
        assert new["status"]["worker"] == 1
        assert fetch_page(home, busy).returncode == 0 and fetch_page(home, idle).returncode == 0
        daemon.api.expect(422, "POST", "/v1/tunnels/new/actions/move", {"worker": 0})
        assert _replace(daemon, 1, status=503)["code"] == "worker_unavailable"
        connection.send(f"GET /hello HTTP/1.1\r\nHost: {INNER}\r\n\r\n".encode())
        assert connection.read_until(b"hello")
    wait_until(lambda: _is_replaced(daemon, 0), what="worker 0 is replaced")
    assert fetch_page(home, busy).returncode == 0


def test_connections_are_cut_when_the_time_is_up(home, far, make_daemon):
    daemon = _daemon(home, make_daemon, arguments=["--drain-timeout", "1"])
    tunnel = daemon.api.create(Peer(far, "busy").document(), wait_up=True)
    for index, body in ((0, {}), (1, {"drain_timeout": 0})):
        with Connection(proxy_address(tunnel), home) as connection:
            connection.http_connect(f"{INNER}:80")
            assert _replace(daemon, index, **body)["drain_timeout"] == body.get("drain_timeout", 1)
            assert connection.is_at_end()
        wait_until(lambda: _is_replaced(daemon, index), what="it is replaced")
        assert fetch_page(home, tunnel).returncode == 0


def test_replacements_that_cannot_be_are_refused(home, make_daemon):
    daemon = _daemon(home, make_daemon)
    for index in (1, 2, 99, "x", "-1", "0x0", 10**12):   # 1 is spare
        _replace(daemon, index, status=404)
    for body in ({"drain_timeout": -1}, {"drain_timeout": 604801}, {"drain_timeout": "1"}, {"other": 1}):
        _replace(daemon, 0, status=422, **body)
    assert [worker["index"] for worker in _workers(daemon)] == [0]


def test_p7_any_worker_killed_at_any_moment_of_a_replacement(home, far, make_daemon):
    """Whichever dies, and when: in the end one worker has all tunnels, and they work."""
    daemon = _daemon(home, make_daemon)
    tunnels = [daemon.api.create(Peer(far, f"k{i}").document(), wait_up=True) for i in range(4)]
    dice = random.Random(3)
    for _ in range(10):
        wait_until(lambda: [worker["state"] for worker in _workers(daemon)] == ["ready"], timeout=20, what="one worker is there")
        index = _workers(daemon)[0]["index"]
        _replace(daemon, index, drain_timeout=0)
        clock.at_any_moment(dice, 0.15)
        os.kill(dice.choice(daemon.workers()), signal.SIGKILL)
        for tunnel in tunnels:
            wait_until(lambda: fetch_page(home, tunnel, check=False, timeout=2).returncode == 0, timeout=20, what=f"{tunnel['id']} works")
    wait_until(lambda: [(worker["state"], worker["tunnels"]) for worker in _workers(daemon)] == [("ready", 4)], timeout=20, what="it is over")
    for tunnel in tunnels:
        status = daemon.api.get(f"/v1/tunnels/{tunnel['id']}/status")
        assert status["listen"] == tunnel["status"]["listen"] and status["udp_port"] == tunnel["status"]["udp_port"]


def test_pool_and_its_members_move(home, far, make_daemon):
    """Members, sticky sessions and clients are where they were."""
    daemon = _daemon(home, make_daemon)
    for name in ("m1", "m2"):
        daemon.api.create(Peer(far, name).document(), wait_up=True)
    daemon.api.expect(201, "POST", "/v1/pools", {"id": "p", "spec": {
        "members": {"tunnels": ["m1", "m2"]}, "sticky": {"by": "session", "ttl": 600}}})
    wait_until(lambda: daemon.api.get("/v1/pools/p")["status"]["members_up"] == 2, what="the pool is up")
    host, port = proxy_address(daemon.api.get("/v1/pools/p"))

    def source(session):
        return curl(home, "-f", "-p", "-x", f"http://u-session-{session}:@{host}:{port}", f"http://{INNER}/from").stdout
    before = {session: source(session) for session in ("a", "b", "c", "d")}
    for index in (0, 1):
        _replace(daemon, index)
        wait_until(lambda: _is_replaced(daemon, index), what="it is replaced")
        assert {session: source(session) for session in before} == before


def test_a_pool_waits_for_its_own_connections_only(home, far, make_daemon):
    """What is open at a member's own port goes on there, and nobody waits for it."""
    daemon = _daemon(home, make_daemon)
    member = daemon.api.create(Peer(far, "m").document(), wait_up=True)
    daemon.api.expect(201, "POST", "/v1/pools", {"id": "p", "spec": {"members": {"tunnels": ["m"]}}})
    wait_until(lambda: daemon.api.get("/v1/pools/p")["status"]["members_up"] == 1, what="the pool is up")
    pool = daemon.api.get("/v1/pools/p")
    with Connection(proxy_address(member), home) as connection:
        connection.http_connect(f"{INNER}:80")
        with Connection(proxy_address(pool), home) as through:
            through.http_connect(f"{INNER}:80")
            _replace(daemon, 0)
            wait_until(lambda: len(_workers(daemon)) == 2, what="the successor is there")
            # Longer than what was told can be late, and than a busy one is left alone.
            clock.holds_for(2.5, lambda: [worker["tunnels"] for worker in _workers(daemon)] == [2, 0], what="the pool stays with its connection")
        wait_until(lambda: [worker["tunnels"] for worker in _workers(daemon)] == [1, 1], what="the pool has moved")
        assert fetch_page(home, pool).returncode == 0
    wait_until(lambda: _is_replaced(daemon, 0), what="it is replaced")


def test_forwards_go_on_through_replacements(home, far, make_daemon):
    """Without a wait for what is open: of inbound connections at most the one that is open is cut, and datagrams of both directions go on."""
    daemon = _daemon(home, make_daemon)
    peer, local = Peer(far, "f"), free_port(socket.SOCK_DGRAM, home)
    over, served, cut, returned = threading.Event(), [], [], {"outbound": 0, "inbound": 0}

    def connect():
        while not over.is_set():
            try:
                with far.namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
                    client.settimeout(30)
                    client.connect((peer.addresses[0], 80))
                    client.sendall(b"x" * 1000)
                    client.shutdown(socket.SHUT_WR)
                    (served if len(b"".join(iter(lambda: client.recv(4096), b""))) == 1000 else cut).append(1)
            except (ConnectionError, TimeoutError):   # a reset can be lost, as any packet
                cut.append(1)

    def send(namespace, target, direction):
        with namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(target)
            client.settimeout(0.05)
            while not over.is_set():
                client.send(b"x")
                with contextlib.suppress(TimeoutError):
                    returned[direction] += len(client.recv(64))

    def wait_for_more():
        there = [len(served), *returned.values()]
        wait_until(lambda: all(now > before + 20 for now, before in zip([len(served), *returned.values()], there)), timeout=60, what="all go on")
    with UdpEcho(far.namespace, (INNER, 0)) as there, UdpEcho(home, ("127.0.0.1", 0)) as here, Server(home, ("127.0.0.1", 0), echo) as host:
        daemon.api.create(peer.document(forwards=[
            {"name": "out", "direction": "outbound", "protocol": "udp", "listen": f"127.0.0.1:{local}", "target": f"{INNER}:{there.address[1]}"},
            {"name": "in", "direction": "inbound", "protocol": "tcp", "listen": f"{peer.addresses[0]}:80", "target": f"127.0.0.1:{host.address[1]}"},
            {"name": "dns", "direction": "inbound", "protocol": "udp", "listen": f"{peer.addresses[0]}:53", "target": f"127.0.0.1:{here.address[1]}"}]),
            wait_up=True)
        threads = [threading.Thread(target=connect), threading.Thread(target=send, args=(home, ("127.0.0.1", local), "outbound")),
                   threading.Thread(target=send, args=(far.namespace, (peer.addresses[0], 53), "inbound"))]
        for thread in threads:
            thread.start()
        try:
            for index in (0, 1, 0):
                wait_for_more()
                _replace(daemon, index, drain_timeout=0)
                wait_until(lambda: _is_replaced(daemon, index), what="it is replaced")
            wait_for_more()
        finally:
            over.set()
            for thread in threads:
                thread.join()
    assert len(cut) <= 3 and daemon.api.stats("f")["handshakes"] == 1


def test_an_upgrade_goes_on_with_a_replacement(home, far, make_own):
    """The next program knows which worker retires, and for how long it may."""
    daemon = make_own(namespace=home, arguments=["--workers", "1"])
    busy, idle = (daemon.api.create(Peer(far, name).document(), wait_up=True) for name in ("busy", "idle"))
    with Connection(proxy_address(busy), home) as connection:
        connection.http_connect(f"{INNER}:80")
        _replace(daemon, 0)
        wait_until(lambda: [worker["tunnels"] for worker in _workers(daemon)] == [1, 1], what="the idle one has moved")
        upgrade(daemon, binary())
        assert [worker["state"] for worker in _workers(daemon)] == ["retiring", "ready"]
        connection.send(f"GET /hello HTTP/1.1\r\nHost: {INNER}\r\n\r\n".encode())
        assert connection.read_until(b"hello")
    wait_until(lambda: _is_replaced(daemon, 0), what="worker 0 is replaced")
    upgrade(daemon, binary())
    assert fetch_page(home, busy).returncode == 0 and fetch_page(home, idle).returncode == 0


def test_workers_of_the_version_before_are_replaced_after_an_upgrade(home, far, make_own):
    """Half a minute later, one after the other; the peers see nothing of it."""
    daemon = make_own(namespace=home, arguments=["--workers", "2"])
    peers, tunnels = _heard(far, daemon, [f"v{i}" for i in range(4)])
    first = [far.peer(peer.key.public)["latest_handshake"] for peer in peers]
    upgrade(daemon, built("warrend_other"))
    assert {worker["version"] for worker in _workers(daemon)} == {"0.1.0"}
    wait_until(lambda: [worker["version"] for worker in _workers(daemon)] == ["0.1.0-other"] * 2, timeout=90, what="workers are of its version")
    _assert_sessions_go_on(home, far, tunnels, peers, first)


def test_nothing_is_cut_while_a_busy_worker_drains(home, far, make_daemon):
    """Downloads end whole and short requests never fail, whichever worker they meet."""
    daemon = _daemon(home, make_daemon)
    digest = random_file(far.path("whole"), 12 << 20)
    tunnels = [daemon.api.create(Peer(far, f"b{i}").document(), wait_up=True) for i in range(4)]
    loads = [Download(home, "-p", "-x", "http://%s:%d" % proxy_address(tunnel), "--limit-rate", "3M", f"http://{INNER}/whole") for tunnel in tunnels[:2]]
    wait_until(lambda: all(load.bytes > 1 << 20 for load in loads), what="the downloads run")
    for index in (0, 1):
        _replace(daemon, index)
        while not _is_replaced(daemon, index):
            for tunnel in tunnels:
                assert fetch_page(home, tunnel).returncode == 0
    for load in loads:
        assert load.finish()[:2] == (0, digest), load.error
    assert "; 0 connections are cut" in daemon.process.log() and "1 connections are cut" not in daemon.process.log()
