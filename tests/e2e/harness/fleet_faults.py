"""What can happen to a fleet of machines, and what is judged after it."""

import base64
import http.client
import os
import random
import signal
import threading
import time
import urllib.error

from . import clock
from .api import Api
from .etcd import base64_of
from .fleet import READY
from .process import wait_until

TTL, MARGIN = 12.0, 1.5
LAPSES, MOVES = TTL - MARGIN, TTL + MARGIN
WRONG = ("touched", "twins", "late", "lost")  # what must be 0 in a row
QUIET = 4.0  # a tunnel says something each second; this long it may say nothing on a busy machine without anything having happened


class Fault:
    """`hit` are the machines whose tunnels may move or be silent. `begin` lets it happen, `end` takes it back."""

    can_serve = True   # what was hit is served by others meanwhile, when it lasts long enough

    def __init__(self, machines, name, seconds):
        self.machines, self.name, self.seconds = machines, name, seconds
        self.hit = {name}

    def __str__(self):
        return f"{type(self).__name__} {self.name}"

    @property
    def machine(self):
        return self.machines.machines[self.name]


class NodeKilled(Fault):
    def begin(self):
        self.machine.node.kill()

    def end(self):
        self.machine.node.start(timeout=READY)


class PlacerKilled(NodeKilled):
    def __init__(self, machines, name, seconds):
        super().__init__(machines, machines.ledger.placer() or name, seconds)


class NodeStopped(Fault):
    def begin(self):
        self.pids = self.machine.node.family()
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)

    def end(self):
        for pid in self.pids:
            os.kill(pid, signal.SIGCONT)


class ControlStopped(NodeStopped):
    """Its workers go on, and have to stop by themselves."""

    def begin(self):
        self.pids = [self.machine.node.pid]
        os.kill(self.pids[0], signal.SIGSTOP)


class CutFromEtcd(Fault):
    def begin(self):
        self.machine.cut_from_etcd()

    def end(self):
        self.machine.heal()


class CutFromOthers(CutFromEtcd):
    def begin(self):
        self.machine.cut_from_others()


class CompactedMeanwhile(CutFromEtcd):
    """A node is cut off until its watch cannot go on where it was."""

    def end(self):
        compact(self.machines)
        super().end()


class MemberFault(Fault):
    def __init__(self, machines, name, seconds):
        super().__init__(machines, name, seconds)
        self.hit = set()

    @property
    def member(self):
        return self.machine.member


class MemberKilled(MemberFault):
    def begin(self):
        self.member.process.stop(number=signal.SIGKILL)

    def end(self):
        self.member.start(self.machines.cluster.members)
        wait_until(self.member.is_ready, timeout=READY, what="the member is back")


class MemberStopped(MemberFault):
    def begin(self):
        self.member.process.send_signal(signal.SIGSTOP)

    def end(self):
        self.member.process.send_signal(signal.SIGCONT)


class LeasesRevoked(MemberFault):
    def begin(self):
        for lease in self.machines.ledger.ask("/v3/lease/leases", {}).get("leases", []):
            self.machines.ledger.ask("/v3/lease/revoke", {"ID": lease["ID"]})

    def end(self):
        pass


class QuorumLost(Fault):
    """All tunnels that stop in isolation are silent."""

    can_serve = False

    def __init__(self, machines, name, seconds):
        super().__init__(machines, name, seconds)
        self.hit = set(machines.nodes)
        self.members = [machine.member for other, machine in machines.machines.items() if other != name]

    def begin(self):
        for member in self.members:
            member.process.stop(number=signal.SIGKILL)

    def end(self):
        for member in self.members:
            member.start(self.machines.cluster.members)
        for member in self.members:
            wait_until(member.is_ready, timeout=READY, what="the member is back")


class Full(Fault):
    """etcd has no space (NOSPACE), by its quota."""

    can_serve = False
    JUNK = "junk/"  # the ledger does not watch it

    def __init__(self, machines, name, seconds):
        super().__init__(machines, name, seconds)
        self.hit = set(machines.nodes)

    def begin(self):
        value = base64.b64encode(os.urandom(1 << 20)).decode()
        for number in range(1000):
            try:
                self.machine.member.call("/v3/kv/put", {"key": base64_of(f"{self.JUNK}{number}"), "value": value})
            except urllib.error.HTTPError as error:
                if error.code == 429:
                    return
                clock.pace(0.1)
            except OSError:
                clock.pace(0.1)
        raise AssertionError("etcd has room for everything")

    def end(self):
        ledger = self.machines.ledger
        ledger.ask("/v3/kv/deleterange", {"key": base64_of(self.JUNK), "range_end": base64_of("junk0")})
        compact(self.machines, mark=False)
        for member in self.machines.cluster.members:
            member.call("/v3/maintenance/defragment", {})
        for alarm in self.machines.cluster.members[0].call("/v3/maintenance/alarm", {"action": "GET"}).get("alarms", []):
            ledger.ask("/v3/maintenance/alarm", {"action": "DEACTIVATE", "memberID": alarm["memberID"], "alarm": "NOSPACE"})


def compact(machines, mark=True):
    """All history of etcd goes, after the ledger has read it."""
    ledger = machines.ledger
    revision = ledger.catch_up() if mark else int(ledger.range(ledger.prefix, limit=1)["header"]["revision"])
    ledger.ask("/v3/kv/compaction", {"revision": str(revision), "physical": True})
    ledger.revision = max(ledger.revision, revision)


class Writer(threading.Thread):
    """Writes at any node: labels of tunnels, each another one, and tunnels of its own that come and go. What was acknowledged has to be there."""

    LABELS = 8  # of one tunnel

    def __init__(self, machines, seed, pause=0.2):
        super().__init__(daemon=True)
        self.machines, self.random, self.pause = machines, random.Random(seed), pause
        self.labels = {}       # (id, label) → whether it was acknowledged
        self.made, self.gone = {}, set()  # id → whether that was acknowledged; those whose end was
        self.maybe_gone, self.strange = set(), []  # the latter: replies that no write should get
        self.acknowledged = self.refused = 0
        self.numbers = iter(range(1 << 30))
        self.is_open, self.turn = True, threading.Lock()

    def run(self):
        while self.is_open:
            with self.turn:
                self.random.choice((self._label, self._label, self._make, self._end))()
            clock.pace(self.pause)

    def _write(self, method, path, document, expected, done_before=503):
        """Whether it is acknowledged. `done_before` is told when etcd's answer was lost, and the node has asked again."""
        node = self.machines[self.random.choice(sorted(self.machines.nodes))]
        try:
            reply = Api.over_unix(f"{node.state_dir}/api.sock", timeout=10).request(method, path, document)
        except (OSError, http.client.HTTPException):
            return False
        if reply.status not in (expected, done_before, 503):
            self.strange.append(f"{method} {path} at {node.name}: {reply!r}")
        self.acknowledged += reply.status == expected
        self.refused += reply.status != expected
        return reply.status == expected

    def _label(self):
        number = next(self.numbers)
        id = self.machines.ids[number % len(self.machines.ids)]
        if number // len(self.machines.ids) < self.LABELS:
            self.labels[id, f"k{number}"] = self._write("PATCH", f"/v1/tunnels/{id}", {"labels": {f"k{number}": "1"}}, 200)

    def _make(self):
        id = f"made{next(self.numbers)}"
        self.made[id] = self._write("POST", "/v1/tunnels", {"id": id, "spec": {
            "interface": {"generate_private_key": True, "addresses": ["10.98.0.1/32"]}, "proxy": {"listen": []}}}, 201, 409)

    def _end(self):
        for id in [id for id, is_sure in self.made.items() if is_sure and id not in self.maybe_gone][:1]:
            self.maybe_gone.add(id)
            if self._write("DELETE", f"/v1/tunnels/{id}", None, 204, 404):
                self.gone.add(id)

    def lost(self):
        """What was acknowledged and is not so, at any node."""
        with self.turn:
            found = list(self.strange)
            for name, node in self.machines.nodes.items():
                tunnels = {tunnel["id"]: tunnel for tunnel in listed(node)}
                has = {(id, label) for id, tunnel in tunnels.items() for label in tunnel["labels"]}
                found += [(name, *written) for written, is_sure in self.labels.items() if is_sure and written not in has]
                found += [(name, id) for id, is_sure in self.made.items() if is_sure and id not in self.maybe_gone and id not in tunnels]
                found += [(name, id, "is back") for id in self.gone if id in tunnels]
            return found

    def close(self):
        self.is_open = False
        self.join(30)


def listed(node):
    token = ""
    while token is not None:
        reply = node.api.get(f"/v1/tunnels?page_size=1000{token and '&page_token=' + token}")
        yield from reply["tunnels"]
        token = reply["next_page_token"] or None


class Trial:
    """One fault, from its beginning until the fleet is whole again, and what the witness saw of it."""

    def __init__(self, machines, writer):
        self.machines, self.writer, self.witness, self.ledger = machines, writer, machines.witness, machines.ledger

    def run(self, fault):
        self.fault = fault
        self.began = time.time()
        fault.begin()
        self.held = time.time()
        clock.let_pass(fault.seconds, "how long the fault lasts")
        self.healing = time.time()
        fault.end()
        self.healed = time.time()
        self.machines.wait_settled(self.healed)
        wait_until(lambda: self.machines.traffic.all_since(self.healed, self.machines.whole), timeout=READY, what="the pages arrive")
        self.ended = time.time()
        self.ledger.catch_up()
        owners = [self.ledger.nodes(id, self.began, self.healing) for id in self.machines.ids]
        whole = [id.startswith(self.machines.whole) for id in self.machines.ids]
        self.theirs = [number for number, nodes in enumerate(owners) if nodes & fault.hit and whole[number]]
        self.others = [number for number, nodes in enumerate(owners) if not nodes & fault.hit and whole[number]]
        self.moved = {self.machines.ids[number] for number in self.others if len(owners[number]) > 1}  # for balance
        return self

    def longest(self, numbers=None):
        """Of a tunnel that was hit, or of these, the longest time without data, where others could serve it, else from the healing on. In seconds."""
        begin = self.began if self.fault.can_serve else self.healed
        numbers = self.theirs if numbers is None else numbers
        return max((self.witness.longest_silence(number, begin, self.ended) for number in numbers), default=0.0)

    def served_after(self, number):
        """When another node has sent data for a tunnel that was given to it meanwhile, in seconds from the beginning of the fault; where no other
        could serve, the first data after its end. 0: nobody had to."""
        if not self.fault.can_serve:
            return self.witness.first_data(number, self.healed) - self.healed
        given = [(node, told) for node, told in self.ledger.owners[self.ledger.shards[self.machines.ids[number]]]
                 if node and node not in self.fault.hit and self.began < told < self.healing]
        return max((self.witness.first_data(number, told - 1, node) - self.began for node, told in given), default=0.0)

    def whole_after(self):
        """Of the last tunnel."""
        return max((self.served_after(number) for number in self.theirs), default=0.0)

    def touched(self):
        """Tunnels of other nodes that were made anew or moved while the fault was there, but for those that the placer moved for balance."""
        return [self.machines.ids[number] for number in self.others
                if len(self.witness.sources(number, self.began, self.healing)) > 1 and self.machines.ids[number] not in self.moved]

    def twins(self, policy="stop"):
        """Tunnels for which a node sent that had them no more, since the beginning of all."""
        return [id for number, id in enumerate(self.machines.ids) if id.startswith(policy) and not self.ledger.allows(id, self.witness.turns[number])]

    def late_acts(self):
        """Of tunnels that stop in isolation, after the last heartbeat's validity, where nobody was valid."""
        if self.fault.can_serve:
            return []
        silent = self.held + LAPSES + 0.5
        return [id for number, id in enumerate(self.machines.ids) if id.startswith("stop") and
                any(act[2] in (1, 4) for _, act in self.witness.between(number, silent, self.healing))]

    def row(self):
        return {"fault": str(self.fault), "seconds": round(self.fault.seconds, 1), "longest": round(self.longest(), 2),
                "whole": round(self.whole_after(), 2), "others": round(self.longest(self.others), 2),
                "touched": len(self.touched()), "twins": len(self.twins()), "late": len(self.late_acts()),
                "lost": len(self.writer.lost()), "writes": self.writer.acknowledged}

    def check(self):
        row = self.row()
        assert not any(row[column] for column in WRONG), f"{row}: {self.evidence()}"

    def evidence(self, policy="stop"):
        """Of the first tunnel that is not as it should be, enough to see why."""
        for id in self.twins(policy) + self.late_acts() + self.touched():
            number = self.witness.numbers[id]
            return {"tunnel": id, "began": self.began, "healed": self.healed, "turns": self.witness.turns[number][-10:],
                    "owners": self.ledger.owners.get(self.ledger.shards[id])[-10:], "sources": self.witness.sources(number, self.began, self.healing)}
        return self.writer.lost()[:10]


SHORT_FAULTS = (NodeKilled, PlacerKilled, NodeStopped, ControlStopped, CutFromEtcd, CutFromOthers, CompactedMeanwhile, MemberKilled, MemberStopped,
                LeasesRevoked, QuorumLost)
FAULTS = (*SHORT_FAULTS, Full)


def random_faults(machines, seed, kinds=FAULTS, most=30.0):
    """Endless, the same for the same seed but for which node is the placer."""
    dice = random.Random(seed)
    while True:
        kind, name, seconds = dice.choice(kinds), dice.choice(sorted(machines.nodes)), dice.uniform(1.0, most)
        yield kind(machines, name, seconds)
