"""The control API as openapi.yaml describes it, against a live daemon on loopback."""

import base64
import http.client
import json
import os
import re
import socket
import ssl
import threading
import time

import pytest

from harness import keys
from harness.api import Api
from harness.certificates import make_certificate
from harness.clients import Connection, curl
from harness.daemon import is_sanitized
from harness.loop import INNER, Ends, create_pair, pages
from harness.process import run, wait_until
from harness.spec import proxy_address

FAR = keys.new_key()
PSK = keys.new_preshared_key()


def _document(id=None, **spec):
    """A tunnel to a peer that does not exist."""
    base = {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]},
            "peers": [{"public_key": FAR.public, "endpoint": "127.0.0.1:9", "allowed_ips": ["0.0.0.0/0"]}]}
    return {**({"id": id} if id else {}), "spec": {**base, **spec}}


@pytest.fixture
def api(local_daemon):
    return local_daemon.api


def _create(api, id, **spec):
    return api.create(_document(id, **spec), wait_up=False)


def test_a_forward_whose_port_was_chosen_is_found(api):
    spec = {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]}, "forwards": [
        {"name": "in", "direction": "inbound", "protocol": "tcp", "listen": "10.2.0.2:80", "target": "127.0.0.1:9"},
        {"name": "db", "direction": "outbound", "protocol": "tcp", "listen": "127.0.0.1:0", "target": "10.9.0.5:5432"}]}
    forwards = api.expect(201, "POST", "/v1/tunnels", {"id": "f", "spec": spec}).json["status"]["forwards"]
    assert [forward["name"] for forward in forwards] == ["db"] and re.fullmatch(r"127\.0\.0\.1:[1-9]\d*", forwards[0]["listen"])
    assert api.get("/v1/tunnels/f/stats")["bytes_used"] == 0


def test_defaults_and_shape(api):
    reply = api.expect(201, "POST", "/v1/tunnels", {"id": "plain", "spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]}}})
    tunnel = reply.json
    assert reply.headers["Location"].endswith("/v1/tunnels/plain") and reply.headers["ETag"] == tunnel["etag"]
    assert reply.headers["Cache-Control"] == "no-store"
    assert tunnel["applied"] == "created" and tunnel["labels"] == {}
    spec = tunnel["spec"]
    assert spec["enabled"] is True and spec["peers"] == [] and spec["forwards"] == []
    assert spec["interface"]["addresses"] == ["10.2.0.2/32"] and spec["interface"]["mtu"] == 1420 and spec["interface"]["listen_port"] == 0
    assert "private_key" not in spec["interface"]
    assert spec["proxy"]["protocols"] == ["http", "socks5", "socks4"] and spec["proxy"]["allow_private_targets"] is True
    assert (spec["proxy"]["connect_timeout"], spec["proxy"]["idle_timeout"]) == (30, 300)
    assert spec["limits"]["connections"] == 1024
    status = tunnel["status"]
    assert re.fullmatch(r"127\.0\.0\.1:\d+", status["listen"][0]) and status["udp_port"] > 0
    assert len(base64.b64decode(status["public_key"])) == 32
    for moment in (tunnel["created_at"], tunnel["updated_at"], status["since"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", moment)


def test_ids_are_made_when_left_out(api):
    ids = {api.create(_document(), wait_up=False)["id"] for _ in range(5)}
    assert len(ids) == 5 and all(re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,62}", id) for id in ids)
    assert api.request("POST", "/v1/tunnels", _document(ids.pop())).code == "tunnel_exists"


def test_a_history_has_the_bytes_that_were_counted(api):
    """Within ten seconds what was carried is in it, as rates whose sum is the counters'."""
    with pages(size=20 << 20) as server:
        far, near = create_pair(api, Ends(), server.address)
        assert api.get("/v1/tunnels/near/history")["since"] is None
        host, port = proxy_address(near)
        curl(None, "--noproxy", "", "-x", f"http://{host}:{port}", f"http://{INNER}/", "-o", "/dev/null")
        wait_until(lambda: sum(api.get("/v1/tunnels/near/history")["throughput_received"]) * 10 / 8 > 19 << 20, 25, what="the step is over")
    history, counted = api.get("/v1/tunnels/near/history"), api.stats("near")
    for direction in ("sent", "received"):
        recorded = sum(history[f"throughput_{direction}"]) * history["step"] / 8
        assert recorded == pytest.approx(counted[f"bytes_{direction}"], rel=0.1)
    assert history["rtt_ms"][-1] > 0 and history["until"] > history["since"]


def test_peer_that_was_never_heard_of_has_null(api):
    _create(api, "mute")
    peer = api.stats("mute")["peers"][0]
    assert peer["last_handshake_at"] is None and peer["last_handshake_age"] is None
    assert api.stats("mute")["last_handshake_at"] is None


def test_head(api):
    _create(api, "a")
    reply = api.expect(200, "HEAD", "/v1/tunnels/a")
    assert reply.body == b"" and int(reply.headers["Content-Length"]) > 100


def test_conditional_writes(api):
    tag = _create(api, "c")["etag"]
    assert re.fullmatch(r'"[^"]+"', tag)

    def put(expected, limit=7, **headers):
        return api.expect(expected, "PUT", "/v1/tunnels/c", _document(limits={"connections": limit}),
                          headers={name.replace("_", "-"): value for name, value in headers.items()})
    put(412, If_Match='"nothing"')
    put(412, If_None_Match="*")
    put(412, If_Match=f"W/{tag}")
    reply = put(200, If_Match=tag)
    put(412, If_Match=tag)
    put(200, If_Match=f'"x", {reply.json["etag"]}')
    put(200, 8, If_Match="*")
    api.expect(412, "DELETE", "/v1/tunnels/c", headers={"If-Match": tag})
    current = api.get("/v1/tunnels/c")["etag"]
    assert api.expect(200, "GET", "/v1/tunnels/c", headers={"If-None-Match": current}).json["etag"] == current
    api.expect(204, "DELETE", "/v1/tunnels/c", headers={"If-Match": current})
    api.expect(412, "PUT", "/v1/tunnels/c", _document(), headers={"If-Match": "*"})
    assert put(201, If_None_Match="*").json["etag"] not in (tag, current)


@pytest.mark.parametrize("headers", [{"If-Match": '"1"'}, {"If-None-Match": "*"}])
def test_conditions_where_no_etag_is(api, headers):
    """A conditional write must not be executed if nothing evaluates the condition."""
    _create(api, "kept")
    for method, path, body in [("DELETE", "/v1/tunnels", None), ("PUT", "/v1/state", {"tunnels": []}),
                               ("POST", "/v1/batch", {"operations": [{"method": "DELETE", "path": "/v1/tunnels/kept"}]})]:
        assert api.expect(412, method, path, body, headers=headers).code == "precondition_failed"
    assert api.get("/v1/tunnels/kept")["id"] == "kept"
    api.expect(200, "PUT", "/v1/state", {"tunnels": []}, headers={"If-Match": "*"})


def test_put_is_idempotent(api):
    key = keys.new_key()
    document = _document(interface={"private_key": key.private, "addresses": ["10.2.0.2"]})
    first = api.put("i", document, status=201)
    for _ in range(3):
        again = api.put("i", document, status=200)
        assert (again["applied"], again["etag"], again["generation"]) == ("unchanged", first["etag"], first["generation"])
    got = api.get("/v1/tunnels/i")
    again = api.put("i", got, status=200)
    assert (again["applied"], again["etag"]) == ("unchanged", first["etag"]), "GET, then PUT of the same, is a change"
    assert again["status"]["public_key"] == key.public


def test_secrets_stay_until_removed(api):
    users = [{"username": "ann", "password": "pw"}]
    created = _create(api, "s", peers=[{"public_key": FAR.public, "preshared_key": PSK}], proxy={"users": users})
    assert created["spec"]["peers"][0]["preshared_key_set"] is True and created["spec"]["proxy"]["users"][0]["password_set"] is True
    assert "preshared_key" not in created["spec"]["peers"][0] and "password" not in created["spec"]["proxy"]["users"][0]

    def kept():
        spec = next(t for t in api.get("/v1/state?include_secrets=true")["tunnels"] if t["id"] == "s")["spec"]
        return spec["peers"][0].get("preshared_key"), spec["proxy"]["users"][0].get("password")
    assert kept() == (PSK, "pw")
    api.put("s", _document(peers=[{"public_key": FAR.public}], proxy={"users": [{"username": "ann"}]}))
    assert kept() == (PSK, "pw")
    api.patch("s", {"spec": {"peers": [{"public_key": FAR.public, "persistent_keepalive": 3}]}})
    assert kept() == (PSK, "pw")
    tag = api.get("/v1/tunnels/s")["etag"]
    reply = api.patch("s", {"spec": {"peers": [{"public_key": FAR.public, "preshared_key": None}]}})
    assert kept()[0] is None and reply["etag"] != tag and reply["spec"]["peers"][0]["preshared_key_set"] is False


def test_merge_patch(api):
    _create(api, "m", limits={"connections": 5}, probe={"type": "ping", "target": "10.0.0.1"})
    api.patch("m", {"labels": {"a": "1", "b": "2"}})
    tunnel = api.patch("m", {"labels": {"a": None}, "spec": {"limits": None, "probe": None, "interface": {"mtu": 1300}}})
    assert tunnel["labels"] == {"b": "2"} and tunnel["spec"]["limits"]["connections"] == 1024
    assert tunnel["spec"]["interface"]["mtu"] == 1300 and tunnel["spec"].get("probe") is None
    assert tunnel["spec"]["interface"]["addresses"] == ["10.2.0.2/32"]
    assert api.request("PATCH", "/v1/tunnels/m", {}, content_type="application/json-patch+json").status == 415
    api.patch("m", {"spec": {"interface": None}}, status=422)


def test_peers_as_resources(api):
    tunnel = _create(api, "p")
    other = keys.new_key()
    assert [peer["public_key"] for peer in api.get("/v1/tunnels/p/peers")["peers"]] == [FAR.public]
    path = f"/v1/tunnels/p/peers/{other.url}"
    api.expect(404, "GET", path)
    api.expect(201, "PUT", path, {"allowed_ips": ["192.0.2.0/24"]})
    api.expect(200, "PUT", path, {"public_key": other.public, "allowed_ips": ["192.0.2.0/25"]})
    api.expect(200, "PATCH", path, {"persistent_keepalive": 9}, content_type="application/merge-patch+json")
    peer = api.get(path)
    assert (peer["public_key"], peer["allowed_ips"], peer["persistent_keepalive"]) == (other.public, ["192.0.2.0/25"], 9)
    assert api.request("PUT", path, {"public_key": FAR.public}).status == 422
    assert len(api.get("/v1/tunnels/p")["spec"]["peers"]) == 2
    assert api.get("/v1/tunnels/p")["etag"] != tunnel["etag"]
    api.expect(204, "DELETE", path)
    api.expect(404, "DELETE", path)
    assert api.request("GET", "/v1/tunnels/p/peers/short").status == 404


def test_paging_and_filters(api):
    with api.session() as session:
        for number in range(25):
            session.expect(201, "POST", "/v1/tunnels", {**_document(f"t{number:02}", enabled=number % 5 != 0),
                                                        "labels": {"pool": "ab"[number % 2], "n": str(number)}})
    seen, token = [], ""
    while True:
        page = api.get(f"/v1/tunnels?page_size=7{'&page_token=' + token if token else ''}")
        assert len(page["tunnels"]) <= 7
        seen += [tunnel["id"] for tunnel in page["tunnels"]]
        token = page["next_page_token"]
        if not token:
            break
    assert seen == [f"t{number:02}" for number in range(25)]
    assert len(api.get("/v1/tunnels?label=pool=a")["tunnels"]) == 13
    assert len(api.get("/v1/tunnels?label=pool=a&label=n=2")["tunnels"]) == 1
    assert len(api.get("/v1/tunnels?label=n=2&label=pool!=b")["tunnels"]) == 1
    assert len(api.get("/v1/tunnels?label=pool!=b")["tunnels"]) == 13
    assert len(api.get("/v1/tunnels?label=pool&label=none!=x")["tunnels"]) == 25
    assert api.get("/v1/tunnels?label=none")["tunnels"] == []
    assert len(api.get("/v1/tunnels?state=disabled")["tunnels"]) == 5
    assert len(api.get("/v1/tunnels?state=disabled&state=handshaking&state=starting")["tunnels"]) == 25
    assert [tunnel["id"] for tunnel in api.get("/v1/stats?tunnel=t07&tunnel=t03&tunnel=none")["tunnels"]] == ["t03", "t07"]
    for path in ("/v1/tunnels", "/v1/stats", "/v1/events"):
        for label in ("!k", "k!v", "k%3Ev", "=v", "!=v", "", "a%20b=v", "k==v", "k!==v", "%20"):
            assert api.expect(400, "GET", f"{path}?label={label}").code == "invalid_request"
            assert api.expect(400, "DELETE", f"/v1/tunnels?label=pool=a&label={label}").code == "invalid_request"
    for query in ("state=up&state=upp", "state="):
        api.expect(400, "GET", f"/v1/tunnels?{query}")
    api.expect(400, "GET", "/v1/events?type=tunnel.nothing")
    assert len(api.get("/v1/tunnels")["tunnels"]) == 25
    assert "status" in api.get("/v1/tunnels?view=full&page_size=1")["tunnels"][0]
    assert "status" not in api.get("/v1/tunnels?page_size=1")["tunnels"][0]
    assert api.expect(200, "DELETE", "/v1/tunnels?label=pool=b").json == {"deleted": 12}
    assert len(api.get("/v1/stats")["tunnels"]) == 13
    assert api.expect(200, "DELETE", "/v1/tunnels").json == {"deleted": 13}


def test_batch(api):
    operations = [{"method": "POST", "path": "/v1/tunnels", "body": _document("a")}, {"method": "PUT", "path": "/v1/tunnels/b", "body": _document()},
                  {"method": "DELETE", "path": "/v1/tunnels/absent"}]
    results = api.expect(200, "POST", "/v1/batch", {"atomic": False, "operations": operations}).json["results"]
    assert [result["status"] for result in results] == [201, 201, 404]
    assert results[0]["body"]["id"] == "a" and results[2]["body"]["code"] == "not_found"
    assert results[2]["body"]["request_id"]
    reply = api.request("POST", "/v1/batch", {"atomic": True, "operations": [
        {"method": "DELETE", "path": "/v1/tunnels/a"}, {"method": "DELETE", "path": "/v1/tunnels/absent"}]})
    assert (reply.status, reply.code) == (404, "not_found")
    api.get("/v1/tunnels/a")
    reply = api.request("POST", "/v1/batch", {"atomic": True, "operations": [
        {"method": "DELETE", "path": "/v1/tunnels/a", "if_match": '"old"'}]})
    assert reply.status == 412


def test_batch_hands_a_listener_over(api):
    """Delete one and create another on its port atomically; also a swap between two tunnels."""
    first, second = _create(api, "one"), _create(api, "two")
    ports = [tunnel["status"]["listen"][0] for tunnel in (first, second)]
    operations = [{"method": "DELETE", "path": "/v1/tunnels/one"},
                  {"method": "PUT", "path": "/v1/tunnels/heir", "body": _document(proxy={"listen": [ports[0]]})}]
    results = api.expect(200, "POST", "/v1/batch", {"atomic": True, "operations": operations}).json["results"]
    assert [result["status"] for result in results] == [204, 201]
    operations = [{"method": "PUT", "path": "/v1/tunnels/heir", "body": _document(proxy={"listen": [ports[1]]})},
                  {"method": "PUT", "path": "/v1/tunnels/two", "body": _document(proxy={"listen": [ports[0]]})}]
    results = api.expect(200, "POST", "/v1/batch", {"atomic": True, "operations": operations}).json["results"]
    assert [result["body"]["status"]["listen"] for result in results] == [[ports[1]], [ports[0]]]


def test_whole_state(api):
    for id in ("keep", "change", "drop"):
        _create(api, id)
    state = api.get("/v1/state?include_secrets=true")
    assert api.expect(200, "PUT", "/v1/state", state).json == {"created": 0, "changed": 0, "unchanged": 3, "deleted": 0}
    without = api.get("/v1/state")
    assert "private_key" not in json.dumps(without).replace("generate_private_key", "")
    assert api.expect(200, "PUT", "/v1/state", without).json["unchanged"] == 3, "secrets that are left out are kept"
    tunnels = [tunnel for tunnel in without["tunnels"] if tunnel["id"] != "drop"]
    next(tunnel for tunnel in tunnels if tunnel["id"] == "change")["labels"] = {"new": "yes"}
    tunnels.append(_document("fresh"))
    assert api.expect(200, "PUT", "/v1/state", {"tunnels": tunnels}).json == {"created": 1, "changed": 1, "unchanged": 1, "deleted": 1}
    bad = {"tunnels": [*tunnels, _document("bad", interface={"addresses": ["x"]})]}
    reply = api.request("PUT", "/v1/state", bad)
    assert reply.status == 422 and any(pointer.startswith("/tunnels/3/spec/interface") for pointer in reply.pointers)
    assert {tunnel["id"] for tunnel in api.get("/v1/tunnels")["tunnels"]} == {"keep", "change", "fresh"}


def test_dry_run_changes_nothing(api):
    before = api.get("/v1/state?include_secrets=true")
    reply = api.request("POST", "/v1/tunnels?dry_run=true", _document("dry"))
    assert reply.status in (200, 201)
    api.get("/v1/tunnels/dry", status=404)
    assert api.request("POST", "/v1/tunnels?dry_run=true", _document("dry", interface={"addresses": ["x"]})).status == 422
    _create(api, "wet")
    tag = api.get("/v1/tunnels/wet")["etag"]
    api.expect(200, "PUT", "/v1/tunnels/wet?dry_run=true", _document(limits={"connections": 3}))
    assert api.get("/v1/tunnels/wet")["etag"] == tag
    api.delete("wet")
    assert api.get("/v1/state?include_secrets=true") == before


class Stream(threading.Thread):
    """/v1/events as NDJSON, or as SSE, over the unix socket."""

    def __init__(self, daemon, query="", accept="application/x-ndjson", headers=""):
        super().__init__(daemon=True)
        self.events, self.raw = [], b""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(f"{daemon.state_dir}/api.sock")
        self.sock.sendall(f"GET /v1/events{query} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n{headers}\r\n".encode())
        self.start()

    def run(self):
        try:
            while data := self.sock.recv(65536):
                self.raw += data
        except OSError:
            pass

    def lines(self):
        """The events as dictionaries, in both formats."""
        return [json.loads(text) for text in re.findall(r"^(?:data: ?)?(\{.*\})\r?$", self.raw.decode(), re.M)]

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.join(5)


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/event-stream"])
def test_events(local_daemon, accept):
    api = local_daemon.api
    stream = Stream(local_daemon, accept=accept)
    wait_until(lambda: b"\r\n\r\n" in stream.raw, what="the stream has begun")
    assert accept.encode() in stream.raw
    _create(api, "e")
    api.patch("e", {"labels": {"a": "b"}})
    api.delete("e")

    def types():
        return [event["type"] for event in stream.lines() if event.get("tunnel") == "e"]
    wait_until(lambda: "tunnel.deleted" in types(), what="the last event")
    seen = types()
    assert seen[0] == "tunnel.created" and seen[-1] == "tunnel.deleted" and "tunnel.changed" in seen
    numbers = [event["id"] for event in stream.lines() if event["type"] != "heartbeat"]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    stream.close()
    created = next(event for event in stream.lines() if event["type"] == "tunnel.created")
    again = Stream(local_daemon, accept=accept, headers=f"Last-Event-ID: {created['id']}\r\n")
    since = Stream(local_daemon, query=f"?since={created['id']}", accept=accept)
    for resumed in (again, since):
        wait_until(lambda: any(event["type"] == "tunnel.deleted" for event in resumed.lines()), what="what was missed")
        missed = [event["id"] for event in resumed.lines() if event["type"] != "heartbeat"]
        assert missed[0] == created["id"] + 1
        resumed.close()


def _resume(daemon, since):
    """The status of an attempt to resume after an event."""
    stream = Stream(daemon, query=f"?since={since}")
    wait_until(lambda: b"\r\n\r\n" in stream.raw, what="a reply")
    stream.close()
    return int(stream.raw.split()[1]), stream.raw


def test_events_too_old(local_daemon):
    """Events that the log no longer has, and ids from an earlier daemon: 410."""
    stream = Stream(local_daemon)
    wait_until(lambda: b"\r\n\r\n" in stream.raw, what="the stream has begun")
    _create(local_daemon.api, "e")
    wait_until(stream.lines, what="the first event")
    first = stream.lines()[0]["id"]
    stream.close()
    assert _resume(local_daemon, first)[0] == 200
    status, raw = _resume(local_daemon, 1 << 60)
    assert status == 410 and b"events_expired" in raw
    if is_sanitized():
        return  # 20,000 changes take minutes there
    operations = [{"method": "PUT", "path": "/v1/tunnels/e", "body": _document(enabled=False, limits={"connections": 1 + number % 2})}
                  for number in range(1000)]
    for _ in range(20):
        local_daemon.api.expect(200, "POST", "/v1/batch", {"atomic": False, "operations": operations})
        if _resume(local_daemon, first)[0] == 410:
            return
    raise AssertionError("20,000 changes later the first event is still known")


def test_slow_reader_of_events_harms_nobody(local_daemon):
    sock = socket.socket(socket.AF_UNIX)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(f"{local_daemon.state_dir}/api.sock")
    sock.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with local_daemon.api.session() as session:
        for number in range(2000):
            session.request("PUT", "/v1/tunnels/e", {**_document(enabled=False), "labels": {"n": str(number)}})
    assert local_daemon.api.request("GET", "/livez").status == 200
    sock.close()


def test_tokens_and_scopes(local_daemon):
    api = local_daemon.api
    made = {scope: api.expect(201, "POST", "/v1/tokens", {"name": scope, "scopes": [scope]}).json for scope in ("metrics", "read", "write", "admin")}
    assert {token["name"] for token in api.get("/v1/tokens")["tokens"]} >= set(made)
    assert all("token" not in token for token in api.get("/v1/tokens")["tokens"])
    assert all(token["scopes"] == [scope] for scope, token in made.items())
    assert {token["name"]: token["scopes"] for token in api.get("/v1/tokens")["tokens"]} == {scope: [scope] for scope in made}
    with open(f"{local_daemon.state_dir}/admin.token", encoding="ascii") as file:
        assert file.read().strip()
    clients = {scope: local_daemon.tcp_api(token["token"]) for scope, token in made.items()}
    _create(api, "x")
    inbound = _document("y", forwards=[{"name": "f", "direction": "inbound", "protocol": "tcp", "listen": "10.2.0.2:80", "target": "127.0.0.1:9"}])
    for method, path, body, allowed in [
            ("GET", "/metrics", None, {"metrics", "read", "write", "admin"}), ("GET", "/v1/tunnels", None, {"read", "write", "admin"}),
            ("PUT", "/v1/tunnels/x", _document(), {"write", "admin"}), ("POST", "/v1/tunnels?dry_run=true", inbound, {"admin"}),
            ("GET", "/v1/tunnels/x/config?include_secrets=true", None, {"admin"}), ("GET", "/v1/state?include_secrets=true", None, {"admin"}),
            ("GET", "/v1/tokens", None, {"admin"}), ("POST", "/v1/tokens", {"name": "n", "scopes": ["read"]}, {"admin"})]:
        for scope, client in clients.items():
            status = client.request(method, path, body).status
            assert (status < 300) == (scope in allowed), f"{scope}: {method} {path}: {status}"
            assert status < 300 or status == 403
    api.expect(204, "DELETE", f"/v1/tokens/{made['read']['id']}")
    assert clients["read"].request("GET", "/v1/tunnels").status == 401
    local_daemon.kill()
    local_daemon.start()
    assert local_daemon.tcp_api(made["write"]["token"]).request("GET", "/v1/tunnels").status == 200
    for folder, _, names in os.walk(local_daemon.state_dir):
        for name in names:
            if name not in ("admin.token", "api.sock"):
                with open(f"{folder}/{name}", "rb") as file:
                    assert made["write"]["token"].encode() not in file.read(), "a token is stored in the clear"


def test_tls(make_daemon, directory):
    make_certificate(f"{directory}/cert.pem", f"{directory}/key.pem", "localhost", "IP:127.0.0.1")
    daemon = make_daemon(arguments=["--tls-cert", f"{directory}/cert.pem", "--tls-key", f"{directory}/key.pem"]).start()
    context = ssl.create_default_context(cafile=f"{directory}/cert.pem")
    host, port = daemon.address.rsplit(":", 1)
    with context.wrap_socket(socket.create_connection((host, int(port)), 10), server_hostname=host) as sock:
        assert sock.version() in ("TLSv1.2", "TLSv1.3")
        sock.sendall(f"GET /v1/version HTTP/1.1\r\nHost: {daemon.address}\r\nAuthorization: Bearer {daemon.token}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while data := sock.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 200")


def test_keys_and_version(api):
    made = api.expect(200, "POST", "/v1/keys").json
    assert run(["wg", "pubkey"], input=made["private_key"]).stdout.strip() == made["public_key"]
    made = api.expect(200, "POST", "/v1/keys", {"preshared": True}).json
    assert len(base64.b64decode(made["preshared_key"])) == 32
    assert api.get("/v1/version")["version"]


def test_metrics(local_daemon):
    api = local_daemon.api
    _create(api, "m")
    text = api.expect(200, "GET", "/metrics").body.decode()
    for name in ("warren_build_info", "warren_tunnels", "warren_tunnel_up", "warren_tunnel_info", "warren_proxy_connections",
                 "warren_proxy_connections_total", "warren_proxy_bytes_total", "warren_proxy_connect_duration_seconds_bucket",
                 "warren_handshakes_total", "warren_dropped_packets_total", "warren_worker_restarts_total", "warren_api_requests_total",
                 "warren_api_request_duration_seconds_bucket", "process_resident_memory_bytes", "process_open_fds",
                 "wireguard_sent_bytes_total", "wireguard_received_bytes_total"):
        assert f"# TYPE {name.removesuffix('_bucket')} " in text, name
    assert f'wireguard_sent_bytes_total{{interface="m",public_key="{FAR.public}",allowed_ips="0.0.0.0/0"}}' in text
    assert not re.search(r"(?m)^wireguard_latest_handshake_seconds\{", text), "a peer never heard of has no sample"
    assert 'warren_tunnel_up{tunnel="m"} 0' in text
    for line in text.splitlines():
        assert line.startswith("#") or re.fullmatch(r'[a-z_]+(\{([a-z_]+="([^"\\\n]|\\.)*",?)*\})? [-+0-9.eEInfNa]+', line), line


def test_health_and_pages_need_no_token(local_daemon):
    client = Api.over_tcp(local_daemon.address)
    for path in ("/livez", "/readyz", "/openapi.json", "/openapi.yaml", "/"):
        assert client.request("GET", path).status == 200, path
    assert client.request("GET", "/metrics").status == 401
    document = client.request("GET", "/openapi.json").json
    assert document["openapi"].startswith("3.1") and {"/v1/tunnels", "/livez"} <= document["paths"].keys()


def _answers(api):
    """False while connections are still refused or reset."""
    try:
        return api.request("GET", "/v1/version").status == 200
    except (OSError, http.client.HTTPException):
        return False


def test_a9_connection_limit_leaves_the_operator_in(local_daemon):
    """Past 256 connections of an address new ones are refused or wait; the unix socket still answers."""
    host, port = local_daemon.address.rsplit(":", 1)
    held = []
    try:
        for _ in range(300):
            try:
                held.append(Connection((host, int(port)), timeout=2))
            except OSError:
                break
        assert local_daemon.api.request("GET", "/v1/version").status == 200
    finally:
        for connection in held:
            connection.close()
    wait_until(lambda: _answers(local_daemon.tcp_api()), what="the API answers again")


def test_slow_head_is_cut(local_daemon):
    """A header line every second does not keep a connection open for ever: it is closed after 10 s."""
    host, port = local_daemon.address.rsplit(":", 1)
    with Connection((host, int(port)), timeout=30) as connection:
        connection.send(b"GET /livez HTTP/1.1\r\n")
        started = time.monotonic()
        while time.monotonic() - started < 20:
            try:
                connection.send(b"X: y\r\n")
                connection.sock.settimeout(1)
                if not connection.sock.recv(4096):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert 8 < time.monotonic() - started < 20


def test_limits_of_a_tunnel(local_daemon):
    """At the limit of connections the next one gets 503 at once."""
    api = local_daemon.api
    created = _create(api, "few", limits={"connections": 2}, proxy={"connect_timeout": 5})
    held = []
    for _ in range(2):
        connection = Connection(proxy_address(created))
        connection.send(b"CONNECT 10.1.1.1:80 HTTP/1.1\r\nHost: x\r\n\r\n")
        held.append(connection)
    wait_until(lambda: api.stats("few")["connections_open"] == 2, what="two are open")
    with Connection(proxy_address(created), timeout=2) as connection:
        assert connection.http_connect("10.1.1.1:80")[0] == 503
    for connection in held:
        connection.close()


def test_one_key_towards_one_peer_in_two_tunnels_is_told(local_daemon):
    """Both would be `up`, and replies would go to one or the other in turn."""
    api, ends = local_daemon.api, Ends()
    assert "warnings" not in api.create(ends.near(9), wait_up=False)
    twin = api.create({**ends.near(9), "id": "twin"}, wait_up=False)
    assert [warning["code"] for warning in twin["warnings"]] == ["duplicate_key"] and "near" in twin["warnings"][0]["detail"]
    assert "warnings" not in api.patch("twin", {"spec": {"enabled": False}})
    assert api.patch("near", {"labels": {"a": "b"}}).get("warnings") is None
    assert [warning["code"] for warning in api.patch("twin", {"spec": {"enabled": True}})["warnings"]] == ["duplicate_key"]
    peer = api.expect(200, "PUT", f"/v1/tunnels/twin/peers/{ends.far_key.url}", {"allowed_ips": ["0.0.0.0/0"]}).json
    assert [warning["code"] for warning in peer["warnings"]] == ["duplicate_key"]
