"""What people do wrong, and whether the answer says what to do."""

import os
import socket
import subprocess
import time

import pytest

from harness import keys
from harness.certificates import make_certificate
from harness.clients import curl
from harness.daemon import binary
from harness.process import wait_until


def test_a_port_that_is_taken_is_told_at_once(make_daemon):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        daemon = make_daemon(listen=address)
        began = time.monotonic()
        daemon.start(wait=False)
        wait_until(lambda: f"{address} is in use: trying for up to 5 s" in daemon.process.log(), what="it is told")
        assert time.monotonic() - began < 4
        assert daemon.process.wait(15) == 1
        assert "stop the program that listens there, or give another --listen" in daemon.process.log()


def test_a_wgquick_file_that_curl_has_joined(local_daemon, directory):
    with open(f"{directory}/a.conf", "w", encoding="ascii") as file:
        file.write(f"[Interface]\nPrivateKey = {keys.new_key().private}\nAddress = 10.2.0.2\n")
    sent = curl(None, "--noproxy", "*", "--unix-socket", f"{local_daemon.state_dir}/api.sock", "-d", f"@{directory}/a.conf", "-H",
                "Content-Type: text/plain", "http://localhost/v1/tunnels")
    assert "curl -d removes them; send it with --data-binary" in sent.stdout


def test_a_scope_that_is_missing_is_named(local_daemon):
    token = local_daemon.api.expect(201, "POST", "/v1/tokens", {"name": "r", "scopes": ["read"]}).json["token"]
    reply = local_daemon.tcp_api(token).request("DELETE", "/v1/tunnels")
    assert reply.status == 403 and "needs the scope write; the token has read" in reply.json["detail"]


def test_an_endpoint_without_a_port(local_daemon):
    document = {"spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]},
                         "peers": [{"public_key": keys.new_key().public, "endpoint": "vpn.example"}]}}
    reply = local_daemon.api.request("POST", "/v1/tunnels", document)
    assert reply.status == 422
    assert [(fault["pointer"], fault["detail"]) for fault in reply.json["errors"]] == [
        ("/spec/peers/0/endpoint", "The port is missing: this must be HOST:PORT.")]


@pytest.mark.parametrize("option", ["--tls-cert", "--tls-key"])
def test_a_file_that_cannot_be_read_is_told_with_its_option(directory, option):
    files = {"--tls-cert": "/dev/null", "--tls-key": "/dev/null", option: f"{directory}/missing"}
    if option == "--tls-key":
        make_certificate(f"{directory}/cert.pem", f"{directory}/key.pem", "w")
        files["--tls-cert"] = f"{directory}/cert.pem"
    done = subprocess.run([binary(), "--state-dir", f"{directory}/state", "--listen", "127.0.0.1:0", *sum(map(list, files.items()), [])],
                          capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1 and f"{option} {directory}/missing cannot be read: No such file or directory" in done.stderr


@pytest.mark.parametrize("blocks, text", [(1000, "cannot create STATE/state.db: the disk is full; free some space and start again"),
                                          (55, "cannot use STATE/state.db: the disk is full; free some space and start again")])
def test_a_full_disk_at_the_start(directory, blocks, text):
    """In a mount namespace of its own: a file system of 256 KiB, in which something else leaves no room, or too little."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode != 0:
        pytest.skip("mounting needs root")
    script = f"""mount -t tmpfs -o size=256k tmpfs {directory} && cd {directory}
        dd if=/dev/zero of=fill bs=4k count={blocks} 2>/dev/null
        exec timeout 10 {os.path.abspath(binary())} --state-dir {directory}/state --listen 127.0.0.1:0 --workers 1"""
    done = subprocess.run(["unshare", "-m", "bash", "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1 and text.replace("STATE", f"{directory}/state") in done.stderr, done
