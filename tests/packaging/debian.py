"""A Debian system in a directory, created by debootstrap, that shares the machine's network."""

import os
import re
import shutil
import subprocess
import tempfile
import time

import pytest

from confinement import leave_mounts


def reason_to_skip(*programs):
    if os.geteuid() != 0:
        return "skipped: a fresh Debian needs root"
    missing = [name for name in ("debootstrap", *programs) if not shutil.which(name)]
    return f"skipped: {', '.join(missing)} not installed" if missing else None


def codename():
    return re.search(r"^VERSION_CODENAME=(\w+)", open("/etc/os-release", encoding="utf-8").read(), re.M).group(1)


def bootstrap(path):
    before = time.monotonic()
    done = subprocess.run(["debootstrap", "--variant=minbase", codename(), path], capture_output=True, text=True)
    if "Failed getting release file" in done.stdout + done.stderr:
        pytest.skip("skipped: debootstrap reaches no mirror")
    assert done.returncode == 0, done.stdout[-3000:]
    print(f"\ndebootstrap: {time.monotonic() - before:.0f} s")


class Root:
    """A copy of the fresh Debian `base`, until it is closed."""

    def __init__(self, base):
        self.path = tempfile.mkdtemp(prefix="warren-deb-")
        subprocess.run(["cp", "-a", f"{base}/.", self.path], check=True)
        os.chmod(self.path, 0o755)
        leave_mounts()
        subprocess.run(["mount", "-t", "proc", "proc", f"{self.path}/proc"], check=True)

    def close(self):
        subprocess.run(["umount", f"{self.path}/proc"], check=True)
        shutil.rmtree(self.path)

    def environment(self):
        """As after a login of root; apt may need the machine's proxy."""
        proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
        return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8",
                "DEBIAN_FRONTEND": "noninteractive", **proxies}

    def run(self, *words):
        done = subprocess.run(["chroot", self.path, *words], capture_output=True, text=True, env=self.environment())
        assert done.returncode == 0, f"{words}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def install(self, package, *options):
        """What apt and the maintainer scripts said."""
        shutil.copy(package, f"{self.path}/root/package.deb")
        try:
            return self.run("sh", "-c", 'exec "$@" 2>&1', "sh", "apt-get", "-q", "install", "-y", "--no-install-recommends", *options, "/root/package.deb")
        finally:
            os.unlink(f"{self.path}/root/package.deb")

    def traces(self):
        """Paths with the package's name in them; dpkg's and apt's logs are history."""
        found = subprocess.run(["find", self.path, "-mindepth", "1", "-xdev", "-iname", "*warren*"],
                               capture_output=True, text=True, check=True).stdout.split()
        return [path.removeprefix(self.path) for path in found]

    def check_out(self, to):
        """The files of the checkout, without what a build left there."""
        source = os.path.realpath(f"{os.path.dirname(os.path.abspath(__file__))}/../..")
        listed = subprocess.run(["git", "-C", source, "ls-files", "-z"], capture_output=True, check=True).stdout
        os.makedirs(f"{self.path}/{to}")
        subprocess.run(["cp", "-a", "--parents", "-t", f"{self.path}/{to}", *listed.decode().strip("\0").split("\0")], cwd=source, check=True)
