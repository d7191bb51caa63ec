"""Traffic through a pool whose members are on two workers; the far end tells by which member a request came."""

import base64
import collections
import contextlib
import http.client
import os
import signal
import socket
import struct
import threading

import pytest

from harness.clients import Connection, curl, curl_status
from harness.farend import INNER
from harness.process import wait_until
from harness.spec import Peer, proxy_address

FROM = f"http://{INNER}/from"


class Pool:
    def __init__(self, daemon, home, far, spec, members=4):
        self.daemon, self.home = daemon, home
        self.peers = [Peer(far, f"m{i}") for i in range(members)]
        self.exits = {}
        self.workers = collections.defaultdict(list)
        for i, peer in enumerate(self.peers):
            document = peer.document()
            document["labels"] = {"pool": "eu", "country": "nl" if i % 2 else "de"}
            created = daemon.api.create(document)
            self.exits[peer.addresses[0]] = peer.id
            self.workers[created["status"]["worker"]].append(peer.id)
        document = {"id": "eu", "spec": {"proxy": {"listen": ["127.0.0.1:0"]}, "members": {"labels": {"pool": "eu"}}, **spec}}
        self.created = daemon.api.expect(201, "POST", "/v1/pools?wait=up&timeout=10", document).json
        self.host, self.port = proxy_address(self.created)
        wait_until(lambda: self.up() == members, what="all members are up")

    def up(self):
        return self.daemon.api.get("/v1/pools/eu")["status"]["members_up"]

    def set(self, spec):
        self.daemon.api.expect(200, "PATCH", "/v1/pools/eu", {"spec": spec}, content_type="application/merge-patch+json")

    def listed(self):
        return self.daemon.api.get("/v1/connections?pool=eu")["connections"]

    def proxy(self, scheme="http", user=None):
        return f"{scheme}://{user + ':x@' if user else ''}{self.host}:{self.port}"

    def exit(self, *words, scheme="http", user=None, **options):
        """The member by which a request came."""
        return self.exits[curl(self.home, "-f", "-x", self.proxy(scheme, user), *words, FROM, **options).stdout.strip()]


@pytest.fixture
def make_pool(home, make_daemon, far):
    def make(spec=None, **options):
        return Pool(make_daemon(namespace=home, arguments=["--workers", "2"]).start(), home, far, spec or {}, **options)
    return make


@pytest.mark.parametrize("scheme, words", [("http", []), ("http", ["-p"]), ("socks5h", []), ("socks4a", [])])
def test_members_of_both_workers_serve_in_turn(make_pool, scheme, words):
    pool = make_pool()
    assert len(pool.workers) == 2
    exits = collections.Counter(pool.exit(*words, scheme=scheme) for _ in range(12))
    assert exits == {peer.id: 3 for peer in pool.peers}


def test_a_session_keeps_its_member_and_parameters_choose_one(make_pool):
    pool = make_pool()
    for key in ("a", "b", "c"):
        assert len({pool.exit(user=f"x-session-{key}", *words) for words in ([], ["-p"], ["-p"], [])}) == 1
    assert len({pool.exit(user="x-session-a", scheme="socks5h") for _ in range(3)} | {pool.exit(user="x-session-a")}) == 1
    for peer in pool.peers:
        assert pool.exit("-p", user=f"x-tunnel-{peer.id}") == peer.id
    assert {pool.exit("-p", user="x-country-nl") for _ in range(4)} == {"m1", "m3"}
    reply = curl(pool.home, "-i", "-x", pool.proxy(user="x-country-fr"), FROM).stdout
    assert reply.startswith("HTTP/1.1 503") and "error=destination_unavailable" in reply and "no_member" in reply


def test_a_kept_connection_may_change_its_user(make_pool):
    """Each request of the connection goes by its own user's member."""
    pool = make_pool()
    connection = http.client.HTTPConnection(pool.host, pool.port, timeout=20)
    connection.sock = pool.home.connect((pool.host, pool.port), 20)
    sock = connection.sock
    for _ in range(5):
        for peer in pool.peers:
            login = base64.b64encode(f"x-tunnel-{peer.id}:x".encode()).decode()
            connection.request("GET", FROM, headers={"Proxy-Authorization": f"Basic {login}"})
            reply = connection.getresponse()
            assert (reply.status, pool.exits[reply.read().decode().strip()]) == (200, peer.id)
            assert connection.sock is sock
    connection.close()


def test_connections_are_counted_and_listed_with_their_pool(make_pool):
    pool = make_pool()
    for key in ("a", "b"):
        with Connection((pool.host, pool.port), pool.home) as connection:
            assert connection.http_connect(f"{INNER}:80", login=f"x-session-{key}:x")[0] == 200
            wait_until(lambda: len(pool.listed()) == 1, what="the one before has ended")
            one, = pool.listed()
            assert (one["pool"], one["session"], one["tunnel"] in pool.exits.values()) == ("eu", key, True)
            assert pool.daemon.api.get("/v1/connections?pool=other")["connections"] == []
    for _ in range(8):
        pool.exit("-p")
    wait_until(lambda: sum(member["connections_open"] for member in pool.daemon.api.get("/v1/pools/eu")["status"]["members"]) == 0,
               what="no connection is open")
    assert sum(pool.daemon.api.stats(peer.id)["connections_total"] for peer in pool.peers) == 10


def test_nothing_is_left_of_many_clients(make_pool):
    """Neither descriptors nor open connections, in either worker: of clients that were served, were refused, and left while they were on their way."""
    pool = make_pool({"retries": 1})
    pool.exit("-p")
    wait_until(lambda: not pool.listed(), what="the first has ended")
    before = pool.daemon.descriptors()
    for target in (f"{INNER}:80", f"{INNER}:81", "10.77.255.254:80"):
        for _ in range(3):
            clients = [Connection((pool.host, pool.port), pool.home) for _ in range(100)]
            for number, client in enumerate(clients):
                client.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
                if number % 3 == 0:
                    client.reset()
            for number, client in enumerate(clients):
                if number % 3 == 1 and not target.startswith("10.77.255"):
                    assert client.read_head()[0] in (200, 502)
                client.close()
    wait_until(lambda: not pool.listed(), timeout=30, what="all have ended")
    wait_until(lambda: pool.daemon.descriptors() <= before, timeout=30, what="their descriptors are closed")
    wait_until(lambda: all(member["connections_open"] == 0 for member in pool.daemon.api.get("/v1/pools/eu")["status"]["members"]),
               what="no member has a connection")


def test_a_dead_member_is_left_and_comes_back(make_pool, far):
    pool = make_pool({"retries": 1})
    far.remove_peer(pool.peers[0].key.public)
    pool.daemon.api.expect(200, "PATCH", "/v1/tunnels/m1", {"spec": {"enabled": False}}, content_type="application/merge-patch+json")
    wait_until(lambda: pool.up() < 4, what="the disabled member is known")
    # A request that meets the silent peer waits until its tunnel is known to be stale, and goes another way then.
    exits = {pool.exit("-p", timeout=40) for _ in range(8)}
    assert exits == {"m2", "m3"}
    pool.daemon.api.expect(200, "PATCH", "/v1/tunnels/m1", {"spec": {"enabled": True}}, content_type="application/merge-patch+json")
    wait_until(lambda: "m1" in {pool.exit("-p") for _ in range(4)}, what="the member is back")
    pool.peers[0].register()
    wait_until(lambda: "m0" in {pool.exit("-p") for _ in range(4)}, timeout=15, what="the silent peer is back")


def _load(pool, stop, results, user):
    while not stop.is_set():
        result = curl(pool.home, "-x", pool.proxy(user=user), "-p", "-w", "\n%{http_connect}", FROM, check=False, timeout=20)
        results.append((result.returncode, result.stdout.split()))


def test_a_killed_worker_costs_only_what_it_had(make_pool):
    """Every answer is right, or an error; a session keeps to its member whose worker lives."""
    pool = make_pool({"retries": 1})
    stop, results = threading.Event(), {f"x-session-{i}": [] for i in range(4)}
    threads = [threading.Thread(target=_load, args=(pool, stop, results[user], user), daemon=True) for user in results]
    for thread in threads:
        thread.start()
    try:
        for number in range(2):
            count = {user: len(answers) for user, answers in results.items()}
            wait_until(lambda: all(len(results[user]) > count[user] + 5 for user in results), timeout=30, what="each user has answers")
            survivors = pool.daemon.workers()
            os.kill(survivors.pop(number), signal.SIGKILL)
            wait_until(lambda: len(pool.daemon.workers()) == 2 and pool.up() == 4, timeout=30, what="a worker replaces it")
            assert survivors[0] in pool.daemon.workers()
        count = {user: len(answers) for user, answers in results.items()}
        wait_until(lambda: all(len(results[user]) > count[user] + 5 for user in results), what="requests are answered again")
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    for answers in results.values():
        good = [words[0] for code, words in answers if code == 0]
        assert good and all(address in pool.exits for address in good)
    assert pool.exit("-p") in pool.exits.values()


QUERY = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + b"\3www\3far\4test\0" + struct.pack(">HH", 1, 1)


@contextlib.contextmanager
def _association(pool, peer):
    """A socket whose datagrams go to the far end's name server through the peer's tunnel."""
    with Connection((pool.host, pool.port), pool.home) as control:
        control.send(b"\5\1\2")
        assert control.read(2) == b"\5\2"
        user = f"x-tunnel-{peer.id}".encode()
        control.send(bytes([1, len(user)]) + user + b"\1x")
        assert control.read(2) == b"\1\0"
        code, host, port = control.socks5_request("0.0.0.0", 0, command=3)
        assert code == 0
        with pool.home.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.settimeout(10)
            datagrams.connect((host, port))
            yield datagrams


def _ask(datagrams):
    datagrams.send(b"\0\0\0\1" + socket.inet_aton(INNER) + struct.pack(">H", 53) + QUERY)


def _expect_answer(datagrams):
    answer = datagrams.recv(2048)
    assert answer[10:12] == QUERY[:2] and socket.inet_aton(INNER) in answer[12:]


def _is_answered(datagrams):
    datagrams.settimeout(0.5)
    _ask(datagrams)
    try:
        return datagrams.recv(2048)[10:12] == QUERY[:2]
    except TimeoutError:
        return False


def test_an_association_has_one_member(make_pool):
    """A DNS query over UDP ASSOCIATE, by a member of either worker."""
    pool = make_pool()
    for peer in pool.peers[:2]:
        with _association(pool, peer) as datagrams:
            _ask(datagrams)
            _expect_answer(datagrams)
            wait_until(lambda: len(pool.listed()) == 1, what="the one before has ended")
            assert [(one["tunnel"], one["pool"], one["protocol"], one["user"]) for one in pool.listed()] == [(peer.id, "eu", "udp", None)]


def test_rules_judge_each_datagram(make_pool):
    """The request of the association names no target; the rules are those of the moment, in either worker."""
    pool = make_pool({"rules": [{"ports": ["53"], "action": "reject"}]})
    for peer in pool.peers[:2]:
        def refused():
            return pool.daemon.api.stats(peer.id)["dropped"].get("refused", 0)
        with _association(pool, peer) as datagrams:
            _ask(datagrams)
            wait_until(lambda: refused() == 1, what="the datagram is dropped")
            pool.set({"rules": [{"ports": ["53"], "members": {"tunnels": ["m2", "m3"]}, "action": "members"}]})
            _ask(datagrams)
            wait_until(lambda: refused() == 2, what="it is dropped")
            pool.set({"rules": [{"ports": ["53"], "members": {"tunnels": [peer.id]}, "action": "members"}]})
            wait_until(lambda: _is_answered(datagrams), what="the member's worker has the rules, too")
        pool.set({"rules": [{"ports": ["53"], "action": "reject"}]})


def test_a_pool_without_members_says_so(home, make_daemon):
    daemon = make_daemon(namespace=home, arguments=["--workers", "2"]).start()
    created = daemon.api.expect(201, "POST", "/v1/pools", {"id": "none", "spec": {"proxy": {"listen": ["127.0.0.1:0"]}}}).json
    host, port = proxy_address(created)
    assert curl_status(home, "-x", f"http://{host}:{port}", FROM, timeout=10)[0] == 503


def test_rules_choose_and_reject(make_pool):
    pool = make_pool({"rules": [{"networks": [f"{INNER}/32"], "ports": ["80"], "action": "members", "members": {"tunnels": ["m3"]}},
                                {"networks": [f"{INNER}/32"], "ports": ["443"], "action": "reject"}]})
    assert {pool.exit("-p") for _ in range(4)} == {"m3"}
    assert curl_status(pool.home, "-k", "-x", pool.proxy(), f"https://{INNER}/")[1] == 403
