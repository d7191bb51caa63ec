"""A fleet on one machine: members of etcd and daemons, all on loopback."""

import http.client
import os
import re
import shutil
import signal

from . import keys
from .daemon import Daemon, binary
from .etcd import Cluster
from .process import wait_until
from .referee import Way
from .servers import Server, free_port, read_head

READY = 60  # a guard against a hang: how fast it is on a machine with time to spare is the simulation's to show (tests/fleet)


class Node(Daemon):
    def __init__(self, fleet, name, urls, arguments=(), namespace=None, program=None):
        port = 8000 if namespace else free_port()
        self.name = name
        words = ["--workers", "1", "--node", name, "--node-api", f"http://127.0.0.1:{port}", "--fleet-key-file", fleet.key, *arguments]
        for url in urls:
            words += ["--fleet", url]
        os.makedirs(f"{fleet.directory}/{name}/bin", exist_ok=True)
        super().__init__(f"{fleet.directory}/{name}", namespace, words, listen=f"127.0.0.1:{port}",
                         program=f"{fleet.directory}/{name}/bin/warrend")
        shutil.copy(program or binary(), self.program)  # what an upgrade replaces

    def nodes(self):
        return {node["id"]: node for node in self.api.get("/v1/nodes")["nodes"]}

    def states(self):
        return {name: node["state"] for name, node in self.nodes().items()}

    def fleet(self):
        """Of /v1/info."""
        return self.api.get("/v1/info")["fleet"]

    def runs(self, id):
        """Whether it has the tunnel on one of its workers."""
        return id in self.running()

    def running(self):
        """The tunnels that it has on its workers."""
        return set(re.findall(r'^warren_tunnel_enabled\{tunnel="(.*?)"\} 1$', self.api.request("GET", "/metrics").body.decode(), re.M))

    def wait_connected(self):
        wait_until(lambda: self.fleet()["connected"], timeout=READY, what=f"{self.name} is connected")


class Page:
    """A far end on this machine: a daemon in no fleet, in whose tunnels a page is served."""

    INNER, TEXT = "10.99.0.1", b"a page from behind the tunnel"

    def __init__(self, directory):
        os.makedirs(f"{directory}/far", exist_ok=True)
        self.daemon = Daemon(f"{directory}/far", arguments=["--workers", "1"])

    def _serve(self, sock):
        if read_head(sock):
            sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(self.TEXT), self.TEXT))

    def __enter__(self):
        self.server = Server(None, ("127.0.0.1", 0), self._serve)
        self.daemon.start()
        return self

    def __exit__(self, *_):
        self.daemon.kill()
        self.server.__exit__()

    def tunnel(self, id, referee=None, **placement):
        """The document of a tunnel of the fleet to this far end. With a referee its proxy has any port, and it says something each second."""
        ours, theirs, host, port = keys.new_key(), keys.new_key(), f"10.99.0.{2 + len(self.daemon.api.get('/v1/tunnels')['tunnels'])}", free_port()
        far = self.daemon.api.create({"id": id, "spec": {
            "interface": {"private_key": theirs.private, "addresses": [f"{self.INNER}/32"]},
            "peers": [{"public_key": ours.public, "allowed_ips": [f"{host}/32"]}],
            "forwards": [{"name": "page", "direction": "inbound", "protocol": "tcp", "listen": f"{self.INNER}:80",
                          "target": f"127.0.0.1:{self.server.address[1]}"}]}}, wait_up=False)
        udp_port = far["status"]["udp_port"]
        return {"id": id, "spec": {
            "interface": {"private_key": ours.private, "addresses": [f"{host}/32"]},
            "peers": [{"public_key": theirs.public, "allowed_ips": [f"{self.INNER}/32"], "persistent_keepalive": 1 if referee else 0,
                       "endpoint": f"127.0.0.1:{referee.watch(id, udp_port) if referee else udp_port}"}],
            "proxy": {"listen": [f"127.0.0.1:{0 if referee else port}"]}, **({"placement": placement} if placement else {})}}

    def arrives(self, tunnel):
        """Whether the page comes through the tunnel's proxy, wherever it runs."""
        host, port = tunnel["spec"]["proxy"]["listen"][0].split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        try:
            connection.request("GET", f"http://{self.INNER}/")
            answer = connection.getresponse()
            return answer.status == 200 and answer.read() == self.TEXT
        except OSError:
            return False
        finally:
            connection.close()


class Fleet:
    def __init__(self, directory, names=("a", "b", "c"), has_ways=False, more_urls=(), arguments=(), **etcd):
        """`has_ways`: each node's way to etcd can be cut. `etcd` is as for Cluster."""
        self.directory = directory
        self.cluster = Cluster(directory, **etcd)
        self.key = self.write_key()
        self.ways = {name: [Way(url) for url in self.cluster.urls] for name in names} if has_ways else {}
        self.nodes = {}
        for name in names:
            urls = [way.url for way in self.ways[name]] if has_ways else self.cluster.urls
            self.nodes[name] = Node(self, name, [*more_urls, *urls], arguments)

    def write_key(self):
        path = f"{self.directory}/seal.key"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(os.urandom(32))
        return path

    def __getitem__(self, name):
        return self.nodes[name]

    def __enter__(self):
        self.cluster.__enter__()
        try:
            for node in self.nodes.values():
                node.start()
            self.wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def owners(self, id):
        """The nodes that run the tunnel."""
        return [name for name, node in self.nodes.items() if node.process.is_running() and node.runs(id)]

    def wait_ready(self):
        """Each node knows each other one as ready."""
        expected = {name: "ready" for name in self.nodes}
        for node in self.nodes.values():
            node.wait_connected()
            wait_until(lambda: node.states() == expected, timeout=READY, what=f"{node.name} knows all nodes as ready")

    def __exit__(self, *_):
        for node in self.nodes.values():
            if node.process is not None and node.process.is_running():
                node.process.send_signal(signal.SIGCONT)
                node.process.stop(number=signal.SIGKILL)
        self.cluster.__exit__()
        for way in [way for ways in self.ways.values() for way in ways]:
            way.close()
