"""The state before a restart is restored after it: ids, ports, ETags, traffic. Two daemons never share a state directory."""

import contextlib
import os
import sqlite3
import subprocess
import time

import pytest

from harness.clients import fetch_page
from harness.daemon import binary
from harness.loop import Ends, create_pair
from harness.process import run, wait_until
from harness.servers import free_port
from harness.spec import Peer


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_tunnels_come_back(home, far, daemon, end):
    peers = [Peer(far, f"kept-{number}") for number in range(3)]
    port = free_port(namespace=home)
    daemon.api.create(peers[0].document(proxy={"listen": [f"127.0.0.1:{port}"]}))
    daemon.api.create({**peers[1].document(), "labels": {"pool": "eu"}})
    daemon.api.create(peers[2].document(enabled=False), wait_up=False)
    before = daemon.api.get("/v1/state?include_secrets=true")
    tags = {id: daemon.api.get(f"/v1/tunnels/{id}")["etag"] for id in ("kept-0", "kept-1", "kept-2")}
    getattr(daemon, end)()
    daemon.start()
    assert daemon.api.get("/v1/state?include_secrets=true") == before
    assert {id: daemon.api.get(f"/v1/tunnels/{id}")["etag"] for id in tags} == tags
    for id in ("kept-0", "kept-1"):
        daemon.api.wait_state(id, "up")
        assert fetch_page(home, daemon.api.get(f"/v1/tunnels/{id}")).stdout == "hello from far end 0\n"
    assert daemon.api.get("/v1/tunnels/kept-0")["status"]["listen"] == [f"127.0.0.1:{port}"]
    assert daemon.api.state("kept-2") == "disabled"


def test_deleted_stays_deleted_and_its_key_is_gone(home, far, daemon):
    peer = Peer(far, "gone")
    daemon.api.create(peer.document())
    daemon.api.delete("gone")
    import base64
    key = base64.b64decode(peer.key.private)
    for folder, _, names in os.walk(daemon.state_dir):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    content = file.read()
                assert key not in content and peer.key.private.encode() not in content, f"the key is still in {name}"
    daemon.kill()
    daemon.start()
    daemon.api.get("/v1/tunnels/gone", status=404)


def test_one_bad_tunnel_does_not_stop_the_rest(home, far, daemon):
    """If another program has taken a port meanwhile, that tunnel is failed with a reason, and the others run."""
    port = free_port(namespace=home)
    daemon.api.create(Peer(far, "good").document())
    daemon.api.create(Peer(far, "bad").document(proxy={"listen": [f"127.0.0.1:{port}"]}))
    daemon.stop()
    with home.listen(("127.0.0.1", port)):
        daemon.start(timeout=30)
        daemon.api.wait_state("good", "up")
        status = daemon.api.wait_state("bad", "failed")
        assert status["reason"]


def test_l4_second_daemon_is_refused(daemon):
    result = subprocess.run([binary(), "--state-dir", daemon.state_dir, "--listen", "127.0.0.1:0"],
                            capture_output=True, text=True, timeout=20)
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) >= 1
    assert daemon.api.get("/v1/version")


def test_files_are_private(daemon):
    mode = os.stat(f"{daemon.state_dir}/api.sock").st_mode & 0o777
    assert mode == 0o600
    for name in os.listdir(daemon.state_dir):
        path = f"{daemon.state_dir}/{name}"
        if os.path.isfile(path) and name != "api.addr":
            assert os.stat(path).st_mode & 0o777 == 0o600, name


@pytest.mark.parametrize("words", [
    ["--listen", "nonsense"], ["--workers", "many"], ["--unknown"], ["--listen", "0.0.0.0:0"], ["--no-auth", "--listen", "0.0.0.0:0"],
    ["--log-level", "loud"], ["--config", "/nonexistent.json"],
], ids=lambda words: words[0] + "=" + words[-1])
def test_bad_usage_is_one_clear_line(directory, words):
    result = subprocess.run([binary(), "--state-dir", directory, *words], capture_output=True, text=True, timeout=10)
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1 and len(result.stderr) > 10


def test_configuration_file_environment_and_command_line(home, make_daemon, directory):
    """The command line overrides the environment, which overrides the file."""
    path = f"{directory}/warrend.json"
    with open(path, "w", encoding="ascii") as file:
        file.write('{"workers": 1, "log_format": "json", "unix_socket": "%s/from-file.sock"}' % directory)
    daemon = make_daemon(namespace=home, arguments=["--config", path, "--unix-socket", f"{directory}/from-line.sock"],
                         environment={"WARREN_WORKERS": "2", "WARREN_UNIX_SOCKET": f"{directory}/from-environment.sock"}).start()
    assert os.path.exists(f"{directory}/from-line.sock") and not os.path.exists(f"{directory}/from-environment.sock")
    assert len(daemon.workers()) == 2
    daemon.stop()
    assert daemon.process.log().splitlines()[0].startswith("{")


def _store(state_dir):
    for name in os.listdir(state_dir):
        if not os.path.isfile(f"{state_dir}/{name}"):
            continue
        with open(f"{state_dir}/{name}", "rb") as file:
            if file.read(15) == b"SQLite format 3":
                return f"{state_dir}/{name}"
    raise AssertionError("no SQLite store in the state directory")


def _flip(path):
    with open(path, "r+b") as file:
        file.write(b"SQLite formut 3\0")
        file.seek(100)
        file.write(os.urandom(3000))


def _newer(path):
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99999")
    connection.close()


@pytest.mark.parametrize("damage", [_flip, _newer, lambda path: os.truncate(path, 0), lambda path: os.truncate(path, 5000)],
                         ids=["flipped", "newer", "empty", "cut"])
def test_d3_damaged_store_is_refused_loudly(far, daemon, damage):
    """The daemon never starts with a silently empty store: it refuses and says what to do; the file is left unchanged."""
    for number in range(20):
        daemon.api.create(Peer(far, f"t{number}", register=False).document(enabled=False), wait_up=False)
    daemon.stop()
    path = _store(daemon.state_dir)
    for suffix in ("-wal", "-shm"):
        if os.path.exists(path + suffix):
            os.unlink(path + suffix)
    damage(path)
    with open(path, "rb") as file:
        content = file.read()
    result = run([binary(), "--state-dir", daemon.state_dir, "--listen", "127.0.0.1:0"], check=False, timeout=20)
    assert result.returncode == 1 and result.stderr.strip()
    with open(path, "rb") as file:
        assert file.read() == content


def test_w8_first_timestamp_is_stored_at_once(local_daemon):
    """A daemon whose clock was ahead may be killed at any moment: its peers refuse timestamps that are not later than the last one."""
    before = time.time()
    create_pair(local_daemon.api, Ends())

    def stored():
        with contextlib.closing(sqlite3.connect(f"file:{local_daemon.state_dir}/state.db?mode=ro", uri=True)) as database:
            return database.execute("SELECT timestamp_floor FROM tunnels WHERE id = 'near'").fetchone()[0]
    wait_until(lambda: any(stored()), timeout=5, what="the first timestamp is stored, long before the next checkpoint")
    local_daemon.kill()
    floor = stored()
    seconds = int.from_bytes(floor[:8], "big") - (1 << 62) - 10
    assert before - 1 <= seconds <= time.time()
