"""The program of a daemon that is a file of its own, and what takes its place."""

import os
import signal

from .daemon import binary
from .process import run, wait_until

_LINES = {"daemon.upgraded": "has taken over", "daemon.upgrade_failed": "this version goes on"}


def built(name):
    """A program beside the tests of this build: warrend_hooked, or warrend under another version."""
    return os.environ.get(name.upper(), os.path.join(os.path.dirname(binary()), "tests", name))


def install(daemon, program):
    """As a package does: another file takes the name. A process of its own copies it: what a thread of this one starts meanwhile would hold the
    file open for writing, and it could not be executed."""
    run(["cp", program, f"{daemon.program}.new"])
    os.rename(f"{daemon.program}.new", daemon.program)


def told(daemon, type):
    """How often the log has said so."""
    return daemon.process.log().count(_LINES[type])


def upgrade(daemon, program, result="daemon.upgraded"):
    before = {type: told(daemon, type) for type in _LINES}
    install(daemon, program)
    daemon.process.send_signal(signal.SIGUSR2)
    wait_until(lambda: any(told(daemon, type) > before[type] for type in _LINES), what="the upgrade's result")
    assert told(daemon, result) > before[result], daemon.tail()
    wait_until(lambda: daemon.api.request("GET", "/readyz").status == 200, what="the API answers")
