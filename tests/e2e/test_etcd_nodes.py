"""Nodes of a fleet on three real members of etcd (fleet/etcd/runner.h): every shard is served, and never under an older epoch."""

import mmap
import os
import signal
import struct
import time

import pytest

from harness import clock
from harness.daemon import binary
from harness.etcd import Cluster, base64_of, program
from harness.process import Process, wait_until

pytestmark = pytest.mark.skipif(program() is None, reason="etcd is not installed")
SHARDS, COUNT = 4096, 40
DEFAULT = (12000, 1500)  # ms: ttl and margin
SHORT = (4000, 500)
MOVED = sum(SHORT) / 1000 + 1
HANG = 60  # how fast it is on a machine with time to spare is the simulation's to show (tests/fleet)


class Fleet:
    """Nodes, and the referee that they share: violations, and when each shard was last served."""

    def __init__(self, directory, cluster, rule):
        self.directory, self.cluster, self.rule, self.nodes = directory, cluster, rule, {}
        self.path = f"{directory}/referee"
        with open(self.path, "wb") as file:
            file.truncate(8 + 16 * SHARDS)
        with open(self.path, "r+b") as file:
            self.referee = mmap.mmap(file.fileno(), 0)
        for shard in range(COUNT):
            cluster.members[0].call("/v3/kv/put", {"key": base64_of(f"/w/p/changed/any/{shard}"), "value": base64_of('{"count":1}')})

    def start(self, name):
        path = os.path.join(os.path.dirname(binary()), "tests", "etcd_node")
        self.nodes[name] = Process([path, name, "boot", self.path, *map(str, self.rule), *self.cluster.urls], f"{self.directory}/{name}.log")

    def violations(self):
        return struct.unpack_from("q", self.referee, 0)[0]

    def oldest_act(self):
        """How long ago the shard was served that has not been for the longest, in seconds."""
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        return now - min(struct.unpack_from("q", self.referee, 16 + 16 * shard)[0] for shard in range(COUNT)) / 1000

    def epochs(self):
        return [struct.unpack_from("q", self.referee, 8 + 16 * shard)[0] for shard in range(COUNT)]

    def serves_all(self):
        return self.oldest_act() < 0.5

    def longest_pause(self, seconds):
        """Within so many seconds from now."""
        return max(self.oldest_act() for _ in clock.looks(seconds))

    def serves_all_again(self):
        """After it was lost: no shard's last act is one of before."""
        return self.longest_pause(1) < 0.5

    def is_at_rest(self):
        """Whether it serves all and has moved nothing for a while."""
        before = self.epochs()
        return self.longest_pause(2) < 0.5 and self.epochs() == before

    def stop(self):
        for node in self.nodes.values():
            node.send_signal(signal.SIGCONT)
            node.stop(number=signal.SIGKILL)


@pytest.fixture
def fleet(directory, request):
    with Cluster(directory) as cluster:
        fleet = Fleet(directory, cluster, getattr(request, "param", SHORT))
        for name in ("a", "b", "c"):
            fleet.start(name)
        try:
            wait_until(fleet.is_at_rest, timeout=HANG, what="a fleet at rest")
            yield fleet
            assert fleet.violations() == 0
        finally:
            fleet.stop()


def test_the_shards_of_a_killed_node_are_served_by_others(fleet):
    before = fleet.epochs()
    fleet.nodes["a"].stop(number=signal.SIGKILL)
    wait_until(fleet.serves_all_again, timeout=HANG, what="every shard is served")
    assert fleet.epochs() != before


def test_a_node_that_stands_still_is_silent_when_it_wakes(fleet):
    for name in ("a", "b"):
        fleet.nodes[name].send_signal(signal.SIGSTOP)
        wait_until(fleet.serves_all_again, timeout=HANG, what="every shard is served")
        fleet.nodes[name].send_signal(signal.SIGCONT)
        wait_until(fleet.serves_all, timeout=HANG, what="every shard is served")


def test_a_node_that_leaves_is_replaced_at_once(fleet):
    fleet.nodes["b"].send_signal(signal.SIGTERM)
    assert fleet.nodes["b"].wait(10) == 0
    assert fleet.longest_pause(3) < MOVED
    fleet.start("b")
    wait_until(fleet.is_at_rest, timeout=HANG, what="a fleet at rest")


@pytest.mark.parametrize("fleet", [DEFAULT], indirect=True)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_member_of_etcd_that_is_lost_moves_nothing(fleet, how):
    leader = int(fleet.cluster.members[0].call("/v3/maintenance/status", {})["leader"])
    ids = [int(member.call("/v3/maintenance/status", {})["header"]["member_id"]) for member in fleet.cluster.members]
    before = fleet.epochs()
    process = fleet.cluster.members[ids.index(leader)].process
    process.send_signal(how)
    fleet.longest_pause(10)
    wait_until(fleet.serves_all, timeout=HANG, what="every shard is served")
    assert fleet.epochs() == before
    process.send_signal(signal.SIGCONT)


def _leases(member):
    return [lease["ID"] for lease in member.call("/v3/lease/leases", {})["leases"]]


@pytest.mark.parametrize("fleet", [DEFAULT], indirect=True)
def test_leases_that_are_revoked_move_nothing(fleet):
    member, before = fleet.cluster.members[0], fleet.epochs()
    for lease in _leases(member):
        member.call("/v3/lease/revoke", {"ID": lease})
    fleet.longest_pause(10)
    wait_until(fleet.serves_all, timeout=HANG, what="every shard is served")
    assert fleet.epochs() == before
    assert len(_leases(member)) == len(fleet.nodes)


def test_without_a_quorum_nobody_serves_and_nothing_moves(fleet):
    before = fleet.epochs()
    for member in fleet.cluster.members[:2]:
        member.process.stop(number=signal.SIGKILL)
    assert fleet.longest_pause(MOVED + 5) > 5
    quiet = fleet.oldest_act()
    for member in fleet.cluster.members[:2]:
        member.start(fleet.cluster.members)
    wait_until(fleet.serves_all, timeout=HANG, what="every shard is served")
    assert quiet > 5 and fleet.epochs() == before


def test_a_node_finds_its_way_after_a_compaction(fleet):
    fleet.nodes["c"].send_signal(signal.SIGSTOP)
    wait_until(lambda: fleet.longest_pause(1) < 0.5, timeout=HANG, what="its shards are served by others")
    member = fleet.cluster.members[0]
    revision = member.call("/v3/kv/range", {"key": base64_of("/w/p/leader")})["header"]["revision"]
    member.call("/v3/kv/compaction", {"revision": revision, "physical": True})
    before = fleet.epochs()
    fleet.nodes["c"].send_signal(signal.SIGCONT)
    wait_until(lambda: fleet.epochs() != before, timeout=HANG, what="it gets shards again")
    wait_until(fleet.is_at_rest, timeout=HANG, what="a fleet at rest")
