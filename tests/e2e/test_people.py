"""People: who they are, how long their tokens live, and that a token with labels meets nothing else (P2, A1)."""

import contextlib
import json
import os
import re
import time

import pytest

from harness import keys
from harness.clients import Connection
from harness.events import Reader
from harness.loop import INNER, Ends
from harness.process import wait_until
from harness.servers import Server, echo
from harness.spec import proxy_address


def _document(**members):
    return {"spec": {"enabled": False, "interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]}}, **members}


def _token(daemon, **members):
    return daemon.api.expect(201, "POST", "/v1/tokens", {"scopes": ["write"], **members}).json["token"]


def _client(daemon, **members):
    return daemon.tcp_api(_token(daemon, **members))


def _in(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def test_who_am_i(local_daemon):
    api = local_daemon.api
    assert api.get("/v1/whoami") == {"name": f"uid {os.getuid()}", "scopes": ["metrics", "read", "write", "admin"], "labels": {},
                                     "expires_at": None, "via": "unix_socket"}
    assert local_daemon.tcp_api().get("/v1/whoami")["via"] == "admin_token"
    until = _in(3600)
    red = _client(local_daemon, name="red", scopes=["read"], labels={"team": "red"}, expires_at=until)
    assert red.get("/v1/whoami") == {"name": "red", "scopes": ["metrics", "read"], "labels": {"team": "red"}, "expires_at": until, "via": "token"}
    listed = next(token for token in api.get("/v1/tokens")["tokens"] if token["name"] == "red")
    assert listed["labels"] == {"team": "red"} and listed["expires_at"] == until and listed["last_used_at"] and "token" not in listed


@pytest.mark.parametrize("member, pointer", [
    ({"expires_at": "tomorrow"}, "/expires_at"), ({"expires_at": 7}, "/expires_at"), ({"expires_at": "2001-01-01T00:00:00Z"}, "/expires_at"),
    ({"labels": []}, "/labels"), ({"labels": {"": "x"}}, "/labels/"), ({"labels": {"a": 1}}, "/labels/a"),
    ({"labels": {"a": "b"}, "scopes": ["admin"]}, "/labels"), ({"until": "x"}, "/until")])
def test_a_token_that_cannot_be(local_daemon, member, pointer):
    reply = local_daemon.api.request("POST", "/v1/tokens", {"scopes": ["read"], **member})
    assert reply.status == 422 and pointer in reply.pointers, reply


def test_a_token_that_expires_ends_its_stream(local_daemon):
    """It is refused from that second on, and what it had opened ends. One that is revoked as well."""
    until = _in(3)
    tokens = [_token(local_daemon, expires_at=until), _token(local_daemon, name="gone")]
    readers = [Reader(local_daemon, token=token) for token in tokens]
    for reader in readers:
        wait_until(reader.is_open.is_set, what="the stream is open")
    identity = next(token["id"] for token in local_daemon.api.get("/v1/tokens")["tokens"] if token["name"] == "gone")
    local_daemon.api.expect(204, "DELETE", f"/v1/tokens/{identity}")
    for reader in readers:
        reader.join(10)
        assert not reader.is_alive() and reader.events[-1]["code"] == "unauthorized"
    assert time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) >= until, "not before"
    expired, revoked = (local_daemon.tcp_api(token).expect(401, "GET", "/v1/tunnels").json["detail"] for token in tokens)
    assert expired == "The token has expired." and revoked.startswith("Send a valid token")


def test_the_admin_token_is_replaced(local_daemon):
    old = local_daemon.tcp_api()
    reader = Reader(local_daemon, token=local_daemon.token)
    wait_until(reader.is_open.is_set, what="the stream is open")
    token = old.expect(200, "POST", "/v1/actions/rotate-token").json["token"]
    assert token == local_daemon.token and os.stat(f"{local_daemon.state_dir}/admin.token").st_mode & 0o777 == 0o600
    assert old.request("GET", "/v1/tunnels").status == 401
    reader.join(10)
    assert not reader.is_alive(), "what the old one had opened ends"
    assert local_daemon.tcp_api().get("/v1/whoami")["name"] == "admin"
    assert _client(local_daemon).request("POST", "/v1/actions/rotate-token").status == 403


class _World:
    """Two pairs of tunnels that are up, with connections; one side's labels are red, and the other's blue."""

    def __init__(self, daemon, server):
        self.daemon, self.api = daemon, daemon.api
        for team in ("red", "blue"):
            ends = Ends(team)
            far = self.api.create({**ends.far(server.address), "labels": {"team": team}}, wait_up=False)
            self.api.create({**ends.near(far["status"]["udp_port"]), "labels": {"team": team}})
        self.ids = [tunnel["id"] for tunnel in self.api.get("/v1/tunnels")["tunnels"]]
        self.foreign = [name for name in self.ids if self.api.get(f"/v1/tunnels/{name}")["labels"]["team"] == "blue"]
        self.own = [name for name in self.ids if name not in self.foreign]
        self.token = _token(daemon, name="red", labels={"team": "red"})
        self.red = daemon.tcp_api(self.token)


@pytest.fixture
def world(make_daemon):
    with Server(None, ("127.0.0.1", 0), echo) as server:
        yield _World(make_daemon(arguments=["--workers", "2"]).start(), server)


def _requests(document, names):
    """Every operation of the document, with each name in the place of an id, and a body that may pass."""
    key = keys.new_key().url
    for template, item in document["paths"].items():
        for method in ("get", "post", "put", "patch", "delete"):
            if method not in item or "/tokens" in template or "rotate" in template:
                continue
            for name in names if "{id}" in template else [""]:
                path = template.replace("{id}", name).replace("{key}", key)
                bodies = {"/v1/batch": {"operations": [{"method": "DELETE", "path": f"/v1/tunnels/{one}"} for one in names]},
                          "/v1/state": {"tunnels": []}}
                body = bodies.get(template, {}) if method in ("post", "put", "patch") else None
                yield method.upper(), path, body


def _said_by_events(world, token=None):
    """What the event stream says from its beginning on, up to what has happened by now."""
    last = world.api.put("last", _document(labels={"team": "red"}))["etag"]
    reader = Reader(world.daemon, "?since=0", token=token)
    wait_until(lambda: any(event.get("etag") == last for event in reader.events), what="the last change's event")
    reader.close()
    return json.dumps(reader.events)


def _check_reply(world, method, path, body, reply):
    said = reply.body.decode()
    asked = [name for name in world.foreign if name in path + json.dumps(body)]
    told = [name for name in world.foreign if name in said and name not in asked]
    assert not told, f"{method} {path}: {reply!r}"
    if asked and path.startswith("/v1/tunnels/"):
        assert reply.status in ((409, 422) if method == "PUT" and "/peers/" not in path else (404, 422)), f"{method} {path}: {reply!r}"


def test_p2_a_labelled_token_meets_no_foreign_id(world):
    """No operation of the document, asked with each id, tells or touches what the labels do not cover."""
    before = {name: world.api.get(f"/v1/tunnels/{name}")["etag"] for name in world.foreign}
    for method, path, body in _requests(world.api.get("/openapi.json"), world.foreign):
        if path == "/v1/events":
            said = _said_by_events(world, world.token)
            assert not [name for name in world.foreign if name in said], said
            assert all(name in said for name in world.own), said
            continue
        _check_reply(world, method, path, body,
                     world.red.request(method, path, body, content_type="application/merge-patch+json" if method == "PATCH" else "application/json"))
    assert {name: world.api.get(f"/v1/tunnels/{name}")["etag"] for name in world.foreign} == before, "nothing foreign has changed"


def test_p2_a_labelled_token_sees_its_own(world):
    red = world.red
    assert sorted(tunnel["id"] for tunnel in red.get("/v1/tunnels")["tunnels"]) == sorted(world.own)
    assert sorted(tunnel["id"] for tunnel in red.get("/v1/state")["tunnels"]) == sorted(world.own)
    metrics = red.expect(200, "GET", "/metrics").body.decode()
    assert set(re.findall(r'tunnel="([^"]+)"', metrics)) == set(world.own)
    assert "warren_worker_cpu" not in metrics, "what all tunnels together do is not told"
    assert "worker." not in _said_by_events(world, world.token)


def test_p2_connections_stay_within_the_labels(world):
    """What is not covered is neither listed nor ended, by filter or by id."""
    red, api = world.red, world.api
    with contextlib.ExitStack() as stack:
        for team in ("red", "blue"):
            proxy = proxy_address(api.get(f"/v1/tunnels/near{team}"))
            assert stack.enter_context(Connection(proxy)).http_connect(f"{INNER}:80")[0] == 200
        wait_until(lambda: len(api.get("/v1/connections")["connections"]) == 4, what="both sides of both have theirs")
        everything = api.get("/v1/connections")["connections"]
        blue = [one["id"] for one in everything if one["tunnel"] in world.foreign]
        assert sorted(one["tunnel"] for one in red.get("/v1/connections")["connections"]) == sorted(world.own)
        for one in blue:
            assert red.request("GET", f"/v1/connections/{one}").status == 404
            assert red.request("DELETE", f"/v1/connections/{one}").status == 404
        assert red.expect(200, "DELETE", "/v1/connections?tunnel=nearblue").json == {"closed": 0}
        own = next(one["id"] for one in everything if one["tunnel"] == "nearred")
        red.expect(204, "DELETE", f"/v1/connections/{own}")
        stack.enter_context(Connection(proxy_address(api.get("/v1/tunnels/nearred")))).http_connect(f"{INNER}:80")
        assert red.expect(200, "DELETE", "/v1/connections?dry_run=true").json["closed"] >= 2
        # The end of one side's ends the other side's, which may then be gone already.
        assert red.expect(200, "DELETE", "/v1/connections").json["closed"] >= 1
        wait_until(lambda: not red.get("/v1/connections")["connections"], what="the tunnels' own are gone")
        assert sorted(one["id"] for one in api.get("/v1/connections")["connections"] if one["tunnel"] in world.foreign) == sorted(blue)


def test_p2_writes_stay_within_the_labels(world):
    red, api = world.red, world.api
    foreign, own = world.foreign[0], world.own[0]
    assert red.request("POST", "/v1/tunnels", _document(id="x")).code == "forbidden"
    assert red.request("POST", "/v1/tunnels", _document(id="x", labels={"team": "blue"})).code == "forbidden"
    assert red.request("PUT", "/v1/tunnels/x", _document()).code == "forbidden"
    assert red.request("POST", "/v1/tunnels", _document(id=foreign, labels={"team": "red"})).status == 409
    assert red.request("PUT", f"/v1/tunnels/{foreign}", _document(labels={"team": "red"})).status == 409
    patch = {"content_type": "application/merge-patch+json"}
    for labels in ({"team": None}, {"team": "blue"}, None):
        assert red.request("PATCH", f"/v1/tunnels/{own}", {"labels": labels}, **patch).code == "forbidden"
    assert red.request("PATCH", f"/v1/tunnels/{foreign}", {"labels": {"team": "red"}}, **patch).status == 404
    red.expect(201, "POST", "/v1/tunnels", _document(id="mine", labels={"team": "red"}))
    red.expect(200, "PATCH", "/v1/tunnels/mine", {"labels": {"n": "1"}}, **patch)
    # An atomic batch cannot pass through a state that the token may not leave.
    batch = {"atomic": True, "operations": [
        {"method": "PATCH", "path": "/v1/tunnels/mine", "body": {"labels": {"team": "blue"}}},
        {"method": "PATCH", "path": "/v1/tunnels/mine", "body": {"labels": {"team": "red"}}}]}
    assert red.request("POST", "/v1/batch", batch).status == 403
    # A whole state is the token's part alone.
    state = {"tunnels": [{**_document(labels={"team": "red"}), "id": "new"}]}
    assert red.expect(200, "PUT", "/v1/state", state).json == {"created": 1, "changed": 0, "unchanged": 0, "deleted": 3}
    assert sorted(tunnel["id"] for tunnel in api.get("/v1/tunnels")["tunnels"]) == sorted([*world.foreign, "new"])
    assert red.request("PUT", "/v1/state", {"tunnels": [{**_document(labels={"team": "blue"}), "id": "new"}]}).status in (403, 422)
    assert red.request("PUT", "/v1/state", {"tunnels": [{**_document(labels={"team": "red"}), "id": foreign}]}).status in (409, 422)
    assert red.expect(200, "DELETE", "/v1/tunnels").json == {"deleted": 1}
    assert red.expect(200, "DELETE", "/v1/tunnels?label=team=blue").json == {"deleted": 0}
    assert sorted(tunnel["id"] for tunnel in api.get("/v1/tunnels")["tunnels"]) == sorted(world.foreign)


def test_p2_pools_stay_within_the_labels(world):
    """A pool of the token has no foreign members, and of an admin's pool that has some, only the token's own are told."""
    red, api = world.red, world.api

    def pool(id, members, **spec):
        return {"id": id, "labels": {"team": "red"}, "spec": {"members": members, **spec}}

    rule = {"domains": ["x.test"], "action": "members", "members": {"tunnels": ["nearblue"]}}
    for refused in (pool("p", {"tunnels": ["nearred", "nearblue"]}), pool("p", {"tunnels": ["absent"]}), pool("p", {"labels": {"x": "y"}}),
                    pool("p", {"labels": {"team": "blue"}}), pool("p", {"tunnels": ["nearred"]}, rules=[rule])):
        assert red.request("POST", "/v1/pools", refused).code == "forbidden", refused
    red.expect(201, "POST", "/v1/pools", pool("own", {"tunnels": ["nearred"], "labels": {"team": "red", "x": "y"}}))
    api.expect(201, "POST", "/v1/pools", pool("both", {"tunnels": ["nearred", "nearblue"]}))
    api.expect(201, "POST", "/v1/pools", {**pool("theirs", {"tunnels": ["nearblue"]}), "labels": {"team": "blue"}})
    assert [one["id"] for one in red.get("/v1/pools")["pools"]] == ["both", "own"]
    assert [member["tunnel"] for member in red.get("/v1/pools/both/members")["members"]] == ["nearred"]
    for path in ("", "/members", "/sessions"):
        assert red.request("GET", f"/v1/pools/theirs{path}").status == 404
    assert red.request("DELETE", "/v1/pools/theirs/sessions").status == 404
    assert red.request("DELETE", "/v1/pools/theirs").status == 404
    assert 'pool="theirs"' not in red.expect(200, "GET", "/metrics").body.decode()
    assert red.expect(200, "DELETE", "/v1/connections?pool=theirs").json == {"closed": 0}
    said = _said_by_events(world, world.token)
    assert '"own"' in said and "theirs" not in said


def _audit(daemon):
    """The lines of the audit trail; the daemon logs JSON."""
    lines = [json.loads(line) for line in daemon.process.log().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == "audit"]


def test_every_write_is_in_the_trail(make_daemon):
    daemon = make_daemon(arguments=["--log-format", "json"]).start()
    ci = _client(daemon, name='c"i\n')
    ci.expect(201, "POST", "/v1/tunnels?dry_run=false", _document(id="a"))
    made = ci.expect(201, "POST", "/v1/tunnels", _document()).json["id"]
    ci.expect(404, "DELETE", "/v1/tunnels/absent")
    ci.expect(200, "GET", "/v1/tunnels")
    assert ci.request("POST", "/v1/tokens", {"scopes": ["read"]}).status == 403
    reply = ci.expect(204, "DELETE", "/v1/tunnels/a")
    trail = _audit(daemon)
    assert [(line["method"], line["path"], line["object"], line["status"]) for line in trail][1:] == [
        ("POST", "/v1/tunnels", "a", 201), ("POST", "/v1/tunnels", made, 201), ("DELETE", "/v1/tunnels/absent", "absent", 404),
        ("POST", "/v1/tokens", "", 403), ("DELETE", "/v1/tunnels/a", "a", 204)]
    assert trail[0]["actor"] == f"uid {os.getuid()}" and trail[0]["client"] == "unix" and trail[0]["object"].startswith("t")
    assert {line["actor"] for line in trail[1:]} == {'c"i\n'} and {line["client"] for line in trail[1:]} == {"127.0.0.1"}
    assert trail[-1]["request_id"] == reply.headers["X-Request-Id"] and trail[-1]["level"] == "info"
    assert "dry_run" not in json.dumps(trail)


def test_refused_credentials_are_counted(make_daemon):
    """A line a second and address; the rest is counted."""
    daemon = make_daemon(arguments=["--log-format", "json"]).start()
    wrong = daemon.tcp_api("wrong-token-0000000000000000000000")
    for _ in range(50):
        wrong.expect(401, "DELETE", "/v1/tunnels")
    first = len(_audit(daemon))
    assert 1 <= first <= 10
    wait_until(lambda: wrong.request("GET", "/v1/tunnels").status == 401 and len(_audit(daemon)) > first, what="another second's line")
    trail = _audit(daemon)
    assert all(line["status"] == 401 and line["actor"] == "" and line["client"] == "127.0.0.1" and line["level"] == "warn" for line in trail)
    assert sum(line["count"] for line in trail) >= 50
    metrics = daemon.api.expect(200, "GET", "/metrics").body.decode()
    assert int(re.search(r"warren_api_refused_credentials_total (\d+)", metrics).group(1)) >= sum(line["count"] for line in trail)
    assert "wrong-token" not in daemon.process.log()


@pytest.mark.parametrize("headers, status", [({"Origin": "https://evil.example"}, 403), ({"Host": "evil.example"}, 421)])
def test_writes_of_foreign_pages_are_in_the_trail(make_daemon, headers, status):
    """A2: with the token or without; as many lines as for refused credentials, and not counted among these."""
    daemon = make_daemon(arguments=["--log-format", "json"]).start()
    for _ in range(50):
        daemon.tcp_api().expect(status, "DELETE", "/v1/tunnels/a", headers=headers)
    trail = _audit(daemon)
    assert 1 <= len(trail) <= 10
    assert {(line["method"], line["path"], line["status"], line["actor"], line["level"]) for line in trail} == {("DELETE", "/v1/tunnels/a", status, "", "warn")}
    assert "warren_api_refused_credentials_total 0\n" in daemon.api.expect(200, "GET", "/metrics").body.decode()
