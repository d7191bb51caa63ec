"""Invalid input of every kind: a 4xx that names the member or line, no crash, no leak. Also run against the sanitizer build."""

import base64
import copy
import json
import random
import socket
import time

import pytest

from harness import keys
from harness.clients import Connection
from harness.process import wait_until
from harness.spec import proxy_address

KEY = base64.b64encode(bytes(range(32))).decode()


def _document(**spec):
    document = {"id": "bad", "spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2/32"]}}}
    for path, value in spec.items():
        place = document["spec"]
        *parents, last = path.split("__")
        for name in parents:
            place = place.setdefault(name, {})
        place[last] = value
    return document


def _peer(**members):
    return [{"public_key": KEY, "endpoint": "192.0.2.1:51820", "allowed_ips": ["0.0.0.0/0"], **members}]


FAULTS = [
    (_document(interface__private_key="short"), "/spec/interface/private_key"),
    (_document(interface__private_key=base64.b64encode(bytes(31)).decode()), "/spec/interface/private_key"),
    (_document(interface__private_key=base64.b64encode(bytes(33)).decode()), "/spec/interface/private_key"),
    (_document(interface__private_key=KEY[:-2] + "9="), "/spec/interface/private_key"),
    (_document(interface__private_key=17), "/spec/interface/private_key"),
    (_document(interface__addresses=[]), "/spec/interface/addresses"),
    (_document(interface__addresses=["10.0.0.256"]), "/spec/interface/addresses/0"),
    (_document(interface__addresses=["10.0.0.1/33"]), "/spec/interface/addresses/0"),
    (_document(interface__addresses=["fd00::1/129"]), "/spec/interface/addresses/0"),
    (_document(interface__addresses=["10.0.0.1", "10.0.0.2"]), "/spec/interface/addresses/1"),
    (_document(interface__addresses=["fd00::1", "fd00::2", "fd00::3", "fd00::4"]), "/spec/interface/addresses/3"),
    (_document(interface__dns=["dns.example"]), "/spec/interface/dns/0"),
    (_document(interface__mtu=575), "/spec/interface/mtu"),
    (_document(interface__mtu=1279, interface__addresses=["fd00::2"]), "/spec/interface/mtu"),
    (_document(interface__mtu=70000), "/spec/interface/mtu"),
    (_document(interface__mtu="1420"), "/spec/interface/mtu"),
    (_document(interface__listen_port=65536), "/spec/interface/listen_port"),
    (_document(interface__listen_port=-1), "/spec/interface/listen_port"),
    (_document(interface__listen_port=51820.0), "/spec/interface/listen_port"),
    (_document(interface__fwmark=1), "/spec/interface/fwmark"),
    (_document(peers=[{}]), "/spec/peers/0/public_key"),
    (_document(peers=_peer(public_key="x" * 44)), "/spec/peers/0/public_key"),
    (_document(peers=_peer() + _peer()), "/spec/peers/1/public_key"),
    (_document(peers=_peer(preshared_key="x")), "/spec/peers/0/preshared_key"),
    (_document(peers=_peer(endpoint="192.0.2.1")), "/spec/peers/0/endpoint"),
    (_document(peers=_peer(endpoint="192.0.2.1:0")), "/spec/peers/0/endpoint"),
    (_document(peers=_peer(endpoint="192.0.2.1:65536")), "/spec/peers/0/endpoint"),
    (_document(peers=_peer(endpoint="fd00::1:51820:x")), "/spec/peers/0/endpoint"),
    (_document(peers=_peer(endpoint="[fd00::1:51820")), "/spec/peers/0/endpoint"),
    (_document(peers=_peer(endpoint="a b.example:51820")), "/spec/peers/0/endpoint"),
    (_document(peers=_peer(allowed_ips=["0.0.0.0/0", "10.0.0.0/40"])), "/spec/peers/0/allowed_ips/1"),
    (_document(peers=_peer(allowed_ips="0.0.0.0/0")), "/spec/peers/0/allowed_ips"),
    (_document(peers=_peer(persistent_keepalive=65536)), "/spec/peers/0/persistent_keepalive"),
    (_document(proxy__listen=["127.0.0.1"]), "/spec/proxy/listen/0"),
    (_document(proxy__listen=["127.0.0.1:99999"]), "/spec/proxy/listen/0"),
    (_document(proxy__listen=["0.0.0.0:0"]), "/spec/proxy/listen/0"),
    (_document(proxy__listen=["198.18.0.77:0"]), "/spec/proxy/listen/0"),
    (_document(proxy__listen=["unix:/etc/warren.sock"]), "/spec/proxy/listen/0"),
    (_document(proxy__protocols=["gopher"]), "/spec/proxy/protocols/0"),
    (_document(proxy__users=[{"username": "u"}]), "/spec/proxy/users/0/password"),
    (_document(proxy__users=[{"username": "u", "password": "1"}, {"username": "u", "password": "2"}]), "/spec/proxy/users/1/username"),
    (_document(proxy__users=[{"username": "u" * 256, "password": "1"}]), "/spec/proxy/users/0/username"),
    (_document(proxy__connect_timeout=-1), "/spec/proxy/connect_timeout"),
    (_document(forwards=[{"name": "a", "direction": "sideways", "protocol": "tcp", "listen": "127.0.0.1:0", "target": "10.0.0.1:1"}]),
     "/spec/forwards/0/direction"),
    (_document(forwards=[{"name": "a", "direction": "outbound", "protocol": "tcp", "listen": "127.0.0.1:0"}]), "/spec/forwards/0/target"),
    (_document(limits__connections=-5), "/spec/limits/connections"),
    (_document(probe={"type": "pigeon", "target": "10.0.0.1"}), "/spec/probe/type"),
    (_document(enabled="yes"), "/spec/enabled"),
    (_document(enable=True), "/spec/enable"),
    ({"id": "UPPER", **{"spec": _document()["spec"]}}, "/id"),
    ({"id": "a/b", **{"spec": _document()["spec"]}}, "/id"),
    ({"id": "x" * 64, **{"spec": _document()["spec"]}}, "/id"),
    ({"id": "ok", "spec": {}}, "/spec/interface"),
    ({"id": "ok", "labels": {"a": 1}, **{"spec": _document()["spec"]}}, "/labels/a"),
    ({"id": "ok", "tunnel": {}, **{"spec": _document()["spec"]}}, "/tunnel"),
]


@pytest.fixture(scope="module")
def module_daemon(tmp_path_factory):
    import shutil
    import tempfile
    from harness.daemon import Daemon
    path = tempfile.mkdtemp(prefix="warren-e2e-")
    daemon = Daemon(path).start()
    yield daemon
    daemon.stop()
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.parametrize("document, pointer", FAULTS, ids=[f"{number}{pointer}" for number, (_, pointer) in enumerate(FAULTS)])
def test_a4_fault_is_named(module_daemon, document, pointer):
    reply = module_daemon.api.request("POST", "/v1/tunnels", copy.deepcopy(document))
    left = module_daemon.api.expect(200, "DELETE", "/v1/tunnels").json["deleted"]
    assert (reply.status, reply.code) == (422, "validation_failed"), repr(reply)
    assert pointer in reply.pointers or any(found.startswith(pointer) for found in reply.pointers), repr(reply)
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "code", "request_id"} <= reply.json.keys()
    assert left == 0


def test_all_faults_at_once(module_daemon):
    document = _document(interface__mtu=1, peers=_peer(public_key="x", persistent_keepalive=-1), proxy__listen=["x"])
    pointers = module_daemon.api.expect(422, "POST", "/v1/tunnels", document).pointers
    assert set(pointers) >= {"/spec/interface/mtu", "/spec/peers/0/public_key", "/spec/peers/0/persistent_keepalive", "/spec/proxy/listen/0"}


BODIES = [
    (b"", 400, "invalid_json"), (b"{", 400, "invalid_json"), (b"[]", 422, None), (b"null", None, None), (b"17", None, None),
    (b'{"id": "a", "id": "b"}', 400, "invalid_json"), (b"{\"id\": \"\xff\"}", 400, "invalid_json"),
    (b'{"id": "\\ud800"}', 400, "invalid_json"), (b'{"id": "a\\u0000b"}', None, None), (b'{"a": 1e999}', 400, "invalid_json"),
    (b"[" * 100000, 400, "invalid_json"), (b'{"a":' * 2000 + b"1" + b"}" * 2000, 400, "invalid_json"),
    (b"\x00" * 1000, 400, "invalid_json"), (b'{"id": "a"} trailing', 400, "invalid_json"),
]


@pytest.mark.parametrize("body, status, code", BODIES, ids=range(len(BODIES)))
def test_a3_malformed_body(module_daemon, body, status, code):
    before = time.monotonic()
    reply = module_daemon.api.request("POST", "/v1/tunnels", body)
    assert time.monotonic() - before < 5
    assert 400 <= reply.status < 500, repr(reply)
    assert status in (None, reply.status) and code in (None, reply.code), repr(reply)


def test_a3_too_large_body(module_daemon):
    reply = module_daemon.api.request("POST", "/v1/tunnels", b'{"a": "' + b"x" * (5 << 20) + b'"}')
    assert (reply.status, reply.code) == (413, "body_too_large")


def test_other_requests_that_are_wrong(module_daemon):
    api = module_daemon.api
    for method, path, status, code in [
            ("GET", "/v1/nowhere", 404, "not_found"), ("GET", "/v1/tunnels/absent", 404, "not_found"),
            ("DELETE", "/v1/tunnels/absent", 404, "not_found"), ("PUT", "/v1/version", 405, "method_not_allowed"),
            ("GET", "/v1/tunnels?labell=a=b", 400, "invalid_request"), ("DELETE", "/v1/tunnels?labels=a=b", 400, "invalid_request"),
            ("GET", "/v1/tunnels?page_size=0", 400, "invalid_request"), ("GET", "/v1/tunnels?page_size=1001", 400, "invalid_request"),
            ("GET", "/v1/tunnels?state=fine", 400, "invalid_request"), ("GET", "/v1/tunnels?page_token=%00", 400, "invalid_request"),
            ("GET", "/v1/tunnels/a%2Fb", 404, "not_found"), ("GET", "/v1/tunnels/%00", 400, "invalid_request")]:
        reply = api.request(method, path)
        assert (reply.status, reply.code) == (status, code), f"{method} {path}: {reply!r}"
        if status == 405:
            assert reply.headers["Allow"]
    assert api.request("POST", "/v1/tunnels", "<xml/>", content_type="application/xml").status == 415
    assert api.request("PATCH", "/v1/tunnels/absent", {}).status in (404, 415)
    for action in ("reconnect", "probe"):
        reply = api.request("POST", f"/v1/tunnels/absent/actions/{action}", {"nonsense": 1})
        assert reply.status == 422 and reply.pointers == ["/nonsense"], f"{action}: {reply!r}"
    tcp = module_daemon.tcp_api()
    assert tcp.request("POST", "/v1/tunnels", _document(), headers={"Host": "evil.example"}).status == 421
    assert tcp.request("POST", "/v1/tunnels", _document(), headers={"Origin": "http://evil.example"}).status == 403


def test_a5_framing_that_lies(module_daemon):
    """Two lengths, a length and chunks, two Hosts: 400 and closed, nothing done."""
    host, port = module_daemon.address.rsplit(":", 1)
    body = json.dumps(_document()).encode()
    head = f"POST /v1/tunnels HTTP/1.1\r\nHost: {module_daemon.address}\r\nAuthorization: Bearer {module_daemon.token}\r\n" \
           "Content-Type: application/json\r\n"
    for lines in (f"Content-Length: {len(body)}\r\nContent-Length: {len(body) + 1}\r\n",
                  f"Content-Length: {len(body)}\r\nTransfer-Encoding: chunked\r\n",
                  f"Content-Length: {len(body)}\r\nHost: other\r\n",
                  "Content-Length: +5\r\n", "Content-Length: -1\r\n", "Content-Length: 18446744073709551616\r\n"):
        with Connection((host, int(port))) as connection:
            connection.send((head + lines + "\r\n").encode() + body)
            status, _ = connection.read_head()
            assert status in (400, 413), lines
            connection.read_all()
    assert module_daemon.api.get("/v1/tunnels")["tunnels"] == []


def test_a1_tokens(module_daemon):
    for token, status in (("", 401), ("x", 401), ("x" * 5000, 401), (module_daemon.token[:-1], 401), (module_daemon.token + "0", 401),
                          (module_daemon.token, 200)):
        assert module_daemon.tcp_api(token or " ").request("GET", "/v1/tunnels").status == status, token
    from harness.api import Api
    assert Api.over_tcp(module_daemon.address).request("GET", "/v1/tunnels").status == 401
    assert Api.over_tcp(module_daemon.address).request("GET", "/livez").status == 200


WG_QUICK = [
    ("[Interface]\nPrivateKey = nonsense\nAddress = 10.0.0.2\n", 2),
    (f"[Interface]\nPrivateKey = {KEY}\nAddress = 10.0.0.2/33\n", 3),
    (f"[Interface]\nPrivateKey = {KEY}\nAddress = 10.0.0.2\nColour = blue\n", 4),
    (f"[Interface]\nPrivateKey = {KEY}\nAddress = 10.0.0.2\n[Peer]\nPublicKey = {KEY[:-3]}\n", 5),
    (f"[Interface]\nPrivateKey = {KEY}\nAddress = 10.0.0.2\n\n# x\n[Peer]\nPublicKey = {KEY}\nEndpoint = host\n", 8),
    (f"[Interface]\nPrivateKey = {KEY}\nAddress = 10.0.0.2\n[Peer]\nPublicKey = {KEY}\nAllowedIPs = 10.0.0.0/8, x/8\n", 6),
    (f"[Interface]\nPrivateKey = {KEY}\nAddress = 10.0.0.2\nMTU = many\n", 4),
    (f"PrivateKey = {KEY}\n", 1),
    ("[Interfaces]\n", 1),
    (f"[Interface]\nPrivateKey = {KEY}\nAddress = 10.0.0.2\nthis is no setting\n", 4),
]


@pytest.mark.parametrize("text, line", WG_QUICK, ids=range(len(WG_QUICK)))
def test_wg_quick_fault_names_its_line(module_daemon, text, line):
    reply = module_daemon.api.request("POST", "/v1/tunnels?id=bad", text, content_type="text/plain")
    assert reply.status == 422, repr(reply)
    assert f"/line/{line}" in reply.pointers, repr(reply)


def test_wg_quick_strange_files(module_daemon):
    """Whatever the bytes, the reply is a 4xx."""
    generator = random.Random(7)
    for size in (0, 1, 100, 5000, 300000):
        reply = module_daemon.api.request("POST", "/v1/tunnels?id=bad", generator.randbytes(size), content_type="text/plain")
        assert 400 <= reply.status < 500
    reply = module_daemon.api.request("POST", "/v1/tunnels?id=bad", b"[Interface]\n" + b"Address = 10.0.0.1\n" * 100000, content_type="text/plain")
    assert 400 <= reply.status < 500


def test_a6_keys_never_come_back(module_daemon):
    """A key that a client sends appears in no reply, error, metric or log line."""
    private, preshared = keys.new_key().private, keys.new_preshared_key()
    secrets = [private, preshared, base64.b64decode(private).hex(), base64.b64decode(preshared).hex(), "hunter22"]
    document = _document(interface__private_key=private, peers=_peer(preshared_key=preshared),
                         proxy__users=[{"username": "u", "password": "hunter22"}])
    document["id"] = "secret"
    api, seen = module_daemon.api, []
    seen.append(api.expect(201, "POST", "/v1/tunnels", document).body)
    seen.append(api.request("POST", "/v1/tunnels", document).body)
    broken = copy.deepcopy(document)
    broken["spec"]["interface"]["private_key"] += "x"
    broken["spec"]["peers"][0]["preshared_key"] += "x"
    seen.append(api.request("PUT", "/v1/tunnels/secret", broken).body)
    seen.append(api.request("POST", "/v1/tunnels", json.dumps(document)[:-3]).body)
    for path in ("/v1/tunnels", "/v1/tunnels?view=full", "/v1/tunnels/secret", "/v1/tunnels/secret/config", "/v1/state", "/v1/stats",
                 "/v1/tunnels/secret/stats", "/metrics"):
        seen.append(api.expect(200, "GET", path).body)
    seen.append(api.expect(204, "DELETE", "/v1/tunnels/secret").body)
    seen.append(module_daemon.process.log().encode())
    for text in seen:
        for secret in secrets:
            assert secret.encode() not in text


# Junk on the ports of a running tunnel.

@pytest.fixture
def loop(local_daemon):
    """Two tunnels over loopback; the near one's proxy leads to an echo server through both: (daemon, proxy, UDP port)."""
    from harness.servers import Server, echo
    far, near = keys.new_key(), keys.new_key()
    with Server(None, ("127.0.0.1", 0), echo) as server:
        api = local_daemon.api
        port = api.create({"id": "far", "spec": {
            "interface": {"private_key": far.private, "addresses": ["10.99.0.1"]},
            "peers": [{"public_key": near.public, "allowed_ips": ["10.99.0.2/32"]}],
            "forwards": [{"name": "echo", "direction": "inbound", "protocol": "tcp", "listen": "10.99.0.1:7",
                          "target": f"127.0.0.1:{server.address[1]}"}]}}, wait_up=False)["status"]["udp_port"]
        created = api.create({"id": "near", "spec": {
            "interface": {"private_key": near.private, "addresses": ["10.99.0.2"]},
            "peers": [{"public_key": far.public, "endpoint": f"127.0.0.1:{port}", "allowed_ips": ["0.0.0.0/0"]}],
            "limits": {"connections": 4096}}})
        yield local_daemon, proxy_address(created), port


def _works(proxy):
    with Connection(proxy) as connection:
        assert connection.http_connect("10.99.0.1:7")[0] == 200
        assert connection.send(b"ping").read(4) == b"ping"


def test_junk_on_the_udp_port(loop):
    """W3: every length of every type, reserved bytes, unsolicited replies: silence, and the tunnel continues."""
    daemon, proxy, port = loop
    generator = random.Random(3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        for kind in range(6):
            for length in [*range(0, 200), 1400, 9000, 65507]:
                junk = (bytes([kind, 0, 0, 0]) + generator.randbytes(max(0, length - 4)))[:length]
                sock.sendto(junk, ("127.0.0.1", port))
        for _ in range(5000):
            sock.sendto(generator.randbytes(generator.randrange(1500)), ("127.0.0.1", port))
        sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            sock.recv(100)
    _works(proxy)
    assert sum(daemon.api.stats("far")["dropped"].values()) > 1000


def test_junk_on_the_proxy_port(loop):
    daemon, proxy, _ = loop
    generator = random.Random(4)
    openings = [b"", b"\r\n\r\n", b"GET\r\n\r\n", b"CONNECT\r\n\r\n", b"\5", b"\5\0", b"\5\1", b"\4", b"\4\1", b"\5\1\0\5\1\0\3\xff",
                b"CONNECT x", b"GET http://", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    for opening in openings * 3 + [generator.randbytes(generator.randrange(1, 400)) for _ in range(300)]:
        with Connection(proxy) as connection:
            try:
                connection.send(opening)
                connection.half_close()
                connection.sock.settimeout(15)
                connection.read_all()
            except OSError:
                pass
    _works(proxy)
    wait_until(lambda: daemon.api.stats("near")["connections_open"] == 0, timeout=15, what="no connection is left over")


DIALOGUES = [
    b"CONNECT 10.99.0.1:7 HTTP/1.1\r\nHost: 10.99.0.1:7\r\n\r\nsome early data that comes back",
    b"GET http://10.99.0.1:7/ HTTP/1.1\r\nHost: 10.99.0.1:7\r\nContent-Length: 5\r\n\r\nhello",
    b"\5\1\0\5\1\0\1\x0a\x63\0\1\0\7data",
    b"\4\1\0\7\x0a\x63\0\1user\0data",
]


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=["connect", "absolute", "socks5", "socks4"])
def test_client_that_hangs_up_anywhere(loop, dialogue):
    """After each byte of each dialogue: closed, half-closed or reset. Descriptors and connections return to the baseline."""
    daemon, proxy, _ = loop
    _works(proxy)
    wait_until(lambda: daemon.api.stats("near")["connections_open"] == 0, what="idle")
    descriptors = daemon.descriptors()
    for cut in range(len(dialogue) + 1):
        for how in ("close", "half_close", "reset"):
            connection = Connection(proxy)
            try:
                connection.send(dialogue[:cut])
                getattr(connection, how)()
            except OSError:
                pass
            connection.close()
    _works(proxy)
    wait_until(lambda: daemon.api.stats("near")["connections_open"] == 0, timeout=20, what="no connection is left over")
    wait_until(lambda: daemon.descriptors() <= descriptors + 2, timeout=20, what="no descriptor is left over")


def test_churn_returns_to_the_baseline(local_daemon):
    """L1, shortened: create and delete in random order, with and without peers; descriptors and threads at the baseline after it."""
    generator = random.Random(11)
    with local_daemon.api.session() as api:
        def create(id):
            api.expect(201, "POST", "/v1/tunnels", {**_document(peers=_peer() if generator.random() < 0.5 else []), "id": id})
        for id in ("w1", "w2", "w3"):
            create(id)
        api.expect(200, "DELETE", "/v1/tunnels")
        descriptors, threads = local_daemon.descriptors(), local_daemon.threads()
        alive = set()
        for number in range(600):
            if alive and generator.random() < 0.5:
                id = generator.choice(sorted(alive))
                api.expect(204, "DELETE", f"/v1/tunnels/{id}")
                alive.discard(id)
            else:
                create(f"c{number}")
                alive.add(f"c{number}")
        api.expect(200, "DELETE", "/v1/tunnels")
    wait_until(lambda: local_daemon.descriptors() <= descriptors, what="descriptors are back")
    assert local_daemon.threads() <= threads
