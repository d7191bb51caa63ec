"""Tunnels and pools of a fleet: changed and read at any node, run by one (service/fleet/writer.c, keeper.c, finder.c, publisher.c)."""

import json
import os
import re
import signal
import socket

import pytest

from harness.etcd import base64_of, program, text_of
from harness.fleet import READY, Fleet, Page
from harness.process import wait_until
from harness.referee import Referee

pytestmark = pytest.mark.skipif(program() is None, reason="etcd is not installed")
COUNT = 24


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    made = Fleet(str(tmp_path_factory.mktemp("fleet")))
    made["c"].arguments += ["--node-label", "zone=c"]
    with made as fleet:
        yield fleet
        for node in fleet.nodes.values():
            node.check_log()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with Page(str(tmp_path_factory.mktemp("page"))) as page:
        yield page


def _spec(number, **more):
    return {"interface": {"generate_private_key": True, "addresses": [f"10.1.0.{number}"]}, "proxy": {"listen": []}, **more}


def _list(node, query=""):
    tunnels, token = [], ""
    while True:
        page = node.api.get(f"/v1/tunnels?page_size=10&view=full{query}&page_token={token}")
        tunnels += page["tunnels"]
        token = page["next_page_token"]
        if not token:
            return {tunnel["id"]: tunnel for tunnel in tunnels}


def _others(fleet, name):
    return [node for other, node in fleet.nodes.items() if other != name]


def _owner(fleet, id):
    wait_until(lambda: fleet["a"].api.get(f"/v1/tunnels/{id}")["status"]["node"], timeout=READY, what="an owner")
    return fleet["a"].api.get(f"/v1/tunnels/{id}")["status"]["node"]


def test_every_node_tells_of_the_whole_fleet(fleet):
    ids = [f"t{number}" for number in range(COUNT)]
    for index, node in enumerate(fleet.nodes.values()):
        operations = [{"method": "PUT", "path": f"/v1/tunnels/{id}", "body": {"labels": {"set": "all"}, "spec": _spec(number + 2)}}
                      for number, id in enumerate(ids) if number % 3 == index]
        results = node.api.request("POST", "/v1/batch", {"operations": operations}).json["results"]
        assert {result["status"] for result in results} == {201}
    for name, node in fleet.nodes.items():
        # As their nodes tell: none is only known to be there.
        wait_until(lambda: {tunnel["status"]["state"] for tunnel in _list(node).values()} == {"handshaking"}, timeout=READY, what="all are told of")
        tunnels = _list(node)
        assert sorted(tunnels) == sorted(ids) and list(tunnels) == sorted(tunnels)
        assert {tunnel["status"]["node"] for tunnel in tunnels.values()} == {"a", "b", "c"}
        assert {tunnel["origin"] for tunnel in tunnels.values()} == {"fleet"}
        assert all(node.runs(id) == (tunnel["status"]["node"] == name) for id, tunnel in tunnels.items())
        assert _list(node, "&state=up") == {} and len(_list(node, "&label=set=all")) == COUNT
        assert len(node.api.get("/v1/state")["tunnels"]) == COUNT


def test_what_another_node_runs_is_marked_with_its_age(fleet):
    def ages():
        own = {tunnel["id"] for tunnel in _list(fleet["a"]).values() if "age" not in tunnel["status"]}
        assert all(fleet["a"].runs(id) for id in own)
        return [tunnel["status"]["age"] for tunnel in _list(fleet["a"]).values() if tunnel["id"] not in own]

    def oldest():
        return max(ages())

    assert 0 < len(ages()) < COUNT
    wait_until(lambda: oldest() <= 5, timeout=READY, what="all are told of within 5 s")
    one = next(id for id, tunnel in _list(fleet["a"]).items() if tunnel["status"]["node"] == "b")
    # A node that stands still tells nothing more, and it is seen. It is back before others take what it has.
    fleet["b"].process.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: fleet["a"].api.get(f"/v1/tunnels/{one}")["status"].get("age", 0) > 5, timeout=READY, what="an older one")
    finally:
        fleet["b"].process.send_signal(signal.SIGCONT)
    wait_until(lambda: oldest() <= 5, timeout=READY, what="it tells again")
    fleet.wait_ready()


def test_changes_at_two_nodes_are_both_made_and_an_old_etag_is_refused_by_each(fleet):
    before = fleet["a"].api.get("/v1/tunnels/t0")
    assert fleet["a"].api.request("PATCH", "/v1/tunnels/t0", {"labels": {"first": "1"}}, headers={"If-Match": before["etag"]}).status == 200
    for node in fleet.nodes.values():
        assert node.api.request("PATCH", "/v1/tunnels/t0", {"labels": {"x": "y"}}, headers={"If-Match": before["etag"]}).status == 412
    after = fleet["b"].api.request("PATCH", "/v1/tunnels/t0", {"labels": {"second": "2"}}).json
    assert after["labels"] == {"set": "all", "first": "1", "second": "2"} and after["generation"] == 3
    # Of etcd where another node runs it; its own node tells what it runs.
    for node in fleet.nodes.values():
        wait_until(lambda: node.api.get("/v1/tunnels/t0")["etag"] == after["etag"], timeout=READY, what="the change")


def test_what_is_live_is_asked_of_the_node_that_runs_it(fleet):
    owner = _owner(fleet, "t1")
    for method, path in (("GET", "status"), ("GET", "stats"), ("GET", "connections"), ("GET", "peers"), ("POST", "actions/reconnect")):
        path = f"/v1/tunnels/t1/{path}"
        for node in _others(fleet, owner):
            reply = node.api.request(method, path)
            assert (reply.status, reply.headers["Location"]) == (307, f"http://{fleet[owner].address}{path}")
            assert node.api.request(method, path.replace("t1", "none")).status == 404
        assert fleet[owner].api.request(method, path).status < 300
    secret = _others(fleet, owner)[0].api.request("GET", "/v1/tunnels/t1/config?include_secrets=true")
    assert b"PrivateKey" in secret.body


def test_what_its_node_cannot_run_has_failed_for_every_node_until_it_can(fleet):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        spec = {**_spec(200), "proxy": {"listen": [f"127.0.0.1:{taken.getsockname()[1]}"]}}
        assert fleet["a"].api.request("POST", "/v1/tunnels", {"id": "taken", "spec": spec}).status == 201

        def states():
            return [node.api.get("/v1/tunnels/taken")["status"] for node in fleet.nodes.values()]

        wait_until(lambda: {status["state"] for status in states()} == {"failed"}, timeout=READY, what="all know")
        assert all("in use" in status["reason"] for status in states()), states()
    wait_until(lambda: {status["state"] for status in states()} == {"handshaking"}, timeout=READY, what="it runs")
    assert fleet["b"].api.request("DELETE", "/v1/tunnels/taken").status == 204


def test_a_pool_and_its_tunnels_run_on_the_node_that_they_name(fleet):
    placement = {"placement": {"node": "b"}}
    pool = {"id": "pool", "spec": {"members": {"tunnels": ["member"]}, "proxy": {"listen": ["127.0.0.1:0"]}}}
    assert fleet["a"].api.request("POST", "/v1/pools", pool).json["errors"][0]["pointer"] == "/spec/placement/node"
    pool["spec"].update(placement)
    assert fleet["a"].api.request("POST", "/v1/tunnels", {"id": "member", "spec": _spec(201, **placement)}).status == 201
    assert fleet["c"].api.request("POST", "/v1/pools", pool).status == 201
    wait_until(lambda: fleet["b"].api.get("/v1/pools/pool")["status"]["members"], timeout=READY, what="its member")
    assert _owner(fleet, "member") == "b" and fleet["c"].api.get("/v1/pools/pool")["status"]["node"] == "b"
    # Both go to another node; there it is a member again.
    for path in ("tunnels/member", "pools/pool"):
        assert fleet["c"].api.request("PATCH", f"/v1/{path}", {"spec": {"placement": {"node": "a"}}}).status == 200
    wait_until(lambda: fleet["a"].api.get("/v1/pools/pool")["status"].get("members"), timeout=READY, what="its member at the other node")
    wait_until(lambda: not fleet["b"].runs("member"), timeout=READY, what="the first node has let it go")
    assert fleet["c"].api.request("DELETE", "/v1/pools/pool").status == 204
    assert fleet["a"].api.request("DELETE", "/v1/tunnels/member").status == 204


def _records(fleet, folder):
    """What etcd has below it, by key without the fleet's prefix."""
    prefix = f"/warren/v1/{folder}"
    found = fleet.cluster.members[0].call("/v3/kv/range", {"key": base64_of(prefix), "range_end": base64_of(prefix[:-1] + "0")}).get("kvs", [])
    return {text_of(kv["key"])[len("/warren/v1/"):]: kv for kv in found}


def _record_of(fleet, id):
    """The key of a tunnel's record, and its value."""
    return next((key, text_of(kv["value"])) for key, kv in _records(fleet, "t/").items() if key.endswith(f"/{id}"))


def _overwrite(fleet, key, value):
    """As whoever can write to etcd can; the shard's owner is told, as a node would tell it."""
    place = key.rsplit("/", 1)[0].replace("t/", "p/changed/", 1)
    count = text_of(_records(fleet, "p/changed/")[place]["value"])
    puts = [{"request_put": {"key": base64_of(f"/warren/v1/{name}"), "value": base64_of(text)}} for name, text in ((key, value), (place, count))]
    fleet.cluster.members[0].call("/v3/kv/txn", {"success": puts})


def _condition(node, id):
    conditions = node.api.get(f"/v1/tunnels/{id}")["status"]["conditions"]
    return next((condition["detail"] for condition in conditions if condition["type"] == "record_refused"), None)


def test_a_record_that_no_node_has_written_is_refused_and_told(fleet):
    far = {"peers": [{"public_key": "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", "endpoint": "127.0.0.1:9", "allowed_ips": ["10.9.0.0/24"]}]}
    assert fleet["a"].api.request("POST", "/v1/tunnels", {"id": "forged", "spec": _spec(202, **far)}).status == 201
    owner = fleet[_owner(fleet, "forged")]
    wait_until(lambda: owner.runs("forged"), timeout=READY, what="it runs")
    key, value = _record_of(fleet, "forged")
    assert "127.0.0.1:9" in value
    # Its endpoint moved, without its seal, and as another tunnel's record.
    unsealed = {name: member for name, member in json.loads(value).items() if name != "seal"}
    for forged in (value.replace("127.0.0.1:9", "127.0.0.1:7"), json.dumps(unsealed), "{}"):
        _overwrite(fleet, key, forged)
        wait_until(lambda: "forged" in (_condition(owner, "forged") or ""), timeout=READY, what="its node knows")
        assert owner.api.get("/v1/tunnels/forged")["spec"]["peers"][0]["endpoint"] == "127.0.0.1:9"
        other = _others(fleet, owner.name)[0].api.request("GET", "/v1/tunnels/forged")
        assert (other.status, "forged" in other.json["detail"]) == (500, True)
        assert fleet["b"].api.request("PATCH", "/v1/tunnels/forged", {"labels": {"x": "y"}}).status == 500
        _overwrite(fleet, key, value)
        wait_until(lambda: _condition(owner, "forged") is None, timeout=READY, what="it is as it was")
    # What it once was is no more.
    assert fleet["b"].api.request("PATCH", "/v1/tunnels/forged", {"labels": {"x": "y"}}).status == 200
    new = _record_of(fleet, "forged")[1]
    wait_until(lambda: owner.api.get("/v1/tunnels/forged")["labels"] == {"x": "y"}, timeout=READY, what="the change")
    _overwrite(fleet, key, value)
    for node in fleet.nodes.values():
        wait_until(lambda: "older" in (_condition(node, "forged") or ""), timeout=READY, what=f"{node.name} knows of the old one")
    assert owner.api.get("/v1/tunnels/forged")["labels"] == {"x": "y"}
    _overwrite(fleet, key, new)
    wait_until(lambda: _condition(owner, "forged") is None, timeout=READY, what="it is as it was")
    assert fleet["b"].api.request("DELETE", "/v1/tunnels/forged").status == 204


def test_all_with_a_label_are_deleted_wherever_they_run(fleet):
    assert fleet["c"].api.request("DELETE", "/v1/tunnels?label=set=all").json == {"deleted": COUNT}
    for node in fleet.nodes.values():
        wait_until(lambda: _list(node) == {}, timeout=READY, what="none is told of")
        wait_until(lambda: not any(node.runs(f"t{number}") for number in range(COUNT)), timeout=READY, what="they have ended")


def test_an_answer_waits_until_the_tunnel_is_up_wherever_it_runs(fleet, page):
    for name, node in fleet.nodes.items():
        document = page.tunnel(f"up-{name}", node="b")
        reply = node.api.request("POST", "/v1/tunnels?wait=up&timeout=60", document)
        assert (reply.status, reply.json["status"]["state"], reply.json["status"]["node"]) == (201, "up", "b"), reply
        assert page.arrives(document)
        far_away = {"spec": {"peers": [{**document["spec"]["peers"][0], "endpoint": "127.0.0.1:9"}]}}
        reply = node.api.request("PATCH", f"/v1/tunnels/up-{name}?wait=up&timeout=2", {**far_away, "spec": {**far_away["spec"], "enabled": False}})
        assert (reply.status, reply.json["code"]) == (504, "handshake_timeout")
        assert node.api.request("DELETE", f"/v1/tunnels/up-{name}").status == 204


def test_a_state_is_what_the_fleet_has_afterwards(fleet):
    tunnels = [{"id": f"s{number}", "labels": {"set": "state"}, "spec": _spec(number + 2)} for number in range(6)]
    assert fleet["a"].api.request("PUT", "/v1/state", {"tunnels": tunnels}).json == {"created": 6, "changed": 0, "unchanged": 0, "deleted": 0}
    for node in fleet.nodes.values():
        wait_until(lambda: sorted(_list(node)) == [f"s{number}" for number in range(6)], timeout=READY, what="all are told of")
    # What was read can be put, at another node, and is the same.
    whole = fleet["b"].api.get("/v1/state?include_secrets=true")
    whole.pop("pools")
    assert fleet["c"].api.request("PUT", "/v1/state", whole).json == {"created": 0, "changed": 0, "unchanged": 6, "deleted": 0}
    whole["tunnels"] = whole["tunnels"][2:]
    whole["tunnels"][0]["labels"] = {"set": "other"}
    assert fleet["c"].api.request("PUT", "/v1/state?dry_run=true", whole).json == {"created": 0, "changed": 1, "unchanged": 3, "deleted": 2}
    assert fleet["c"].api.request("PUT", "/v1/state", whole).json == {"created": 0, "changed": 1, "unchanged": 3, "deleted": 2}
    for node in fleet.nodes.values():
        wait_until(lambda: sorted(_list(node)) == [f"s{number}" for number in range(2, 6)], timeout=READY, what="two have gone")
    # One that cannot be made is told, and the others are made.
    inside = {"interface": {**_spec(8)["interface"], "via": "fine"}}
    reply = fleet["a"].api.request("PUT", "/v1/state", {"tunnels": [{"id": "not", "spec": inside}, {"id": "fine", "spec": _spec(9)}]})
    assert (reply.status, [error["pointer"] for error in reply.json["errors"]]) == (422, ["/tunnels/0/spec/placement/node"]), reply
    assert "1 of 6 objects" in reply.json["detail"] and sorted(_list(fleet["b"])) == ["fine"]
    assert fleet["a"].api.request("PUT", "/v1/state", {"tunnels": []}).status == 200
    for node in fleet.nodes.values():
        wait_until(lambda: _list(node) == {}, timeout=READY, what="none is left")


def test_an_action_is_no_part_of_a_batch_that_changes(fleet):
    operations = [{"method": "PUT", "path": "/v1/tunnels/x", "body": {"spec": _spec(2)}}, {"method": "POST", "path": "/v1/tunnels/x/actions/reconnect"}]
    reply = fleet["a"].api.request("POST", "/v1/batch", {"operations": operations})
    assert (reply.status, "the node that runs the tunnel" in reply.json["detail"]) == (400, True)


def test_a_running_tunnel_moves_with_its_placement_and_is_never_on_two_nodes(fleet, page):
    """Judged by its far end: each node's datagrams have another source. Nodes that are not told by watching the far end are asked."""
    with Referee() as referee:
        document = page.tunnel("moving", referee, on_isolation="stop", node="a")
        assert fleet["c"].api.request("POST", "/v1/tunnels?wait=up&timeout=60", document).json["status"]["node"] == "a"
        for asked, placement, to in (("b", {"node": "b"}, "b"), ("c", {"node": None, "labels": {"zone": "c"}}, "c"), ("a", {"labels": None, "node": "a"}, "a")):
            reply = fleet[asked].api.request("PATCH", "/v1/tunnels/moving?wait=up&timeout=60", {"spec": {"placement": placement}})
            assert (reply.status, reply.json["status"]["node"], reply.json["status"]["state"]) == (200, to, "up"), reply
            wait_until(lambda: fleet.owners("moving") == [to], timeout=READY, what=f"{to} has it alone")
        assert not referee.overlaps()
    # What is asked of no node that is there runs nowhere, until a node has it.
    assert fleet["b"].api.request("PATCH", "/v1/tunnels/moving", {"spec": {"placement": {"node": "nowhere"}}}).status == 200
    wait_until(lambda: fleet.owners("moving") == [], timeout=READY, what="nobody has it")
    assert fleet["b"].api.get("/v1/tunnels/moving")["status"]["node"] is None
    assert fleet["b"].api.request("PATCH", "/v1/tunnels/moving", {"spec": {"placement": {"node": "b"}}}).status == 200
    wait_until(lambda: fleet.owners("moving") == ["b"], timeout=READY, what="b has it")
    assert fleet["c"].api.request("DELETE", "/v1/tunnels/moving").status == 204


def test_a_tunnel_of_a_node_that_is_dead_goes_to_another_one(fleet, page):
    document = page.tunnel("orphan", node="c")
    assert fleet["a"].api.request("POST", "/v1/tunnels?wait=up&timeout=60", document).status == 201
    fleet["c"].kill()
    reply = fleet["a"].api.request("PATCH", "/v1/tunnels/orphan?wait=up&timeout=60", {"spec": {"placement": {"node": "b"}}})
    assert (reply.status, reply.json["status"]["node"]) == (200, "b"), reply
    assert page.arrives(document)
    fleet["c"].start()
    fleet.wait_ready()
    assert fleet.owners("orphan") == ["b"] and fleet["a"].api.request("DELETE", "/v1/tunnels/orphan").status == 204


def test_a_database_of_etcd_that_is_nearly_full_is_told_before_it_is_full(directory):
    quota = 16 << 20
    with Fleet(directory, ("a",), count=1, quota=quota) as fleet:
        def metric(name):
            return float(re.search(rf"^warren_fleet_etcd_{name} (\S+)$", fleet["a"].api.request("GET", "/metrics").body.decode(), re.M).group(1))

        wait_until(lambda: metric("quota_bytes") == quota, timeout=READY, what="what etcd says")
        assert 0 < metric("bytes") < 0.8 * quota and "of its quota" not in fleet["a"].process.log()
        fleet["a"].stop()
        member, value, number = fleet.cluster.members[0], base64_of("x" * 100000), 0
        while int(member.call("/v3/maintenance/status", {})["dbSize"]) < 0.83 * quota:
            member.call("/v3/kv/put", {"key": base64_of(f"/other/{number}"), "value": value})
            number += 1
        fleet["a"].start()
        wait_until(lambda: metric("bytes") > 0.8 * quota, timeout=READY, what="what etcd says now")
        wait_until(lambda: "of its quota: when it is full" in fleet["a"].process.log(), timeout=READY, what="the warning")
        fleet["a"].wait_connected()


def _give_keys(node, *paths):
    """Restarts the node with these keys, the first of which seals."""
    words = node.arguments
    while "--fleet-key-file" in words:
        at = words.index("--fleet-key-file")
        del words[at:at + 2]
    for path in paths:
        words += ["--fleet-key-file", path]
    node.stop()
    node.start()
    node.wait_connected()


def test_after_a_new_key_the_old_one_is_not_needed(directory):
    with Fleet(directory, ("a", "b"), count=1) as fleet:
        for number in range(4):
            assert fleet["a"].api.request("PUT", f"/v1/tunnels/k{number}", {"spec": _spec(number + 2)}).status == 201
        token = fleet["a"].api.request("POST", "/v1/tokens", {"name": "ci", "scopes": ["read"]}).json["token"]
        new = f"{directory}/new.key"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(os.urandom(32))
        for paths in ((fleet.key, new), (new, fleet.key)):
            for node in fleet.nodes.values():
                _give_keys(node, *paths)
        wait_until(lambda: any("sealed with the first key" in node.process.log() for node in fleet.nodes.values()), timeout=2 * READY, what="all are sealed")
        for node in fleet.nodes.values():
            _give_keys(node, new)
        fleet.wait_ready()
        for node in fleet.nodes.values():
            wait_until(lambda: {tunnel["status"]["state"] for tunnel in _list(node).values()} == {"handshaking"}, timeout=READY, what="all run")
            assert len(_list(node)) == 4 and node.tcp_api(token).request("GET", "/v1/whoami").status == 200
