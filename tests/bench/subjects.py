"""The programs that are measured: each can say why it is missing, start, name its processes, and end."""

import json
import os
import signal
import subprocess

from harness import keys, tools
from harness.daemon import Daemon, binary
from harness.farend import INNER, PORT, Hop
from harness.process import wait_until

MTU = 1420


def end_like_interrupt():
    """SIGTERM takes down what was made, as Ctrl-C does."""
    def interrupt(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, interrupt)


class Subject:
    """`host`, `port`: the load server as seen through it. `proxy`: HOST:PORT of its HTTP proxy, or None when it has none;
    `socks_proxy` likewise."""
    name = ""

    def __init__(self, world, directory):
        self.world, self.directory = world, directory
        self.host, self.port, self.proxy, self.socks_proxy = world.far_host, world.port, None, None
        self.process = None
        self.carries_datagrams = True  # by SOCKS5 or without a proxy
        self.hop = None  # ours: the proxy of a tunnel through the first one, made when it is measured
        self.smaller = {}  # ours: proxies of tunnels with smaller MTUs, by MTU, made when they are measured
        self.pools = {}  # ours: the same tunnel through a pool, made when they are measured
        self.key = keys.new_key()
        os.makedirs(directory)

    def missing(self):
        return f"needs the far end: {self.world.why}" if self.world.why else ""

    def start(self):
        """Starts it and has the tunnel up; returns why it failed, or an empty string."""
        try:
            self.launch()
            self.wait_for_traffic()
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            self.stop()
            return f"did not start: {str(error)[:300]}"
        return ""

    def launch(self):
        raise NotImplementedError

    def wait_for_traffic(self):
        def works():
            try:
                return self.world.run("stream", self.host, self.port, self.proxy or "-", "down", 1000, 1, timeout=10)
            except (AssertionError, subprocess.TimeoutExpired):
                return None
        wait_until(works, timeout=20, interval=0.2, what=f"traffic through {self.name}")

    def pids(self):
        return [self.process.pid]

    def stop(self):
        if self.process:
            self.process.stop()

    def make_pools(self):
        """None, but for ours."""

    def make_hop(self):
        """HOST:PORT of the proxy of a tunnel through the first one; None, but for ours."""

    def make_smaller(self):
        """None, but for ours."""

    def add_peer(self):
        """This subject as a peer of the far end; its inner address."""
        address, _ = self.world.far.new_address()
        self.world.far.add_peer(self.key.public, [f"{address}/32"])
        return address

    def run(self, argv, **options):
        self.process = self.world.home.start(argv, f"{self.directory}/log", **options)


class Warren(Subject):
    name = "warren"

    def missing(self):
        return "" if os.path.exists(binary()) else f"{os.path.basename(binary())} is not built"

    program = None  # the one under test

    def launch(self):
        self.daemon = Daemon(self.directory, namespace=self.world.home, program=self.program).start()
        self.process = self.daemon.process
        if self.world.far:
            peer = {"public_key": self.world.far.public_key, "endpoint": self.world.far.endpoint, "allowed_ips": ["0.0.0.0/0"]}
            interface = {"private_key": self.key.private, "addresses": [self.add_peer()], "mtu": MTU}
        else:
            peer, interface = self._over_loopback()
        created = self.daemon.api.create({"id": "bench", "spec": {"interface": interface, "peers": [peer]}})
        self.proxy = self.socks_proxy = created["status"]["listen"][0]
        self.worker = created["status"]["worker"]

    def make_pools(self):
        """A pool over the tunnel on its own worker, and one on another, if there is another."""
        for number in range(8):
            if len(self.pools) == 2:
                return
            document = {"id": f"pool{number}", "spec": {"proxy": {"listen": ["127.0.0.1:0"]}, "members": {"tunnels": ["bench"]}}}
            created = self.daemon.api.expect(201, "POST", "/v1/pools?wait=up", document).json
            place = "pool_here" if created["status"]["worker"] == self.worker else "pool_there"
            self.pools.setdefault(place, created["status"]["listen"][0])

    def make_hop(self):
        if not self.world.far:
            return
        hop, key = Hop(self.world.far, PORT + 1, 78), keys.new_key()
        hop.add_peer(key.public, "10.78.1.2")
        created = self.daemon.api.create({"id": "hop", "spec": {
            "interface": {"private_key": key.private, "addresses": ["10.78.1.2"], "via": "bench"},
            "peers": [{"public_key": hop.public_key, "endpoint": f"{INNER}:{PORT + 1}", "allowed_ips": ["0.0.0.0/0"]}]}})
        self.hop = created["status"]["listen"][0]

    def make_smaller(self):
        for mtu in (1280, 576) if self.world.far else ():
            key, (address, _) = keys.new_key(), self.world.far.new_address()
            self.world.far.add_peer(key.public, [f"{address}/32"])
            peer = {"public_key": self.world.far.public_key, "endpoint": self.world.far.endpoint, "allowed_ips": ["0.0.0.0/0"]}
            created = self.daemon.api.create({"id": f"mtu{mtu}", "spec": {
                "interface": {"private_key": key.private, "addresses": [address], "mtu": mtu}, "peers": [peer]}})
            self.smaller[mtu] = created["status"]["listen"][0]

    def _over_loopback(self):
        far = keys.new_key()
        created = self.daemon.api.create({"id": "far", "spec": {
            "interface": {"private_key": far.private, "addresses": ["10.99.0.1"], "mtu": MTU},
            "peers": [{"public_key": self.key.public, "allowed_ips": ["10.99.0.2/32"]}],
            "forwards": [{"name": "load", "direction": "inbound", "protocol": "tcp", "listen": f"10.99.0.1:{self.port}",
                          "target": f"127.0.0.1:{self.port}"}]}}, wait_up=False)
        self.host, self.carries_datagrams = "10.99.0.1", False
        return ({"public_key": far.public, "endpoint": f"127.0.0.1:{created['status']['udp_port']}", "allowed_ips": ["0.0.0.0/0"]},
                {"private_key": self.key.private, "addresses": ["10.99.0.2"], "mtu": MTU})

    def pids(self):
        return self.daemon.family()


class WarrenBefore(Warren):
    """Another build of this program, to tell what a change costs: WARREND_BEFORE names its warrend."""
    name = "warren before"
    program = os.environ.get("WARREND_BEFORE")

    def missing(self):
        return "" if self.program else "WARREND_BEFORE names no warrend"

    def make_pools(self):
        """None: it may be from before they were there."""

    def make_hop(self):
        """None, likewise."""


class Wireproxy(Subject):
    name = "wireproxy"

    def missing(self):
        program = os.environ.get("WIREPROXY")
        if not program or not os.path.exists(program):
            return "WIREPROXY does not name its binary"
        return super().missing()

    def launch(self):
        self.proxy, self.socks_proxy, self.carries_datagrams = "127.0.0.1:3128", "127.0.0.1:3130", False
        path = f"{self.directory}/wireproxy.conf"
        with open(path, "w", encoding="ascii") as file:
            file.write(f"""[Interface]
PrivateKey = {self.key.private}
Address = {self.add_peer()}/32
MTU = {MTU}

[Peer]
PublicKey = {self.world.far.public_key}
Endpoint = {self.world.far.endpoint}
AllowedIPs = 0.0.0.0/0

[http]
BindAddress = {self.proxy}

[Socks5]
BindAddress = {self.socks_proxy}
""")
        self.run([os.environ["WIREPROXY"], "-s", "-c", path])


class Mihomo(Subject):
    name = "mihomo"

    def missing(self):
        program = os.environ.get("MIHOMO")
        if not program or not os.path.exists(program):
            return "MIHOMO does not name its binary"
        return super().missing()

    def launch(self):
        self.proxy, self.socks_proxy = "127.0.0.1:3132", "127.0.0.1:3133"
        host, port = self.world.far.endpoint.rsplit(":", 1)
        path = f"{self.directory}/config.yaml"
        with open(path, "w", encoding="ascii") as file:
            json.dump({
                "port": 3132, "socks-port": 3133, "mode": "rule", "log-level": "silent", "ipv6": False, "rules": ["MATCH,far"],
                "proxies": [{"name": "far", "type": "wireguard", "server": host, "port": int(port), "ip": f"{self.add_peer()}/32",
                             "private-key": self.key.private, "public-key": self.world.far.public_key, "allowed-ips": ["0.0.0.0/0"],
                             "mtu": MTU, "udp": True}]}, file)
        self.run([os.environ["MIHOMO"], "-d", self.directory, "-f", path])


class Xray(Subject):
    name = "xray"

    def missing(self):
        why = super().missing()
        if why:
            return why
        self.program = tools.go_install("xray", "github.com/xtls/xray-core/main@latest")
        return "" if self.program else "its Go module could not be installed here (a recent Go is needed)"

    def launch(self):
        self.proxy, self.socks_proxy = "127.0.0.1:3129", "127.0.0.1:3131"
        path = f"{self.directory}/xray.json"
        with open(path, "w", encoding="ascii") as file:
            json.dump({
                "log": {"loglevel": "none"},
                "inbounds": [{"listen": "127.0.0.1", "port": 3129, "protocol": "http"}, {"listen": "127.0.0.1", "port": 3131, "protocol": "socks"}],
                "outbounds": [{"protocol": "wireguard", "settings": {
                    "secretKey": self.key.private, "address": [f"{self.add_peer()}/32"], "mtu": MTU, "noKernelTun": True,
                    "peers": [{"publicKey": self.world.far.public_key, "endpoint": self.world.far.endpoint}]}}]}, file)
        self.run([self.program, "run", "-c", path])


class WireguardGo(Subject):
    """No proxy and no TCP of its own: the kernel's, whose time is not in these figures."""
    name = "wireguard-go TUN"

    def launch(self):
        program = tools.path(self.world.far.implementation)
        interface = f"wb{os.getpid() % 1000000}"
        home, far = self.world.home, self.world.far
        self.run([program, "-f", interface], environment={"LOG_LEVEL": "error"})
        wait_until(lambda: os.path.exists(f"/var/run/wireguard/{interface}.sock"), what="wireguard-go answers")
        home.run("wg", "set", interface, "private-key", "/dev/stdin", "peer", far.public_key, "endpoint", far.endpoint,
                 "allowed-ips", "10.77.0.0/16", input=self.key.private)
        home.ip("address", "add", f"{self.add_peer()}/16", "dev", interface)
        home.ip("link", "set", interface, "mtu", str(MTU), "up")


ALL = [Warren, WarrenBefore, Wireproxy, Mihomo, Xray, WireguardGo]
