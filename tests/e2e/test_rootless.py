"""No root, no namespace, no TUN: two tunnels of one daemon over loopback, run as an ordinary user if the test is root."""

import os
import shutil
import tempfile

import pytest

from harness import keys
from harness.clients import Connection, Download, curl, random_file
from harness.daemon import binary
from harness.servers import Server, UdpEcho, echo, read_head
from harness.spec import proxy_address

NOBODY = 65534


def _pages(directory):
    """A small page server on loopback: answers each GET with the file «page»."""
    def serve(sock):
        if not read_head(sock):
            return
        with open(f"{directory}/page", "rb") as file:
            body = file.read()
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body))
        sock.sendall(body)
    return Server(None, ("127.0.0.1", 0), serve)


def _documents(target, udp_target):
    """«far» with forwards to `target`, and «near», whose endpoint still lacks the port."""
    far, near = keys.new_key(), keys.new_key()
    return ({"id": "far", "spec": {
        "interface": {"private_key": far.private, "addresses": ["10.99.0.1/32", "fd99::1/128"]},
        "peers": [{"public_key": near.public, "allowed_ips": ["10.99.0.2/32", "fd99::2/128"]}],
        "forwards": [
            {"name": "page", "direction": "inbound", "protocol": "tcp", "listen": "10.99.0.1:80", "target": f"127.0.0.1:{target}"},
            {"name": "page6", "direction": "inbound", "protocol": "tcp", "listen": "[fd99::1]:80", "target": f"127.0.0.1:{target}"},
            {"name": "udp", "direction": "inbound", "protocol": "udp", "listen": "10.99.0.1:7", "target": f"127.0.0.1:{udp_target}"}]}},
        {"id": "near", "spec": {
            "interface": {"private_key": near.private, "addresses": ["10.99.0.2/32", "fd99::2/128"]},
            "peers": [{"public_key": far.public, "allowed_ips": ["0.0.0.0/0", "::/0"]}]}})


@pytest.fixture
def ordinary_daemon(make_daemon, directory):
    """A daemon of an ordinary user without any capability."""
    if os.geteuid() != 0:
        return make_daemon().start()
    copy = tempfile.mkdtemp(prefix="warren-bin-")
    os.chmod(copy, 0o755)
    os.chmod(directory, 0o755)
    os.makedirs(f"{directory}/state")
    os.chown(f"{directory}/state", NOBODY, NOBODY)
    shutil.copy(binary(), f"{copy}/warrend")
    daemon = make_daemon(prefix=["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all",
                                 "--bounding-set=-all", "--no-new-privs"])
    original = daemon.argv
    daemon.argv = lambda: [f"{copy}/warrend" if word == binary() else word for word in original()]
    yield daemon.start()
    shutil.rmtree(copy)


def test_two_tunnels_over_loopback(ordinary_daemon, directory):
    api = ordinary_daemon.api
    digest = random_file(f"{directory}/page", 20 << 20)
    with _pages(directory) as pages, UdpEcho(None, ("127.0.0.1", 0)) as udp:
        far, near = _documents(pages.address[1], udp.address[1])
        port = api.create(far, wait_up=False)["status"]["udp_port"]
        near["spec"]["peers"][0]["endpoint"] = f"127.0.0.1:{port}"
        proxy = proxy_address(api.create(near))
        for target in ("http://10.99.0.1/", "http://[fd99::1]/"):
            for words in (["-x", f"http://{proxy[0]}:{proxy[1]}"], ["-p", "-x", f"http://{proxy[0]}:{proxy[1]}"],
                          ["--socks5-hostname", f"{proxy[0]}:{proxy[1]}"]):
                download = Download(None, "--noproxy", "", *words, target)
                assert download.finish() == (0, digest), download.error
        assert api.get("/v1/tunnels/far")["status"]["state"] == "up"


def test_outbound_and_inbound_forwards(local_daemon):
    """A port of this machine leads through both tunnels to a port of this machine, over TCP and UDP."""
    import socket
    api = local_daemon.api
    with Server(None, ("127.0.0.1", 0), echo) as tcp, UdpEcho(None, ("127.0.0.1", 0)) as udp:
        far, near = _documents(tcp.address[1], udp.address[1])
        near["spec"]["peers"][0]["endpoint"] = f"127.0.0.1:{api.create(far, wait_up=False)['status']['udp_port']}"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        near["spec"]["forwards"] = [
            {"name": "t", "direction": "outbound", "protocol": "tcp", "listen": f"127.0.0.1:{port}", "target": "10.99.0.1:80"},
            {"name": "u", "direction": "outbound", "protocol": "udp", "listen": f"127.0.0.1:{port}", "target": "10.99.0.1:7"}]
        api.create(near)
        with Connection(("127.0.0.1", port)) as connection:
            text = os.urandom(200000)
            connection.send(text)
            assert connection.read(len(text)) == text
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            for size in (0, 1, 1000, 1392):
                sock.sendto(os.urandom(size), ("127.0.0.1", port))
                assert len(sock.recv(65536)) == size


@pytest.mark.parametrize("target", ["api", "localhost", "unix", "proxy"])
def test_own_sockets_are_refused_as_targets(local_daemon, target):
    """A peer behind a tunnel must not get admin rights through a forward to the API."""
    api = local_daemon.api
    first = api.create({"id": "first", "spec": {"interface": {"generate_private_key": True, "addresses": ["10.99.1.1"]}}}, wait_up=False)
    host, port = proxy_address(first)
    api_port = local_daemon.address.rpartition(":")[2]
    place = {"api": local_daemon.address, "localhost": f"LocalHost:{api_port}", "unix": f"unix:{local_daemon.state_dir}/api.sock", "proxy": f"{host}:{port}"}[target]
    reply = api.request("POST", "/v1/tunnels", {"id": "thief", "spec": {
        "interface": {"generate_private_key": True, "addresses": ["10.99.1.2"]},
        "forwards": [{"name": "x", "direction": "inbound", "protocol": "tcp", "listen": "10.99.1.2:80", "target": place}]}})
    assert reply.status == 422 and reply.pointers == ["/spec/forwards/0/target"]


def test_page_of_the_dashboard(local_daemon):
    page = curl(None, "--noproxy", "*", f"http://{local_daemon.address}/")
    assert "<html" in page.stdout.lower()
