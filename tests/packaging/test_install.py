"""The package in a fresh Debian: installed, used under the unit's confinement, upgraded with its tunnels, removed, purged."""

import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from confinement import Filter, confine
from debian import reason_to_skip
from harness.keys import new_key

UID = 61234   # as DynamicUser= would choose one
PAGE = b"a page from behind the far tunnel\n"


WHY = reason_to_skip("curl", "wg")
pytestmark = pytest.mark.skipif(WHY is not None, reason=str(WHY))


class Service:
    """The daemon as the unit starts it, without systemd."""

    def __init__(self, root):
        self.root = root
        self.state = f"{root.path}/var/lib/warren"
        os.makedirs(self.state, 0o700, exist_ok=True)
        os.chown(self.state, UID, UID)
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind(f"{root.path}/run/notify")
        os.chmod(f"{root.path}/run/notify", 0o777)
        self.notified.settimeout(15)
        self.process = None

    def start(self):
        unit = f"{self.root.path}/lib/systemd/system/warrend.service"
        start = re.search(r"^ExecStart=(.*)", open(unit, encoding="utf-8").read(), re.M).group(1).split()
        calls = Filter(unit) if shutil.which("systemd-analyze") else None
        with open(f"{self.root.path}/root/log", "ab") as log:
            self.process = subprocess.Popen(start, preexec_fn=confine(self.root.path, UID, calls), stderr=log, umask=0o077, env={
                "STATE_DIRECTORY": "/var/lib/warren", "NOTIFY_SOCKET": "/run/notify", "WARREN_LISTEN": "127.0.0.1:0"})
        try:
            assert self.notified.recv(100) == b"READY=1"
        except TimeoutError:
            raise AssertionError(self.log()) from None

    def log(self):
        return open(f"{self.root.path}/root/log", encoding="utf-8").read()[-3000:]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0, self.log()
        assert "sandbox" not in self.log(), self.log()
        assert self.notified.recv(100) == b"STOPPING=1"

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.notified.close()
        os.unlink(f"{self.root.path}/run/notify")

    def api(self, path, *words):
        reply = curl("--unix-socket", f"{self.state}/api.sock", f"http://localhost{path}", *words)
        return json.loads(reply)

    def put(self, id, spec):
        return self.api(f"/v1/tunnels/{id}", "-X", "PUT", "-H", "Content-Type: application/json", "-d", json.dumps({"spec": spec}))

    def fetch(self):
        """The page, through the proxy of «near» from behind «far»."""
        proxy = self.api("/v1/tunnels/near/status")["listen"][0]
        return curl("-x", f"http://{proxy}", "--noproxy", "", "http://10.99.0.1/")


def curl(*words):
    done = subprocess.run(["curl", "-sS", "--fail-with-body", "--max-time", "20", "--retry", "3", *words], capture_output=True)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def page():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("0.0.0.0", 0))
        return probe.getsockname()[1]


def make_tunnels(service, page):
    """Each knows the other's endpoint, so that either starts the handshake after its worker's death."""
    far, near, far_port, near_port = new_key(), new_key(), free_udp_port(), free_udp_port()
    service.put("far", {
        "interface": {"private_key": far.private, "addresses": ["10.99.0.1/32"], "listen_port": far_port},
        "peers": [{"public_key": near.public, "endpoint": f"127.0.0.1:{near_port}", "allowed_ips": ["10.99.0.2/32"]}],
        "forwards": [{"name": "page", "direction": "inbound", "protocol": "tcp", "listen": "10.99.0.1:80", "target": f"127.0.0.1:{page}"}]})
    service.put("near", {
        "interface": {"private_key": near.private, "addresses": ["10.99.0.2/32"], "listen_port": near_port},
        "peers": [{"public_key": far.public, "endpoint": f"127.0.0.1:{far_port}", "allowed_ips": ["0.0.0.0/0"]}]})


@pytest.fixture(scope="module")
def service(make_root, package):
    root = make_root()
    root.run("apt-get", "-q", "update")
    root.install(package)
    service = Service(root)
    yield service
    service.close()


def test_installed_service_carries_traffic(service, page):
    service.start()
    make_tunnels(service, page)
    assert service.fetch() == PAGE
    workers = subprocess.run(["pgrep", "-P", str(service.process.pid)], capture_output=True, text=True).stdout.split()
    assert workers
    for pid in [service.process.pid, *workers]:
        status = open(f"/proc/{pid}/status", encoding="ascii").read()
        assert re.search(r"^CapEff:\s+0+$", status, re.M) and re.search(r"^NoNewPrivs:\s+1$", status, re.M), status
        assert os.stat(f"/proc/{pid}/environ").st_uid == 0, "who is not dumpable belongs to root there"
        assert shutil.which("systemd-analyze") is None or re.search(r"^Seccomp:\s+2$", status, re.M), status


def test_a_killed_worker_comes_back_under_the_filter(service, page):
    worker = subprocess.run(["pgrep", "-P", str(service.process.pid)], capture_output=True, text=True).stdout.split()[0]
    os.kill(int(worker), signal.SIGKILL)
    deadline = time.monotonic() + 20
    while b"warren_worker_restarts_total 1" not in curl("--unix-socket", f"{service.state}/api.sock", "http://localhost/metrics"):
        assert time.monotonic() < deadline, service.log()
        time.sleep(0.1)
    assert service.fetch() == PAGE


def test_upgrade_keeps_tunnels_and_configuration(service, newer_package):
    config = f"{service.root.path}/etc/warren/warrend.json"
    with open(config, "w", encoding="utf-8") as file:
        file.write('{"log_level": "debug"}\n')
    tunnels = {tunnel["id"]: tunnel["etag"] for tunnel in service.api("/v1/tunnels")["tunnels"]}
    service.root.install(newer_package)
    assert service.root.run("dpkg-query", "-W", "-f", "${Version}", "warren") == "99.0-1"
    assert "debug" in open(config, encoding="utf-8").read()
    assert service.process.poll() is None and service.fetch() == PAGE, "the old daemon runs until it is restarted"
    service.stop()
    service.start()
    assert {tunnel["id"]: tunnel["etag"] for tunnel in service.api("/v1/tunnels")["tunnels"]} == tunnels
    assert service.fetch() == PAGE


def test_remove_keeps_state_and_purge_leaves_nothing(service):
    service.stop()
    root = service.root
    os.makedirs(f"{root.path}/var/lib/private/warren")
    root.run("dpkg", "--remove", "warren")
    assert not os.path.exists(f"{root.path}/usr/sbin/warrend")
    assert os.path.exists(f"{root.path}/etc/warren/warrend.json") and os.path.exists(f"{service.state}/state.db")
    root.run("dpkg", "--purge", "warren")
    assert root.traces() == []
