"""Real-world wg-quick files: whatever wg-quick and wg accept is accepted. A table lists their result next to ours."""

import pytest

from harness.clients import Connection
from harness.command import Command
from harness.daemon import Daemon
from harness.files import FILES, INTERFACE, KEY, SECTION, have_tools, name_of, strip, wg_takes
from harness.servers import free_port
from harness.spec import proxy_address


@pytest.fixture(scope="module")
def module_daemon(tmp_path_factory):
    daemon = Daemon(str(tmp_path_factory.mktemp("files"))).start()
    yield daemon
    daemon.stop()


@pytest.mark.parametrize("text, tools_take, we_take", FILES, ids=[name_of(text) for text, _, _ in FILES])
def test_files_are_taken_as_the_tools_take_them(module_daemon, directory, text, tools_take, we_take):
    reply = module_daemon.api.request("POST", "/v1/tunnels?dry_run=true", (text + "\n").encode(), content_type="text/plain")
    assert (reply.status < 300) == we_take, repr(reply)
    if have_tools():
        stripped = strip(text, directory)
        assert (stripped is not None and wg_takes(stripped, directory)) == tools_take


def test_comments_need_not_be_utf8(module_daemon):
    body = f"# caf\u00e9\n{INTERFACE}".encode("latin-1")
    assert module_daemon.api.request("POST", "/v1/tunnels?dry_run=true", body, content_type="text/plain").status < 300


def test_a_put_file_without_a_preshared_key_removes_it(module_daemon):
    """As wg setconf does. A file that we wrote without secrets says that it was left out, and it is kept."""
    api = module_daemon.api
    text = SECTION + f"PresharedKey = {KEY}\n"
    api.expect(201, "PUT", "/v1/tunnels/psk", text.encode(), content_type="text/plain")
    written = api.expect(200, "GET", "/v1/tunnels/psk/config").body
    assert KEY.encode() not in written

    def is_set(file):
        reply = api.expect(200, "PUT", "/v1/tunnels/psk", file, content_type="text/plain")
        return reply.json["spec"]["peers"][0]["preshared_key_set"]
    assert is_set(written)
    assert not is_set(SECTION.encode())
    assert is_set(text.encode())


def test_a_label_parameter_without_a_value_is_told(module_daemon):
    reply = module_daemon.api.expect(400, "POST", "/v1/tunnels?label=", SECTION.encode(), content_type="text/plain")
    assert "label=KEY=VALUE" in reply.json["detail"]


COMMENTS = "# warren: user = u:p\n# warren: label = a=b\n# warren: listen = 127.0.0.1:{port}\n"


def _asks_for_a_password(tunnel):
    with Connection(proxy_address(tunnel)) as connection:
        connection.send(b"GET http://10.2.0.1/ HTTP/1.1\r\nHost: 10.2.0.1\r\n\r\n")
        return connection.read_reply()[0] == 407


def test_comments_are_read_and_written_wherever_a_file_is(module_daemon, directory):
    """P8: a file whose author wrote users makes no open proxy, whichever way it comes in; and what is exported is the same file."""
    api = module_daemon.api
    path = f"{directory}/said.conf"
    text = SECTION.replace("[Peer]", COMMENTS.format(port=free_port()) + "[Peer]")
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    command = Command(module_daemon.state_dir)
    ways = (lambda: api.expect(201, "POST", "/v1/tunnels?id=said", text, content_type="text/plain"),
            lambda: api.expect(201, "PUT", "/v1/tunnels/said", text, content_type="text/plain"),
            lambda: command("add", path), lambda: command("apply", path))
    exported = set()
    for way in ways:
        way()
        tunnel = api.get("/v1/tunnels/said")
        assert tunnel["labels"] == {"a": "b"} and _asks_for_a_password(tunnel)
        exported.add(api.expect(200, "GET", "/v1/tunnels/said/config?include_secrets=true").body.decode())
        assert "user = u\n" in api.expect(200, "GET", "/v1/tunnels/said/config").body.decode()
        api.delete("said")
    assert len(exported) == 1
    copy = exported.pop()
    assert set(text.split("\n")) - set(copy.split("\n")) == set()
    api.expect(201, "POST", "/v1/tunnels?id=said", copy, content_type="text/plain")
    assert api.expect(200, "PUT", "/v1/tunnels/said", copy, content_type="text/plain").json["applied"] == "unchanged"
    assert api.expect(200, "GET", "/v1/tunnels/said/config?include_secrets=true").body.decode() == copy
    # They are held to the same rules as members of JSON.
    token = api.expect(201, "POST", "/v1/tokens", {"scopes": ["write"], "labels": {"a": "c"}}).json["token"]
    assert module_daemon.tcp_api(token).request("POST", "/v1/tunnels?id=other", text, content_type="text/plain").status == 403
    reply = api.request("PUT", "/v1/tunnels/said", text.replace("127.0.0.1:", "0.0.0.0:"), content_type="text/plain")
    line = 1 + text.split("\n").index(next(line for line in text.split("\n") if "listen" in line))
    assert (reply.status, reply.pointers) == (422, [f"/line/{line}"])
    api.delete("said")


def test_a_put_file_keeps_what_it_cannot_say(module_daemon):
    """A port that requires a password keeps requiring it."""
    api = module_daemon.api
    users = [{"username": "u", "password": "p"}]
    api.create({"id": "kept", "labels": {"a": "b"}, "spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.9"]}, "limits": {"connections": 7},
                "proxy": {"listen": ["127.0.0.1:0"], "users": users}}}, wait_up=False)
    reply = api.expect(200, "PUT", "/v1/tunnels/kept?label=c=d", SECTION.encode(), content_type="text/plain").json
    assert reply["spec"]["interface"]["addresses"] == ["10.2.0.2/32"] and len(reply["spec"]["peers"]) == 1
    assert [user["username"] for user in reply["spec"]["proxy"]["users"]] == ["u"]
    assert reply["labels"] == {"a": "b", "c": "d"} and reply["spec"]["limits"]["connections"] == 7
    assert _asks_for_a_password(reply)
