"""Responses of real servers: unambiguous ones are forwarded, always well-formed, and ambiguous ones are a 502."""

import shutil
import socket
import tempfile

import pytest

from harness import clock
from harness.answers import ANSWERS, read_strictly
from harness.clients import Connection
from harness.daemon import Daemon
from harness.loop import INNER, Ends, create_pair
from harness.servers import Server, read_head
from harness.spec import proxy_address


def _answer(sock):
    """Sends the response that the path names; with the prefix `/slow` byte by byte."""
    if not (head := read_head(sock)):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    path = head.split(b" ")[1].decode()
    answer = ANSWERS[path.rpartition("/")[2]][0]
    step = 1 if path.startswith("/slow") else len(answer)
    for at in range(0, len(answer), step):
        sock.sendall(answer[at:at + step])
        if step == 1:
            clock.pace(0.0003)   # so that most bytes are sent in separate packets


@pytest.fixture(scope="module")
def proxy():
    directory = tempfile.mkdtemp(prefix="warren-e2e-")
    daemon = Daemon(directory).start()
    with Server(None, ("127.0.0.1", 0), _answer) as server:
        _, near = create_pair(daemon.api, Ends(), server.address)
        yield proxy_address(near)
        daemon.stop()
    shutil.rmtree(directory, ignore_errors=True)


def _get(proxy, path, version="HTTP/1.1"):
    with Connection(proxy, timeout=20) as connection:
        connection.send(f"GET http://{INNER}/{path} {version}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return connection.read_all()


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_reaches_the_client_well_formed(proxy, name):
    expected, wanted = ANSWERS[name][1]
    for path in (name, f"slow/{name}"):
        status, _, body = read_strictly(_get(proxy, path))
        assert status == expected, path
        assert wanted is None or body == wanted, path


@pytest.mark.parametrize("name", [name for name in ANSWERS if name.startswith(("chunk", "trailer"))])
def test_a_client_without_chunks_gets_the_same_body(proxy, name):
    expected, wanted = ANSWERS[name][1]
    status, fields, body = read_strictly(_get(proxy, name, "HTTP/1.0"))
    assert (status, body) == (expected, wanted)
    assert "transfer-encoding" not in dict(fields)


def test_what_is_repaired_keeps_its_meaning(proxy):
    def fields(name):
        return dict(read_strictly(_get(proxy, name))[1])
    assert fields("folded")["a"].split() == ["b", "c", "d"]
    assert fields("control-in-value")["a"] == "b c"
    assert fields("fields-300")["x-299"] == "y"
    assert b"\r\nX-Sum: 1\r\n" in _get(proxy, "trailer-of-framing")
