"""Lives of tunnels over and over: L1, L2, L5, L6, F2, F9, S1 to S6 by the names of the complaint, and how tunnels heal themselves.

WARREN_E2E_LIVES sets how many lives L1 has (10,000 before a release)."""

import json
import os
import random
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness import clock, process
from harness.clients import Connection, curl
from harness.daemon import is_sanitized
from harness.farend import INNER as FAR_INNER
from harness.loop import INNER, Ends, create_pair, fill_event_log, pages
from harness.process import wait_until
from harness.servers import Server
from harness.spec import Peer, proxy_address

LIVES = int(os.environ.get("WARREN_E2E_LIVES", "60" if is_sanitized() else "300"))
RECOVERY = 20   # seconds after a fault has ended


def _answer_and_wait(sock):
    """A page, and the client's side closes first, as it does behind servers that keep connections."""
    head = b""
    while b"\r\n\r\n" not in head:
        if not (data := sock.recv(65536)):
            return
        head += data
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
    sock.settimeout(30)
    while sock.recv(65536):
        pass


@pytest.fixture
def page_server():
    with Server(None, ("127.0.0.1", 0), _answer_and_wait) as server:
        yield server


@pytest.fixture
def pair(local_daemon, page_server):
    """(daemon, far, near): two tunnels over loopback, with a page behind the far one."""
    far, near = create_pair(local_daemon.api, Ends(), page_server.address)
    return local_daemon, far, near


def _page(proxy, timeout=10):
    """A page through a proxy on loopback; its status."""
    with Connection(proxy, timeout=timeout) as connection:
        connection.send(f"GET http://{INNER}/ HTTP/1.1\r\nHost: {INNER}\r\nConnection: close\r\n\r\n".encode())
        return connection.read_reply()[0]


def _works(proxy, timeout=3):
    try:
        return _page(proxy, timeout) == 200
    except (OSError, AssertionError):
        return False


def _mappings(pid):
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as file:
        return len(file.readlines())


def _figures(daemon):
    return {"descriptors": daemon.descriptors(), "threads": daemon.threads(),
            "mappings": sum(_mappings(pid) for pid in daemon.family()), "kilobytes": daemon.resident_kilobytes()}


def _back_to(daemon, baseline, timeout=5):
    """Descriptors and threads exactly; mappings and memory except for what the allocator keeps."""
    def is_back():
        now = _figures(daemon)
        return (now["descriptors"] <= baseline["descriptors"] and now["threads"] <= baseline["threads"] and
                (is_sanitized() or (now["mappings"] <= baseline["mappings"] + 8 and now["kilobytes"] <= baseline["kilobytes"] + 4096)))
    try:
        wait_until(is_back, timeout, 0.1)
    except AssertionError:
        raise AssertionError(f"before: {baseline}, after: {_figures(daemon)}") from None


class TightLoop(threading.Thread):
    """A client that asks for a page again and again, on a new connection each time."""

    def __init__(self, proxy):
        super().__init__(daemon=True)
        self.proxy, self.errors, self.served = proxy, [], 0
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.is_set():
            try:
                status = _page(self.proxy)
                if status != 200:
                    self.errors.append(status)
                self.served += 1
            except (OSError, AssertionError) as error:
                self.errors.append(repr(error))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join(20)


def _live(daemon, generator, ends, target):
    """One life of a pair, ended at a random moment."""
    api, end = daemon.api, generator.randrange(5)
    far = api.create(ends.far(target), wait_up=False)
    near = api.create(ends.near(far["status"]["udp_port"]), wait_up=end >= 2)
    connections = []
    if end == 3:     # in the middle of a transfer
        connection = Connection(proxy_address(near), timeout=10)
        connection.send(f"GET http://{INNER}/ HTTP/1.1\r\nHost: {INNER}\r\n\r\n".encode())
        assert connection.read_head()[0] == 200
        connections.append(connection)
    if end == 4:     # stopped and started before
        for enabled in (False, True, False):
            api.patch(ends.near_id, {"spec": {"enabled": enabled}})
    if end == 1:     # in the middle of a handshake that will not come
        api.delete(ends.far_id)
        api.delete(ends.near_id)
    else:
        for id in generator.sample((ends.far_id, ends.near_id), 2):
            api.delete(id)
    for connection in connections:
        connection.close()


def test_l1_many_lives_leave_nothing(local_daemon):
    generator = random.Random(int(os.environ.get("WARREN_E2E_SEED", "11")))
    with pages(size=64 << 20) as server:
        for _ in range(40):
            _live(local_daemon, generator, Ends(), server.address)
        if LIVES > 1000:
            far, near = create_pair(local_daemon.api, Ends(), server.address)
            fill_event_log(local_daemon.api, near["id"])
            for tunnel in (far, near):
                local_daemon.api.delete(tunnel["id"])
        process.at_rest(lambda: (local_daemon.descriptors(), local_daemon.threads()), calm=1, what="descriptors and threads")
        baseline = _figures(local_daemon)
        ends = [Ends(f"-{number}") for number in range(4)]
        for number in range(LIVES):
            _live(local_daemon, generator, ends[number % 4], server.address)
        _back_to(local_daemon, baseline)
    assert local_daemon.api.get("/v1/tunnels")["tunnels"] == []


def test_l2_up_and_down_under_traffic(local_daemon, page_server):
    """One tunnel is disabled and enabled continuously while clients use it; its neighbour's clients are not affected."""
    api = local_daemon.api
    _, near = create_pair(api, Ends("-a"), page_server.address)
    _, neighbour = create_pair(api, Ends("-b"), page_server.address)
    turns = 100 if is_sanitized() else 1000
    with TightLoop(proxy_address(near)) as own, TightLoop(proxy_address(neighbour)) as other:
        for turn in range(turns // 10):
            api.patch("near-a", {"spec": {"enabled": bool(turn % 2)}})
        baseline = _figures(local_daemon)
        for turn in range(turns):
            reply = api.patch("near-a", {"spec": {"enabled": bool(turn % 2)}})
            assert (reply["status"]["state"] == "disabled") == (turn % 2 == 0)
            assert reply["status"]["listen"] == near["status"]["listen"]
        api.wait_state("near-a", "up")
    assert other.errors == [] and other.served > 20
    assert not [error for error in own.errors if "Refused" in str(error)], "a client was refused while its tunnel was off"
    assert _page(proxy_address(near)) == 200
    baseline["descriptors"] += 8   # the clients that ran then
    _back_to(local_daemon, baseline)


def test_l5_ready_when_told_so(make_daemon, directory):
    """READY is sent only when the API and the proxies of the stored tunnels answer."""
    path = f"{directory}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(20)
        daemon = make_daemon(environment={"NOTIFY_SOCKET": path})
        daemon.start(wait=False)
        assert manager.recv(100).startswith(b"READY=1")
        created = daemon.api.create({"id": "kept", "spec": {"interface": {"generate_private_key": True, "addresses": ["10.0.0.1"]}}}, wait_up=False)
        daemon.stop()
        assert manager.recv(100).startswith(b"STOPPING=1")
        daemon.start(wait=False)
        assert manager.recv(100).startswith(b"READY=1")
        assert daemon.api.request("GET", "/readyz").status == 200
        assert daemon.api.get("/v1/tunnels/kept")["id"] == created["id"]
        Connection(proxy_address(daemon.api.get("/v1/tunnels/kept"))).close()


def test_new_connections_meet_no_old_ones(local_daemon):
    """A server that closes first keeps the pair of ports for a while; a client that comes upon the same pair is served all the same."""
    with pages() as server:
        _, near = create_pair(local_daemon.api, Ends(), server.address)
        with TightLoop(proxy_address(near)) as loop:
            clock.let_pass(2 if is_sanitized() else 6, "pairs of ports come again")
    assert loop.errors == [] and loop.served > 100


def _events(api):
    """All events in the daemon's log."""
    connection = api._connect()
    connection.request("GET", "/v1/events?since=0", headers={"Accept": "application/x-ndjson"})
    sock = connection.sock
    response = connection.getresponse()
    assert response.status == 200
    api.create({"id": "last", "spec": {"interface": {"generate_private_key": True, "addresses": ["10.0.0.1"]}}}, wait_up=False)
    found = []
    for line in response:
        if line.strip():
            found.append(json.loads(line))
            if found[-1]["type"] == "tunnel.created" and found[-1]["tunnel"] == "last":
                sock.shutdown(socket.SHUT_RDWR)
                return found


def test_l6_every_creation_has_its_end(local_daemon):
    """Each created tunnel has exactly one deletion event, however it was deleted, and never before its creation."""
    api, generator = local_daemon.api, random.Random(6)
    spec = {"interface": {"generate_private_key": True, "addresses": ["10.0.0.1"]}}
    for number in range(60):
        id = f"t{generator.randrange(8)}"
        kind = generator.randrange(5)
        if kind < 2:
            api.request("PUT", f"/v1/tunnels/{id}", {"spec": spec})
        elif kind == 2:
            api.request("DELETE", f"/v1/tunnels/{id}")
        elif kind == 3:
            api.request("POST", "/v1/batch", {"operations": [{"method": "DELETE", "path": f"/v1/tunnels/{id}"},
                                                             {"method": "PUT", "path": f"/v1/tunnels/{id}", "body": {"spec": spec}}]})
        else:
            kept = api.get("/v1/state?include_secrets=true")["tunnels"][:4]
            api.expect(200, "PUT", "/v1/state", {"tunnels": kept})
    api.expect(200, "DELETE", "/v1/tunnels")
    alive = set()
    for event in _events(api):
        if event["type"] == "tunnel.created":
            assert event["tunnel"] not in alive, f"{event['tunnel']} was created twice"
            alive.add(event["tunnel"])
        elif event["type"] == "tunnel.deleted":
            alive.remove(event["tunnel"])
    assert alive == {"last"}


def _on_workers(api, target):
    """For each of two workers a near tunnel whose far one is there, too. The emptiest worker gets the next tunnel."""
    found = {}
    while len(found) < 2:
        ends = [Ends(f"-{number}") for number in (2 * len(found), 2 * len(found) + 1)]
        far = [api.create(pair.far(target), wait_up=False) for pair in ends]
        near = [api.create(pair.near(tunnel["status"]["udp_port"])) for pair, tunnel in zip(ends, far)]
        found.update({two["status"]["worker"]: two for one, two in zip(far, near) if one["status"]["worker"] == two["status"]["worker"]})
        assert found, "no pair came to lie on one worker"
    return found


def _worker_pid(daemon, index):
    for pid in daemon.workers():
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
        if words[words.index(b"--index") + 1] == str(index).encode():
            return pid
    raise AssertionError(f"there is no worker {index}")


def test_f9_stopped_worker_is_replaced_in_six_seconds(make_daemon, page_server):
    daemon = make_daemon(arguments=["--workers", "2"]).start()
    tunnels = _on_workers(daemon.api, page_server.address)
    victim, other = proxy_address(tunnels[0]), proxy_address(tunnels[1])
    with TightLoop(other) as loop:
        os.kill(_worker_pid(daemon, 0), signal.SIGSTOP)
        stopped = time.monotonic()
        wait_until(lambda: _works(victim, timeout=1), timeout=20, what="the stopped worker's tunnel works again")
        took = time.monotonic() - stopped
    assert loop.errors == [] and loop.served > 20
    assert took < 7.5 or is_sanitized(), f"{took:.1f} s"   # noticed in 6, and a client whose patience is 1 s


def test_f9_machine_asleep_hangs_nobody(make_daemon, page_server):
    """The whole daemon is stopped for longer than a worker may be silent: no worker is replaced, and the tunnels continue."""
    daemon = make_daemon(arguments=["--workers", "2"]).start()
    _, near = create_pair(daemon.api, Ends(), page_server.address)
    family = daemon.family()
    held = Connection(proxy_address(near), timeout=10)
    assert held.http_connect(f"{INNER}:80")[0] == 200
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    clock.let_pass(8, "the machine sleeps")
    for pid in family:
        os.kill(pid, signal.SIGCONT)
    assert _page(proxy_address(near)) == 200
    held.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert held.read_reply()[0] == 200
    clock.holds_for(2, lambda: daemon.family() == family, what="no worker is replaced")


def test_killed_workers_tunnels_recover(make_daemon, page_server):
    """Both ends of a pair lose their sessions, or one of them: traffic resumes in time without intervention."""
    daemon = make_daemon(arguments=["--workers", "2"]).start()
    api = daemon.api
    _, near = create_pair(api, Ends(), page_server.address)
    for index in (0, 1, 0, 1):
        os.kill(_worker_pid(daemon, index), signal.SIGKILL)
        wait_until(lambda: _works(proxy_address(near)), timeout=RECOVERY, what="traffic again")
        wait_until(lambda: len(daemon.workers()) == 2, what="another worker is there")


def test_tunnels_of_a_dead_worker_are_moved(make_daemon, page_server):
    """One worker has all tunnels, because those of the other were deleted. When it dies half of them move: the same ports, numbers that go on."""
    daemon = make_daemon(arguments=["--workers", "2"]).start()
    api = daemon.api
    for number in range(4):
        ends = Ends(f"-{number}")
        far = api.create(ends.far(page_server.address), wait_up=False)
        api.create({**Ends(f"-x{number}").far(), "labels": {"in": "between"}}, wait_up=False)
        near = api.create(ends.near(far["status"]["udp_port"]))
        api.create({**Ends(f"-y{number}").far(), "labels": {"in": "between"}}, wait_up=False)
        assert _page(proxy_address(near)) == 200
    api.expect(200, "DELETE", "/v1/tunnels?label=in=between")
    left = {tunnel["id"]: tunnel for tunnel in api.get("/v1/tunnels?view=full")["tunnels"]}
    assert len(left) == 8 and {tunnel["status"]["worker"] for tunnel in left.values()} == {0}
    before = {id: api.stats(id) for id in left}
    descriptors = daemon.descriptors()
    os.kill(_worker_pid(daemon, 0), signal.SIGKILL)
    wait_until(lambda: "warren_worker_restarts_total 1" in api.expect(200, "GET", "/metrics").body.decode(), what="the death is seen")
    after = {tunnel["id"]: tunnel for tunnel in api.get("/v1/tunnels?view=full")["tunnels"]}
    assert sorted(tunnel["status"]["worker"] for tunnel in after.values()) == [0] * 4 + [1] * 4
    for id, tunnel in after.items():
        assert (tunnel["etag"], tunnel["generation"]) == (left[id]["etag"], left[id]["generation"])
        assert (tunnel["status"]["listen"], tunnel["status"]["udp_port"]) == (left[id]["status"]["listen"], left[id]["status"]["udp_port"])
        stats = api.stats(id)
        for member in ("handshakes", "wire_bytes_sent", "packets_received", "bytes_sent"):
            assert stats[member] >= before[id][member], f"{member} of {id} stepped back"
    wait_until(lambda: api.request("GET", "/readyz").status == 200, what="the worker is back")
    for number in range(4):
        wait_until(lambda: _works(proxy_address(after[f"near-{number}"])), timeout=RECOVERY, what="traffic through a tunnel that was moved")
    api.patch(min(after), {"spec": {"interface": {"mtu": 1300}}})
    wait_until(lambda: daemon.descriptors() <= descriptors, what="no descriptor is left behind")
    for id in after:
        api.delete(id)


def test_f2_descriptors_run_out(make_daemon, page_server):
    """Creation is a 503 and leaves nothing behind; running tunnels continue; with room again creation works."""
    daemon = make_daemon(prefix=["prlimit", "--nofile=150:150"]).start()
    api = daemon.api
    _, near = create_pair(api, Ends(), page_server.address)
    document = {"interface": {"generate_private_key": True, "addresses": ["10.0.0.1"]}}
    made, refused = [], None
    for number in range(150):
        reply = api.request("PUT", f"/v1/tunnels/t{number}", {"spec": document})
        if reply.status != 201:
            refused = reply
            break
        made.append(f"t{number}")
    assert refused is not None and (refused.status, refused.code) == (503, "out_of_resources"), refused
    descriptors = daemon.descriptors()
    for _ in range(20):
        assert api.request("PUT", "/v1/tunnels/more", {"spec": document}).status == 503
    api.get("/v1/tunnels/more", status=404)
    wait_until(lambda: daemon.descriptors() <= descriptors, what="the last client's connection is closed")
    assert _page(proxy_address(near)) == 200
    for id in made[-10:]:
        api.delete(id)
    api.put("more", {"spec": document}, status=201)
    assert _page(proxy_address(near)) == 200


def test_f2_accept_does_not_spin(make_daemon, page_server):
    """More clients than a worker has descriptors: waiting ones cost nothing, and are served when others leave."""
    daemon = make_daemon(prefix=["prlimit", "--nofile=120:120"], arguments=["--workers", "1"]).start()
    _, near = create_pair(daemon.api, Ends(), page_server.address)
    proxy = proxy_address(near)
    worker, = daemon.workers()
    idle = [Connection(proxy, timeout=10) for _ in range(150)]
    wait_until(lambda: process.descriptors(worker) == 120, what="no descriptor is left")
    assert process.cpu_within([worker], 2) < (1.0 if is_sanitized() else 0.3), "a worker without descriptors spins"
    assert daemon.api.get("/v1/version")
    for connection in idle[:100]:
        connection.close()
    idle[-1].send(f"GET http://{INNER}/ HTTP/1.1\r\nHost: {INNER}\r\nConnection: close\r\n\r\n".encode())
    assert idle[-1].read_reply()[0] == 200
    for connection in idle[100:]:
        connection.close()
    wait_until(lambda: _works(proxy), what="clients are served")


def _streaming(sock):
    sock.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return sock


def test_f2_control_process_without_descriptors(make_daemon):
    """API clients take all descriptors: neither TCP nor the unix socket causes a busy loop, and the API answers when they are gone."""
    daemon = make_daemon(prefix=["prlimit", "--nofile=64:64"], arguments=["--no-auth"]).start()
    host, port = daemon.address.rsplit(":", 1)
    streams = [_streaming(socket.create_connection((host, int(port)), 5)) for _ in range(120)]
    wait_until(lambda: process.descriptors(daemon.pid) == 64, what="no descriptor is left")
    operator = socket.socket(socket.AF_UNIX)
    operator.connect(f"{daemon.state_dir}/api.sock")
    assert process.cpu_within([daemon.pid], 2) < (1.0 if is_sanitized() else 0.3), "the control process spins"
    for sock in (*streams, operator):
        sock.close()
    wait_until(lambda: daemon.api.request("GET", "/livez").status == 200, what="the API answers again")


def test_f2_descriptors_from_elsewhere_let_clients_in(make_daemon):
    """Streams that never end hold all descriptors: those that wait are served as soon as there are more, though no stream ends."""
    daemon = make_daemon(prefix=["prlimit", "--nofile=64:1024"], arguments=["--no-auth"])
    daemon.start()
    subprocess.run(["prlimit", f"--pid={daemon.pid}", "--nofile=64:1024"], check=True)
    host, port = daemon.address.rsplit(":", 1)
    streams = [_streaming(socket.create_connection((host, int(port)), 5)) for _ in range(120)]
    wait_until(lambda: process.descriptors(daemon.pid) == 64, what="no descriptor is left")
    subprocess.run(["prlimit", f"--pid={daemon.pid}", "--nofile=1024:1024"], check=True)
    for sock in streams:
        assert sock.recv(12) == b"HTTP/1.1 200"
    for sock in streams:
        sock.close()


def test_udp_socket_that_became_useless_is_replaced(home, far, daemon):
    """Datagrams from the tunnel's port are dropped permanently: when new handshakes do not help, it takes another port."""
    created = daemon.api.create(Peer(far, "stuck").document())
    port = created["status"]["udp_port"]
    rules = f"table inet stuck {{ chain output {{ type filter hook output priority 0; udp sport {port} drop; }}; }}"
    home.run("nft", "-f", "-", input=rules)
    try:
        host, proxy_port = proxy_address(created)
        words = ("-f", "-x", f"http://{host}:{proxy_port}", f"http://{FAR_INNER}/hello")
        wait_until(lambda: curl(home, *words, check=False, timeout=2).returncode == 0, timeout=75, interval=0.5, what="another socket is used")
        assert daemon.api.get("/v1/tunnels/stuck")["status"]["udp_port"] != port
    finally:
        home.run("nft", "delete", "table", "inet", "stuck")


def test_endpoints_port_moves_under_traffic(home, far, daemon):
    """The operator changes the endpoint's port: in place, and the next client is served at once."""
    created = daemon.api.create(Peer(far, "port").document())
    host, port = proxy_address(created)
    words = ("-f", "-x", f"http://{host}:{port}", f"http://{FAR_INNER}/hello")
    assert curl(home, *words).returncode == 0
    far.wg("set", far.interface, "listen-port", "51999")
    try:
        peer = {"public_key": far.public_key, "endpoint": f"{far.outer}:51999", "allowed_ips": ["0.0.0.0/0", "::/0"]}
        assert daemon.api.patch("port", {"spec": {"peers": [peer]}})["applied"] == "in_place"
        changed = time.monotonic()
        assert curl(home, *words, timeout=RECOVERY).returncode == 0
        assert time.monotonic() - changed < RECOVERY / 2
    finally:
        far.wg("set", far.interface, "listen-port", "51820")


# S1 to S12 of docs/promises.md, named after the original faults.

def test_close_releases_the_device_at_once(pair):
    daemon, far, near = pair
    with Connection(proxy_address(near)) as held:
        assert held.http_connect(f"{INNER}:80")[0] == 200
        daemon.api.delete("near")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("0.0.0.0", near["status"]["udp_port"]))
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(proxy_address(near), 2)
            assert held.is_at_end()
            sock.settimeout(1)
            with pytest.raises(TimeoutError):
                sock.recv(100)


def test_close_twice(pair):
    daemon, _, _ = pair
    daemon.api.delete("near")
    daemon.api.delete("near", status=404)
    assert daemon.api.state("far") == "up"


def test_close_of_what_never_was(local_daemon):
    local_daemon.api.delete("nobody", status=404)


def test_configure_cleans_the_old(local_daemon):
    """Another key, peer, address and port: the old peer receives nothing more, and the old port is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as old, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as new:
        for sock in (old, new):
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(7)
        ends = Ends()
        created = local_daemon.api.create(ends.near(old.getsockname()[1]), wait_up=False)
        assert old.recv(1500)[0] == 1, "a handshake initiation"
        document = Ends().near(new.getsockname()[1])
        document["spec"]["proxy"] = {"listen": ["127.0.0.1:0"]}
        document["spec"]["interface"]["addresses"] = ["10.99.7.7"]
        descriptors = local_daemon.descriptors()
        local_daemon.api.put("near", document)
        old.setblocking(False)
        while True:
            try:
                old.recv(1500)
            except BlockingIOError:
                break
        old.settimeout(6)   # longer than the pace of handshakes
        assert new.recv(1500)[0] == 1
        with pytest.raises(TimeoutError):
            old.recv(1500)
        assert local_daemon.descriptors() <= descriptors
        assert created["id"] == "near"


def test_configure_twice_on_the_same_port(local_daemon, page_server):
    api, ends = local_daemon.api, Ends()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    far = api.create(ends.far(page_server.address), wait_up=False)
    document = ends.near(far["status"]["udp_port"], proxy={"listen": [f"127.0.0.1:{port}"]})
    generations = set()
    for mtu in (1420, 1300, 1400):
        document["spec"]["interface"]["mtu"] = mtu
        reply = api.put("near", document)
        generations.add(reply["generation"])
        assert reply["status"]["listen"] == [f"127.0.0.1:{port}"]
        wait_until(lambda: _works(("127.0.0.1", port)), timeout=RECOVERY, what="traffic through the new one")
    assert len(generations) == 3


def test_statistics_of_no_device(local_daemon):
    reply = local_daemon.api.request("GET", "/v1/tunnels/nobody/stats")
    assert (reply.status, reply.code) == (404, "not_found")
    assert local_daemon.api.get("/v1/stats")["tunnels"] == []


def test_statistics_after_close(pair):
    daemon, _, _ = pair
    assert daemon.api.stats("near")["state"] == "up"
    daemon.api.delete("near")
    assert daemon.api.request("GET", "/v1/tunnels/near/stats").status == 404
    assert [tunnel["id"] for tunnel in daemon.api.get("/v1/stats")["tunnels"]] == ["far"]


def test_a_port_conflict_is_found_synchronously(local_daemon):
    document = Ends().near(9)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        document["spec"]["proxy"] = {"listen": [f"127.0.0.1:{taken.getsockname()[1]}"]}
        reply = local_daemon.api.request("POST", "/v1/tunnels", document)
        assert (reply.status, reply.code, reply.pointers) == (409, "listener_in_use", ["/spec/proxy/listen/0"])
        assert local_daemon.api.get("/v1/tunnels")["tunnels"] == []
    assert local_daemon.api.create(document, wait_up=False)["status"]["listen"] == document["spec"]["proxy"]["listen"]
