"""Real clients of the proxy: curl in every mode, wget, git, ssh, WebSocket, SOCKS5 over UDP."""

import base64
import hashlib
import os
import re
import socket
import struct
import subprocess

import pytest

from harness.clients import Connection, curl, curl_status, random_file, sha256_of, socks5_address
from harness.farend import INNER, INNER6, NAME
from harness.process import run, wait_until
from harness.servers import Server, UdpEcho
from harness.spec import Peer, proxy_address

HELLO = "hello from far end 0\n"


@pytest.fixture
def proxy(tunnel):
    return "%s:%d" % proxy_address(tunnel)


@pytest.fixture
def closed(home, far, daemon):
    """A proxy with users."""
    users = [{"username": "ann", "password": "secret"}, {"username": "bob", "password": "pass:word ü"}]
    return "%s:%d" % proxy_address(daemon.api.create(Peer(far, "closed").document(proxy={"users": users})))


@pytest.mark.parametrize("words", [
    ["--socks4", "{}", f"http://{INNER}/hello"],
    ["--socks4a", "{}", f"http://{NAME}/hello"],
    ["--socks5", "{}", f"http://{INNER}/hello"],
    ["--socks5", "{}", f"http://[{INNER6}]/hello"],
    ["--socks5-hostname", "{}", f"http://{NAME}/hello"],
    ["--preproxy", "socks5h://{}", f"http://{NAME}/hello"],
    ["-x", "http://{}", f"http://{NAME}/hello"],
    ["-x", "http://{}", "--http1.0", f"http://{NAME}/hello"],
    ["-x", "http://{}", "--proxy1.0", "{}", f"http://{NAME}/hello"],
    ["-p", "-x", "http://{}", f"http://{NAME}/hello"],
    ["-x", "socks4a://{}", f"http://{NAME}/hello"],
    ["-x", "socks5h://{}", f"http://{NAME}/hello"],
], ids=lambda words: " ".join(words[:-1]))
def test_curl_modes(home, far, proxy, words):
    assert curl(home, *[word.format(proxy) for word in words]).stdout == HELLO


@pytest.mark.parametrize("scheme", ["http", "socks4a", "socks5h"])
def test_curl_over_tls(home, far, proxy, scheme):
    for version, protocol in (("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2.0")):
        result = curl(home, "-x", f"{scheme}://{proxy}", version, "--cacert", f"{far.directory}/tls.crt", f"https://{NAME}/protocol")
        assert result.stdout == f"{protocol} GET\n"


def test_curl_methods(home, far, proxy):
    for method in ("POST", "DELETE", "PATCH", "OPTIONS", "PROPFIND"):
        assert curl(home, "-x", f"http://{proxy}", "-X", method, f"http://{NAME}/protocol").stdout == f"HTTP/1.1 {method}\n"
    assert "200 OK" in curl(home, "-x", f"http://{proxy}", "-I", f"http://{NAME}/hello").stdout


@pytest.mark.parametrize("words", [["-x", "http://{}"], ["-p", "-x", "http://{}"], ["--socks5-hostname", "{}"], ["--socks4a", "{}"]],
                         ids=["absolute", "connect", "socks5", "socks4a"])
def test_upload_and_resume(home, far, proxy, directory, words):
    words = [word.format(proxy) for word in words]
    digest = random_file(f"{directory}/file", 5 << 20)
    for chunked in ([], ["-H", "Transfer-Encoding: chunked"]):
        curl(home, *words, *chunked, "-T", f"{directory}/file", f"http://{NAME}/put/file")
        assert sha256_of(far.path("put/file")) == digest
        os.unlink(far.path("put/file"))
    random_file(far.path("part"), 5 << 20)
    with open(f"{directory}/part", "wb") as file, open(far.path("part"), "rb") as whole:
        file.write(whole.read(1234567))
    curl(home, *words, "-C", "-", "-o", f"{directory}/part", f"http://{NAME}/part")
    assert sha256_of(f"{directory}/part") == sha256_of(far.path("part"))


def test_many_requests_on_one_connection(home, far, proxy):
    result = curl(home, "-x", f"http://{proxy}", "-w", "%{num_connects}\n", "-o", "/dev/null", f"http://{NAME}/hello", "-o", "/dev/null",
                  f"http://{INNER}/hello", "-o", "/dev/null", f"http://{NAME}/absent")
    assert result.stdout.split() == ["1", "0", "0"], "curl had to open a second connection to the proxy"


@pytest.mark.parametrize("words", [["-x", "http://{}"], ["-p", "-x", "http://{}"], ["-x", "socks5h://{}"]], ids=["absolute", "connect", "socks5"])
def test_users(home, far, closed, words):
    words = [word.format(closed) for word in words]
    assert curl(home, *words, "--proxy-user", "ann:secret", f"http://{NAME}/hello").stdout == HELLO
    for credentials in ([], ["--proxy-user", "ann:wrong"], ["--proxy-user", "nobody:secret"], ["--proxy-user", "ann:"]):
        result = curl(home, *words, *credentials, "-f", f"http://{NAME}/hello", check=False)
        assert result.returncode != 0 and result.stdout == ""


def test_users_http_statuses_and_socks4(home, closed):
    assert curl_status(home, "-x", f"http://{closed}", f"http://{NAME}/hello")[0] == 407
    assert curl_status(home, "-p", "-x", f"http://{closed}", f"http://{NAME}/hello")[1] == 407
    assert curl(home, "--socks4a", closed, f"http://{NAME}/hello", check=False).returncode != 0
    headers = curl(home, "-x", f"http://{closed}", "-i", f"http://{NAME}/hello").stdout
    assert re.search(r"(?im)^proxy-authenticate: basic realm=", headers)


def test_wget(home, far, proxy, directory):
    digest = random_file(far.path("wget"), 3 << 20)
    environment = {**os.environ, "http_proxy": f"http://{proxy}", "https_proxy": f"http://{proxy}", "no_proxy": ""}
    home.run("wget", "-q", "-O", f"{directory}/a", f"http://{NAME}/wget", env=environment)
    home.run("wget", "-q", f"--ca-certificate={far.directory}/tls.crt", "-O", f"{directory}/b", f"https://{NAME}/wget", env=environment)
    assert sha256_of(f"{directory}/a") == sha256_of(f"{directory}/b") == digest


@pytest.fixture
def repository(far, directory):
    """A git repository of moderate size, served by nginx."""
    path = f"{directory}/source"
    run(["git", "init", "-q", "-b", "main", path])
    random_file(f"{path}/file", 2 << 20)
    run(["git", "-C", path, "add", "."])
    run(["git", "-C", path, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "one"])
    run(["git", "clone", "-q", "--bare", path, far.path("repository.git")])
    run(["git", "-C", far.path("repository.git"), "update-server-info"])
    yield sha256_of(f"{path}/file")
    run(["rm", "-r", far.path("repository.git")])


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_git_clone(home, far, proxy, repository, directory, scheme):
    for number, url in enumerate((f"http://{NAME}/repository.git", f"https://{NAME}/repository.git")):
        home.run("git", "-c", f"http.proxy={scheme}://{proxy}", "clone", "-q", url, f"{directory}/clone{number}", timeout=60,
                 env={**os.environ, "GIT_SSL_CAINFO": f"{far.directory}/tls.crt"})
        assert sha256_of(f"{directory}/clone{number}/file") == repository


@pytest.fixture
def ssh_server(far, directory):
    """An sshd in the far namespace, with its own keys."""
    if not os.path.exists("/usr/sbin/sshd"):
        pytest.skip("no sshd")
    os.makedirs("/run/sshd", exist_ok=True)
    for name in ("host", "user"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{directory}/{name}"])
    with open(f"{directory}/sshd_config", "w", encoding="ascii") as file:
        file.write(f"Port 2222\nListenAddress {INNER}\nHostKey {directory}/host\nAuthorizedKeysFile {directory}/user.pub\nStrictModes no\n"
                   "UsePAM no\nPermitRootLogin yes\nPidFile none\n")
    process = far.namespace.start(["/usr/sbin/sshd", "-D", "-e", "-f", f"{directory}/sshd_config"], f"{directory}/sshd.log")
    wait_until(lambda: far.answers(2222), what="sshd answers")
    yield ["-p2222", "-i", f"{directory}/user", "-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null", "-oBatchMode=yes",
           "-oLogLevel=ERROR"]
    process.stop()


@pytest.mark.parametrize("kind", ["connect", "5", "4"])
def test_ssh(home, proxy, ssh_server, directory, kind):
    target = INNER if kind == "4" else NAME
    command = ["ssh", *ssh_server, "-o", f"ProxyCommand=nc -X {kind} -x {proxy} %h %p", f"root@{target}"]
    assert home.run(*command, "echo across").stdout == "across\n"
    digest = random_file(f"{directory}/file", 5 << 20)
    with open(f"{directory}/file", "rb") as file:
        result = subprocess.run(home.command([*command, "sha256sum"]), stdin=file, capture_output=True, text=True, timeout=60)
    assert result.stdout.split()[0] == digest


def _websocket(sock):
    """Answers the upgrade, then sends each frame of the client back unmasked."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(65536)
    key = re.search(rb"(?i)sec-websocket-key: (\S+)", head).group(1)
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    while frame := sock.recv(6):
        length, mask = frame[1] & 127, frame[2:6]
        data = b""
        while len(data) < length:
            data += sock.recv(length - len(data))
        sock.sendall(bytes([frame[0], length]) + bytes(byte ^ mask[index % 4] for index, byte in enumerate(data)))


@pytest.mark.parametrize("mode", ["upgrade", "connect", "socks5"])
def test_websocket(home, far, tunnel, mode):
    """Upgrade in an absolute-form request, and inside CONNECT and SOCKS."""
    with Server(far.namespace, (INNER, 0), _websocket) as server, Connection(proxy_address(tunnel), home) as connection:
        authority = f"{INNER}:{server.address[1]}"
        target = f"http://{authority}/chat" if mode == "upgrade" else "/chat"
        if mode == "connect":
            assert connection.http_connect(authority)[0] == 200
        elif mode == "socks5":
            assert connection.socks5_connect(INNER, server.address[1]) == 0
        key = base64.b64encode(os.urandom(16)).decode()
        connection.send(f"GET {target} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
        status, headers = connection.read_head()
        expected = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        assert (status, headers["sec-websocket-accept"]) == (101, expected)
        assert headers["upgrade"].lower() == "websocket"
        for text in (b"hello", b"x" * 100, b""):
            mask = os.urandom(4)
            connection.send(bytes([0x81, 0x80 | len(text)]) + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(text)))
            assert connection.read(2 + len(text)) == bytes([0x81, len(text)]) + text


class Association:
    """SOCKS5 UDP ASSOCIATE: the control connection, and a UDP socket that talks to the relay."""

    def __init__(self, home, proxy, claim=("0.0.0.0", 0)):
        self.control = Connection(proxy, home)
        assert self.control.socks5_greet() == b"\5\0"
        self.code, host, port = self.control.socks5_request(*claim, command=3)
        self.relay = (host, port)
        self.sock = home.socket(kind=socket.SOCK_DGRAM)
        self.sock.bind((proxy[0], 0))
        self.sock.settimeout(30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()
        self.control.close()

    def send(self, host, port, data, fragment=0, reserved=b"\0\0"):
        self.sock.sendto(reserved + bytes([fragment]) + socks5_address(host, port) + data, self.relay)

    def receive(self):
        """(host, port, data) of the next datagram."""
        datagram = self.sock.recv(65536)
        assert datagram[:3] == b"\0\0\0"
        length = {1: 4, 4: 16}[datagram[3]]
        host = socket.inet_ntop(socket.AF_INET if length == 4 else socket.AF_INET6, datagram[4:4 + length])
        return host, struct.unpack("!H", datagram[4 + length:6 + length])[0], datagram[6 + length:]

    def hears_nothing(self, seconds=0.5):
        self.sock.settimeout(seconds)
        try:
            self.sock.recv(65536)
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(30)
        return False


def test_socks5_udp(home, far, tunnel):
    """Datagrams to addresses of both families and to names; the relay listens only on the address that the client uses."""
    proxy = proxy_address(tunnel)
    with UdpEcho(far.namespace, (INNER, 7100)), UdpEcho(far.namespace, (INNER6, 7100)), Association(home, proxy) as association:
        assert association.code == 0 and association.relay[0] == proxy[0]
        for host in (INNER, INNER6, NAME, "v6.far.test"):
            for size in (0, 1, 500, 1300, 4000):
                data = os.urandom(size)
                association.send(host, 7100, data)
                source, port, got = association.receive()
                assert (port, got) == (7100, data) and source in (INNER, INNER6)


@pytest.mark.parametrize("claim", [(INNER, 7100), (INNER6, 7100), ("10.9.8.7", 1234), (b"far.test", 7100), (b"", 0), (b"", 9), (b"a b", 1), ("::", 0)],
                         ids=["target", "target6", "nat", "name", "empty", "empty-with-port", "bad-name", "zero6"])
def test_socks5_udp_claims_that_say_nothing(home, far, tunnel, claim):
    """The first datagram from the client's address fixes the source; datagrams from others are dropped and counted."""
    proxy = proxy_address(tunnel)
    with UdpEcho(far.namespace, (INNER, 7100)), Association(home, proxy, claim) as association:
        assert association.code == 0
        association.send(INNER, 7100, b"mine")
        assert association.receive() == (INNER, 7100, b"mine")


def test_socks5_udp_drops_are_counted(home, daemon, tunnel):
    with Association(home, proxy_address(tunnel)) as association, home.socket(kind=socket.SOCK_DGRAM) as stranger:
        association.send("127.0.0.1", 7100, b"forbidden")
        wait_until(lambda: daemon.api.stats(tunnel["id"])["dropped"].get("refused") == 1, what="the forbidden one is counted")
        stranger.bind((proxy_address(tunnel)[0], 0))
        stranger.sendto(b"\0\0\0" + socks5_address(INNER, 7100) + b"theirs", association.relay)
        wait_until(lambda: daemon.api.stats(tunnel["id"])["dropped"].get("stranger") == 1, what="the stranger's is counted")


def test_socks5_udp_real_dns(home, far, tunnel):
    """A DNS query over the relay, answered by the server behind the tunnel."""
    with Association(home, proxy_address(tunnel)) as association:
        question = b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + b"\3www\3far\4test\0\0\1\0\1"
        association.send(INNER, 53, question)
        _, _, answer = association.receive()
        assert answer[:2] == b"\x12\x34" and socket.inet_aton(INNER) in answer


def test_socks5_udp_only_its_own_client(home, far, tunnel):
    """Others cannot use the relay, fragments and forbidden targets are dropped, and it ends with its control connection."""
    proxy = proxy_address(tunnel)
    with UdpEcho(far.namespace, (INNER, 7100)) as server, Association(home, proxy) as association:
        association.send(INNER, 7100, b"mine")
        assert association.receive() == (INNER, 7100, b"mine")
        with home.socket(kind=socket.SOCK_DGRAM) as stranger:
            stranger.bind((proxy[0], 0))
            stranger.settimeout(0.5)
            stranger.sendto(b"\0\0\0" + socks5_address(INNER, 7100) + b"theirs", association.relay)
            with pytest.raises(TimeoutError):
                stranger.recv(100)
        association.send(INNER, 7100, b"fragment", fragment=1)
        association.send("127.0.0.1", 7100, b"loopback")
        association.send("169.254.169.254", 7100, b"metadata")
        association.sock.sendto(b"", association.relay)
        association.sock.sendto(b"\0\0\0\3\xffshort", association.relay)
        assert association.hears_nothing()
        assert len(server.sources) == 1
        association.control.close()
        association.sock.connect(association.relay)

        def refused():
            try:
                association.sock.send(b"\0\0\0" + socks5_address(INNER, 7100) + b"late")
                association.sock.settimeout(0.1)
                association.sock.recv(100)
            except ConnectionRefusedError:
                return True
            except TimeoutError:
                return False
            return False
        wait_until(refused, what="the relay is closed")


def test_several_listeners(home, far, daemon):
    """IPv4, IPv6 and a unix socket at the same time."""
    path = f"{daemon.state_dir}/sockets/proxy.sock"
    created = daemon.api.create(Peer(far, "many").document(proxy={"listen": ["127.0.0.1:0", "[::1]:0", f"unix:{path}"]}))
    listen = created["status"]["listen"]
    assert listen[1].startswith("[::1]:") and listen[2] == f"unix:{path}"
    for index in (0, 1):
        assert curl(home, "-x", f"http://{listen[index]}", f"http://{NAME}/hello").stdout == HELLO
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(f"GET http://{NAME}/hello HTTP/1.0\r\n\r\n".encode())
        answer = b""
        while data := sock.recv(65536):
            answer += data
    assert answer.endswith(HELLO.encode())
    daemon.api.delete("many")
    assert not os.path.exists(path)


def test_protocols_can_be_switched_off(home, far, daemon):
    created = daemon.api.create(Peer(far, "only").document(proxy={"protocols": ["socks5"]}))
    proxy = "%s:%d" % proxy_address(created)
    assert curl(home, "-x", f"socks5h://{proxy}", f"http://{NAME}/hello").stdout == HELLO
    assert curl(home, "-x", f"http://{proxy}", "-f", f"http://{NAME}/hello", check=False).returncode != 0
    assert curl(home, "--socks4a", proxy, f"http://{NAME}/hello", check=False).returncode != 0
