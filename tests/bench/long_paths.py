"""Measures long and lossy paths between real sockets: this program, and the kernel's TCP through wireguard-go with a TUN at both ends.

Both go through one link in user space (path.c), to one far end, in turns; a figure is the median of its runs, and each goal stands next
to its figure. The kernel sends with BBR where it has it. `down` is towards the proxy's client: the far kernel sends, and what is compared
is the receiving; `up` is this program's own sending. The link counts IP and UDP headers, so a TCP payload can fill 93 % of it."""

import argparse
import bisect
import json
import os
import platform
import shutil
import socket
import statistics
import struct
import sys
import tempfile
import threading
import time

import bench
from bench import ROOT, World, process, progress, subjects
from harness import tools
from harness.farend import INNER, FarEnd
from harness.namespace import unavailable

PATH_PORT = 51999
BLOCK = bytes(256 << 10)
PRIORITY = -15  # of all that is measured alike, so that the machine's other work disturbs little
PHASE = 0.5  # seconds: by so much the peer's timer may fall later by chance
SYSCTLS = {"tcp_rmem": "4096 131072 134217728", "tcp_wmem": "4096 65536 134217728", "tcp_no_metrics_save": "1"}
LONG = {"delay_ms": 50, "rate_mbit": 1000, "queue_ms": 50}
LOSSY = {"delay_ms": 25, "rate_mbit": 1000, "queue_ms": 50, "loss": 0.01, "reorder": 0.001}
NARROW = {"delay_ms": 10, "rate_mbit": 50, "queue_ms": 40}
FAR = {"delay_ms": 100, "rate_mbit": 100, "queue_ms": 100, "loss": 0.03}
GONE = {"delay_ms": 25, "rate_mbit": 100, "queue_ms": 50}


class Path(World):
    """The benchmark's world, with the link between the far end and everybody else."""

    def _make_far(self):
        self.congestion = [tune(self.home)]
        newest = tools.path("wireguard-go-newest")
        self.far_version = "newest" if newest else "packaged"
        os.makedirs(f"{self.directory}/far")
        self.far = LinkedFarEnd(self.home, 0, f"{self.directory}/far", "wireguard-go-newest" if newest else "wireguard-go")
        self.congestion.append(tune(self.far.namespace))
        self.control = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.control.bind(f"{self.directory}/driver.sock")
        self.control.settimeout(5)
        self.link = self.home.start([build("path"), f"{self.directory}/path.sock", str(PATH_PORT), self.far.outer, "51820"], f"{self.directory}/path.log")
        process.wait_until(lambda: os.path.exists(f"{self.directory}/path.sock"), what="the link is there")
        self.listener = self.far.namespace.listen((INNER, 0))
        self.listener.settimeout(10)

    def tell(self, text):
        self.control.sendto(text.encode(), f"{self.directory}/path.sock")
        return self.control.recv(65536).decode()

    def shape(self, **conditions):
        self.tell("link " + " ".join(f"{name}={value}" for name, value in conditions.items()))

    def stats(self):
        return json.loads(self.tell("stats"))


class LinkedFarEnd(FarEnd):
    @property
    def endpoint(self):
        return f"127.0.0.1:{PATH_PORT}"


def tune(namespace):
    """Buffers that a long path needs, and BBR if it can be; the name of what it became."""
    for name, value in SYSCTLS.items():
        namespace.run("sh", "-c", f"echo '{value}' >/proc/sys/net/ipv4/{name}")
    namespace.run("sh", "-c", "echo bbr >/proc/sys/net/ipv4/tcp_congestion_control", check=False)
    return namespace.run("cat", "/proc/sys/net/ipv4/tcp_congestion_control").stdout.strip()


def build(name):
    os.makedirs(tools.TOOLS, exist_ok=True)
    source, program = f"{bench.HERE}/{name}.c", f"{tools.TOOLS}/{name}"
    if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(source):
        process.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", source, "-o", program])
    return program


class Flow:
    """One stream of zeros on a connection of its own; what arrives is noted with its time."""

    def __init__(self, world, subject, way, size=None):
        near = open_connection(world, subject)
        far, _ = world.listener.accept()
        self.ends = (far, near) if way == "down" else (near, far)
        self.size = size
        self.times, self.totals = [], []
        self.finished = threading.Event()
        self.started = time.monotonic()
        self.threads = [threading.Thread(target=act, daemon=True) for act in (self._send, self._receive)]
        for thread in self.threads:
            thread.start()

    def _send(self):
        left = self.size
        try:
            while left is None or left > 0:
                sent = self.ends[0].send(BLOCK if left is None else BLOCK[:left])
                left = None if left is None else left - sent
        except OSError:
            pass

    def _receive(self):
        space = bytearray(256 << 10)
        total = 0
        try:
            while (self.size is None or total < self.size) and (got := self.ends[1].recv_into(space)):
                total += got
                self.times.append(time.monotonic())
                self.totals.append(total)
        except OSError:
            pass
        self.finished.set()

    def total_at(self, when):
        index = bisect.bisect_right(self.times, when)
        return self.totals[index - 1] if index else 0

    def mbit(self, after, until):
        """Between two times since the start."""
        return (self.total_at(self.started + until) - self.total_at(self.started + after)) * 8 / (until - after) / 1e6

    def first_after(self, when):
        index = bisect.bisect_right(self.times, when)
        return self.times[index] if index < len(self.times) else None

    def close(self):
        for end in self.ends:
            try:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self.threads:
            thread.join(5)
        for end in self.ends:
            end.close()


def open_connection(world, subject):
    host, port = world.listener.getsockname()
    if not subject.proxy:
        sock = world.home.connect((host, port), timeout=20)
    else:
        proxy, proxy_port = subject.proxy.rsplit(":", 1)
        sock = world.home.connect((proxy, int(proxy_port)), timeout=20)
        sock.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            got = sock.recv(1)
            assert got, "the proxy closed the connection"
            head += got
        assert b" 200" in head.split(b"\r\n", 1)[0], head
    sock.settimeout(None)
    return sock


def idle_share():
    """Of all processors' time so far: idle and total ticks."""
    with open("/proc/stat", encoding="ascii") as file:
        fields = [int(field) for field in file.readline().split()[1:9]]
    return fields[3] + fields[4], sum(fields)


class Row:
    """A path, what is measured on it, and its goals. One run's figures come from `measure` for one subject, or from `measure_all` for
    all by name when they are mixed; `key` names the figure that counts."""
    is_mixed = False

    def __init__(self, name, label, link, goals, seconds=0.0):
        self.name, self.label, self.link, self.goals, self.seconds = name, label, link, goals, seconds


class Rate(Row):
    """Mbit/s of one stream after its first seconds, and the queue it keeps standing at the bottleneck."""

    def __init__(self, *words, skip, **options):
        super().__init__(*words, **options)
        self.skip = skip

    def measure(self, world, subject, way, options):
        flow = Flow(world, subject, way)
        try:
            time.sleep(self.skip)
            world.stats()
            before = idle_share()
            time.sleep(self.seconds * options.scale)
            after = idle_share()
            counts = world.stats()
            figures = {"mbit": flow.mbit(self.skip, time.monotonic() - flow.started)}
        finally:
            flow.close()
        queue = counts[way]
        return {**figures, "queue_ms": queue["queue_mean_ms"], "queue_p95_ms": queue["queue_p95_ms"], "overflowed": queue["overflowed"],
                "lost": queue["lost"], "link_late_ms": queue["late_max_ms"], "link_refused": queue["refused"],
                "idle": (after[0] - before[0]) / max(after[1] - before[1], 1)}

    def key(self):
        return "mbit"


class Transfer(Row):
    """Mbit/s of a transfer of so many bytes, from its first byte's request to its last byte's arrival."""

    def __init__(self, *words, size, limit, **options):
        super().__init__(*words, **options)
        self.size, self.limit = size, limit

    def measure(self, world, subject, way, options):
        flow = Flow(world, subject, way, int(self.size * options.scale))
        try:
            flow.finished.wait(self.limit)
            end = flow.times[-1] if flow.finished.is_set() else time.monotonic()
            total = flow.totals[-1] if flow.totals else 0
        finally:
            flow.close()
        return {"mbit": total * 8 / (end - flow.started) / 1e6, "seconds": end - flow.started, "complete": int(total == flow.size)}

    def key(self):
        return "mbit"


class Outage(Row):
    """Seconds from the link's return to the first byte that arrives; both subjects sit through the same outage."""
    is_mixed = True

    def measure_all(self, world, running, way, options):
        flows = []
        try:
            for subject in running:
                flows.append((subject.name, Flow(world, subject, way)))
            time.sleep(3)
            world.tell("down")
            time.sleep(self.seconds)
            back = time.monotonic()
            world.tell("up")
            return {name: {"seconds": process.wait_until(lambda: flow.first_after(back), timeout=60, what=f"traffic of {name}") - back}
                    for name, flow in flows}
        finally:
            for _, flow in flows:
                flow.close()
            world.tell("up")

    def key(self):
        return "seconds"


class Mixed(Row):
    """Two streams of each subject at once: the share of the slowest of each, where 1 is a fourth of what all carry."""
    is_mixed = True

    def __init__(self, *words, skip, **options):
        super().__init__(*words, **options)
        self.skip = skip

    def measure_all(self, world, running, way, options):
        flows = []
        try:
            for subject in running * 2:
                flows.append((subject.name, Flow(world, subject, way)))
            start = time.monotonic()
            time.sleep(self.skip)
            world.stats()
            time.sleep(self.seconds * max(options.scale, 0.6))
            until = time.monotonic()
            queue = world.stats()[way]
            rates = [(name, flow.mbit(start + self.skip - flow.started, until - flow.started)) for name, flow in flows]
        finally:
            for _, flow in flows:
                flow.close()
        fair = sum(rate for _, rate in rates) / len(rates)
        return {subject.name: {"share": min(rate for name, rate in rates if name == subject.name) / fair, "queue_ms": queue["queue_mean_ms"],
                               "rates": [rate for name, rate in rates if name == subject.name]} for subject in running}

    def key(self):
        return "share"


def ratio(least):
    return f"≥ {least:.0%} of kernel TCP", lambda ours, kernel: ours["mbit"] >= least * kernel["mbit"]


FASTER = ("faster than kernel TCP", lambda ours, kernel: ours["mbit"] > kernel["mbit"])
LONGER = (f"no later than kernel TCP (+ {PHASE} s)", lambda ours, kernel: ours["seconds"] <= kernel["seconds"] + PHASE)
FAIR = ("≥ half of a fair share, all", lambda ours, kernel: min(ours["share"], kernel["share"]) >= 0.5)


def back_within(seconds):
    return f"≤ {seconds} s after its return", lambda ours, kernel: ours["seconds"] <= seconds


def narrow_goals():
    rate = NARROW["rate_mbit"]
    return {"down": ("≥ 90 % of the rate", lambda ours, kernel: ours["mbit"] >= 0.9 * rate),
            "up": ("≥ 90 %, ≤ 30 ms of queue", lambda ours, kernel: ours["mbit"] >= 0.9 * rate and ours["queue_ms"] <= 30)}


def with_rate(link, rate):
    return {**link, "rate_mbit": rate}


ROWS = [
    Rate("long", "100 ms, 1 Gbit/s, after 5 s", LONG, {"down": ratio(0.95), "up": ratio(0.95)}, skip=5, seconds=6),
    Rate("long-300", "100 ms, 300 Mbit/s, after 5 s", with_rate(LONG, 300), {"down": ratio(0.95), "up": ratio(0.95)}, skip=5, seconds=6),
    Rate("lossy", "50 ms, 1 % lost, 0.1 % reordered, 1 Gbit/s", LOSSY, {"down": ratio(0.95), "up": FASTER}, skip=2, seconds=8),
    Rate("lossy-300", "50 ms, 1 % lost, 0.1 % reordered, 300 Mbit/s", with_rate(LOSSY, 300), {"down": ratio(0.95), "up": FASTER}, skip=2, seconds=8),
    Rate("bursty-300", "the same, lost in bursts of 8", {**with_rate(LOSSY, 300), "burst": 8}, {"down": ratio(0.95), "up": FASTER}, skip=2, seconds=8),
    Rate("narrow", "20 ms, 50 Mbit/s, 40 ms of queue", NARROW, narrow_goals(), skip=2, seconds=10),
    Mixed("mixed", "the same, 2 streams of ours and 2 of the kernel's", NARROW, {"down": FAIR, "up": FAIR}, skip=5, seconds=20),
    Transfer("far", "200 ms, 3 % lost, 100 Mbit/s: a transfer of 100 MB", FAR, {"down": ratio(0.9), "up": FASTER}, size=100e6, limit=90),
    Outage("outage", "50 ms, 100 Mbit/s, gone for 10 s", GONE, {"down": LONGER, "up": back_within(2)}, seconds=10),
    Outage("outage-handshake", "the same for 16 s, a handshake pending", GONE, {"down": back_within(6), "up": back_within(6)}, seconds=16),
]


def arguments(words):
    parser = argparse.ArgumentParser(prog="scripts/bench --long", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="runs and transfers of two fifths of their length")
    parser.add_argument("--runs", type=int, default=3, help="runs of each measure (default 3)")
    parser.add_argument("--row", action="append", default=[], choices=[row.name for row in ROWS], help="this one alone")
    parser.add_argument("--way", choices=["down", "up"], help="this one alone")
    parser.add_argument("--output", default=f"{ROOT}/bench-results.json")
    options = parser.parse_args(words)
    options.scale = 0.4 if options.quick else 1
    return options


def settle(world):
    """What a closed stream has left in the link runs off on a link without limits."""
    world.shape(delay_ms=0.1)
    time.sleep(0.3)


def run_once(world, row, running, way, options, number):
    """One run, all subjects in turn, or at once when they are mixed; in turn the order changes from run to run."""
    found = {}
    if row.is_mixed:
        progress(f"{row.name}, {way}, run {number} of {options.runs}")
        world.shape(**row.link, seed=number)
        found = row.measure_all(world, running, way, options)
        settle(world)
        return found
    for subject in (running if number % 2 else running[::-1]):
        progress(f"{row.name}, {way}, run {number} of {options.runs}: {subject.name}")
        world.shape(**row.link, seed=number)
        found[subject.name] = row.measure(world, subject, way, options)
        settle(world)
    return found


def measure_row(world, row, running, options):
    results = {}
    for way in [options.way] if options.way else ["down", "up"]:
        runs = {subject.name: [] for subject in running}
        for number in range(1, options.runs + 1):
            try:
                for name, figures in run_once(world, row, running, way, options, number).items():
                    runs[name].append(figures)
            except (AssertionError, OSError) as error:
                results.setdefault("failed", []).append(f"{way}, run {number}: {str(error)[:300]}")
                settle(world)
        if all(runs.values()):
            results[way] = judge(row, way, runs)
    return results


def judge(row, way, runs):
    medians = {name: {key: statistics.median(run[key] for run in of) for key in of[0] if not isinstance(of[0][key], list)} for name, of in runs.items()}
    ours, kernel = medians[subjects.Warren.name], medians[subjects.WireguardGo.name]
    goal, is_met = row.goals[way]
    return {"goal": goal, "met": bool(is_met(ours, kernel)), "warren": ours, "kernel": kernel, "runs": runs}


def show(key, figures):
    if key == "mbit":
        return f"{figures['mbit']:.1f} Mbit/s" + (f", queue {figures['queue_ms']:.1f} ms" if figures.get("queue_ms", 0) > 0.5 else "")
    if key == "share":
        return f"{figures['share']:.2f} of its share"
    return f"{figures['seconds']:.2f} s"


def table(results):
    lines = [["path", "way", "goal", "warren", "kernel TCP", "met", "idle"]]
    for row in ROWS:
        for way in ("down", "up"):
            found = results.get(row.name, {}).get(way)
            if found:
                idle = found["warren"].get("idle")
                lines.append([row.label, way, found["goal"], show(row.key(), found["warren"]), show(row.key(), found["kernel"]),
                              "yes" if found["met"] else "NO", f"{idle:.0%}" if idle is not None else ""])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    text += [f"{name}: {why}" for name, row in results.items() for why in row.get("failed", [])]
    return "\n".join(text)


def append(output, entry):
    """One more entry under "long" of the file, whatever else is in it."""
    document = {}
    if os.path.exists(output):
        with open(output, encoding="utf-8") as file:
            document = json.load(file)
    document.setdefault("long", []).append(entry)
    with open(f"{output}.new", "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.write("\n")
    os.replace(f"{output}.new", output)


def start(world, directory):
    running = []
    for kind in (subjects.Warren, subjects.WireguardGo):
        progress(f"starting {kind.name}")
        subject = kind(world, f"{directory}/{kind.name.replace(' ', '-')}")
        why = subject.missing() or subject.start()
        assert not why, f"{kind.name}: {why}"
        running.append(subject)
    return running


def main(words):
    options = arguments(words)
    why = unavailable()
    if why:
        print(f"skipped: {why}")
        return 0
    os.environ["WARREN_WORKERS"] = "1"
    os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    began, results, world, running = time.time(), {}, None, []
    subjects.end_like_interrupt()
    directory = tempfile.mkdtemp(prefix="warren-long-")
    try:
        world = Path(directory, bench.build_load())
        world.shape(delay_ms=0.1)
        running = start(world, directory)
        for row in ROWS:
            if not options.row or row.name in options.row:
                results[row.name] = measure_row(world, row, running, options)
    except KeyboardInterrupt:
        progress("interrupted: what was measured follows")
    finally:
        progress("")
        for subject in running:
            subject.stop()
        if world:
            world.close()
        shutil.rmtree(directory, ignore_errors=True)
    congestion = "/".join(sorted(set(world.congestion)))
    append(options.output, {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)), "seconds": round(time.time() - began), "runs": options.runs,
        "scale": options.scale, "congestion_control": congestion, "far_end": f"wireguard-go ({world.far_version}) with a TUN device",
        "machine": {"processor": bench.processor(), "cpus": os.cpu_count(), "kernel": platform.release()}, "results": results})
    print(f"{bench.processor()}, {os.cpu_count()} CPUs, Linux {platform.release()}; kernel TCP: {congestion}"
          f"{'' if congestion == 'bbr' else ' (no BBR here, so the comparison is an easy one)'}, through wireguard-go ({world.far_version}) with a TUN; "
          f"medians of {options.runs}{' short runs' if options.quick else ''}. Sender, link and far end share these CPUs: where «idle» is near 0 the machine is the limit, not the path.")
    print(table(results))
    return 0 if results else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
