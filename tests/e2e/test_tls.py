"""The API over TLS with the operator's certificate, and the host names that it answers to."""

import http.client
import os
import socket
import ssl

import pytest

from harness import keys
from harness.api import Api, Reply
from harness.certificates import make_certificate
from harness.clients import curl
from harness.daemon import binary
from harness.process import run, wait_until


@pytest.fixture
def certificate(directory):
    make_certificate(f"{directory}/cert.pem", f"{directory}/key.pem", "warren.test",
                     "IP:127.0.0.1,DNS:localhost,DNS:warren.test")
    return f"{directory}/cert.pem", f"{directory}/key.pem"


@pytest.fixture
def daemon(make_daemon, certificate):
    return make_daemon(arguments=["--tls-cert", certificate[0], "--tls-key", certificate[1], "--allowed-host", "warren.test"]).start()


def _api(daemon, certificate, token=None):
    context = ssl.create_default_context(cafile=certificate[0])
    host, port = daemon.address.rsplit(":", 1)
    return Api(lambda: http.client.HTTPSConnection(host, int(port), timeout=20, context=context), {"Authorization": f"Bearer {token or daemon.token}"})


def test_the_api_over_tls(daemon, certificate):
    api = _api(daemon, certificate)
    with api.session() as session:
        for number in range(50):
            session.expect(201, "POST", "/v1/tunnels", {"id": f"t{number}", "spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]}}})
        assert len(session.expect(200, "GET", "/v1/tunnels?view=full").json["tunnels"]) == 50
    assert api.expect(200, "DELETE", "/v1/tunnels").json == {"deleted": 50}
    assert _api(daemon, certificate, "wrong").request("GET", "/v1/tunnels").status == 401
    private = keys.new_key().private
    large = {"id": "large", "spec": {"interface": {"private_key": private, "addresses": ["10.2.0.2"]}, "peers": [
        {"public_key": keys.new_key().public, "allowed_ips": [f"10.{n // 250}.{n % 250}.0/24" for n in range(50000)]}]}}
    api.expect(201, "POST", "/v1/tunnels", large)
    assert len(api.expect(200, "GET", "/v1/tunnels/large").json["spec"]["peers"][0]["allowed_ips"]) == 50000


def test_curl_verifies_it(daemon, certificate):
    url = f"https://{daemon.address}/livez"
    assert '"ok"' in curl(None, "--noproxy", "*", "--cacert", certificate[0], url).stdout
    assert curl(None, "--noproxy", "*", url, check=False).returncode == 60
    for version in ("--tls-max", "1.1"), ("--tls-max", "1.2", "--ciphers", "NULL"):
        assert curl(None, "--noproxy", "*", "--cacert", certificate[0], *version, url, check=False).returncode != 0
    port = daemon.address.rsplit(":", 1)[1]
    named = curl(None, "--noproxy", "*", "--cacert", certificate[0], "--resolve", f"warren.test:{port}:127.0.0.1", f"https://warren.test:{port}/livez")
    assert '"ok"' in named.stdout


def test_no_plain_http_on_the_port(daemon):
    host, port = daemon.address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        sock.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        try:
            while data := sock.recv(4096):
                answer += data
        except OSError:
            pass
    assert b"HTTP/1.1 200" not in answer
    assert daemon.api.request("GET", "/livez").status == 200


def test_remote_only_with_tls(make_daemon, certificate, directory):
    """An address beyond loopback needs --allow-remote and TLS; then it answers, also by names that were allowed."""
    for arguments in ([], ["--allow-remote"], ["--tls-cert", certificate[0], "--tls-key", certificate[1]]):
        daemon = make_daemon(listen="0.0.0.0:0", arguments=arguments)
        daemon.start(wait=False)
        assert daemon.process.wait(10) == 2, daemon.tail()
    daemon = make_daemon(listen="0.0.0.0:0", arguments=["--allow-remote", "--tls-cert", certificate[0], "--tls-key", certificate[1]]).start()
    daemon.address = f"127.0.0.1:{daemon.address.rsplit(':', 1)[1]}"
    _api(daemon, certificate).expect(200, "GET", "/v1/version")


def test_certificate_that_cannot_be_read(make_daemon, certificate, directory):
    for cert, key in ((f"{directory}/absent", certificate[1]), (certificate[1], certificate[1]), (certificate[0], certificate[0])):
        daemon = make_daemon(arguments=["--tls-cert", cert, "--tls-key", key])
        daemon.start(wait=False)
        assert daemon.process.wait(10) in (1, 2), daemon.tail()
        assert "PRIVATE" not in daemon.process.log()


# A2: a web page in a browser on this machine must not get access.

NAMES = [("127.0.0.1:{port}", 200), ("localhost:{port}", 200), ("[::1]:{port}", 200), ("LOCALHOST:{port}", 200), ("localhost", 200),
         ("evil.example", 421), ("evil.example:{port}", 421), ("127.0.0.1.evil.example:{port}", 421), ("localhost.evil.example", 421),
         ("127.0.0.1:{port}.evil.example", 421), ("user@127.0.0.1:{port}", 421), ("", 421)]


def _raw(address, lines):
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        answer = b""
        while data := sock.recv(65536):
            answer += data
    return answer


def test_a2_host(local_daemon):
    port = local_daemon.address.rsplit(":", 1)[1]
    for name, expected in NAMES:
        answer = _raw(local_daemon.address, ["GET /v1/version HTTP/1.1", f"Host: {name.format(port=port)}", f"Authorization: Bearer {local_daemon.token}",
                                             "Connection: close"])
        status = int(answer.split()[1])
        assert status == expected or (expected == 421 and status == 400), f"Host {name!r}: {status}"
    assert b" 400 " in _raw(local_daemon.address, ["GET /v1/version HTTP/1.1", f"Authorization: Bearer {local_daemon.token}", "Connection: close"]).split(b"\r\n")[0]


def test_a2_origin(local_daemon):
    api, own = local_daemon.tcp_api(), f"http://{local_daemon.address}"
    port = local_daemon.address.rsplit(":", 1)[1]
    body = {"spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]}}}
    for origin, expected in ((own, 201), ("http://evil.example", 403), ("null", 403), (f"https://127.0.0.1:{port}", 201), (f"https://127.0.0.1:{port}.evil.example", 403), ("http://127.0.0.1:1", 403),
                             (f"http://127.0.0.1:{port}.evil.example", 403), ("http://127.0.0.1", 403)):
        for method, path in (("POST", "/v1/tunnels"), ("GET", "/v1/tunnels"), ("GET", "/livez")):
            reply = api.request(method, path, body if method == "POST" else None, headers={"Origin": origin})
            wanted = expected if method == "POST" else (200 if expected == 201 else 403)
            assert reply.status == wanted, f"{method} {path} from {origin}: {reply!r}"
            assert not [name for name in reply.headers if name.lower().startswith("access-control-")]


def test_a2_preflight_and_simple_requests(local_daemon):
    """A preflight is refused, and a form's content types do nothing, so that no foreign page can write."""
    api = local_daemon.tcp_api()
    reply = api.request("OPTIONS", "/v1/tunnels", headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"})
    assert reply.status in (403, 405) and not [name for name in reply.headers if name.lower().startswith("access-control-")]
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/html", "application/json+evil"):
        assert api.request("POST", "/v1/tunnels", b"{}", content_type=kind).status == 415, kind
        assert api.request("POST", "/v1/keys", b"{}", content_type=kind).status == 415, kind
    assert api.get("/v1/tunnels")["tunnels"] == []
    page = Api.over_tcp(local_daemon.address).expect(200, "GET", "/")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"] or "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"] or page.headers.get("X-Frame-Options") == "DENY"


def _make(path, name):
    """A new certificate and its key, as NAME-cert.pem and NAME-key.pem in the folder `path`."""
    os.makedirs(path, exist_ok=True)
    make_certificate(f"{path}/{name}-cert.pem", f"{path}/{name}-key.pem", name, "IP:127.0.0.1")


def _served_name(daemon):
    host, port = daemon.address.rsplit(":", 1)
    context = ssl._create_unverified_context()
    with socket.create_connection((host, int(port)), 10) as plain, context.wrap_socket(plain) as sock:
        text = run(["openssl", "x509", "-inform", "DER", "-noout", "-subject"], input=sock.getpeercert(True), text=False).stdout.decode()
    return text.split("CN")[1].strip(" =\n")


def test_a_renewed_certificate_is_served(make_daemon, directory):
    """As an ACME client renews it: links that lead to other files. What is wrong is told, and leaves what was served."""
    for name in ("first", "second"):
        _make(f"{directory}/archive", name)
    live = f"{directory}/live"
    os.makedirs(live)

    def lead_to(*sources):
        for source, target in zip(sources, ("cert.pem", "key.pem")):
            os.symlink(f"../archive/{source}", f"{live}/new")
            os.rename(f"{live}/new", f"{live}/{target}")
    lead_to("first-cert.pem", "first-key.pem")
    daemon = make_daemon(arguments=["--tls-cert", f"{live}/cert.pem", "--tls-key", f"{live}/key.pem"]).start()
    assert _served_name(daemon) == "first"
    lead_to("second-cert.pem", "first-key.pem")
    wait_until(lambda: _served_name(daemon) and "keeps its certificate" in daemon.process.log(), timeout=10, what="the pair that does not fit is told")
    assert _served_name(daemon) == "first" and daemon.process.log().count("keeps its certificate") == 1
    lead_to("second-cert.pem", "second-key.pem")
    wait_until(lambda: _served_name(daemon) == "second", timeout=10, what="the new certificate is served")
    os.unlink(f"{live}/key.pem")
    wait_until(lambda: _served_name(daemon) and daemon.process.log().count("keeps its certificate") == 2, timeout=10, what="the lost key is told")
    assert _served_name(daemon) == "second"


def test_a_certificate_that_is_renewed_into_another_folder_is_served(make_daemon, directory):
    """Links that lead into a folder that was made after the daemon started."""
    live = f"{directory}/live"
    os.makedirs(live)

    def renew(name):
        _make(f"{directory}/archive/{name}", name)
        for kind in ("cert", "key"):
            os.symlink(f"../archive/{name}/{name}-{kind}.pem", f"{live}/new")
            os.rename(f"{live}/new", f"{live}/{kind}.pem")
    renew("first")
    daemon = make_daemon(arguments=["--tls-cert", f"{live}/cert.pem", "--tls-key", f"{live}/key.pem"]).start()
    assert _served_name(daemon) == "first"
    renew("second")
    wait_until(lambda: _served_name(daemon) == "second", timeout=10, what="the new certificate is served")


def test_a_pair_that_does_not_fit_is_refused_at_the_start(make_daemon, directory):
    for name in ("first", "second"):
        _make(directory, name)
    argv = [binary(), "--state-dir", f"{directory}/state", "--listen", "127.0.0.1:0", "--tls-cert", f"{directory}/first-cert.pem",
            "--tls-key", f"{directory}/second-key.pem"]
    result = run(argv, check=False)
    assert result.returncode == 1 and "are not a certificate and its key" in result.stderr


def test_http_on_the_tls_port_is_answered(daemon, certificate):
    """Whoever forgets the s of https is told so. What is neither HTTP nor TLS gets no HTTP."""
    host, port = daemon.address.rsplit(":", 1)
    for method in ("GET", "POST", "OPTIONS"):
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        connection.request(method, "/v1/tunnels", body=b"{}" if method == "POST" else None)
        reply = Reply(connection.getresponse())
        assert reply.status == 400 and reply.code == "invalid_request" and "https" in reply.json["detail"]
        connection.close()
    for garbage in (b"\x16", b"\x00" * 100, b"\x80\x2e\x01\x00\x02"):
        with socket.create_connection((host, int(port)), timeout=10) as sock:
            sock.sendall(garbage)
            sock.shutdown(socket.SHUT_WR)
            assert b"HTTP" not in sock.recv(1000)
    assert _api(daemon, certificate).get("/v1/whoami")["via"] == "admin_token"
