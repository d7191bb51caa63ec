"""High load on one tunnel: 64 transfers of a gigabyte by each protocol, and 10,000 connections."""

import asyncio
import hashlib
import os
import resource
import sys

import pytest

from harness.clients import Download
from harness.daemon import is_sanitized
from harness.loop import INNER, Ends, create_pair
from harness.process import Process, wait_until
from harness.servers import Server
from harness.spec import proxy_address

TRANSFERS = 64
CONNECTIONS = 10000
AT_ONCE = 500   # being opened at a time, because queues are finite
MODES = {"connect": ["-p", "-x", "http://{}"], "absolute": ["-x", "http://{}"], "socks5": ["--socks5-hostname", "{}"]}


@pytest.fixture(scope="module")
def block():
    return os.urandom(1 << 20)


def _sender(block, size):
    """A server that answers with `size` bytes, one block again and again."""
    def answer(sock):
        sock.settimeout(600)
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(65536)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % size)
        for _ in range(size // len(block)):
            sock.sendall(block)
    return Server(None, ("127.0.0.1", 0), answer)


def _digest(block, size):
    digest = hashlib.sha256()
    for _ in range(size // len(block)):
        digest.update(block)
    return digest.hexdigest()


@pytest.mark.parametrize("each", [16 << 20, pytest.param(1 << 30, marks=pytest.mark.long)], ids=["short", "gigabytes"])
@pytest.mark.parametrize("mode", MODES)
def test_sixty_four_at_a_time(local_daemon, block, mode, each):
    digest = _digest(block, each)
    with _sender(block, each) as server:
        _, near = create_pair(local_daemon.api, Ends(), server.address)
        proxy = "{}:{}".format(*proxy_address(near))
        words = [word.format(proxy) for word in MODES[mode]]
        downloads = [Download(None, "--noproxy", "", *words, f"http://{INNER}/", timeout=3000) for _ in range(TRANSFERS)]
        for download in downloads:
            assert download.finish(3000) == (0, digest), download.error

    def is_counted():
        """The client has the last byte a moment before it is counted."""
        stats = local_daemon.api.stats("near")
        return stats["bytes_received"] >= TRANSFERS * each and stats["connections_open"] == 0
    wait_until(is_counted, what="all that was sent is counted, and no connection is open")


async def _echo(reader, writer):
    while data := await reader.read(1024):
        writer.write(data)
    writer.close()


async def _want_back(reader, writer, text):
    writer.write(text)
    assert await reader.readexactly(len(text)) == text


async def _ask(address, target, number, gate, all_open):
    """Opens a connection and expects its own number back, at once and again when all others are open."""
    async with gate:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        await _want_back(reader, writer, b"%08d" % number)
    await all_open.wait()
    await _want_back(reader, writer, b"%08d" % number)
    writer.close()


async def _ask_all(address, target, count):
    gate, all_open = asyncio.Semaphore(AT_ONCE), asyncio.Barrier(count)
    await asyncio.gather(*(_ask(address, target, number, gate, all_open) for number in range(count)))


def _raise_limit():
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    return limit


def _serve_echo():
    """In a process of its own, because its sockets count against a limit too; the port is its first line."""
    _raise_limit()

    async def serve():
        server = await asyncio.start_server(_echo, "127.0.0.1", 0, backlog=4096)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()
    asyncio.run(serve())


@pytest.fixture
def echo_address(directory):
    log = f"{directory}/echo.log"
    server = Process([sys.executable, "-B", os.path.abspath(__file__)], log, name="echo")
    wait_until(lambda: os.path.exists(log) and os.path.getsize(log) > 0, what="the echo server listens")
    with open(log, encoding="ascii") as file:
        yield "127.0.0.1", int(file.readline())
    server.stop()


def test_ten_thousand_connections(make_daemon, echo_address):
    """All open at the same time through one tunnel, and each is answered."""
    count = 1000 if is_sanitized() else CONNECTIONS
    limit = _raise_limit()
    if limit < count + 1000:
        pytest.skip(f"{count} connections need more than the {limit} descriptors that a process may have")
    # The far end's sockets count against its own worker.
    daemon = make_daemon(arguments=["--workers", "2"]).start()
    ends = Ends()
    far = daemon.api.create(ends.far(echo_address, limits={"connections": 0}), wait_up=False)
    near = daemon.api.create(ends.near(far["status"]["udp_port"], limits={"connections": count}))
    assert near["status"]["worker"] != far["status"]["worker"]
    asyncio.run(_ask_all(proxy_address(near), f"{INNER}:80", count))
    stats = daemon.api.stats("near")
    assert stats["connections_total"] == count and not any(stats["connections_failed"].values())


if __name__ == "__main__":
    _serve_echo()
