"""warrend as a command: its message and exit status when it cannot start, and how it stops."""

import os
import re
import resource
import signal
import socket
import subprocess
import sys

import pytest

from harness.daemon import binary
from harness.process import run, wait_until


def refused(directory, *words, environment=None):
    """(exit code, stderr) of a start that fails."""
    done = run([binary(), "--state-dir", f"{directory}/refused", *words], check=False, timeout=20, env={**os.environ, **(environment or {})})
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.parametrize("words, remedy", [
    (["--stat-dir", "x"], "--help"), (["-x"], "--help"), (["--workers", "many"], "a number"), (["--listen", "localhost"], "HOST:PORT"),
    (["--listen", "127.0.0.1:99999"], "HOST:PORT"), (["--listen", "::1:8470"], "[::1]:8470"), (["--tls-cert", "x"], "both or neither"), (["--listen", "0.0.0.0:0"], "--allow-remote"),
    (["--listen", "0.0.0.0:0", "--allow-remote"], "--tls-cert"), (["--listen", "0.0.0.0:0", "--no-auth"], "loopback"),
    (["--config", "/does/not/exist"], "cannot be read: No such file"), (["--log-level", "loud"], "error, warn, info or debug"),
])
def test_bad_usage_is_one_line_that_says_what_to_do(directory, words, remedy):
    code, told = refused(directory, *words)
    assert code == 2 and told.count("\n") == 1 and told.startswith("warrend: ") and remedy in told, (code, told)
    assert not os.path.exists(f"{directory}/refused")


def test_a_bad_configuration_is_told_with_its_place(directory):
    for text, told_of in (('{"workers": 1,\n "lsten": "x"}', "lsten"), ("{}\n]", "line 2"), ('{"workers": true}', "workers")):
        with open(f"{directory}/config.json", "w", encoding="ascii") as file:
            file.write(text)
        code, told = refused(directory, environment={"WARREN_CONFIG": f"{directory}/config.json"})
        assert code == 2 and told.count("\n") == 1 and told_of in told, told


def test_a_port_that_is_taken(directory):
    with socket.create_server(("127.0.0.1", 0)) as other:
        code, told = refused(directory, "--listen", f"127.0.0.1:{other.getsockname()[1]}")
    assert code == 1 and re.search(r"^warrend: 127\.0\.0\.1:\d+: Address already in use; .* --listen", told, re.M), told
    assert "is in use: trying for up to 5 s" in told and told.rstrip().splitlines()[-1].startswith("warrend: 127.0.0.1:"), told


def test_a_state_directory_that_is_in_use(local_daemon):
    done = run([binary(), "--state-dir", local_daemon.state_dir, "--listen", "127.0.0.1:0"], check=False, timeout=20)
    assert done.returncode == 1 and f"another warrend (process {local_daemon.pid}) uses {local_daemon.state_dir}" in done.stderr


WITHOUT_GETRANDOM = """
import ctypes, os, struct, sys
def step(code, yes, no, value): return struct.pack("HBBI", code, yes, no, value)
number = {"x86_64": 318, "aarch64": 278}[os.uname().machine]
steps = ctypes.create_string_buffer(step(0x20, 0, 0, 0) + step(0x15, 0, 1, number) + step(0x06, 0, 0, 0x00050005) + step(0x06, 0, 0, 0x7fff0000))
class Program(ctypes.Structure): _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(4, ctypes.addressof(steps))), 0, 0) == 0
os.execvp(sys.argv[1], sys.argv[1:])
"""


def test_f4_no_random_numbers(directory):
    """If getrandom fails, the daemon does not start and creates nothing. A worker could not open /dev/urandom instead."""
    done = run([sys.executable, "-c", WITHOUT_GETRANDOM, binary(), "--state-dir", f"{directory}/refused", "--listen", "127.0.0.1:0"], check=False, timeout=20)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "getrandom: Input/output error" in done.stderr, done
    assert not os.path.exists(f"{directory}/refused")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(make_daemon, number):
    daemon = make_daemon().start()
    daemon.process.send_signal(number)
    assert daemon.process.wait(5) == 0, daemon.tail()
    left = set(os.listdir(daemon.state_dir))
    assert "api.addr" not in left and "api.sock" not in left and "admin.token" in left


def test_the_limit_of_descriptors_is_raised(make_daemon):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        daemon = make_daemon().start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for pid in daemon.family():
        with open(f"/proc/{pid}/limits", encoding="ascii") as file:
            assert re.search(rf"^Max open files +{hard} +{hard} ", file.read(), re.M)


def test_help_and_version_need_nothing():
    for word, pattern in (("--version", r"^warrend \d+\.\d+\.\d+\n$"), ("--help", r"--state-dir DIR")):
        done = subprocess.run([binary(), word], capture_output=True, text=True, env={}, timeout=20)
        assert done.returncode == 0 and re.search(pattern, done.stdout) and done.stderr == "", done


def test_info_tells_how_it_was_started(make_daemon):
    daemon = make_daemon(arguments=("--workers", "2", "--log-level", "debug")).start()
    info = daemon.api.get("/v1/info")
    assert info["pid"] == daemon.pid and info["node"] == socket.gethostname() and info["uptime"] >= 0 and info["limits"]["peers_per_tunnel"] == 4096
    assert info["options"]["workers"] == "2" and info["options"]["log_level"] == "debug" and "tls_key" not in info["options"]
    assert [(worker["index"], worker["state"], worker["tunnels"], worker["restarts"]) for worker in info["workers"]] == [(0, "ready", 0, 0), (1, "ready", 0, 0)]
    assert {worker["pid"] for worker in info["workers"]} == set(daemon.workers())
    os.kill(info["workers"][1]["pid"], signal.SIGKILL)
    again = wait_until(lambda: (now := daemon.api.get("/v1/info")["workers"][1])["restarts"] == 1 and now["state"] == "ready" and now, what="it is replaced")
    assert again["pid"] in daemon.workers()


@pytest.mark.parametrize("name", ["avx512", "avx2", "ipsec-mb", "libsodium"])
def test_info_tells_the_code_that_encrypts(make_daemon, directory, name):
    checked = run([binary(), "--check", "--state-dir", f"{directory}/checked", "--aead", name], check=False, timeout=20)
    if checked.returncode == 2:
        assert f"--aead '{name}': is not for this CPU" in checked.stderr
        pytest.skip(f"this CPU has no {name}")
    assert make_daemon(arguments=("--aead", name)).start().api.get("/v1/info")["aead"] == name
