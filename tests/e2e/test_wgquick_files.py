"""Real-world wg-quick files: whatever wg-quick and wg accept is accepted. A table lists their result next to ours."""

import json
import os
import re
import subprocess

import pytest

from harness.clients import Connection
from harness.command import Command
from harness.daemon import Daemon, binary
from harness.files import FILES, INTERFACE, KEY, SECTION, have_tools, name_of, strip, wg_takes
from harness.process import wait_until
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


WRONG = f"""[Interface]
PrivateKey = {KEY[:20]}
Address = 10.2.0.2/32
Foo = 1
Jc = 3
H1 = x
H2 = 1
# warren: usr = a
# warren: user = b
# warren: listen = 0.0.0.0:3128
# warren: via = -
[Peer]
PublicKey = {KEY}
AllowedIPs = 10.0.0.0/33
"""
WRONG_LINES = [f"/line/{line}" for line in (2, 4, 5, 6, 8, 9, 10, 11, 14)]


def test_faults_of_every_kind_are_told_at_once(make_daemon, directory):
    """Of keys, values, comments, of what only the whole shows, and of the operator's policy. What follows from another fault is not told: the key that
    is missing because it cannot be read, and the number that may overlap another."""
    folder = f"{directory}/tunnels"
    os.mkdir(folder)
    daemon = make_daemon(arguments=["--tunnels-dir", folder]).start()
    api = daemon.api
    for method, path in (("POST", "/v1/tunnels?id=a"), ("PUT", "/v1/tunnels/a")):
        reply = api.request(method, path, WRONG, content_type="text/plain")
        assert reply.status == 422 and sorted(reply.pointers, key=lambda place: int(place[6:])) == WRONG_LINES, reply.json
    api.create({"id": "b", "spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.9"]}}}, wait_up=False)
    before = api.get("/v1/tunnels/b")["spec"]
    assert set(api.request("PUT", "/v1/tunnels/b", WRONG, content_type="text/plain").pointers) == set(WRONG_LINES)
    assert api.get("/v1/tunnels/b")["spec"] == before
    path = f"{directory}/c.conf"
    for name in (path, f"{folder}/c.conf"):
        with open(name, "w", encoding="ascii") as file:
            file.write(WRONG)
    told = Command(daemon.state_dir)("apply", path, code=1).stderr
    assert [place for place in WRONG_LINES if f"line {place[6:]}: " not in told] == [], told
    wait_until(lambda: "and 6 more" in daemon.process.log(), what="the log tells the file")
    checked = subprocess.run([binary(), "--check", "--state-dir", f"{directory}/other", "--tunnels-dir", folder], capture_output=True, text=True, check=False)
    assert checked.returncode == 2
    assert [place for place in WRONG_LINES if f"c.conf: {place}: " not in checked.stderr] == [], checked.stderr
    assert len(checked.stderr.strip().split("\n")) == len(WRONG_LINES), checked.stderr


def test_faults_of_a_document_and_of_its_secrets_are_told_at_once(directory):
    folder = f"{directory}/tunnels"
    os.mkdir(folder)
    with open(f"{folder}/a.json", "w", encoding="ascii") as file:
        json.dump({"spec": {"interface": {"private_key_file": "none", "addresses": ["10.2.0.2"], "mtu": 1}, "proxy": {"listen": ["0.0.0.0:1"]}}}, file)
    checked = subprocess.run([binary(), "--check", "--state-dir", f"{directory}/other", "--tunnels-dir", folder], capture_output=True, text=True, check=False)
    assert sorted(re.findall(r"a\.json: (\S+):", checked.stderr)) == ["/spec/interface/mtu", "/spec/interface/private_key_file", "/spec/proxy/listen/0"]


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
