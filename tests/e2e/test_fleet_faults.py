"""Faults of real daemons, whose clocks are an hour apart, and of members of etcd, in network namespaces, judged by what the far ends get
(harness/fleet_faults.py). `scripts/soak --fleet` goes on for as long as wanted, with more tunnels and the faults that take minutes."""

import tempfile
import time

import pytest

from harness import namespace
from harness.etcd import program
from harness.fleet_faults import SHORT_FAULTS, CutFromEtcd, Trial, Writer, random_faults
from harness.machines import Machines

WHY_NOT = "etcd is not installed" if program() is None else namespace.unavailable()
pytestmark = pytest.mark.skipif(WHY_NOT != "", reason=WHY_NOT)
SEED, SECONDS = 19, 30


@pytest.fixture(scope="module")
def machines():
    with tempfile.TemporaryDirectory(prefix="warren-e2e-") as directory, Machines(directory, tunnels=120, pages=12, apart=True) as machines:
        yield machines
        for node in machines.nodes.values():
            node.check_log()


@pytest.fixture
def writer(machines):
    writer = Writer(machines, SEED)
    writer.start()
    yield writer
    writer.close()


def test_a_node_that_is_cut_off_is_silent_before_another_one_begins(machines, writer):
    """Of tunnels that go on in isolation there are two meanwhile, which shows that it would be seen of those that stop."""
    trial = Trial(machines, writer).run(CutFromEtcd(machines, "b", 17))
    trial.check()
    assert trial.theirs and trial.twins("keep")


def test_faults_by_chance(machines, writer):
    """A fault that has begun is waited for, so that it takes somewhat longer."""
    end = time.monotonic() + SECONDS
    for fault in random_faults(machines, SEED, SHORT_FAULTS, most=16):
        if time.monotonic() > end:
            break
        Trial(machines, writer).run(fault).check()
