"""The access log: a line for each connection that has ended, whatever the disk or its reader does."""

import json
import os
import signal
import stat
import threading

import pytest

from harness import process
from harness.clients import Connection
from harness.loop import INNER, Ends, create_pair
from harness.process import wait_until
from harness.servers import Server, echo
from harness.spec import proxy_address

MEMBERS = {"id", "tunnel", "pool", "protocol", "client", "user", "target", "address", "opened_at", "age", "bytes_sent", "bytes_received", "session",
           "closed_at", "result", "reason"}


def _lines(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.endswith("\n")]


def _near(path):
    return [line for line in _lines(path) if line["tunnel"] == "near"]


@pytest.fixture
def far_server():
    with Server(None, ("127.0.0.1", 0), echo) as server:
        yield server


def _connect(near, target=f"{INNER}:80"):
    connection = Connection(proxy_address(near))
    return connection, connection.http_connect(target)[0]


def _use(near, text=b"hello"):
    connection, status = _connect(near)
    with connection:
        assert status == 200 and connection.send(text).read(len(text)) == text


def _start(make_daemon, log, server):
    daemon = make_daemon(arguments=["--access-log", log, "--workers", "2"]).start()
    return daemon, create_pair(daemon.api, Ends(), server.address)[1]


def test_what_a_pool_refuses_is_a_line(make_daemon, directory, far_server):
    """No tunnel has it: no member fits, the password is wrong, or a rule rejects the target. Nor has a client that is there when the pool ends."""
    log = f"{directory}/access.log"
    daemon, _ = _start(make_daemon, log, far_server)
    pool = daemon.api.expect(201, "POST", "/v1/pools", {"id": "eu", "spec": {
        "proxy": {"users": [{"username": "u", "password": "p"}]}, "members": {"tunnels": ["near"]},
        "rules": [{"domains": ["ads.example"], "action": "reject"}]}}).json
    for user, target, expected in ((b"u-tunnel-none:p", f"{INNER}:80", 503), (b"u:wrong", f"{INNER}:80", 407), (b"u:p", "ads.example:80", 403)):
        with Connection(proxy_address(pool)) as client:
            assert client.http_connect(target, login=user)[0] == expected
    with Connection(proxy_address(pool)) as client:
        wait_until(lambda: daemon.api.get("/v1/pools/eu")["status"]["state"] == "up", what="the pool is there")
        daemon.api.expect(204, "DELETE", "/v1/pools/eu")
        assert client.is_at_end()
    wait_until(lambda: len([line for line in _lines(log) if line["pool"] == "eu"]) == 4, what="all are written")
    found = [line for line in _lines(log) if line["pool"] == "eu"]
    assert all(set(line) == MEMBERS and line["tunnel"] is None for line in found)
    assert [(line["result"], line["reason"]) for line in found] == [
        ("failed", "tunnel_down"), ("failed", "authentication"), ("failed", "policy"), ("cut", "tunnel")]


def test_each_that_ended_is_a_line(make_daemon, directory, far_server):
    log = f"{directory}/access.log"
    daemon, near = _start(make_daemon, log, far_server)
    assert stat.S_IMODE(os.stat(log).st_mode) == 0o640
    _use(near)
    wait_until(lambda: len(_near(log)) == 1, what="it has ended and is not cut below")
    refused, status = _connect(near, f"{INNER}:9")
    refused.close()
    assert status == 502
    forbidden, status = _connect(near, "localhost:80")
    forbidden.close()
    assert status == 403
    with Connection(proxy_address(near)) as connection:
        connection.send(b"GET / HTTP/1.1\r\n\r\n").read_all()
    cut, _ = _connect(near)
    daemon.api.expect(200, "DELETE", "/v1/connections?tunnel=near")
    assert cut.is_at_end()
    wait_until(lambda: len(_near(log)) == 5, what="all are written")
    found = _near(log)
    assert all(set(line) == MEMBERS for line in found) and len({line["id"] for line in found}) == 5
    assert {(line["result"], line["reason"]) for line in found} == {
        ("ok", None), ("failed", "refused"), ("failed", "policy"), ("failed", "bad_request"), ("cut", "request")}
    used = next(line for line in found if line["result"] == "ok")
    assert (used["protocol"], used["target"], used["address"]) == ("connect", f"{INNER}:80", f"{INNER}:80")
    assert (used["bytes_sent"], used["bytes_received"]) == (5, 5) and used["opened_at"] <= used["closed_at"]


def test_those_that_a_tunnels_or_the_daemons_end_cuts_are_lines(make_daemon, directory, far_server):
    log = f"{directory}/access.log"
    daemon, near = _start(make_daemon, log, far_server)
    open_one, _ = _connect(near)
    daemon.api.delete("near")
    wait_until(lambda: len(_near(log)) == 1, what="the line is written")
    assert (_near(log)[0]["result"], _near(log)[0]["reason"]) == ("cut", "tunnel")
    open_one.close()
    near = create_pair(daemon.api, Ends("2"), far_server.address)[1]
    kept = [_connect(near)[0] for _ in range(50)]
    daemon.stop()
    assert len([line for line in _lines(log) if line["tunnel"] == "near2" and line["result"] == "cut"]) == 50
    for connection in kept:
        connection.close()


def test_a_rotated_log_is_followed(make_daemon, directory, far_server):
    log = f"{directory}/access.log"
    daemon, near = _start(make_daemon, log, far_server)
    _use(near)
    wait_until(lambda: len(_near(log)) == 1, what="the line is written")
    os.rename(log, f"{log}.1")
    daemon.process.send_signal(signal.SIGUSR1)
    _use(near)
    wait_until(lambda: len(_near(log)) == 1, what="the next line is in a new file")
    os.unlink(log)
    _use(near)
    wait_until(lambda: len(_near(log)) == 1, what="and again without a signal")
    assert len(_near(f"{log}.1")) == 1 and stat.S_IMODE(os.stat(log).st_mode) == 0o640


def test_standard_output_is_a_log(make_daemon, far_server):
    """The harness sends it where the log goes: the lines that are objects are ours."""
    daemon, near = _start(make_daemon, "-", far_server)
    _use(near)
    wait_until(lambda: any(line.startswith('{"id":') and '"near"' in line for line in daemon.process.log().splitlines()), what="the line is there")


def test_a_fifo_may_have_no_reader(make_daemon, directory, far_server):
    log = f"{directory}/fifo"
    os.mkfifo(log)
    daemon, near = _start(make_daemon, log, far_server)
    for _ in range(5):
        _use(near)
    got = []

    def read():
        with open(log, encoding="utf-8") as file:
            while len([line for line in got if line["tunnel"] == "near"]) < 5:
                got.append(json.loads(file.readline()))
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(20)
    assert not reader.is_alive(), "the lines that waited were read"
    _use(near)
    assert daemon.stop() < 5


def test_a_full_disk_stops_nothing(make_daemon, far_server):
    daemon, near = _start(make_daemon, "/dev/full", far_server)
    for _ in range(20):
        _use(near)
    wait_until(lambda: "access log: No space left on device" in daemon.process.log(), what="it is told")
    assert "warren_access_log_dropped_total 0\n" in daemon.api.request("GET", "/metrics").body.decode(), "the lines wait"
    assert daemon.stop() < 5


@pytest.mark.parametrize("log, why", [("{}/none/access.log", "No such file or directory"), ("{}", "Is a directory")])
def test_a_log_that_cannot_be_opened_fails_the_start(make_daemon, directory, log, why):
    daemon = make_daemon(arguments=["--access-log", log.format(directory)]).start(wait=False)
    assert daemon.process.wait(15) == 1
    assert why in daemon.process.log()


def test_without_the_option_there_is_no_log_and_no_thread(make_daemon, directory):
    plain = make_daemon().start()
    logging = make_daemon(arguments=["--access-log", f"{directory}/access.log"]).start()
    assert process.threads(logging.pid) == process.threads(plain.pid) + 1
    plain.process.send_signal(signal.SIGUSR1)
    assert plain.api.request("GET", "/readyz").status == 200
