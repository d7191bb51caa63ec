"""Nodes of a fleet that stand still or are cut off, judged by what the far ends see: never two nodes at one time for a tunnel that stops in isolation."""

import os
import signal
import time

import pytest

from harness import clock
from harness.etcd import program
from harness.fleet import READY, Fleet, Page
from harness.process import wait_until
from harness.referee import Referee

pytestmark = pytest.mark.skipif(program() is None, reason="etcd is not installed")
STOP, KEEP = [f"stop{i}" for i in range(12)], [f"keep{i}" for i in range(12)]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with Page(str(tmp_path_factory.mktemp("page"))) as page:
        yield page


def test_of_a_tunnel_that_stops_in_isolation_there_is_one(tmp_path, page):
    """One node stands still as a whole, of another the control process alone, and the third hears nothing of etcd: the fourth has all of it, and when
    the others come back they have been silent. Tunnels that go on in isolation show that two at a time would be seen; then one of them yields."""
    with Fleet(str(tmp_path), ("a", "b", "c", "d"), has_ways=True) as fleet, Referee() as referee:
        for id in STOP + KEEP:
            document = page.tunnel(id, referee, on_isolation=id.strip("0123456789"))
            assert fleet["d"].api.request("POST", "/v1/tunnels", document).status == 201
        wait_until(lambda: all(referee.seen[id] for id in STOP + KEEP), timeout=READY, what="every tunnel runs")
        wait_until(lambda: all(node["tunnels"] for node in fleet["d"].nodes().values()), timeout=READY, what="each node has some")
        theirs = [id for id in STOP if not fleet["d"].runs(id)]
        assert theirs
        frozen = fleet["a"].family()
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        os.kill(fleet["b"].pid, signal.SIGSTOP)
        for way in fleet.ways["c"]:
            way.is_cut = True
        moment = time.monotonic()
        wait_until(lambda: all(referee.sends_since(id, moment) for id in theirs), timeout=READY, what="the fourth node has them all")
        clock.let_pass(2, "a node that should be silent could send")
        for pid in [*frozen, fleet["b"].pid]:
            os.kill(pid, signal.SIGCONT)
        for way in fleet.ways["c"]:
            way.is_cut = False
        fleet.wait_ready()
        wait_until(lambda: all(len(fleet.owners(id)) == 1 for id in STOP + KEEP), timeout=READY, what="each has one node")
        twice = referee.overlaps()
        assert not [seen for id, seen in twice.items() if id in STOP] and [id for id in KEEP if id in twice]
