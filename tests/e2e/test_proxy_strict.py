"""The proxy port against hostile and malformed clients, on raw sockets over loopback: X1 to X17 of docs/promises.md."""

import contextlib
import os
import random
import socket
import threading
import time

import pytest

from harness import clock, keys, process
from harness.clients import Connection, socks5_address
from harness.daemon import Daemon, is_sanitized
from harness.process import wait_until
from harness.servers import Recorder, Server, echo, reset
from harness.spec import proxy_address

INNER, PORT, ECHO, REFUSED = "10.99.0.1", 8080, 7, 9
TARGET = f"{INNER}:{PORT}"
CANARY = "canary-93b1"


class Loop:
    """Two tunnels over loopback: «near»'s proxy reaches `recorder` and `echo` on loopback through «far»'s inbound forwards."""

    def __init__(self, daemon, recorder, echo):
        self.daemon, self.recorder = daemon, recorder
        self.far, self.near = keys.new_key(), keys.new_key()

        def forward(name, port, target):
            return {"name": name, "direction": "inbound", "protocol": "tcp", "listen": f"{INNER}:{port}", "target": f"127.0.0.1:{target}"}
        api = daemon.api
        self.udp_port = api.create({"id": "far", "spec": {
            "interface": {"private_key": self.far.private, "addresses": [INNER]},
            "peers": [{"public_key": self.near.public, "allowed_ips": ["10.99.0.2/32"]}],
            "forwards": [forward("web", PORT, recorder.address[1]), forward("echo", ECHO, echo.address[1])]}},
            wait_up=False)["status"]["udp_port"]
        self.proxy = proxy_address(api.create(self.document("near")))

    def document(self, id, **proxy):
        return {"id": id, "spec": {
            "interface": {"private_key": self.near.private, "addresses": ["10.99.0.2"]},
            "peers": [{"public_key": self.far.public, "endpoint": f"127.0.0.1:{self.udp_port}", "allowed_ips": ["0.0.0.0/0"]}],
            "proxy": proxy, "limits": {"connections": 4096}}}

    def connect(self, timeout=15):
        return Connection(self.proxy, timeout=timeout)

    def ask(self, request, timeout=15):
        """One request as raw bytes; (status, headers, body)."""
        with self.connect(timeout) as connection:
            return connection.send(request).read_reply()


@pytest.fixture(scope="module")
def loop():
    import shutil
    import tempfile
    directory = tempfile.mkdtemp(prefix="warren-e2e-")
    daemon = Daemon(directory).start()
    with Recorder(None, ("127.0.0.1", 0)) as recorder, Server(None, ("127.0.0.1", 0), echo) as echo_server:
        yield Loop(daemon, recorder, echo_server)
        daemon.stop()
    shutil.rmtree(directory, ignore_errors=True)


def _request(*lines, method="POST", target=None, version="HTTP/1.1", host=TARGET, body=b""):
    head = [f"{method} {target or f'http://{TARGET}/{CANARY}'} {version}"] + ([f"Host: {host}"] if host else []) + list(lines)
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


BAD_FRAMING = {
    "length-and-chunked": _request("Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunked-and-length": _request("Transfer-Encoding: chunked", "Content-Length: 5", body=b"0\r\n\r\n"),
    "two-lengths": _request("Content-Length: 5", "Content-Length: 6", body=b"hello"),
    "length-list": _request("Content-Length: 5, 6", body=b"hello"),
    "plus": _request("Content-Length: +5", body=b"hello"),
    "hex": _request("Content-Length: 0x5", body=b"hello"),
    "negative": _request("Content-Length: -1", body=b"hello"),
    "huge": _request("Content-Length: 18446744073709551616", body=b"hello"),
    "space-in-length": _request("Content-Length: 5 5", body=b"hello"),
    "empty-length": _request("Content-Length:", body=b"hello"),
    "gzip-chunked": _request("Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "chunked-gzip": _request("Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"),
    "chunked-twice": _request("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "identity": _request("Transfer-Encoding: identity", body=b""),
    "x-chunked": _request("Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "vertical-tab": _request("Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"),
    "http10-chunked": _request("Transfer-Encoding: chunked", version="HTTP/1.0", body=b"0\r\n\r\n"),
    "bare-lf": _request("Content-Length: 0").replace(b"\r\n", b"\n"),
    "one-bare-lf": _request("A: b\nContent-Length: 5", body=b"hello"),
    "bare-cr": _request("A: b\rc"),
    "obs-fold": _request("A: b", " folded"),
    "tab-fold": _request("A: b", "\tfolded"),
    "fold-first": _request(host=None).replace(b"\r\n\r\n", b"\r\n Host: x\r\n\r\n"),
    "nul-in-value": _request("A: b\0c"),
    "nul-in-name": _request("A\0: b"),
    "space-before-colon": _request("Content-Length : 5", body=b"hello"),
    "space-in-name": _request("Content Length: 5", body=b"hello"),
    "no-colon": _request("nonsense"),
    "empty-name": _request(": value"),
    "two-hosts": _request("Host: other"),
    "no-host": _request(host=None),
    "bad-host": _request(host="a b"),
    "host-with-userinfo": _request(host=f"user@{TARGET}"),
    "two-spaces": _request().replace(b"POST ", b"POST  ", 1),
    "tab-separator": _request().replace(b"POST ", b"POST\t", 1),
    "no-version": _request().replace(b" HTTP/1.1", b"", 1),
    "lower-version": _request(version="http/1.1"),
    "leading-zero-version": _request(version="HTTP/01.1"),
    "bad-method": _request(method="PO ST"),
    "method-in-parentheses": _request(method="(GET)"),
    "fragment": _request(target=f"http://{TARGET}/#x", method="GET"),
    "origin-form": _request(target="/", method="GET"),
    "asterisk": _request(target="*", method="OPTIONS"),
    "no-authority": _request(target="http:///x", method="GET"),
    "two-userinfos": _request(target=f"http://a@b@{TARGET}/", method="GET"),
    "backslash-in-userinfo": _request(target=f"http://a\\@{TARGET}/", method="GET"),
    "control-in-userinfo": _request(target=f"http://a\x01@{TARGET}/", method="GET"),
    "userinfo-without-host": _request(target="http://user@/", method="GET"),
    "https-scheme": _request(target=f"https://{TARGET}/", method="GET"),
    "ftp-scheme": _request(target=f"ftp://{TARGET}/", method="GET"),
    "port-0": _request(target=f"http://{INNER}:0/", method="GET"),
    "port-65536": _request(target=f"http://{INNER}:65536/", method="GET"),
    "raw-lf-in-target": _request(target=f"http://{TARGET}/a\nb", method="GET"),
    "nul-in-target": _request(target=f"http://{TARGET}/a\0b", method="GET"),
    "percent-crlf-in-host": _request(target="http://a%0d%0ab/", method="GET"),
    "percent-nul-in-host": _request(target="http://a%00b/", method="GET"),
    "control-in-host": _request(target="http://a\x01b/", method="GET"),
    "high-bytes-in-host": _request(target="http://a\xffb/", method="GET"),
}


@pytest.mark.parametrize("name", BAD_FRAMING)
def test_x1_bad_framing_is_refused_and_not_forwarded(loop, name):
    seen = len(loop.recorder.received)
    with loop.connect() as connection:
        connection.send(BAD_FRAMING[name])
        status, headers, _ = connection.read_reply()
        assert status in (400, 501, 505), status
        assert status == 400 or name in ("lower-version", "leading-zero-version", "https-scheme", "ftp-scheme", "identity", "x-chunked",
                                         "gzip-chunked", "chunked-gzip", "vertical-tab")
        assert headers.get("connection", "close").lower() == "close"
        assert connection.read_all() == b"", "the connection went on after a request that could not be understood"
    assert CANARY.encode() not in b"".join(loop.recorder.received[seen:])


@pytest.mark.parametrize("body", [
    b"10000000000000000\r\nx", b"ffffffffffffffff\r\nx", b"-1\r\nx", b"+5\r\nhello\r\n0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n",
    b"5\nhello\n0\n\n", b"5\r\nhelloX\r\n0\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n", b"\r\n5\r\nhello\r\n0\r\n\r\n",
    b"5;" + b"x" * 5000 + b"\r\nhello\r\n0\r\n\r\n", b"g\r\n", b"5;a\nb\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\nbad trailer\r\n\r\n",
], ids=range(13))
def test_x1_bad_chunks(loop, body):
    """A malformed chunk ends the exchange: 400, or a close if the request is in progress; none of it becomes a second request."""
    with loop.connect() as connection:
        connection.send(_request("Transfer-Encoding: chunked", body=body + _request(method="GET", target=f"http://{TARGET}/smuggled")))
        try:
            status, _, _ = connection.read_reply()
        except (AssertionError, ConnectionResetError):
            status = None
        connection.read_all()
    assert status in (400, 502, 200, None)
    process.at_rest(lambda: (loop.recorder.everything(), loop.daemon.api.stats("near")["connections_open"]), calm=0.05, what="what arrived")
    assert b"GET /smuggled" not in loop.recorder.everything()


def test_x1_chunked_in_any_case_is_chunked(loop):
    for spelling in ("chunked", "Chunked", "CHUNKED"):
        seen = len(loop.recorder.received)
        assert loop.ask(_request(f"Transfer-Encoding: {spelling}", body=b"5\r\nhello\r\n0\r\n\r\n"))[0] == 200
        wait_until(lambda: b"hello" in b"".join(loop.recorder.received[seen:]), what="the body arrives")


LEGAL = {
    "userinfo": _request(target=f"http://user:S3cr3t@{TARGET}/{CANARY}", method="GET"),
    "name-alone": _request(target=f"http://S3cr3t@{TARGET}/{CANARY}", method="GET"),
    "empty-userinfo": _request(target=f"http://@{TARGET}/{CANARY}", method="GET"),
    "empty-name": _request(target=f"http://:S3cr3t@{TARGET}/{CANARY}", method="GET"),
    "encoded-userinfo": _request(target=f"http://a%40b:S3cr3t%3a!$&'()*+,;=-._~@{TARGET}/{CANARY}", method="GET"),
    "zeros-before-port": _request(target=f"http://{INNER}:0000000{PORT}/{CANARY}", method="GET"),
    "upper-case-scheme": _request(target=f"HTTP://{TARGET}/{CANARY}", method="GET"),
    "at-in-path": _request(target=f"http://{TARGET}/{CANARY}@x?a=b@c", method="GET"),
    "empty-host": _request(host=None).replace(b"\r\n\r\n", b"\r\nHost:\r\n\r\n"),
    "blank-host": _request(host=" ", method="GET"),
    "old-and-empty-host": _request(host=None, version="HTTP/1.0").replace(b"\r\n\r\n", b"\r\nHost:\r\n\r\n"),
}


@pytest.mark.parametrize("name", LEGAL)
def test_legal_requests_are_forwarded_without_userinfo(loop, name):
    seen = len(loop.recorder.received)
    assert loop.ask(LEGAL[name])[0] == 200
    head = b"".join(loop.recorder.received[seen:])
    assert f"/{CANARY}".encode() in head and f"\r\nHost: {TARGET}\r\n".encode() in head
    assert b"S3cr3t" not in head and b"uthorization" not in head


@pytest.mark.parametrize("port, host", [(ECHO, ""), (ECHO, " "), (f"000000{ECHO}", "x")])
def test_connect_with_an_empty_host_or_zeros(loop, port, host):
    with loop.connect() as connection:
        connection.send(f"CONNECT {INNER}:{port} HTTP/1.1\r\nHost:{host}\r\n\r\n".encode())
        assert connection.read_head()[0] == 200
        assert connection.send(b"ok").read(2) == b"ok"


def test_x1_http10_without_host(loop):
    assert loop.ask(_request(method="GET", version="HTTP/1.0", host=None))[0] == 200


def test_x1_large_head(loop):
    assert loop.ask(_request(*(f"X-{number}: {'y' * 1000}" for number in range(60))))[0] == 200
    assert loop.ask(_request(*(f"X-{number}: {'y' * 1000}" for number in range(70))))[0] == 431
    assert loop.ask(_request(method="GET", version="HTTP/2.0"))[0] == 505
    assert loop.ask(_request(method="GET", version="HTTP/0.9"))[0] in (400, 505)


SPLIT = [
    (_request(method="GET"), b"HTTP/1.1 200"),
    (_request("Content-Length: 5", body=b"hello"), b"HTTP/1.1 200"),
    (_request("Transfer-Encoding: chunked", body=b"3\r\nabc\r\n2 ;x=y\r\nde\r\n0\r\nT: r\r\n\r\n"), b"HTTP/1.1 200"),
    (f"CONNECT {INNER}:{ECHO} HTTP/1.1\r\nHost: x\r\n\r\nearly".encode(), b"early"),
    (b"\5\1\0\5\1\0" + socks5_address(INNER, ECHO) + b"early", b"early"),
    (b"\4\1\0\7" + socket.inet_aton(INNER) + b"user\0early", b"early"),
    (b"\4\1\0\7\0\0\0\1user\0" + INNER.encode() + b"\0early", b"early"),
]


@pytest.mark.parametrize("index", range(len(SPLIT)), ids=["get", "length", "chunked", "connect", "socks5", "socks4", "socks4a"])
def test_x2_split_at_each_byte(loop, index):
    """Cut in two at each byte, and byte by byte: the same outcome as whole."""
    data, expected = SPLIT[index]
    for cut in [*range(1, len(data)), None]:
        with loop.connect() as connection:
            if cut:
                connection.send(data[:cut])
                clock.pace(0.001)   # so that both parts come separately
                connection.send(data[cut:])
            else:
                for position in range(len(data)):
                    connection.send(data[position:position + 1])
            answer = b""
            while expected not in answer:
                more = connection.sock.recv(65536)
                assert more, f"cut at {cut}: {answer!r}"
                answer += more


def test_x2_pipelined(loop):
    """Many requests in one write: as many replies, in order."""
    def count(sock):
        buffer, number = b"", 0
        while data := sock.recv(65536):
            buffer += data
            while b"\r\n\r\n" in buffer:
                head, buffer = buffer.split(b"\r\n\r\n", 1)
                text = head.split(b" ", 2)[1]
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
                number += 1
    with Server(None, ("127.0.0.1", 0), count) as server:
        _add_forward(loop, "count", 8082, server.address[1])
        with loop.connect() as connection:
            connection.send(b"".join(_request(method="GET", target=f"http://{INNER}:8082/{number}") for number in range(50)))
            for number in range(50):
                status, _, body = connection.read_reply()
                assert (status, body) == (200, f"/{number}".encode())


def _add_forward(loop, name, port, target):
    far = loop.daemon.api.get("/v1/tunnels/far")
    forwards = [forward for forward in far["spec"]["forwards"] if forward["name"] != name]
    forwards.append({"name": name, "direction": "inbound", "protocol": "tcp", "listen": f"{INNER}:{port}", "target": f"127.0.0.1:{target}"})
    assert loop.daemon.api.patch("far", {"spec": {"forwards": forwards}})["applied"] == "in_place"


def test_x3_hop_by_hop_headers_stay_here(loop):
    seen = len(loop.recorder.received)
    status, _, _ = loop.ask(_request(
        "Connection: keep-alive, X-Private, close", "X-Private: 1", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic dTpw", "Proxy-Authenticate: x", "TE: trailers, gzip", "Trailer: X-T", "Upgrade: h2c", "X-Public: 2", method="GET"))
    assert status == 200
    head = b"".join(loop.recorder.received[seen:]).lower()
    for name in (b"x-private", b"keep-alive:", b"proxy-connection", b"proxy-authorization", b"proxy-authenticate", b"trailer:", b"h2c", b"via:",
                 b"gzip", b"forwarded"):
        assert name not in head, name
    assert b"x-public: 2" in head
    assert head.startswith(b"get /" + CANARY.encode() + b" http/1.1\r\n")
    assert head.count(b"host:") == 1 and f"host: {TARGET}".encode() in head


def test_x3_an_upgrade_behind_a_body(loop):
    """As docker attaches to a container: a POST with a body, a 101, and both sides speak what they like. A 101 that is too early changes
    nothing of where the body ends."""
    def attach(sock):
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(65536)
        assert b"\r\nUpgrade: tcp\r\n" in head and b"\r\nConnection: upgrade\r\n" in head
        body = head.partition(b"\r\n\r\n")[2]
        while b"early" not in head and len(body) < 12:
            body += sock.recv(65536)
        sock.sendall(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello")
        while len(body) < 16:
            body += sock.recv(65536)
        sock.sendall(body)
    with Server(None, ("127.0.0.1", 0), attach) as server:
        _add_forward(loop, "attach", 8099, server.address[1])
        for path in ("late", "early"):
            with loop.connect() as connection:
                connection.send(_request("Connection: Upgrade", "Upgrade: tcp", "Content-Length: 12", target=f"http://{INNER}:8099/{path}"))
                connection.send(b'{"Tty"')
                if path == "early":
                    assert connection.read_head()[0] == 101
                connection.send(b":true}")
                if path == "late":
                    assert connection.read_head()[0] == 101
                assert connection.read(5) == b"hello"
                assert connection.send(b"exit").read_all() == b'{"Tty":true}exit'


def test_x3_host_follows_the_target(loop):
    seen = len(loop.recorder.received)
    assert loop.ask(_request(method="GET", host="other.example"))[0] == 200
    assert f"host: {TARGET}".encode() in b"".join(loop.recorder.received[seen:]).lower()


@pytest.mark.parametrize("target, statuses", [
    (INNER, (400,)), (f"{INNER}:", (400,)), (f"{INNER}:0", (400,)), (f"{INNER}:65536", (400,)), (f"{INNER}:x", (400,)),
    (f"user@{INNER}:7", (400,)), (f"http://{INNER}:7", (400,)), (f"{INNER}:7/path", (400,)), ("[::1:7", (400,)), ("fd00::1:7", (400,)),
    (":7", (400,)), ("a b:7", (400,)), ("a%0d%0ab:7", (400,)), ("x" * 256 + ":7", (400,)), ("a\x01b:7", (400,)), (f"{INNER}:{ECHO}", (200,)),
], ids=lambda value: str(value)[:20])
def test_x5_connect_targets(loop, target, statuses):
    with loop.connect() as connection:
        connection.send(f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode("latin-1"))
        status, headers = connection.read_head()
        assert status in statuses
        if status == 200:
            assert "content-length" not in headers and "transfer-encoding" not in headers
            assert connection.send(b"ok").read(2) == b"ok"


FORBIDDEN = ["127.0.0.1", "127.1.2.3", "0.0.0.0", "169.254.169.254", "224.0.0.1", "[::1]", "[::]", "[fe80::1]", "[ff02::1]",
             "[::ffff:127.0.0.1]", "[::ffff:169.254.169.254]", "localhost"]


@pytest.mark.parametrize("host", FORBIDDEN)
def test_x6_forbidden_targets(loop, host):
    """Host services are never reached, however the target is spelled."""
    with Server(None, ("127.0.0.1", 0), echo) as server:
        port = server.address[1]
        statuses = (403,) if host != "localhost" else (403, 502)
        assert loop.ask(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())[0] in statuses
        assert loop.ask(_request(method="GET", target=f"http://{host}:{port}/"))[0] in statuses
        with loop.connect() as connection:
            code = connection.socks5_connect(host.strip("[]"), port)
            assert code == 2 or (host == "localhost" and code in (2, 4))
        assert server.accepted == 0


def test_x6_a_mapped_target_is_the_address_that_it_maps(loop):
    assert loop.ask(_request(method="GET", target=f"http://[::ffff:{INNER}]:{PORT}/"))[0] == 200
    with loop.connect() as connection:
        assert connection.socks5_connect(f"::ffff:{INNER}", ECHO) == 0
        assert connection.send(b"ok").read(2) == b"ok"


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0"])
def test_x6_odd_spellings_of_addresses(loop, host):
    """A string that inet_aton would accept as an address is a name here, and such a name does not exist."""
    with Server(None, ("127.0.0.1", 0), echo) as server:
        assert loop.ask(f"CONNECT {host}:{server.address[1]} HTTP/1.1\r\nHost: x\r\n\r\n".encode())[0] in (400, 403, 502)
        assert server.accepted == 0


def test_x7_loops_end(loop):
    """A forward that leads back to the proxy's own listener is refused; a chain of proxies ends within one round."""
    host, port = loop.proxy
    far = loop.daemon.api.get("/v1/tunnels/far")
    forwards = far["spec"]["forwards"] + [{"name": "loop", "direction": "inbound", "protocol": "tcp", "listen": f"{INNER}:3128",
                                           "target": f"{host}:{port}"}]
    reply = loop.daemon.api.request("PATCH", "/v1/tunnels/far", {"spec": {"forwards": forwards}}, content_type="application/merge-patch+json")
    assert reply.status == 422
    for target in (f"{host}:{port}", f"10.99.0.2:{port}"):
        status = loop.ask(f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())[0]
        assert status in (403, 502, 508), status


@pytest.fixture(scope="module")
def closed(loop):
    """A third tunnel whose proxy has users: (proxy, name, password)."""
    name, password = "u" * 255, "p" * 255
    document = {"id": "closed", "spec": {
        "interface": {"generate_private_key": True, "addresses": ["10.99.0.3"]},
        "proxy": {"users": [{"username": "ann", "password": "pw"}, {"username": name, "password": password}, {"username": "e", "password": ":"}]}}}
    return proxy_address(loop.daemon.api.create(document, wait_up=False)), name, password


def test_x8_basic_authorization(closed):
    import base64
    proxy, name, password = closed

    def ask(credentials, raw=None):
        value = raw if raw is not None else base64.b64encode(credentials.encode()).decode()
        with Connection(proxy, timeout=20) as connection:
            return connection.http_connect("10.1.1.1:80", f"Proxy-Authorization: Basic {value}\r\n" if value != "none" else "")[0]
    for good in ("ann:pw", f"{name}:{password}", "e::"):
        assert ask(good) != 407, good
    for bad in ("ann:", "ann:pW", "ann", ":pw", "Ann:pw", f"{name}u:{password}", f"{name}:{password}p", "ann:pw:"):
        assert ask(bad) == 407, bad
    for raw in ("none", "", "!!!", "YW5uOnB3=", "=", "YW5uOnB3 x"):
        assert ask("", raw) in (407, 400), raw


def test_x8_passwords_in_utf8_and_latin1(loop):
    import base64
    document = loop.document("spoken", users=[{"username": "jörg", "password": "naïve£"}])
    document["spec"]["interface"] = {"generate_private_key": True, "addresses": ["10.99.0.4"]}
    proxy = proxy_address(loop.daemon.api.create(document, wait_up=False))
    for encoding in ("utf-8", "latin-1"):
        user, word = "jörg".encode(encoding), "naïve£".encode(encoding)
        with Connection(proxy, timeout=20) as connection:
            value = base64.b64encode(user + b":" + word).decode()
            assert connection.http_connect("127.0.0.1:80", f"Proxy-Authorization: Basic {value}\r\n")[0] == 403
        with Connection(proxy, timeout=20) as connection:
            connection.send(b"\5\1\2").read(2)
            assert connection.send(b"\1" + bytes([len(user)]) + user + bytes([len(word)]) + word).read(2) == b"\1\0"
    with Connection(proxy, timeout=20) as connection:
        status, headers = connection.http_connect("127.0.0.1:80")
        assert status == 407 and headers["proxy-authenticate"] == 'Basic realm="warren", charset="UTF-8"'


def test_x8_connection_can_be_used_again_after_a_407(closed):
    proxy, _, _ = closed
    with Connection(proxy, timeout=20) as connection:
        assert connection.send(b"CONNECT 10.1.1.1:80 HTTP/1.1\r\nHost: x\r\n\r\n").read_reply()[0] == 407
        try:
            connection.send(b"CONNECT 10.1.1.1:80 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic YW5uOnB3\r\n\r\n")
            status = connection.read_reply()[0]
        except (OSError, AssertionError):
            status = None
        assert status in (503, None), "an authorised request on the same connection"


@pytest.mark.parametrize("greeting, reply", [
    (b"\5\1\0", b"\5\xff"), (b"\5\1\1", b"\5\xff"), (b"\5\2\0\2", b"\5\2"), (b"\5\1\2", b"\5\2"), (b"\5\xff" + bytes(range(255)), b"\5\2"),
    (b"\5\xff" + bytes([1] * 255), b"\5\xff"),
], ids=["none", "gssapi", "both", "password", "255", "255-unknown"])
def test_x9_greetings_with_users(closed, greeting, reply):
    with Connection(closed[0]) as connection:
        assert connection.send(greeting).read(2) == reply
        if reply == b"\5\xff":
            assert connection.is_at_end()


def test_x9_greetings_without_users(loop):
    for greeting in (b"\5\1\1", b"\5\2\1\3"):
        with loop.connect() as connection:
            assert connection.send(greeting).read(2) == b"\5\xff"
            assert connection.is_at_end()
    # A client that offers only a login may use any name and password.
    for greeting in (b"\5\1\2", b"\5\3\1\2\3"):
        with loop.connect() as connection:
            assert connection.send(greeting).read(2) == b"\5\2"
            assert connection.send(b"\1\3any\5thing").read(2) == b"\1\0"
            assert connection.socks5_request(INNER, ECHO)[0] == 0
            assert connection.send(b"ok").read(2) == b"ok"
    for login in (b"\0\0", b"\0\1x", b"\1x\0", b"\1\0\1\0", b"\2\r\n\1\x7f", b"\2\xff\xfe\1\x80", b"\xff" + b"u" * 255 + b"\xff" + b"p" * 255):
        with loop.connect() as connection:
            assert connection.send(b"\5\1\2").read(2) == b"\5\2"
            assert connection.send(b"\1" + login).read(2) == b"\1\0", login
            assert connection.socks5_request(INNER, ECHO)[0] == 0
            assert connection.send(b"ok").read(2) == b"ok"
    with loop.connect() as connection:
        connection.send(b"\5\1\2").read(2)
        assert connection.send(b"\5\0\0").read_all()[:2] in (b"\1\1", b""), "a message of another version is no login"
    with loop.connect() as connection:
        assert connection.send(b"\5\0").read_all() in (b"\5\xff", b"")
    with loop.connect() as connection:
        assert connection.send(b"\6\1\0\r\n\r\n").read_all()[:2] != b"\5\0"


@pytest.mark.parametrize("message", [b"\2\3ann\2pw", b"\5\3ann\2pw", b"\0\3ann\2pw", b"\1\0\2pw", b"\1\3ann\0", b"\1\0\0", b"\1\3ann\2pW", b"\1\3Ann\2pw"], ids=range(8))
def test_x10_wrong_passwords_fail_closed(closed, message):
    with Connection(closed[0], timeout=20) as connection:
        connection.send(b"\5\1\2")
        assert connection.read(2) == b"\5\2"
        connection.send(message)
        answer = connection.read_all()
        assert answer == b"" or (len(answer) == 2 and answer[0] == 1 and answer[1] != 0)


def test_x10_right_passwords_and_no_way_around(closed):
    proxy, name, password = closed
    for user, word in ((b"ann", b"pw"), (name.encode(), password.encode())):
        with Connection(proxy, timeout=20) as connection:
            connection.send(b"\5\1\2").read(2)
            assert connection.send(b"\1" + bytes([len(user)]) + user + bytes([len(word)]) + word).read(2) == b"\1\0"
    with Connection(proxy) as connection:
        connection.send(b"\5\1\2").read(2)
        connection.send(b"\5\1\0" + socks5_address("10.1.1.1", 80))
        answer = connection.read_all()
        assert answer == b"" or answer[1] != 0


def _guess(proxy, seconds, is_first):
    """150 clients of one address guess, each again as soon as it is answered, for so long; how many answers there were."""
    import base64
    import selectors
    selector, answers, until = selectors.DefaultSelector(), 0, time.monotonic() + seconds
    credentials = base64.b64encode(b"ann:wrong").decode()
    guess = f"GET http://10.1.1.1/ HTTP/1.1\r\nHost: 10.1.1.1\r\nProxy-Authorization: Basic {credentials}\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        for _ in range(150):
            client = stack.enter_context(socket.create_connection(proxy, timeout=10))
            client.sendall(guess)
            selector.register(client, selectors.EVENT_READ)
        is_first.set()
        while time.monotonic() < until:
            for key, _ in selector.select(until - time.monotonic()):
                said = key.fileobj.recv(65536)
                assert said, "a guesser was cut off"
                answers += said.count(b"HTTP/1.1 407")
                key.fileobj.sendall(guess)
    return answers


def test_x8_guesses_together_are_answered_one_by_one(loop):
    """Of many guesses at once from one address eight are answered soon, and then one each 1.6 s; who has the password gets in meanwhile."""
    document = {"id": "guessed", "spec": {
        "interface": {"generate_private_key": True, "addresses": ["10.99.0.4"]}, "proxy": {"users": [{"username": "ann", "password": "pw"}]}}}
    proxy = proxy_address(loop.daemon.api.create(document, wait_up=False))
    guessing, counted = threading.Event(), []
    thread = threading.Thread(target=lambda: counted.append(_guess(proxy, 12, guessing)))
    thread.start()
    assert guessing.wait(10)
    loop.daemon.api.request("GET", "/v1/tunnels/guessed")
    began = time.monotonic()
    with Connection(proxy, timeout=30) as connection:
        connection.send(b"\5\1\2").read(2)
        assert connection.send(b"\1\3ann\2pw").read(2) == b"\1\0"
    took = time.monotonic() - began
    thread.join()
    loop.daemon.api.delete("guessed")
    # The right password gave eight more; and a turn more or less at both ends.
    assert counted[0] <= 8 + 8 + 12 / 1.6 + 4, counted
    assert took < 10, took


@pytest.mark.parametrize("request_, codes", [
    (b"\5\2\0" + socks5_address(INNER, 7), (7,)), (b"\5\x09\0" + socks5_address(INNER, 7), (7,)),
    (b"\5\1\0\2\1\1\1\1\0\7", (8,)), (b"\5\1\0\5\1\1\1\1\0\7", (8,)), (b"\5\1\0\3\0\0\7", (1, 4, 8, None)),
    (b"\5\1\0" + socks5_address(b"a" * 254, 7), (1, 4)), (b"\5\1\0" + socks5_address(b"a" * 255, 7), (1, 4)),
    (b"\5\1\0" + socks5_address(b"a\0b", 7), (1, 2, 4)), (b"\5\1\0" + socks5_address(b"a\r\nb", 7), (1, 2, 4)),
    (b"\4\1\0" + socks5_address(INNER, 7), (1, None)), (b"\5\1\0" + socks5_address(INNER, 0), (1, 2, 4, 5)),
    (b"\5\1\0" + socks5_address(INNER, REFUSED), (5,)),
], ids=["bind", "command-9", "atyp-2", "atyp-5", "name-0", "name-254", "name-255", "nul", "crlf", "version", "port-0", "refused"])
def test_x11_x12_socks5_requests(loop, request_, codes):
    with loop.connect() as connection:
        assert connection.socks5_greet() == b"\5\0"
        connection.send(request_)
        code, _, _ = connection.socks5_reply()
        assert code in codes
        if code is not None:
            assert len(connection.reply) in (10, 22) and connection.reply[2] == 0
            assert connection.is_at_end()


def test_x12_socks4_replies(loop):
    for request_, code in ((b"\4\1\0\7" + socket.inet_aton(INNER) + b"\0", 90), (b"\4\1\0\x09" + socket.inet_aton(INNER) + b"\0", 91),
                           (b"\4\2\0\7" + socket.inet_aton(INNER) + b"\0", 91), (b"\4\1\0\7\x7f\0\0\1\0", 91)):
        with loop.connect() as connection:
            reply = connection.send(request_).read(8)
            assert len(reply) == 8 and reply[0] == 0 and reply[1] == code


def test_x14_half_close_each_way(loop):
    """FIN passes to the server, whose late answer still comes; and from the server, while the client still sends."""
    got = []

    def late(sock):
        data = b""
        while more := sock.recv(65536):
            data += more
        sock.sendall(b"%d" % len(data))

    def early(sock):
        sock.sendall(b"bye")
        sock.shutdown(socket.SHUT_WR)
        data = b""
        while more := sock.recv(65536):
            data += more
        got.append(len(data))
    with Server(None, ("127.0.0.1", 0), late) as first, Server(None, ("127.0.0.1", 0), early) as second:
        _add_forward(loop, "late", 8083, first.address[1])
        _add_forward(loop, "early", 8084, second.address[1])
        with loop.connect() as connection:
            assert connection.http_connect(f"{INNER}:8083")[0] == 200
            connection.send(b"x" * 500000).half_close()
            assert connection.read_all() == b"500000"
        with loop.connect() as connection:
            assert connection.http_connect(f"{INNER}:8084")[0] == 200
            assert connection.read_all() == b"bye"
            connection.send(b"x" * 500000).half_close()
            wait_until(lambda: got == [500000], what="the server gets what came after its own end")


def test_x14_reset_of_the_client_reaches_the_server(loop):
    seen = []

    def watch(sock):
        try:
            while sock.recv(65536):
                pass
            seen.append("end")
        except ConnectionResetError:
            seen.append("reset")
    with Server(None, ("127.0.0.1", 0), watch) as server:
        _add_forward(loop, "watch", 8085, server.address[1])
        connection = loop.connect()
        assert connection.http_connect(f"{INNER}:8085")[0] == 200
        connection.send(b"x")
        connection.reset()
        wait_until(lambda: seen, what="the server hears of the client's reset")
        assert seen == ["reset"]


def test_x14_reset_of_the_server_reaches_the_client(loop):
    def abort(sock):
        sock.recv(1)
        reset(sock)
    with Server(None, ("127.0.0.1", 0), abort) as server:
        _add_forward(loop, "abort", 8086, server.address[1])
        with loop.connect() as connection:
            assert connection.http_connect(f"{INNER}:8086")[0] == 200
            connection.send(b"x")
            with pytest.raises(ConnectionResetError):
                connection.sock.recv(1)


def test_x14_client_that_stops_reading(loop):
    """A gigabyte pending for a client that does not read: bounded memory, no busy loop, others are served, and it continues later."""
    size = 64 << 20 if is_sanitized() else 1 << 30

    def flood(sock):
        block, left = bytes(1 << 20), size
        while left:
            sock.sendall(block)
            left -= len(block)
    with Server(None, ("127.0.0.1", 0), flood) as server:
        _add_forward(loop, "flood", 8087, server.address[1])
        memory, taken = loop.daemon.resident_kilobytes(), loop.daemon.api.stats("near")["bytes_received"]
        stalled = [loop.connect() for _ in range(8)]
        for connection in stalled:
            assert connection.http_connect(f"{INNER}:8087")[0] == 200
        process.at_rest(lambda: loop.daemon.api.stats("near")["bytes_received"], what="bytes received")
        spent = process.cpu_within(loop.daemon.family(), 2)
        if not is_sanitized():
            assert loop.daemon.resident_kilobytes() - memory < 96 << 10
        assert spent < 0.5, f"{spent} s of CPU in 2 s for clients that read nothing"
        taken = (loop.daemon.api.stats("near")["bytes_received"] - taken) / len(stalled)
        assert taken < 1 << 20, f"{taken} bytes were taken for a client that read none"
        assert loop.ask(_request(method="GET"))[0] == 200
        got = 0
        while got < 32 << 20:
            got += len(stalled[0].sock.recv(1 << 20))
        for connection in stalled:
            connection.reset()
    wait_until(lambda: loop.daemon.api.stats("near")["connections_open"] == 0, timeout=20, what="no connection is left over")


def test_x14_one_byte_reads(loop):
    text = os.urandom(3000)
    with loop.connect() as connection:
        assert connection.http_connect(f"{INNER}:{ECHO}")[0] == 200
        connection.send(text)
        assert b"".join(connection.sock.recv(1) for _ in range(len(text))) == text


def test_x15_slow_clients_are_cut(loop):
    """A slow head is cut off at its deadline of 10 s; others are served as before meanwhile."""
    openings = [b"GET http://", b"CONNECT ", b"\5", b"\5\1", b"\4\1", b""]
    slow = [loop.connect() for _ in range(60)]
    started = time.monotonic()
    for index, connection in enumerate(slow):
        connection.send(openings[index % len(openings)])
    while time.monotonic() - started < 8:
        for index, connection in enumerate(slow):
            if index % len(openings) < 2:
                try:
                    connection.send(b"x")
                except OSError:
                    pass
        before = time.monotonic()
        assert loop.ask(_request(method="GET"))[0] == 200
        assert time.monotonic() - before < 5
        clock.pace(1)
    wait_until(lambda: loop.daemon.api.stats("near")["connections_open"] == 0, timeout=10, what="slow clients are cut")
    assert 9 < time.monotonic() - started < 20
    for connection in slow:
        connection.close()


def test_p7_silent_clients_lock_nobody_out(loop):
    """At most 512 clients of one address wait: the one that has waited longest is dropped, and an active client is served at once."""
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(loop.connect()) for _ in range(600)]
        for _ in range(5):
            before = time.monotonic()
            assert loop.ask(_request(method="GET"))[0] == 200
            assert time.monotonic() - before < 5
        wait_until(lambda: loop.daemon.api.stats("near")["connections_open"] <= 512, what="the longest waiting give way")
        assert silent[0].sock.recv(1) == b""
    wait_until(lambda: loop.daemon.api.stats("near")["connections_open"] == 0, what="nobody waits any more")


def test_x16_no_bytes_of_another_client(loop):
    """Clients whose bytes are all of one kind see only their own, whoever else is served."""
    errors = []

    def client(number):
        generator = random.Random(number)
        mark = bytes([number])
        for _ in range(20):
            try:
                with loop.connect(30) as connection:
                    assert connection.http_connect(f"{INNER}:{ECHO}")[0] == 200
                    text = mark * generator.randrange(1, 200000)
                    sender = threading.Thread(target=connection.send, args=(text,))
                    sender.start()
                    if connection.read(len(text)) != text:
                        errors.append(f"client {number} saw other bytes")
                    sender.join()
            except (OSError, AssertionError) as error:
                errors.append(f"client {number}: {error!r}")
    threads = [threading.Thread(target=client, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_x17_error_pages_echo_nothing(loop, closed):
    secret = "s3cret-7f"
    requests = [
        f"GET http://127.0.0.1/{secret}?q={secret} HTTP/1.1\r\nHost: 127.0.0.1\r\nX: {secret}\r\nProxy-Authorization: Basic {secret}\r\n\r\n",
        f"GET http://{INNER}:9/{secret} HTTP/1.1\r\nHost: {INNER}:9\r\nCookie: {secret}\r\n\r\n",
        f"GET http://{secret}.absent.example/ HTTP/1.1\r\nHost: {secret}\r\n\r\n",
        f"{secret}\r\n\r\n", f"GET / HTTP/1.1\r\nHost: {secret}\r\n\r\n",
        f"CONNECT 127.0.0.1:{secret} HTTP/1.1\r\nHost: {secret}\r\n\r\n",
    ]
    for proxy in (loop.proxy, closed[0]):
        for text in requests:
            with Connection(proxy, timeout=20) as connection:
                connection.send(text.encode()).half_close()
                answer = connection.read_all()
                assert secret.encode() not in answer, answer
    assert secret not in loop.daemon.process.log()


def test_x12_proxy_status_tells_the_cause(loop):
    """RFC 9209: each failure with its own error token."""
    for target, status in ((f"{INNER}:{REFUSED}", 502), ("127.0.0.1:80", 403)):
        _, headers, _ = loop.ask(f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert "error=" in headers["proxy-status"], headers
    with loop.connect() as connection:
        got, headers = connection.http_connect(f"{INNER}:{REFUSED}")
        assert got == 502 and "connection_refused" in headers["proxy-status"]
