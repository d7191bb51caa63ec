"""The OpenAPI document is correct: every operation is called, and every real reply matches its schema."""

import pytest

from harness import keys
from harness.clients import Connection
from harness.events import Reader
from harness.openapi import CheckedApi, Document, differences
from harness.process import wait_until
from harness.spec import proxy_address

jsonschema = pytest.importorskip("jsonschema", reason="python3-jsonschema is not installed")

FAR = keys.new_key()


@pytest.fixture
def api(local_daemon):
    return CheckedApi(local_daemon.api, Document(local_daemon.api.get("/openapi.json")))


def _document(id=None, **spec):
    return {**({"id": id} if id else {}), "labels": {"pool": "a"}, "spec": {
        "interface": {"generate_private_key": True, "addresses": ["10.2.0.2", "fd00::2"], "dns": ["10.2.0.1"]},
        "peers": [{"public_key": FAR.public, "endpoint": "127.0.0.1:9", "allowed_ips": ["0.0.0.0/0"], "persistent_keepalive": 25,
                   "preshared_key": keys.new_preshared_key()}],
        "proxy": {"users": [{"username": "u", "password": "p"}]},
        "forwards": [{"name": "f", "direction": "inbound", "protocol": "tcp", "listen": "10.2.0.2:80", "target": "127.0.0.1:9"}],
        "limits": {"connections": 7}, "probe": {"type": "ping", "target": "10.2.0.1"}, **spec}}


def _tunnels(api):
    api.request("POST", "/v1/tunnels", _document("one"))
    api.request("POST", "/v1/tunnels", _document("one"))
    api.request("POST", "/v1/tunnels?dry_run=true", _document("two"))
    api.request("POST", "/v1/tunnels", _document(interface={"addresses": ["x"]}))
    api.request("POST", "/v1/tunnels", b"{")
    api.request("POST", "/v1/tunnels", "<a/>", content_type="application/xml")
    api.request("POST", "/v1/tunnels?wait=up&timeout=1", _document("late", proxy={}))
    one = api.request("GET", "/v1/tunnels/one").json
    taken = "%s:%d" % proxy_address(one)
    api.request("POST", "/v1/tunnels", _document("three", proxy={"listen": [taken]}))
    api.request("POST", "/v1/tunnels?id=quick&label=a=b", f"[Interface]\nPrivateKey = {keys.new_key().private}\nAddress = 10.0.0.2\nPostUp = x\n",
                content_type="text/plain")
    for query in ("", "?view=full", "?label=pool=a", "?state=disabled", "?page_size=1", "?page_size=x"):
        api.request("GET", f"/v1/tunnels{query}")
    for id in ("one", "absent"):
        api.request("GET", f"/v1/tunnels/{id}")
        api.request("HEAD", f"/v1/tunnels/{id}")
        for part in ("status", "stats", "history", "peers", "config", "config?include_secrets=true", f"peers/{FAR.url}", f"peers/{keys.new_key().url}"):
            api.request("GET", f"/v1/tunnels/{id}/{part}")
        api.request("PATCH", f"/v1/tunnels/{id}", {"spec": {"limits": {"connections": 9}}}, content_type="application/merge-patch+json")
        api.request("POST", f"/v1/tunnels/{id}/actions/reconnect")
        for worker in (0, 99):
            api.request("POST", f"/v1/tunnels/{id}/actions/move", {"worker": worker})
        api.request("POST", f"/v1/tunnels/{id}/actions/probe", {"type": "ping", "target": "10.2.0.1", "count": 1, "timeout": 1})
        path = f"/v1/tunnels/{id}/peers/{keys.new_key().url}"
        api.request("PUT", path, {"allowed_ips": ["192.0.2.0/24"]})
        api.request("PUT", path, {"allowed_ips": ["192.0.2.0/25"]})
        api.request("PATCH", path, {"persistent_keepalive": 3}, content_type="application/merge-patch+json")
        api.request("DELETE", path)
        api.request("PUT", f"/v1/tunnels/{id}", _document(), headers={"If-Match": '"x"'})
    api.request("PUT", "/v1/tunnels/put", _document())
    api.request("PUT", "/v1/tunnels/put", _document())
    api.request("DELETE", "/v1/tunnels/put")
    api.request("DELETE", "/v1/tunnels/put")


def _connections(api):
    with Connection(proxy_address(api.request("GET", "/v1/tunnels/one").json)) as connection:
        connection.send(b"\5")
        for path in ("/v1/connections", "/v1/tunnels/one/connections", "/v1/tunnels/absent/connections"):
            for query in ("", "?page_size=1", "?client=127.0.0.1&protocol=socks5", "?protocol=x", "?page_token=x", "?user=u&target=h"):
                api.request("GET", path + query)
        id = api.request("GET", "/v1/connections?tunnel=one&client=127.0.0.1").json["connections"][0]["id"]
        api.request("DELETE", "/v1/connections?pool=none&dry_run=true")
        for _ in range(2):
            api.request("GET", f"/v1/connections/{id}")
            api.request("DELETE", f"/v1/connections/{id}")
        assert connection.is_at_end()
    api.request("DELETE", "/v1/connections")
    api.request("DELETE", "/v1/connections?client=x")


def _pools(api):
    pool = {"id": "eu", "spec": {"members": {"tunnels": ["one", "absent"], "labels": {"pool": "a"}}, "sticky": {"by": "session"},
                                 "rules": [{"domains": ["a.example"], "ports": ["443", "1-2"], "action": "reject"},
                                           {"networks": ["192.0.2.0/24"], "action": "members", "members": {"tunnels": ["one"]}}]}}
    for _ in range(2):
        api.request("POST", "/v1/pools", pool)
    api.request("POST", "/v1/pools", {"spec": {"retries": -1}})
    api.request("POST", "/v1/pools?dry_run=true", {"spec": {}})
    api.request("POST", "/v1/pools?wait=up&timeout=1", {"id": "empty", "spec": {}})
    for query in ("", "?view=full", "?label=a=b", "?state=stale", "?page_size=1", "?page_size=x"):
        api.request("GET", f"/v1/pools{query}")
    for id in ("eu", "absent"):
        for part in ("", "/members", "/pac", "/sessions"):
            api.request("GET", f"/v1/pools/{id}{part}")
        api.request("DELETE", f"/v1/pools/{id}/sessions")
        api.request("DELETE", f"/v1/pools/{id}/sessions/absent")
        api.request("PATCH", f"/v1/pools/{id}", {"spec": {"strategy": "failover"}}, content_type="application/merge-patch+json")
        api.request("PUT", f"/v1/pools/{id}", pool, headers={"If-Match": '"x"'})
    for _ in range(2):
        api.request("PUT", "/v1/pools/put", {"spec": {}})
    for _ in range(2):
        api.request("DELETE", "/v1/pools/put")


def _the_rest(api):
    api.request("GET", "/v1/stats")
    api.request("GET", "/v1/connections")
    api.request("DELETE", "/v1/connections?dry_run=true")
    api.request("GET", "/v1/tunnels/one/connections")
    api.request("GET", "/v1/connections/absent")
    api.request("DELETE", "/v1/connections/absent")
    state = api.request("GET", "/v1/state?include_secrets=true").json
    api.request("GET", "/v1/state")
    api.request("PUT", "/v1/state", state)
    api.request("PUT", "/v1/state", {"tunnels": [{"id": "!"}]})
    api.request("POST", "/v1/batch", {"atomic": False, "operations": [
        {"method": "PUT", "path": "/v1/tunnels/b", "body": _document()}, {"method": "DELETE", "path": "/v1/tunnels/absent"}]})
    api.request("POST", "/v1/batch", {"atomic": True, "operations": [{"method": "DELETE", "path": "/v1/tunnels/absent"}]})
    api.request("GET", "/v1/events?since=100000000")
    api.request("POST", "/v1/actions/reload")
    for index, body in ((0, {"drain_timeout": 0}), (0, {}), (77, {}), (0, {"drain_timeout": -1})):
        api.request("POST", f"/v1/workers/{index}/actions/replace", body)
    api.request("POST", "/v1/keys")
    api.request("POST", "/v1/keys", {"preshared": True})
    made = api.request("POST", "/v1/tokens", {"name": "t", "scopes": ["read"]}).json
    api.request("POST", "/v1/tokens", {"scopes": ["king"]})
    api.request("POST", "/v1/tokens", {"scopes": ["write"], "labels": {"a": "b"}, "expires_at": "2099-01-01T00:00:00Z"})
    api.request("GET", "/v1/whoami")
    api.request("POST", "/v1/actions/rotate-token")
    api.request("GET", "/v1/tokens")
    api.request("DELETE", f"/v1/tokens/{made['id']}")
    api.request("DELETE", f"/v1/tokens/{made['id']}")
    for body in ({"draining": True}, {"draining": 1}):
        api.request("PATCH", "/v1/nodes/absent", body)
    for path in ("/v1/info", "/v1/nodes", "/v1/nodes/absent", "/v1/version", "/metrics", "/livez", "/readyz", "/openapi.json", "/openapi.yaml", "/", "/page/style.css", "/page/main.js", "/page/absent"):
        api.request("GET", path)
    api.request("DELETE", "/v1/tunnels?label=pool=zzz")
    api.request("DELETE", "/v1/tunnels")
    api.request("DELETE", "/v1/pools?label=a=b")
    api.request("DELETE", "/v1/pools")
    # The last, because it closes the connection and refuses changes for a moment.
    api.request("POST", "/v1/actions/upgrade")


def test_every_operation_fits_the_document(local_daemon, api):
    reader = Reader(local_daemon)
    wait_until(reader.is_open.is_set, what="the stream of events")
    _tunnels(api)
    _connections(api)
    _pools(api)
    _the_rest(api)
    asked = {(method, template) for method, template, _ in api.document.seen}
    missed = api.document.operations() - asked - {("GET", "/v1/events")}
    assert missed == set(), "operations that this test never asks"
    assert api.faults == [], "\n".join(api.faults[:30])
    _check_examples(api.document)
    wait_until(lambda: any(event.get("type") == "pool.deleted" and event["pool"] == "eu" for event in reader.events), what="the last event")
    _check_events(api.document, reader.numbered())
    reader.close()


def _check_events(document, events):
    schema = document.document["components"]["schemas"]["Event"]
    faults = [f"{event['type']}: {fault}" for event in events for fault in document.faults(schema, event)]
    faults += [f"{event['type']}: {name} is not in the document" for event in events for name in event.keys() - schema["properties"].keys()]
    assert len({event["type"] for event in events}) >= 8 and faults == [], "\n".join(faults[:30])


def _check_examples(document):
    """Each has the members that a real answer had."""
    faults, count = [], 0
    for where, example in document.examples():
        found = min((differences(example, real) for real in document.answers.get(where, [])), key=len, default=["no such answer"])
        faults += [f"{' '.join(where)}: {fault}" for fault in found]
        count += 1
    assert count >= 15 and faults == [], "\n".join(faults[:60])


def test_examples_in_the_document_are_valid(api):
    """Each example matches its schema."""
    document, faults, count = api.document, [], 0

    def visit(node, where):
        nonlocal count
        if isinstance(node, list):
            for index, item in enumerate(node):
                visit(item, f"{where}/{index}")
        elif isinstance(node, dict):
            if "schema" in node and ("example" in node or "examples" in node) and "json" in where.rsplit("/", 1)[-1]:
                values = [node["example"]] if "example" in node else [document.resolve(value)["value"] for value in node["examples"].values()]
                for value in values:
                    count += 1
                    faults.extend(f"{where}: {fault}" for fault in document.faults(node["schema"], value))
            for key, value in node.items():
                visit(value, f"{where}/{key}" if key not in ("application/json", "application/problem+json", "application/merge-patch+json")
                      else f"{where}/json")
    visit(document.document, "")
    assert count > 0 and faults == [], "\n".join(faults[:30])
