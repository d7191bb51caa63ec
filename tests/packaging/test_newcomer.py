"""README.md in a fresh Debian: each of its commands, in order, as it stands there. Only addresses of examples are put in place, and `scripts/test`
is not run, because it is what runs this."""

import os
import re
import signal
import subprocess

import pytest

import test_readme
from debian import reason_to_skip
from harness.process import wait_until

WHY = reason_to_skip("curl", "git")
pytestmark = [pytest.mark.long, pytest.mark.skipif(WHY is not None, reason=str(WHY))]
LIMIT = 1200   # seconds for what installs and builds


def commands(block):
    return [line.split("  #")[0].strip() for line in block.splitlines() if line.strip()]


class Checkout:
    def __init__(self, root):
        self.root = root
        root.check_out("root/warren-src")
        # apt and the dynamic loader's cache want what a real machine has.
        self.environment = {**root.environment(), "WARREN_LISTEN": "127.0.0.1:0"}
        self.log = f"{root.path}/root/log"

    def start(self, command):
        with open(self.log, "wb") as output:
            return subprocess.Popen(["/usr/sbin/chroot", self.root.path, "bash", "-c", f"cd ~/warren-src\n{command}"], env=self.environment,
                                    stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)

    def printed(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def run(self, command):
        process = self.start(command)
        assert process.wait(LIMIT) == 0, f"{command}:\n{self.printed()[-3000:]}"


@pytest.fixture(scope="module")
def checkout(make_root):
    return Checkout(make_root())


def test_the_two_minutes(checkout):
    quickstart, tests = commands(test_readme.block("scripts/quickstart "))
    assert tests == "scripts/test"
    process = checkout.start(f"exec {quickstart}")
    try:
        wait_until(lambda: "Ctrl-C ends it" in checkout.printed() or process.poll() is not None, LIMIT, 1, "quickstart has come to its end")
        printed = checkout.printed()
        assert process.poll() is None, printed[-3000:]
        assert "Hello from behind the tunnel." in printed and re.search(r'"bytes_received": [1-9]', printed), printed[-3000:]
        assert re.search(r"Web page: http://127\.0\.0\.1:\d+/#token=\S+", printed), printed[-3000:]
    finally:
        os.killpg(process.pid, signal.SIGINT)
        code = process.wait(20)
    assert code == 130


def test_everything_else_in_order(checkout):
    configure, start, *_ = commands(test_readme.block("--preset release"))
    checkout.run(configure)
    assert start.endswith(" &")
    daemon = checkout.start(f"exec {start.removesuffix(' &')}")
    try:
        state = f"{checkout.root.path}/root/warren"
        wait_until(lambda: os.path.exists(f"{state}/api.addr") or daemon.poll() is not None, what="the API answers")
        assert daemon.poll() is None, checkout.printed()
        with open(f"{state}/api.addr", encoding="ascii") as file:
            address = file.read().strip()
        shell = test_readme.Shell("/root", address, ["/usr/sbin/chroot", checkout.root.path], checkout.environment,
                                  "/root/warren-src/build/release")
        test_readme.use_everything(shell, f"{checkout.root.path}/root")
    finally:
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(10) == 0, checkout.printed()
