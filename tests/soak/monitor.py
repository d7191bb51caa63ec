"""A sample every few seconds: memory, descriptors, states and latency, kept for the plot and written as CSV; and how long a tunnel was not up."""

import csv
import time

from harness import process

COLUMNS = ["seconds", "control_kb", "workers_kb", "control_fds", "workers_fds", "threads", "up", "not_up", "longest_not_up", "requests",
           "failures", "p50_ms", "p99_ms", "changes", "restarts"]


def anonymous_kilobytes(pid):
    """What a process has for itself alone: pages of files and shared memory come and go with the machine's needs."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1])
    return 0


def has_connections(api):
    page = api.get("/v1/connections?page_size=1")
    return bool(page["connections"] or page.get("incomplete"))


def settled_descriptors(daemon, timeout=90):
    """The daemon's descriptors once no connection is open and they no longer change. A connection whose client has gone is open until the far end
    learns of it: what is lost on the way is sent again later and later, and not at all while the tunnel has no session."""
    deadline, last, since = time.monotonic() + timeout, None, 0.0
    while time.monotonic() < deadline:
        now = [process.descriptors(pid) for pid in daemon.family()]
        if now != last:
            last, since = now, time.monotonic()
        if time.monotonic() - since > 3 and not has_connections(daemon.api):
            break
        time.sleep(0.2)
    return sum(last)


class Monitor:
    def __init__(self, daemon, traffic, path):
        self.daemon, self.traffic = daemon, traffic
        self.file = open(path, "w", encoding="ascii", newline="")
        self.writer = csv.DictWriter(self.file, COLUMNS)
        self.writer.writeheader()
        self.begin = time.monotonic()
        self.samples = []
        self.not_up_since = {}   # id → (monotonic time, its state)
        self.longest = {}        # id → (seconds, state, when it began)
        self.polls = 0

    def seconds(self):
        return time.monotonic() - self.begin

    def poll(self):
        """Once a second: who is up? A far tunnel waits rightly while its near one is off or gone."""
        now, seen, states, token = time.monotonic(), {}, {}, ""
        while True:
            page = self.daemon.api.get(f"/v1/tunnels?view=full&page_size=1000&page_token={token}")
            seen.update({tunnel["id"]: tunnel for tunnel in page["tunnels"]})
            token = page["next_page_token"]
            if not token:
                break
        for id, tunnel in seen.items():
            near = seen.get(id.replace("far", "near"))
            state = tunnel["status"]["state"]
            states[state] = states.get(state, 0) + 1
            if state == "up" or not near or not near["spec"].get("enabled", True):
                self.not_up_since.pop(id, None)
                continue
            since, _ = self.not_up_since.setdefault(id, (now, state))
            if now - since >= self.longest.get(id, (0,))[0]:
                self.longest[id] = (now - since, state, since - self.begin)
        for id in [id for id in self.not_up_since if id not in seen]:
            del self.not_up_since[id]
        self.polls += 1
        self.up, self.not_up = states.get("up", 0), sum(states.values()) - states.get("up", 0)

    def sample(self, changes, restarts):
        workers = self.daemon.workers()
        latencies = self.traffic.take_latencies()
        at = [1000 * latencies[min(len(latencies) - 1, int(len(latencies) * share))] if latencies else 0 for share in (0.5, 0.99)]
        sample = dict(zip(COLUMNS, (
            round(self.seconds(), 1), self._sum(anonymous_kilobytes, [self.daemon.pid]), self._sum(anonymous_kilobytes, workers),
            self._sum(process.descriptors, [self.daemon.pid]), self._sum(process.descriptors, workers),
            self._sum(process.threads, [self.daemon.pid, *workers]), self.up, self.not_up, round(self.worst_not_up()[0], 1),
            self.traffic.requests, self.traffic.failures, round(at[0], 2), round(at[1], 2), changes, restarts)))
        self.samples.append(sample)
        self.writer.writerow(sample)
        self.file.flush()
        return sample

    @staticmethod
    def _sum(figure, pids):
        total = 0
        for pid in pids:
            try:
                total += figure(pid)
            except OSError:
                pass   # a worker that was killed just now
        return total

    def worst_not_up(self):
        """(seconds, state, when, id)"""
        return max(((*record, id) for id, record in self.longest.items()), default=(0.0, "", 0.0, ""))

    def growth(self, column, since, until):
        """Kilobytes an hour between two times, by least squares."""
        points = [(sample["seconds"], sample[column]) for sample in self.samples if since <= sample["seconds"] <= until]
        if len(points) < 3:
            return 0.0
        middle = [sum(values) / len(points) for values in zip(*points)]
        spread = sum((x - middle[0]) ** 2 for x, _ in points)
        return 3600 * sum((x - middle[0]) * (y - middle[1]) for x, y in points) / spread if spread else 0.0

    def mean(self, column, since, until):
        values = [sample[column] for sample in self.samples if since <= sample["seconds"] <= until]
        return sum(values) / len(values) if values else 0.0

    def close(self):
        self.file.close()


def restarts(api):
    for line in api.expect(200, "GET", "/metrics").body.decode().splitlines():
        if line.startswith("warren_worker_restarts_total"):
            return int(float(line.split()[-1]))
    return 0
