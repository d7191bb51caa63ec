"""What the control process and a worker cannot do, asked of running ones: `warrend_hooked` tries an act at a signal (forbidden_acts.c).
That they need none of it is seen by every other test: a refused call is a line in the log, for which harness/daemon.py looks."""

import os
import re
import signal
import socket

import pytest

from harness.certificates import make_certificate
from harness.daemon import Daemon, is_sanitized
from harness.process import run, wait_until
from harness.upgrade import built

HERE = os.path.dirname(os.path.abspath(__file__))
with open(f"{HERE}/forbidden_acts.c", encoding="utf-8") as file:
    ACTS = re.findall(r"\{ \"(\w+)\", \w+ \}", file.read())

REFUSED = ("EPERM", "EACCES")
# The control process creates sockets and workers; everything else is forbidden to it, too.
FOR_CONTROL = {"open_folder", "open_given", "create_file", "make_raw_socket", "execute", "make_code", "trace_parent", "leave_namespace", "set_fast_open",
               "attach_filter", "type_in_terminal", "signal_parent", "give_signals_to_parent", "choose_signal", "limit_parent",
               "make_program_in_memory", "start_in_namespace", "allow_debugger"}
# Landlock's scope, since Linux 6.12.
WHERE_SCOPED = {"kill_parent"}
KEPT = 1 << 10 | 1 << 12  # CAP_NET_BIND_SERVICE, CAP_NET_ADMIN


@pytest.fixture
def daemon(directory):
    if is_sanitized():
        pytest.skip("skipped: under sanitizers the filter only logs")
    daemon = Daemon(directory, program=built("warrend_hooked"), arguments=["--workers", "1"]).start()
    yield daemon
    daemon.kill()


def attempt(daemon, pid, act):
    """The result of the act in process `pid`: `done` or the error's name."""
    os.kill(pid, signal.SIGRTMIN + ACTS.index(act))
    told = wait_until(lambda: re.search(rf"^act {act} of {pid}: (\w+)$", daemon.process.log(), re.M), what=f"{act} is tried")
    return told.group(1)


def told_by_name(daemon, process):
    """The refused calls that the log of this kind of process names."""
    return set(re.findall(rf" {process}.*the sandbox refused the system call (\w+)", daemon.process.log()))


def test_a_worker_can_do_nothing_that_is_forbidden(daemon):
    worker, = daemon.workers()
    outcome = {act: attempt(daemon, worker, act) for act in ACTS}
    assert outcome.pop("do_nothing") == "done"
    assert len(outcome) == len(ACTS) - 1 and all(result in REFUSED for result in outcome.values()), outcome
    assert told_by_name(daemon, "worker") >= {"openat", "socket", "execve"}, daemon.process.log()
    assert daemon.workers() == [worker], "a refused call ends nobody"
    assert daemon.api.request("GET", "/readyz").status == 200


def test_the_control_process_has_a_list_of_its_own(daemon):
    outcome = {act: attempt(daemon, daemon.pid, act) for act in ACTS}
    assert {act for act, result in outcome.items() if result in REFUSED} - WHERE_SCOPED == FOR_CONTROL, outcome
    assert told_by_name(daemon, "control"), daemon.process.log()
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
    """P1. Only root can empty the bounding set; it has no effect under no-new-privileges."""
    void = set() if os.geteuid() == 0 else {"Bnd"}
    for pid in daemon.workers():
        assert all(value == 0 or name in void for name, value in capabilities(pid).items()), capabilities(pid)
    control = capabilities(daemon.pid)
    assert control["Prm"] & ~KEPT == 0 and control["Inh"] == control["Amb"] == 0, control
    assert control["Bnd"] == 0 or void, control


def test_a_worker_has_no_terminal(daemon):
    for pid in daemon.workers():
        assert os.getsid(pid) == pid


# How a certificate is renewed: what is there at first, and the steps of its renewal, in a folder `tls`. `name` is what --tls-cert gets.
RENEWALS = {
    "a file is replaced": ("cert.pem", "mv new cert.pem"),
    "a link leads to another file": ("live/cert.pem", "mkdir live archive; mv cert.pem archive/1; ln -s ../archive/1 live/cert.pem",
                                     "mv new archive/2; ln -sfn ../archive/2 live/cert.pem"),
    "a folder is a link": ("current/cert.pem", "mkdir -p releases/1; mv cert.pem releases/1; ln -s releases/1 current",
                           "mkdir releases/2; mv new releases/2/cert.pem; ln -sfn releases/2 current"),
    "a link behind a link": ("cert.pem", "mkdir ..1; mv cert.pem ..1; ln -s ..1 ..data; ln -s ..data/cert.pem cert.pem",
                             "mkdir ..2; mv new ..2/cert.pem; ln -sfn ..2 ..data; rm -r ..1"),
    "another folder behind two links": ("cert.pem", "mkdir -p far/1; mv cert.pem far/1; ln -s 1 far/now; ln -s far/now/cert.pem cert.pem",
                                        "mkdir far/2; mv new far/2/cert.pem; ln -sfn 2 far/now; rm -r far/1"),
}


@pytest.mark.parametrize("renewal", RENEWALS)
def test_a_renewed_certificate_can_be_read(directory, renewal):
    """File rights are determined once, at start; a file that replaces a certificate later has them, too."""
    if is_sanitized():
        pytest.skip("skipped: under sanitizers the filter only logs")
    name, *steps = RENEWALS[renewal]
    tls = f"{directory}/tls"
    os.mkdir(tls)
    for file in "cert.pem", "new":
        make_certificate(f"{tls}/{file}", f"{tls}/{file}.key", "x")
    for step in steps[:-1]:
        run(["sh", "-ec", step], cwd=tls)
    daemon = Daemon(f"{directory}/d", program=built("warrend_hooked"), environment={"WARREN_GIVEN_FILE": f"{tls}/{name}"},
                    arguments=["--workers", "1", "--tls-cert", f"{tls}/{name}", "--tls-key", f"{tls}/cert.pem.key"])
    os.mkdir(daemon.directory)
    daemon.start()
    try:
        run(["sh", "-ec", steps[-1]], cwd=tls)
        assert attempt(daemon, daemon.pid, "open_given") == "done"
        worker, = daemon.workers()
        assert attempt(daemon, worker, "open_given") in REFUSED
    finally:
        daemon.kill()


def test_a_folder_for_sockets_is_made_again(make_daemon, directory):
    """A program's folder in /run goes and comes with the program: the tunnel's socket can be bound in the new one."""
    folder = f"{directory}/run/app"
    os.makedirs(folder)
    daemon = make_daemon(arguments=["--allow-socket", folder]).start()
    document = {"id": "s", "spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]}, "proxy": {"listen": [f"unix:{folder}/s"]}}}
    for _ in range(2):
        daemon.api.create(document, wait_up=False)
        assert os.path.exists(f"{folder}/s")
        os.unlink(f"{folder}/s")
        os.rmdir(folder)
        os.mkdir(folder)
        daemon.api.patch("s", {"spec": {"limits": {"connections": 9}}})   # any change binds missing sockets again
        assert os.path.exists(f"{folder}/s")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{folder}/s")
        daemon.api.delete("s")
        assert os.listdir(folder) == []
        os.rmdir(folder)
        os.mkdir(folder)
    for outside in f"{directory}/run/s", f"{directory}/run/other/s":
        os.makedirs(os.path.dirname(outside), exist_ok=True)
        document["spec"]["proxy"]["listen"] = [f"unix:{outside}"]
        assert daemon.api.request("POST", "/v1/tunnels", document).status == 422
