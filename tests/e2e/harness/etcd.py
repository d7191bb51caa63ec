"""etcd: members of a cluster, a double of its JSON gateway, and the program that drives warren's client of it."""

import base64
import contextlib
import json
import os
import platform
import queue
import signal
import socket
import ssl
import subprocess
import threading
import urllib.request

from . import tools
from .daemon import binary
from .process import Process, die_with_parent, wait_until
from .servers import Server, free_port


def program():
    """Its path, or None if it is missing."""
    return tools.packaged("etcd", "etcd")


def base64_of(text):
    return base64.b64encode(text.encode()).decode()


def text_of(encoded):
    return base64.b64decode(encoded).decode()


class Client:
    """The program tests/fleet/etcd_driver.c, which says what it is told."""

    def __init__(self, urls, environment=None):
        path = os.path.join(os.path.dirname(binary()), "tests", "etcd_driver")
        self.popen = subprocess.Popen([path, "/w/", *urls], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent,
                                      env={**os.environ, **(environment or {})})
        self.told = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.popen.stdout:
            self.told.put(json.loads(line))

    def ask(self, line):
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()

    def next(self, timeout=60):
        return self.told.get(timeout=timeout)

    def reply(self, line, timeout=60):
        """Asks, and returns the reply with what was listed before it. Nothing else may be told."""
        self.ask(line)
        listed = []
        while True:
            told = self.next(timeout)
            if "reply" in told:
                assert told["reply"] == line.split()[0]
                return {**told, "listed": listed}
            listed.append(told["listed"])

    def close(self):
        """What it ends with; everything has been freed and the loop was empty when it is 0."""
        self.popen.stdin.close()
        code = self.popen.wait(10)
        self.reader.join(10)
        return code

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        code = self.close()
        if kind is None:
            assert code == 0


class Request:
    """What a gateway was asked, and the connection to answer on."""

    def __init__(self, path, headers, body, connection):
        self.path, self.headers, self.body, self.connection = path, headers, body, connection

    def answer(self, body, status=200):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)

    def begin_stream(self):
        self.connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")

    def chunk(self, data):
        self.connection.sendall(f"{len(data):x}\r\n".encode() + data + b"\r\n")


class Gateway(Server):
    """A double of a member's gateway: calls `answer(request)` for each request, each connection in a thread of its own."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []
        super().__init__(None, ("127.0.0.1", 0), self._serve)
        self.url = f"http://127.0.0.1:{self.address[1]}"

    def _serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection.makefile("rb") as stream:
            while (request := self._read(connection, stream)) is not None:
                self.asked.append(request)
                self.answer(request)

    @staticmethod
    def _read(connection, stream):
        start = stream.readline().decode().split()
        if not start:
            return None
        assert start[0] == "POST" and start[2] == "HTTP/1.1"
        headers = {}
        while (line := stream.readline().decode().strip()) != "":
            name, value = line.split(": ", 1)
            headers[name.lower()] = value
        return Request(start[1], headers, json.loads(stream.read(int(headers["content-length"]))), connection)


class Member:
    """A member of a cluster. `tls` is (certificate, key) of its clients' side, `client_ca` whose certificates clients need; `quota` in bytes. In a
    namespace it has the address `host` there, and etcd's own ports."""

    def __init__(self, name, directory, tls=None, client_ca=None, quota=None, namespace=None, host="127.0.0.1"):
        scheme = "https" if tls else "http"
        ports = (2379, 2380) if namespace else (free_port(), free_port())
        self.name, self.directory, self.tls, self.client_ca, self.quota, self.namespace = name, directory, tls, client_ca, quota, namespace
        self.url, self.peer_url = f"{scheme}://{host}:{ports[0]}", f"http://{host}:{ports[1]}"
        self.process = None

    def start(self, cluster):
        argv = [program(), "--name", self.name, "--data-dir", f"{self.directory}/{self.name}", "--logger", "zap",
                "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
                "--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url,
                "--initial-cluster", ",".join(f"{member.name}={member.peer_url}" for member in cluster)]
        if self.quota:
            argv += ["--quota-backend-bytes", str(self.quota)]
        if self.tls:
            argv += ["--cert-file", self.tls[0], "--key-file", self.tls[1]]
        if self.client_ca:
            argv += ["--client-cert-auth", "--trusted-ca-file", self.client_ca]
        unsupported = {"ETCD_UNSUPPORTED_ARCH": "arm64"} if platform.machine() == "aarch64" else {}
        argv = self.namespace.command(argv) if self.namespace else argv
        self.process = Process(argv, f"{self.directory}/{self.name}.log", name="etcd", environment=unsupported)

    def call(self, path, body, token=None):
        """What its gateway answers; urllib.error.HTTPError for another status than 200."""
        with self.opened(path, body, token) as answer:
            return json.load(answer)

    def opened(self, path, body, token=None, timeout=5):
        """The answer, to read from."""
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"Authorization": token} if token else {})
        trust = None
        if self.tls:
            trust = ssl.create_default_context(cafile=self.tls[0])
            if self.client_ca:
                trust.load_cert_chain(*self.tls)
        with self.namespace.entered() if self.namespace else contextlib.nullcontext():
            return urllib.request.urlopen(request, timeout=timeout, context=trust)

    def is_ready(self):
        try:
            return self.call("/v3/kv/range", {"key": base64_of("/ready")})
        except OSError:
            return None


class Cluster:
    def __init__(self, directory, count=3, members=None, **options):
        self.members = members or [Member(f"m{i}", directory, **options) for i in range(count)]

    def __enter__(self):
        for member in self.members:
            member.start(self.members)
        try:
            wait_until(self._is_ready, timeout=60, what="a cluster of etcd")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _is_ready(self):
        for member in self.members:
            assert member.process.is_running(), f"{member.name} of etcd has ended: {member.process.log()[-2000:]}"
        return all(member.is_ready() for member in self.members)

    def __exit__(self, *_):
        for member in self.members:
            member.process.stop(number=signal.SIGKILL)

    @property
    def urls(self):
        return [member.url for member in self.members]
