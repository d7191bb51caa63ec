"""The API behind a reverse proxy that has the TLS, as docs/reverse-proxy.md has it, and for a group of the host's users."""

import grp
import http.client
import json
import os
import pwd
import re
import shutil
import socket
import ssl
import subprocess
import sys

import pytest

from harness import keys
from harness.api import Api
from harness.browser import Browser
from harness.certificates import make_certificate
from harness.daemon import ROOT, binary
from harness.process import Process, wait_until

TUNNEL = {"spec": {"enabled": False, "interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]}}}
NGINX = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx-error.log; {user}
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {dir}/nginx-body; proxy_temp_path {dir}/nginx-proxy; fastcgi_temp_path {dir}/nginx-f;
  uwsgi_temp_path {dir}/nginx-u; scgi_temp_path {dir}/nginx-s;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem;
    {location}
  }}
}}
"""


def _location(api):
    """What the page of documentation says, for an API at this address."""
    with open(f"{ROOT}/docs/reverse-proxy.md", encoding="utf-8") as file:
        block = re.search(r"```nginx\n(.*?)```", file.read(), re.DOTALL)[1]
    assert "127.0.0.1:8470" in block
    return block.replace("127.0.0.1:8470", api)


class _Front:
    """nginx with TLS in front of a daemon. A client that asks for https://warren.test:PORT/."""

    def __init__(self, daemon, directory):
        if not shutil.which("nginx"):
            pytest.skip("nginx is not installed")
        self.directory = directory
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        make_certificate(f"{directory}/cert.pem", f"{directory}/key.pem", "warren.test", "DNS:warren.test,IP:127.0.0.1")
        user = "user root;" if os.geteuid() == 0 else ""
        with open(f"{directory}/nginx.conf", "w", encoding="ascii") as file:
            file.write(NGINX.format(dir=directory, port=self.port, location=_location(daemon.address), user=user))
        # It takes the socket of the program that it replaces, as when it is upgraded: nobody else can have got the port meanwhile.
        self.process = Process(["nginx", "-p", directory, "-e", f"{directory}/nginx-error.log", "-c", f"{directory}/nginx.conf"], f"{directory}/nginx.log",
                               environment={"NGINX": f"{listener.fileno()};"}, descriptors=[listener.fileno()])
        wait_until(lambda: os.path.exists(f"{directory}/nginx.pid"), 60, what="nginx runs")
        listener.close()
        self.context = ssl.create_default_context(cafile=f"{directory}/cert.pem")

    def api(self, token, **headers):
        """Comes from 127.0.0.2, which is no proxy."""
        def connect():
            connection = http.client.HTTPSConnection("warren.test", self.port, timeout=20, context=self.context)
            plain = socket.create_connection(("127.0.0.1", self.port), source_address=("127.0.0.2", 0))
            connection.sock = self.context.wrap_socket(plain, server_hostname="warren.test")
            return connection
        return Api(connect, {"Authorization": f"Bearer {token}", **headers})

    @property
    def origin(self):
        return f"https://warren.test:{self.port}"


@pytest.fixture
def front(make_daemon, directory):
    daemon = make_daemon(arguments=["--allowed-host", "warren.test", "--trusted-proxy", "127.0.0.1", "--log-format", "json"]).start()
    front = _Front(daemon, directory)
    front.daemon = daemon
    yield front
    front.process.stop()


def _trail(daemon):
    lines = [json.loads(line) for line in daemon.process.log().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == "audit"]


def test_the_page_works_behind_tls(front):
    """What the page does in a browser: it loads, writes with its Origin, and follows the events."""
    page = front.api(front.daemon.token, Origin=front.origin)
    assert b"<title>" in page.expect(200, "GET", "/").body
    page.expect(201, "POST", "/v1/tunnels", {"id": "a", **TUNNEL})
    page.expect(204, "DELETE", "/v1/tunnels/a")
    for foreign in ("https://warren.test", "https://evil.test", f"http://warren.test:{front.port}", "null"):
        assert front.api(front.daemon.token, Origin=foreign).request("POST", "/v1/tunnels", TUNNEL).status == 403, foreign
    connection = page._connect()
    connection.request("GET", "/v1/events", headers={**page._headers, "Accept": "text/event-stream"})
    response = connection.getresponse()
    assert response.readline().startswith(b"retry:"), "the proxy does not hold events back"
    connection.close()


def test_a_browser_uses_the_page_behind_tls(front, directory):
    """Signed in by a link, it writes, and sees at once what others do."""
    browser = Browser(directory, flags=["--ignore-certificate-errors", "--host-resolver-rules=MAP warren.test 127.0.0.1"])
    try:
        browser.open(f"{front.origin}/#token={front.daemon.token}")
        browser.wait_text("#link", "live")
        browser.drop("made.conf", f"[Interface]\nPrivateKey = {keys.new_key().private}\nAddress = 10.3.0.2\n")
        browser.wait(lambda: browser.run("return document.getElementById('new-id').value") == "made", "the file is taken")
        browser.click("#create-form .primary")
        browser.wait_text("#detail-title", "made")
        front.daemon.api.delete("made")
        browser.wait_text("#empty", "no tunnels")
        assert [message for message in browser.complaints() if "404" not in message] == []
    finally:
        browser.close()


def test_a_forged_client_is_not_believed(front):
    """The client is the hop that nginx has seen; what the client itself writes is to the left of it, or another header."""
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "warren.test", "Forwarded": "for=203.0.113.10;proto=https"}
    front.api(front.daemon.token, **forged).expect(404, "DELETE", "/v1/tunnels/absent")
    assert _trail(front.daemon)[-1]["client"] == "127.0.0.2"
    assert front.api(front.daemon.token, **{"X-Forwarded-Host": "evil.test"}).request("GET", "/v1/tunnels").status == 421


def test_nobody_else_is_believed(make_daemon):
    """Without --trusted-proxy, and from an address that is none, the headers are like any others."""
    for arguments in ([], ["--trusted-proxy", "192.0.2.0/24"]):
        daemon = make_daemon(arguments=["--log-format", "json", *arguments]).start()
        api = Api.over_tcp(daemon.address, daemon.token)
        headers = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X-Forwarded-Host": "evil.test", "X-Forwarded-Proto": "https"}
        assert api.request("DELETE", "/v1/tunnels/absent", headers=headers).status == 404
        assert _trail(daemon)[-1]["client"] == "127.0.0.1"


def test_a_trusted_proxy_names_the_client(make_daemon):
    daemon = make_daemon(arguments=["--log-format", "json", "--trusted-proxy", "127.0.0.0/8", "--allowed-origin", "https://front.test"]).start()
    api = daemon.tcp_api()
    for value, client in (("198.51.100.7", "198.51.100.7"), ("x, 203.0.113.9, 198.51.100.8, 127.0.0.9", "198.51.100.8"), ("garbage", "127.0.0.1")):
        api.expect(404, "DELETE", "/v1/tunnels/absent", headers={"X-Forwarded-For": value, "Origin": "https://front.test"})
        assert _trail(daemon)[-1]["client"] == client
    wrong = daemon.tcp_api("wrong-token-0000000000000000000000")
    for number in range(3):
        wrong.expect(401, "GET", "/v1/tunnels", headers={"Forwarded": f'for="[2001:db8::{number + 1}]:99"'})
    assert [line["client"] for line in _trail(daemon)[-3:]] == [f"2001:db8::{number + 1}" for number in range(3)]


@pytest.mark.parametrize("arguments, said", [
    (["--trusted-proxy", "proxy.test"], "--trusted-proxy proxy.test"), (["--trusted-proxy", "10.0.0.0/40"], "--trusted-proxy"),
    (["--allowed-origin", "warren.test"], "--allowed-origin warren.test"), (["--allowed-origin", "https://warren.test/"], "--allowed-origin"),
    (["--trusted-proxy", "127.0.0.1", "--no-auth"], "--no-auth"), (["--socket-group", "no-such-group"], "--socket-group no-such-group")])
def test_options_that_cannot_be(directory, arguments, said):
    done = subprocess.run([binary(), "--state-dir", f"{directory}/s", "--listen", "127.0.0.1:0", *arguments], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and said in done.stderr, done


def _ask_as(uid, gid, groups, path, method, target):
    """The status of a request over the unix socket by another user."""
    code = ("import http.client, os, socket, sys\n"
            f"os.setgroups({groups!r}); os.setgid({gid}); os.setuid({uid})\n"
            "c = http.client.HTTPConnection('localhost'); c.sock = socket.socket(socket.AF_UNIX)\n"
            f"c.sock.connect({path!r}); c.request({method!r}, {target!r}); print(c.getresponse().status)\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    return int(done.stdout) if done.returncode == 0 else done.stderr.strip().rsplit("\n", 1)[-1]


def test_the_sockets_group_may_write(make_daemon, directory):
    """A member, by its own group or a supplementary one, may write and is no admin; others cannot even connect."""
    if os.geteuid() != 0:
        pytest.skip("not root, so nobody else can be")
    group, nobody = grp.getgrgid(12) if 12 in [g.gr_gid for g in grp.getgrall()] else grp.getgrall()[5], pwd.getpwnam("nobody")
    os.chmod(directory, 0o755)
    path = f"{directory}/open.sock"
    daemon = make_daemon(arguments=["--socket-group", group.gr_name, "--unix-socket", path, "--log-format", "json"]).start()
    at = os.stat(path)
    assert at.st_mode & 0o777 == 0o660 and at.st_gid == group.gr_gid
    for gid, groups in ((group.gr_gid, []), (nobody.pw_gid, [group.gr_gid]), (nobody.pw_gid, [*range(30000, 30100), group.gr_gid])):
        assert _ask_as(nobody.pw_uid, gid, groups, path, "DELETE", "/v1/tunnels/absent") == 404
        assert _trail(daemon)[-1]["actor"] == f"uid {nobody.pw_uid}"
        assert _ask_as(nobody.pw_uid, gid, groups, path, "GET", "/v1/tokens") == 403
    assert "PermissionError" in _ask_as(nobody.pw_uid, nobody.pw_gid, [], path, "GET", "/v1/tunnels")
    os.chmod(path, 0o666)
    assert _ask_as(nobody.pw_uid, nobody.pw_gid, [], path, "GET", "/v1/tunnels") == 401, "the file's mode alone gives no rights"
    assert daemon.api.get("/v1/whoami")["scopes"][-1] == "admin"
