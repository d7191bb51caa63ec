"""Network namespaces with unique names, and sockets inside them."""

import contextlib
import ctypes
import glob
import os
import re
import shutil
import signal
import socket

from .process import Process, run

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_made = []


def isolate():
    """Gives this process, and all that it starts, a network of its own with nothing but loopback: no other test can take a port of it. Needs root."""
    if os.geteuid() == 0 and shutil.which("ip") and _libc.unshare(_CLONE_NEWNET) == 0:
        run(["ip", "link", "set", "lo", "up"])


def unavailable():
    """Why namespaces cannot be created here, or an empty string."""
    if os.geteuid() != 0:
        return "not root, so no network namespaces"
    if not os.path.exists("/dev/net/tun"):
        return "no /dev/net/tun"
    if not shutil.which("ip"):
        return "no ip program"
    name = f"warren-{os.getpid()}-try"
    if run(["ip", "netns", "add", name], check=False).returncode != 0:
        return "network namespaces cannot be made"
    run(["ip", "netns", "del", name], check=False)
    return ""


def sweep():
    """Removes leftovers of killed test runs: namespaces named after processes that no longer exist, and the processes in them."""
    for path in glob.glob("/run/netns/warren-*"):
        match = re.fullmatch(r"warren-(\d+)-.*", os.path.basename(path))
        if match and not os.path.exists(f"/proc/{match.group(1)}"):
            for pid in run(["ip", "netns", "pids", os.path.basename(path)], check=False).stdout.split():
                os.kill(int(pid), signal.SIGKILL)
            run(["ip", "netns", "del", os.path.basename(path)], check=False)
            shutil.rmtree(f"/etc/netns/{os.path.basename(path)}", ignore_errors=True)


class Namespace:
    def __init__(self, role, nameserver=None):
        self.name = f"warren-{os.getpid()}-{role}"
        run(["ip", "netns", "add", self.name])
        _made.append(self)
        self.ip("link", "set", "lo", "up")
        # Removing an address keeps other addresses of its network.
        self.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/all/promote_secondaries")
        self.resolver_directory = f"/etc/netns/{self.name}"
        os.makedirs(self.resolver_directory)
        with open(f"{self.resolver_directory}/resolv.conf", "w", encoding="ascii") as file:
            file.write(f"nameserver {nameserver}\n" if nameserver else "")

    def ip(self, *words):
        return run(["ip", "-n", self.name, *words]).stdout

    def command(self, argv):
        return ["ip", "netns", "exec", self.name, *argv]

    def run(self, *argv, **options):
        return run(self.command(list(argv)), **options)

    def start(self, argv, log, **options):
        return Process(self.command(argv), log, name=os.path.basename(argv[0]), **options)

    @contextlib.contextmanager
    def entered(self):
        """Puts this thread into the namespace; sockets created meanwhile stay in it."""
        with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{self.name}", "rb") as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM):
        with self.entered():
            return socket.socket(family, kind)

    def connect(self, address, timeout=60):
        """A TCP connection to (host, port)."""
        sock = self.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        sock.settimeout(timeout)
        try:
            sock.connect(address)
        except OSError:
            sock.close()
            raise
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def listen(self, address):
        sock = self.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(256)
        return sock

    def drop_randomly(self, percent):
        """Drops this share of incoming UDP, at random; 0 stops it."""
        self._drop(percent and f"numgen random mod 100 < {percent}")

    def drop_larger(self, size):
        """Drops incoming UDP with a larger payload; 0 stops it."""
        self._drop(size and f"udp length > {size + 8}")

    def _drop(self, what):
        self.run("nft", "delete", "table", "inet", "warren", check=False)
        if what:
            rules = f"""
                table inet warren {{
                    chain input {{
                        type filter hook input priority 0;
                        iifname != "lo" meta l4proto udp {what} counter drop
                    }}
                }}"""
            self.run("nft", "-f", "-", input=rules)

    def close(self):
        if self not in _made:
            return
        _made.remove(self)
        run(["ip", "netns", "del", self.name], check=False)
        shutil.rmtree(self.resolver_directory, ignore_errors=True)


def _enter(descriptor):
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def close_all():
    for namespace in list(_made):
        namespace.close()


def link(one, two, number, addresses):
    """A veth pair; `addresses` are two lists of prefixes, one for each end."""
    names = (f"to{number}", f"from{number}")
    run(["ip", "-n", one.name, "link", "add", names[0], "type", "veth", "peer", "name", names[1], "netns", two.name])
    for namespace, name, prefixes in zip((one, two), names, addresses):
        for prefix in prefixes:
            namespace.ip("address", "add", prefix, "dev", name, *(["nodad"] if ":" in prefix else []))
        namespace.ip("link", "set", name, "up")
    return names
