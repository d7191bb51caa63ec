"""The other end of a tunnel: a namespace with another WireGuard implementation on a TUN device, and nginx and a DNS server behind it."""

import contextlib
import itertools
import os
import signal

from . import keys, tools
from .certificates import make_certificate
from .namespace import Namespace, link
from .process import wait_until

PORT = 51820
INNER = "10.77.0.1"
INNER6 = "fd77::1"
NAME = "www.far.test"

_NGINX = """
daemon off; user root; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx-error.log;
events {{ worker_connections 4096; }}
http {{
  access_log {dir}/nginx-access.log; sendfile on; client_max_body_size 0; client_body_buffer_size 1m; tcp_nodelay on;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi; default_type text/plain;
  server {{
    listen {v4}:80; listen [{v6}]:80; listen {v4}:443 ssl http2; listen [{v6}]:443 ssl http2;
    ssl_certificate {dir}/tls.crt; ssl_certificate_key {dir}/tls.key;
    root {dir}/www;
    location /put/ {{ dav_methods PUT DELETE; create_full_put_path on; }}
    location /slow/ {{ alias {dir}/www/; limit_rate 2m; }}
    location /protocol {{ return 200 "$server_protocol $request_method\\n"; }}
    location /from {{ return 200 "$remote_addr\\n"; }}
    location /from/ {{ return 200 "$remote_addr $uri\\n"; }}
  }}
}}
"""


class FarEnd:
    def __init__(self, home, number, directory, implementation="wireguard-go"):
        """`home` is the namespace the daemon runs in; the link between them is 198.51.100.(16·number)/28 and 2001:db8:number::/64."""
        self.number, self.directory, self.home = number, directory, home
        self.implementation = implementation
        self.namespace = Namespace(f"far{number}", INNER)
        self.outer, self.home_outer = f"198.51.100.{16 * number + 2}", f"198.51.100.{16 * number + 1}"
        self.outer6, self.home_outer6 = f"2001:db8:{number}::2", f"2001:db8:{number}::1"
        self.home_interface, self.far_interface = link(home, self.namespace, number, (
            [f"{self.home_outer}/28", f"{self.home_outer6}/64"], [f"{self.outer}/28", f"{self.outer6}/64"]))
        self.key = keys.new_key()
        self.interface = f"wt{os.getpid() % 1000000}n{number}"
        self.wireguard = self.nginx = self.dns = None
        self._inner = itertools.count(2)
        self._peers = {}
        os.makedirs(f"{directory}/www/put")
        self.start_wireguard()

    @property
    def public_key(self):
        return self.key.public

    @property
    def endpoint(self):
        return f"{self.outer}:{PORT}"

    def command(self):
        """The program's command line; each of them stays in the foreground."""
        program = tools.path(self.implementation)
        if self.implementation == "boringtun":
            # Its connected sockets would keep a removed source address.
            return [program, "--foreground", "--disable-drop-privileges", "--disable-connected-udp", "--verbosity", "error", self.interface]
        return [program, "-f", self.interface]

    def start_wireguard(self):
        self.wireguard = self.namespace.start(self.command(), f"{self.directory}/wireguard.log",
                                              environment={"LOG_LEVEL": "error", "WG_LOG_LEVEL": "error"})
        wait_until(lambda: os.path.exists(self.control), what="the WireGuard program answers")
        self.configure()
        for public, words in self._peers.items():
            self._set_peer(public, **words)

    @property
    def control(self):
        """The socket that the program is configured over."""
        return f"/var/run/wireguard/{self.interface}.sock"

    def configure(self):
        self.wg("set", self.interface, "listen-port", str(PORT), "private-key", "/dev/stdin", input=self.key.private)
        self.set_addresses(1420)

    def set_addresses(self, mtu):
        self.namespace.ip("address", "add", f"{INNER}/16", "dev", self.interface)
        self.namespace.ip("address", "add", f"{INNER6}/64", "dev", self.interface, "nodad")
        self.namespace.ip("link", "set", self.interface, "mtu", str(mtu), "up")

    def move(self, number):
        """Changes the far end's outer IPv4 address to the one with this number in its network; the old one is removed."""
        old, self.outer = self.outer, f"198.51.100.{16 * self.number + number}"
        self.namespace.ip("address", "add", f"{self.outer}/28", "dev", self.far_interface)
        self.namespace.ip("address", "del", f"{old}/28", "dev", self.far_interface)

    def move_home(self, number):
        """The same for the daemon's side."""
        old, self.home_outer = self.home_outer, f"198.51.100.{16 * self.number + number}"
        self.home.ip("address", "add", f"{self.home_outer}/28", "dev", self.home_interface)
        self.home.ip("address", "del", f"{old}/28", "dev", self.home_interface)

    def lose(self, percent):
        """Drops this share of the tunnels' datagrams at random, on both sides; 0 stops it."""
        self.namespace.drop_randomly(percent)
        self.home.drop_randomly(percent)

    def drop_larger(self, size):
        """The same for the tunnels' datagrams with more than `size` bytes."""
        self.namespace.drop_larger(size)
        self.home.drop_larger(size)

    def stop_wireguard(self):
        self.wireguard.stop()
        wait_until(lambda: not os.path.exists(f"/sys/class/net/{self.interface}"), what="the device is gone")
        self._remove_control()

    def _remove_control(self):
        if os.path.exists(self.control):
            os.unlink(self.control)

    @contextlib.contextmanager
    def away(self):
        """The WireGuard program is stopped meanwhile; its successor has no session."""
        self.stop_wireguard()
        try:
            yield
        finally:
            self.start_wireguard()

    def wg(self, *words, **options):
        return self.namespace.run("wg", *words, **options).stdout

    def new_address(self):
        """An inner IPv4 and IPv6 address that no other test of this run uses."""
        n = next(self._inner)
        return f"10.77.{n // 250 + 1}.{n % 250 + 1}", f"fd77::1:{n:x}"

    def add_peer(self, public, allowed_ips, preshared_key=None, endpoint=None, keepalive=0):
        self._peers[public] = {"allowed_ips": allowed_ips, "preshared_key": preshared_key, "endpoint": endpoint,
                               "keepalive": keepalive}
        self._set_peer(public, **self._peers[public])

    def _set_peer(self, public, allowed_ips, preshared_key, endpoint, keepalive):
        words = ["peer", public, "allowed-ips", ",".join(allowed_ips), "persistent-keepalive", str(keepalive)]
        if endpoint:
            words += ["endpoint", endpoint]
        if preshared_key:
            words += ["preshared-key", "/dev/stdin"]
        self.wg("set", self.interface, *words, input=preshared_key)

    def remove_peer(self, public):
        self._peers.pop(public, None)
        self.wg("set", self.interface, "peer", public, "remove")

    def peer(self, public):
        """The far end's view of a peer: endpoint, latest handshake (UNIX time), bytes received and sent."""
        for line in self.wg("show", self.interface, "dump").splitlines()[1:]:
            fields = line.split("\t")
            if fields[0] == public:
                return {"endpoint": fields[2], "latest_handshake": int(fields[4]),
                        "received": int(fields[5]), "sent": int(fields[6])}
        return None

    def start_nginx(self):
        make_certificate(f"{self.directory}/tls.crt", f"{self.directory}/tls.key", NAME, f"DNS:{NAME}")
        self.write("hello", f"hello from far end {self.number}\n".encode())
        path = f"{self.directory}/nginx.conf"
        with open(path, "w", encoding="ascii") as file:
            file.write(_NGINX.format(dir=self.directory, v4=INNER, v6=INNER6))
        self.nginx = self.namespace.start(["nginx", "-p", self.directory, "-e", f"{self.directory}/nginx-error.log", "-c", path],
                                          f"{self.directory}/nginx.log")
        wait_until(lambda: os.path.exists(f"{self.directory}/nginx.pid") and self.answers(80), what="nginx answers")

    def start_dns(self):
        self.dns = self.namespace.start(
            ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--pid-file=",
             "--bind-interfaces", "--except-interface=lo", f"--listen-address={INNER}", f"--listen-address={INNER6}",
             f"--host-record={NAME},{INNER},{INNER6}", f"--host-record=v4.far.test,{INNER}", f"--host-record=v6.far.test,{INNER6}",
             "--host-record=loopback.far.test,127.0.0.1,::1", "--host-record=linklocal.far.test,169.254.169.254",
             "--host-record=unroutable.far.test,10.77.255.254", "--local=/far.test/", "--log-queries", f"--log-facility={self.directory}/dns.log"],
            f"{self.directory}/dnsmasq.log")
        wait_until(lambda: self.answers(53), what="dnsmasq answers")

    def answers(self, port):
        try:
            self.namespace.connect((INNER, port), timeout=1).close()
        except OSError:
            return False
        return True

    def queries(self):
        """The names queried from the DNS server so far, one log line each."""
        path = f"{self.directory}/dns.log"
        if not os.path.exists(path):
            return []
        with open(path, encoding="ascii", errors="replace") as file:
            return [line for line in file if " query[" in line]

    def write(self, name, content):
        """A file that nginx serves."""
        with open(f"{self.directory}/www/{name}", "wb") as file:
            file.write(content)

    def path(self, name):
        return f"{self.directory}/www/{name}"

    def close(self):
        for process, number in ((self.nginx, signal.SIGTERM), (self.dns, signal.SIGTERM), (self.wireguard, signal.SIGTERM)):
            if process:
                process.stop(number=number)
        self._remove_control()
        self.namespace.close()


class Hop:
    """Another WireGuard device in the far end's namespace, with the addresses 10.NETWORK.0.0/16. It is reached inside the far end's tunnel, at INNER
    or at another hop's address."""

    def __init__(self, far, port, network):
        self.far, self.port, self.network = far, port, network
        self.key = keys.new_key()
        self.interface = f"wv{os.getpid() % 1000000}n{network}"
        self.address = f"10.{network}.0.1"
        self.wireguard = None
        self.peers = []
        self.start()

    @property
    def public_key(self):
        return self.key.public

    def start(self):
        self.wireguard = self.far.namespace.start([tools.path(self.far.implementation), "-f", self.interface], f"{self.far.directory}/{self.interface}.log",
                                                  environment={"LOG_LEVEL": "error"})
        wait_until(lambda: os.path.exists(f"/var/run/wireguard/{self.interface}.sock"), what="the WireGuard program answers")
        self.far.wg("set", self.interface, "listen-port", str(self.port), "private-key", "/dev/stdin", input=self.key.private)
        self.far.namespace.ip("address", "add", f"{self.address}/16", "dev", self.interface)
        self.far.namespace.ip("link", "set", self.interface, "mtu", "1420", "up")
        for public, address in self.peers:
            self._set_peer(public, address)

    def stop(self):
        self.wireguard.stop()
        wait_until(lambda: not os.path.exists(f"/sys/class/net/{self.interface}"), what="the device is gone")

    def add_peer(self, public, address):
        self.peers.append((public, address))
        self._set_peer(public, address)

    def _set_peer(self, public, address):
        self.far.wg("set", self.interface, "peer", public, "allowed-ips", f"{address}/32")
