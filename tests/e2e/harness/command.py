"""The command `warren`, run as a person or a script would."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

from .daemon import binary
from .process import die_with_parent

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def program():
    return os.environ.get("WARREN", f"{os.path.dirname(binary())}/warren")


def environment(state_dir, **more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WARREN_") and name not in ("STATE_DIRECTORY", "XDG_STATE_HOME")}
    return {**kept, "WARREN_STATE_DIR": state_dir, "TERM": "xterm", **more}


class Command:
    """warren("ls") for the daemon of a state directory."""

    def __init__(self, state_dir):
        self.state_dir = state_dir

    def __call__(self, *words, code=0, stdin="", **more):
        result = subprocess.run([program(), *words], capture_output=True, text=True, input=stdin, timeout=300, preexec_fn=die_with_parent,
                                env=environment(self.state_dir, **more))
        assert result.returncode == code, f"{words}: exit {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result

    def rows(self, *words):
        """The cells of a table, its titles first."""
        return [re.split(r"  +", line.strip()) for line in self(*words).stdout.splitlines()]


class Terminal:
    """The command, or another program, on a terminal of its own."""

    def __init__(self, state_dir, *words, columns=80, rows=24, argv=None, env=None, **more):
        self.master, self.slave = pty.openpty()
        self.resize(columns, rows)
        self.seen = b""

        def take_terminal():
            die_with_parent()
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        self.process = subprocess.Popen(argv or [program(), *words], stdin=self.slave, stdout=self.slave, stderr=self.slave, close_fds=True,
                                        preexec_fn=take_terminal, env=env or environment(state_dir, **more))
        self.before = termios.tcgetattr(self.slave)

    def resize(self, columns, rows):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds=0.05):
        while select.select([self.master], [], [], seconds)[0]:
            try:
                piece = os.read(self.master, 65536)
            except OSError:
                return
            if not piece:
                return
            self.seen += piece
            seconds = 0

    def wait_for(self, pattern, timeout=15):
        """Until the output since the last clear matches."""
        deadline = time.monotonic() + timeout
        while not re.search(pattern, self.text()):
            assert time.monotonic() < deadline, f"{pattern!r} not in {self.text()!r}"
            self.read()

    def clear(self):
        self.read(0)
        self.seen = b""

    def text(self):
        return self.seen.decode(errors="replace")

    def pictures(self):
        """What was drawn on the whole screen, without colours: lists of lines."""
        pieces = COLOUR.sub("", self.text()).split("\x1b[H")[1:]
        return [[line.removesuffix("\x1b[K") for line in piece.split("\x1b[J")[0].split("\r\n")] for piece in pieces if "\x1b[J" in piece]

    def type(self, keys):
        os.write(self.master, keys.encode())

    def wait(self, timeout=15):
        """The exit code; reads what is written until then."""
        deadline = time.monotonic() + timeout
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it goes on: {self.text()!r}"
            self.read()
        self.read(0)
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)
