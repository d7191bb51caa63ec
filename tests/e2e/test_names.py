"""DNS inside the tunnel with the quirks of real servers: through the real proxy, with the test as the server."""

import socket
import struct

import pytest

from harness.clients import Connection
from harness.loop import INNER, Ends, pages
from harness.nameserver import NameServer, question
from harness.servers import Server
from harness.spec import proxy_address

A, CNAME, OPT = 1, 5, 41
OK, BAD_FORMAT, FAILED, NO_NAME, NOT_IMPLEMENTED = 0, 1, 2, 3, 4
CUT = 0x0200


def _name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def _record(name, kind, data):
    return _name(name) + struct.pack(">HHIH", kind, 1, 60, len(data)) + data


def _reply(query, flags=OK, answers=(), more=b"", repeats=True):
    asked = query[12:question(query)[2]] if repeats else b""
    return query[:2] + struct.pack(">HHHHH", 0x8180 | flags, 1 if repeats else 0, len(answers), 0, 1 if more else 0) + asked + b"".join(answers) + more


def _good(query, name):
    return _reply(query, answers=[_record(name, A, socket.inet_aton(INNER))])


def _without_edns(refusal):
    """The answers of a server that does not support EDNS, but answers queries without it."""
    return lambda query, name: refusal(query) if query[11] else _good(query, name)


def _aliases(*links):
    return lambda query, name: _reply(query, answers=[
        _record(owner or name, A, socket.inet_aton(INNER)) if target is None else _record(owner or name, CNAME, _name(target)) for owner, target in links])


# The server's behaviour, and the client's result.
HABITS = {
    "good": (_good, 200),
    "formerr": (_without_edns(lambda query: _reply(query, BAD_FORMAT)), 200),
    "formerr-without-question": (_without_edns(lambda query: _reply(query, BAD_FORMAT, repeats=False)), 200),
    "notimp": (_without_edns(lambda query: _reply(query, NOT_IMPLEMENTED)), 200),
    "badvers": (_without_edns(lambda query: _reply(query, more=b"\0" + struct.pack(">HHIH", OPT, 1232, 1 << 24, 0))), 200),
    "drops-edns": (_without_edns(lambda query: None), 200),
    "address-before-alias": (_aliases(("x.test", None), ("", "x.test")), 200),
    "aliases-turned": (_aliases(("c.test", None), ("b.test", "c.test"), ("", "b.test")), 200),
    "circle": (_aliases(("", "b.test"), ("b.test", "c.test"), ("c.test", "b.test")), 502),
    "cut-without-tcp": (lambda query, name: _reply(query, CUT, [_record(name, A, socket.inet_aton(INNER))]), 200),
    "cut-and-empty": (lambda query, name: _reply(query, CUT), 502),
    "cut-and-silent": (lambda query, name: _reply(query, CUT), 502),   # over TCP
    "cut-short-and-silent": (lambda query, name: _reply(query, CUT, [_record(name, A, socket.inet_aton(INNER))]), 200),
    "fails": (lambda query, name: _reply(query, FAILED), 502),
    "no-name": (lambda query, name: _reply(query, NO_NAME), 502),
    "after-2500-ms": (_good, 200),
    "after-4500-ms": (_good, 200),
}


class Quirks(NameServer):
    """The first label of a name is the habit by which it is answered. Over TCP it takes connections and says nothing."""

    def __init__(self):
        super().__init__(self._answer)
        self.silent = Server(None, ("127.0.0.1", 0), lambda sock: sock.recv(65536) and sock.recv(1))
        self.asked = []

    def _answer(self, query):
        name = question(query)[0]
        habit = name.split(".")[0]
        self.asked.append(habit)
        return HABITS[habit][0](query, name), int(habit.split("-")[1]) / 1000 if habit.startswith("after-") else 0

    def close(self):
        super().close()
        self.silent.__exit__()


@pytest.fixture
def world(local_daemon, request):
    """(DNS server, near): a fresh tunnel, which knows nothing about its DNS server yet."""
    names, ends = Quirks(), Ends()
    names.start()
    with pages() as server:
        document = ends.far(server.address)
        document["spec"]["forwards"].append({"name": "dns", "direction": "inbound", "protocol": "udp", "listen": f"{INNER}:53",
                                             "target": "127.0.0.1:%d" % names.address[1]})
        if "silent" in request.node.name:
            document["spec"]["forwards"].append({"name": "dns-tcp", "direction": "inbound", "protocol": "tcp", "listen": f"{INNER}:53",
                                                 "target": "127.0.0.1:%d" % names.silent.address[1]})
        far = local_daemon.api.create(document, wait_up=False)
        document = ends.near(far["status"]["udp_port"])
        document["spec"]["interface"]["dns"] = [INNER]
        yield names, local_daemon.api.create(document)
    names.close()


def _status(near, name):
    with Connection(proxy_address(near), timeout=15) as connection:
        connection.send(f"GET http://{name}/ HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        return connection.read_reply()[0]


@pytest.mark.parametrize("habit", HABITS)
def test_names_are_found_whatever_a_server_does(world, habit):
    names, near = world
    assert _status(near, f"{habit}.test") == HABITS[habit][1]
    assert len(names.asked) <= 8


def test_a_server_without_edns_is_asked_without_from_then_on(world):
    names, near = world
    assert _status(near, "formerr.test") == 200
    asked = len(names.asked)
    assert _status(near, "formerr.other.test") == 200
    assert len(names.asked) == asked + 1


def test_a_name_server_that_is_silent_over_tcp_is_told_as_the_reason(world):
    """The client's reply says what is wrong, in bounded time."""
    names, near = world
    with Connection(proxy_address(near), timeout=15) as connection:
        connection.send(b"GET http://cut-and-silent.test/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        status, _, body = connection.read_reply()
    assert status == 502 and b"cut its answer short" in body and b"TCP" in body
    assert names.silent.accepted == 1
