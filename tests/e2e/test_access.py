"""Authorization: every operation with every kind of token (A1), and what is still answered when all connections are taken (A9)."""

import base64
import contextlib
import json
import os
import re
import socket
import statistics
import sys
import time

import pytest

from harness import keys
from harness.api import Api
from harness.daemon import is_sanitized
from harness.process import wait_until

SCOPES = ("metrics", "read", "write", "admin")
PUBLIC = {"/livez", "/readyz", "/openapi.json", "/openapi.yaml", "/", "/page/{file}"}


def _operations(document):
    """(method, path with its parameters filled in, the scope from the document, whether it is public)."""
    key = keys.new_key().url
    for template, item in document["paths"].items():
        for method in ("get", "head", "put", "post", "patch", "delete"):
            if method not in item:
                continue
            operation = item[method]
            scope = re.search(r"Scope: (\w+)", operation.get("description", ""))
            path = template.replace("{id}", "absent").replace("{key}", key).replace("{file}", "main.js")
            if path == "/v1/events":
                path += "?since=99999999"   # 410 at once, instead of an endless stream
            yield method.upper(), path, scope.group(1) if scope else "read", template in PUBLIC


def _content(method):
    return {} if method in ("GET", "HEAD", "DELETE") else {
        "body": b"{", "content_type": "application/merge-patch+json" if method == "PATCH" else "application/json"}


def test_a1_every_operation_without_a_good_token(local_daemon):
    good = local_daemon.token
    plain = Api.over_tcp(local_daemon.address)
    basic = base64.b64encode(f"admin:{good}".encode()).decode()
    headers = [None, "Bearer", "Bearer ", "Bearer wrong", f"Bearer {good[:-1]}", f"Bearer {good}0", f"Bearer {good} {good}", "Bearer " + "x" * 8000,
               f"Basic {basic}", good, f"Token {good}", f"Bearer {good.swapcase()}", "Bearer \xff\xfe"]
    for method, path, _, is_public in _operations(local_daemon.api.get("/openapi.json")):
        for header in headers:
            reply = plain.request(method, path, headers={"Authorization": header} if header is not None else {}, **_content(method))
            if is_public:
                assert reply.status == 200, f"{method} {path} with {header!r}: {reply!r}"
                continue
            assert reply.status == 401, f"{method} {path} with {header!r}: {reply!r}"
            assert reply.headers["WWW-Authenticate"].startswith("Bearer")
            assert method == "HEAD" or reply.code == "unauthorized"
    assert plain.request("GET", "/v1/version", headers={"Authorization": f"bearer {good}"}).status == 200, "a scheme's case does not matter (RFC 9110, 11.1)"


def test_a1_every_operation_with_every_scope(local_daemon):
    """The documented scope, and no lesser one, passes; the operation's own result does not matter here."""
    api = local_daemon.api
    clients = {scope: local_daemon.tcp_api(api.expect(201, "POST", "/v1/tokens", {"scopes": [scope]}).json["token"]) for scope in SCOPES}
    # An upgrade comes last: it refuses changes for a moment.
    operations = sorted(_operations(api.get("/openapi.json")), key=lambda operation: operation[1] == "/v1/actions/upgrade")
    for method, path, needed, is_public in operations:
        for scope, client in clients.items():
            reply = client.request(method, path, **_content(method))
            may = is_public or SCOPES.index(scope) >= SCOPES.index(needed)
            assert (reply.status != 403) == may, f"{scope}: {method} {path}: {reply!r}"
            assert reply.status != 401 and reply.status < 500, f"{scope}: {method} {path}: {reply!r}"


def test_a1_takes_as_long_for_every_wrong_token(local_daemon):
    """A token that is wrong in the first character takes as long as one that is wrong in the last."""
    good = local_daemon.token
    flipped = {"first": ("a" if good[0] != "a" else "b") + good[1:], "last": good[:-1] + ("a" if good[-1] != "a" else "b")}
    times = {name: [] for name in flipped}
    with Api.over_tcp(local_daemon.address).session() as session:
        for number in range(3000):
            for name in sorted(flipped, reverse=number % 2 == 0):
                before = time.perf_counter()
                session.request("GET", "/v1/version", headers={"Authorization": f"Bearer {flipped[name]}"})
                times[name].append(time.perf_counter() - before)
    # The slowest tenth is noise of the machine.
    first, last = (sorted(times[name])[:2700] for name in ("first", "last"))
    t = (statistics.mean(first) - statistics.mean(last)) / ((statistics.variance(first) + statistics.variance(last)) / 2700) ** 0.5
    difference = 1e6 * (statistics.median(first) - statistics.median(last))
    sys.stderr.write(f"a1: t {t:.1f}, difference of the medians {difference:.2f} us\n")
    assert abs(t) < 4.5 or abs(difference) < 2 or is_sanitized()


@contextlib.contextmanager
def _held(address, count, source="127.0.0.1"):
    """Opens `count` idle connections from `source`; fewer if no more are accepted."""
    held = []
    try:
        for _ in range(count):
            try:
                held.append(socket.create_connection(address, timeout=5, source_address=(source, 0)))
            except OSError:
                break
        yield held
    finally:
        for sock in held:
            sock.close()


def _status(address, path, source="127.0.0.1", timeout=5):
    """The reply's status from that source address; None when the connection is refused or cut."""
    try:
        with socket.create_connection(address, timeout=timeout, source_address=(source, 0)) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            head = sock.recv(4096)
            return int(head.split()[1]) if head else None
    except OSError:
        return None


def test_a9_one_address_takes_all_it_may(local_daemon):
    """256 connections from one address: further ones get only health checks; other addresses and the unix socket are not affected."""
    host, port = local_daemon.address.rsplit(":", 1)
    address = (host, int(port))
    with _held(address, 256):
        wait_until(lambda: _status(address, "/v1/version") in (None, 429, 503), what="the limit is reached")
        for path in ("/livez", "/readyz"):
            assert _status(address, path) == 200, f"{path} over the limit of an address"
        assert _status(address, "/v1/version", source="127.0.0.2") == 401, "another address is let in"
        assert local_daemon.api.request("GET", "/v1/version").status == 200
    wait_until(lambda: _status(address, "/v1/version") == 401, what="the address is let in again")


def test_a9_all_connections_are_taken(local_daemon):
    """1,024 connections from many addresses: health checks and the unix socket still answer, and all is normal once they end."""
    host, port = local_daemon.address.rsplit(":", 1)
    address = (host, int(port))
    wait_until(lambda: local_daemon.api.request("GET", "/readyz").status == 200, what="the workers have started")
    before = local_daemon.descriptors()
    with contextlib.ExitStack() as stack:
        for last in range(2, 8):
            stack.enter_context(_held(address, 200, f"127.0.0.{last}"))
        wait_until(lambda: _status(address, "/v1/version", source="127.0.0.9") in (None, 429, 503), what="the limit is reached")
        # Idle connections took the reserve, too; they keep it for two seconds.
        for path in ("/livez", "/readyz"):
            wait_until(lambda path=path: _status(address, path, source="127.0.0.9") == 200, 5, what=f"{path} answers over the limit of all")
        with local_daemon.api.session() as session:
            for number in range(20):
                session.expect(201, "POST", "/v1/tunnels", {"id": f"t{number}", "spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]}}})
            assert session.expect(200, "DELETE", "/v1/tunnels").json == {"deleted": 20}
    wait_until(lambda: _status(address, "/v1/version") == 401, what="it answers again")
    wait_until(lambda: local_daemon.descriptors() <= before + 4, timeout=20, what="descriptors are back")


def test_a9_idle_connections_make_room(local_daemon):
    """Connections that send nothing are closed after 10 s, so that nobody can lock others out for ever."""
    host, port = local_daemon.address.rsplit(":", 1)
    with _held((host, int(port)), 100) as held:
        started = time.monotonic()
        for sock in held:
            sock.settimeout(25)
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
        assert time.monotonic() - started < 20


def test_a8_large_tunnels(local_daemon):
    """255 peers with 257 allowed IPs each are returned completely, in JSON, as a wg-quick file, and peer by peer."""
    peers = [{"public_key": keys_.public, "allowed_ips": [f"10.{n}.{m}.0/24" for m in range(256)] + [f"fd00:{n + 1:x}::/32"], "persistent_keepalive": n}
             for n, keys_ in enumerate(_many_keys(255))]
    document = {"spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2", "fd00::2"]}, "peers": peers}}
    api = local_daemon.api
    api.put("large", document, status=201)
    got = api.get("/v1/tunnels/large")["spec"]["peers"]
    assert [(p["public_key"], p["allowed_ips"], p["persistent_keepalive"]) for p in got] == [
        (p["public_key"], p["allowed_ips"], p["persistent_keepalive"]) for p in peers]
    assert len(api.get("/v1/tunnels/large/peers")["peers"]) == 255 and len(api.stats("large")["peers"]) == 255
    conf = api.expect(200, "GET", "/v1/tunnels/large/config").body.decode()
    assert conf.count("[Peer]") == 255 and len(re.findall(r"\b10\.\d+\.\d+\.0/24\b", conf)) == 255 * 256
    assert api.put("large", api.get("/v1/tunnels/large"), status=200)["applied"] == "unchanged"
    conf = api.expect(200, "GET", "/v1/tunnels/large/config?include_secrets=true").body
    copy = api.expect(201, "POST", "/v1/tunnels?id=copy", conf, content_type="text/plain").json
    assert [p["allowed_ips"] for p in copy["spec"]["peers"]] == [p["allowed_ips"] for p in got]
    one = peers[200]["public_key"]
    url = base64.urlsafe_b64encode(base64.b64decode(one)).decode().rstrip("=")
    assert api.get(f"/v1/tunnels/large/peers/{url}")["allowed_ips"] == peers[200]["allowed_ips"]
    metrics = api.expect(200, "GET", "/metrics").body.decode()
    assert f'public_key="{one}",allowed_ips="{",".join(peers[200]["allowed_ips"])}"' in metrics


def _many_keys(count):
    """Public keys only: 32 bytes without a known private key."""
    for _ in range(count):
        yield keys.Key("", base64.b64encode(os.urandom(32)).decode())


def _leads(api):
    """The parts of the tunnel «in» that decide who can reach its inbound forward, or None if it has none."""
    spec = api.get("/v1/tunnels/in")["spec"]
    return (spec["interface"]["addresses"], spec["interface"]["dns"], spec["peers"]) if spec["forwards"] else None


def test_p1_a_writer_leads_no_inbound_forward_elsewhere(local_daemon):
    """Every way in which a token with write scope could add its own peer to an admin's tunnel, and so reach the host's service."""
    api, own, other = local_daemon.api, keys.new_key(), keys.new_key()
    writer = local_daemon.tcp_api(api.expect(201, "POST", "/v1/tokens", {"scopes": ["write"]}).json["token"])
    forward = {"name": "f", "direction": "inbound", "protocol": "tcp", "listen": "10.2.0.2:80", "target": "127.0.0.1:9"}

    def spec(key, **more):
        return {"interface": {"private_key": own.private, "addresses": ["10.2.0.2"], **more}, "forwards": [forward],
                "peers": [{"public_key": key.public, "endpoint": "127.0.0.1:9", "allowed_ips": ["10.2.0.0/24"]}]}

    admins, writers = {"id": "in", "spec": spec(other)}, {"id": "in", "spec": spec(keys.new_key())}
    conf = f"[Interface]\nPrivateKey = {own.private}\nAddress = 10.2.0.2\n[Peer]\nPublicKey = {keys.new_key().public}\nEndpoint = 127.0.0.1:10\n"
    merge = "application/merge-patch+json"
    peer = {"public_key": keys.new_key().public, "endpoint": "127.0.0.1:10", "allowed_ips": ["10.2.0.0/24"]}
    url = base64.urlsafe_b64encode(base64.b64decode(peer["public_key"])).decode().rstrip("=")
    doors = [
        ("PUT", "/v1/tunnels/in", writers, {}), ("PUT", "/v1/tunnels/in", conf, {"content_type": "text/plain"}),
        ("PATCH", "/v1/tunnels/in", {"spec": {"peers": writers["spec"]["peers"]}}, {"content_type": merge}),
        ("PATCH", "/v1/tunnels/in", {"spec": {"interface": {"private_key": keys.new_key().private}}}, {"content_type": merge}),
        ("PATCH", "/v1/tunnels/in", {"spec": {"interface": {"addresses": ["10.2.0.2", "fd00::2"]}}}, {"content_type": merge}),
        ("PUT", f"/v1/tunnels/in/peers/{url}", peer, {}), ("PATCH", f"/v1/tunnels/in/peers/{other.url}", {"endpoint": "127.0.0.1:10"}, {"content_type": merge}),
        ("PUT", "/v1/state", {"tunnels": [writers]}, {}),
        *(("POST", "/v1/batch", {"atomic": atomic, "operations": operations}, {}) for atomic in (True, False) for operations in (
            [{"method": "PUT", "path": "/v1/tunnels/in", "body": writers}],
            [{"method": "DELETE", "path": "/v1/tunnels/in"}, {"method": "POST", "path": "/v1/tunnels", "body": writers}],
            [{"method": "PATCH", "path": "/v1/tunnels/in", "body": {"spec": {"peers": []}}},
             {"method": "PUT", "path": f"/v1/tunnels/in/peers/{url}", "body": peer}])),
    ]
    for method, path, body, options in doors:
        api.put("in", admins)
        before = _leads(api)
        reply = writer.request(method, path, body, **options)
        gone = api.request("GET", "/v1/tunnels/in").status == 404
        assert gone or _leads(api) in (None, before), f"{method} {path}: {reply!r}"
        assert reply.status < 500
    api.put("in", admins)
    writer.expect(200, "PATCH", "/v1/tunnels/in", {"labels": {"seen": "yes"}, "spec": {"limits": {"connections": 5}}}, content_type=merge)


# A3, common errors of JSON parsers: each body is refused, or read as RFC 8259 requires.

REFUSED = [b"", b" ", b"\xef\xbb\xbf{}", b"{,}", b"{\"a\":1,}", b"{'a':1}", b"{a:1}", b"{\"a\" 1}", b"[1,]", b"{\"a\":01}", b"{\"a\":+1}", b"{\"a\":.5}",
           b"{\"a\":1.}", b"{\"a\":0x1}", b"{\"a\":NaN}", b"{\"a\":Infinity}", b"{\"a\":-}", b"{\"a\":1e}", b"{\"a\":TRUE}", b"{\"a\":nul}", b"{\"a\":\"\\x00\"}",
           b"{\"a\":\"\\u12\"}", b"{\"a\":\"\t\"}", b"{\"a\":\"\n\"}", b"{\"a\":\"\xc0\x80\"}", b"{\"a\":\"\xed\xa0\x80\"}", b"{\"a\":\"\xf4\x90\x80\x80\"}",
           b"{\"a\":\"\\udc00\\ud800\"}", b"{\"a\":\"\\ud800\"}", b"{\"a\":1}{}", b"{\"a\":1}\x00", b"{\"a\":1} x", b"/* */{}", b"{\"a\":1}//", b"{\"a\":1e999}",
           b"{\"a\":-1e999}", b"{\"a\":99999999999999999999}", b"{\"a\":1,\"a\":1}", b"{\"a\":{\"b\":1,\"b\":2}}", b"[" * 5000 + b"]" * 5000,
           b"{\"a\":" * 100000, b"\"" + b"\\" * 99999, b"{\"a\":\"" + b"x" * 100000, b"\x00", b"\xff\xfe{\x00}\x00", b"{\"\\u0000\":1}"]


@pytest.mark.parametrize("method, path", [("POST", "/v1/tunnels"), ("PUT", "/v1/state"), ("POST", "/v1/batch"), ("POST", "/v1/tokens")])
def test_a3_what_is_no_json(local_daemon, method, path):
    with local_daemon.api.session() as session:
        for body in REFUSED:
            before = time.monotonic()
            reply = session.request(method, path, body)
            assert reply.status in (400, 422), f"{body[:60]!r}: {reply!r}"
            assert b"xxxx" not in reply.body and time.monotonic() - before < 10
            json.loads(reply.body)
        state = session.expect(200, "GET", "/v1/state").json
        assert state["tunnels"] == [] and state["pools"] == []
