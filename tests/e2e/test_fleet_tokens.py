"""Tokens of a fleet: made at any node, good at every node, and revoked at every node (service/fleet/token_keeper.c, token_writer.c)."""

import contextlib
import signal
import sqlite3

import pytest

from harness.etcd import base64_of, program, text_of
from harness.fleet import READY, Fleet
from harness.process import wait_until

pytestmark = pytest.mark.skipif(program() is None, reason="etcd is not installed")
FOLDER = "/warren/v1/k/"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    with Fleet(str(tmp_path_factory.mktemp("fleet")), has_ways=True) as fleet:
        yield fleet
        for node in fleet.nodes.values():
            node.check_log()


def _make(node, **more):
    reply = node.api.request("POST", "/v1/tokens", {"name": "ci", "scopes": ["read"], **more})
    assert reply.status == 201, reply.body
    return reply.json


def _status(node, token):
    return node.tcp_api(token["token"]).request("GET", "/v1/whoami").status


def _wait(node, token, status):
    wait_until(lambda: _status(node, token) == status, timeout=READY, what=f"{status} at {node.name}")


def _listed(node):
    return {token["id"]: token for token in node.api.get("/v1/tokens")["tokens"]}


def _set_cut(fleet, name, is_cut):
    for way in fleet.ways[name]:
        way.is_cut = is_cut


def _is_stored(node, token):
    """On the node's own disk."""
    with contextlib.closing(sqlite3.connect(f"file:{node.state_dir}/state.db?mode=ro", uri=True)) as database:
        return database.execute("SELECT count(*) FROM tokens WHERE id = ?", (token["id"],)).fetchone()[0] == 1


def _records(fleet):
    found = fleet.cluster.members[0].call("/v3/kv/range", {"key": base64_of(FOLDER), "range_end": base64_of(FOLDER[:-1] + "0")}).get("kvs", [])
    return {text_of(kv["key"])[len(FOLDER):]: kv["value"] for kv in found}


def _put(fleet, id, value):
    """As whoever can write to etcd can; every node is told."""
    puts = [{"request_put": {"key": base64_of(FOLDER + id), "value": value}},
            {"request_put": {"key": base64_of("/warren/v1/p/tokens"), "value": base64_of("{}")}}]
    fleet.cluster.members[0].call("/v3/kv/txn", {"success": puts})


def test_a_token_of_any_node_is_good_at_every_node_and_revoked_at_every_node(fleet):
    for maker, revoker in (("a", "b"), ("c", "a")):
        token = _make(fleet[maker], labels={"team": "red"}, expires_at="2040-01-01T00:00:00Z")
        assert _status(fleet[maker], token) == 200
        for node in fleet.nodes.values():
            _wait(node, token, 200)
            listed = _listed(node)[token["id"]]
            assert (listed["origin"], listed["labels"], listed["expires_at"]) == ("fleet", {"team": "red"}, "2040-01-01T00:00:00Z")
            # It sees what its labels say there, too.
            assert node.tcp_api(token["token"]).request("GET", "/v1/nodes").status == 403
        assert fleet[revoker].api.request("DELETE", f"/v1/tokens/{token['id']}").status == 204
        assert _status(fleet[revoker], token) == 401
        for node in fleet.nodes.values():
            _wait(node, token, 401)
            assert node.api.request("DELETE", f"/v1/tokens/{token['id']}").status == 404
    assert fleet["a"].api.request("DELETE", "/v1/tokens/f-nobody").status == 404


def test_etcd_tells_nothing_of_a_token(fleet):
    token = _make(fleet["b"])
    value = text_of(_records(fleet)[token["id"]])
    assert not {"ci", "read", token["token"], "name"} & set(value.split('"')) and "{" not in value
    assert fleet["b"].api.request("DELETE", f"/v1/tokens/{token['id']}").status == 204


def test_no_token_can_be_put_into_etcd_and_none_comes_back(fleet):
    token, other = _make(fleet["a"]), _make(fleet["a"])
    record = _records(fleet)[token["id"]]
    # A copy is none of another id, neither of one that is there.
    _put(fleet, "fAAAAAAAAAAA", record)
    _put(fleet, other["id"], record)
    for node in fleet.nodes.values():
        _wait(node, other, 401)
        _wait(node, token, 200)
    assert fleet["b"].api.request("DELETE", f"/v1/tokens/{token['id']}").status == 204
    for node in fleet.nodes.values():
        _wait(node, token, 401)
    _put(fleet, token["id"], record)
    last = _make(fleet["c"])
    for node in fleet.nodes.values():
        _wait(node, last, 200)  # so they have read that one, too
        assert _status(node, token) == 401
        assert "is not accepted: its record in etcd is forged" in node.process.log()
    for id in (token["id"], other["id"], "fAAAAAAAAAAA", last["id"]):
        assert fleet["a"].api.request("DELETE", f"/v1/tokens/{id}").status == 204


def test_a_node_that_is_cut_off_goes_by_what_it_knew_until_it_is_back(fleet):
    token = _make(fleet["a"])
    _wait(fleet["c"], token, 200)
    _set_cut(fleet, "c", True)
    wait_until(lambda: not fleet["c"].fleet()["connected"], timeout=READY, what="c is cut off")
    assert fleet["c"].api.request("POST", "/v1/tokens", {"name": "x", "scopes": ["read"]}).status == 503
    assert fleet["c"].api.request("DELETE", f"/v1/tokens/{token['id']}").status == 503
    assert fleet["a"].api.request("DELETE", f"/v1/tokens/{token['id']}").status == 204
    _wait(fleet["b"], token, 401)
    assert _status(fleet["c"], token) == 200
    _set_cut(fleet, "c", False)
    _wait(fleet["c"], token, 401)


def test_a_token_outlives_its_node_and_a_start_without_etcd(fleet):
    token = _make(fleet["c"])
    _wait(fleet["b"], token, 200)
    wait_until(lambda: _is_stored(fleet["c"], token), timeout=READY, what="its copy")
    fleet["c"].process.stop(number=signal.SIGKILL)
    assert _status(fleet["a"], token) == 200 and _status(fleet["b"], token) == 200
    _set_cut(fleet, "c", True)
    fleet["c"].start()
    assert _status(fleet["c"], token) == 200 and not fleet["c"].fleet()["connected"]
    assert fleet["a"].api.request("DELETE", f"/v1/tokens/{token['id']}").status == 204
    _set_cut(fleet, "c", False)
    _wait(fleet["c"], token, 401)
