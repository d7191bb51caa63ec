"""What far ends see of a fleet: UDP relays that note who sends for a tunnel and when, or a capture, beside what etcd tells of who was to have it.
And TCP relays to etcd that can be cut."""

import array
import bisect
import http.client
import itertools
import json
import math
import selectors
import socket
import struct
import threading
import time

from . import clock
from .etcd import base64_of, text_of
from .process import wait_until

_SO_RCVBUFFORCE, _SO_TIMESTAMPNS, _SOL_PACKET, _PACKET_STATISTICS, _PACKET_IGNORE_OUTGOING = 33, 35, 263, 6, 23


class Referee:
    """Relays datagrams between the nodes and far ends, in one thread."""

    def __init__(self):
        self.seen = {}  # tunnel → [[source, first, last]], in the order of their beginning
        self.selector = selectors.DefaultSelector()
        self.is_open = True
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_open = False
        self.thread.join(5)
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()

    def watch(self, tunnel, port):
        """The port that stands for the far end's."""
        near, far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        near.bind(("127.0.0.1", 0))
        far.connect(("127.0.0.1", port))
        self.seen[tunnel] = []
        self.selector.register(near, selectors.EVENT_READ, lambda: self._out(tunnel, near, far))
        self.selector.register(far, selectors.EVENT_READ, lambda: self._back(tunnel, near, far))
        return near.getsockname()[1]

    def _out(self, tunnel, near, far):
        data, source = near.recvfrom(65536)
        now = time.monotonic()
        seen = self.seen[tunnel]
        entry = next((entry for entry in reversed(seen) if entry[0] == source), None)
        if entry is None:
            seen.append([source, now, now])
        else:
            entry[2] = now
        self._quietly(lambda: far.send(data))

    def _back(self, tunnel, near, far):
        data = far.recv(65536)
        if self.seen[tunnel]:
            self._quietly(lambda: near.sendto(data, self.seen[tunnel][-1][0]))

    @staticmethod
    def _quietly(send):
        try:
            send()
        except OSError:
            pass

    def _run(self):
        while self.is_open:
            for key, _ in self.selector.select(0.2):
                self._quietly(key.data)

    def overlaps(self):
        """Tunnels for which two sent at one time, with what was seen."""
        found = {}
        for tunnel, seen in self.seen.items():
            if any(one[2] > other[1] for one, other in zip(seen, seen[1:])):
                found[tunnel] = seen
        return found

    def sends_since(self, tunnel, moment):
        """Whether somebody has sent for it after that moment who had not before."""
        return any(first > moment for _, first, _ in self.seen[tunnel])


class Way:
    """A node's way to a member of etcd. Cut, it takes nothing and says nothing, as a network that drops packets does."""

    def __init__(self, url):
        host, port = url.removeprefix("http://").split(":")
        self.to, self.is_whole = (host, int(port)), threading.Event()
        self.is_whole.set()
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.sock.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def is_cut(self):
        return not self.is_whole.is_set()

    @is_cut.setter
    def is_cut(self, value):
        (self.is_whole.clear if value else self.is_whole.set)()

    def _accept(self):
        while True:
            try:
                near, _ = self.sock.accept()
                far = socket.create_connection(self.to)
            except OSError:
                if self.sock.fileno() < 0:
                    return
                continue
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(one, other), daemon=True).start()

    def _copy(self, one, other):
        try:
            while data := one.recv(65536):
                self.is_whole.wait()
                other.sendall(data)
        except OSError:
            pass
        for sock in (one, other):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.sock.close()


class Witness:
    """What far ends get: each datagram that a node sends for a tunnel, with the kernel's time of its arrival (time.time()). Tunnel number n has the
    far end's port `first_port` + n."""

    INITIATION, DATA = 1, 4

    def __init__(self, namespace, interface, nodes, first_port, ids):
        self.nodes, self.first_port, self.ids = nodes, first_port, ids
        self.numbers = {id: number for number, id in enumerate(ids)}
        self.times = [array.array("d") for _ in ids]
        self.acts = [[] for _ in ids]  # (node, port, kind), as long as the times; the same tuple for the same
        self.latest_data = [0.0] * len(ids)
        self.turns = [[] for _ in ids]  # (node, begin): who sent after whom, responses to the far end left out
        self.kept = {}
        with namespace.entered():
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self.sock.bind((interface, 0x0800))
        self.sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
        self.sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self.sock.settimeout(0.5)
        self.is_open = True
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self.thread.start()

    def close(self):
        self.is_open = False
        if self.thread.is_alive():
            self.thread.join(5)
        self.sock.close()

    def _run(self):
        while self.is_open:
            try:
                packet, controls, _, _ = self.sock.recvmsg(64, 64)
            except TimeoutError:
                continue
            number = int.from_bytes(packet[22:24], "big") - self.first_port
            node = self.nodes.get(socket.inet_ntoa(packet[12:16]))
            if packet[9] == socket.IPPROTO_UDP and node and 0 <= number < len(self.ids):
                seconds, nanoseconds = struct.unpack("qq", controls[0][2])
                self._note(number, seconds + nanoseconds / 1e9, (node, packet[20:22], packet[28]))

    def _note(self, number, moment, act):
        self.acts[number].append(self.kept.setdefault(act, act))
        self.times[number].append(moment)
        if act[2] == self.DATA:
            self.latest_data[number] = moment
        turns = self.turns[number]
        if act[2] in (self.INITIATION, self.DATA) and not (turns and turns[-1][0] == act[0]):
            turns.append((act[0], moment))

    def lost(self):
        """Datagrams that came too fast for the witness."""
        packets, drops = struct.unpack("II", self.sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        return drops

    def all_sent_since(self, moment, prefix=""):
        return all(latest > moment for id, latest in zip(self.ids, self.latest_data) if id.startswith(prefix))

    def between(self, number, begin, end):
        """(time, (node, port, kind)) of a tunnel, both times included."""
        times = self.times[number]
        first, last = bisect.bisect_left(times, begin), bisect.bisect_right(times, end)
        return zip(times[first:last], self.acts[number][first:last])

    def first_data(self, number, begin, node=None):
        """When the first data came after that time, of any node or of this one; infinity: none has."""
        return next((moment for moment, act in self.between(number, begin, math.inf) if act[2] == self.DATA and node in (None, act[0])), math.inf)

    def longest_silence(self, number, begin, end):
        """Within that time the longest without data, in seconds."""
        moments = [begin, *(time for time, act in self.between(number, begin, end) if act[2] == self.DATA), end]
        return max(later - earlier for earlier, later in zip(moments, moments[1:]))

    def sources(self, number, begin, end):
        """The (node, port) that sent for it meanwhile."""
        return {act[:2] for _, act in self.between(number, begin, end)}



class Ledger:
    """Who was to have each shard, as etcd tells it: a watch that goes on at another member when one is lost."""

    LATE = 10.0  # seconds that the watch may be behind

    def __init__(self, cluster, prefix="/warren/v1/"):
        self.members, self.prefix = cluster.members, prefix
        self.shards, self.owners = {}, {}  # tunnel → class and shard → [(node, when it was told)]
        self.is_open = True
        self.revision = 0
        threading.Thread(target=self._run, daemon=True).start()

    def ask(self, path, body):
        for _ in range(200):
            for member in self.members:
                try:
                    return member.call(path, body)
                except OSError:
                    pass
            clock.pace(0.1)
        raise AssertionError(f"no member of etcd answers {path}")

    def range(self, begin, **more):
        return self.ask("/v3/kv/range", {"key": base64_of(begin), "range_end": base64_of(begin[:-1] + chr(ord(begin[-1]) + 1)), **more})

    def find_shards(self):
        for pair in self.range(f"{self.prefix}t/", keys_only=True)["kvs"]:
            place, _, id = text_of(pair["key"]).removeprefix(f"{self.prefix}t/").rpartition("/")
            self.shards[id] = place

    def _note(self, pair):
        key = text_of(pair["key"])
        if key.startswith(f"{self.prefix}p/shard/"):
            node = json.loads(text_of(pair["value"])).get("n") if "value" in pair else ""
            self.owners.setdefault(key.removeprefix(f"{self.prefix}p/shard/"), []).append((node, time.time()))

    def _run(self):
        for turn in itertools.count():
            if not self.is_open:
                return
            try:
                self._watch(self.members[turn % len(self.members)])
            except (OSError, ValueError, http.client.HTTPException):
                clock.pace(0.1)

    def _watch(self, member):
        """Everything, so that heartbeats tell that the member is alive."""
        body = {"create_request": {"key": base64_of("/"), "range_end": base64_of("0"), "start_revision": str(self.revision + 1)}}
        with member.opened("/v3/watch", body) as answer:
            for line in answer:
                result = json.loads(line).get("result")
                if result is None:
                    return  # an error, such as that there is no leader
                assert "compact_revision" not in result, "the ledger has to be read before etcd is compacted"
                for event in result.get("events", []):
                    if event.get("type") != "DELETE":
                        self._note(event["kv"])
                    self.revision = max(self.revision, int(event["kv"]["mod_revision"]))
                if not self.is_open:
                    return

    def catch_up(self):
        revision = int(self.ask("/v3/kv/put", {"key": base64_of("/mark"), "value": ""})["header"]["revision"])
        wait_until(lambda: self.revision >= revision, timeout=60, what="the watch of etcd has caught up")
        return revision

    def placer(self):
        kvs = self.ask("/v3/kv/range", {"key": base64_of(f"{self.prefix}p/leader")}).get("kvs")
        return json.loads(text_of(kvs[0]["value"]))["n"] if kvs else None

    def allows(self, id, turns):
        """Whether the nodes of the turns had the tunnel in this order, each when it began."""
        owners = iter(self.owners.get(self.shards[id], []))
        return all(any(owner == node and moment >= told - self.LATE for owner, told in owners) for node, moment in turns)

    def nodes(self, id, begin, end):
        """Whose its shard was or became meanwhile."""
        owners = self.owners.get(self.shards[id], [])
        before = [node for node, told in owners if told < begin][-1:]
        return {node for node in before + [node for node, told in owners if begin <= told <= end] if node}

    def is_at_rest(self, seconds=3.0):
        """Whether nothing has got another node for that long."""
        return all(owners[-1][1] < time.time() - seconds for owners in self.owners.values())

    def close(self):
        self.is_open = False
