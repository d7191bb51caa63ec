"""A pool that is mistreated: by the names of its users, by writes while it is used, and by its disk (P5, P6, P7)."""

import contextlib
import os
import sqlite3
import subprocess
import threading
import urllib.parse

import pytest

from harness.clients import Connection, authorization
from harness.farend import INNER
from harness.process import wait_until
from harness.spec import Peer, proxy_address

MERGE = "application/merge-patch+json"
USERS = [{"username": "ann", "password": "secret"}]


class Pools:
    """Three members on two workers, and pools of them."""

    def __init__(self, home, daemon, far):
        self.home, self.daemon, self.api = home, daemon, daemon.api
        self.peers = [Peer(far, f"m{i}") for i in range(3)]
        self.exits = {peer.addresses[0]: peer.id for peer in self.peers}
        for i, peer in enumerate(self.peers):
            document = peer.document(proxy={"listen": ["127.0.0.1:0"], "users": USERS if i == 0 else []})
            self.api.create({**document, "labels": {"pool": "eu", "country": "nl" if i else "de"}})
        self.workers = daemon.workers()

    def make(self, id="eu", **spec):
        document = {"id": id, "spec": {"proxy": {"listen": ["127.0.0.1:0"]}, "members": {"labels": {"pool": "eu"}}, "retries": 1, **spec}}
        address = proxy_address(self.api.expect(201, "POST", "/v1/pools?wait=up&timeout=10", document).json)
        login = "ann-tunnel-{}:secret" if spec.get("proxy", {}).get("users") else "probe-tunnel-{}:x"
        for peer in self.peers:
            wait_until(lambda: self.ask(address, login.format(peer.id).encode()) == (200, peer.id), what=f"{peer.id} serves {id}")
        return address

    def ask(self, address, login=None, timeout=20):
        """The status, and the exit or the body."""
        with Connection(address, self.home, timeout=timeout) as connection:
            fields = authorization(login) if login is not None else ""
            connection.send(f"GET http://{INNER}/from HTTP/1.1\r\nHost: {INNER}\r\nConnection: close\r\n{fields}\r\n".encode())
            status, headers, body = connection.read_reply()
            assert status == 200 or headers.get("proxy-status"), f"{status} without a reason"
            return status, self.exits[body.decode().strip()] if status == 200 else body.decode()

    def sessions(self, id="eu"):
        listed, token = [], ""
        while True:
            page = self.api.get(f"/v1/pools/{id}/sessions?page_size=100&page_token={token}")
            listed += page["sessions"]
            token = page["next_page_token"]
            if not token:
                return listed

    def is_open(self, address):
        try:
            return bool(self.ask(address))
        except OSError:
            return False

    def has_same_workers(self):
        return self.daemon.workers() == self.workers


@pytest.fixture
def pools(home, make_daemon, far):
    return Pools(home, make_daemon(namespace=home, arguments=["--workers", "2"]).start(), far)


@contextlib.contextmanager
def _load(pools, address, logins):
    """Each login asks without a pause; yields what it is answered, an OSError included."""
    stop, answers = threading.Event(), {login: [] for login in logins}

    def run(login):
        while not stop.is_set():
            try:
                answers[login].append(pools.ask(address, login))
            except (OSError, AssertionError) as error:
                answers[login].append((None, error))
    threads = [threading.Thread(target=run, args=(login,), daemon=True) for login in logins]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


NAMES = [
    b"", b"-", b"--", b"-session-", b"x-session-", b"-session-k", b"x-session--session-k", b"x-session-session-session-",
    b"x-session-k-session-k",
    b"x-session-a-b-c", b"x-SESSION-k", b"x-session", b"x-tunnel-", b"x-tunnel-m0-tunnel-m0", b"x-tunnel-m9",
    b"x-tunnel-m0-country-nl",
    b"x-country-", b"x-country-de-country-de", b"x-country-de-pool-eu-session-k", b"x-warren.weight-1", b"x-pool-eu" * 20,
    b"x" * 255, b"x-session-" + b"k" * 245, b"x-session-" + b"k" * 246, b"x" * 300, b"-session-" * 28, b"x-" * 127,
    b"\xff" * 255, b"\xff-session-k", b"x-session-\xff", b"x-session-\xc0\x80", b"x-session-\xed\xa0\x80",
    b"\xf0\x9f\x90\xb0-session-\xf0\x9f\x90\xb0",
    "ü-session-ü".encode(), "ü-session-ü".encode("latin-1"), b"x-session-%2F%00%ff", b"%2dsession%2dk", b"x-session-../../..",
    b'x-session-"\\{}\'',
    b"x-session-<b>", b"x-session-#1", b"x-session- ", b"x-session-\t", b"x-session-\n", b"x-session-\x7f", b"x-session-\0", b"\0",
    b"x-session-$(id)",
    "x-session-\u202e\u2028".encode(),
]


@pytest.mark.parametrize("by", ["session", "user"])
def test_odd_user_names_harm_nobody(pools, by):
    """Every key is listed as text, and can be deleted by what the list shows."""
    address = pools.make(sticky={"by": by, "ttl": 600})
    for name in NAMES:
        status, said = pools.ask(address, name + b":x")
        assert status in (200, 400, 407, 503), (name, status, said)
        if status == 200 and b"\0" not in name and 0 < len(name) < 256:
            with Connection(address, pools.home) as connection:
                assert connection.socks5_greet(b"\2") == b"\5\2"
                connection.send(b"\1" + bytes([len(name)]) + name + b"\1x")
                assert connection.read(2) == b"\1\0"
                assert connection.socks5_request(INNER, 80)[0] == 0, name
                pools.api.get("/v1/connections?pool=eu")
    assert pools.ask(address, b"x-session-last:x")[0] == 200
    wait_until(lambda: "last" in {session["key"] for session in pools.sessions()}, what="the control process knows the sessions")
    listed = pools.sessions()
    assert len({session["key"] for session in listed}) == len(listed)
    for session in listed:
        reply = pools.api.request("DELETE", f"/v1/pools/eu/sessions/{urllib.parse.quote(session['key'], safe='')}")
        assert reply.status == 204, (session, reply)
    assert pools.sessions() == []
    assert pools.has_same_workers()


def _stored(directory):
    with contextlib.closing(sqlite3.connect(f"file:{directory}/state.db?mode=ro", uri=True)) as database:
        return database.execute("SELECT count(*) FROM sessions").fetchone()[0]


def test_no_key_of_many_chooses_anew_after_a_restart(pools):
    """All that are stored are loaded before the first client is accepted."""
    address = pools.make(sticky={"by": "session", "ttl": 600})
    exits = {key: pools.ask(address, f"x-session-z{key}:x".encode()) for key in range(6)}
    wait_until(lambda: _stored(pools.daemon.state_dir) == len(exits), what="the keys are on the disk")
    pools.daemon.stop()
    with contextlib.closing(sqlite3.connect(f"{pools.daemon.state_dir}/state.db")) as database, database:
        pool, born, tunnel, expires_at = database.execute("SELECT pool, born, tunnel, expires_at FROM sessions").fetchone()
        database.executemany("INSERT INTO sessions VALUES (?, ?, ?, ?, ?)",
                             [(pool, born, f"a{number}".encode(), tunnel, expires_at) for number in range(90000)])
    pools.daemon.start(wait=False)
    wait_until(lambda: pools.is_open(address), what="a client is accepted")
    for peer in pools.peers:
        wait_until(lambda: pools.ask(address, f"x-tunnel-{peer.id}:x".encode()) == (200, peer.id), what=f"{peer.id} serves")
    assert {key: pools.ask(address, f"x-session-z{key}:x".encode()) for key in exits} == exits


def test_members_that_change_without_a_pause(pools):
    """Those that stay serve; in the end all serve."""
    address = pools.make(sticky={"by": "session", "ttl": 600})
    stays = b"x-tunnel-m2:x"
    with _load(pools, address, [stays, b"x-session-a:x", b"x-session-b:x"]) as answers:
        for _ in range(4):
            operations = [{"method": "PATCH", "path": f"/v1/tunnels/m{n % 2}", "body": {"labels": {"pool": "eu" if n % 4 < 2 else "us"}}}
                          for n in range(500)]
            results = pools.api.expect(200, "POST", "/v1/batch", {"operations": operations}).json["results"]
            assert all(result["status"] == 200 for result in results)
        for id in ("m0", "m1"):
            pools.api.patch(id, {"labels": {"pool": "eu"}})
    assert [answer for answer in answers[stays] if answer != (200, "m2")] == []
    assert [answer for answer in answers[b"x-session-a:x"] + answers[b"x-session-b:x"] if answer[0] != 200] == []
    for peer in pools.peers:
        wait_until(lambda: pools.ask(address, f"x-tunnel-{peer.id}:x".encode()) == (200, peer.id), what=f"{peer.id} serves")
    assert pools.has_same_workers()


def test_a_pool_is_changed_while_it_is_used(pools):
    """Nothing is cut, and a session keeps its exit."""
    address = pools.make(sticky={"by": "session", "ttl": 600})
    logins = [b"x-session-a:x", b"x-session-b:x", b"x:x"]
    with _load(pools, address, logins) as answers:
        for number in range(60):
            spec = {"strategy": ("random", "round_robin", "least_connections", "lowest_latency", "failover")[number % 5], "retries": number % 3,
                    "rules": [{"domains": [f"d{number}.example"], "action": "reject"}], "sticky": {"ttl": 600 + number}}
            pools.api.expect(200, "PATCH", "/v1/pools/eu", {"spec": spec, "labels": {"n": str(number)}}, content_type=MERGE)
    for login in logins:
        assert len(answers[login]) > 5 and [answer for answer in answers[login] if answer[0] != 200] == []
    for login in logins[:2]:
        assert len({exit for _, exit in answers[login]}) == 1
    assert pools.has_same_workers()


def test_pools_and_tunnels_are_deleted_while_they_are_used(pools, far):
    """Answers are right or say why; no descriptor is left."""
    pools.make()
    before = None
    for _ in range(3):
        address = pools.make("brief")
        with _load(pools, address, [b"a:x", b"x-session-b:x", b"x-tunnel-m1:x"]) as answers:
            wait_until(lambda: all(len(list) > 3 for list in answers.values()), what="it is used")
            pools.api.delete("m1")
            wait_until(lambda: answers[b"x-tunnel-m1:x"][-1][0] == 503, what="the member is gone")
            count = len(answers[b"a:x"])
            wait_until(lambda: len(answers[b"a:x"]) > count + 3, what="the others serve")
            assert {status for status, _ in answers[b"a:x"][count:]} == {200}
            pools.api.expect(204, "DELETE", "/v1/pools/brief")
            wait_until(lambda: all(list[-1][0] is None for list in answers.values()), what="the pool is gone")
        pools.api.create({**pools.peers[1].document(), "labels": {"pool": "eu", "country": "nl"}})
        wait_until(lambda: pools.api.get("/v1/connections")["connections"] == [], what="no connection is left")
        if before is None:
            before = pools.daemon.descriptors()
    wait_until(lambda: pools.daemon.descriptors() <= before, what="no descriptor is left")
    assert pools.has_same_workers()


def test_pools_share_a_member_and_its_users(pools):
    """Each has its own keys and counts; a member's own users open its own port only."""
    one = pools.make("one", sticky={"by": "session", "ttl": 600}, proxy={"listen": ["127.0.0.1:0"], "users": USERS})
    two = pools.make("two", sticky={"by": "session", "ttl": 600})
    assert pools.ask(one, b"ann-session-k-tunnel-m0:secret") == (200, "m0")
    assert pools.ask(two, b"x-session-k-tunnel-m1:x") == (200, "m1")
    for _ in range(3):
        assert pools.ask(one, b"ann-session-k:secret") == (200, "m0")
        assert pools.ask(two, b"ann-session-k:secret") == (200, "m1")
    assert pools.ask(one, b"bob-session-k:secret")[0] == 407
    assert pools.ask(one, b"ann-session-k:wrong")[0] == 407
    own = proxy_address(pools.api.get("/v1/tunnels/m0"))
    assert pools.ask(own, b"ann:secret") == (200, "m0")
    assert pools.ask(own, b"ann-session-k:secret")[0] == 407
    with Connection(one, pools.home) as held:
        assert held.http_connect(f"{INNER}:80", login="ann-tunnel-m0:secret")[0] == 200
        wait_until(lambda: [len(pools.api.get(f"/v1/connections?pool={id}")["connections"]) for id in ("one", "two")] == [1, 0], what="one has it")
        pools.api.expect(204, "DELETE", "/v1/pools/two")
        held.send(f"GET /from HTTP/1.0\r\nHost: {INNER}\r\n\r\n".encode())
        assert held.read_reply()[0] == 200
    assert pools.ask(one, b"ann-session-k:secret") == (200, "m0")


@pytest.fixture
def small_disk(directory):
    """The state directory is on a file system of 6 MB."""
    os.makedirs(f"{directory}/state", mode=0o700)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "tmpfs", f"{directory}/state"], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"no file system can be mounted: {made.stderr}")
    yield f"{directory}/state"
    subprocess.run(["umount", "-l", f"{directory}/state"], check=True)


def test_sessions_on_a_full_disk(home, small_disk, make_daemon, far):
    """They work without the disk, and are stored once there is room; a deletion is never refused."""
    pools = Pools(home, make_daemon(namespace=home, arguments=["--workers", "2"]).start(), far)
    address = pools.make(sticky={"by": "session", "ttl": 600})
    with open(f"{small_disk}/filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    exits = {key: pools.ask(address, f"x-session-{key}-{'y' * 200}:x".encode()) for key in range(300)}
    assert {status for status, _ in exits.values()} == {200}
    wait_until(lambda: len(pools.sessions()) == 300, what="the control process knows them")
    for key in (0, 1, 2):
        assert pools.ask(address, f"x-session-{key}-{'y' * 200}:x".encode()) == exits[key]
    gone = pools.sessions()[0]["key"]
    pools.api.expect(204, "DELETE", f"/v1/pools/eu/sessions/{gone}")
    assert pools.has_same_workers()
    os.unlink(f"{small_disk}/filler")
    wait_until(lambda: _stored(small_disk) == 299, what="the sessions are on the disk")
    pools.daemon.kill()
    pools.daemon.start()
    assert len(pools.sessions()) == 299
    for peer in pools.peers:
        wait_until(lambda: pools.ask(address, f"probe-tunnel-{peer.id}:x".encode()) == (200, peer.id), what=f"{peer.id} serves")
    for key, exit in exits.items():
        if not gone.startswith(f"{key}-"):
            assert pools.ask(address, f"x-session-{key}-{'y' * 200}:x".encode()) == exit
