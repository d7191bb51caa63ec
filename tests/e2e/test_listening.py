"""[::] listens for both families, but leaves IPv4 to a listener that names the port; a unix socket whose file is gone is bound again."""

import os
import socket

import pytest

from harness.clients import Connection
from harness.loop import INNER, Ends, pages
from harness.servers import free_port
from harness.spec import proxy_address

USERS = [{"username": "u", "password": "pw"}]


@pytest.fixture
def near(make_daemon):
    """near(*listen): the API and a tunnel that is up, listens on these addresses, and whose inner port 80 answers."""
    daemon = make_daemon(arguments=["--allow-remote"]).start()
    with pages() as server:
        ends = Ends()
        far = daemon.api.create(ends.far(server.address), wait_up=False)
        yield lambda *listen: (daemon.api, daemon.api.create(ends.near(far["status"]["udp_port"], proxy={"listen": listen, "users": USERS})))


def _works(host, port):
    with Connection((host, port), timeout=10) as connection:
        return connection.send(f"GET http://{INNER}/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic dTpwdw==\r\n\r\n".encode()).read_reply()[0] == 200


def test_both_families_are_served(near):
    _, tunnel = near("[::]:0")
    port = proxy_address(tunnel)[1]
    assert _works("127.0.0.1", port) and _works("::1", port)


@pytest.mark.parametrize("order", [1, -1], ids=["six-first", "four-first"])
@pytest.mark.parametrize("four", ["127.0.0.1", "0.0.0.0"])
def test_ipv4_may_have_a_place_of_its_own(near, order, four):
    """And every change from one to the other takes effect in place."""
    port = free_port()
    both, six = [f"[::]:{port}", f"{four}:{port}"][::order], [f"[::]:{port}"]
    api, _ = near(*both)
    assert _works("127.0.0.1", port) and _works("::1", port)
    for listen, has_six in ((six, True), (both, True), ([f"{four}:{port}"], False), (six, True), (six, True)):
        assert api.patch("near", {"spec": {"proxy": {"listen": listen}}})["applied"] in ("in_place", "unchanged")
        assert _works("127.0.0.1", port)
        assert not has_six or _works("::1", port)


def test_another_program_may_have_ipv4s_port(near):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        api, _ = near(f"[::]:{port}")
        assert _works("::1", port)


def test_a_change_binds_a_unix_socket_again_whose_file_is_gone(local_daemon):
    path = f"{local_daemon.state_dir}/sockets/s"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    api = local_daemon.api
    api.create({"id": "s", "spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]}, "proxy": {"listen": [f"unix:{path}"]}}},
               wait_up=False)
    before = os.stat(path).st_ino
    api.patch("s", {"spec": {"limits": {"connections": 8}}})
    assert os.stat(path).st_ino == before
    os.rename(path, f"{path}.old")
    api.patch("s", {"spec": {"limits": {"connections": 9}}})
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    api.delete("s")
    assert os.listdir(os.path.dirname(path)) == ["s.old"]


def _unix_document(path):
    return {"id": "s", "spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]}, "proxy": {"listen": [f"unix:{path}"]}}}


def _put_there(path, what):
    """Something else in the place of a tunnel's socket. Returns what keeps it alive."""
    os.rename(path, f"{path}.old")
    if what == "file":
        return open(path, "x", encoding="ascii")
    if what == "link":
        return os.symlink(f"{path}.nothing", path)
    other = socket.socket(socket.AF_UNIX)
    other.bind(path)
    if what == "live":
        other.listen()
        return other
    return other.close()


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("what, status", [("dead", 200), ("file", 409), ("link", 409), ("live", 409)])
def test_a_unix_socket_whose_file_was_replaced_is_not_taken_for_served(local_daemon, what, status, method):
    """A dead socket is replaced, all else is left alone; the same document again is no exception."""
    path = f"{local_daemon.state_dir}/sockets/s"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    api = local_daemon.api
    api.create(_unix_document(path), wait_up=False)
    kept = _put_there(path, what)
    body = {"spec": {"limits": {"connections": 9}}} if method == "PATCH" else {"spec": {**_unix_document(path)["spec"], "interface": {"addresses": ["10.2.0.2"]}}}
    reply = api.expect(status, method, "/v1/tunnels/s", body)
    if status == 200:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
    else:
        assert reply.json["code"] == "listener_in_use"
    api.delete("s")
    assert os.path.lexists(path) == (status == 409)
    for name in os.listdir(os.path.dirname(path)):
        os.unlink(f"{os.path.dirname(path)}/{name}")
    if kept:
        kept.close()


def test_a_unix_socket_whose_folder_is_gone(local_daemon):
    """Other members can be changed; the same document again says that the socket cannot be bound."""
    path = f"{local_daemon.state_dir}/sockets/folder/s"
    os.makedirs(os.path.dirname(path))
    api = local_daemon.api
    api.create(_unix_document(path), wait_up=False)
    os.rename(os.path.dirname(path), f"{os.path.dirname(path)}.old")
    api.expect(200, "PATCH", "/v1/tunnels/s", {"spec": {"limits": {"connections": 9}}})
    same = {"spec": {**_unix_document(path)["spec"], "interface": {"addresses": ["10.2.0.2"]}, "limits": {"connections": 9}}}
    reply = api.expect(422, "PUT", "/v1/tunnels/s", same)
    assert reply.json["errors"][0]["code"] == "cannot_bind"
    os.mkdir(os.path.dirname(path))
    api.expect(200, "PUT", "/v1/tunnels/s", same)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    api.delete("s")
