"""Pools: one port over many tunnels. Each far end says which it is, so a request shows the member that it went through."""

import collections
import os
import signal
import urllib.parse

import pytest

from harness.clients import Connection, curl, curl_status
from harness.farend import INNER, NAME
from harness.process import wait_until
from harness.spec import Peer, proxy_address

EXITS = ("hello from far end 0\n", "hello from far end 1\n")


@pytest.fixture
def daemon(home, make_daemon):
    return make_daemon(namespace=home, arguments=["--workers", "2"]).start()


@pytest.fixture
def members(far, far2, daemon):
    """A tunnel to each far end, on different workers where there are two."""
    for id, end in (("zero", far), ("one", far2)):
        daemon.api.create({**Peer(end, id).document(), "labels": {"pool": "x", "end": id}})


@pytest.fixture
def pool(daemon, members):
    def make(id="p", **spec):
        spec.setdefault("members", {"labels": {"pool": "x"}})
        made = daemon.api.expect(201, "POST", "/v1/pools?wait=up&timeout=10", {"id": id, "spec": spec}).json
        return proxy_address(made)
    return make


def _url(address, user):
    login = f"{user}@" if user else ""
    return f"http://{login}{address[0]}:{address[1]}"


def _exit(home, address, user=None, target=f"http://{INNER}/hello", words=("-p",), check=True):
    return curl(home, *words, "-x", _url(address, user), target, check=check).stdout


def _status(home, address, user=None, target=f"http://{INNER}/hello"):
    return curl_status(home, "-x", _url(address, user), target)[0]


def _await_exit(home, address, seen, user=None):
    """What the control process knows is told to the pool's worker a moment later."""
    wait_until(lambda: _exit(home, address, user, check=False) == seen, what="the member serves")


def _await_members(home, address):
    """Without a session that could move to the one that is up first."""
    _await_exit(home, address, EXITS[0], "u-tunnel-zero:")
    _await_exit(home, address, EXITS[1], "u-tunnel-one:")


def test_round_robin_takes_turns(home, daemon, pool):
    address = pool()
    seen = collections.Counter(_exit(home, address) for _ in range(10))
    assert seen == {EXITS[0]: 5, EXITS[1]: 5}
    status = daemon.api.get("/v1/pools/p")["status"]
    assert (status["state"], status["members_up"]) == ("up", 2)
    assert [member["tunnel"] for member in status["members"]] == ["one", "zero"]


def test_without_a_probe_the_handshake_tells_the_round_trip(daemon, pool):
    pool(strategy="lowest_latency")
    wait_until(lambda: daemon.api.get("/v1/pools/p")["status"]["members_up"] == 2, what="both are up")
    for member in daemon.api.get("/v1/pools/p/members")["members"]:
        assert 0 < member["rtt_ms"] < 5000, member["tunnel"]


@pytest.mark.parametrize("words", [("-p",), (), ("--preproxy",)], ids=["connect", "absolute", "socks5"])
def test_every_protocol_goes_through_any_member(home, pool, words):
    address = pool()
    seen = set()
    for _ in range(4):
        if words == ("--preproxy",):
            seen.add(curl(home, "--socks5-hostname", f"{address[0]}:{address[1]}", f"http://{NAME}/hello").stdout)
        else:
            seen.add(_exit(home, address, words=words, target=f"http://{NAME}/hello"))
    assert seen == set(EXITS)


def test_user_names_choose(home, pool):
    address = pool()
    for _ in range(2):
        assert _exit(home, address, "u-tunnel-one:") == EXITS[1]
        assert _exit(home, address, "u-end-zero:") == EXITS[0]
    assert _status(home, address, "u-tunnel-absent:") == 503


def test_a_session_keeps_its_exit(home, daemon, pool):
    """Over a restart of the daemon, too; one that is deleted chooses anew."""
    address = pool()
    exits = {key: _exit(home, address, f"u-session-{key}:") for key in ("a", "b", "c", "d")}
    assert set(exits.values()) == set(EXITS)
    for key, seen in exits.items():
        assert _exit(home, address, f"u-session-{key}:") == seen

    def sessions():
        return daemon.api.get("/v1/pools/p/sessions")["sessions"]
    wait_until(lambda: len(sessions()) == 4, what="the control process knows the sessions")
    assert f'warren_pool_sessions{{pool="p"}} 4' in daemon.api.request("GET", "/metrics").body.decode()
    assert sorted({session["tunnel"] for session in sessions()}) == ["one", "zero"]
    daemon.stop()
    daemon.start()
    for key, seen in exits.items():
        assert _exit(home, address, f"u-session-{key}:") == seen
    key = urllib.parse.quote(sessions()[0]["key"], safe="")
    assert daemon.api.request("DELETE", f"/v1/pools/p/sessions/{key}").status == 204
    assert daemon.api.request("DELETE", "/v1/pools/p/sessions").json == {"deleted": 3}
    assert sessions() == []


def test_a_worker_dies_and_sessions_stay(home, daemon, pool):
    address = pool()
    exits = {key: _exit(home, address, f"u-session-{key}:") for key in ("a", "b", "c", "d")}
    wait_until(lambda: len(daemon.api.get("/v1/pools/p/sessions")["sessions"]) == 4, what="the control process knows the sessions")
    for worker in daemon.workers():
        os.kill(worker, signal.SIGKILL)
    for key, seen in exits.items():
        assert _exit(home, address, f"u-session-{key}:") == seen


def test_members_come_and_go(home, daemon, pool):
    address = pool()
    daemon.api.patch("zero", {"spec": {"enabled": False}})
    wait_until(lambda: daemon.api.get("/v1/pools/p")["status"]["members_up"] == 1, what="one is up")
    wait_until(lambda: {_exit(home, address) for _ in range(3)} == {EXITS[1]}, what="the worker knows it")
    daemon.api.patch("one", {"labels": {"pool": "y"}})
    wait_until(lambda: daemon.api.get("/v1/pools/p")["status"]["state"] == "stale", what="no member is up")
    wait_until(lambda: _status(home, address) == 503, what="the worker knows it")
    assert daemon.api.get("/v1/pools/p")["status"]["reason"] == "no member is up"
    daemon.api.patch("one", {"labels": {"pool": "x"}})
    wait_until(lambda: daemon.api.get("/v1/pools/p")["status"]["state"] == "up", what="it is up again")
    _await_exit(home, address, EXITS[1])


def test_a_tunnel_that_leaves_the_pool_keeps_its_connections(home, daemon, pool):
    """On the home's worker and on the other one alike; they end with the pool."""
    address = pool()
    _await_members(home, address)
    with Connection(address, home) as zero, Connection(address, home) as one:
        for connection, id in ((zero, "zero"), (one, "one")):
            assert connection.http_connect(f"{INNER}:80", login=f"u-tunnel-{id}:")[0] == 200
        for id in ("zero", "one"):
            daemon.api.patch(id, {"labels": {"pool": "y"}})
        wait_until(lambda: _status(home, address) == 503, what="the home knows")
        for connection, id in ((zero, "zero"), (one, "one")):
            connection.send(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.read_reply()[0] == 200, id
        assert daemon.api.request("DELETE", "/v1/pools/p").status == 204
        for connection in (zero, one):
            wait_until(connection.is_at_end, what="it is cut")


def test_rules_lead_and_reject(home, pool):
    address = pool(rules=[{"domains": ["v6.far.test"], "action": "reject"},
                          {"domains": ["far.test"], "action": "members", "members": {"tunnels": ["one"]}}])
    assert _status(home, address, target="http://v6.far.test/hello") == 403
    assert {_exit(home, address, target=f"http://{NAME}/hello") for _ in range(4)} == {EXITS[1]}
    assert {_exit(home, address) for _ in range(4)} == set(EXITS)


def test_users_are_asked_for_their_passwords(home, pool):
    address = pool(proxy={"users": [{"username": "ann", "password": "secret"}]})
    assert _exit(home, address, "ann-tunnel-one:secret") == EXITS[1]
    assert _status(home, address, "ann-tunnel-one:wrong") == 407
    assert _status(home, address) == 407


def test_its_connections_are_listed(home, daemon, pool):
    address = pool()
    with Connection(address, home) as connection:
        assert connection.http_connect(f"{INNER}:80", login="u-session-k-tunnel-one:")[0] == 200
        one = daemon.api.get("/v1/connections?pool=p")["connections"][0]
        assert (one["pool"], one["tunnel"], one["session"]) == ("p", "one", "k")
        assert daemon.api.get("/v1/connections?pool=q")["connections"] == []
        wait_until(lambda: [member["connections_open"] for member in daemon.api.get("/v1/pools/p/members")["members"]] == [1, 0],
                   what="the members' connections are known")
        wait_until(lambda: daemon.api.get("/v1/pools/p/sessions")["sessions"], what="the control process knows the session")
        assert daemon.api.get("/v1/pools/p/sessions")["sessions"][0]["connections_open"] == 1
        assert daemon.api.request("DELETE", "/v1/connections?pool=p").json == {"closed": 1}
        wait_until(lambda: daemon.api.get("/v1/pools/p/sessions")["sessions"][0]["connections_open"] == 0, what="it is counted no more")
        assert connection.is_at_end()


def test_a_deleted_pool_answers_no_more(home, daemon, pool):
    address = pool()
    assert daemon.api.request("DELETE", "/v1/pools/p").status == 204
    assert curl(home, "-x", f"http://{address[0]}:{address[1]}", f"http://{INNER}/hello", check=False).returncode == 7
    assert daemon.api.state("zero") == "up"


def test_the_pac_file_leads_nothing_past_the_pool(daemon, pool):
    """P1: no browser is told to connect directly."""
    host, port = pool()
    reply = daemon.api.request("GET", "/v1/pools/p/pac")
    text = reply.body.decode()
    assert reply.headers["content-type"] == "application/x-ns-proxy-autoconfig"
    assert f'"PROXY {host}:{port}; SOCKS5 {host}:{port}; SOCKS {host}:{port}"' in text
    assert "DIRECT" not in text
