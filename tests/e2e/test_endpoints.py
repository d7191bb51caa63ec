"""F8: endpoint names, in a namespace whose DNS server is the test: names that change, are missing, or get no answer."""

import os
import shutil
import socket
import struct
import time

import pytest

from harness import namespace
from harness.clients import Connection
from harness.loop import INNER, Ends
from harness.nameserver import NameServer, question
from harness.namespace import Namespace
from harness.process import wait_until
from harness.servers import Server
from harness.spec import proxy_address

RECOVERY = 20
A, AAAA = 1, 28


class Names(NameServer):
    """`addresses` has one or several addresses for a name, None for one that nobody answers for; others do not exist. `habit` tells how a
    question of a type is answered: None as it should be, or what is done instead."""

    def __init__(self, place, host="127.0.0.53", addresses=None, habit=lambda kind: None):
        super().__init__(self._answer, (host, 53), place)
        self.addresses, self.asked, self.habit = addresses or {}, [], habit

    def _answer(self, query):
        name, kind, end = question(query)
        self.asked.append(name)
        address, habit = self.addresses.get(name, ""), self.habit(kind)
        if address is None or habit == "silent":
            return None, 0
        is_failure = habit is not None and habit[-1] == "failure"
        every = [address] if isinstance(address, str) else address
        found = [one for one in every if one and (kind == A) != (":" in one) and not is_failure]
        flags = 0x8182 if is_failure else 0x8180 if address else 0x8183
        reply = query[:2] + struct.pack(">HHHHH", flags, 1, len(found), 0, 0) + query[12:end]
        for one in found:
            data = socket.inet_pton(socket.AF_INET6 if kind == AAAA else socket.AF_INET, one)
            reply += struct.pack(">HHHIH", 0xc00c, kind, 1, 0, len(data)) + data
        return reply, habit[1] if habit is not None and habit[0] == "late" else 0


def _answer(sock):
    while b"\r\n\r\n" not in sock.recv(65536):
        pass
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")


@pytest.fixture
def place():
    why = namespace.unavailable()
    if why:
        pytest.skip(why)
    place = Namespace("names", nameserver="127.0.0.53")
    for address in ("10.250.0.8", "10.250.0.9"):   # not in 127/8, so that replies come from the queried address
        place.ip("address", "add", f"{address}/32", "dev", "lo")
    yield place
    place.close()


@pytest.fixture
def world(place, make_daemon):
    """(daemon, names, far, make): `make(id, name)` creates a tunnel to the far one by name."""
    names = Names(place)
    names.start()
    daemon = make_daemon(namespace=place).start()
    with Server(place, ("127.0.0.1", 0), _answer) as server:
        ends = Ends()
        far = daemon.api.create(ends.far(server.address), wait_up=False)
        port = far["status"]["udp_port"]

        def make(name, **options):
            document = ends.near(port)
            document["spec"]["peers"][0]["endpoint"] = f"{name}:{port}"
            return daemon.api.create(document, **options)
        yield daemon, names, make
    names.close()


def _drop(place, address):
    place.run("nft", "delete", "table", "inet", "hole", check=False)
    if address:
        place.run("nft", "-f", "-", input=f"table inet hole {{ chain out {{ type filter hook output priority 0; ip daddr {address} meta l4proto udp drop; }}; }}")


def _page(place, tunnel, timeout=2):
    try:
        with Connection(proxy_address(tunnel), place, timeout=timeout) as connection:
            connection.send(f"GET http://{INNER}/ HTTP/1.1\r\nHost: {INNER}\r\nConnection: close\r\n\r\n".encode())
            return connection.read_reply()[0] == 200
    except (OSError, AssertionError):
        return False


def _recovers(place, tunnel, since):
    wait_until(lambda: _page(place, tunnel), timeout=RECOVERY + 5, interval=0.3, what="traffic again")
    assert time.monotonic() - since <= RECOVERY


def test_f8_name_that_moves_under_traffic(place, world):
    """The peer has moved to another address, and its name resolves to it: found without intervention."""
    daemon, names, make = world
    names.addresses["far.test"] = "10.250.0.8"
    near = make("far.test")
    assert _page(place, near)
    _drop(place, "10.250.0.8")
    wait_until(lambda: not _page(place, near), what="the old address is dead")
    names.addresses["far.test"] = "10.250.0.9"
    _recovers(place, near, time.monotonic())
    assert daemon.api.get("/v1/tunnels/near/status")["peers"][0]["endpoint"].startswith("10.250.0.9:")


def test_f8_name_that_is_wrong_at_first(place, world):
    """Down since its creation; the first client after the name was repaired gets through."""
    daemon, names, make = world
    names.addresses["far.test"] = "10.250.0.8"
    _drop(place, "10.250.0.8")
    near = make("far.test", wait_up=False)
    wait_until(lambda: names.asked.count("far.test") >= 3, timeout=30, what="the name is looked up again")
    assert daemon.api.state("near") == "stale"
    names.addresses["far.test"] = "10.250.0.9"
    _recovers(place, near, time.monotonic())


@pytest.mark.parametrize("fault", ["", None], ids=["missing", "hanging"])
def test_f8_name_without_an_answer(place, world, fault):
    """The tunnel reports why it waits; others are created and run meanwhile; when the name resolves, the tunnel comes up."""
    daemon, names, make = world
    names.addresses["gone.test"] = fault
    names.addresses["far.test"] = "10.250.0.8"
    spec = {"interface": {"generate_private_key": True, "addresses": ["10.0.0.9"]},
            "peers": [{"public_key": Ends().far_key.public, "endpoint": "gone.test:9", "allowed_ips": ["0.0.0.0/0"]}]}
    for number in range(8):
        daemon.api.create({"id": f"lost-{number}", "spec": spec}, wait_up=False)
    before = time.monotonic()
    near = make("far.test")
    assert _page(place, near)
    assert time.monotonic() - before < RECOVERY / 2
    wait_until(lambda: "gone.test" in daemon.api.get("/v1/tunnels/lost-0/status")["reason"], timeout=15, what="the reason is told")
    peer = near["spec"]["peers"][0]
    daemon.api.patch("near", {"spec": {"peers": [{**peer, "endpoint": peer["endpoint"].replace("far", "gone")}]}})
    assert _page(place, near), "a new name that has no answer yet ends nothing"
    names.addresses["gone.test"] = "10.250.0.9"
    wait_until(lambda: daemon.api.get("/v1/tunnels/near/status")["peers"][0]["endpoint"].startswith("10.250.0.9:"), timeout=RECOVERY, what="the new name is used")
    assert _page(place, near)
    daemon.api.delete("near")
    for number in range(8):
        daemon.api.delete(f"lost-{number}")


HABITS = {
    "aaaa-silent": ("10.250.0.8", lambda kind: "silent" if kind == AAAA else None),
    "aaaa-fails-late": ("10.250.0.8", lambda kind: ("late", 3, "failure") if kind == AAAA else None),
    "a-silent": ("fd00:250::8", lambda kind: "silent" if kind == A else None),
    "a-fails-late": ("fd00:250::8", lambda kind: ("late", 3, "failure") if kind == A else None),
}


@pytest.mark.parametrize("habit", HABITS)
def test_the_family_that_came_is_used_at_once(place, world, habit):
    """A name server that answers for one family, and for the other never or late."""
    daemon, names, make = world
    place.ip("address", "add", "fd00:250::8/128", "dev", "lo", "nodad")
    names.addresses["far.test"], names.habit = HABITS[habit]
    since = time.monotonic()
    make("far.test", timeout=5)
    assert time.monotonic() - since < 3


# The addresses of a name of which only the last one answers, and in how many seconds the tunnel must be up. 10.250.0.8 drops what it gets;
# there is no route to 198.51.100.0/24.
DEAD = {
    "one-of-each-family": (["10.250.0.8", "fd00:250::8"], 8),
    "three-of-one-family": (["10.250.0.8", "10.250.0.7", "10.250.0.6", "10.250.0.9"], RECOVERY),
    "one-between-two-families": (["10.250.0.8", "fd00:250::7", "10.250.0.9"], 13),
    "no-route": (["198.51.100.1", "198.51.100.2", "fd00:250::8"], 3),
}


@pytest.mark.parametrize("case", DEAD)
def test_f8_dead_addresses_before_a_good_one(place, world, case):
    _, names, make = world
    addresses, seconds = DEAD[case]
    for address in ("10.250.0.6/32", "10.250.0.7/32", "fd00:250::7/128", "fd00:250::8/128"):
        place.ip("address", "add", address, "dev", "lo", "nodad")
    _drop(place, "{ 10.250.0.6, 10.250.0.7, 10.250.0.8 }")
    place.run("nft", "add", "rule", "inet", "hole", "out", "ip6", "daddr", "fd00:250::7", "udp", "dport", "!=", "53", "drop")
    names.addresses["far.test"] = addresses
    since = time.monotonic()
    near = make("far.test", timeout=RECOVERY + 5)
    assert time.monotonic() - since <= seconds
    assert _page(place, near)


@pytest.mark.parametrize("delay", [0, 2.5], ids=["quick", "slow"])
def test_two_dead_servers_before_a_good_one(place, make_daemon, delay):
    with open(f"{place.resolver_directory}/resolv.conf", "w", encoding="ascii") as file:
        file.write("".join(f"nameserver 127.0.0.{host}\n" for host in (51, 52, 53)))
    dead = [Names(place, host, habit=lambda kind: "silent") for host in ("127.0.0.51", "127.0.0.52")]
    good = Names(place, addresses={"far.test": "10.250.0.8"}, habit=lambda kind: ("late", delay) if delay else None)
    for server in (*dead, good):
        server.start()
    daemon = make_daemon(namespace=place).start()
    with Server(place, ("127.0.0.1", 0), _answer) as server:
        ends = Ends()
        port = daemon.api.create(ends.far(server.address), wait_up=False)["status"]["udp_port"]
        document = ends.near(port)
        document["spec"]["peers"][0]["endpoint"] = f"far.test:{port}"
        daemon.api.create(document, timeout=12)
    for server in (*dead, good):
        server.close()


def test_search_domains_whose_names_get_no_answer(place, make_daemon):
    """As in a container, where `ndots` is high and a search domain's server is away."""
    with open(f"{place.resolver_directory}/resolv.conf", "w", encoding="ascii") as file:
        file.write("nameserver 127.0.0.53\nsearch one.test two.test\noptions ndots:5\n")
    names = Names(place, addresses={"far.test": "10.250.0.8", "far.test.one.test": None, "far.test.two.test": None})
    names.start()
    daemon = make_daemon(namespace=place).start()
    with Server(place, ("127.0.0.1", 0), _answer) as server:
        ends = Ends()
        port = daemon.api.create(ends.far(server.address), wait_up=False)["status"]["udp_port"]
        document = ends.near(port)
        document["spec"]["peers"][0]["endpoint"] = f"far.test:{port}"
        daemon.api.create(document, timeout=8)
    names.close()


def test_a_server_that_is_asked_over_tcp_only(place, make_daemon):
    """resolv.conf says so (`use-vc`), and nothing answers over UDP."""
    with open(f"{place.resolver_directory}/resolv.conf", "w", encoding="ascii") as file:
        file.write("nameserver 127.0.0.53\noptions timeout:1 use-vc\n")
    names = Names(place, "127.0.0.52", addresses={"far.test": "10.250.0.8"})

    def answer(sock):
        while True:
            head = sock.recv(2, socket.MSG_WAITALL)
            if len(head) < 2:
                return
            reply = names._answer(sock.recv(struct.unpack(">H", head)[0], socket.MSG_WAITALL))[0]
            sock.sendall(struct.pack(">H", len(reply)) + reply)
    names.start()
    daemon = make_daemon(namespace=place).start()
    with Server(place, ("127.0.0.1", 0), _answer) as server, Server(place, ("127.0.0.53", 53), answer):
        ends = Ends()
        port = daemon.api.create(ends.far(server.address), wait_up=False)["status"]["udp_port"]
        document = ends.near(port)
        document["spec"]["peers"][0]["endpoint"] = f"far.test:{port}"
        daemon.api.create(document, timeout=8)
    names.close()


@pytest.fixture
def run_directory():
    path = f"/run/warren-{os.getpid()}"
    os.mkdir(path)
    yield path
    shutil.rmtree(path)


def _servers(path, host):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        file.write(f"nameserver {host}\n")


def test_resolv_conf_is_a_link_whose_folder_comes_later(place, make_daemon, directory, run_directory):
    """As at boot, before systemd-resolved has made its folder; then it leads into another folder, while names are always under way."""
    etc = f"{directory}/etc"
    shutil.copytree("/etc", etc, symlinks=True, ignore=lambda folder, names: [] if folder != "/etc" else {"netns", "resolv.conf"} & set(names))
    os.symlink(f"{run_directory}/first/resolv.conf", f"{etc}/resolv.conf")
    script = f'umount /etc/resolv.conf; mount --bind {etc} /etc && exec "$@"'
    daemon = make_daemon(namespace=place, prefix=["sh", "-c", script, "sh"]).start()
    servers = [Names(place, host, addresses={name: "10.250.0.8", "never.test": None}) for host, name in (("127.0.0.53", "a.test"), ("127.0.0.54", "b.test"))]
    for server in servers:
        server.start()
    with Server(place, ("127.0.0.1", 0), _answer) as server:
        ends = Ends()
        port = daemon.api.create(ends.far(server.address), wait_up=False)["status"]["udp_port"]
        for number in range(4):
            peer = {"public_key": ends.far_key.public, "endpoint": "never.test:9", "allowed_ips": ["0.0.0.0/0"]}
            daemon.api.create({"id": f"lost-{number}", "spec": {"interface": {"generate_private_key": True, "addresses": ["10.0.0.9"]}, "peers": [peer]}},
                              wait_up=False)
        document = ends.near(port)
        document["spec"]["peers"][0]["endpoint"] = f"a.test:{port}"
        near = daemon.api.create(document, wait_up=False)
        wait_until(lambda: "a.test" in daemon.api.get("/v1/tunnels/near/status")["reason"], what="there is no name server")
        _servers(f"{run_directory}/first/resolv.conf", "127.0.0.53")
        _recovers(place, near, time.monotonic())
        _servers(f"{run_directory}/second/resolv.conf", "127.0.0.54")
        os.symlink(f"{run_directory}/second/resolv.conf", f"{etc}/fresh")
        os.replace(f"{etc}/fresh", f"{etc}/resolv.conf")
        since = time.monotonic()
        daemon.api.patch("near", {"spec": {"peers": [{**document["spec"]["peers"][0], "endpoint": f"b.test:{port}"}]}})
        wait_until(lambda: "b.test" in servers[1].asked, timeout=RECOVERY, what="the other server is asked")
        _recovers(place, near, since)
    for server in servers:
        server.close()
