"""Measures this program and its peers in one run: tables, each goal beside its figure, and bench-results.json.

Three parts: the peers' table against one far end; what the data path is made of; and this program alone with thousands of tunnels and
connections, two workers, and the API under load.

Each figure is the median of several runs, taken in turn, so that a slow minute of the machine hits all alike. What cannot be had
here is a column that says why. As root the far end is the newest wireguard-go with a TUN device in a namespace of its own; without
root this program is measured alone, two of its tunnels over loopback."""

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
sys.path.insert(0, f"{ROOT}/tests/e2e")
sys.dont_write_bytecode = True

from harness import namespace, process, tools  # noqa: E402
from harness.farend import FarEnd  # noqa: E402
from harness.namespace import Namespace  # noqa: E402
import scale  # noqa: E402
import subjects  # noqa: E402

WINDOW = 64  # datagrams on their way
DATAGRAMS = {"udp64": 64, "udp512": 512, "udpmix": 0}

MEASURES = [
    ("down_gbit", "Gbit/s, one stream down", "{:.2f}"),
    ("up_gbit", "Gbit/s, one stream up", "{:.2f}"),
    ("down_cpu", "CPU-seconds a GB, down", "{:.2f}"),
    ("up_cpu", "CPU-seconds a GB, up", "{:.2f}"),
    ("mtu1280_down_cpu", "the same with an MTU of 1,280, down", "{:.2f}"),
    ("mtu1280_up_cpu", "the same with an MTU of 1,280, up", "{:.2f}"),
    ("mtu576_down_cpu", "the same with an MTU of 576, down", "{:.2f}"),
    ("mtu576_up_cpu", "the same with an MTU of 576, up", "{:.2f}"),
    ("down_calls", "system calls a MB, down", "{:.1f}"),
    ("up_calls", "system calls a MB, up", "{:.1f}"),
    ("down_wakeups", "wake-ups a MB, down", "{:.1f}"),
    ("up_wakeups", "wake-ups a MB, up", "{:.1f}"),
    ("hop_down_cpu", "CPU-seconds a GB through two tunnels, down", "{:.2f}"),
    ("hop_up_cpu", "CPU-seconds a GB through two tunnels, up", "{:.2f}"),
    ("down64_cpu", "CPU-seconds a GB, 64 streams down", "{:.2f}"),
    ("up64_cpu", "CPU-seconds a GB, 64 streams up", "{:.2f}"),
    ("connects", "CONNECT, exchange, close: a second", "{:.0f}"),
    ("connect_cpu_us", "the same: µs of CPU each", "{:.0f}"),
    ("connect_p50_ms", "the same: p50, ms", "{:.2f}"),
    ("connect_p99_ms", "the same: p99, ms", "{:.2f}"),
    ("socks5", "SOCKS5, exchange, close: a second", "{:.0f}"),
    ("socks5_cpu_us", "the same: µs of CPU each", "{:.0f}"),
    ("socks5_p50_ms", "the same: p50, ms", "{:.2f}"),
    ("socks5_p99_ms", "the same: p99, ms", "{:.2f}"),
    ("http", "plain HTTP, kept alive: requests a second", "{:.0f}"),
    ("http_cpu_us", "the same: µs of CPU each", "{:.0f}"),
    ("http_p50_ms", "the same: p50, ms", "{:.2f}"),
    ("http_p99_ms", "the same: p99, ms", "{:.2f}"),
    ("udp64", "UDP through SOCKS5, 64 bytes and back: a second", "{:.0f}"),
    ("udp64_cpu_us", "the same: µs of CPU each", "{:.1f}"),
    ("udp512", "the same with 512 bytes", "{:.0f}"),
    ("udp512_cpu_us", "the same: µs of CPU each", "{:.1f}"),
    ("udpmix", "the same with 64, 512 and 1,280 bytes, 7 : 4 : 1", "{:.0f}"),
    ("udpmix_cpu_us", "the same: µs of CPU each", "{:.1f}"),
    ("idle_mb", "MB resident, idle", "{:.1f}"),
    ("busy_mb", "MB resident, after one stream", "{:.1f}"),
    ("busy64_mb", "MB resident, after 64 streams", "{:.1f}"),
]


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two minutes: fewer and shorter runs")
    parser.add_argument("--runs", type=int, help="runs of each measure (default 5, quick 3)")
    parser.add_argument("--seconds", type=float, help="aim of one run (default 4, quick 0.6)")
    parser.add_argument("--part", action="append", default=[], choices=["peers", "parts", "scale"], help="this part alone")
    parser.add_argument("--only", action="append", default=[], choices=[kind.name for kind in subjects.ALL], help="this one alone")
    parser.add_argument("--output", default=f"{ROOT}/bench-results.json")
    options = parser.parse_args()
    options.runs = options.runs or (3 if options.quick else 5)
    options.seconds = options.seconds or (0.6 if options.quick else 4)
    options.part = options.part or ["peers", "parts", "scale"]
    return options


def build_load():
    """The load program, compiled when its source is newer."""
    os.makedirs(tools.TOOLS, exist_ok=True)
    source, program = f"{HERE}/load.c", f"{tools.TOOLS}/load"
    if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(source):
        process.run(["cc", "-O2", "-pthread", source, "-o", program])
    return program


class World:
    """Where the subjects and the load run (`home`), and the far end's load server."""

    def __init__(self, directory, load):
        self.directory, self.load = directory, load
        self.why = namespace.unavailable()
        self.far = self.home = None
        if not self.why:
            namespace.sweep()
            self.home = Namespace("bench")
            self._make_far()
        host = self.far_host = "127.0.0.1" if self.why else "10.77.0.1"
        argv = [load, "serve", host, "0"]
        log = f"{directory}/serve.log"
        self.server = self.far.namespace.start(argv, log) if self.far else process.Process(argv, log)
        self.port = process.wait_until(lambda: self.server.log().strip(), what="the load server listens")

    def _make_far(self):
        newest = tools.path("wireguard-go-newest")
        self.far_version = "newest" if newest else "packaged"
        os.makedirs(f"{self.directory}/far")
        self.far = FarEnd(self.home, 0, f"{self.directory}/far", "wireguard-go-newest" if newest else "wireguard-go")

    def run(self, *words, timeout=600):
        argv = [self.load, *map(str, words)]
        result = process.run(self.home.command(argv) if self.home else argv, timeout=timeout)
        return json.loads(result.stdout)

    def close(self):
        self.server.stop()
        if self.far:
            self.far.close()
        process.stop_all()
        namespace.close_all()


class Meter:
    """Runs the load through one subject and reads what it cost."""

    def __init__(self, world, subject, seconds):
        self.world, self.subject, self.seconds = world, subject, seconds
        self.figures = {}
        self.rates = {}

    def record(self, name, value):
        self.figures.setdefault(name, []).append(value)

    def cpu(self):
        return sum(process.cpu_seconds(pid) for pid in self.subject.pids())

    def memory(self):
        return sum(resident_bytes(pid) for pid in self.subject.pids()) / 1e6

    def _stream(self, way, size, streams, proxy):
        target = (self.subject.host, self.subject.port, proxy or "-")
        before = self.cpu()
        result = self.world.run("stream", *target, way, int(size), streams)
        time.sleep(0.05)
        return result["bytes"], result["seconds"], self.cpu() - before

    def stream(self, way, streams, pool=None):
        """One transfer of about the aimed time, its size found by a shorter one before the first run; through a pool if one is named."""
        key = (way, streams, pool)
        proxy = self.subject.pools[pool] if pool else self.subject.proxy
        if key not in self.rates:
            size = 4e6
            seconds = 0
            while seconds < 0.3:
                size *= 4
                transferred, seconds, _ = self._stream(way, size, streams, proxy)
            self.rates[key] = transferred / seconds
        size = max(self.rates[key] * self.seconds, 64 * 1000)
        transferred, seconds, cpu = self._stream(way, size, streams, proxy)
        prefix, suffix = f"{pool}_" if pool else "", "" if streams == 1 else str(streams)
        if streams == 1:
            self.record(f"{prefix}{way}_gbit", transferred * 8 / seconds / 1e9)
        self.record(f"{prefix}{way}{suffix}_cpu", cpu / (transferred / 1e9))
        if not pool:
            self.record(f"busy{suffix}_mb", self.memory())

    def smaller(self, way):
        """What the same costs in smaller packets."""
        if not self.subject.smaller:
            self.subject.make_smaller()
        for mtu, proxy in self.subject.smaller.items():
            transferred, _, cpu = self._stream(way, self._size(way) / 2, 1, proxy)
            self.record(f"mtu{mtu}_{way}_cpu", cpu / (transferred / 1e9))

    def _size(self, way):
        return max(self.rates[(way, 1, None)] * self.seconds, 64 * 1000)

    def calls(self, way):
        """System calls, where perf counts them, and wake-ups, of a stream that is not timed: counting costs time."""
        pids, log = self.subject.pids(), f"{self.subject.directory}/calls-{way}-{len(self.figures)}"
        counter = None
        if shutil.which("perf"):
            counter = process.Process(["perf", "stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", ",".join(map(str, pids))], log)
            time.sleep(0.3)
        before = wakeups(pids)
        transferred, _, _ = self._stream(way, self._size(way), 1, self.subject.proxy)
        self.record(f"{way}_wakeups", (wakeups(pids) - before) / (transferred / 1e6))
        if counter:
            counter.stop(number=signal.SIGINT)
            count = counter.log().split(",")[0]
            if count.isdigit():
                self.record(f"{way}_calls", int(count) / (transferred / 1e6))

    def hop(self, way):
        """What the same costs through two tunnels, one inside the other."""
        if not self.subject.hop:
            self.subject.make_hop()
        if not self.subject.hop:
            return
        transferred, _, cpu = self._stream(way, self._size(way) / 2, 1, self.subject.hop)
        self.record(f"hop_{way}_cpu", cpu / (transferred / 1e9))

    def exchanges(self, how, name, proxy=None):
        """Small exchanges by 8 clients: each on a fresh connection, or plain requests on kept ones."""
        proxy = proxy or (self.subject.socks_proxy if how == "socks5" else self.subject.proxy)
        if how == "socks5" and not proxy:
            return
        before = self.cpu()
        result = self.world.run("connects", self.subject.host, self.subject.port, proxy or "-", 8, self.seconds, how)
        cpu = self.cpu() - before
        if result["errors"]:
            self.record(f"{name}_errors", result["errors"])
        self.record("connects" if name == "connect" else name, result["count"] / result["seconds"])
        if self.subject.proxy:
            self.record(f"{name}_cpu_us", cpu * 1e6 / max(result["count"], 1))
        self.record(f"{name}_p50_ms", result["p50_ms"])
        self.record(f"{name}_p99_ms", result["p99_ms"])

    def datagrams(self, name):
        """Datagrams that come back, of one size or mixed: the smaller they are, the more the work for each counts."""
        subject = self.subject
        if not subject.carries_datagrams:
            return
        before = self.cpu()
        result = self.world.run("datagrams", subject.host, subject.port, subject.socks_proxy or "-", DATAGRAMS[name], WINDOW, self.seconds)
        self.record(name, result["count"] / result["seconds"])
        self.record(f"{name}_lost", result["lost"])
        self.record(f"{name}_cpu_us", (self.cpu() - before) * 1e6 / max(result["count"], 1))

    def pools(self):
        """One stream each way, and CONNECT, exchange, close, through a pool, on the tunnel's worker and on another."""
        if not self.subject.pools:
            self.subject.make_pools()
        for name, proxy in self.subject.pools.items():
            self.stream("down", 1, name)
            self.stream("up", 1, name)
            self.exchanges("connect", name, proxy)


def wakeups(pids):
    """How often threads waited and were woken."""
    count = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as file:
                count += next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))
    return count


def resident_bytes(pid):
    """The proportional share of resident memory: pages that processes share count once. A process that is not dumpable shows that to root
    alone; then it is all that is resident."""
    for path, member in ((f"/proc/{pid}/smaps_rollup", "Pss:"), (f"/proc/{pid}/status", "VmRSS:")):
        try:
            with open(path, encoding="ascii") as file:
                return next(int(line.split()[1]) * 1024 for line in file if line.startswith(member))
        except PermissionError:
            continue
    return 0


def measure(world, running, options):
    meters = [Meter(world, subject, options.seconds) for subject in running]
    failed = {}

    def turn(what, act):
        for meter in meters:
            if meter.subject.name in failed:
                continue
            progress(f"{what}: {meter.subject.name}")
            try:
                act(meter)
            except (AssertionError, subprocess.TimeoutExpired, OSError) as error:
                failed[meter.subject.name] = f"{what} failed: {str(error)[:300]}"

    turn("idle", lambda meter: meter.record("idle_mb", meter.memory()))
    for number in range(1, options.runs + 1):
        label = f"run {number} of {options.runs}, "
        turn(label + "down", lambda meter: meter.stream("down", 1))
        turn(label + "up", lambda meter: meter.stream("up", 1))
        for way in ("down", "up"):
            turn(f"{label}{way} in smaller packets", lambda meter, way=way: meter.smaller(way))
            turn(f"{label}{way}, counted", lambda meter, way=way: meter.calls(way))
            turn(f"{label}{way} through two", lambda meter, way=way: meter.hop(way))
        for how in ("connect", "socks5", "http"):
            turn(label + how, lambda meter, how=how: meter.exchanges(how, how))
        for name in DATAGRAMS:
            turn(label + name, lambda meter, name=name: meter.datagrams(name))
        turn(label + "pools", lambda meter: meter.pools())
    for number in range(1, options.runs + 1):
        label = f"run {number} of {options.runs}, 64 streams "
        turn(label + "down", lambda meter: meter.stream("down", 64))
        turn(label + "up", lambda meter: meter.stream("up", 64))
    progress("")
    return {meter.subject.name: {name: {"median": statistics.median(runs), "runs": runs} for name, runs in meter.figures.items()}
            for meter in meters}, failed


def progress(text):
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
    elif text:
        sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def processor():
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), platform.machine())
    except OSError:
        return platform.machine()


def table(results, missing):
    names = [kind.name for kind in subjects.ALL if kind.name in results or kind.name in missing]
    rows = [["", *names]]
    for key, label, form in MEASURES:
        row = [label]
        for name in names:
            figure = results.get(name, {}).get(key)
            row.append(form.format(figure["median"]) if figure else "–")
        rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(names) + 1)]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    lines += [f"{name}: {why}" for name, why in missing.items()]
    return "\n".join(lines)


def measure_peers(world, directory, options):
    running, missing = [], {}
    try:
        for kind in subjects.ALL:
            if options.only and kind.name not in options.only:
                continue
            progress(f"starting {kind.name}")
            subject = kind(world, f"{directory}/{kind.name.replace(' ', '-')}")
            why = subject.missing() or subject.start()
            if why:
                missing[kind.name] = why
            else:
                running.append(subject)
        results, failed = measure(world, running, options)
    finally:
        for subject in running:
            subject.stop()
    return results, {**missing, **failed}


def micro(seconds):
    return json.loads(process.run([f"{ROOT}/build/release/bench_micro", str(seconds)]).stdout)


def measure_parts(options):
    """The micro-benchmarks, each figure the median of its runs."""
    runs = []
    for number in range(options.runs):
        progress(f"parts, run {number + 1} of {options.runs}")
        netstack = json.loads(process.run([f"{ROOT}/build/release/bench_netstack", "1", "64", str(1 + options.seconds / 4)]).stdout)
        pool = json.loads(process.run([f"{ROOT}/build/release/bench_pool", str(options.seconds / 8)]).stdout)
        runs.append({**micro(options.seconds / 8), **netstack, **pool})
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def memory_of(pids):
    return sum(resident_bytes(pid) for pid in pids)


def measure_scale(world, directory, options):
    def folder(name):
        os.makedirs(f"{directory}/{name}")
        return f"{directory}/{name}"
    figures, quick = {}, options.quick
    progress("scale: tunnels")
    figures |= scale.tunnels(folder("tunnels"), memory_of, 1000 if quick else 10000, 5 if quick else 60)
    progress("scale: both ends")
    figures |= scale.both_ends(world, folder("ends"), options.runs, options.seconds, lambda seconds: micro(seconds)["line_gbit"])
    progress("scale: workers")
    figures |= scale.workers(world, folder("workers"), options.runs, options.seconds)
    subject = scale.subject(world, f"{directory}/alone")
    try:
        progress("scale: the API under load")
        figures |= scale.api_under_load(world, subject, 1000 if quick else 5000)
        progress("scale: connections")
        figures |= scale.connections(world, subject, memory_of, 1000 if quick else 10000, options.seconds)
    finally:
        subject.stop()
    return figures


PARTS = [
    ("seal_ns", "seal 1,420 bytes, ns"), ("open_ns", "open 1,420 bytes, ns"), ("seal64_ns", "seal 64 bytes, ns"),
    ("sodium_seal_ns", "seal 1,420 bytes by libsodium, ns"), ("udp_send_ns", "UDP send, one by one, ns a packet"),
    ("gso_send_ns", "UDP send in trains, ns a packet"), ("udp_receive_ns", "UDP receive, one by one, ns a packet"),
    ("gro_receive_ns", "UDP receive in trains, ns a packet"), ("tcp_write_ns", "local TCP write, 64 KB at once, ns a packet"),
    ("tcp_read_ns", "local TCP read, 64 KB at once, ns a packet"), ("segment_ns", "a TCP segment through two stacks, ns for both ends"),
    ("stack_bytes", "an idle stack, bytes"), ("connection_bytes", "an idle connection, bytes for both ends"),
    ("open_connection_us", "opening a connection through two stacks, µs for both ends"),
    ("pool_round_robin_ns", "a choice among 1,000 members in turn, ns"), ("pool_random_ns", "the same, at random"),
    ("pool_least_connections_ns", "the same, by connections"), ("pool_lowest_latency_ns", "the same, by latency"),
    ("pool_failover_ns", "the same, by order"), ("pool_name_ns", "a user name with parameters, and its choice, ns"),
    ("pool_sticky_ns", "a choice by one of 100,000 sticky keys, ns"), ("pool_key_bytes", "a sticky key of 24 bytes, bytes"),
    ("pool_rule_ns", "a match with 10,000 domains, ns"), ("pool_datagram_ns", "judging a datagram of an association by them, ns"),
]


def ratio(results, name, key):
    """Ours by a peer's, or None."""
    ours, theirs = results.get("warren", {}).get(key), results.get(name, {}).get(key)
    return ours["median"] / theirs["median"] if ours and theirs and theirs["median"] else None


def goals(document):
    """(what, figure or None, comparison, goal): what is aimed at, beside what was measured."""
    results, figures, parts = document.get("peers", {}), document.get("scale", {}), document.get("parts", {})
    ours = {key: figure["median"] for key, figure in results.get("warren", {}).items()}

    def of(one, other, by=figures):
        return by[one] / by[other] if by.get(one) and by.get(other) else None
    rows = []
    for way, wireproxy, tun in (("down", 1 / 7, 1 / 3), ("up", 1 / 14, 0.37)):
        rows += [(f"CPU a GB {way}, of wireproxy's", ratio(results, "wireproxy", f"{way}_cpu"), "<=", wireproxy),
                 (f"CPU a GB {way}, of wireguard-go's with a TUN", ratio(results, "wireguard-go TUN", f"{way}_cpu"), "<=", tun),
                 (f"CPU a GB {way} through two tunnels, of one", of(f"hop_{way}_cpu", f"{way}_cpu", ours), "<=", 1.8),
                 (f"CPU a GB {way}, 64 streams of one", of(f"{way}64_cpu", f"{way}_cpu", ours), "<=", 1.2)]
    rows += [
        ("both ends, Gbit/s, of what AEAD and system calls allow", of("both_ends_gbit", "line_gbit"), ">=", 0.7),
        ("CONNECT, exchange, close: µs of CPU", ours.get("connect_cpu_us"), "<=", 65),
        ("the same: p99, of wireproxy's", ratio(results, "wireproxy", "connect_p99_ms"), "<=", 0.5),
        ("  through a pool, member on the same worker: CPU, of the tunnel's port", of("pool_here_cpu_us", "connect_cpu_us", ours), "<=", 1.1),
        ("  the same: p99", of("pool_here_p99_ms", "connect_p99_ms", ours), "<=", 1.5),
        ("  through a pool, member on another worker: CPU, of the tunnel's port", of("pool_there_cpu_us", "connect_cpu_us", ours), "<=", 1.4),
        ("  the same: p99", of("pool_there_p99_ms", "connect_p99_ms", ours), "<=", 1.5),
    ]
    for way in ("down", "up"):
        for place, pool in (("the same worker", "pool_here"), ("another worker", "pool_there")):
            rows += [(f"one stream {way} through a pool, member on {place}: Gbit/s, of the tunnel's port",
                      of(f"{pool}_{way}_gbit", f"{way}_gbit", ours), ">=", 0.95),
                     ("  the same: CPU a GB", of(f"{pool}_{way}_cpu", f"{way}_cpu", ours), "<=", 1.05)]
    rows += [
        ("an idle tunnel, KB of user memory", figures.get("user_kb_a_tunnel"), "<=", 8),
        ("an idle tunnel, KB of kernel memory", figures.get("kernel_kb_a_tunnel"), "<=", 8),
        ("memory after 64 busy streams, MB", ours.get("busy64_mb"), "<=", 64),
    ]
    if "pool_rule_ns" in parts:
        rows += [
            ("a choice among 1,000 members, the slowest strategy, ns",
             max(parts[f"pool_{kind}_ns"] for kind in ("round_robin", "random", "least_connections", "lowest_latency", "failover")), "<=", 2000),
            ("a choice by one of 100,000 sticky keys, ns", parts["pool_sticky_ns"], "<=", 2000),
            ("  a key, bytes", parts["pool_key_bytes"], "<=", 200),
            ("a match with 10,000 domains, ns", parts["pool_rule_ns"], "<=", 1000),
        ]
    if "tunnels" in figures:
        share = figures["tunnels"] / 10000
        rows += [
            (f"{figures['tunnels']} tunnels created one by one, s", figures["create_s"], "<=", 10 * share),
            ("  listed, ms", figures["list_ms"], "<=", 100 * share),
            ("  memory in all, MB", figures["memory_mb"], "<=", 200 * share),
            ("  idle, % of a core", figures["idle_cpu_percent"], "<=", 1),
            (f"an exchange on one of {figures['connections']} connections, of one of 10", of("exchange_many_us", "exchange10_us"), "<=", 1.5),
            ("  all listed, ms", figures["list_connections_ms"], "<=", figures["connections"] / 200),
            ("2 workers and 2 pairs, Gbit/s, of 1 and 1" + (" (no cores are free for it here)" if os.cpu_count() < 8 else ""),
             of("workers2_gbit", "workers1_gbit"), ">=", 1.8),
            ("GET while traffic runs: p99, ms", figures["get_p99_ms"], "<=", 10),
        ]
    return rows


def goal_table(document):
    def is_met(figure, comparison, goal):
        return figure <= goal if comparison == "<=" else figure >= goal
    lines = ["| goal | figure | wanted | |", "|---|---|---|---|"]
    for what, figure, comparison, goal in goals(document):
        shown = "–" if figure is None else f"{figure:.3g}"
        verdict = "" if figure is None else "met" if is_met(figure, comparison, goal) else "missed"
        lines.append(f"| {what} | {shown} | {comparison} {goal:.3g} | {verdict} |")
    return "\n".join(lines)


def print_all(document, options):
    machine = document["machine"]
    print(f"{document['date']}, {machine['processor']}, {machine['cpus']} CPUs, Linux {machine['kernel']}; far end: {document['far_end']}; "
          f"medians of {options.runs}")
    if "peers" in document:
        print(table(document["peers"], document["missing"]))
    for name, label in PARTS if "parts" in document else []:
        print(f"{label}: {document['parts'][name]:.4g}")
    for name, figure in document.get("scale", {}).items():
        print(f"{name}: {'–' if figure is None else f'{figure:.4g}'}")
    print(goal_table(document))


def has_autogroups():
    try:
        with open("/proc/sys/kernel/sched_autogroup_enabled", encoding="ascii") as file:
            return file.read().strip() == "1"
    except OSError:
        return False


def main():
    options = arguments()
    started = time.time()
    subjects.end_like_interrupt()
    directory = tempfile.mkdtemp(prefix="warren-bench-")
    world = None
    try:
        world = World(directory, build_load())
        document = {
            "date": time.strftime("%Y-%m-%d", time.gmtime(started)),
            "machine": {"processor": processor(), "cpus": os.cpu_count(), "kernel": platform.release()},
            "far_end": "two tunnels of this program over loopback, both ends counted" if world.why else f"wireguard-go ({world.far_version}) with a TUN device",
            "runs": options.runs, "seconds_a_run": options.seconds}
        if "peers" in options.part:
            document["peers"], document["missing"] = measure_peers(world, directory, options)
        if "parts" in options.part:
            document["parts"] = measure_parts(options)
        if "scale" in options.part:
            document["scale"] = measure_scale(world, directory, options)
        document["seconds"] = round(time.time() - started)
    finally:
        if world:
            world.close()
        shutil.rmtree(directory, ignore_errors=True)
    progress("")
    with open(options.output, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.write("\n")
    print_all(document, options)
    if has_autogroups():
        print("kernel.sched_autogroup_enabled is 1: workers, which have a session of their own, are woken up for each packet while the load keeps the "
              "cores busy. CONNECT then costs up to half as much again. Under systemd or with 0 it is not so.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
