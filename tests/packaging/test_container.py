"""The steps of packaging/Containerfile, run one by one in a fresh Debian as an engine would run them."""

import glob
import os
import re
import shlex
import shutil
import signal
import subprocess

import pytest

from debian import codename, reason_to_skip
from harness.process import wait_until

WHY = reason_to_skip("curl")
pytestmark = pytest.mark.skipif(WHY is not None, reason=str(WHY))

HERE = os.path.dirname(os.path.abspath(__file__))
with open(f"{HERE}/../../packaging/Containerfile", encoding="utf-8") as file:
    STEPS = [line.split(None, 1) for line in file.read().splitlines() if line and not line.startswith("#")]


def stages():
    """The steps after each FROM."""
    found = []
    for word, rest in STEPS:
        if word == "FROM":
            assert f"/debian:{codename()}-slim" in rest, rest
            found.append([])
        else:
            found[-1].append((word, rest))
    return found


class Container:
    def __init__(self, root):
        self.root, self.folder, self.environment, self.user, self.entry, self.health = root, "/", {}, "root", None, None

    def build(self, steps, copy):
        """`copy` does a COPY."""
        for word, rest in steps:
            if word == "RUN":
                self.root.run("sh", "-ec", f"cd {self.folder}\n{rest}")
            elif word == "COPY":
                copy(rest)
            elif word == "WORKDIR":
                self.folder = rest
            elif word == "ENV":
                name, value = rest.split("=", 1)
                self.environment[name] = value
            elif word == "USER":
                self.user = rest
            elif word == "ENTRYPOINT":
                self.entry = shlex.split(re.sub(r"[\[\],]", " ", rest))
            elif word == "HEALTHCHECK":
                self.health = shlex.split(re.sub(r"[\[\],]", " ", rest.partition("CMD ")[2]))
            else:
                assert word == "VOLUME", word

    def words(self):
        """What runs a program in the container, as its user."""
        uid, gid = self.root.run("getent", "passwd", self.user).split(":")[2:4]
        return ["/usr/sbin/chroot", f"--userspec={uid}:{gid}", "--groups=", self.root.path]

    def start(self, *arguments):
        with open(f"{self.root.path}/root/log", "wb") as output:
            return subprocess.Popen([*self.words(), *self.entry, *arguments], env=self.environment, stdout=output, stderr=output)

    def is_healthy(self):
        return subprocess.run([*self.words(), *self.health], env=self.environment, capture_output=True, check=False).returncode == 0


def test_the_image_runs_without_privilege(make_root, package):
    container = Container(make_root())

    def copy(rest):
        place, target = rest.removeprefix("--from=build ").split()
        assert os.path.dirname(place) == "/src/build/release" and target == "/root/", rest
        shutil.copy(package, f"{container.root.path}/root/")
    container.build(stages()[1], copy)
    assert container.user not in ("root", "0")
    daemon = container.start("--listen", "127.0.0.1:0")
    try:
        state = f"{container.root.path}{container.environment['STATE_DIRECTORY']}"
        wait_until(lambda: os.path.exists(f"{state}/api.addr") or daemon.poll() is not None, what="the API answers")
        assert daemon.poll() is None, open(f"{container.root.path}/root/log", encoding="utf-8").read()
        done = subprocess.run(["curl", "-sS", "-f", "--unix-socket", f"{state}/api.sock", "http://localhost/v1/tunnels"], capture_output=True)
        assert done.returncode == 0 and b'"tunnels":[]' in done.stdout.replace(b" ", b""), done
        wait_until(container.is_healthy, what="HEALTHCHECK succeeds")
    finally:
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(10) == 0
    assert not container.is_healthy()
    assert not glob.glob(f"{container.root.path}/root/*.deb")


@pytest.mark.long
def test_the_image_is_built(make_root):
    container = Container(make_root())

    def copy(rest):
        assert rest == ". .", rest
        container.root.check_out(container.folder)
    container.build(stages()[0], copy)
    assert glob.glob(f"{container.root.path}/src/build/release/warren_*.deb")
