"""Tunnels from the files of a directory (--tunnels-dir): they come, change and go with their files, and nothing else changes them."""

import json
import os
import shutil

import pytest

from harness import keys
from harness.command import Command
from harness.process import wait_until


@pytest.fixture
def folder(directory):
    os.makedirs(f"{directory}/around/tunnels")
    return f"{directory}/around/tunnels"


@pytest.fixture
def daemon(make_daemon, folder):
    return make_daemon(arguments=["--tunnels-dir", folder])


def _conf(address="10.2.0.2", extra=""):
    return f"[Interface]\nPrivateKey = {keys.new_key().private}\nAddress = {address}\n{extra}"


def _json(**spec):
    return json.dumps({"spec": {"interface": {"private_key": keys.new_key().private, "addresses": ["10.2.0.2"]}, **spec}})


def _write(folder, name, text):
    """As an editor does: another file that is renamed over it."""
    with open(f"{folder}/.{name}.new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(f"{folder}/.{name}.new", f"{folder}/{name}")


def _ids(daemon):
    return {tunnel["id"] for tunnel in daemon.api.get("/v1/tunnels?page_size=1000")["tunnels"]}


def _tunnel(daemon, id):
    return daemon.api.get(f"/v1/tunnels/{id}")


def _addresses(daemon, id):
    return _tunnel(daemon, id)["spec"]["interface"]["addresses"]


def _faults(daemon, id):
    return [one for one in _tunnel(daemon, id)["status"]["conditions"] if one["type"] == "FileInvalid"]


def test_files_are_tunnels_when_the_daemon_is_ready(daemon, folder):
    for number in range(500):
        _write(folder, f"many-{number}.conf", _conf())
    _write(folder, "one.json", _json(proxy={"users": [{"username": "u", "password": "p"}]}))
    _write(folder, "wg-NL-FREE#3.conf", _conf())   # as a provider names it
    _write(folder, "README", "not for us")
    daemon.start(timeout=60)
    assert _ids(daemon) == {f"many-{number}" for number in range(500)} | {"one", "wg-nl-free-3"}
    assert {tunnel["origin"] for tunnel in daemon.api.get("/v1/tunnels?page_size=1000")["tunnels"]} == {"file"}


def test_a_file_comes_changes_and_goes(daemon, folder):
    daemon.start()
    _write(folder, "a.conf", _conf("10.2.0.2"))
    wait_until(lambda: _ids(daemon) == {"a"}, what="the tunnel is made")
    before = _tunnel(daemon, "a")
    _write(folder, "a.conf", _conf("10.2.0.3"))
    wait_until(lambda: _addresses(daemon, "a") == ["10.2.0.3/32"], what="the tunnel is changed")
    assert _tunnel(daemon, "a")["status"]["listen"] == before["status"]["listen"]
    assert _tunnel(daemon, "a")["created_at"] == before["created_at"]
    assert daemon.process.log().count("a: file a.conf is applied") == 2
    # In place, as a shell's redirection does.
    with open(f"{folder}/a.conf", "w", encoding="utf-8") as file:
        file.write(_conf("10.2.0.4"))
    wait_until(lambda: _addresses(daemon, "a") == ["10.2.0.4/32"], what="the tunnel is changed")
    os.unlink(f"{folder}/a.conf")
    wait_until(lambda: _ids(daemon) == set(), what="the tunnel is deleted")
    wait_until(lambda: "a: its file is gone: deleted" in daemon.process.log(), what="that is told")


def test_what_wgquick_has_no_word_for(daemon, folder):
    _write(folder, "a.conf", _conf(extra="# warren: listen = 127.0.0.1:0\n#warren: label = pool=eu\n# warren: user = me:a:b\n"))
    daemon.start()
    tunnel = _tunnel(daemon, "a")
    assert tunnel["labels"] == {"pool": "eu"} and tunnel["spec"]["proxy"]["listen"] == ["127.0.0.1:0"]
    assert [user["username"] for user in tunnel["spec"]["proxy"]["users"]] == ["me"]
    assert daemon.api.get("/v1/tunnels?label=pool=eu")["tunnels"][0]["id"] == "a"


def test_a_wrong_file_leaves_what_runs(daemon, folder):
    _write(folder, "a.conf", _conf("10.2.0.2"))
    daemon.start()
    _write(folder, "a.conf", "[Interface]\nAddress = nonsense\n")
    wait_until(lambda: _faults(daemon, "a"), what="the fault is told")
    fault = _faults(daemon, "a")[0]
    assert "/line/2" in fault["detail"] and fault["at"].endswith("Z")
    assert f"its file is wrong: {fault['detail']}" in Command(daemon.state_dir)("ls").stdout
    assert _addresses(daemon, "a") == ["10.2.0.2/32"]
    assert "a.conf is not applied: /line/2" in daemon.process.log()
    _write(folder, "b.json", "{")
    wait_until(lambda: "b.json is not applied: /line/1" in daemon.process.log(), what="the other fault is told")
    assert _ids(daemon) == {"a"}
    _write(folder, "a.conf", _conf("10.2.0.9"))
    wait_until(lambda: _addresses(daemon, "a") == ["10.2.0.9/32"], what="the tunnel is changed")
    assert not _faults(daemon, "a")


def test_the_api_does_not_change_what_is_of_a_file(daemon, folder):
    _write(folder, "a.conf", _conf())
    daemon.start()
    daemon.api.create({"id": "b", "spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]}}}, wait_up=False)
    for method, path, body in (("PUT", "", json.loads(_json())), ("PATCH", "", {"spec": {"enabled": False}}), ("DELETE", "", None),
                               ("DELETE", f"/peers/{keys.new_key().public.replace('/', '%2F')}", None)):
        reply = daemon.api.request(method, f"/v1/tunnels/a{path}", body)
        assert reply.status == 409 and reply.json["code"] == "managed_by_file", (method, reply.json)
    assert daemon.api.request("POST", "/v1/tunnels/a/actions/reconnect").status in (200, 202, 204)
    # A whole state is that of the API's own.
    state = daemon.api.get("/v1/state?include_secrets=true")
    assert [tunnel["id"] for tunnel in state["tunnels"]] == ["b"]
    daemon.api.expect(200, "PUT", "/v1/state", {"tunnels": []})
    assert _ids(daemon) == {"a"}


def test_a_file_does_not_take_what_is_of_the_api(daemon, folder):
    daemon.start()
    daemon.api.create({"id": "a", "spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]}}}, wait_up=False)
    before = _tunnel(daemon, "a")["etag"]
    _write(folder, "a.conf", _conf("10.2.0.9"))
    wait_until(lambda: "a.conf is not applied: The API already has a tunnel" in daemon.process.log(), what="the fault is told")
    assert _tunnel(daemon, "a")["etag"] == before and _tunnel(daemon, "a")["origin"] == "api"
    daemon.api.delete("a")
    wait_until(lambda: _ids(daemon) == {"a"}, 20, what="the file takes its place")
    assert _tunnel(daemon, "a")["origin"] == "file"


def test_ports_stay_over_a_restart_and_what_is_gone_meanwhile_goes(daemon, folder):
    for id in "abc":
        _write(folder, f"{id}.conf", _conf())
    daemon.start()
    ports = {id: _tunnel(daemon, id)["status"]["listen"] for id in "abc"}
    daemon.stop()
    os.unlink(f"{folder}/b.conf")
    daemon.start()
    assert _ids(daemon) == {"a", "c"}
    assert {id: _tunnel(daemon, id)["status"]["listen"] for id in "ac"} == {id: ports[id] for id in "ac"}


def test_without_the_option_the_tunnels_stay_and_can_be_written(daemon, folder):
    _write(folder, "a.conf", _conf())
    _write(folder, "b.conf", _conf())
    daemon.start()
    daemon.stop()
    daemon.arguments = []
    daemon.start()
    assert _ids(daemon) == {"a", "b"}
    daemon.api.expect(200, "PATCH", "/v1/tunnels/a", {"spec": {"enabled": False}})
    assert {id: _tunnel(daemon, id)["origin"] for id in "ab"} == {"a": "api", "b": "file"}


def test_secrets_in_files_of_their_own(make_daemon, folder, directory):
    private, shared = keys.new_key().private, keys.new_preshared_key()
    os.makedirs(f"{directory}/credentials")
    os.makedirs(f"{folder}/..data")
    _write(f"{folder}/..data", "key", private + "\n")
    os.symlink("..data/key", f"{folder}/key")
    _write(f"{directory}/credentials", "psk", shared)
    _write(f"{directory}/credentials", "password", "secret\n")
    document = {"spec": {"interface": {"private_key_file": "key", "addresses": ["10.2.0.2"]},
                         "peers": [{"public_key": keys.new_key().public, "preshared_key_file": "psk"}],
                         "proxy": {"users": [{"username": "u", "password_file": "password"}]}}}
    _write(folder, "a.json", json.dumps(document))
    daemon = make_daemon(arguments=["--tunnels-dir", folder], environment={"CREDENTIALS_DIRECTORY": f"{directory}/credentials"}).start()
    config = daemon.api.request("GET", "/v1/tunnels/a/config?include_secrets=true").body.decode()
    assert private in config and shared in config
    assert daemon.api.request("PUT", "/v1/tunnels/x", document).status == 422, "only files may name files"
    # No way out: absolute, by "..", or by a link.
    _write(directory, "outside", private)
    os.symlink(f"{directory}/outside", f"{folder}/link")
    for number, path in enumerate((f"{directory}/outside", "../../outside", "link", "..", "missing", ".")):
        document["spec"]["interface"]["private_key_file"] = path
        _write(folder, f"bad-{number}.json", json.dumps(document))
        wait_until(lambda: f"bad-{number}.json is not applied: /spec/interface/private_key_file" in daemon.process.log(), what="it is refused")
    assert _ids(daemon) == {"a"}
    assert private not in daemon.process.log() and shared not in daemon.process.log()


def test_a_directory_of_links_that_are_swapped(make_daemon, folder):
    """As Kubernetes mounts a ConfigMap: NAME → ..data/NAME, and ..data → a directory that is replaced as a whole."""
    def publish(number, address):
        os.makedirs(f"{folder}/..{number}")
        _write(f"{folder}/..{number}", "a.conf", _conf(address))
        os.symlink(f"..{number}", f"{folder}/..data_tmp")
        os.rename(f"{folder}/..data_tmp", f"{folder}/..data")

    publish(1, "10.2.0.2")
    os.symlink("..data/a.conf", f"{folder}/a.conf")
    daemon = make_daemon(arguments=["--tunnels-dir", folder]).start()
    assert _addresses(daemon, "a") == ["10.2.0.2/32"]
    publish(2, "10.2.0.3")
    shutil.rmtree(f"{folder}/..1")
    wait_until(lambda: _addresses(daemon, "a") == ["10.2.0.3/32"], what="the tunnel is changed")


def test_the_directory_itself_is_replaced(daemon, folder):
    _write(folder, "a.conf", _conf())
    daemon.start()
    os.rename(folder, f"{folder}.old")
    wait_until(lambda: "cannot be read" in daemon.process.log(), what="the directory is missed")
    assert _ids(daemon) == {"a"}
    os.makedirs(f"{folder}.new")
    _write(f"{folder}.new", "b.conf", _conf())
    os.rename(f"{folder}.new", folder)
    wait_until(lambda: _ids(daemon) == {"b"}, 20, what="the other directory is read")


def test_a_missing_directory_is_told_at_the_start(make_daemon, directory):
    daemon = make_daemon(arguments=["--tunnels-dir", f"{directory}/missing"])
    daemon.start(wait=False)
    assert daemon.process.wait(10) == 1
    assert f"--tunnels-dir '{directory}/missing' cannot be read: No such file or directory" in daemon.process.log()


def test_a_file_may_be_a_link_to_elsewhere(daemon, folder, directory):
    """Other than a secret: the file is the operator's. Where links lead may be read from the start on."""
    os.makedirs(f"{directory}/elsewhere/now")
    _write(f"{directory}/elsewhere/now", "x.conf", _conf("10.2.0.2"))
    os.symlink(f"{directory}/elsewhere/now/x.conf", f"{folder}/a.conf")
    daemon.start()
    assert _addresses(daemon, "a") == ["10.2.0.2/32"]
    _write(f"{directory}/elsewhere/now", "x.conf", _conf("10.2.0.3"))
    daemon.api.expect(200, "POST", "/v1/actions/reload")
    assert _addresses(daemon, "a") == ["10.2.0.3/32"]


def test_readiness_tells_of_wrong_files(daemon, folder):
    _write(folder, "a.conf", "nonsense")
    daemon.start()
    assert daemon.api.get("/readyz") == {"status": "ready", "degraded": ["files_invalid"]}
    _write(folder, "a.conf", _conf())
    wait_until(lambda: daemon.api.get("/readyz") == {"status": "ready"}, what="the fault is gone")


def test_a_pool_of_a_file(daemon, folder):
    def pool():
        return daemon.api.get("/v1/pools/eu")
    _write(folder, "eu.conf", _conf())
    _write(folder, "eu.pool.json", json.dumps({"spec": {"members": {"tunnels": ["eu"]}}}))
    daemon.start()
    before = pool()
    assert before["origin"] == "file" and [member["tunnel"] for member in before["status"]["members"]] == ["eu"]
    assert daemon.api.request("PATCH", "/v1/pools/eu", {"spec": {"enabled": False}}).code == "managed_by_file"
    assert "pools" not in daemon.api.get("/v1/state") or daemon.api.get("/v1/state")["pools"] == []
    _write(folder, "eu.pool.json", json.dumps({"spec": {"members": {"tunnels": []}, "strategy": "best"}}))
    wait_until(lambda: [one["type"] for one in pool()["status"]["conditions"]] == ["FileInvalid"], what="the fault is told")
    assert "its file is wrong: " in Command(daemon.state_dir)("pool", "ls").stdout
    assert pool()["etag"] == before["etag"]
    os.unlink(f"{folder}/eu.pool.json")
    wait_until(lambda: daemon.api.request("GET", "/v1/pools/eu").status == 404, what="the pool is deleted")
    assert _ids(daemon) == {"eu"}


def test_a_port_moves_from_one_file_to_another(daemon, folder):
    """a.conf comes first in the pass, and wants the port that b.conf gives up in the same pass."""
    _write(folder, "b.conf", _conf())
    daemon.start()
    port = _tunnel(daemon, "b")["status"]["listen"][0]
    os.rename(f"{folder}/b.conf", f"{folder}/.b")
    os.unlink(f"{folder}/.b")
    _write(folder, "a.conf", _conf(extra=f"# warren: listen = {port}\n"))
    wait_until(lambda: _ids(daemon) == {"a"}, what="the tunnels are changed")
    assert _tunnel(daemon, "a")["status"]["listen"] == [port]
