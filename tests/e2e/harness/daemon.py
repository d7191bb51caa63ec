"""The daemon under test, with a state directory of its own."""

import os
import signal
import time

from . import process
from .api import Api
from .process import PATIENCE, Process, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
_REPORTS = ("the sandbox refused", "ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "WARNING: ThreadSanitizer", "Assertion ")


def binary():
    return os.environ.get("WARREND", f"{ROOT}/build/release/warrend")


def is_sanitized():
    """Sanitizers cost speed; time limits apply only to the release build."""
    with open(binary(), "rb") as file:
        return b"__asan_init" in file.read() or "tsan" in binary()


class Daemon:
    def __init__(self, directory, namespace=None, arguments=(), environment=None, listen="127.0.0.1:0", prefix=(), program=None):
        self.directory, self.namespace = directory, namespace
        self.arguments = list(arguments)
        self.environment = environment or {}
        self.listen, self.prefix = listen, list(prefix)
        self.program = program or binary()
        self.state_dir = f"{directory}/state"
        self.process = None
        self.address = None

    @property
    def pid(self):
        return self.process.pid

    def argv(self):
        return [*self.prefix, self.program, "--state-dir", self.state_dir, "--listen", self.listen, *self.arguments]

    def start(self, wait=True, timeout=15):
        addr = f"{self.state_dir}/api.addr"
        if os.path.exists(addr):
            os.unlink(addr)
        argv = self.namespace.command(self.argv()) if self.namespace else self.argv()
        self.process = Process(argv, f"{self.directory}/warrend.log", name="warrend", environment=self.environment)
        if wait:
            wait_until(lambda: self._has_address(addr) or not self.process.is_running(), timeout, what="api.addr is there")
            assert self.process.is_running(), f"warrend ended at its start:\n{self.process.log()[-3000:]}"
            with open(addr, encoding="ascii") as file:
                self.address = file.read().strip()
            wait_until(lambda: self.api.request("GET", "/readyz").status == 200, timeout, what="the daemon is ready")
            # Each worker is asked, behind the links to others that it is given when it becomes ready: descriptors can be counted from here on.
            self.api.request("GET", "/v1/connections")
        return self

    @staticmethod
    def _has_address(path):
        return os.path.exists(path) and os.path.getsize(path) > 0

    @property
    def api(self):
        given = self.arguments.index("--unix-socket") + 1 if "--unix-socket" in self.arguments else 0
        return Api.over_unix(self.arguments[given] if given else f"{self.state_dir}/api.sock")

    @property
    def token(self):
        with open(f"{self.state_dir}/admin.token", encoding="ascii") as file:
            return file.read().strip()

    def tcp_api(self, token=None):
        return Api.over_tcp(self.address, token or self.token, namespace=self.namespace)

    def workers(self):
        return process.children(self.pid)

    def family(self):
        """The control process and its workers."""
        return [self.pid, *self.workers()]

    def descriptors(self):
        return sum(process.descriptors(pid) for pid in self.family())

    def threads(self):
        return sum(process.threads(pid) for pid in self.family())

    def resident_kilobytes(self):
        return sum(process.resident_kilobytes(pid) for pid in self.family())

    def kill(self):
        """Kills it as a power cut would: the control process and, by their death signal, its workers."""
        workers = self.workers()
        self.process.stop(number=signal.SIGKILL)
        wait_until(lambda: not any(process.is_alive(pid) for pid in workers), what="workers die with the daemon")

    def stop(self, limit=5):
        """SIGTERM; it must exit with 0 in time and must not have logged anything unexpected."""
        before = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE * limit)
        elapsed = time.monotonic() - before
        if code is None:
            self.process.stop(number=signal.SIGKILL)
            raise AssertionError(f"warrend did not end within {PATIENCE * limit} s of SIGTERM:\n{self.tail()}")
        self.check_log()
        assert code == 0, f"warrend ended with {code} after SIGTERM:\n{self.tail()}"
        return elapsed

    def check_log(self):
        log = self.process.log()
        for report in _REPORTS:
            assert report not in log, f"{report}:\n{log[log.index(report) - 200:][:6000]}"

    def tail(self):
        return self.process.log()[-3000:]
