"""Clients of the proxy port: curl, and raw connections for requests that curl would never send."""

import base64
import hashlib
import os
import socket
import struct
import subprocess
import threading

from .farend import INNER
from .process import die_with_parent
from .spec import proxy_address


def curl(namespace, *words, check=True, timeout=60, text=True):
    """curl, silent but with errors shown; in `namespace`, or on this machine if None."""
    argv = ["curl", "-sS", "--max-time", str(timeout), *words]
    if namespace:
        argv = namespace.command(argv)
    result = subprocess.run(argv, capture_output=True, text=text, timeout=timeout + 10,
                            env={key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")})
    if check:
        assert result.returncode == 0, f"{argv}: exit {result.returncode}: {result.stderr}"
    return result


def fetch_page(home, tunnel, **options):
    """The far end's page /hello, through the tunnel's proxy."""
    host, port = proxy_address(tunnel)
    return curl(home, "-f", "-x", f"http://{host}:{port}", f"http://{INNER}/hello", **options)


def curl_status(namespace, *words, **options):
    """The status of the reply, and of the proxy's to CONNECT, as curl saw them."""
    result = curl(namespace, "-o", "/dev/null", "-w", "%{http_code} %{http_connect}", *words, check=False, **options)
    reply, connect = result.stdout.split()
    return int(reply), int(connect)


def sha256_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def random_file(path, size):
    """Random bytes, and their SHA-256."""
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        while size:
            block = os.urandom(min(size, 16 << 20))
            digest.update(block)
            file.write(block)
            size -= len(block)
    return digest.hexdigest()


class Download:
    """curl in the background, its bytes hashed as they arrive; `bytes` counts them."""

    def __init__(self, namespace, *words, timeout=300):
        argv = ["curl", "-sS", "--max-time", str(timeout), *words]
        if namespace:
            argv = namespace.command(argv)
        self.bytes = 0
        self.digest = hashlib.sha256()
        self.popen = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=die_with_parent)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        while block := self.popen.stdout.read1(1 << 20):
            self.digest.update(block)
            self.bytes += len(block)

    def finish(self, timeout=300):
        """curl's exit code and the SHA-256 of the bytes received."""
        self.thread.join(timeout)
        code = self.popen.wait(timeout)
        self.error = self.popen.stderr.read().decode(errors="replace")
        self.popen.stdout.close()
        self.popen.stderr.close()
        return code, self.digest.hexdigest()

    def cancel(self):
        self.popen.kill()
        self.finish()


class Connection:
    """A TCP connection to a proxy port with the small readers that protocols need."""

    def __init__(self, address, namespace=None, timeout=60):
        self.sock = namespace.connect(address, timeout) if namespace else socket.create_connection(address, timeout)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes with an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)
        return self

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def _more(self):
        data = self.sock.recv(65536)
        self.buffer += data
        return data

    def read(self, count):
        """Exactly `count` bytes, or fewer at the end."""
        while len(self.buffer) < count and self._more():
            pass
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def read_until(self, mark):
        """Up to and including `mark`, or everything at the end."""
        while mark not in self.buffer and self._more():
            pass
        end = self.buffer.find(mark)
        end = len(self.buffer) if end < 0 else end + len(mark)
        data, self.buffer = self.buffer[:end], self.buffer[end:]
        return data

    def read_all(self):
        """Until the end; a reset counts as one."""
        try:
            while self._more():
                pass
        except ConnectionResetError:
            pass
        data, self.buffer = self.buffer, b""
        return data

    def is_at_end(self):
        """Whether the other side has closed and sent nothing more."""
        try:
            return not self.buffer and not self._more()
        except ConnectionResetError:
            return True

    def read_head(self):
        """(status, {name: value}) of an HTTP reply."""
        head = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        assert head[0].startswith("HTTP/1."), f"no HTTP reply: {head!r}"
        headers = dict((line.split(":", 1)[0].lower(), line.split(":", 1)[1].strip()) for line in head[1:] if ":" in line)
        return int(head[0].split()[1]), headers

    def read_reply(self):
        """(status, headers, body) of an HTTP reply with a length, chunked, or until the end."""
        status, headers = self.read_head()
        if status in (204, 304) or 100 <= status < 200:
            return status, headers, b""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return status, headers, self._read_chunks()
        if "content-length" in headers:
            return status, headers, self.read(int(headers["content-length"]))
        return status, headers, self.read_all()

    def _read_chunks(self):
        body = b""
        while size := int(self.read_until(b"\r\n").split(b";")[0], 16):
            body += self.read(size)
            self.read(2)
        while self.read_until(b"\r\n") not in (b"\r\n", b""):
            pass
        return body

    def http_connect(self, target, headers="", login=None):
        """CONNECT, with a login NAME:PASSWORD if one is given; (status, {name: value}) of the reply."""
        if login is not None:
            headers += authorization(login)
        self.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{headers}\r\n".encode())
        return self.read_head()

    def socks5_greet(self, methods=b"\0"):
        self.send(b"\5" + bytes([len(methods)]) + methods)
        return self.read(2)

    def socks5_request(self, host, port, command=1):
        """(reply code, bound host, bound port); the whole reply is in `self.reply`."""
        self.send(b"\5" + bytes([command]) + b"\0" + socks5_address(host, port))
        return self.socks5_reply()

    def socks5_reply(self):
        head = self.read(4)
        if len(head) < 4:
            return None, None, None
        length = {1: 4, 4: 16}[head[3]]
        raw = self.read(length + 2)
        self.reply = head + raw
        host = socket.inet_ntop(socket.AF_INET if head[3] == 1 else socket.AF_INET6, raw[:length])
        return head[1], host, struct.unpack("!H", raw[length:])[0]

    def socks5_connect(self, host, port):
        assert self.socks5_greet() == b"\5\0"
        return self.socks5_request(host, port)[0]


def authorization(login):
    """The field that sends the login NAME:PASSWORD, text or bytes, to a proxy."""
    return f"Proxy-Authorization: Basic {base64.b64encode(login.encode() if isinstance(login, str) else login).decode()}\r\n"


def socks5_address(host, port):
    """ATYP, address and port as SOCKS5 writes them."""
    if isinstance(host, bytes):
        return b"\3" + bytes([len(host)]) + host + struct.pack("!H", port)
    for family, kind in ((socket.AF_INET, b"\1"), (socket.AF_INET6, b"\4")):
        try:
            return kind + socket.inet_pton(family, host) + struct.pack("!H", port)
        except OSError:
            pass
    return socks5_address(host.encode(), port)


def is_turned_away(address, timeout):
    """Whether a listener accepts a connection and ends it at once. The reset may come before connect() has returned, which then reports it."""
    try:
        with Connection(address, timeout=timeout) as connection:
            return connection.is_at_end()
    except ConnectionResetError:
        return True
