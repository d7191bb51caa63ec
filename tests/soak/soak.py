"""A soak: pairs of tunnels under light traffic, loss, changes, kills of workers and API noise, on loopback and without root. Samples go to
a CSV and a plot; at the end a table says which criterion held, and the exit code is 1 when one did not."""

import argparse
import os
import shutil
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, f"{ROOT}/tests/e2e"]
sys.dont_write_bytecode = True

from harness import process  # noqa: E402
from harness.daemon import Daemon, is_sanitized  # noqa: E402
from harness.loop import fill_event_log  # noqa: E402
import churn  # noqa: E402
import monitor  # noqa: E402
import plot  # noqa: E402
from traffic import Traffic  # noqa: E402

STALE_LIMIT = 20.0        # seconds that a tunnel may be down after what brought it down has ended
WORDS = {True: "ok    ", False: "FAILED", None: "-     "}
GROWTH_LIMIT = 1024       # kilobytes an hour, in the part of a run without kills
GROWTH_NOISE = 512        # kilobytes: what comes with the first traffic, such as a session's replay window, and the allocator's own breathing


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__, allow_abbrev=False)
    parser.add_argument("--preset", default="release", help="what is built and run; under sanitizers memory is not judged")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--tunnels", type=int, default=200, help="in all; two make a pair")
    parser.add_argument("--loss", type=float, default=1.0, metavar="PERCENT", help="of the datagrams, each way")
    parser.add_argument("--interval", type=float, default=3.0, help="mean seconds between the requests of a pair")
    parser.add_argument("--changes", type=float, default=1.0, metavar="A_SECOND", help="0: none")
    parser.add_argument("--kill-every", type=float, default=300.0, metavar="SECONDS", help="kill a worker this often, in the first two thirds; 0: never")
    parser.add_argument("--noise", type=float, default=2.0, metavar="A_SECOND", help="API requests; 0: none")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", default=f"{ROOT}/build/soak", help="folder of soak.csv, soak.svg and warrend.log")
    options = parser.parse_args()
    options.pairs = max(1, options.tunnels // 2)
    os.environ.setdefault("WARREND", f"{ROOT}/build/{options.preset}/warrend")
    return options


def create_all(api, traffic, count):
    pairs = [traffic.add_pair(number) for number in range(count)]
    for pair in pairs:
        pair.front = pair.relay.fronts[-1].transport.get_extra_info("sockname")[1]
        churn.create_far(api, traffic, pair)
    for pair in pairs:
        churn.create_near(api, pair)
        pair.disturb()


class Soak:
    def __init__(self, options, daemon):
        self.options, self.daemon = options, daemon
        self.api = daemon.api
        self.empty = monitor.settled_descriptors(daemon)
        self.traffic = Traffic(options.interval, options.loss, options.seed)
        create_all(self.api, self.traffic, options.pairs)
        self.watch = monitor.Monitor(daemon, self.traffic, f"{options.output}/soak.csv")
        # A far tunnel is up with the first bytes under a new session, and the empty ones that the near one sends at once may be lost.
        self.traffic.begin()
        process.wait_until(lambda: self._poll_up() == 2 * options.pairs, timeout=60, interval=0.5, what="all tunnels are up")
        self.watch.longest.clear()
        self.traffic.end()
        if options.seconds >= 600:
            fill_event_log(self.api, self.traffic.pairs[0].ends.near_id)
        self.full = monitor.settled_descriptors(daemon)
        self.changes = churn.Changes(self.api, self.traffic, options.seed)
        self.events = churn.Events(daemon)
        self.repeaters = {name: churn.Repeater(interval, act) for name, interval, act in (
            ("changes", options.changes and 1 / options.changes, self.changes),
            ("noise", options.noise and 1 / options.noise, churn.Noise(self.api, options.seed)),
            ("kills", options.kill_every, churn.Kills(daemon, self.traffic, options.seed))) if interval}

    def _poll_up(self):
        self.watch.poll()
        return self.watch.up

    def run(self):
        self.watch.begin = time.monotonic()   # a run is no shorter where the tunnels needed long to be up
        self.traffic.begin()
        self.events.start()
        for name, repeater in self.repeaters.items():
            if name != "kills":
                repeater.start()
        every = max(1, round(self.options.seconds / 720))
        self.warm = min(60.0, self.options.seconds / 10)
        self.calm = self.options.seconds * 2 / 3
        while (now := self.watch.seconds()) < self.options.seconds and self.daemon.process.is_running():
            kills = self.repeaters.get("kills")
            if kills and not kills.is_alive() and self.warm < now < self.calm:
                kills.start()
            if kills and kills.is_alive() and now > self.calm:
                kills.stop()
            self.watch.poll()
            if self.watch.polls % every == 0:
                self._show(self.watch.sample(self.changes.number, monitor.restarts(self.api)))
            time.sleep(max(0.0, 1 - (self.watch.seconds() - now)))
        if sys.stderr.isatty():
            sys.stderr.write("\n")

    def _show(self, sample):
        line = (f"{sample['seconds']:7.0f} s  up {sample['up']}  not up {sample['not_up']}  memory {sample['control_kb'] // 1024}+"
                f"{sample['workers_kb'] // 1024} MB  descriptors {sample['control_fds']}+{sample['workers_fds']}  requests {sample['requests']}  "
                f"failed {sample['failures']}  p99 {sample['p99_ms']:.0f} ms  changes {sample['changes']}  restarts {sample['restarts']}")
        if sys.stderr.isatty():
            sys.stderr.write("\r" + line)
        elif self.watch.polls % 60 == 0:
            print(line, flush=True)

    def end(self):
        """Everything that disturbs stops, the forwards go; then as many descriptors are open as at the beginning. Then the tunnels go too."""
        for repeater in self.repeaters.values():
            if repeater.is_alive():
                repeater.stop()
        self.events.stop()
        self.traffic.end()
        for pair in self.traffic.pairs:
            self.api.patch(pair.ends.near_id, {"spec": {"enabled": True, "forwards": [], "probe": None}})
        self.full_after = monitor.settled_descriptors(self.daemon)
        self.api.expect(200, "DELETE", "/v1/tunnels")
        self.empty_after = monitor.settled_descriptors(self.daemon)
        self.traffic.close()
        self.watch.close()

    def verdicts(self):
        """(criterion, what was measured, whether it held; None: not judged)"""
        seconds, state, when, id = self.watch.worst_not_up()
        yield f"no tunnel is down for more than {STALE_LIMIT:.0f} s", f"{seconds:.1f} s ({id} {state} from {when:.0f} s)" if id else "none was", seconds <= STALE_LIMIT
        planned = max((o for o in self.traffic.outages if o.was_planned), key=lambda o: o.after_disturbance, default=None)
        yield (f"requests work {STALE_LIMIT:.0f} s after a disturbance",
               f"{planned.after_disturbance:.1f} s at most ({planned.id}, {planned.reason})" if planned else "none failed",
               not planned or planned.after_disturbance <= STALE_LIMIT)
        unplanned = [o for o in self.traffic.outages if not o.was_planned]
        yield ("no request fails without a reason", f"{len(unplanned)} of {self.traffic.requests}" +
               "".join(f"; {o.id} {o.seconds:.1f} s from {o.start - self.watch.begin:.0f} s {o.reason}" for o in unplanned[:3]), not unplanned)
        yield from self._memory()
        yield "no descriptor is gained, tunnels there", f"{self.full} before, {self.full_after} after", self.full_after <= self.full
        yield "no descriptor is gained, tunnels gone", f"{self.empty} before, {self.empty_after} after", self.empty_after <= self.empty
        kills, deaths = self.repeaters["kills"].count if "kills" in self.repeaters else 0, monitor.restarts(self.api)
        yield "no worker dies but by our hand", f"{kills} kills, {deaths} restarts", kills == deaths
        for name, repeater in self.repeaters.items():
            yield f"{name} are answered as they should be", f"{len(repeater.problems)} of {repeater.count} were not" + \
                "".join(f"; {problem}" for problem in repeater.problems[:2]), not repeater.problems
        yield "events come without a gap", f"{self.events.count} came" + "".join(f"; {p}" for p in self.events.problems[:2]), not self.events.problems

    def _memory(self):
        """Flat: in the last third, where nobody kills, after its first minute or quarter."""
        since = self.calm + min(60.0, self.options.seconds / 12)
        for column, name in (("control_kb", "control process"), ("workers_kb", "workers")):
            size, growth = self.watch.mean(column, since, self.options.seconds), self.watch.growth(column, since, self.options.seconds)
            hours = (self.options.seconds - since) / 3600
            held = None if is_sanitized() else growth < GROWTH_LIMIT or growth * hours < GROWTH_NOISE
            yield f"memory is flat: {name}", f"{size / 1024:.1f} MB, {growth / 1024:+.2f} MB an hour", held


def report(soak):
    print(f"\n{soak.changes.number} changes ({', '.join(f'{name} {n}' for name, n in sorted(soak.changes.done.items()))}), "
          f"{monitor.restarts(soak.api)} worker restarts, {soak.traffic.requests} requests, {soak.traffic.failures} failed, "
          f"{sum(p.relay.lost for p in soak.traffic.pairs)} of {sum(p.relay.lost + p.relay.passed for p in soak.traffic.pairs)} datagrams lost")
    verdicts = list(soak.verdicts())
    width = max(len(criterion) for criterion, _, _ in verdicts)
    for criterion, measured, held in verdicts:
        print(f"{WORDS[held]}  {criterion:{width}}  {measured}")
    for outage in sorted(soak.traffic.outages, key=lambda o: -o.seconds)[:8]:
        print(f"        outage of {outage.id}: {outage.seconds:.1f} s from {outage.start - soak.watch.begin:.0f} s, "
              f"{outage.after_disturbance:.1f} s after a disturbance, {outage.reason}")
    return all(held is not False for _, _, held in verdicts)


def main():
    options = arguments()
    os.makedirs(options.output, exist_ok=True)
    directory = tempfile.mkdtemp(prefix="warren-soak-")
    daemon = Daemon(directory, arguments=["--log-level", "info"])
    try:
        soak = Soak(options, daemon.start())
        soak.run()
        if not daemon.process.is_running():
            print(f"FAILED  the daemon died:\n{daemon.tail()}")
            return 1
        soak.end()
        plot.write(f"{options.output}/soak.svg", soak.watch.samples, f"{2 * options.pairs} tunnels, {options.loss} % loss")
        held = report(soak)
        daemon.stop()
        return 0 if held else 1
    finally:
        shutil.copy(daemon.process.log_path, f"{options.output}/warrend.log")
        process.stop_all()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
