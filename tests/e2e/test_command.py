"""The command `warren` against a real daemon: what people type, what scripts read, and every way in which it can fail."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import termios
import threading
import time
import unicodedata

import pytest

from harness import keys
from harness.certificates import make_certificate
from harness.clients import curl
from harness.command import COLOUR, Command, Terminal, environment, program
from harness.daemon import is_sanitized
from harness.loop import INNER, Ends, create_pair, pages
from harness.process import die_with_parent, wait_until
from harness.servers import read_head
from harness.spec import proxy_address

EXAMPLE_KEY = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="


@pytest.fixture
def warren(local_daemon):
    return Command(local_daemon.state_dir)


def _tunnel(id, **spec):
    return {"id": id, "spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2/32"]}, **spec}}


def _write(directory, name, content):
    path = f"{directory}/{name}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(content if isinstance(content, str) else json.dumps(content))
    return path


def _conf(key=EXAMPLE_KEY, address="10.2.0.2/32", more=""):
    return f"[Interface]\nPrivateKey = {key}\nAddress = {address}\n{more}"


def test_a_tunnels_life(warren, local_daemon, directory):
    """From a provider's file to its deletion."""
    ends = Ends()
    with pages() as server:
        far = local_daemon.api.create(ends.far(server.address), wait_up=False)
        path = _write(directory, "My VPN.conf", ends.near_conf(far["status"]["udp_port"]))
        added = warren("add", path, "--label", "pool=eu", "--wait")
        assert re.fullmatch(r"my-vpn created, up, proxy 127\.0\.0\.1:\d+\n", added.stdout)
        assert "line 4: PostUp" in added.stderr
        assert ["my-vpn", "up"] == warren.rows("ls")[2][:2] and "pool=eu" in warren.rows("ls")[2]
        host, port = proxy_address(local_daemon.api.get("/v1/tunnels/my-vpn"))
        assert curl(None, "--noproxy", "", "-x", f"http://{host}:{port}", f"http://{INNER}/").stdout == "hello through the tunnel\n"
        shown = warren("show", "my-vpn").stdout
        assert re.search(r"^state +up, since ", shown, re.M) and ends.far_key.public in shown
        assert ends.near_key.private not in shown
        assert "ok, ping 10.99.0.1, 4 of 4 answered" in warren("probe", "my-vpn", "--type", "ping", "--target", INNER).stdout
        for options in ((), ("--json",)):
            told = warren("probe", "my-vpn", "--type", "tcp", "--target", f"{INNER}:81", *options, code=1).stdout
            assert ('"ok":false' if options else "my-vpn: failed, tcp") in told, told
        with pages(text=b"192.0.2.7\n") as site:
            forwards = ends.far(site.address)["spec"]["forwards"]
            local_daemon.api.expect(200, "PATCH", "/v1/tunnels/far", {"spec": {"forwards": forwards}})
            told = warren("probe", "my-vpn", "--type", "exit_ip", "--target", f"http://{INNER}/").stdout
            assert re.search(r"^my-vpn: ok, exit_ip .*, 192\.0\.2\.7\n$", told), told
        assert "disabled" in warren("down", "my-*").stdout
        assert local_daemon.api.state("my-vpn") == "disabled"
        warren("up", "my-vpn")
        local_daemon.api.wait_state("my-vpn", "up")
        assert "my-vpn unchanged" in warren("reconnect", "my-vpn").stdout
        assert [row[0] for row in warren.rows("stats")] == ["ID", "far", "my-vpn", "total"]
        assert re.search(r"^bytes_received +[1-9]\d* B$", warren("stats", "my-vpn").stdout, re.M)
        assert warren("rm", "my-vpn").stdout == "my-vpn deleted\n"
        assert warren("ls", "--quiet").stdout == "far\n"


def test_add_takes_json_stdin_and_names(warren, local_daemon, directory):
    path = _write(directory, "x.json", _tunnel("inside"))
    warren("add", path, "--id", "given", "--label", "a=b=c", "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0")
    given = local_daemon.api.get("/v1/tunnels/given")
    assert given["labels"] == {"a": "b=c"} and len(given["status"]["listen"]) == 2
    warren("add", path)
    warren("add", "-", stdin=_conf())
    assert len(warren("ls", "--quiet").stdout.split()) == 3
    assert warren("ls", "--quiet", "--label", "a=b=c").stdout == "given\n"
    assert "yes or no" not in warren("add", path, code=1).stderr


def test_set_changes_members(warren, local_daemon):
    local_daemon.api.create(_tunnel("a", peers=[{"public_key": keys.new_key().public, "preshared_key": EXAMPLE_KEY, "endpoint": "127.0.0.1:1"}]),
                            wait_up=False)
    local_daemon.api.create(_tunnel("b"), wait_up=False)
    assert warren("set", "*", "limits.connections=64", "labels.warren.weight=5", "interface.dns=10.0.0.1,10.0.0.2").stdout.count("changed") == 2
    a = local_daemon.api.get("/v1/tunnels/a")
    assert a["spec"]["limits"]["connections"] == 64 and a["labels"] == {"warren.weight": "5"}
    assert a["spec"]["interface"]["dns"] == ["10.0.0.1", "10.0.0.2"]
    warren("set", "a", "peers.0.endpoint=127.0.0.1:2", "labels.warren.weight=null", "spec.enabled=false")
    a = local_daemon.api.get("/v1/tunnels/a")
    assert a["spec"]["peers"][0]["endpoint"] == "127.0.0.1:2" and a["spec"]["peers"][0]["preshared_key_set"] and a["labels"] == {}
    assert not a["spec"]["enabled"]
    assert "a changed" in warren("set", "a", "interface.obfuscation=amneziawg", "interface.obfuscation.jmax=50", "interface.obfuscation.jc=2").stdout
    assert local_daemon.api.get("/v1/tunnels/a")["spec"]["interface"]["obfuscation"]["jc"] == 2
    warren("set", "a", "interface.obfuscation=lwo")
    assert local_daemon.api.get("/v1/tunnels/a")["spec"]["interface"]["obfuscation"] == {"type": "lwo"}
    assert "is not MEMBER=VALUE" in warren("set", "a", "enabled", code=2).stderr


def test_faults_are_told_with_their_pointers(warren, directory):
    path = _write(directory, "x.json", _tunnel("x", proxy={"lisen": []}, limits={"connections": -1}))
    told = warren("add", path, code=1).stderr
    assert re.search(r"^  /spec/proxy/lisen: ", told, re.M) and re.search(r"^  /spec/limits/connections: ", told, re.M)
    told = warren("add", _write(directory, "x.conf", _conf("no")), code=1).stderr
    assert re.search(r"^  line 2: ", told, re.M)
    assert "line 1" in warren("add", _write(directory, "y.json", "{,}"), code=1).stderr
    assert "No such file" in warren("add", f"{directory}/none", code=1).stderr
    for command, document in ((("add",), _tunnel("there")), (("pool", "add"), {"id": "there", "spec": {}})):
        path = _write(directory, "there.json", document)
        warren(*command, path)
        assert re.search(r'already exists.*\n.*"warren apply ', warren(*command, path, code=1).stderr)
    assert re.search(r"/spec/proxy/listen/0: .*HOST:PORT", warren("set", "there", "proxy.listen=3128", code=1).stderr)
    told = warren("show", "none", "nothing", code=1).stderr
    assert re.search(r"^warren: none: There is no tunnel", told, re.M) and re.search(r"^warren: nothing: There is no tunnel", told, re.M)


def test_patterns_and_deletions(warren, local_daemon):
    for id in ("ams-1", "ams-2", "fra-1", "lon-1"):
        local_daemon.api.create({**_tunnel(id), "labels": {"pool": id[:3]}}, wait_up=False)
    assert "no tunnel matches 'zrh-*'" in warren("rm", "ams-1", "zrh-*", code=1).stderr
    assert len(warren("ls", "--quiet").stdout.split()) == 4
    warren("rm", "ams-*")
    warren("rm", "--label", "pool=fra")
    assert warren("ls", "--quiet").stdout == "lon-1\n"
    assert "name ids" in warren("rm", code=2).stderr and "name ids" in warren("rm", "lon-1", "--all", code=2).stderr
    assert warren("rm", "--all").stdout == "1 deleted\n"
    assert warren("rm", "none", code=1).stdout == ""


def test_rm_asks_on_a_terminal(local_daemon):
    local_daemon.api.create(_tunnel("a"), wait_up=False)
    for words, answer, code in ((("--all",), "n\n", 1), (("a*",), "\n", 1), (("a",), None, 0)):
        terminal = Terminal(local_daemon.state_dir, "rm", *words)
        if answer:
            terminal.wait_for(r"\[y/N\]")
            terminal.type(answer)
        assert terminal.wait() == code, terminal.text()
        terminal.close()
        assert ("Nothing was done." in terminal.text()) == (code == 1)
    local_daemon.api.create(_tunnel("a"), wait_up=False)
    terminal = Terminal(local_daemon.state_dir, "rm", "--all", "--yes")
    assert terminal.wait() == 0 and "1 deleted" in terminal.text()
    terminal.close()


def test_rm_names_the_tunnels_that_lose_their_way(warren, local_daemon):
    api = local_daemon.api

    def make():
        for id, via in (("out", None), ("in-1", "out"), ("in-2", "out"), ("deep", "in-1")):
            document = _tunnel(id)
            document["spec"]["interface"]["via"] = via
            api.put(id, {**document, "labels": {"place": "outer" if id == "out" else "inner"}})
    make()
    assert set(api.request("DELETE", "/v1/tunnels/out?dry_run=true").headers["Warren-Inside"].split(", ")) == {"in-1", "in-2"}
    assert "Warren-Inside" not in api.request("DELETE", "/v1/tunnels/deep").headers
    gone = warren("rm", "out")
    assert gone.stdout == "out deleted\n" and re.search(r"warning: in-[12], in-[12] went through out", gone.stderr), gone.stderr
    make()
    assert "warning" not in warren("rm", "in-1", "deep").stderr
    make()
    assert "warning: in-1, in-2 went through" in warren("rm", "--label", "place=outer").stderr
    assert "warning" not in warren("rm", "--all").stderr
    make()
    for words in (("ou*",), ("--label", "place=outer")):
        terminal = Terminal(local_daemon.state_dir, "rm", *words)
        terminal.wait_for(r"in-1, in-2.*\[y/N\]")
        terminal.type("n\n")
        assert terminal.wait() == 1
        terminal.close()


def test_json_is_the_answer_of_the_api(warren, local_daemon):
    local_daemon.api.create(_tunnel("a"), wait_up=False)
    answer = local_daemon.api.request("GET", "/v1/tunnels/a").body.decode()
    shown = json.loads(warren("show", "a", "--json").stdout)
    assert shown["spec"] == json.loads(answer)["spec"]
    assert [tunnel["id"] for tunnel in json.loads(warren("ls", "--json").stdout)["tunnels"]] == ["a"]
    assert json.loads(warren("--json", "stats").stdout)["tunnels"][0]["id"] == "a"
    assert json.loads(warren("set", "a", "enabled=false", "--json").stdout)["applied"] == "in_place"
    assert {json.loads(line)["type"] for line in warren("events", "--json").stdout.splitlines()} >= {"tunnel.created", "tunnel.changed"}
    assert json.loads(warren("version", "--json").stdout)["name"] == "warren"


def test_more_tunnels_than_a_page(warren, local_daemon):
    operations = [{"method": "POST", "path": "/v1/tunnels", "body": _tunnel(f"t{number:04}", enabled=False, proxy={"listen": []})}
                  for number in range(1100)]
    local_daemon.api.expect(200, "POST", "/v1/batch", {"operations": operations})
    assert len(warren("ls", "--quiet").stdout.split()) == 1100
    listed = json.loads(warren("ls", "--json").stdout)
    assert len(listed["tunnels"]) == 1100 and listed["next_page_token"] == ""
    assert warren("rm", "t0*", "--yes").stdout.count("deleted") == 1000


def test_the_size_of_packets_inside_another_tunnel_is_shown(warren, local_daemon):
    """What is in effect, also for whoever does not see the outer tunnel."""
    api = local_daemon.api
    local_daemon.api.create(_tunnel("out", enabled=False), wait_up=False)
    inner = _tunnel("in", enabled=False)
    inner["spec"]["interface"].update(via="out", obfuscation={"type": "amneziawg", "s4": 16})
    created = api.create({**inner, "labels": {"team": "red"}}, wait_up=False)
    assert created["status"]["mtu"] == 1420 - 60 - 16 and created["spec"]["interface"]["mtu"] == 1420
    assert re.search(r"^mtu +1420 \(1344 inside out\)$", warren("show", "in").stdout, re.M)
    assert re.search(r"^mtu +1420$", warren("show", "out").stdout, re.M)
    token = api.expect(201, "POST", "/v1/tokens", {"scopes": ["read"], "labels": {"team": "red"}}).json["token"]
    assert local_daemon.tcp_api(token).get("/v1/tunnels/in/status")["mtu"] == 1344
    api.patch("in", {"spec": {"interface": {"obfuscation": None, "mtu": 1300}}})
    assert api.get("/v1/tunnels/in/status")["mtu"] == 1300


def test_apply_shows_its_plan_first(warren, local_daemon, directory):
    api = local_daemon.api
    folder = f"{directory}/tunnels"
    key, other = keys.new_key(), keys.new_key()
    for name, address in (("ams-1", "10.2.0.2/32"), ("ams-2", "10.2.0.3/32")):
        _write(folder, f"{name}.conf", _conf(key.private, address))
    _write(folder, "fra-1.json", {"labels": {"pool": "eu"}, "spec": {"interface": {"private_key": key.private, "addresses": ["10.2.0.4"]}}})
    plan = warren("apply", folder, "--dry-run").stdout
    assert plan.splitlines()[-1] == "3 to create, 0 to change, 0 to delete, 0 unchanged" and "+ create tunnel ams-1\n" in plan
    assert api.get("/v1/tunnels")["tunnels"] == []
    assert warren("apply", folder).stdout.endswith("3 of 3 done\n")
    assert warren("apply", folder).stdout == "0 to create, 0 to change, 0 to delete, 3 unchanged\n"
    api.create(_tunnel("old"), wait_up=False)
    _write(folder, "ams-1.conf", _conf(key.private, "10.2.0.2/32", "DNS = 10.2.0.1\n"))
    _write(folder, "ams-2.conf", _conf(other.private, "10.2.0.3/32"))
    plan = warren("apply", folder, "--prune", "--dry-run").stdout
    assert '~ change tunnel ams-1\n    interface.dns: [] -> ["10.2.0.1"]\n' in plan
    assert re.search(r"~ change tunnel ams-2.*\n    a key or a password\n", plan), plan
    assert "- delete tunnel old\n" in plan and key.private not in plan and other.private not in plan
    assert json.loads(warren("apply", folder, "--prune", "--dry-run", "--json").stdout) == {
        "created": [], "changed": [{"id": "ams-1", "members": ["interface.dns"]}, {"id": "ams-2", "members": []}], "unchanged": ["fra-1"],
        "deleted": ["old"]}
    warren("apply", folder)
    api.get("/v1/tunnels/old")
    assert warren("apply", folder, "--prune").stdout.endswith("1 of 1 done\n")
    api.get("/v1/tunnels/old", status=404)


def test_apply_does_nothing_if_a_file_has_a_fault(warren, local_daemon, directory):
    folder = f"{directory}/tunnels"
    _write(folder, "good.conf", _conf())
    _write(folder, "bad.conf", _conf("no"))
    _write(folder, "worse.json", {"spec": {"nonsense": 1}})
    told = warren("apply", folder, code=1).stderr
    assert f"in {folder}/bad.conf" in told and f"in {folder}/worse.json" in told and "line 2" in told and "Nothing was done." in told
    assert local_daemon.api.get("/v1/tunnels")["tunnels"] == []
    assert "has no NAME.conf" in warren("apply", f"{directory}/state", "--prune", code=1).stderr
    _write(folder, "good.json", _tunnel("good"))
    assert "both describe good" in warren("apply", folder, code=1).stderr


def test_apply_overwrites_only_what_its_plan_has_shown(local_daemon, directory):
    """Someone else writes while the question waits for its answer."""
    folder = f"{directory}/tunnels"
    for name in ("a", "b", "c"):
        _write(folder, f"{name}.conf", _conf(address=f"10.2.0.{ord(name)}"))
    for id in ("a", "old"):
        local_daemon.api.create(_tunnel(id), wait_up=False)
    terminal = Terminal(local_daemon.state_dir, "apply", folder, "--prune", columns=200)
    terminal.wait_for(r"Delete 1\? \[y/N\]")
    local_daemon.api.create(_tunnel("b"), wait_up=False)
    for id in ("a", "old"):
        local_daemon.api.patch(id, {"labels": {"by": "another"}})
    terminal.type("y\n")
    assert terminal.wait() == 1
    terminal.close()
    assert "1 of 4 done" in terminal.text() and terminal.text().count("changed by someone else") == 3, terminal.text()
    kept = {tunnel["id"]: tunnel for tunnel in local_daemon.api.get("/v1/tunnels")["tunnels"]}
    assert kept.keys() == {"a", "b", "c", "old"}
    assert all(kept[id]["spec"]["interface"]["addresses"] == ["10.2.0.2/32"] for id in ("a", "b"))


def test_what_comes_from_a_file_of_the_daemon_is_left_alone(make_daemon, directory):
    _write(directory, "own/a.conf", _conf())
    _write(directory, "others/b.conf", _conf(address="10.2.0.3"))
    daemon = make_daemon(arguments=["--tunnels-dir", f"{directory}/own"]).start()
    wait_until(lambda: daemon.api.request("GET", "/v1/tunnels/a").status == 200, what="the file's tunnel")
    warren = Command(daemon.state_dir)
    assert "origin" in warren("show", "a").stdout
    assert warren("apply", f"{directory}/others", "--prune").stdout.endswith("1 of 1 done\n")
    assert warren("ls", "--quiet").stdout == "a\nb\n"
    assert "file" in warren("rm", "a", code=1).stderr
    assert "in " in warren("apply", f"{directory}/own", code=1).stderr


def _through(via, address):
    return _conf(address=address, more=f"# warren: via = {via}\n# caf\u00e9\n" if via else "")


def test_apply_judges_files_that_go_through_each_other_together(warren, local_daemon, directory):
    """In any order of names; a circle is told by its members, and a chain can be turned."""
    api, folder = local_daemon.api, f"{directory}/tunnels"
    for name, via in (("a", "b"), ("b", "c"), ("c", None)):
        _write(folder, f"{name}.conf", _through(via, "10.2.0.2"))
    assert warren("apply", folder).stdout.endswith("3 to create, 0 to change, 0 to delete, 0 unchanged\n3 of 3 done\n")
    assert warren("apply", folder).stdout == "0 to create, 0 to change, 0 to delete, 3 unchanged\n"

    def vias():
        return {tunnel["id"]: tunnel["spec"]["interface"].get("via") for tunnel in api.get("/v1/tunnels")["tunnels"]}
    assert vias() == {"a": "b", "b": "c", "c": None}
    _write(folder, "c.conf", _through("a", "10.2.0.2"))
    told = warren("apply", folder, code=1).stderr
    assert "leads back to the tunnel: a, b, c." in told and f"in {folder}/a.conf" in told and "Nothing was done." in told, told
    for name, via in (("a", None), ("b", "a"), ("c", "b")):
        _write(folder, f"{name}.json", {"spec": {"interface": {"private_key": EXAMPLE_KEY, "addresses": ["10.2.0.2"], "via": via}}})
        os.remove(f"{folder}/{name}.conf")
    assert warren("apply", folder).stdout.endswith("3 of 3 done\n")
    assert vias() == {"a": None, "b": "a", "c": "b"}
    _write(folder, "d.conf", _through("nowhere", "10.2.0.2"))
    told = warren("apply", folder, code=1).stderr
    assert "There is no tunnel with the id that via names." in told and f"in {folder}/d.conf" in told
    # The inner ones go first: none of them is ever without its outer one.
    for name in ("a", "b", "c"):
        os.remove(f"{folder}/{name}.json")
    _write(folder, "d.conf", _conf())
    assert warren("apply", folder, "--prune", "--yes").stdout.endswith("4 of 4 done\n")
    deleted = [json.loads(line)["tunnel"] for line in warren("events", "--json").stdout.splitlines() if '"tunnel.deleted"' in line]
    assert deleted == ["c", "b", "a"]


def test_apply_makes_room_by_what_it_deletes(warren, local_daemon, directory):
    """The tunnel at the end of a chain of four is deleted, so that the chain can be longer at the other end."""
    folder = f"{directory}/tunnels"
    for name, via in (("a", "b"), ("b", "c"), ("c", "d"), ("d", None)):
        _write(folder, f"{name}.conf", _through(via, "10.2.0.2"))
    warren("apply", folder)
    os.remove(f"{folder}/a.conf")
    for name, via in (("d", "e"), ("e", None)):
        _write(folder, f"{name}.conf", _through(via, "10.2.0.2"))
    assert "At most four tunnels" in warren("apply", folder, code=1).stderr
    assert warren("apply", folder, "--prune", "--dry-run").stdout.endswith("1 to create, 1 to change, 1 to delete, 2 unchanged\n")
    assert warren("apply", folder, "--prune", "--yes").stdout.endswith("3 of 3 done\n")
    tunnels = local_daemon.api.get("/v1/tunnels")["tunnels"]
    assert {tunnel["id"]: tunnel["spec"]["interface"].get("via") for tunnel in tunnels} == {"b": "c", "c": "d", "d": "e", "e": None}


def test_apply_asks_before_it_deletes(local_daemon, directory):
    folder = f"{directory}/tunnels"
    _write(folder, "a.conf", _conf())
    local_daemon.api.create(_tunnel("old"), wait_up=False)
    terminal = Terminal(local_daemon.state_dir, "apply", folder, "--prune")
    terminal.wait_for(r"Delete 1\? \[y/N\]")
    assert "delete tunnel old" in terminal.text()
    terminal.type("y\n")
    assert terminal.wait() == 0
    terminal.close()
    assert [tunnel["id"] for tunnel in local_daemon.api.get("/v1/tunnels")["tunnels"]] == ["a"]


def test_pools(warren, local_daemon, directory):
    for id in ("ams-1", "ams-2"):
        local_daemon.api.create({**_tunnel(id), "labels": {"pool": "eu"}}, wait_up=False)
    path = _write(directory, "eu.pool.json", {"spec": {"members": {"labels": {"pool": "eu"}}, "sticky": {"by": "user"}}})
    assert re.fullmatch(r"eu created, \w+, proxy 127\.0\.0\.1:\d+(: .*)?\n", warren("pool", "add", path, "--label", "a=b").stdout)
    titles, row = warren.rows("pool", "ls")
    assert row[0] == "eu" and "0 of 2 up" in row and "a=b" in row and "round_robin" in row
    assert [words[0] for words in warren.rows("pool", "ls", "--label", "a=b", "--label", "c!=d")] == ["ID", "eu"]
    assert warren("pool", "ls", "--quiet", "--label", "a!=b").stdout == ""
    shown = warren("pool", "show", "e*").stdout
    assert re.search(r"^ams-1 +handshaking", shown, re.M) and re.search(r"^TUNNEL ", shown, re.M)
    assert "eu changed" in warren("pool", "set", "eu", "strategy=failover", "members.tunnels=ams-2,ams-1").stdout
    assert local_daemon.api.get("/v1/pools/eu")["spec"]["members"]["tunnels"] == ["ams-2", "ams-1"]
    assert "no pool matches" in warren("pool", "show", "us*", code=1).stderr and warren("pool", "show", "us", code=1).stderr
    assert warren("pool", "rotate", "eu").stdout == "0 of eu will choose anew\n"
    assert "no " in warren("pool", "rotate", "eu", "nobody", code=1).stderr
    folder = f"{directory}/set"
    _write(folder, "eu.pool.json", {"labels": {"a": "b"}, "spec": {"members": {"labels": {"pool": "eu"}}, "sticky": {"by": "user"}}})
    _write(folder, "us.pool.json", {"spec": {}})
    plan = warren("apply", folder).stdout
    assert "+ create pool us\n" in plan and "~ change pool eu\n" in plan and "strategy" in plan and plan.endswith("2 of 2 done\n")
    assert warren("pool", "ls", "--quiet").stdout == "eu\nus\n"
    assert {"pool.created", "pool.changed"} <= {json.loads(line)["type"] for line in warren("events", "--json").stdout.splitlines()}
    assert warren("pool", "rm", "us").stdout == "us deleted\n"
    assert json.loads(warren("save").stdout)["pools"][0]["id"] == "eu"
    assert warren("pool", "rm", "--all").stdout == "1 deleted\n"


def test_save_and_load(warren, local_daemon, directory):
    local_daemon.api.create(_tunnel("a"), wait_up=False)
    saved = warren("save").stdout
    assert json.loads(saved)["tunnels"][0]["spec"]["interface"]["private_key"]
    warren("rm", "a")
    path = _write(directory, "state.json", saved)
    assert warren("load", path).stdout == "1 created, 0 changed, 0 unchanged, 0 deleted\n"
    assert warren("load", "-", stdin=saved).stdout == "0 created, 0 changed, 1 unchanged, 0 deleted\n"
    assert warren("apply", path).stdout == "0 to create, 0 to change, 0 to delete, 1 unchanged\n"


def test_tokens_and_tcp(warren, local_daemon, directory):
    address = local_daemon.address
    token = warren("token", "add", "reader", "--scope", "read").stdout.strip()
    listed = warren.rows("token", "ls")
    assert listed[1][1:3] == ["reader", "read"] and token not in str(listed)
    path = _write(directory, "token", token + "\n")
    os.chmod(path, 0o600)
    over_tcp = ("--url", f"http://{address}/", "--token-file", path)
    local_daemon.api.create(_tunnel("a"), wait_up=False)
    assert warren(*over_tcp, "ls", "--quiet", http_proxy="http://127.0.0.1:9").stdout == "a\n"
    assert "scope" in warren(*over_tcp, "rm", "a", code=1).stderr
    saved = warren(*over_tcp, "save")
    assert "private_key\"" not in saved.stdout and "scope admin" in saved.stderr
    assert "--token-file" in warren("--url", f"http://{address}", "ls", code=1).stderr
    os.chmod(path, 0o644)
    warned = warren(*over_tcp, "ls")
    assert "everyone can read" in warned.stderr and token not in warned.stdout + warned.stderr
    _write(directory, "empty", "\n")
    assert "does not hold a token" in warren("--url", f"http://{address}", "--token-file", f"{directory}/empty", "ls", code=1).stderr
    warren("token", "rm", listed[1][0])
    assert "token" in warren(*over_tcp, "ls", code=1).stderr


@contextlib.contextmanager
def _following(daemon, path, *options):
    """`warren events --follow`: the process, and a function that returns what it has written so far."""
    def output():
        with open(path, encoding="utf-8") as file:
            return file.read()
    with open(path, "w", encoding="utf-8") as file:
        process = subprocess.Popen([program(), *options, "events", "--follow"], stdout=file, stderr=file, env=environment(daemon.state_dir),
                                   preexec_fn=die_with_parent)
    try:
        yield process, output
    finally:
        process.kill()
        process.wait()


def test_the_token_is_never_seen(warren, local_daemon, directory):
    """Neither in the arguments nor in the environment of the process, nor in what it prints."""
    path = f"{local_daemon.state_dir}/admin.token"
    local_daemon.api.create(_tunnel("a"), wait_up=False)
    with _following(local_daemon, f"{directory}/events", "--url", f"http://{local_daemon.address}", "--token-file", path) as (process, output):
        def sees_change():
            local_daemon.api.patch("a", {"labels": {"x": str(time.monotonic())}})
            return "tunnel.changed" in output()
        wait_until(sees_change, what="an event")
        for name in ("cmdline", "environ"):
            with open(f"/proc/{process.pid}/{name}", "rb") as file:
                assert local_daemon.token.encode() not in file.read()
        assert local_daemon.token not in output()


def test_tls(make_daemon, directory):
    make_certificate(f"{directory}/cert.pem", f"{directory}/key.pem", "localhost", "IP:127.0.0.1")
    daemon = make_daemon(arguments=["--tls-cert", f"{directory}/cert.pem", "--tls-key", f"{directory}/key.pem"])
    daemon.start(wait=False)
    wait_until(lambda: os.path.exists(f"{daemon.state_dir}/api.addr"), what="api.addr")
    with open(f"{daemon.state_dir}/api.addr", encoding="ascii") as file:
        address = file.read().strip()
    warren = Command(daemon.state_dir)
    over_tls = ("--url", f"https://{address}", "--token-file", f"{daemon.state_dir}/admin.token", "version")
    assert "SSL_CERT_FILE" in warren(*over_tls, code=3).stderr
    assert "warrend" in warren(*over_tls, SSL_CERT_FILE=f"{directory}/cert.pem").stdout
    assert warren("ui").stdout.startswith(f"https://{address}/#token=")


def test_the_page_address(warren, local_daemon):
    assert warren("ui").stdout == f"http://{local_daemon.address}/#token={local_daemon.token}\n"


def test_the_page_address_if_the_socket_is_elsewhere(make_daemon, directory):
    path = f"{directory}/elsewhere.sock"
    daemon = make_daemon(arguments=["--unix-socket", path]).start()
    address = f"http://{daemon.address}/#token={daemon.token}\n"
    assert Command(daemon.state_dir)("--socket", path, "ui").stdout == address
    assert Command(daemon.state_dir)("ui", WARREN_UNIX_SOCKET=path).stdout == address
    assert "api.addr cannot be read" in Command(f"{directory}/none")("--socket", path, "ui", code=3).stderr


def test_connections_are_seen_and_cut(warren, local_daemon):
    with pages(size=64 << 20) as server:
        _, near = create_pair(local_daemon.api, Ends(), server.address)
        host, port = proxy_address(near)
        process = subprocess.Popen(["curl", "-sS", "--noproxy", "", "-x", f"http://{host}:{port}", f"http://{INNER}/", "-o", "/dev/null",
                                    "--limit-rate", "1m"], stderr=subprocess.PIPE, preexec_fn=die_with_parent)
        try:
            listed = ("connections", "--tunnel", "near")
            titles, row = wait_until(lambda: (rows := warren.rows(*listed)) and len(rows) == 2 and dict(zip(*rows))["TARGET"] != "-" and rows,
                                     what="it is listed, and its request is read")
            shown = dict(zip(titles, row))
            assert shown["TUNNEL"] == "near" and shown["TARGET"].startswith(INNER) and shown["CLIENT"].startswith("127.0.0.1:")
            assert json.loads(warren("connections", "--json").stdout)["connections"]
            assert len(warren.rows("connections", "--tunnel", "none")) == 1
            assert warren("kill", shown["ID"]).stdout == f"{shown['ID']} closed\n"
            process.communicate(timeout=20)
            assert process.returncode != 0
            assert "no open connection" in warren("kill", shown["ID"], code=1).stderr
        finally:
            process.kill()
            process.wait()


def test_usage(warren):
    help = warren("--help").stdout
    names = re.findall(r"^  ((?:pool |token |node |worker )?[a-z]+) .*$", help.split("COMMAND\n")[1], re.M)
    assert len(names) > 30
    for line in names:
        told = warren(*line.split(), "--help").stdout
        assert told.startswith(f"warren {line}"), told
    for words in ((), ("nonsense",), ("ls", "word"), ("show",), ("pool",), ("pool", "nonsense"), ("ls", "--nonsense"), ("ls", "--label"),
                  ("--socket",), ("set", "a"), ("token", "add", "x"), ("--socket", "/a", "--url", "http://b", "ls"), ("--url", "b:1", "ls"),
                  ("--socket", "/" + "a" * 120, "ls")):
        result = warren(*words, code=2)
        assert result.stderr.startswith("warren: ") and result.stdout == "", words
    assert '"warren set --help"' in warren("set", "a", code=2).stderr
    for words in (("pool",), ("pool", "--help")):
        assert "name a command of 'pool': ls show add set rm rotate\n" in warren(*words, code=2).stderr
    assert re.fullmatch(r"warren \d+\.\d+\.\d+\n", warren("--version").stdout)


def test_info_is_a_table_of_the_daemon_and_its_workers(warren, local_daemon):
    shown = warren("info").stdout
    assert re.search(r"version +\d+\.\d+\.\d+", shown) and re.search(rf"pid +{local_daemon.pid}\n", shown), shown
    assert re.search(r"WORKER +PID +STATE", shown) and re.search(r"0 +\d+ +ready", shown), shown


def test_workers_are_listed_and_replaced_and_tunnels_move(make_daemon):
    daemon = make_daemon(arguments=["--workers", "2"]).start()
    warren = Command(daemon.state_dir)
    assert [row[:1] + row[2:4] for row in warren.rows("workers")] == [["WORKER", "STATE", "TUNNELS"], ["0", "ready", "0"], ["1", "ready", "0"]]
    for id in ("m-1", "m-2"):
        daemon.api.create(_tunnel(id), wait_up=False)
    for worker in ("1", "0", "0"):
        assert warren("move", "m-*", "--worker", worker).stdout == f"m-1 is on worker {worker}\nm-2 is on worker {worker}\n"
    assert json.loads(warren("move", "m-1", "--worker", "1", "--json").stdout)["status"]["worker"] == 1
    for wrong in ((), ("--worker", ""), ("--worker", "-1"), ("--worker", "1x"), ("--worker", "9" * 19)):
        assert "give --worker" in warren("move", "m-1", *wrong, code=2).stderr
    assert "/worker" in warren("move", "m-1", "--worker", "9", code=1).stderr
    assert "--drain-timeout is" in warren("worker", "replace", "0", "--drain-timeout", "soon", code=2).stderr
    assert "name a command of 'worker': replace" in warren("worker", code=2).stderr
    warren("worker", "replace", "7", code=1)
    told = warren("worker", "replace", "1", "--drain-timeout", "60").stdout
    assert told == "worker 1 is being replaced by worker 2, which waits up to 60 s for open connections\n", told
    wait_until(lambda: [row[0] for row in warren.rows("workers")][1:] == ["0", "2"], what="it is replaced")
    assert "by worker 1, which waits up to 60 min" in warren("worker", "replace", "2").stdout


def test_a_daemon_in_no_fleet_says_so(warren):
    assert "this warrend is in no fleet" in warren("node", "ls", code=1).stderr
    assert json.loads(warren("node", "ls", "--json").stdout)["nodes"] == []


def test_a_daemon_that_is_not_there(make_daemon, directory):
    warren = Command(f"{directory}/state")
    told = warren("ls", code=3).stderr
    assert f"{directory}/state/api.sock" in told and "Is warrend running?" in told and "--socket" in told
    daemon = make_daemon().start()
    warren("health")
    daemon.kill()
    assert "Start it again" in warren("health", code=3).stderr
    assert "--listen" in warren("--url", f"http://{daemon.address}", "health", code=3).stderr
    assert "health" not in warren("version", code=3).stdout


def test_a_socket_that_is_not_ours(directory):
    """EACCES names who may."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv")
    os.chmod(directory, 0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{directory}/api.sock")
        listener.listen()
        for mode, says in ((0o660, "Join the group"), (0o600, "--socket-group")):
            os.chmod(f"{directory}/api.sock", mode)
            result = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", program(), "--socket",
                                     f"{directory}/api.sock", "ls"], capture_output=True, text=True, env=environment(directory))
            if "Permission denied" not in result.stderr or "cannot execute" in result.stderr:
                pytest.skip(f"the program is not reachable as another user: {result.stderr}")
            assert result.returncode == 3 and "belongs to user root and group root" in result.stderr and says in result.stderr, result.stderr


@contextlib.contextmanager
def _liar(directory, answers):
    """A server on api.sock that answers a path with this body: (status, type, body)."""
    os.makedirs(f"{directory}/liar", exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{directory}/liar/api.sock")
    listener.listen()

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                head = read_head(connection)
                target = head.split(b" ")[1].decode() if b" " in head else ""
                status, kind, body = answers.get(target) or answers.get(target.split("?")[0]) or (404, "text/plain", b"")
                connection.sendall(b"HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
                                   % (status, kind.encode(), len(body), body))
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"{directory}/liar"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        os.unlink(f"{directory}/liar/api.sock")


HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\n\x9b31m\u202eevil"


def _acts_on_terminal(text):
    """Whether any character but line ends and our own sequences would act."""
    own = re.compile(r"\x1b\[(\?1049[hl]|\?25[hl]|[HJK]|[0-9;]*m)")
    return [char for char in own.sub("", text).replace("\r\n", "").replace("\n", "") if unicodedata.category(char) in ("Cc", "Cf")]


@pytest.mark.parametrize("words", [("ls",), ("ls", "--quiet"), ("show", "a"), ("stats",), ("stats", "a"), ("top",), ("events",), ("connections",),
                                   ("pool", "ls"), ("pool", "show", "a"), ("token", "ls"), ("info",), ("workers",), ("node", "ls"), ("health",), ("version",),
                                   ("add", "-"), ("probe", "a"), ("ls", "--json"), ("show", "a", "--json"), ("apply", "/dev/null")])
def test_texts_of_the_server_never_act_on_the_terminal(directory, words):
    tunnel = {"id": f"a{HOSTILE}", "labels": {HOSTILE: HOSTILE}, "spec": {"interface": {"addresses": [HOSTILE]}, "forwards": [{"name": HOSTILE}]},
              "status": {"state": HOSTILE, "reason": HOSTILE, "listen": [HOSTILE], "since": HOSTILE, "public_key": HOSTILE, "peers": [
                  {"public_key": HOSTILE, "endpoint": HOSTILE}], "conditions": [{"type": HOSTILE, "detail": HOSTILE}],
                  "health": {"healthy": False, "exit_ip": HOSTILE, "probe": {"detail": HOSTILE, "rtt_ms": 1e300}}},
              "applied": HOSTILE, "warnings": [{"line": 1, "detail": HOSTILE}, {"detail": HOSTILE}]}
    stats = {"id": tunnel["id"], "state": HOSTILE, HOSTILE: HOSTILE, "bytes_sent": 1e300, "throughput_sent": -1e300, "dropped": {HOSTILE: 1}}
    event = {"id": 1, "at": HOSTILE, "type": HOSTILE, "tunnel": HOSTILE, HOSTILE: HOSTILE}
    everything = {"tunnels": [tunnel], "pools": [tunnel], "connections": [{"id": HOSTILE, "user": HOSTILE, "target": HOSTILE}],
                  "next_page_token": "", "tokens": [{"id": HOSTILE, "name": HOSTILE, "scopes": [HOSTILE], "labels": {HOSTILE: HOSTILE}}],
                  "nodes": [{"id": HOSTILE, "labels": {"a": HOSTILE}}], "degraded": [HOSTILE], "version": HOSTILE, "x": {HOSTILE: HOSTILE},
                  "workers": [{"state": HOSTILE}], "detail": HOSTILE, "target": HOSTILE, "type": HOSTILE, **tunnel}
    body = json.dumps(everything, ensure_ascii=False).encode()
    paths = ("/v1/tunnels", "/v1/tunnels/a", "/v1/pools", "/v1/pools/a", "/v1/connections", "/v1/tokens", "/v1/info", "/v1/nodes", "/v1/version",
             "/v1/tunnels/a/actions/probe")
    answers = {path: (200, "application/json", body) for path in paths}
    answers["/readyz"] = (200, "application/json", json.dumps({"status": HOSTILE, "degraded": [HOSTILE]}, ensure_ascii=False).encode())
    answers["/v1/stats"] = (200, "application/json", json.dumps({"tunnels": [stats], "totals": stats}, ensure_ascii=False).encode())
    answers["/v1/tunnels/a/stats"] = (200, "application/json", json.dumps(stats, ensure_ascii=False).encode())
    answers["/v1/events"] = (200, "application/x-ndjson", b'{"id": 1, "type": "heartbeat"}\n')
    answers["/v1/events?since=0"] = (200, "application/x-ndjson", json.dumps(event, ensure_ascii=False).encode() + b"\n")
    with _liar(directory, answers) as state_dir:
        terminal = Terminal(state_dir, *words, columns=200)
        if words[0] == "top":
            terminal.wait_for("q: quit")
            terminal.wait_for("owned")
            terminal.type("q")
        elif words[0] == "add":
            terminal.type(_conf() + "\x04")
        terminal.wait()
        terminal.close()
    assert "owned" in terminal.text() or words[0] == "apply"
    typed = _conf() if words[0] == "add" else ""
    assert _acts_on_terminal(terminal.text().replace(typed.replace("\n", "\r\n"), "").replace("^D\x08\x08", "")) == []


@pytest.mark.parametrize("answer", [(200, "text/html", b"<html>"), (502, "text/html", b"<html>\x1b[2J"), (200, "application/json", b"[1]"),
                                    (200, "application/json", b"{}"), (404, "application/problem+json", b"{}"), (200, "application/json", b"")])
def test_a_server_that_is_no_warrend(directory, answer):
    paths = ("/v1/tunnels", "/v1/stats", "/v1/tunnels/a", "/v1/events", "/v1/version")
    with _liar(directory, {path: answer for path in paths}) as state_dir:
        for words in (("ls",), ("top",), ("show", "a"), ("set", "a", "b=c"), ("events",), ("version",), ("apply", "/dev/null")):
            result = subprocess.run([program(), *words], capture_output=True, text=True, timeout=30, env=environment(state_dir))
            assert result.returncode in (0, 1), (words, result)
            assert "\x1b" not in result.stderr and (answer[0] == 200 or result.stderr)


def test_a_tunnel_on_another_node(directory):
    """A redirect is not followed, because the token is not for the other node."""
    kind = "text/plain\r\nLocation: http://10.0.0.5:8470/v1/tunnels/a"
    with _liar(directory, {"/v1/tunnels/a": (307, kind, b"")}) as state_dir:
        told = Command(state_dir)("show", "a", code=1).stderr
    assert told == "warren: a: another node answers for it; ask that one, with --url http://10.0.0.5:8470\n"


@pytest.mark.parametrize("words, path", [(("stats", "a"), "/v1/tunnels/a/stats"), (("node", "drain", "a"), "/v1/nodes/a")])
def test_another_node_is_named(directory, words, path):
    with _liar(directory, {path: (307, f"text/plain\r\nLocation: https://ams-2:8470{path}", b"")}) as state_dir:
        assert "warren: a: another node answers for it; ask that one, with --url https://ams-2:8470\n" in Command(state_dir)(*words, code=1).stderr


def test_connections_that_are_missing_are_told(directory):
    def page(token, **more):
        return 200, "application/json", json.dumps({"connections": [{"id": "1-2-3"}], "next_page_token": token, **more}).encode()
    first = "/v1/connections?page_size=1000"
    for answers, is_told in (({first: page("x"), f"{first}&page_token=x": page("", incomplete=True)}, True),
                             ({first: page("x", incomplete=True), f"{first}&page_token=x": page("")}, True),
                             ({first: page("")}, False)):
        with _liar(directory, answers) as state_dir:
            shown, written = Command(state_dir)("connections"), Command(state_dir)("connections", "--json")
        assert shown.stderr == written.stderr == ("warning: some connections are missing, because a worker did not answer in time\n" if is_told else "")
        assert json.loads(written.stdout).get("incomplete", False) == is_told


def test_colour_is_for_terminals_that_want_it(warren, local_daemon):
    local_daemon.api.create(_tunnel("a"), wait_up=False)
    assert "\x1b" not in warren("ls").stdout
    for more, has_colour in (({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)):
        terminal = Terminal(local_daemon.state_dir, "ls", **more)
        assert terminal.wait() == 0
        terminal.close()
        assert bool(COLOUR.search(terminal.text())) == has_colour, more


def _traffic(local_daemon, server):
    _, near = create_pair(local_daemon.api, Ends(), server.address)
    host, port = proxy_address(near)
    words = ("--noproxy", "", "-x", f"http://{host}:{port}", f"http://{INNER}/", "-o", "/dev/null", "--limit-rate", "4m")
    thread = threading.Thread(target=curl, args=(None, *words))
    thread.start()
    return thread


@pytest.mark.parametrize("columns", [40, 200])
def test_top_on_a_terminal(local_daemon, columns):
    """Rates move, no line is wider than the terminal, a new size is taken at once, and q gives the terminal back."""
    with pages(size=24 << 20) as server:
        traffic = _traffic(local_daemon, server)
        terminal = Terminal(local_daemon.state_dir, "top", columns=columns, rows=10)
        terminal.wait_for(r"near +(\x1b\[\d+m)?up.*[1-9.]+ (MiB|KiB)/s")
        terminal.wait_for(r"q: quit(.|\n)*q: quit(.|\n)*\x1b\[J")
        for picture in terminal.pictures():
            assert all(len(line) <= columns for line in picture), picture
            assert len(picture) <= 10
        titles = terminal.pictures()[-1][1].split()
        assert titles[:2] == ["ID", "STATE"] and ("HANDSHAKE" in titles) == (columns == 200)
        terminal.clear()
        terminal.resize(columns + 30 if columns == 40 else 60, 5)
        os.kill(terminal.process.pid, signal.SIGWINCH)
        terminal.wait_for(r"q: quit(.|\n)*\x1b\[J")
        assert all(len(line) <= 70 for line in terminal.pictures()[-1]) and len(terminal.pictures()[-1]) <= 5
        terminal.type("q")
        assert terminal.wait() == 0
        assert terminal.text().endswith("\x1b[?25h\x1b[?1049l")
        assert termios.tcgetattr(terminal.slave)[3] == terminal.before[3], "echo and lines are as they were"
        terminal.close()
        traffic.join()


def test_top_gives_the_terminal_back_when_it_is_ended(local_daemon):
    terminal = Terminal(local_daemon.state_dir, "top")
    terminal.wait_for("q: quit")
    terminal.type("\x03")
    assert terminal.wait() == -2
    assert terminal.text().endswith("\x1b[?1049l") and termios.tcgetattr(terminal.slave)[3] & termios.ECHO
    terminal.close()
    terminal = Terminal(local_daemon.state_dir, "top")
    terminal.wait_for("q: quit")
    local_daemon.stop()
    assert terminal.wait() == 3
    assert "cannot reach warrend" in terminal.text().split("\x1b[?1049l")[-1]
    terminal.close()


def test_top_without_a_terminal_is_a_table(warren, local_daemon):
    local_daemon.api.create(_tunnel("a"), wait_up=False)
    rows = warren.rows("top")
    assert rows[0][:2] == ["ID", "STATE"] and rows[1][0] == "a"
    assert json.loads(warren("top", "--json").stdout)["tunnels"][0]["id"] == "a"


def test_events_follow_over_a_restart(make_daemon, directory):
    daemon = make_daemon().start()
    daemon.listen = daemon.address
    daemon.api.create(_tunnel("a"), wait_up=False)
    with _following(daemon, f"{directory}/events") as (_, output):
        def sees_change(label):
            daemon.api.patch("a", {"labels": {label: str(time.monotonic())}})
            return re.search(r"tunnel\.changed +a", output().split("the stream of events ended")[-1])
        wait_until(lambda: sees_change("before"), what="an event")
        daemon.stop()
        wait_until(lambda: "the stream of events ended" in output(), what="the end is told")
        daemon.start()
        wait_until(lambda: sees_change("after"), timeout=30, what="an event after the restart")


def test_output_that_nobody_takes_is_a_failure(warren, local_daemon):
    local_daemon.api.create(_tunnel("a"), wait_up=False)
    with open("/dev/full", "w", encoding="ascii") as full:
        result = subprocess.run([program(), "save"], stdout=full, stderr=subprocess.PIPE, text=True, env=environment(local_daemon.state_dir))
    assert result.returncode == 1 and "No space left" in result.stderr


def test_a_reader_that_goes_away_ends_it_quietly(local_daemon, directory):
    """`warren … | head`: no complaint, and a stream of events does not go on for nobody."""
    local_daemon.api.create(_tunnel("a"), wait_up=False)
    for words in (("ls",), ("events", "--follow")):
        reader, writer = os.pipe()
        os.close(reader)
        with open(f"{directory}/complaints", "w+", encoding="utf-8") as complaints:
            process = subprocess.Popen([program(), *words], stdout=writer, stderr=complaints, env=environment(local_daemon.state_dir),
                                       preexec_fn=die_with_parent)
            os.close(writer)

            def has_ended():
                local_daemon.api.patch("a", {"labels": {"x": str(time.monotonic())}})
                return process.poll() is not None
            wait_until(has_ended, what=f"{words} ends")
            complaints.seek(0)
            assert process.returncode == 1 and complaints.read() == ""


def test_it_starts_quickly(local_daemon):
    """Under 10 ms on an idle machine; the limit is for a busy one."""
    if is_sanitized():
        pytest.skip("sanitizers cost time")
    took = []
    for _ in range(30):
        before = time.monotonic()
        subprocess.run([program(), "health"], stdout=subprocess.DEVNULL, env=environment(local_daemon.state_dir), check=True)
        took.append(time.monotonic() - before)
    print(f"\nwarren health: {1000 * min(took):.1f} ms at best, {1000 * sorted(took)[15]:.1f} ms in the middle")
    assert min(took) < 0.1


def test_a_new_file_of_keys_is_nobody_elses(warren, local_daemon, directory):
    """`save` writes to stdout alone; the shell's umask decides."""
    local_daemon.api.create(_tunnel("a"), wait_up=False)
    subprocess.run(["sh", "-c", f"umask 077; {program()} save > {directory}/state.json"], env=environment(local_daemon.state_dir), check=True)
    assert stat.S_IMODE(os.stat(f"{directory}/state.json").st_mode) == 0o600
