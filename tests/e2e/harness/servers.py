"""Small servers for a far end, where nginx would hide what a test needs to see or do."""

import contextlib
import itertools
import os
import socket
import struct
import threading


# Below the ports that the kernel gives to connections (ip_local_port_range), and each once: nobody can take one before it is used.
_PORTS = range(10000, 32768)
_next_port = itertools.count(os.getpid())


def free_port(kind=socket.SOCK_STREAM, namespace=None):
    """A port of 127.0.0.1 that nobody has."""
    for number in _next_port:
        port = _PORTS[number % len(_PORTS)]
        with (namespace.socket(socket.AF_INET, kind) if namespace else socket.socket(socket.AF_INET, kind)) as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


class Server:
    """Accepts on (host, port) in a namespace and runs `serve(sock)` in a thread for each connection."""

    def __init__(self, namespace, address, serve):
        self.serve = serve
        self.accepted = 0
        if namespace:
            self.sock = namespace.listen(address)
        else:
            self.sock = socket.create_server(address)
        self.address = self.sock.getsockname()[:2]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _run(self, sock):
        try:
            self.serve(sock)
        except OSError:
            pass
        finally:
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.thread.join(5)


def read_head(sock):
    """What was received up to the end of a request's head or later; empty if the client closed before."""
    head = b""
    while b"\r\n\r\n" not in head:
        if not (data := sock.recv(65536)):
            return b""
        head += data
    return head


def echo(sock):
    while data := sock.recv(65536):
        sock.sendall(data)


class Recorder(Server):
    """Stores every byte received, and answers each connection with `reply` once the head of a request is complete."""

    def __init__(self, namespace, address, reply=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"):
        self.received = []
        self.reply = reply
        self.lock = threading.Lock()
        super().__init__(namespace, address, self._record)

    def _record(self, sock):
        with self.lock:
            index = len(self.received)
            self.received.append(b"")
        answered = False
        sock.settimeout(5)
        while data := sock.recv(65536):
            self.received[index] += data
            if not answered and b"\r\n\r\n" in self.received[index]:
                sock.sendall(self.reply)
                answered = True

    def everything(self):
        return b"".join(self.received)


class UdpEcho:
    """Sends every datagram back."""

    def __init__(self, namespace, address):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.sock = namespace.socket(family, socket.SOCK_DGRAM) if namespace else socket.socket(family, socket.SOCK_DGRAM)
        self.sock.bind(address)
        self.address = self.sock.getsockname()[:2]
        self.sources = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            data, source = self.sock.recvfrom(65536)
            if data == b"stop" and source[0] == self.address[0]:
                return
            self.sources.append(source)
            self.sock.sendto(data, source)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.sendto(b"stop", self.address)
        self.thread.join(5)
        self.sock.close()


def reset(sock):
    """Closes with an RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
