"""docs/backup.md: its commands, as they stand."""

import os
import re
import subprocess

from harness.daemon import ROOT


def _commands(heading):
    with open(f"{ROOT}/docs/backup.md", encoding="utf-8") as file:
        section = file.read().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.search(r"```sh\n(.*?)```", section, re.DOTALL)[1]


def _run(heading, directory, **variables):
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", _commands(heading)], cwd=directory, env={**os.environ, **variables}, capture_output=True,
                          text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _tunnel(**proxy):
    return {"labels": {"pool": "eu"}, "spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]}, "proxy": proxy,
            "forwards": [{"name": "f", "listen": "127.0.0.1:0", "target": "10.9.9.9:80"}]}}


def _ports(daemon):
    return {tunnel["id"]: (tunnel["status"]["listen"], tunnel["status"]["forwards"]) for tunnel in daemon.api.get("/v1/tunnels?view=full")["tunnels"]}


def test_back_up_restore_and_move(make_daemon, directory):
    old, new = make_daemon(), make_daemon()
    old.start()
    old.api.expect(201, "PUT", "/v1/tunnels/a", _tunnel(users=[{"username": "u", "password": "p"}]))
    old.api.expect(201, "PUT", "/v1/tunnels/b", _tunnel())
    ports = _ports(old)
    _run("Back up", directory, STATE=old.state_dir)
    assert os.stat(f"{directory}/backup.json").st_mode & 0o777 == 0o600
    # On the same machine, after a mistake: what is still there is not touched.
    old.api.delete("a")
    answers = _run("Restore", directory, STATE=old.state_dir)
    assert answers == '{"created":1,"changed":1,"unchanged":0,"deleted":0}' * 2 and _ports(old) == ports
    assert _run("Restore", directory, STATE=old.state_dir) == '{"created":0,"changed":0,"unchanged":2,"deleted":0}' * 2
    # On another machine.
    secrets = old.api.get("/v1/state?include_secrets=true")
    old.stop()
    new.start()
    _run("Restore", directory, STATE=new.state_dir)
    assert _ports(new) == ports and new.api.get("/v1/state?include_secrets=true") == secrets
    new.stop()
    _run("Copy the state directory", directory, STATE=new.state_dir, COPY=f"{directory}/copy")
    new.state_dir = f"{directory}/copy"
    new.start()
    assert _ports(new) == ports


def test_a_state_keeps_bound_ports_and_says_what_it_leaves_out(local_daemon):
    api = local_daemon.api
    api.expect(201, "PUT", "/v1/tunnels/a", _tunnel())
    ports = _ports(local_daemon)
    plain = api.get("/v1/state")
    assert plain["left_out"] == ["tokens", "files", "usage", "secrets", "ports"]
    assert plain["tunnels"][0]["spec"]["proxy"]["listen"] == ["127.0.0.1:0"]
    plain["tunnels"][0]["labels"] = {}
    api.expect(200, "PUT", "/v1/state", plain)
    assert _ports(local_daemon) == ports
    assert api.get("/v1/state?include_ports=true&include_secrets=true")["left_out"] == ["tokens", "files", "usage"]
    whole = api.get("/v1/state?include_ports=true")["tunnels"][0]["spec"]
    assert whole["proxy"]["listen"] == ports["a"][0] and whole["forwards"][0]["listen"] == ports["a"][1][0]["listen"]
