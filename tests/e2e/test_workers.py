"""A worker crashes or hangs: its tunnels come back on the same ports, and other workers' tunnels are not affected."""

import os
import signal
import time

import pytest

from harness.clients import Connection, Download, fetch_page, random_file
from harness.farend import INNER
from harness.process import is_alive, wait_until
from harness.spec import Peer, proxy_address


@pytest.fixture
def spread(home, make_daemon, far):
    """A daemon with two workers and a tunnel on each: (daemon, {worker index: tunnel})."""
    daemon = make_daemon(namespace=home, arguments=["--workers", "2"]).start()
    tunnels = {}
    for number in range(8):
        created = daemon.api.create(Peer(far, f"t{number}").document())
        tunnels.setdefault(created["status"]["worker"], created)
        if len(tunnels) == 2:
            return daemon, tunnels
    raise AssertionError("eight tunnels are all on one worker")


def _worker_pid(daemon, home, tunnel, other):
    """The process that runs a tunnel: the one whose CPU time or context switches grow under its traffic."""
    def activity(pid):
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
    pids = daemon.workers()
    assert len(pids) == 2
    before = {pid: activity(pid) for pid in pids}
    for _ in range(30):
        fetch_page(home, tunnel)
    return max(pids, key=lambda pid: activity(pid) - before[pid])


def _transfer(home, tunnel, name):
    proxy = proxy_address(tunnel)
    return Download(home, "-p", "-x", f"http://{proxy[0]}:{proxy[1]}", "--limit-rate", "20M", f"http://{INNER}/{name}")


def test_killed_worker_comes_back_and_others_lose_nothing(home, far, spread):
    daemon, tunnels = spread
    digest = random_file(far.path("steady"), 60 << 20)
    victim, other = tunnels[0], tunnels[1]
    pid = _worker_pid(daemon, home, victim, other)
    before = daemon.api.stats(victim["id"])
    hit, steady = _transfer(home, victim, "steady"), _transfer(home, other, "steady")
    wait_until(lambda: hit.bytes > 1 << 20 and steady.bytes > 1 << 20, what="both transfers run")
    os.kill(pid, signal.SIGKILL)
    assert hit.finish()[0] != 0
    wait_until(lambda: fetch_page(home, victim, check=False, timeout=2).returncode == 0, timeout=10, what="the tunnel is back on its port")
    code, got = steady.finish()
    assert (code, got) == (0, digest), steady.error
    status = daemon.api.get(f"/v1/tunnels/{victim['id']}/status")
    assert status["listen"] == victim["status"]["listen"] and status["udp_port"] == victim["status"]["udp_port"]
    after = daemon.api.stats(victim["id"])
    for member in ("bytes_received", "wire_bytes_received", "packets_received", "handshakes", "connections_total"):
        assert after[member] >= before[member], f"{member} stepped back"
    assert after["connections_open"] == 0
    assert "warren_worker_restarts_total 1" in daemon.api.expect(200, "GET", "/metrics").body.decode()


def test_connections_made_while_the_worker_is_away_are_served(home, far, spread):
    """The listening sockets outlive the worker: a client waits, and is never refused."""
    daemon, tunnels = spread
    pid = _worker_pid(daemon, home, tunnels[0], tunnels[1])
    for _ in range(5):
        victim = daemon.workers()
        os.kill(pid, signal.SIGKILL)
        assert fetch_page(home, tunnels[0], timeout=10).stdout == "hello from far end 0\n"
        pid = next(iter(set(daemon.workers()) - set(victim)), pid)


def test_hung_worker_is_replaced(home, far, spread):
    """A stopped process answers nobody but keeps its listeners; after 5 s it is replaced."""
    daemon, tunnels = spread
    pid = _worker_pid(daemon, home, tunnels[0], tunnels[1])
    os.kill(pid, signal.SIGSTOP)
    before = time.monotonic()
    assert daemon.api.stats(tunnels[0]["id"])["id"] == tunnels[0]["id"]
    assert time.monotonic() - before < 4, "statistics waited for a hung worker"
    assert fetch_page(home, tunnels[1]).returncode == 0
    wait_until(lambda: fetch_page(home, tunnels[0], check=False, timeout=2).returncode == 0, timeout=15, what="the hung worker is replaced")
    wait_until(lambda: not is_alive(pid), what="the hung worker is gone")


def test_delete_on_a_hung_worker(home, far, spread):
    """Delete is complete when it returns, even if the worker cannot be asked."""
    daemon, tunnels = spread
    pid = _worker_pid(daemon, home, tunnels[0], tunnels[1])
    os.kill(pid, signal.SIGSTOP)
    before = time.monotonic()
    daemon.api.delete(tunnels[0]["id"])
    assert time.monotonic() - before < 20
    with pytest.raises(OSError):
        Connection(proxy_address(tunnels[0]), home, timeout=2)


def test_worker_killed_again_and_again(home, far, spread):
    daemon, tunnels = spread
    for _ in range(10):
        for pid in daemon.workers():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: fetch_page(home, tunnels[0], check=False, timeout=2).returncode == 0, timeout=10, what="tunnel 0 works")
        wait_until(lambda: fetch_page(home, tunnels[1], check=False, timeout=2).returncode == 0, timeout=10, what="tunnel 1 works")


def test_workers_die_with_the_daemon(home, far, spread):
    daemon, _ = spread
    daemon.kill()
    assert daemon.process.wait(5) is not None
