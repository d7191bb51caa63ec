"""Targets that no peer's allowed_ips cover fail at once, and are warned about when the spec is written."""

import socket
import time

import pytest

from harness import keys
from harness.clients import Connection, is_turned_away
from harness.farend import INNER as FAR_INNER
from harness.loop import INNER, Ends, pages
from harness.process import wait_until
from harness.servers import free_port
from harness.spec import proxy_address

OUTSIDE, OUTSIDE6, OF_NOBODY = "203.0.113.5", "2001:db8::5", "10.88.0.1"
AT_ONCE = 3


@pytest.fixture
def near(local_daemon):
    """The API and the tunnel's created document: it reaches 10.99.0.0/24, and 10.88.0.0/24 by a peer that is nowhere."""
    api, ends = local_daemon.api, Ends()
    with pages() as server:
        far = api.create(ends.far(server.address), wait_up=False)
        document = ends.near(far["status"]["udp_port"], proxy={"allow_private_targets": True}, forwards=[
            {"name": "tcp", "direction": "outbound", "protocol": "tcp", "listen": f"127.0.0.1:{free_port()}", "target": f"{OUTSIDE}:80"},
            {"name": "udp", "direction": "outbound", "protocol": "udp", "listen": f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}",
             "target": f"{OUTSIDE}:53"}])
        spec = document["spec"]
        spec["interface"]["addresses"] = ["10.99.0.2", "fd99::2"]
        spec["interface"]["dns"] = [OUTSIDE]
        spec["peers"][0]["allowed_ips"] = ["10.99.0.0/24"]
        spec["peers"].append({"public_key": keys.new_key().public, "allowed_ips": ["10.88.0.0/24"]})
        yield api, api.create(document)


@pytest.mark.parametrize("target", [OUTSIDE, f"[{OUTSIDE6}]", OF_NOBODY])
def test_a_target_that_no_packet_reaches(near, target):
    address, begun = proxy_address(near[1]), time.monotonic()
    for request in (f"GET http://{target}/ HTTP/1.1\r\nHost: x\r\n\r\n", f"CONNECT {target}:80 HTTP/1.1\r\nHost: x\r\n\r\n"):
        with Connection(address) as connection:
            status, headers, _ = connection.send(request.encode()).read_reply()
            assert status == 502 and "destination_ip_unroutable" in headers["proxy-status"]
    with Connection(address) as connection:
        assert connection.socks5_connect(target.strip("[]"), 80) in (3, 4)
    if ":" not in target:
        with Connection(address) as connection:
            assert connection.send(b"\4\1\0\x50" + socket.inet_aton(target) + b"\0").read(2) == b"\0\x5b"
    assert time.monotonic() - begun < AT_ONCE


def test_what_is_covered_is_reached(near):
    with Connection(proxy_address(near[1])) as connection:
        assert connection.send(f"GET http://{INNER}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()).read_reply()[0] == 200


@pytest.mark.parametrize("server", [OUTSIDE, OF_NOBODY, "10.99.0.2"])
def test_a_name_server_that_no_packet_reaches_is_not_asked(near, server):
    """Covered by no peer, by one that nobody knows where to find, and the tunnel itself."""
    patched = near[0].patch("near", {"spec": {"interface": {"dns": [server]}}})
    assert any("interface.dns" in warning["detail"] and server in warning["detail"] for warning in patched["warnings"])
    begun = time.monotonic()
    with Connection(proxy_address(near[1])) as connection:
        status, headers, _ = connection.send(b"GET http://a.test/ HTTP/1.1\r\nHost: x\r\n\r\n").read_reply()
        assert status == 502 and "dns_error" in headers["proxy-status"]
    assert time.monotonic() - begun < AT_ONCE


def test_forwards_and_probes_fail_at_once(near):
    api, tunnel = near
    tcp, udp = (("127.0.0.1", int(forward["listen"].rsplit(":", 1)[1])) for forward in tunnel["spec"]["forwards"])
    assert is_turned_away(tcp, AT_ONCE)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", udp)
        client.sendto(b"x", udp)
        wait_until(lambda: api.stats("near")["dropped"].get("refused", 0) >= 1, what="the datagram is counted")
    for kind, target in (("ping", OUTSIDE), ("tcp", f"{OUTSIDE}:80"), ("ping", OF_NOBODY)):
        begun = time.monotonic()
        result = api.expect(200, "POST", "/v1/tunnels/near/actions/probe", {"type": kind, "target": target, "count": 1, "timeout": 9}).json
        assert not result["ok"] and "peer" in result["detail"], result
        assert time.monotonic() - begun < AT_ONCE


def test_it_is_told_when_a_peer_changes(near):
    """As of a change of the tunnel: by PUT and PATCH of one peer, alone and in a batch."""
    api, tunnel = near
    path = f"/v1/tunnels/near/peers/{keys.new_key().url}"

    def codes(reply):
        return [warning["code"] for warning in reply.get("warnings", [])]
    assert codes(api.expect(201, "PUT", path, {"allowed_ips": []}).json) == ["unroutable"] * 3
    assert codes(api.expect(200, "PATCH", path, {"persistent_keepalive": 9}, content_type="application/merge-patch+json").json) == ["unroutable"] * 3
    operations = [{"method": "PATCH", "path": path, "body": {"persistent_keepalive": 8}}, {"method": "PATCH", "path": "/v1/tunnels/near", "body": {}}]
    results = api.expect(200, "POST", "/v1/batch", {"operations": operations}).json["results"]
    assert [codes(result["body"]) for result in results] == [["unroutable"] * 3] * 2
    # Covered now, but nobody knows where that peer is, so the name server is not asked yet.
    reply = api.expect(200, "PATCH", path, {"allowed_ips": [f"{OUTSIDE}/32"]}, content_type="application/merge-patch+json").json
    assert codes(reply) == ["unroutable"] and "heard from" in reply["warnings"][0]["detail"]


def test_it_is_told_at_the_create(near):
    api, tunnel = near
    warnings = [warning for warning in tunnel["warnings"] if warning["code"] == "unroutable"]
    assert len(warnings) == 3 and all(OUTSIDE in warning["detail"] for warning in warnings)
    patched = api.patch("near", {"spec": {"interface": {"dns": [INNER]}, "forwards": []}})
    assert not patched.get("warnings")


def test_it_is_told_of_every_probe(near):
    api, _ = near
    api.patch("near", {"spec": {"interface": {"dns": [INNER]}, "forwards": []}})

    def told(kind, target):
        reply = api.patch("near", {"spec": {"probe": {"type": kind, "target": target}}})
        return [warning["detail"] for warning in reply.get("warnings", [])]
    targets = {"ping": ("{}",), "tcp": ("{}:80",), "http": ("http://{}/x", "http://{}:81"), "exit_ip": ("http://{}:80/",)}
    for kind, forms in targets.items():
        for form in forms:
            for address, written in ((OUTSIDE, OUTSIDE), (OUTSIDE6, OUTSIDE6 if kind == "ping" else f"[{OUTSIDE6}]")):
                details = told(kind, form.format(written))
                assert len(details) == 1 and address in details[0], (kind, form, details)
            assert told(kind, form.format(INNER)) == []
            if kind != "ping":
                assert told(kind, form.format("a.test")) == []
    assert told("dns", "a.test") == []


@pytest.mark.parametrize("kind, reason", [("unreachable", "has no route"), ("prohibit", "does not permit")])
def test_f7_a_route_that_is_lost_and_returns(home, far, daemon, tunnel, kind, reason):
    """The host refuses what goes to the peer: clients are told at once, and why; the tunnel is used again soon after the route is back."""
    api, proxy, route = daemon.api, proxy_address(tunnel), (kind, f"{far.outer}/32")

    def ask():
        begun = time.monotonic()
        with Connection(proxy, home, timeout=20) as connection:
            status, headers, _ = connection.send(f"GET http://{FAR_INNER}/hello HTTP/1.1\r\nHost: x\r\n\r\n".encode()).read_reply()
        assert time.monotonic() - begun < AT_ONCE
        return status, headers.get("proxy-status", "")
    assert ask()[0] == 200
    home.ip("route", "add", *route)
    try:
        # The first one finds it.
        status, why = ask()
        assert status == 503 and reason in why, why
        status, why = ask()
        assert status == 502 and "destination_ip_unroutable" in why and reason in why, why
        status = api.get("/v1/tunnels/main/status")
        assert status["state"] == "stale" and reason in status["reason"], status
        wait_until(lambda: api.stats("main")["dropped"].get("send", 0) >= 2, what="what was refused is counted")
    finally:
        home.ip("route", "del", *route)
    wait_until(lambda: api.state("main") == "up", timeout=20, what="the route's return is found")
    assert ask()[0] == 200
