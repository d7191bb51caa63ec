"""Files as people have them: whatever wg-quick and wg take is taken. Their verdict stands beside ours in one table."""

import os
import shutil
import subprocess

import pytest

from harness.clients import Connection
from harness.daemon import Daemon
from harness.spec import proxy_address

KEY = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
PEER = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
INTERFACE = f"[Interface]\nPrivateKey = {KEY}\nAddress = 10.2.0.2/32\n"
SECTION = f"{INTERFACE}[Peer]\nPublicKey = {PEER}\n"

# What stands in the file, what the tools say, what we say. Where they differ, a comment says why.
FILES = [
    (INTERFACE + "DNS = 1.1.1.1,", True, True),
    (INTERFACE + "DNS = 1.1.1.1 9.9.9.9", True, True),
    (INTERFACE + "DNS =", True, True),
    (INTERFACE + "DNS = 10.2.0.1, ~.", True, True),
    (INTERFACE + "DNS = 10.2.0.1 .lan ~corp -x", True, True),
    (INTERFACE + "DNS = 10.2.0.1 b\u00fccher.example", True, True),
    (INTERFACE + "MTU =", True, True),
    (INTERFACE + "MTU = 01400", True, True),
    (INTERFACE + "Address = fd00::1 fd00::2/64", True, True),
    (INTERFACE + "Address = fd00::1,", True, True),
    (INTERFACE + "Address =", True, True),
    (INTERFACE + "ListenPort = 051820", True, True),
    (INTERFACE + "ListenPort = domain", True, True),
    (INTERFACE + "Listen Port = 5 1820", True, True),
    (INTERFACE + "ListenPort =", False, True),  # nothing else can be meant
    (INTERFACE + "ListenPort = no-such-service", False, False),
    (INTERFACE + "Colour = blue", False, False),
    (INTERFACE + "nonsense", False, False),
    (INTERFACE + "; a comment", False, False),
    (INTERFACE + "# a comment = x\nPostUp = a; b # c\nTable = off\nFwMark = off\nSaveConfig = false", True, True),
    (f"[interface]\nprivatekey = {KEY[:9]} {KEY[9:]}\naddress=10.2.0.2", True, True),
    ("[Interface]\nAddress = 10.2.0.2\nPrivateKey =", False, False),
    ("[Wires]", False, False),
    (f"PrivateKey = {KEY}\n[Interface]\nAddress = 10.2.0.2", False, False),
    (f"\ufeff{INTERFACE}", False, True),  # editors of other systems write one
    (INTERFACE.replace("\n", "\r\n"), True, True),
    (SECTION + "Endpoint = 192.0.2.1:51820", True, True),
    (SECTION + "Endpoint = 192.0.2.1:051820", True, True),
    (SECTION + "Endpoint = 192.0.2.1 : 51820", True, True),
    (SECTION + "Endpoint = 192.0.2.1:domain", True, True),
    (SECTION + "Endpoint = 2001:db8::1:51820", True, True),
    (SECTION + "Endpoint = [2001:db8::1]:51820", True, True),
    (SECTION + "Endpoint = [ 2001:db8::1 ] : 51820", True, True),
    (SECTION + "Endpoint = [192.0.2.1]:51820", True, True),
    (SECTION + "Endpoint =", False, True),  # nothing else can be meant
    (SECTION + "Endpoint = 192.0.2.1", False, False),
    (SECTION + "Endpoint = [2001:db8::1]51820", False, False),
    (SECTION + "Endpoint = 192.0.2.1:", False, False),
    (SECTION + "Endpoint = 192.0.2.1:no-such-service", False, False),
    (SECTION + "Endpoint = 192.0.2.1:0", True, False),  # nothing can be sent to it
    (SECTION + "AllowedIPs =", False, True),  # our own writer's word for none
    (SECTION + "AllowedIPs = 10.0.0.0/08, ::/00 ,192.0.2.1", True, True),
    (SECTION + "AllowedIPs = 10.0.0.1/8\nAllowedIPs = 10.0.0.1/8", True, True),
    (SECTION + "AllowedIPs = 10.0.0.0/8,", False, False),
    (SECTION + "AllowedIPs = 10.0.0.0/8 10.1.0.0/16", False, False),
    (SECTION + "AllowedIPs = 10.0.0.0/33", False, False),
    (SECTION + "PersistentKeepalive = off", True, True),
    (SECTION + "PersistentKeepalive = 0025", True, True),
    (SECTION + "PersistentKeepalive =", False, True),  # nothing else can be meant
    (SECTION + "PersistentKeepalive = on", False, False),
    (SECTION + "PersistentKeepalive = 65536", False, False),
    (SECTION + "PresharedKey =", False, False),
    (SECTION + f"[Peer]\nPublicKey = {PEER}\nAllowedIPs = ::/0", True, True),
    (INTERFACE + f"[ Peer ] # one\nPublic Key = {PEER}", True, True),
    (INTERFACE + "[Peer]\nPublicKey =", False, False),
    (INTERFACE + "[Peer]\nEndpoint = 192.0.2.1:1", False, False),
]


@pytest.fixture(scope="module")
def module_daemon(tmp_path_factory):
    daemon = Daemon(str(tmp_path_factory.mktemp("files"))).start()
    yield daemon
    daemon.stop()


def _tools_take(text, directory):
    """wg-quick reads its own keys and leaves the rest to wg, which reads all of it before it looks for the interface."""
    path = os.path.join(directory, "nosuch0.conf")
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text + "\n")
    stripped = subprocess.run(["wg-quick", "strip", path], capture_output=True, timeout=10, check=False)
    if stripped.returncode != 0:
        return False
    with open(path, "wb") as file:
        file.write(stripped.stdout)
    said = subprocess.run(["wg", "setconf", "nosuch0", path], capture_output=True, timeout=30, check=False,
                          env={**os.environ, "WG_ENDPOINT_RESOLUTION_RETRIES": "0"}).stderr
    return b"parsing error" not in said and b"Unrecognized" not in said and b"missing" not in said


@pytest.mark.parametrize("text, tools_take, we_take", FILES)
def test_files_are_taken_as_the_tools_take_them(module_daemon, directory, text, tools_take, we_take):
    reply = module_daemon.api.request("POST", "/v1/tunnels?dry_run=true", (text + "\n").encode(), content_type="text/plain")
    assert (reply.status < 300) == we_take, repr(reply)
    if shutil.which("wg-quick") and os.geteuid() == 0:
        assert _tools_take(text, directory) == tools_take


def test_comments_need_not_be_utf8(module_daemon):
    body = f"# caf\u00e9\n{INTERFACE}".encode("latin-1")
    assert module_daemon.api.request("POST", "/v1/tunnels?dry_run=true", body, content_type="text/plain").status < 300


def test_a_put_file_keeps_what_it_cannot_say(module_daemon):
    """A port that asks for a password goes on asking for it."""
    api = module_daemon.api
    users = [{"username": "u", "password": "p"}]
    api.create({"id": "kept", "labels": {"a": "b"}, "spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.9"]}, "limits": {"connections": 7},
                "proxy": {"listen": ["127.0.0.1:0"], "users": users}}}, wait_up=False)
    reply = api.expect(200, "PUT", "/v1/tunnels/kept?label=c=d", SECTION.encode(), content_type="text/plain").json
    assert reply["spec"]["interface"]["addresses"] == ["10.2.0.2/32"] and len(reply["spec"]["peers"]) == 1
    assert [user["username"] for user in reply["spec"]["proxy"]["users"]] == ["u"]
    assert reply["labels"] == {"a": "b", "c": "d"} and reply["spec"]["limits"]["connections"] == 7
    with Connection(proxy_address(reply)) as connection:
        connection.send(b"GET http://10.2.0.1/ HTTP/1.1\r\nHost: 10.2.0.1\r\n\r\n")
        assert connection.read_reply()[0] == 407
