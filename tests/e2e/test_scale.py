"""Thousands of tunnels in one daemon: how fast they come and go, and how fast the API answers while traffic runs. Prints figures and
judges none of them but what must hold at any size. WARREN_E2E_TUNNELS sets the number; 8,000 fit in 20,000 descriptors."""

import os
import signal
import subprocess
import sys
import threading
import time

from harness import clock, process
from harness.loop import INNER, Ends, create_pair, pages
from harness.process import wait_until
from harness.spec import proxy_address

TUNNELS = int(os.environ.get("WARREN_E2E_TUNNELS", "300"))
BATCH = 250


def _say(what, value):
    sys.stderr.write(f"scale: {TUNNELS} tunnels: {what}: {value}\n")


def _batch(session, documents):
    operations = [{"method": "POST", "path": "/v1/tunnels", "body": document} for document in documents]
    results = session.expect(200, "POST", "/v1/batch", {"atomic": True, "operations": operations}).json["results"]
    assert [result["status"] for result in results] == [201] * len(documents), next(r for r in results if r["status"] != 201)
    return [result["body"] for result in results]


def _create_all(api):
    """Creates pairs in batches, and one in ten singly; returns the seconds per tunnel of each."""
    ends = [Ends(number) for number in range(TUNNELS // 2)]
    single = ends[:len(ends) // 10]
    batched = alone = 0.0
    with api.session() as session:
        for start in range(len(single), len(ends), BATCH):
            some = ends[start:start + BATCH]
            before = time.monotonic()
            far = _batch(session, [pair.far() for pair in some])
            _batch(session, [pair.near(tunnel["status"]["udp_port"]) for pair, tunnel in zip(some, far)])
            batched += time.monotonic() - before
        for pair in single:
            before = time.monotonic()
            far = session.expect(201, "POST", "/v1/tunnels", pair.far()).json
            session.expect(201, "POST", "/v1/tunnels", pair.near(far["status"]["udp_port"]))
            alone += time.monotonic() - before
    _say("created a second, in atomic batches", round(2 * (len(ends) - len(single)) / batched))
    _say("created a second, one by one", round(2 * len(single) / alone))


class Traffic:
    """curl in a loop through one pair."""

    def __init__(self, proxy):
        argv = ["sh", "-c", f"while curl -sS --noproxy '' -o /dev/null -x http://{proxy[0]}:{proxy[1]} http://{INNER}/ -w '%{{speed_download}}\\n'; do :; done"]
        self.popen = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, preexec_fn=process.die_with_parent)
        self.speeds = []
        self.thread = threading.Thread(target=lambda: self.speeds.extend(float(line) for line in self.popen.stdout), daemon=True)
        self.thread.start()

    def stop(self):
        self.popen.kill()
        self.popen.wait()
        self.thread.join(20)


def _measure(api, when):
    with api.session() as session:
        for path, count in (("/v1/tunnels?view=full", 20), ("/v1/tunnels?view=full&page_size=1000", 10), ("/v1/stats", 10), ("/metrics", 10)):
            took = session.times_ms(path, count)
            _say(f"{path}, {when}, ms", f"median {took[len(took) // 2]:.1f}, worst {took[-1]:.1f}")
        took = session.times_ms("/v1/tunnels/near0", 2000)
        _say(f"one GET, {when}, ms", f"p50 {took[1000]:.2f}, p99 {took[1980]:.2f}, worst {took[-1]:.2f}")


def test_scale(make_daemon):
    daemon = make_daemon().start()
    api = daemon.api
    family = daemon.family()
    before = {pid: process.resident_kilobytes(pid) for pid in family}
    _create_all(api)
    started = time.monotonic()
    wait_until(lambda: len(api.get("/v1/tunnels?state=up&page_size=1000")["tunnels"]) == min(1000, TUNNELS // 2 * 2) and
               all(t["state"] == "up" for t in api.get("/v1/stats")["tunnels"]), timeout=120, interval=0.5, what="all are up")
    _say("all up after the last was made, s", f"{time.monotonic() - started:.1f}")
    grown = [process.resident_kilobytes(pid) - before[pid] for pid in family]
    _say("resident kB a tunnel", f"control {grown[0] / TUNNELS:.1f}, workers {sum(grown[1:]) / TUNNELS:.1f}")
    _say("descriptors", f"control {process.descriptors(daemon.pid)}, all {daemon.descriptors()}")
    assert len(api.get("/v1/stats")["tunnels"]) == TUNNELS // 2 * 2
    _measure(api, "idle")
    with pages(size=1 << 30) as server:
        _, near = create_pair(api, Ends("-traffic"), server.address)
        traffic = Traffic(proxy_address(near))
        wait_until(lambda: api.stats("near-traffic")["bytes_received"] > 1 << 20, what="traffic runs")
        _measure(api, "full speed")
        received, since = api.stats("near-traffic")["bytes_received"], time.monotonic()
        clock.let_pass(2, "traffic is measured")
        _say("traffic, Mbit/s", f"{8e-6 * (api.stats('near-traffic')['bytes_received'] - received) / (time.monotonic() - since):.0f}")
        traffic.stop()
    _end(daemon)


def _wait_all_up(daemon, count, ids=""):
    """All whose id starts with `ids` are up, none is lost, and none has failed for want of descriptors that others held for a moment."""
    def are_up():
        states = {tunnel["id"]: tunnel["state"] for tunnel in daemon.api.get("/v1/stats")["tunnels"]}
        failed = [id for id, state in states.items() if state == "failed"]
        assert len(states) == count and not failed, f"{len(failed)} of {len(states)} have failed"
        return {state for id, state in states.items() if id.startswith(ids)} == {"up"}
    wait_until(are_up, timeout=120, interval=0.2, what="all are up")


def _end(daemon):
    """A worker's death, a restart with all tunnels, then their deletion."""
    count = TUNNELS // 2 * 2 + 2
    before = time.monotonic()
    workers = daemon.workers()
    os.kill(workers[0], signal.SIGKILL)
    wait_until(lambda: workers[0] not in daemon.workers() and len(daemon.workers()) == len(workers), what="another worker has come")
    wait_until(lambda: daemon.api.request("GET", "/readyz").status == 200, timeout=60, what="ready again")
    # A far tunnel, which has no endpoint, waits until its peer has something to send.
    _wait_all_up(daemon, count, "near")
    _say("all up after a worker's death, s", f"{time.monotonic() - before:.2f}")
    _say("SIGTERM, s", f"{daemon.stop(limit=30):.2f}")
    before = time.monotonic()
    daemon.start(timeout=60)
    wait_until(lambda: daemon.api.request("GET", "/readyz").status == 200, timeout=60, what="ready again")
    _say("start with all, s", f"{time.monotonic() - before:.2f}")
    _wait_all_up(daemon, count)
    _say("all up after the start, s", f"{time.monotonic() - before:.2f}")
    before = time.monotonic()
    assert daemon.api.expect(200, "DELETE", "/v1/tunnels").json["deleted"] == count
    _say("deleted all, s", f"{time.monotonic() - before:.2f}")
