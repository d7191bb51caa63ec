"""Programs that a test starts. Only these are ever killed, each by its own process id."""

import ctypes
import os
import signal
import subprocess
import time

from . import clock

# A bound of time guards against a hang and nothing else: on a machine that does other work, each is so many times longer.
PATIENCE = 5

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_running = []


def die_with_parent():
    """Runs between fork and exec, so that a killed test run leaves nothing behind."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A long-running program whose output goes to a file."""

    def __init__(self, argv, log, name=None, environment=None, cwd=None, descriptors=()):
        """`descriptors` are files of this process that it has, too, by the same numbers."""
        self.name = name or os.path.basename(argv[0])
        self.log_path = log
        with open(log, "ab") as output:
            self.popen = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd,
                env={**os.environ, **(environment or {})}, pass_fds=descriptors, preexec_fn=die_with_parent)
        self.pid = self.popen.pid
        _running.append(self)

    def is_running(self):
        return self.popen.poll() is None

    def send_signal(self, number):
        if self.is_running():
            self.popen.send_signal(number)

    def wait(self, timeout):
        """The exit code; None if it still runs after `timeout` seconds."""
        try:
            code = self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        if self in _running:
            _running.remove(self)
        return code

    def stop(self, timeout=5 * PATIENCE, number=signal.SIGTERM):
        """Terminates it, by force if necessary, and returns the exit code."""
        self.send_signal(number)
        code = self.wait(timeout)
        if code is None:
            self.send_signal(signal.SIGKILL)
            code = self.wait(5)
        return code

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()


def stop_all():
    """The last resort when a test run is interrupted."""
    for process in list(_running):
        process.stop(timeout=1)


def wait_until(condition, timeout=10, interval=0.02, what="condition"):
    """Polls until `condition()` is true and returns its value."""
    deadline = time.monotonic() + PATIENCE * timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE * timeout} s: {what}")
        time.sleep(interval)


def at_rest(read, calm=0.5, timeout=20, what="figures"):
    """Waits until `read()` has returned the same for `calm` seconds, and returns that."""
    last, since = read(), time.monotonic()

    def is_calm():
        nonlocal last, since
        if (now := read()) != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since >= calm
    wait_until(is_calm, timeout, what=f"{what} are at rest")
    return last


def run(argv, timeout=300, check=True, **options):
    """Runs a short program; returns its output as text."""
    options.setdefault("text", True)
    result = subprocess.run(argv, capture_output=True, timeout=timeout, **options)
    if check and result.returncode != 0:
        raise AssertionError(f"{argv}: exit {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result


def cpu_seconds(pid):
    """User and system time of one process so far, by its own clock: to the nanosecond, where /proc counts in hundredths of a second."""
    return time.clock_gettime((~pid << 3) | 2)  # the kernel's include/linux/posix-timers_types.h: CPUCLOCK_SCHED of a process


def cpu_within(pids, seconds):
    """How much of it they take in the next so many seconds."""
    before = {pid: cpu_seconds(pid) for pid in pids}
    clock.let_pass(seconds, "their CPU time is measured")
    return sum(cpu_seconds(pid) - spent for pid, spent in before.items() if is_alive(pid))


def is_alive(pid):
    """A process that is dead but not yet waited for is not alive."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children(pid):
    """Process ids of the direct children."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += [int(child) for child in file.read().split()]
        except FileNotFoundError:
            pass
    return sorted(found)


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def resident_kilobytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0
