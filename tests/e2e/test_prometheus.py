"""A real Prometheus scrapes /metrics with a token of scope metrics, and the dashboard's queries find data there."""

import json
import os
import re
import socket
import urllib.error
import urllib.parse
import urllib.request

import pytest

from harness.clients import curl
from harness.loop import INNER, Ends, create_pair, pages
from harness.process import Process, run, wait_until
from harness.spec import proxy_address
from harness.tools import ROOT, packaged

# The published metrics that dashboards rely on, by name, type and labels.
FAMILIES = {
    "wireguard_sent_bytes_total": ("counter", {"interface", "public_key", "allowed_ips"}),
    "wireguard_received_bytes_total": ("counter", {"interface", "public_key", "allowed_ips"}),
    "wireguard_latest_handshake_seconds": ("gauge", {"interface", "public_key", "allowed_ips"}),
    "warren_build_info": ("gauge", {"version"}),
    "warren_tunnels": ("gauge", {"state"}),
    "warren_tunnel_up": ("gauge", {"tunnel"}),
    "warren_tunnel_enabled": ("gauge", {"tunnel"}),
    "warren_tunnel_healthy": ("gauge", {"tunnel"}),
    "warren_tunnel_quota_bytes": ("gauge", {"tunnel"}),
    "warren_tunnel_quota_used_bytes": ("gauge", {"tunnel"}),
    "warren_tunnel_info": ("gauge", {"tunnel", "listen", "endpoint"}),
    "warren_proxy_connections": ("gauge", {"tunnel", "protocol"}),
    "warren_proxy_connections_total": ("counter", {"tunnel", "protocol", "result"}),
    "warren_proxy_bytes_total": ("counter", {"tunnel", "direction"}),
    "warren_proxy_connect_duration_seconds": ("histogram", set()),
    "warren_handshakes_total": ("counter", {"tunnel", "result"}),
    "warren_dropped_packets_total": ("counter", {"tunnel", "reason"}),
    "warren_worker_restarts_total": ("counter", set()),
    "warren_store_writable": ("gauge", set()),
    "warren_api_requests_total": ("counter", {"method", "route", "code"}),
    "warren_api_request_duration_seconds": ("histogram", set()),
    "process_cpu_seconds_total": ("counter", set()),
    "process_resident_memory_bytes": ("gauge", set()),
    "process_open_fds": ("gauge", set()),
    "process_max_fds": ("gauge", set()),
    "process_start_time_seconds": ("gauge", set()),
}


def _tool(name):
    return packaged("prometheus", name) or pytest.skip(f"no {name}")


@pytest.fixture
def busy(local_daemon):
    """A daemon with a tunnel that has carried traffic, and one that fails and drops."""
    api = local_daemon.api
    with pages() as server:
        _, near = create_pair(api, Ends(), server.address)
        api.patch("near", {"labels": {"country": "nl"}, "spec": {"probe": {"type": "ping", "target": INNER, "interval": 1}, "limits": {"total_bytes": 1 << 40}}})
        api.expect(201, "POST", "/v1/pools", {"id": "eu", "spec": {"members": {"tunnels": ["near"]}, "sticky": {"by": "client"}}})
        host, port = proxy_address(near)
        for scheme in ("http", "socks5h"):
            curl(None, "--noproxy", "", "-x", f"{scheme}://{host}:{port}", f"http://{INNER}/")
        curl(None, "--noproxy", "", "-x", f"http://{host}:{port}", f"http://{INNER}:81/", check=False)
        api.create({"id": "idle", "labels": {"country": "nl"}, "spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]}}}, wait_up=False)
        _junk(api.get("/v1/tunnels/near/status")["udp_port"])
        yield local_daemon


def _junk(port):
    """Datagrams that the tunnel drops."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(10):
            sock.sendto(b"no WireGuard message", ("127.0.0.1", port))


def test_promtool_approves(busy):
    text = busy.api.expect(200, "GET", "/metrics").body.decode()
    result = run([_tool("promtool"), "check", "metrics"], input=text, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


class Prometheus:
    def __init__(self, directory, daemon, token):
        os.makedirs(f"{directory}/prometheus")
        self.directory = f"{directory}/prometheus"
        with open(f"{self.directory}/token", "w", encoding="ascii") as file:
            file.write(token)
        with open(f"{self.directory}/prometheus.yml", "w", encoding="ascii") as file:
            file.write(f"global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: warren\n    authorization:\n      credentials_file: token\n"
                       f"    static_configs:\n      - targets: ['{daemon.address}']\n")
        run([_tool("promtool"), "check", "config", f"{self.directory}/prometheus.yml"])
        self.process = self.address = None

    def start(self):
        self.process = Process([_tool("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0",
                                "--log.level=info"], f"{self.directory}/log", cwd=self.directory)
        found = wait_until(lambda: [line for line in self.process.log().splitlines() if "Listening on" in line], 20, what="Prometheus listens")
        self.address = found[0].rsplit("address=", 1)[1].split()[0]
        wait_until(self._is_ready, 20, what="Prometheus is ready")
        return self

    def _is_ready(self):
        try:
            return self.ask("/api/v1/status/runtimeinfo")
        except urllib.error.HTTPError:
            return False   # 503 until its log is replayed

    def ask(self, path, **query):
        url = f"http://{self.address}{path}?{urllib.parse.urlencode(query)}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=10) as reply:
            answer = json.load(reply)
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression):
        return self.ask("/api/v1/query", query=expression)["result"]


@pytest.fixture
def prometheus(busy, directory):
    token = busy.api.expect(201, "POST", "/v1/tokens", {"name": "prometheus", "scopes": ["metrics"]}).json["token"]
    assert busy.tcp_api(token).request("GET", "/v1/tunnels").status == 403
    prometheus = Prometheus(directory, busy, token).start()
    yield prometheus
    prometheus.process.stop()


def _panels(panels):
    for panel in panels:
        yield panel
        yield from _panels(panel.get("panels", []))


def test_prometheus_and_the_dashboard(busy, prometheus):
    def scrapes():
        result = prometheus.query("count_over_time(up[1m])")
        return bool(result) and int(result[0]["value"][1]) >= 5
    try:
        wait_until(scrapes, 30, 0.2, what="five scrapes")
    finally:
        targets = prometheus.ask("/api/v1/targets")["activeTargets"]
    assert [target["lastError"] for target in targets] == [""] and prometheus.query("up")[0]["value"][1] == "1"
    types = {entry["metric"]: entry["type"] for entry in prometheus.ask("/api/v1/targets/metadata")}
    for name, (kind, labels) in FAMILIES.items():
        assert types.get(name) == kind, f"{name} is {types.get(name)}, not {kind}"
        series = prometheus.query(f"{name}_bucket" if kind == "histogram" else name)
        assert series, f"{name} has no sample"
        # Prometheus treats an empty label, such as the endpoint of a peer without one, as absent.
        assert set().union(*(sample["metric"] for sample in series)) >= labels, name
        for sample in series:
            assert sample["metric"].keys() - {"__name__", "instance", "job", "le"} <= labels, sample["metric"]
    assert prometheus.query('warren_tunnel_up{tunnel="near"}')[0]["value"][1] == "1"
    assert prometheus.query('warren_tunnels{state="up"}')[0]["value"][1] == "2"
    with open(f"{ROOT}/openapi/grafana-dashboard.json", encoding="utf-8") as file:
        dashboard = json.load(file)
    asked = 0
    for panel in _panels(dashboard["panels"]):
        for target in panel.get("targets", []):
            expression = target["expr"]
            for name, value in (("$__rate_interval", "10s"), ("$__interval", "10s"), ("$__range", "1m"), ("$tunnel", ".*"), ("$instance", ".*"),
                                ("$job", ".*"), ("$top", "25"), ("$label", 'label_country="nl"'), ("${tunnel}", ".*"), ("${tunnel:regex}", ".*")):
                expression = expression.replace(name, value)
            assert prometheus.query(expression), f"{panel['title']}: no data for {expression}"
            asked += 1
    assert asked >= 10


def test_the_alerts_fire_when_they_should(busy):
    """promtool runs their unit tests, and each metric in them is one that the daemon has; those of a fleet are in test_fleet.py."""
    promtool, text = _tool("promtool"), busy.api.expect(200, "GET", "/metrics").body.decode()
    run([promtool, "test", "rules", f"{ROOT}/tests/packaging/alerts-test.yaml"])
    with open(f"{ROOT}/openapi/prometheus-alerts.yaml", encoding="utf-8") as file:
        expressions = [line for line in file if line.strip().startswith("expr:")]
    names = set(re.findall(r"\b(?:warren_(?!fleet_)|process_)\w+", " ".join(expressions)))
    assert len(names) >= 10
    for name in names:
        assert f"\n# TYPE {name} " in text, name
