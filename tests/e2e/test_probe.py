"""Probes through real tunnels, and the health that they tell (S9): each type with a far end that is good, bad, slow, odd, killed and back."""

import os
import re
import signal
import threading

import pytest

from harness.clients import curl
from harness.events import Reader
from harness.farend import INNER
from harness.process import wait_until
from harness.servers import Server, read_head
from harness.spec import Peer, proxy_address


class Site:
    """Answers by path. `status` is that of /changing; /slow never answers; /address tells the client's address."""

    def __init__(self):
        self.status = 200
        self.paths = []
        self.ending = threading.Event()

    def serve(self, sock):
        sock.settimeout(10)
        if not (head := read_head(sock)):
            return
        path = head.split()[1].decode()
        self.paths.append(path)
        if path == "/slow":
            self.ending.wait(20)
            return
        number = re.fullmatch("/status/([0-9]+)", path)
        status = int(number[1]) if number else self.status
        body = {"/address": sock.getpeername()[0], "/html": "<html>no address</html>", "/long": "1" * 5000}.get(path, "ok")
        sock.sendall(f"HTTP/1.1 {status} X\r\nLocation: /redirected\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())


@pytest.fixture
def site(far):
    site = Site()
    with Server(far.namespace, (INNER, 0), site.serve) as server:
        site.port = server.address[1]
        site.url = f"http://{INNER}:{site.port}"
        yield site
        site.ending.set()


def _health(api, id):
    return api.get(f"/v1/tunnels/{id}/status")["health"]


def _wait_healthy(api, id, healthy, timeout=30, failures=0):
    """Also for the result with at least so many failures in a row, which arrives a little later."""
    def is_so():
        health = _health(api, id)
        return health["healthy"] is healthy and (failures == 0 or health["probe"]["failures_in_a_row"] >= failures)
    wait_until(is_so, timeout, what=f"healthy is {healthy}")
    return _health(api, id)


def test_each_type_good_and_bad(far, daemon, site):
    peer = Peer(far, "asked")
    daemon.api.create(peer.document())
    cases = [
        ({"type": "http", "target": f"{site.url}/"}, True, ""),
        ({"type": "http", "target": f"{site.url}/status/302"}, True, ""),
        ({"type": "http", "target": f"{site.url}/status/302", "expected_status": 200}, False, "status is 302"),
        ({"type": "http", "target": f"{site.url}/status/302", "expected_status": "300-303"}, True, ""),
        ({"type": "http", "target": f"{site.url}/status/404"}, False, "status is 404"),
        ({"type": "http", "target": f"{site.url}/status/404", "expected_status": 404}, True, ""),
        ({"type": "http", "target": f"{site.url}/slow", "timeout": 1}, False, "no answer in time"),
        ({"type": "http", "target": f"http://{INNER}:9/"}, False, "refused"),
        ({"type": "http", "target": "http://nowhere.invalid/", "timeout": 5}, False, ""),
        ({"type": "exit_ip", "target": f"{site.url}/address"}, True, ""),
        ({"type": "exit_ip", "target": f"{site.url}/html"}, False, "not the IP address"),
        ({"type": "exit_ip", "target": f"{site.url}/long"}, False, "longer than 1 KiB"),
        ({"type": "exit_ip", "target": f"{site.url}/status/302"}, False, "status is 302"),
        ({"type": "tcp", "target": f"{INNER}:{site.port}"}, True, ""),
        ({"type": "ping", "target": INNER}, True, ""),
    ]
    for probe, ok, detail in cases:
        reply = daemon.api.expect(200, "POST", "/v1/tunnels/asked/actions/probe", {"count": 1, **probe}).json
        assert reply["ok"] is ok and detail in reply["detail"], (probe, reply)
        assert (reply["rtt_ms"]["avg"] is not None) == ok, (probe, reply)
        assert reply["exit_ip"] == (peer.addresses[0] if probe["type"] == "exit_ip" and ok else None), (probe, reply)
    assert "/redirected" not in site.paths
    for target in ("https://10.0.0.1/", f"{INNER}:80", "http://a b/"):
        reply = daemon.api.expect(422, "POST", "/v1/tunnels/asked/actions/probe", {"type": "http", "target": target})
        assert reply.pointers == ["/target"]
    assert daemon.api.state("asked") == "up"


def test_a_reply_names_the_probe_that_ran(far, daemon, site):
    """Not the spec's, when the request has one of its own, with or without a type."""
    path = "/v1/tunnels/asked/actions/probe"
    peer = Peer(far, "asked")
    daemon.api.create(peer.document())
    ping = {"type": "ping", "target": INNER}
    assert ping.items() <= daemon.api.expect(200, "POST", path, {"target": INNER, "count": 1}).json.items()
    refused = daemon.api.expect(422, "POST", path)
    assert refused.pointers == ["/target"] and "no probe of its own" in refused.json["errors"][0]["detail"]
    own = {"type": "http", "target": f"{site.url}/"}
    daemon.api.expect(200, "PATCH", "/v1/tunnels/asked", {"spec": {"probe": {**own, "interval": 86400}}})
    assert own.items() <= daemon.api.expect(200, "POST", path, {"count": 1}).json.items()
    assert ping.items() <= daemon.api.expect(200, "POST", path, {"target": INNER, "count": 1}).json.items()


def test_s9_a_probe_tells_health_and_never_the_state(far, daemon, site):
    """The probe alone makes a tunnel unhealthy, after as many failures in a row as are allowed, and healthy again."""
    probe = {"type": "http", "target": f"{site.url}/changing", "interval": 1, "unhealthy_after": 2}
    spec = daemon.api.create(Peer(far, "watched").document(probe=probe))["spec"]
    assert spec["probe"] == {"timeout": 5, "expected_status": "200-399", **probe}
    good = _wait_healthy(daemon.api, "watched", True)
    assert good["probe"]["ok"] and good["probe"]["failures_in_a_row"] == 0 and good["exit_ip"] is None
    assert (good["probe"]["type"], good["probe"]["target"]) == ("http", probe["target"]) and 0 < good["probe"]["rtt_ms"] < 5000
    reader = Reader(daemon, "?tunnel=watched&type=tunnel.health&type=tunnel.state")
    wait_until(reader.is_open.is_set, what="the stream is open")
    site.status = 500
    bad = _wait_healthy(daemon.api, "watched", False, failures=2)
    assert bad["probe"]["detail"] == "the answer's status is 500" and bad["probe"]["rtt_ms"] is None
    assert daemon.api.state("watched") == "up"
    assert [tunnel["id"] for tunnel in daemon.api.get("/v1/tunnels?healthy=false")["tunnels"]] == ["watched"]
    assert daemon.api.get("/v1/stats?healthy=true")["tunnels"] == []
    assert daemon.api.stats("watched")["health"]["healthy"] is False
    metrics = daemon.api.expect(200, "GET", "/metrics").body.decode()
    assert 'warren_tunnel_healthy{tunnel="watched"} 0' in metrics and 'warren_probe_rtt_seconds{tunnel="watched"}' not in metrics
    site.status = 204
    assert _wait_healthy(daemon.api, "watched", True)["since"] > bad["since"]
    told = lambda: [(event["type"], event.get("healthy")) for event in list(reader.events) if event["type"] != "heartbeat"]
    wait_until(lambda: len(told()) >= 2, what="both events")
    assert told() == [("tunnel.health", False), ("tunnel.health", True)]
    reader.close()
    metrics = daemon.api.expect(200, "GET", "/metrics").body.decode()
    assert re.search(r'warren_worker_cpu_seconds_total\{worker="0"\} [0-9.]*[1-9]', metrics)
    assert int(re.search(r'warren_worker_resident_bytes\{worker="0"\} ([0-9]+)', metrics)[1]) > 1 << 20
    assert 'warren_tunnel_healthy{tunnel="watched"} 1' in metrics and 'warren_probe_rtt_seconds{tunnel="watched"} 0.' in metrics
    # A change of anything else leaves the probe and its result.
    daemon.api.patch("watched", {"labels": {"a": "b"}, "spec": {"limits": {"connections": 9}}})
    kept = _health(daemon.api, "watched")
    assert kept["healthy"] is True and kept["probe"]["ok"]
    wait_until(lambda: _health(daemon.api, "watched")["probe"]["at"] > kept["probe"]["at"], what="the probe goes on")
    # Another probe has no result yet; without one nothing tells.
    site.status = 500
    daemon.api.patch("watched", {"spec": {"probe": {"unhealthy_after": 50, "target": f"{site.url}/slow", "interval": 30}}})
    assert _health(daemon.api, "watched")["probe"] is None
    daemon.api.patch("watched", {"spec": {"probe": None}})
    assert _health(daemon.api, "watched") == {"healthy": None, "since": _health(daemon.api, "watched")["since"], "probe": None, "exit_ip": None}


def test_a_peer_that_is_killed_and_back(far, daemon, site):
    """A tunnel that is not up is not healthy, whatever its probe said; the exit's address stays known."""
    peer = Peer(far, "exit")
    daemon.api.create(peer.document(probe={"type": "exit_ip", "target": f"{site.url}/address", "interval": 2, "timeout": 1}))
    assert _wait_healthy(daemon.api, "exit", True)["exit_ip"] == peer.addresses[0]
    with far.away():
        bad = _wait_healthy(daemon.api, "exit", False, 40)
        wait_until(lambda: daemon.api.state("exit") == "stale", 30, what="the state is stale")
        assert _health(daemon.api, "exit")["healthy"] is False and bad["exit_ip"] == peer.addresses[0]
    daemon.api.wait_state("exit", "up", 90)
    assert _wait_healthy(daemon.api, "exit", True)["exit_ip"] == peer.addresses[0]


def test_without_a_probe_the_traffic_tells(home, far, daemon, site):
    created = daemon.api.create(Peer(far, "used").document())
    assert _health(daemon.api, "used")["healthy"] is None
    host, port = proxy_address(created)
    assert curl(home, "-x", f"http://{host}:{port}", f"{site.url}/").stdout == "ok"
    assert _wait_healthy(daemon.api, "used", True)["probe"] is None
    daemon.api.patch("used", {"spec": {"enabled": False}})
    assert _health(daemon.api, "used")["healthy"] is False


def test_results_go_on_after_a_worker_has_died(far, daemon, site):
    daemon.api.create(Peer(far, "moved").document(probe={"type": "http", "target": f"{site.url}/", "interval": 1}))
    before = _wait_healthy(daemon.api, "moved", True)
    for pid in daemon.workers():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: _health(daemon.api, "moved")["since"] > before["since"], 30, what="the health is told anew")
    assert _wait_healthy(daemon.api, "moved", True)["probe"]["at"] > before["probe"]["at"]
