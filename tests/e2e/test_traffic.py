"""The main job: a tunnel created over the REST API carries real traffic between curl and nginx, DNS included, and nothing leaves outside it."""

import os

import pytest

from harness.capture import Capture
from harness.clients import Connection, Download, curl, curl_status, random_file, sha256_of
from harness.daemon import binary
from harness.farend import INNER, INNER6, NAME
from harness.process import run, wait_until
from harness.spec import Peer, proxy_address


@pytest.fixture
def proxy(tunnel):
    return proxy_address(tunnel)


def _url(proxy, scheme="http"):
    return f"{scheme}://{proxy[0]}:{proxy[1]}"


@pytest.mark.parametrize("words", [
    ["-p", "-x", "http://{}"],
    ["-x", "http://{}"],
    ["--socks5-hostname", "{}"],
], ids=["connect", "absolute", "socks5"])
def test_page_by_name(home, far, proxy, words):
    asked = len(far.queries())
    resolver = open(home.resolver_log).read()
    words = [word.format(f"{proxy[0]}:{proxy[1]}") for word in words]
    assert curl(home, *words, f"http://{NAME}/hello").stdout == "hello from far end 0\n"
    assert any(NAME in line for line in far.queries()[asked:]), "the DNS server behind the tunnel was not asked"
    assert NAME not in open(home.resolver_log).read()[len(resolver):], "the host's resolver was asked"


def test_page_over_tls(home, far, proxy):
    result = curl(home, "-x", _url(proxy), "--cacert", f"{far.directory}/tls.crt", f"https://{NAME}/protocol")
    assert result.stdout == "HTTP/2.0 GET\n"


@pytest.mark.parametrize("target", [f"http://{INNER}/hello", f"http://[{INNER6}]/hello", "http://v6.far.test/hello"])
def test_page_by_address_and_family(home, proxy, target):
    for words in (["-p", "-x", _url(proxy)], ["-x", _url(proxy)], ["--socks5-hostname", f"{proxy[0]}:{proxy[1]}"]):
        assert curl(home, *words, target).stdout == "hello from far end 0\n"


def test_large_download_and_upload(home, far, proxy, directory, transfer_bytes):
    """Transfers in both directions with equal checksums, while host interfaces carry only UDP to the endpoint."""
    digest = random_file(far.path("large"), transfer_bytes)
    foreign = f"not (udp and host {far.outer} and port 51820) and not arp and not icmp6 and not ip6 proto 0"
    with Capture(home, far.home_interface, foreign, directory) as outside, \
            Capture(home, "any", "port 53", directory, name="dns") as names:
        for words in (["-p", "-x", _url(proxy)], ["-x", _url(proxy)], ["--socks5-hostname", f"{proxy[0]}:{proxy[1]}"]):
            download = Download(home, *words, f"http://{NAME}/large")
            assert download.finish() == (0, digest), download.error
            if words[0] == "-p":
                curl(home, *words, "-T", far.path("large"), f"http://{NAME}/put/large", timeout=300)
                assert sha256_of(far.path("put/large")) == digest
    os.unlink(far.path("large"))
    os.unlink(far.path("put/large"))
    assert outside.lines() == []
    assert names.lines() == []


@pytest.mark.parametrize("aead", ["avx512", "avx2", "ipsec-mb", "libsodium"])
def test_each_code_that_encrypts(home, far, make_daemon, directory, aead):
    """32 MB both ways, and the far end is not ours."""
    if run([binary(), "--check", "--state-dir", f"{directory}/checked", "--aead", aead], check=False, timeout=20).returncode != 0:
        pytest.skip(f"this CPU has no {aead}")
    daemon = make_daemon(namespace=home, arguments=("--aead", aead))
    digest = random_file(far.path("coded"), 32 << 20)
    proxy = _url(proxy_address(daemon.start().api.create(Peer(far, aead).document())))
    download = Download(home, "-p", "-x", proxy, f"http://{NAME}/coded")
    assert download.finish() == (0, digest), download.error
    curl(home, "-p", "-x", proxy, "-T", far.path("coded"), f"http://{NAME}/put/coded", timeout=300)
    assert sha256_of(far.path("put/coded")) == digest
    os.unlink(far.path("coded"))


def test_host_keeps_its_routes(home, far, daemon):
    """A tunnel makes no device, route or rule on the host."""
    def state():
        return home.ip("link"), home.ip("route", "show", "table", "all"), home.ip("rule")
    before = state()
    peer = Peer(far, "routes")
    created = daemon.api.create(peer.document())
    curl(home, "-x", _url(proxy_address(created)), f"http://{INNER}/hello")
    assert state() == before


def test_failures_have_their_status(home, far, proxy):
    """Refused, no such name, forbidden: each with its status and its Proxy-Status header (X12)."""
    assert curl_status(home, "-p", "-x", _url(proxy), f"http://{INNER}:9/")[1] == 502
    assert curl_status(home, "-x", _url(proxy), f"http://{INNER}:9/")[0] == 502
    assert curl_status(home, "-x", _url(proxy), "http://absent.far.test/")[0] == 502
    assert curl_status(home, "-x", _url(proxy), "http://127.0.0.1/", "--noproxy", "")[0] == 403
    assert curl_status(home, "-x", _url(proxy), "http://loopback.far.test/")[0] == 403
    with Connection(proxy, home) as connection:
        status, headers = connection.http_connect(f"{INNER}:9")
        assert (status, "proxy-status" in headers) == (502, True)
    with Connection(proxy, home) as connection:
        assert connection.socks5_connect(INNER, 9) == 5
    with Connection(proxy, home) as connection:
        assert connection.socks5_connect("127.0.0.1", 80) == 2


def test_statistics_count_the_payload(home, far, daemon, proxy):
    size = 3 << 20
    random_file(far.path("counted"), size)
    assert Download(home, "-p", "-x", _url(proxy), f"http://{INNER}/counted").finish()[0] == 0
    wait_until(lambda: daemon.api.stats("main")["wire_bytes_received"] > size, timeout=10, what="the worker's counters are published")
    stats = daemon.api.stats("main")
    assert size <= stats["bytes_received"] <= size * 1.01 + 4096
    assert stats["wire_bytes_received"] < size * 1.2
    assert stats["connections_total"] == 1 and stats["connections_open"] == 0
    assert stats["handshakes"] == 1 and stats["last_handshake_age"] < 60


def test_a_peers_bytes_are_what_the_peer_counts(home, far, daemon, tunnel, proxy):
    """One of a few small transfers crosses a busy machine without a lost datagram."""
    public = tunnel["status"]["public_key"]

    def differences():
        peer, known = daemon.api.stats("main")["peers"][0], far.peer(public)
        return peer["bytes_received"] - known["sent"], peer["bytes_sent"] - known["received"]
    random_file(far.path("few"), 200000)
    for _ in range(5):
        before = differences()
        assert Download(home, "-p", "-x", _url(proxy), f"http://{INNER}/few").finish()[0] == 0
        try:
            wait_until(lambda: all(abs(now - then) <= 200 for then, now in zip(before, differences())), timeout=2, what="both count the same")
            return
        except AssertionError:
            continue   # a datagram was lost
    raise AssertionError(f"the two ends differ: {before}, {differences()}")


def test_down_tunnel_answers_at_once(home, daemon, far):
    """A tunnel whose peer never answers: 503 with a reason, SOCKS 1 or 4, after two unanswered initiations, never around the tunnel."""
    peer = Peer(far, "nobody", register=False)
    created = daemon.api.create(peer.document(), wait_up=False)
    with Connection(proxy_address(created), home, timeout=20) as connection:
        status, headers = connection.http_connect(f"{INNER}:80")
        assert status == 503 and headers["proxy-status"]
    with Connection(proxy_address(created), home, timeout=2) as connection:
        assert connection.http_connect(f"{INNER}:80")[0] == 503
    with Connection(proxy_address(created), home, timeout=2) as connection:
        assert connection.socks5_connect(INNER, 80) in (1, 4)
    reply = daemon.api.request("POST", "/v1/tunnels?wait=up&timeout=1", Peer(far, "nobody2", register=False).document())
    assert (reply.status, reply.code, reply.json["tunnel"]["id"]) == (504, "handshake_timeout", "nobody2")
    assert daemon.api.get("/v1/tunnels/nobody2")["id"] == "nobody2"


def test_endpoint_by_name_and_over_ipv6(home, far, daemon):
    """The host's resolver is asked for the endpoint, and never for a client's target."""
    for id, endpoint in (("by-name", "peer0.test:51820"), ("by-ipv6", f"[{far.outer6}]:51820")):
        created = daemon.api.create(Peer(far, id, endpoint=endpoint).document())
        assert curl(home, "-x", _url(proxy_address(created)), f"http://{NAME}/hello").stdout == "hello from far end 0\n"
    log = open(home.resolver_log).read()
    assert "peer0.test" in log and "far.test" not in log


def test_wg_quick_file_as_body(home, far, daemon):
    """The file a provider hands out, posted as it is."""
    peer = Peer(far, "quick", preshared=True)
    text = f"""\ufeff# A provider's file\r
[Interface]\r
PrivateKey = {peer.key.private}\r
Address = {peer.addresses[0]}/32\r
Address = {peer.addresses[1]}/128\r
DNS = 10.77.0.1, far.test\r
Table = off\r
PostUp = iptables -A FORWARD -i %i -j ACCEPT\r
\r
[Peer] # the server\r
PublicKey = {far.public_key}\r
PresharedKey = {peer.preshared_key}\r
AllowedIPs = 0.0.0.0/0\r
AllowedIPs = ::/0\r
Endpoint = peer0.test:51820\r
PersistentKeepalive = 25\r
"""
    reply = daemon.api.expect(201, "POST", "/v1/tunnels?id=quick&label=pool=eu&wait=up&timeout=10", text, content_type="text/plain")
    assert reply.headers["Location"].endswith("/v1/tunnels/quick")
    assert {warning["line"] for warning in reply.json["warnings"]} == {6, 7, 8}
    assert reply.json["labels"] == {"pool": "eu"}
    assert curl(home, "-x", _url(proxy_address(reply.json)), f"http://{NAME}/hello").stdout == "hello from far end 0\n"
    written = daemon.api.expect(200, "GET", "/v1/tunnels/quick/config").body.decode()
    assert far.public_key in written and peer.key.private not in written and peer.preshared_key not in written
    secret = daemon.api.expect(200, "GET", "/v1/tunnels/quick/config?include_secrets=true").body.decode()
    assert peer.key.private in secret and peer.preshared_key in secret


def test_half_close(home, far, proxy):
    """A client that has sent everything and half-closed still gets the response, and the far end sees the FIN."""
    from harness.servers import Server

    def count(sock):
        total = 0
        while data := sock.recv(65536):
            total += len(data)
        sock.sendall(str(total).encode())

    with Server(far.namespace, (INNER, 0), count) as server, Connection(proxy, home) as connection:
        assert connection.http_connect(f"{INNER}:{server.address[1]}")[0] == 200
        connection.send(b"x" * 300000)
        connection.half_close()
        assert connection.read_all() == b"300000"
