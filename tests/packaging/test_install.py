"""The package in a fresh Debian: installed, used under the unit's confinement, upgraded under traffic, not downgraded, removed, purged.

The maintainer scripts run as they are. Of systemd there is `systemctl` alone, which hands to `Systemd` what is asked of it."""

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
from harness.clients import Connection
from harness.keys import new_key

UID = 61234   # as DynamicUser= would choose one
PAGE = b"a page from behind the far tunnel\n"
LARGE = os.urandom(8 << 20)
SYSTEMCTL = """#!/bin/sh
exec 9>/run/systemctl.lock
flock 9
echo "$*" >/run/systemctl.asked
read -r code words </run/systemctl.answered
[ -z "$words" ] || echo "$words"
exit "$code"
"""


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
        self.wait_for(b"READY=1")

    def wait_for(self, word):
        """Until the daemon has told it to systemd."""
        try:
            while self.notified.recv(100).splitlines()[0] != word:
                pass
        except TimeoutError:
            raise AssertionError(self.log()) from None

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def log(self):
        return open(f"{self.root.path}/root/log", encoding="utf-8").read()[-3000:]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0, self.log()
        assert "sandbox" not in self.log(), self.log()
        self.wait_for(b"STOPPING=1")

    def close(self):
        if self.is_running():
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


class Systemd(threading.Thread):
    """Answers `systemctl` in the root as systemd would, about the one service; what was asked is in `asked`."""

    def __init__(self, service):
        super().__init__(daemon=True)
        self.service, self.asked, self.run_path = service, [], f"{service.root.path}/run"
        os.makedirs(f"{self.run_path}/systemd/system")
        for name in ("asked", "answered"):
            os.mkfifo(f"{self.run_path}/systemctl.{name}")
        with open(f"{service.root.path}/usr/bin/systemctl", "w", encoding="ascii") as file:
            file.write(SYSTEMCTL)
        os.chmod(file.name, 0o755)
        self.start()

    def run(self):
        while (words := self.read()) != ["end"]:
            self.asked += words
            try:
                answer = self.answer(words)
            except AssertionError as fault:
                print(fault)   # the daemon's log
                answer = "1"
            with open(f"{self.run_path}/systemctl.answered", "w", encoding="ascii") as file:
                file.write(answer + "\n")

    def read(self):
        with open(f"{self.run_path}/systemctl.asked", encoding="ascii") as file:
            return file.read().split()

    def close(self):
        with open(f"{self.run_path}/systemctl.asked", "w", encoding="ascii") as file:
            file.write("end")
        self.join()

    def answer(self, words):
        service = self.service
        if "--property=MainPID" in words:
            return f"0 {service.process.pid if service.is_running() else 0}"
        wanted = f"{service.root.path}/etc/systemd/system/multi-user.target.wants/warrend.service"
        if "preset" in words:
            os.symlink("/lib/systemd/system/warrend.service", wanted)
        if "is-enabled" in words:
            return "0 enabled" if os.path.lexists(wanted) else "1 disabled"
        if "is-active" in words:
            return "0" if service.is_running() else "3"
        if {"stop", "restart"} & set(words) and service.is_running():
            service.stop()
        if {"start", "restart"} & set(words):
            service.start()
        return "0"


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = LARGE if self.path == "/large" else PAGE
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

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
    service = Service(root)
    service.systemd = Systemd(service)
    root.install(package)
    yield service
    service.systemd.close()
    service.close()


def test_installed_service_carries_traffic(service, page):
    assert service.is_running(), "it is started by the installation"
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


def asked(service, word, act):
    """How often systemd was asked for it by the act."""
    before = service.systemd.asked.count(word)
    act()
    return service.systemd.asked.count(word) - before


def test_upgrade_under_traffic_loses_nothing(service, newer_package):
    """The new program is started in the place of the old one: the same process, and a download that has begun goes on."""
    config = f"{service.root.path}/etc/warren/warrend.json"
    with open(config, "w", encoding="utf-8") as file:
        file.write('{"log_level": "debug"}\n')
    tunnels = {tunnel["id"]: tunnel["etag"] for tunnel in service.api("/v1/tunnels")["tunnels"]}
    host, port = service.api("/v1/tunnels/near/status")["listen"][0].rsplit(":", 1)
    download = Connection((host, int(port)), timeout=60)
    assert download.http_connect("10.99.0.1:80")[0] == 200
    download.send(b"GET /large HTTP/1.1\r\nHost: 10.99.0.1\r\n\r\n").read_head()
    begin = download.read(1 << 16)
    assert asked(service, "restart", lambda: service.root.install(newer_package)) == 0
    assert service.root.run("dpkg-query", "-W", "-f", "${Version}", "warren") == "99.0-1"
    assert "debug" in open(config, encoding="utf-8").read()
    info = service.api("/v1/info")
    assert info["version"] == "0.1.0-other" and info["pid"] == service.process.pid
    assert {tunnel["id"]: tunnel["etag"] for tunnel in service.api("/v1/tunnels")["tunnels"]} == tunnels
    assert begin + download.read_all() == LARGE
    download.close()


def test_a_broken_program_changes_nothing(service, broken_package):
    told = service.root.install(broken_package)
    assert "goes on" in told and "systemctl restart warrend" in told
    assert service.is_running() and service.api("/v1/info")["version"] == "0.1.0-other" and service.fetch() == PAGE


def test_downgrade_is_refused(service, package):
    """In plain words, and everything is as before."""
    with pytest.raises(AssertionError, match=r"cannot take the place of 99\.1-1(.|\n)*Nothing has changed(.|\n)*warren load"):
        service.root.install(package, "--allow-downgrades")
    assert service.root.run("dpkg-query", "-W", "-f", "${Version} ${Status}", "warren") == "99.1-1 install ok installed"
    assert service.is_running() and service.fetch() == PAGE


def test_remove_keeps_state_and_purge_leaves_nothing(service, package):
    root = service.root
    os.makedirs(f"{root.path}/var/lib/private/warren")
    assert asked(service, "stop", lambda: root.run("dpkg", "--remove", "warren")) == 1
    assert not service.is_running() and not os.path.exists(f"{root.path}/usr/sbin/warrend")
    assert os.path.exists(f"{root.path}/etc/warren/warrend.json") and os.path.exists(f"{service.state}/state.db")
    with pytest.raises(AssertionError, match="cannot take the place"):
        root.install(package)
    root.run("dpkg", "--purge", "warren")
    assert root.traces() == []
