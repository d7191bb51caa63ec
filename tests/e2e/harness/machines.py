"""A fleet as machines on a network: each a namespace with a node and a member of etcd, all on one bridge with the far ends. Tunnels `stop0`, `keep1`,
… say something each second, and behind some of them each machine serves a page that names it."""

import os
import threading
import time

from . import clock
from . import namespace as namespaces
from .daemon import Daemon
from .etcd import Cluster, Member
from .fleet import READY, Fleet, Node
from .namespace import Namespace
from .process import wait_until
from .referee import Ledger, Witness
from .servers import Server, read_head
from .upgrade import built

HUB, INNER = "10.9.0.1", "10.99.0.1"
FIRST_PORT, FIRST_PROXY, PAGE_PORT = 20000, 40000, 8080
NAMES = ("a", "b", "c")
APART = {"b": "warrend_ahead", "c": "warrend_behind"}  # the programs of machines whose clocks are an hour ahead and behind
QUOTA = 64 << 20


class Machine:
    """`node` and `member`, and the network between it and others."""

    def __init__(self, fleet, hub, number, name):
        self.name, self.address = name, f"10.9.0.{number + 2}"
        self.namespace = Namespace(f"node-{name}")
        self._join(hub)
        self.member = Member(f"m{name}", fleet.directory, namespace=self.namespace, host=self.address, quota=QUOTA)
        self.page = Server(self.namespace, ("127.0.0.1", PAGE_PORT), self._serve)
        self.node = None

    def _join(self, hub):
        outer = f"from-{self.name}"
        hub.ip("link", "add", outer, "type", "veth", "peer", "name", "to-hub", "netns", self.namespace.name)
        hub.ip("link", "set", outer, "master", "bridge", "up")
        self.namespace.ip("address", "add", f"{self.address}/24", "dev", "to-hub")
        self.namespace.ip("link", "set", "to-hub", "up")

    def _serve(self, sock):
        if read_head(sock):
            sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n" + self.name.encode())

    def drop(self, what):
        """All packets of which this is true, in and out, until `heal`."""
        self.namespace.run("nft", "-f", "-", input=f"""
            table inet cut {{
                chain input {{ type filter hook input priority 0; {what} drop; }}
                chain output {{ type filter hook output priority 0; {what} drop; }}
            }}""")

    def cut_from_etcd(self):
        """The node; its member still hears the others."""
        self.drop("tcp dport 2379"), self.namespace.run("nft", "add rule inet cut input tcp sport 2379 drop")

    def cut_from_others(self):
        """Node and member, but not from the far ends."""
        self.drop(f"ip saddr != {HUB} ip daddr != {HUB} ip saddr 10.9.0.0/24 ip saddr != {self.address}")
        self.namespace.run("nft", f"add rule inet cut output ip daddr 10.9.0.0/24 ip daddr != {{ {HUB}, {self.address} }} drop")

    def heal(self):
        self.namespace.run("nft", "delete", "table", "inet", "cut", check=False)

    def signal_family(self, number):
        for pid in self.node.family():
            os.kill(pid, number)

    def close(self):
        self.page.__exit__()
        self.namespace.close()


class Far:
    """The far ends of all tunnels: one daemon, with a UDP port for each, and a proxy for those whose pages are fetched."""

    def __init__(self, directory, hub, ids, pages):
        os.makedirs(directory)
        self.hub, self.ids, self.pages = hub, ids, pages
        self.daemon = Daemon(directory, namespace=hub, arguments=["--workers", "1"])

    def start(self):
        """Returns the documents of the fleet's side."""
        self.daemon.start()
        theirs, ours = [], []
        with self.daemon.api.session() as session:
            for number, id in enumerate(self.ids):
                keys = [session.request("POST", "/v1/keys").json for _ in range(2)]
                theirs.append({"method": "POST", "path": "/v1/tunnels", "body": self._far_document(number, id, keys)})
                ours.append(self._near_document(number, id, keys))
        results = self.daemon.api.expect(200, "POST", "/v1/batch", {"operations": theirs}).json["results"]
        assert {result["status"] for result in results} == {201}, results
        return ours

    @staticmethod
    def inner(number):
        return f"10.99.{1 + number // 250}.{1 + number % 250}"

    def _far_document(self, number, id, keys):
        return {"id": id, "spec": {
            "interface": {"private_key": keys[0]["private_key"], "addresses": [f"{INNER}/32"], "listen_port": FIRST_PORT + number},
            "peers": [{"public_key": keys[1]["public_key"], "allowed_ips": [f"{self.inner(number)}/32"]}],
            "proxy": {"listen": [f"127.0.0.1:{FIRST_PROXY + number}"] if number < self.pages else []}}}

    def _near_document(self, number, id, keys):
        page = {"name": "page", "direction": "inbound", "protocol": "tcp", "listen": f"{self.inner(number)}:80", "target": f"127.0.0.1:{PAGE_PORT}"}
        return {"id": id, "spec": {
            "interface": {"private_key": keys[1]["private_key"], "addresses": [f"{self.inner(number)}/32"]},
            "peers": [{"public_key": keys[0]["public_key"], "allowed_ips": [f"{INNER}/32"], "persistent_keepalive": 1,
                       "endpoint": f"{HUB}:{FIRST_PORT + number}"}],
            "forwards": [page] if number < self.pages else [], "proxy": {"listen": []}, "placement": {"on_isolation": id.strip("0123456789")}}}

    def fetch(self, number):
        """The name of the machine whose page arrives, or an empty text."""
        try:
            with self.hub.connect(("127.0.0.1", FIRST_PROXY + number), timeout=3) as sock:
                sock.sendall(f"GET http://{self.inner(number)}/ HTTP/1.1\r\nHost: {self.inner(number)}\r\nConnection: close\r\n\r\n".encode())
                answer = b""
                while data := sock.recv(4096):
                    answer += data
                return answer.rpartition(b"\r\n\r\n")[2].decode() if answer.startswith(b"HTTP/1.1 200") else ""
        except OSError:
            return ""


class Machines(Fleet):
    """Three of them. `tunnels` in all, half of each policy, `pages` of them with traffic. With clocks that are apart, a tunnel that goes on in
    isolation may leave its peer with a time of which the next node is not yet (docs/fleet.md): then it need not be whole after a fault."""

    def __init__(self, directory, tunnels, pages, apart=False):
        namespaces.sweep()
        self.directory = directory
        self.key = self.write_key()
        self.ids = [f"{('stop', 'keep')[i % 2]}{i}" for i in range(tunnels)]
        self.whole = "stop" if apart else ""  # the beginning of the ids of those that have to be whole
        self.hub = Namespace("hub")
        self.hub.ip("link", "add", "bridge", "type", "bridge")
        self.hub.ip("address", "add", f"{HUB}/24", "dev", "bridge")
        self.hub.ip("link", "set", "bridge", "up")
        self.machines = {name: Machine(self, self.hub, number, name) for number, name in enumerate(NAMES)}
        self.cluster = Cluster(directory, members=[machine.member for machine in self.machines.values()])
        self.nodes, self.ways = {}, {}
        for name, machine in self.machines.items():
            urls = [machine.member.url, *(member.url for member in self.cluster.members if member is not machine.member)]
            program = built(APART[name]) if apart and name in APART else None
            self.nodes[name] = machine.node = Node(self, name, urls, namespace=machine.namespace, program=program)
        self.far = Far(f"{directory}/far", self.hub, self.ids, pages)
        self.witness = Witness(self.hub, "bridge", {machine.address: name for name, machine in self.machines.items()}, FIRST_PORT, self.ids)
        self.traffic = Traffic(self.far)

    def __enter__(self):
        super().__enter__()
        try:
            self.ledger = Ledger(self.cluster)
            self.witness.start()
            self._create(self.far.start())
            self.ledger.find_shards()
            self.wait_settled(time.time())
            self.traffic.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _create(self, documents):
        for first in range(0, len(documents), 250):
            operations = [{"method": "POST", "path": "/v1/tunnels", "body": document} for document in documents[first:first + 250]]
            results = self["a"].api.expect(200, "POST", "/v1/batch", {"operations": operations}).json["results"]
            assert {result["status"] for result in results} == {201}, results

    def wait_settled(self, moment):
        """After that moment each tunnel has sent data, and each runs on one node alone."""
        wait_until(lambda: self.witness.all_sent_since(moment, self.whole), timeout=READY, interval=0.1, what="every tunnel says something")
        wait_until(self.each_has_one, timeout=READY, interval=0.3, what="each tunnel has one node")

    def each_has_one(self):
        running = [id for node in self.nodes.values() for id in node.running() if id in self.witness.numbers]
        return len(running) == len(set(running)) == len(self.ids)

    def __exit__(self, *_):
        self.traffic.close()
        self.witness.close()
        if self.far.daemon.process:
            self.far.daemon.kill()
        super().__exit__()
        for machine in self.machines.values():
            machine.close()
        self.hub.close()


class Traffic:
    """Fetches the pages again and again."""

    def __init__(self, far):
        self.far, self.is_open = far, True
        self.latest = [(0.0, "")] * far.pages  # when it was asked for what arrived, and from where
        self.failures = self.count = 0
        self.threads = [threading.Thread(target=self._run, args=(first,), daemon=True) for first in range(4)]

    def _run(self, first):
        while self.is_open:
            for number in range(first, self.far.pages, len(self.threads)):
                began = time.time()
                name = self.far.fetch(number)
                self.count += 1
                if name:
                    self.latest[number] = (began, name)
                else:
                    self.failures += 1
                clock.pace(0.05)

    def start(self):
        for thread in self.threads:
            thread.start()

    def all_since(self, moment, prefix):
        return all(began > moment for id, (began, _) in zip(self.far.ids, self.latest) if id.startswith(prefix))

    def close(self):
        self.is_open = False
        for thread in self.threads:
            if thread.is_alive():
                thread.join(10)
