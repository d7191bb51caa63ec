"""What the control process and a worker cannot do, asked of running ones: `warrend_hooked` tries an act at a signal (forbidden_acts.c).
That they need none of it is seen by every other test: a refused call is a line in the log, for which harness/daemon.py looks."""

import os
import re
import signal

import pytest

from harness.daemon import Daemon, is_sanitized
from harness.process import wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
with open(f"{HERE}/forbidden_acts.c", encoding="utf-8") as file:
    ACTS = re.findall(r"\{ \"(\w+)\", \w+ \}", file.read())

REFUSED = ("EPERM", "EACCES")
# The control process makes sockets and workers; everything else is as forbidden to it.
FOR_CONTROL = {"open_folder", "create_file", "make_raw_socket", "execute", "make_code", "trace_parent", "leave_namespace", "set_fast_open",
               "attach_filter", "type_in_terminal", "signal_parent", "give_signals_to_parent", "choose_signal", "limit_parent",
               "make_program_in_memory", "start_in_namespace", "allow_debugger"}
# Landlock's scope, since Linux 6.12.
WHERE_SCOPED = {"kill_parent"}
KEPT = 1 << 10 | 1 << 12  # CAP_NET_BIND_SERVICE, CAP_NET_ADMIN


def hooked():
    return os.environ.get("WARREND_HOOKED", f"{os.path.dirname(os.path.dirname(HERE))}/build/release/tests/warrend_hooked")


@pytest.fixture
def daemon(directory):
    if is_sanitized():
        pytest.skip("skipped: under sanitizers the filter only logs")
    daemon = Daemon(directory, program=hooked(), arguments=["--workers", "1"]).start()
    yield daemon
    daemon.kill()


def attempt(daemon, pid, act):
    """How the process `pid` fared with it: `done` or the error's name."""
    os.kill(pid, signal.SIGRTMIN + ACTS.index(act))
    told = wait_until(lambda: re.search(rf"^act {act} of {pid}: (\w+)$", daemon.process.log(), re.M), what=f"{act} is tried")
    return told.group(1)


def test_a_worker_can_do_nothing_that_is_forbidden(daemon):
    worker, = daemon.workers()
    outcome = {act: attempt(daemon, worker, act) for act in ACTS}
    assert outcome.pop("do_nothing") == "done"
    assert len(outcome) == len(ACTS) - 1 and all(result in REFUSED for result in outcome.values()), outcome
    assert "the sandbox refused system call" in daemon.process.log()
    assert daemon.workers() == [worker], "a refused call ends nobody"
    assert daemon.api.request("GET", "/readyz").status == 200


def test_the_control_process_has_a_list_of_its_own(daemon):
    outcome = {act: attempt(daemon, daemon.pid, act) for act in ACTS}
    assert {act for act, result in outcome.items() if result in REFUSED} - WHERE_SCOPED == FOR_CONTROL, outcome
    assert not os.path.exists("/tmp/warren-forbidden")
    assert daemon.api.request("GET", "/readyz").status == 200


def test_no_core_is_written_and_no_privilege_gained(daemon):
    for pid in daemon.family():
        status = open(f"/proc/{pid}/status", encoding="ascii").read()
        assert re.search(r"^NoNewPrivs:\t1$", status, re.M) and re.search(r"^Seccomp:\t2$", status, re.M), status
        limits = open(f"/proc/{pid}/limits", encoding="ascii").read()
        assert re.search(r"^Max core file size +0 +0 ", limits, re.M), limits


def capabilities(pid):
    status = open(f"/proc/{pid}/status", encoding="ascii").read()
    return {name: int(value, 16) for name, value in re.findall(r"^Cap(\w+):\t(\w+)$", status, re.M)}


def test_whoever_starts_it_no_capability_is_left(daemon):
    """P1. The bounding set cannot be emptied by who is not root, and is void without new privileges."""
    void = set() if os.geteuid() == 0 else {"Bnd"}
    for pid in daemon.workers():
        assert all(value == 0 or name in void for name, value in capabilities(pid).items()), capabilities(pid)
    control = capabilities(daemon.pid)
    assert control["Prm"] & ~KEPT == 0 and control["Inh"] == control["Amb"] == 0, control
    assert control["Bnd"] == 0 or void, control


def test_a_worker_has_no_terminal(daemon):
    for pid in daemon.workers():
        assert os.getsid(pid) == pid
