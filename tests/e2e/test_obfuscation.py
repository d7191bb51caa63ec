"""Disguised datagrams between two daemons: every kind of obfuscation, in both roles, changed in place, and read from files that users bring. What
a plain peer must be able to ignore meets wireguard-go, and everything meets amneziawg-go where that program is on the PATH."""

import base64
import functools
import hashlib
import http.server
import json
import os
import re
import socket
import tempfile
import threading

import pytest

from harness import keys, tools
from harness.amneziawg import AmneziawgEnd
from harness.clients import Connection, curl, random_file, sha256_of
from harness.command import Command
from harness.farend import INNER, PORT
from harness.relay import Relay
from harness.servers import free_port
from harness.spec import Peer, proxy_address

KEY = base64.b64encode(bytes(range(64, 96))).decode()
BLOCK = os.urandom((1 << 20) - 7)   # no multiple of anything that a transfer may be cut into
MTU = 1360             # with the longest s4 here, over IPv6
RESERVED = [35, 74, 190]
sizes = pytest.mark.parametrize("size", [16 << 20, pytest.param(1 << 30, marks=pytest.mark.long)], ids=["short", "gigabyte"])
VECTORS = os.path.join(os.path.dirname(__file__), "../../../shared/vectors/obfuscation/configurations.json")

SETS = {
    "none": None,
    "lwo": {"type": "lwo"},
    "1.0": {"type": "amneziawg", "jc": 4, "jmin": 10, "jmax": 50, "s1": 86, "s2": 34,
            "h1": "1020325451", "h2": "3288052141", "h3": "1766607858", "h4": "2528465083"},
    "2.0": {"type": "amneziawg", "jc": 5, "jmin": 10, "jmax": 50, "s1": 72, "s2": 56, "s3": 32, "s4": 16, "h1": "134567-245678",
            "h2": "3456789-4567890", "h3": "56789012-67890123", "h4": "456789012-567890123", "i1": "<r 2><b 0x8580><t>"},
    "3.0": {"type": "amneziawg", "s1": 12, "s2": 31, "s3": 24, "s4": 12, "header_protection_key": KEY, "content_padding_addition": "1-64",
            "rekey_after_time": "100-120"},
    "3.1": {"type": "amneziawg", "s1": 16, "s2": 16, "s3": 16, "s4": 16, "header_protection_key": KEY, "random_trailers": True,
            "disable_cookies": True},
}


def blocks(size):
    for left in range(size, 0, -len(BLOCK)):
        yield BLOCK[:left]


@functools.cache
def digest_of(size):
    digest = hashlib.sha256()
    for block in blocks(size):
        digest.update(block)
    return digest.hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """GET /N sends that many bytes; PUT answers with the SHA-256 of what it got."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        size = int(self.path[1:])
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        for block in blocks(size):
            self.wfile.write(block)

    def do_PUT(self):
        digest, left = hashlib.sha256(), int(self.headers["Content-Length"])
        while left and (data := self.rfile.read1(min(left, 1 << 18))):
            digest.update(data)
            left -= len(data)
        answer = digest.hexdigest().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


class Pair:
    """A daemon with a proxy, and one that forwards the tunnel's port 80 to the server."""

    def __init__(self, make_daemon, server):
        self.near, self.far = make_daemon().start(), make_daemon().start()
        self.near_key, self.far_key, self.port = keys.new_key(), keys.new_key(), free_port(socket.SOCK_DGRAM)
        self.server = server

    def near_document(self, obfuscation, **peer):
        return {"id": "near", "spec": {
            "interface": {"private_key": self.near_key.private, "addresses": ["10.9.0.2"], "obfuscation": obfuscation},
            "peers": [{"public_key": self.far_key.public, "endpoint": f"127.0.0.1:{self.port}", "allowed_ips": ["0.0.0.0/0"], **peer}],
            "proxy": {"listen": ["127.0.0.1:0"]}}}

    def far_document(self, obfuscation, **peer):
        return {"id": "far", "spec": {
            "interface": {"private_key": self.far_key.private, "addresses": ["10.9.0.1"], "listen_port": self.port, "obfuscation": obfuscation},
            "peers": [{"public_key": self.near_key.public, "allowed_ips": ["10.9.0.2"], **peer}],
            "forwards": [{"name": "web", "direction": "inbound", "protocol": "tcp", "listen": "10.9.0.1:80",
                          "target": f"127.0.0.1:{self.server}"}]}}

    def bring_up(self, obfuscation, **peer):
        self.far.api.create(self.far_document(obfuscation, **peer), wait_up=False)
        return self.near.api.create(self.near_document(obfuscation, **peer))


def fetch(connection, size):
    """The digest of what a download brings."""
    connection.send(b"GET http://10.9.0.1/%d HTTP/1.1\r\nHost: 10.9.0.1\r\n\r\n" % size)
    assert connection.read_head()[0] == 200
    digest, left = hashlib.sha256(), size
    while left and (data := connection.read(min(left, 1 << 18))):
        digest.update(data)
        left -= len(data)
    return digest.hexdigest()


def put(connection, size):
    """The digest of what an upload brought."""
    connection.send(b"PUT http://10.9.0.1/ HTTP/1.1\r\nHost: 10.9.0.1\r\nContent-Length: %d\r\n\r\n" % size)
    for block in blocks(size):
        connection.send(block)
    status, _, body = connection.read_reply()
    assert status == 200
    return body.decode()


def passes(connection, size=1 << 20):
    """Bytes go both ways and arrive as they were."""
    return fetch(connection, size) == put(connection, size) == digest_of(size)


@pytest.fixture
def pair(make_daemon, server):
    return Pair(make_daemon, server)


@sizes
@pytest.mark.parametrize("name", SETS)
def test_bytes_pass_both_ways(pair, name, size):
    tunnel = pair.bring_up(SETS[name])
    with Connection(proxy_address(tunnel), timeout=60) as connection:
        assert passes(connection, size)


def test_parameters_at_their_limits(pair):
    """The most junk, the longest texts of signatures, and the longest padding of each message."""
    text = "x" * 1519 + "<b 0x" + "5a" * 1280 + ">"
    obfuscation = {"type": "amneziawg", "jc": 128, "jmin": 1280, "jmax": 1280, "s1": 1132, "s2": 1188, "s3": 1216, "s4": 1248,
                   "h1": "4294967295", "h2": "0", "h3": "4294967294", "h4": "4294967290-4294967293",
                   **{f"i{n}": text + " " * (4096 - len(text)) for n in range(1, 6)},
                   "header_protection_key": KEY, "content_padding_addition": 65535, "random_trailers": True}
    tunnel = pair.bring_up(obfuscation)
    with Connection(proxy_address(tunnel)) as connection:
        assert passes(connection)
    assert pair.far.api.stats("far")["dropped"]["unrecognized"] >= 128 + 5


class WarpEdge(Relay):
    """What is known of WARP: it wants a client's reserved bytes, zeroes them before it looks at the message, and sends them in its own."""

    reserved, others = RESERVED, 0

    def change(self, data, is_to_target):
        if is_to_target:
            self.others += data[1:4] != bytes(self.reserved)
        return data[:1] + (bytes(3) if is_to_target else bytes(self.reserved)) + data[4:]


@pytest.mark.parametrize("obfuscation", [None, {"type": "amneziawg", "rekey_timeout": "5-8"}], ids=["plain", "amneziawg"])
def test_reserved_bytes_pass_both_ways(pair, obfuscation):
    """They are written over the finished message, whose MACs do not cover them."""
    pair.far.api.create(pair.far_document(None), wait_up=False)
    with WarpEdge(pair.port) as edge:
        tunnel = pair.near.api.create(pair.near_document(obfuscation, reserved=RESERVED, endpoint=f"127.0.0.1:{edge.port}"))
        with Connection(proxy_address(tunnel)) as connection:
            assert passes(connection)
            assert edge.others == 0
            edge.reserved = [1, 2, 3]
            peers = [{**tunnel["spec"]["peers"][0], "reserved": edge.reserved}]
            assert pair.near.api.patch("near", {"spec": {"peers": peers}})["applied"] == "in_place"
            edge.others = 0
            assert passes(connection)
        assert edge.others == 0


def test_a_change_is_in_place_and_keeps_a_connection(pair):
    tunnel = pair.bring_up(None)
    with Connection(proxy_address(tunnel)) as connection:
        assert passes(connection)
        for name in ("3.1", "lwo", "2.0", "none"):
            patch = {"spec": {"interface": {"obfuscation": None}}}
            pair.far.api.patch("far", patch)
            pair.near.api.patch("near", patch)
            patch["spec"]["interface"]["obfuscation"] = SETS[name]
            assert pair.far.api.patch("far", patch)["applied"] in ("in_place", "unchanged")
            assert pair.near.api.patch("near", patch)["applied"] in ("in_place", "unchanged")
            assert passes(connection), name


def test_another_configuration_is_counted_as_unrecognized(pair):
    pair.far.api.create(pair.far_document(SETS["2.0"]), wait_up=False)
    pair.near.api.create(pair.near_document(SETS["1.0"]), wait_up=False)
    pair.near.api.wait_state("near", "stale")
    assert pair.far.api.stats("far")["dropped"]["unrecognized"] >= 5
    metrics = pair.far.api.expect(200, "GET", "/metrics").body.decode()
    assert re.search(r'^warren_dropped_packets_total\{.*reason="unrecognized".*\} [1-9]', metrics, re.M), "the dashboard shows it by reason"
    assert pair.far.api.state("far") != "up"


def test_the_key_is_in_no_reply(pair):
    tunnel = pair.near.api.create(pair.near_document(SETS["3.0"]), wait_up=False)
    shown = tunnel["spec"]["interface"]["obfuscation"]
    assert shown["header_protection_key_set"] and "header_protection_key" not in shown
    config = pair.near.api.expect(200, "GET", "/v1/tunnels/near/config").body.decode()
    assert "S1 = 12" in config and KEY not in config
    # A file that we wrote without secrets keeps the key.
    reply = pair.near.api.expect(200, "PUT", "/v1/tunnels/near", config, content_type="text/plain").json
    assert reply["spec"]["interface"]["obfuscation"] == shown
    # One of version 2.0, which has no such key, removes it.
    reply = pair.near.api.expect(200, "PUT", "/v1/tunnels/near", config.replace("# HeaderProtectionKey is left out\n", ""), content_type="text/plain").json
    assert not reply["spec"]["interface"]["obfuscation"]["header_protection_key_set"]
    assert KEY not in pair.near.process.log()


def test_a_file_keeps_what_it_cannot_say(pair):
    """The tools have no key for LWO, which a comment tells: a file without obfuscation leaves it, and one of AmneziaWG replaces it."""
    pair.near.api.create(pair.near_document(SETS["lwo"]), wait_up=False)
    exported = pair.near.api.expect(200, "GET", "/v1/tunnels/near/config").body.decode()
    config = exported.replace("# warren: obfuscation = lwo\n", "")
    assert config != exported

    def put_file(text):
        reply = pair.near.api.expect(200, "PUT", "/v1/tunnels/near", text, content_type="text/plain").json
        return reply["applied"], reply["spec"]["interface"]["obfuscation"]
    assert put_file(exported) == put_file(config) == ("unchanged", SETS["lwo"])
    applied, obfuscation = put_file(config.replace("[Interface]\n", "[Interface]\nJc = 4\nJmax = 70\n"))
    assert applied == "in_place" and obfuscation["type"] == "amneziawg"


def user_files():
    if not os.path.exists(VECTORS):
        return []
    with open(VECTORS, encoding="utf-8") as file:
        return [entry for entry in json.load(file)["files"] if "refused" not in entry]


@pytest.mark.skipif(not user_files(), reason="../shared/vectors/obfuscation is not beside this checkout")
@pytest.mark.parametrize("entry", user_files(), ids=[entry["name"] for entry in user_files()])
def test_files_that_users_bring_come_up(pair, entry):
    """Imported at one daemon, with this far end as its peer; what that daemon exports is imported at the other one's side of it."""
    text = entry["text"]
    for line in text.splitlines():
        key = line.partition("=")[0].strip()
        replacement = {"Endpoint": f"127.0.0.1:{pair.port}", "PublicKey": pair.far_key.public, "PrivateKey": pair.near_key.private}.get(key)
        if replacement:
            text = text.replace(line, f"{key} = {replacement}")
    imported = pair.near.api.expect(201, "POST", "/v1/tunnels?id=near", text, content_type="text/plain").json
    exported = pair.near.api.expect(200, "GET", "/v1/tunnels/near/config?include_secrets=true").body.decode()
    parameters = "".join(f"{line}\n" for line in exported.partition("[Peer]")[0].splitlines()[1:]
                         if not line.startswith(("PrivateKey", "Address", "DNS", "MTU")))
    preshared = [line for line in text.splitlines() if line.startswith("PresharedKey")]
    address = imported["spec"]["interface"]["addresses"][0].partition("/")[0]
    far = (f"[Interface]\nPrivateKey = {pair.far_key.private}\nAddress = 10.99.0.1/32\nListenPort = {pair.port}\n{parameters}"
           f"[Peer]\nPublicKey = {pair.near_key.public}\nAllowedIPs = {address}/32\n" + "".join(f"{line}\n" for line in preshared))
    pair.far.api.expect(201, "POST", "/v1/tunnels?id=far", far, content_type="text/plain")
    pair.near.api.wait_state("near", "up")
    pair.far.api.wait_state("far", "up")


def warnings_of(pair, obfuscation, **peer):
    reply = pair.near.api.expect(201, "POST", "/v1/tunnels?dry_run=true", pair.near_document(obfuscation, **peer))
    return {warning["code"]: warning["detail"] for warning in reply.json.get("warnings", [])}


def test_harmful_parameters_are_told(pair):
    assert warnings_of(pair, {**SETS["3.1"], "s1": 20, "s2": 76}).keys() >= {"equal_sizes", "ambiguous_data"}


@pytest.mark.parametrize("endpoint, headers, family", [("192.0.2.1:51820", 60, "IPv4"), ("[2001:db8::1]:51820", 80, "IPv6"),
                                                       ("vpn.example:51820", 80, "IPv6"), (None, 80, "IPv6")])
def test_an_mtu_that_makes_fragments_is_told(pair, endpoint, headers, family):
    """With the mtu of 1420, as long as the path may be IPv6."""
    fits = 1500 - headers - 1420
    assert "mtu" not in warnings_of(pair, {"type": "amneziawg", "s4": fits}, endpoint=endpoint)
    assert "mtu" not in warnings_of(pair, {"type": "amneziawg"}, endpoint=endpoint)
    told = warnings_of(pair, {"type": "amneziawg", "s4": fits + 1}, endpoint=endpoint)["mtu"]
    assert f"1501 bytes on an {family} path" in told and "mtu is at most 1419" in told


def test_the_command_shows_it(pair, directory):
    """`warren add` takes a file of AmneziaWG, and `warren show` tells all but the key."""
    warren = Command(pair.near.state_dir)
    path = f"{directory}/home.conf"
    with open(path, "w", encoding="ascii") as file:
        file.write(f"[Interface]\nPrivateKey = {pair.near_key.private}\nAddress = 10.9.0.2/32\nJc = 4\nJmin = 40\nJmax = 70\nI1 = <b 0xce><r 20>\n"
                   f"[Peer]\nPublicKey = {pair.far_key.public}\nAllowedIPs = 0.0.0.0/0\nEndpoint = 127.0.0.1:{pair.port}\nReserved = 35, 74, 190\n")
    warren("add", path)
    shown = warren("show", "home").stdout
    assert re.search(r"^obfuscation +amneziawg, jc=4, jmin=40, jmax=70, i1=<b 0xce><r 20>, header_protection_key_set=false$", shown, re.M), shown
    assert re.search(r"^ +reserved +\[35,74,190\]$", shown, re.M), shown
    pair.near.api.create({**pair.near_document({"type": "lwo"}), "id": "other"}, wait_up=False)
    assert re.search(r"^obfuscation +lwo$", warren("show", "other").stdout, re.M)


# Programs that others run.

@pytest.mark.parametrize("role", ["we-initiate", "they-initiate"])
def test_a_plain_peer_ignores_what_only_announces(home, far, daemon, role):
    """Junk and signature packets before each initiation, as with WARP."""
    obfuscation = {"type": "amneziawg", "jc": 4, "jmin": 40, "jmax": 70, "i1": "<b 0xce000001><r 20>", "rekey_timeout": "5-8"}
    created = _far_tunnel(daemon, far, obfuscation, 1420, role)
    assert curl(home, *_proxied(created), f"http://{INNER}/hello").stdout == f"hello from far end {far.number}\n"
    far.remove_peer(created["key"].public)


def test_reserved_bytes_before_wireguard_go(home, far, daemon):
    with home.entered():
        edge = WarpEdge(PORT, host=far.outer)
    with edge:
        peer = Peer(far, "warp", endpoint=f"127.0.0.1:{edge.port}")
        created = daemon.api.create(peer.document(peer={"reserved": RESERVED}))
        assert curl(home, *_proxied(created), f"http://{INNER}/hello").stdout == f"hello from far end {far.number}\n"
        assert edge.others == 0
    far.remove_peer(peer.key.public)


@pytest.fixture(scope="module")
def amneziawg(home, session_directory, request):
    """A far end with the real program and the parameters of a set."""
    if not tools.path("amneziawg-go"):
        pytest.skip("amneziawg-go is not on the PATH, and no package registry has it")
    obfuscation = {"type": "amneziawg", **(SETS[request.param] or {})}
    number = 10 + list(SETS).index(request.param)
    path = tempfile.mkdtemp(dir=session_directory)
    end = AmneziawgEnd(home, number, path, obfuscation, MTU)
    end.start_nginx()
    yield end
    end.close()


def _far_tunnel(daemon, end, obfuscation, mtu, role):
    """A tunnel to the far end that is up."""
    peer = Peer(end, "disguised", register=False)
    document = peer.document(interface={"obfuscation": obfuscation, "mtu": mtu})
    if role == "we-initiate":
        peer.register()
        created = daemon.api.create(document)
    else:
        document["spec"]["peers"][0]["endpoint"] = None
        created = daemon.api.create(document, wait_up=False)
        peer.register(endpoint=f"{end.home_outer}:{created['status']['udp_port']}", keepalive=25)
        daemon.api.wait_state("disguised", "up")
    return {**created, "key": peer.key}


def _proxied(tunnel):
    return "-f", "-x", "http://{}:{}".format(*proxy_address(tunnel))


@sizes
@pytest.mark.parametrize("role", ["we-initiate", "they-initiate"])
@pytest.mark.parametrize("amneziawg", [name for name in SETS if name != "lwo"], indirect=True)
def test_the_real_program(home, amneziawg, daemon, directory, role, size):
    """Bytes both ways with equal hashes, on one session and on the next."""
    created = _far_tunnel(daemon, amneziawg, amneziawg.obfuscation, MTU, role)
    digest = random_file(amneziawg.path("large"), size)
    curl(home, *_proxied(created), "-o", f"{directory}/large", f"http://{INNER}/large", timeout=600)
    assert sha256_of(f"{directory}/large") == digest
    daemon.api.expect(200, "POST", "/v1/tunnels/disguised/actions/reconnect")
    curl(home, *_proxied(created), "-T", amneziawg.path("large"), f"http://{INNER}/put/large", timeout=600)
    assert sha256_of(amneziawg.path("put/large")) == digest
    amneziawg.remove_peer(created["key"].public)
