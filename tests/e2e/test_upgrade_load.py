"""Programs of two versions take each other's place under load: downloads, CONNECTs, an upload, an event stream, writes and statistics.

WARREN_E2E_UPGRADES sets how often (100 before a release); `pytest -s` shows what was reached."""

import http.client
import os
import threading
import time

import pytest

from harness.clients import Connection, Download, curl, random_file, sha256_of
from harness.daemon import binary
from harness.events import Reader
from harness.farend import INNER
from harness.process import is_alive, wait_until
from harness.spec import Peer, proxy_address
from harness.upgrade import built, upgrade

UPGRADES = int(os.environ.get("WARREN_E2E_UPGRADES", 3))
TUNNELS, DOWNLOADS, CONNECTS_PER_SECOND = 4, 8, 200
REKEY_AFTER = 120   # WireGuard paper, section 6.1


class Work(threading.Thread):
    """One thing that is done again and again until all are told to end, inside the namespace; what went wrong is in `faults`."""

    def __init__(self, namespace, ends, step, per_second=0):
        super().__init__(daemon=True)
        self.namespace, self.ends, self.step, self.pause = namespace, ends, step, 1 / per_second if per_second else 0
        self.done, self.faults = 0, []
        self.start()

    def run(self):
        with self.namespace.entered():
            self.repeat()

    def repeat(self):
        due = time.monotonic()
        while not self.ends.wait(max(0, due - time.monotonic())):
            due = max(due + self.pause, time.monotonic() - 1)
            try:
                self.step()
                self.done += 1
            except Exception as fault:   # pylint: disable=broad-except
                self.faults.append(fault)


class Load:
    def __init__(self, home, far, daemon):
        self.home, self.far, self.daemon = home, far, daemon
        self.peers = [Peer(far, f"t{number}") for number in range(TUNNELS)]
        self.proxies = [proxy_address(daemon.api.create(peer.document())) for peer in self.peers]
        self.written, self.refused, self.bytes, self.events = 0, 0, [0] * TUNNELS, []
        self.ends = threading.Event()
        self.digest = random_file(far.path("upgraded"), 8 << 20)
        self.upload = f"{daemon.directory}/upload"
        self.upload_digest = random_file(self.upload, 8 << 20)
        self.work = {
            "downloads": [self.start(self.fetch, self.proxies[number % TUNNELS]) for number in range(DOWNLOADS)],
            "connects": [self.start(self.connect, proxy, per_second=CONNECTS_PER_SECOND / TUNNELS) for proxy in self.proxies],
            "uploads": [self.start(self.send, self.proxies[0])],
            "streams": [self.start(self.read_events)],
            "writes": [self.start(self.write, per_second=50)],
            "statistics": [self.start(self.read_statistics, per_second=50)],
        }

    def start(self, step, *arguments, per_second=0):
        return Work(self.home, self.ends, lambda: step(*arguments), per_second)

    def fetch(self, proxy):
        download = Download(None, "-f", "-p", "-x", f"http://{proxy[0]}:{proxy[1]}", "--limit-rate", "2M", f"http://{INNER}/upgraded")
        assert download.finish() == (0, self.digest), download.error

    def connect(self, proxy):
        with Connection(proxy) as connection:
            assert connection.http_connect(f"{INNER}:80")[0] == 200
            connection.send(f"GET /hello HTTP/1.1\r\nHost: {INNER}\r\nConnection: close\r\n\r\n".encode())
            assert connection.read_all().endswith(b"hello from far end 0\n")

    def send(self, proxy):
        curl(None, "-f", "-p", "-x", f"http://{proxy[0]}:{proxy[1]}", "--limit-rate", "2M", "-T", self.upload, f"http://{INNER}/put/upgraded")
        assert sha256_of(self.far.path("put/upgraded")) == self.upload_digest

    def ask(self, method, path, body=None):
        """None: the connection was closed before an answer, or the answer says that it is to be sent again."""
        try:
            reply = self.daemon.api.request(method, path, body)
        except (OSError, http.client.HTTPException):
            reply = None
        if reply is None or reply.status == 503 and reply.headers.get("Retry-After"):
            self.refused += 1
            return None
        assert reply.status == 200, reply
        return reply.json

    def write(self):
        number = self.written + 1
        while not self.ask("PATCH", f"/v1/tunnels/t{number % TUNNELS}", {"labels": {"n": str(number)}}):
            pass
        self.written = number

    def check_written(self):
        """The last write of each tunnel that was acknowledged, or a later one."""
        acknowledged = self.written
        for number in range(max(1, acknowledged - TUNNELS + 1), acknowledged + 1):
            assert int(self.daemon.api.get(f"/v1/tunnels/t{number % TUNNELS}")["labels"]["n"]) >= number

    def read_statistics(self):
        for number in range(TUNNELS):
            stats = self.ask("GET", f"/v1/tunnels/t{number}/stats")
            if stats:
                assert stats["wire_bytes_received"] >= self.bytes[number], "a counter went back"
                self.bytes[number] = stats["wire_bytes_received"]

    def read_events(self):
        """Until the program ends that sends them; the next call goes on where this one ended."""
        try:
            reader = Reader(self.daemon, f"?since={self.events[-1]['id']}" if self.events else "")
        except OSError:
            return
        while reader.is_alive() and not self.ends.wait(0.05):
            pass
        if reader.is_alive():
            reader.close()
        self.events += reader.numbered()

    def read_last_events(self):
        """Those that came after the last reader ended."""
        reader = Reader(self.daemon, f"?since={self.events[-1]['id']}")
        wait_until(lambda: sum(event["type"] == "daemon.upgraded" for event in self.events + reader.numbered()) == UPGRADES, what="the last upgrade's event")
        reader.close()
        self.events += reader.numbered()

    def handshakes(self):
        return {peer.id: self.far.peer(peer.key.public)["latest_handshake"] for peer in self.peers}

    def progress(self):
        return {name: sum(work.done for work in works) for name, works in self.work.items()}

    def faults(self):
        return [f"{name}: {fault!r}" for name, works in self.work.items() for work in works for fault in work.faults]

    def wait_for_more(self, before):
        """What takes less than a second has been done again."""
        def has_more():
            assert not self.faults()
            return all(self.progress()[name] > before[name] for name in ("connects", "writes", "statistics"))
        wait_until(has_more, what="the load goes on")

    def end(self):
        self.ends.set()
        for works in self.work.values():
            for work in works:
                work.join(60)


@pytest.fixture
def load(home, far, make_own):
    load = Load(home, far, make_own(namespace=home, arguments=["--workers", "2"]))
    try:
        load.wait_for_more(load.progress())
        yield load
    finally:
        load.end()


def _upgrade_once(load, program):
    """A rekey during it is due by age alone."""
    before, handshakes, started = load.progress(), load.handshakes(), time.time()
    upgrade(load.daemon, program)
    took = time.time() - started
    load.wait_for_more(before)
    load.check_written()
    for id, latest in load.handshakes().items():
        assert latest == handshakes[id] or started - handshakes[id] > REKEY_AFTER - 10, f"{id} has a new handshake"
    return took


def test_nothing_is_lost_by_upgrades(load):
    """P5, and S12 for a whole program: same process, same workers; no connection, hash, handshake, event or acknowledged write is lost."""
    daemon = load.daemon
    pid, workers, started = daemon.pid, daemon.workers(), time.monotonic()
    descriptors, first, took = daemon.descriptors(), load.progress(), []
    kept = Connection(load.proxies[1], load.home, timeout=30)
    kept.http_connect(f"{INNER}:80")
    for number in range(UPGRADES):
        took.append(_upgrade_once(load, built("warrend_other") if number % 2 == 0 else binary()))
        info = daemon.api.get("/v1/info")
        assert info["version"] == ("0.1.0-other" if number % 2 == 0 else "0.1.0")
        assert {worker["version"] for worker in info["workers"]} == {"0.1.0"}
        assert daemon.workers() == workers and is_alive(pid)
        kept.send(f"GET /hello HTTP/1.1\r\nHost: {INNER}\r\n\r\n".encode())
        assert kept.read_reply()[2] == b"hello from far end 0\n", "the same connection all the time"
    seconds = time.monotonic() - started
    kept.close()
    load.end()
    assert not load.faults()
    load.read_last_events()
    numbers = [event["id"] for event in load.events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "no event is missing"
    assert sum(event["type"] == "daemon.upgraded" for event in load.events) == UPGRADES
    wait_until(lambda: daemon.descriptors() <= descriptors, what="no descriptor is left over")
    assert "worker_restarts_total 0" in daemon.api.expect(200, "GET", "/metrics").body.decode()
    made = {name: count - first[name] for name, count in load.progress().items()}
    print(f"\n{UPGRADES} upgrades in {seconds:.0f} s, each {1000 * min(took):.0f} to {1000 * max(took):.0f} ms: {made}, "
          f"{made['connects'] / seconds:.0f} CONNECTs/s, {load.refused} requests sent again")
