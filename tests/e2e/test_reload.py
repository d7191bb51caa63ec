"""Reload by a signal or over the API, the signals that people send by habit, and --check."""

import contextlib
import json
import os
import signal
import subprocess

import pytest

from harness import keys
from harness.certificates import make_certificate
from harness.command import Command
from harness.daemon import binary
from harness.process import wait_until


def _conf(address="10.2.0.2"):
    return f"[Interface]\nPrivateKey = {keys.new_key().private}\nAddress = {address}\n"


def _write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _certificate(directory, name="warren.test"):
    make_certificate(f"{directory}/cert.pem", f"{directory}/key.pem", name)


def _open_files(pid):
    files = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            files.append(os.readlink(f"/proc/{pid}/fd/{number}"))
    return files


@pytest.fixture
def config(directory):
    _write(f"{directory}/warrend.json", json.dumps({"log_level": "info"}))
    return f"{directory}/warrend.json"


@pytest.mark.parametrize("way", ["signal", "request"])
def test_everything_is_read_again(make_daemon, directory, config, way):
    _certificate(directory)
    os.makedirs(f"{directory}/tunnels")
    daemon = make_daemon(arguments=["--config", config, "--tls-cert", f"{directory}/cert.pem", "--tls-key", f"{directory}/key.pem", "--tunnels-dir",
                                    f"{directory}/tunnels", "--access-log", f"{directory}/access.log"]).start()
    workers = daemon.workers()
    _write(config, json.dumps({"log_level": "debug", "workers": 3}))
    os.rename(f"{directory}/access.log", f"{directory}/access.log.1")
    if way == "request":
        answer = daemon.api.expect(200, "POST", "/v1/actions/reload").json
        assert set(answer["reloaded"]) == {"configuration", "certificate", "access_log", "tunnels_dir"}
        assert answer["restart_needed"] == ["workers"]
        assert Command(daemon.state_dir)("reload").stdout == "reloaded; a restart is needed for: workers\n"
    else:
        os.kill(daemon.pid, signal.SIGHUP)
        wait_until(lambda: "reload is done: " in daemon.process.log(), what="the reload is done")
        assert '"restart_needed":["workers"]' in daemon.process.log()
    # The next line makes a new one.
    wait_until(lambda: f"{directory}/access.log.1" not in _open_files(daemon.pid), what="the old log is closed")
    assert daemon.workers() == workers


@pytest.mark.parametrize("way", ["reload", "upgrade"])
def test_running_workers_log_as_the_configuration_says(make_daemon, config, way):
    """After a reload, and under a program that takes them over and has read it anew."""
    _write(config, json.dumps({"log_level": "error"}))
    daemon = make_daemon(arguments=["--config", config]).start()

    def makes_worker_log(id):
        daemon.api.create({"id": id, "spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]}, "peers": [
            {"public_key": keys.new_key().public, "endpoint": "127.0.0.1:9", "allowed_ips": ["0.0.0.0/0"]}]}}, wait_up=False)
        daemon.api.wait_state(id, "handshaking")
        return any("worker " in line and id in line for line in daemon.process.log().splitlines())
    assert not makes_worker_log("quiet")
    _write(config, json.dumps({"log_level": "info"}))
    if way == "reload":
        daemon.api.expect(200, "POST", "/v1/actions/reload")
    else:
        daemon.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: "has taken over" in daemon.process.log(), what="the upgrade")
    assert makes_worker_log("told")


def test_a_fault_leaves_what_was_there(make_daemon, directory, config):
    _certificate(directory)
    os.makedirs(f"{directory}/tunnels")
    _write(f"{directory}/tunnels/a.conf", _conf())
    daemon = make_daemon(arguments=["--config", config, "--tls-cert", f"{directory}/cert.pem", "--tls-key", f"{directory}/key.pem", "--tunnels-dir",
                                    f"{directory}/tunnels"]).start()
    _write(config, '{\n "log_level": "loud"\n}')
    _write(f"{directory}/cert.pem", "no certificate")
    _write(f"{directory}/tunnels/a.conf", "nonsense")
    reply = daemon.api.request("POST", "/v1/actions/reload")
    assert reply.status == 422
    faults = {fault["pointer"]: fault["detail"] for fault in reply.json["errors"]}
    assert set(faults) == {"/configuration", "/tls_cert", "/tunnels_dir/a.conf"}
    assert "line 2: member 'log_level'" in faults["/configuration"]
    assert daemon.api.get("/v1/tunnels/a")["spec"]["interface"]["addresses"] == ["10.2.0.2/32"]


def test_only_an_admin_reloads(local_daemon):
    token = local_daemon.api.expect(201, "POST", "/v1/tokens", {"name": "w", "scopes": ["write"]}).json["token"]
    assert local_daemon.tcp_api(token).request("POST", "/v1/actions/reload").status == 403


def test_no_signal_of_habit_ends_the_daemon_or_a_worker(local_daemon):
    before = local_daemon.family()
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
        for pid in before:
            os.kill(pid, number)
    wait_until(lambda: "has taken over" in local_daemon.process.log() and "reload is done" in local_daemon.process.log(), what="they are told")
    wait_until(lambda: local_daemon.api.request("GET", "/readyz").status == 200, what="the API answers")
    assert local_daemon.family() == before


def test_a_closed_terminal_reloads(directory):
    """The daemon leads the session of a terminal, which goes."""
    import pty
    pid, terminal = pty.fork()
    if pid == 0:
        log = os.open(f"{directory}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 2)
        os.execv(binary(), [binary(), "--state-dir", f"{directory}/state", "--listen", "127.0.0.1:0", "--workers", "1"])
    try:
        def log():
            with open(f"{directory}/log", encoding="utf-8") as file:
                return file.read()
        wait_until(lambda: os.path.exists(f"{directory}/log") and "the API answers" in log(), what="it runs")
        os.close(terminal)
        wait_until(lambda: "reload is done" in log(), what="it reloads")
        assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


def _check(*arguments):
    done = subprocess.run([binary(), "--check", *arguments], capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, done.stdout, done.stderr


def test_check_of_what_is_in_order(directory, config, local_daemon):
    """A state directory that is in use, and one that is not there yet; nothing is made or changed."""
    os.makedirs(f"{directory}/tunnels")
    _write(f"{directory}/tunnels/a.conf", _conf())
    _certificate(directory)
    before = {name: os.stat(f"{local_daemon.state_dir}/{name}").st_mtime_ns for name in os.listdir(local_daemon.state_dir)}
    arguments = ["--config", config, "--tunnels-dir", f"{directory}/tunnels", "--tls-cert", f"{directory}/cert.pem", "--tls-key", f"{directory}/key.pem"]
    for state in (local_daemon.state_dir, f"{directory}/not/there"):
        assert _check("--state-dir", state, *arguments) == (0, "warrend: everything is in order\n", "")
    assert not os.path.exists(f"{directory}/not")
    assert {name: os.stat(f"{local_daemon.state_dir}/{name}").st_mtime_ns for name in os.listdir(local_daemon.state_dir)} == before


def test_check_tells_every_fault(directory, config):
    os.makedirs(f"{directory}/tunnels")
    os.makedirs(f"{directory}/state", mode=0o700)
    _write(f"{directory}/tunnels/a.conf", "nonsense")
    _write(f"{directory}/tunnels/b.json", "{")
    _write(f"{directory}/tunnels/c.conf", _conf() + "# warren: listen = 0.0.0.0:1\n")
    _write(config, '{\n "log_level": "loud",\n "wrokers": 1,\n "workers": 1000,\n "no_auth": 1\n}')
    _write(f"{directory}/state/state.db", "this is no database, and it is long enough to be read as one" * 20)
    os.chmod(f"{directory}/state/state.db", 0o600)
    code, _, text = _check("--config", config, "--state-dir", f"{directory}/state", "--tunnels-dir", f"{directory}/tunnels",
                           "--tls-cert", f"{directory}/none.pem", "--tls-key", f"{directory}/none.pem")
    assert code == 2
    for part in ("line 2: member 'log_level'", "line 3: member 'wrokers': is unknown", "line 4: member 'workers'", "line 5: member 'no_auth'",
                 f"--tls-cert {directory}/none.pem cannot be read: No such file", "state.db", "a.conf: /line/1: A line", "no [Interface] section", "b.json: /line/1",
                 "c.conf: /line/"):
        assert part in text, (part, text)
    assert len(text.splitlines()) == 10, text


def test_check_judges_tunnels_through_tunnels(directory):
    """Those of the files; one that is not among them may be the API's."""
    for name, via in (("a", "b"), ("b", "c"), ("c", "a"), ("in", "not-here"), ("1", "2"), ("2", "3"), ("3", "4"), ("4", "5"), ("5", None)):
        _write(f"{directory}/{name}.conf", _conf() + (f"# warren: via = {via}\n" if via else ""))
    code, _, text = _check("--state-dir", f"{directory}/state", "--tunnels-dir", directory)
    back = "The way through other tunnels leads back to this one: "
    assert code == 2 and sorted(line.rsplit("/", 1)[1] for line in text.splitlines()) == [
        "1.conf: At most four tunnels can go through each other.", f"a.conf: {back}a, b, c", f"b.conf: {back}b, c, a", f"c.conf: {back}c, a, b"]
    _write(f"{directory}/c.conf", _conf())
    os.remove(f"{directory}/5.conf")
    assert _check("--state-dir", f"{directory}/state", "--tunnels-dir", directory)[0] == 0


def test_check_looks_where_the_access_log_would_be(directory):
    os.makedirs(f"{directory}/logs")
    os.mkfifo(f"{directory}/logs/fifo")
    os.symlink("nowhere/log", f"{directory}/logs/dangling")
    _write(f"{directory}/logs/old", "a line\n")
    os.utime(f"{directory}/logs/old", (1, 1))
    for path in ("-", "logs/new", "logs/old", "logs/fifo"):
        path = path if path == "-" else f"{directory}/{path}"
        assert _check("--state-dir", f"{directory}/state", "--access-log", path)[0] == 0
    for path, why in (("none/log", "No such file or directory"), ("logs", "Is a directory"), ("logs/old/log", "Not a directory"),
                      ("logs/dangling", "No such file or directory")):
        path = f"{directory}/{path}"
        assert _check("--state-dir", f"{directory}/state", "--access-log", path) == (
            2, "", f"warrend: cannot open the access log '{path}': {why}\n")
    assert sorted(os.listdir(f"{directory}/logs")) == ["dangling", "fifo", "old"] and os.stat(f"{directory}/logs/old").st_mtime == 1


def test_check_looks_at_the_fleets_files(directory):
    state = ("--state-dir", f"{directory}/state")
    fleet = (*state, "--fleet", "https://etcd.example:2379", "--node", "a", "--node-api", "https://a.example:8470", "--fleet-key-file", f"{directory}/key")
    assert "a daemon is in a fleet only with --fleet" in _check(*state, "--node", "a")[2]
    assert "is no URL of etcd" in _check(*state, "--fleet", "etcd.example")[2]
    assert _check(*fleet) == (2, "", f"warrend: --fleet-key-file '{directory}/key': No such file or directory\n")
    _write(f"{directory}/key", "x" * 32)
    os.chmod(f"{directory}/key", 0o644)
    assert "chmod 600" in _check(*fleet)[2]
    os.chmod(f"{directory}/key", 0o600)
    assert _check(*fleet)[0] == 0
    _write(f"{directory}/password", "\n")
    user = ("--fleet-user", "warren", "--fleet-password-file", f"{directory}/password")
    assert "its first line must be the password" in _check(*fleet, *user)[2]
    _write(f"{directory}/password", "secret\n")
    assert _check(*fleet, *user)[0] == 0


def test_a_file_that_cannot_be_read_is_told_with_its_option(directory):
    for path, why in ((f"{directory}/none.json", "No such file or directory"), (directory, "Is a directory")):
        code, _, text = _check("--config", path, "--state-dir", f"{directory}/state")
        assert code == 2 and f"configuration file '{path}' (--config) cannot be read: {why}" in text


def test_what_is_no_json_is_told_with_its_line(directory, config):
    for text, why in (('{"workers": 1,\n}', ", line 2: is not JSON: "), ('{"workers": 1,\n"workers": 2}', ", line 2: is not JSON: duplicate object key near"),
                      ("[]", ": is not a JSON object")):
        _write(config, text)
        code, _, told = _check("--config", config, "--state-dir", f"{directory}/state")
        assert code == 2 and f"configuration file '{config}'{why}" in told, told


def test_check_looks_where_the_socket_would_be(directory):
    path = f"{directory}/none/api.sock"
    assert _check("--state-dir", f"{directory}/state", "--unix-socket", path) == (
        2, "", f"warrend: the API's socket {path} (--unix-socket) cannot be made: No such file or directory\n")
    assert _check("--state-dir", f"{directory}/state", "--unix-socket", f"{directory}/api.sock")[0] == 0


def test_check_looks_for_the_group_of_the_socket(directory):
    assert _check("--state-dir", f"{directory}/state", "--socket-group", "no-such-group") == (
        2, "", "warrend: --socket-group no-such-group: there is no such group\n")


def test_h_is_help():
    done = subprocess.run([binary(), "-h"], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0 and "--tunnels-dir" in done.stdout
