"""Two tunnels with the same inner address, to far ends with the same inner addresses and ports: nothing crosses, nothing is lost."""

from harness.clients import Connection, Download, curl, random_file
from harness.farend import INNER, NAME
from harness.process import wait_until
from harness.servers import Server, echo
from harness.spec import Peer, proxy_address

SHARED = ["10.77.200.2", "fd77::200:2"]


def _pair(daemon, far, far2):
    """Tunnels «a» to far and «b» to far2, on one worker when there is but one."""
    peers = [Peer(far, "a", addresses=SHARED), Peer(far2, "b", addresses=SHARED)]
    return [proxy_address(daemon.api.create(peer.document())) for peer in peers]


def _slow(home, proxy, name="large"):
    return Download(home, "-p", "-x", f"http://{proxy[0]}:{proxy[1]}", "--limit-rate", "20M", f"http://{INNER}/{name}")


def test_i1_each_reaches_its_own_far_end(home, make_daemon, far, far2):
    daemon = make_daemon(namespace=home, arguments=["--workers", "1"]).start()
    proxies = _pair(daemon, far, far2)
    for number, proxy in enumerate(proxies):
        for target in (INNER, NAME):
            page = curl(home, "-x", f"http://{proxy[0]}:{proxy[1]}", f"http://{target}/hello").stdout
            assert page == f"hello from far end {number}\n"


def test_i1_deleting_one_leaves_the_others_transfer_whole(home, make_daemon, far, far2):
    """Same inner address, same remote address and port, at the same time, on one worker; then one of them goes."""
    daemon = make_daemon(namespace=home, arguments=["--workers", "1"]).start()
    proxies = _pair(daemon, far, far2)
    digests = [random_file(end.path("large"), 64 << 20) for end in (far, far2)]
    first, second = (_slow(home, proxy) for proxy in proxies)
    wait_until(lambda: first.bytes > 1 << 20 and second.bytes > 1 << 20, what="both transfers run")
    daemon.api.delete("a")
    assert first.finish()[0] != 0, "the deleted tunnel went on"
    code, digest = second.finish()
    assert (code, digest) == (0, digests[1]), second.error


def test_i1_readdressing_one_leaves_the_others_connections(home, make_daemon, far, far2):
    daemon = make_daemon(namespace=home, arguments=["--workers", "1"]).start()
    proxies = _pair(daemon, far, far2)
    with Server(far.namespace, (INNER, 7007), echo), Server(far2.namespace, (INNER, 7007), echo):
        connections = [Connection(proxy, home) for proxy in proxies for _ in range(50)]
        for connection in connections:
            assert connection.http_connect(f"{INNER}:7007")[0] == 200
        reply = daemon.api.patch("a", {"spec": {"interface": {"addresses": ["10.77.200.3"]}}})
        assert reply["applied"] == "restarted"
        for number, connection in enumerate(connections[50:]):
            text = f"still here {number}".encode()
            assert connection.send(text).read(len(text)) == text
        for connection in connections:
            connection.close()
