"""Interoperability with the WireGuard programs that peers run: packaged and newest wireguard-go, and boringtun."""

import os
import time

import pytest

from harness import clock, keys, tools
from harness.clients import Download, fetch_page, random_file
from harness.farend import INNER, FarEnd
from harness.process import wait_until
from harness.spec import Peer, proxy_address

RECOVERY = 20


# Those that must be compiled first are only in the long run.
@pytest.fixture(scope="module", params=["wireguard-go", pytest.param("wireguard-go-newest", marks=pytest.mark.long),
                                        pytest.param("boringtun", marks=pytest.mark.long)])
def end(request, home, session_directory):
    """A far end with each of the programs."""
    if not tools.path(request.param):
        pytest.skip(f"{request.param} cannot be had here")
    number = 3 + ["wireguard-go", "wireguard-go-newest", "boringtun"].index(request.param)
    path = f"{session_directory}/interop{number}"
    os.makedirs(path)
    end = FarEnd(home, number, path, request.param)
    end.start_nginx()
    yield end
    end.lose(0)
    end.close()


def _page(home, tunnel, **options):
    return fetch_page(home, tunnel, check=False, **{"timeout": 3, **options})


def _download(home, tunnel, name, rate, timeout=60):
    proxy = proxy_address(tunnel)
    return Download(home, "-p", "-x", f"http://{proxy[0]}:{proxy[1]}", "--limit-rate", rate, f"http://{INNER}/{name}", timeout=timeout)


def _recovers(home, tunnel, since):
    """Traffic resumes within the promised time, without intervention except clients that retry."""
    wait_until(lambda: _page(home, tunnel).returncode == 0, timeout=RECOVERY + 5, interval=0.2, what="traffic again")
    took = time.monotonic() - since
    assert took <= RECOVERY, f"traffic came back after {took:.1f} s"
    return took


@pytest.mark.parametrize("preshared", [False, True], ids=["plain", "psk"])
def test_we_initiate(home, end, daemon, preshared):
    created = daemon.api.create(Peer(end, "ours", preshared=preshared).document())
    assert _page(home, created).stdout == f"hello from far end {end.number}\n"


@pytest.mark.parametrize("preshared", [False, True], ids=["plain", "psk"])
def test_they_initiate(home, end, daemon, preshared):
    """Without an endpoint we wait, learn where the peer is from its handshake, and answer its pings."""
    peer = Peer(end, "theirs", preshared=preshared, register=False)
    created = daemon.api.create(peer.document(peer={"endpoint": None}), wait_up=False)
    peer.register(endpoint=f"{end.home_outer}:{created['status']['udp_port']}")
    wait_until(lambda: end.namespace.run("ping", "-c", "1", "-W", "1", peer.addresses[0], check=False).returncode == 0,
               timeout=15, what="our inner address answers")
    assert end.namespace.run("ping", "-c", "3", "-i", "0.2", "-s", "1300", "-W", "2", peer.addresses[1]).returncode == 0
    status = daemon.api.wait_state("theirs", "up")
    assert status["peers"][0]["endpoint"] == end.endpoint
    assert _page(home, created).returncode == 0


def test_wrong_preshared_key(home, end, daemon):
    peer = Peer(end, "wrong", preshared=True)
    document = peer.document(peer={"preshared_key": keys.new_preshared_key()})
    reply = daemon.api.request("POST", "/v1/tunnels?wait=up&timeout=3", document)
    assert reply.status == 504
    daemon.api.patch("wrong", {"spec": {"peers": [{**document["spec"]["peers"][0], "preshared_key": peer.preshared_key}]}})
    daemon.api.wait_state("wrong", "up", timeout=15)


def test_probe(home, end, daemon):
    daemon.api.create(Peer(end, "probed").document())
    reply = daemon.api.expect(200, "POST", "/v1/tunnels/probed/actions/probe", {"type": "ping", "target": INNER, "count": 3}).json
    assert reply["ok"] and (reply["sent"], reply["received"]) == (3, 3)
    assert 0 < reply["rtt_ms"]["min"] <= reply["rtt_ms"]["avg"] <= reply["rtt_ms"]["max"] < 1000
    reply = daemon.api.expect(200, "POST", "/v1/tunnels/probed/actions/probe", {"type": "tcp", "target": f"{INNER}:80"}).json
    assert reply["ok"]
    reply = daemon.api.expect(200, "POST", "/v1/tunnels/probed/actions/probe", {"type": "tcp", "target": f"{INNER}:9"}).json
    assert not reply["ok"] and reply["detail"]
    assert daemon.api.state("probed") == "up"


def test_new_sessions_under_traffic(home, end, daemon):
    """Repeated handshakes during a transfer; no byte is lost."""
    created = daemon.api.create(Peer(end, "rekeyed").document())
    digest = random_file(end.path("rekeyed"), 40 << 20)
    download = _download(home, created, "rekeyed", "10M")
    for _ in range(3):
        bytes = download.bytes
        wait_until(lambda: download.bytes > bytes + (1 << 20), what="the transfer goes on")
        daemon.api.expect(200, "POST", "/v1/tunnels/rekeyed/actions/reconnect")
    assert download.finish() == (0, digest), download.error
    assert daemon.api.stats("rekeyed")["handshakes"] >= 3


@pytest.mark.long
def test_rekeys_crossed(home, end, daemon):
    """A transfer past two rekeys by the protocol's own timers, each way."""
    created = daemon.api.create(Peer(end, "long").document())
    digest = random_file(end.path("long"), 60 << 20)   # longer than two times 120 s at this rate
    download = _download(home, created, "long", "200k", timeout=400)
    code, got = download.finish(400)
    assert (code, got) == (0, digest), download.error
    assert daemon.api.stats("long")["handshakes"] >= 3


def test_s10_peer_moves_under_traffic(home, end, daemon):
    """The far end's address changes: we follow the first authenticated datagram from the new one."""
    created = daemon.api.create(Peer(end, "moved").document())
    digest = random_file(end.path("moved"), 40 << 20)
    download = _download(home, created, "moved", "10M")
    wait_until(lambda: download.bytes > 1 << 20, what="the transfer runs")
    end.move(5)
    try:
        assert download.finish() == (0, digest), download.error
        assert daemon.api.get("/v1/tunnels/moved/status")["peers"][0]["endpoint"] == end.endpoint
    finally:
        end.move(2)


def test_f7_we_move_under_traffic(home, end, daemon):
    """Our own address changes: the peer follows us."""
    peer = Peer(end, "nomad")
    created = daemon.api.create(peer.document())
    digest = random_file(end.path("nomad"), 40 << 20)
    download = _download(home, created, "nomad", "10M")
    wait_until(lambda: download.bytes > 1 << 20, what="the transfer runs")
    end.move_home(6)
    try:
        assert download.finish() == (0, digest), download.error
        assert end.peer(peer.key.public)["endpoint"].startswith(end.home_outer + ":")
    finally:
        end.move_home(1)


@pytest.mark.parametrize("percent", [2, 10, 30])
def test_f6_w35_random_loss(home, end, daemon, percent):
    """Datagram loss in both directions: transfers complete, the tunnel stays up, and works as before once the loss ends."""
    digest = random_file(end.path("lossy"), (256 << 10) // percent)
    created = daemon.api.create(Peer(end, "lossy").document())
    end.lose(percent)
    try:
        download = _download(home, created, "lossy", "100M", timeout=90)
        assert download.finish() == (0, digest), download.error
    finally:
        end.lose(0)
    _recovers(home, created, time.monotonic())
    assert daemon.api.state("lossy") == "up"


def test_handshake_through_loss(home, end, daemon):
    """The first handshake, too, succeeds with 30 % loss in each direction."""
    end.lose(30)
    try:
        daemon.api.create(Peer(end, "stubborn").document(), timeout=60)
    finally:
        end.lose(0)


def test_s10_peer_restarted(home, end, daemon):
    """The far program is killed and restarted, and has lost our session."""
    created = daemon.api.create(Peer(end, "patient").document())
    assert _page(home, created).returncode == 0
    with end.away():
        assert _page(home, created).returncode != 0
    _recovers(home, created, time.monotonic())


def test_s10_peer_away_for_long(home, end, daemon):
    """Down for long enough that we have given up more than once; the first clients after its return find it."""
    if end.implementation != "wireguard-go" and not os.environ.get("WARREN_E2E_LONG"):
        pytest.skip("one program is enough for this in the short form")
    created = daemon.api.create(Peer(end, "away").document())
    with end.away():
        for _ in clock.looks(120 if os.environ.get("WARREN_E2E_LONG") else 20, interval=1):
            _page(home, created, timeout=2)
        wait_until(lambda: "does not answer" in daemon.api.get("/v1/tunnels/away/status")["reason"], what="the tunnel is known to be down")
        assert _page(home, created, timeout=5).returncode not in (0, 28), "a tunnel that is down lets its clients wait"
    _recovers(home, created, time.monotonic())


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_we_restart(home, end, daemon, how):
    created = daemon.api.create(Peer(end, "again").document(proxy={"listen": ["127.0.0.1:18480"]}))
    assert _page(home, created).returncode == 0
    getattr(daemon, how)()
    daemon.start()
    _recovers(home, created, time.monotonic())
