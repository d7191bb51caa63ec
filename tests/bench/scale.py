"""What this program alone is measured for: thousands of tunnels, thousands of connections, two workers, the API under load, and both
ends of a transfer its own. Each function returns figures by name."""

import json
import os
import re
import resource
import statistics
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f"{os.path.dirname(HERE)}/e2e")

from harness import process  # noqa: E402
from harness.daemon import Daemon  # noqa: E402
from harness.loop import Ends  # noqa: E402
from harness.process import wait_until  # noqa: E402
import subjects  # noqa: E402

ACTIVE = 8
LOOP_TUNNEL = ("10.99.0.1", 80)


def family_cpu(daemon):
    return sum(process.cpu_seconds(pid) for pid in daemon.family())


SLABS = {"TCP", "TCPv6", "UDP", "UDPv6", "sock_inode_cache", "filp", "eventpoll_epi"}


def slab_bytes():
    """What the kernel holds for sockets, but for their names' 0.2 KB each; None where only root may read it."""
    try:
        with open("/proc/slabinfo", encoding="ascii") as file:
            rows = [line.split() for line in file]
    except OSError:
        return None
    return sum(int(row[1]) * int(row[3]) for row in rows if row[0] in SLABS)


def tunnels_that_fit(wanted):
    """Two descriptors a tunnel in the control process; the hard limit decides."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return wanted if hard >= 32768 else min(wanted, hard * 2 // 5)


def _list_all(session, what):
    """Every tunnel or connection, by pages of 1,000; milliseconds."""
    before, token = time.perf_counter(), ""
    while True:
        body = session.expect(200, "GET", f"/v1/{what}?page_size=1000" + (f"&page_token={token}" if token else "")).body
        token = re.search(rb'"next_page_token":"([^"]*)"\}\s*$', body)[1].decode()
        if not token:
            return 1000 * (time.perf_counter() - before)


def _create_pairs(session, pairs):
    """One by one; the seconds that it took, the making of keys left out."""
    before = time.perf_counter()
    for ends in pairs:
        far = session.expect(201, "POST", "/v1/tunnels", ends.far()).json
        session.expect(201, "POST", "/v1/tunnels", ends.near(far["status"]["udp_port"]))
    return time.perf_counter() - before


def tunnels(directory, memory_of, count, idle_seconds):
    """`count` tunnels in pairs, all up, then left alone."""
    count = tunnels_that_fit(count)
    pairs = [Ends(f"-{number}") for number in range(count // 2)]
    daemon = Daemon(directory).start()
    try:
        empty, slab = memory_of(daemon.family()), slab_bytes()
        with daemon.api.session() as session:
            figures = {"tunnels": count, "create_s": _create_pairs(session, pairs)}
            wait_until(lambda: all(t["state"] == "up" for t in session.get("/v1/stats")["tunnels"]), timeout=300, interval=0.5, what="all are up")
            time.sleep(5)
            used = memory_of(daemon.family())
            figures |= {"memory_mb": used / 1e6, "user_kb_a_tunnel": (used - empty) / count / 1e3, "kernel_kb_a_tunnel": None if slab is None else (slab_bytes() - slab) / count / 1e3}
            figures["list_ms"] = statistics.median(_list_all(session, "tunnels") for _ in range(5))
            for name, path in (("stats_ms", "/v1/stats"), ("metrics_ms", "/metrics")):
                figures[name] = statistics.median(session.times_ms(path, 5))
        before = family_cpu(daemon)
        time.sleep(idle_seconds)
        figures["idle_cpu_percent"] = 100 * (family_cpu(daemon) - before) / idle_seconds
        before = time.perf_counter()
        daemon.api.expect(200, "DELETE", "/v1/tunnels")
        figures["delete_s"] = time.perf_counter() - before
        return figures
    finally:
        daemon.process.stop()


def _exchange(world, subject, memory_of, connections, seconds):
    """µs of CPU for an exchange on one of so many connections, the KB of user memory that each of them takes, and the ms to list them."""
    empty = memory_of(subject.pids())
    argv = [world.load, "hold", subject.host, str(subject.port), subject.proxy, str(connections), str(ACTIVE), str(seconds)]
    popen = subprocess.Popen(world.home.command(argv) if world.home else argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                             preexec_fn=process.die_with_parent)
    assert popen.stdout.readline() == "held\n", "the connections could not be made"
    time.sleep(0.5)
    kilobytes = (memory_of(subject.pids()) - empty) / connections / 1e3
    with subject.daemon.api.session() as session:
        listed = statistics.median(_list_all(session, "connections") for _ in range(5))
    before = family_cpu(subject.daemon)
    result = json.loads(popen.communicate("\n", timeout=300)[0])
    assert result["errors"] == 0 and popen.returncode == 0, result
    return 1e6 * (family_cpu(subject.daemon) - before) / result["count"], kilobytes, listed


def connections(world, subject, memory_of, many, seconds):
    """An exchange on one of 10 connections, and on one of many; all of them listed."""
    subject.daemon.api.patch("bench", {"spec": {"limits": {"connections": 0}}})
    few, _, _ = _exchange(world, subject, memory_of, 10, seconds)
    cpu, kilobytes, listed = _exchange(world, subject, memory_of, many, seconds)
    return {"connections": many, "exchange10_us": few, "exchange_many_us": cpu, "user_kb_a_connection": kilobytes, "list_connections_ms": listed}


def api_under_load(world, subject, count):
    """The time of a GET while a stream runs at full speed, ms."""
    running = threading.Event()

    def traffic():
        while not running.is_set():
            world.run("stream", subject.host, subject.port, subject.proxy, "down", int(1e9), 1)
    thread = threading.Thread(target=traffic)
    thread.start()
    try:
        before = subject.daemon.api.stats("bench")["bytes_received"]
        wait_until(lambda: subject.daemon.api.stats("bench")["bytes_received"] > before + (1 << 24), what="traffic runs")
        with subject.daemon.api.session() as session:
            took = session.times_ms("/v1/tunnels/bench", count)
    finally:
        running.set()
        thread.join()
    return {"get_p50_ms": took[count // 2], "get_p99_ms": took[count * 99 // 100]}


class Loop:
    """A daemon of its own with pairs of tunnels over loopback: both ends ours. The load server stands behind each far end."""

    def __init__(self, world, directory, pairs, workers):
        self.world = world
        self.daemon = Daemon(directory, arguments=["--workers", str(workers)]).start()
        self.server = process.Process([world.load, "serve", "127.0.0.1", "0"], f"{directory}/serve.log")
        port = int(wait_until(lambda: self.server.log().strip(), what="the load server listens"))
        self.proxies = []
        for number in range(pairs):
            ends = Ends(f"-{number}")
            far = self.daemon.api.create(ends.far(("127.0.0.1", port)), wait_up=False)
            self.proxies.append(self.daemon.api.create(ends.near(far["status"]["udp_port"]))["status"]["listen"][0])

    def gbit(self, way, seconds):
        """All pairs at once, one stream each: Gbit/s together, and CPU-seconds a GB."""
        def transfer(proxy, size):
            argv = [self.world.load, "stream", *map(str, LOOP_TUNNEL), proxy, way, str(int(size)), "1"]
            return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, preexec_fn=process.die_with_parent)

        def all_at_once(size):
            before, started = family_cpu(self.daemon), time.perf_counter()
            for popen in [transfer(proxy, size) for proxy in self.proxies]:
                assert popen.wait(300) == 0
                popen.stdout.close()
            return time.perf_counter() - started, (family_cpu(self.daemon) - before) / (size * len(self.proxies) / 1e9)
        size = 64e6
        while (took := all_at_once(size)[0]) < 0.4:
            size *= 4
        size *= seconds / took
        took, cpu = all_at_once(size)
        return len(self.proxies) * size * 8 / took / 1e9, cpu

    def close(self):
        self.daemon.process.stop()
        self.server.stop()


def both_ends(world, directory, runs, seconds, line):
    """Ours against ours on two workers, in turn with the line of AEAD and system calls that does nothing else."""
    loop = Loop(world, directory, 1, 2)
    try:
        ours, cpu, lines = [], [], []
        for _ in range(runs):
            for way in ("up", "down"):
                gbit, cost = loop.gbit(way, seconds)
                ours.append(gbit)
                cpu.append(cost)
            lines.append(line(seconds))
        return {"both_ends_gbit": statistics.median(ours), "both_ends_cpu": statistics.median(cpu), "line_gbit": statistics.median(lines)}
    finally:
        loop.close()


def workers(world, directory, runs, seconds):
    """Two workers with two busy pairs against one with one."""
    figures = {}
    for count in (1, 2):
        os.makedirs(f"{directory}/{count}")
        loop = Loop(world, f"{directory}/{count}", count, count)
        try:
            results = [loop.gbit("up", seconds) for _ in range(runs)]
        finally:
            loop.close()
        figures[f"workers{count}_gbit"] = statistics.median(gbit for gbit, _ in results)
        figures[f"workers{count}_cpu"] = statistics.median(cpu for _, cpu in results)
    return figures


def subject(world, directory):
    """This program with its tunnel to the far end, for the measures above."""
    one = subjects.Warren(world, directory)
    why = one.start()
    assert not why, why
    return one
