"""The control process is replaced by the program that stands at its path: the process, its workers and what they carry stay."""

import http.client
import os
import random
import shutil
import signal
import threading

import pytest

from harness.clients import Connection, curl, fetch_page
from harness.command import Command
from harness.daemon import binary
from harness.events import Reader
from harness.farend import INNER
from harness.process import is_alive, wait_until
from harness.spec import Peer, proxy_address
from harness.upgrade import built, install, told, upgrade

KILLS = int(os.environ.get("WARREN_E2E_KILLS", 6))


def _versions(daemon):
    """The control process's, and each worker's."""
    info = daemon.api.get("/v1/info")
    return info["version"], [worker["version"] for worker in info["workers"]]


def _page(home, tunnel):
    return fetch_page(home, tunnel).stdout


def test_tunnels_are_changed_and_deleted_after_an_upgrade(home, far, make_own):
    """What was taken over is as good as what was made: ports are kept and given back, and slots are used again."""
    daemon = make_own(namespace=home)
    kept, gone = [daemon.api.create(Peer(far, id).document()) for id in ("kept", "gone")]
    upgrade(daemon, binary())
    assert daemon.api.get("/v1/tunnels/kept")["status"]["listen"] == kept["status"]["listen"]
    daemon.api.expect(200, "PATCH", "/v1/tunnels/kept", {"labels": {"a": "b"}, "spec": {"proxy": {"connect_timeout": 7}}})
    assert _page(home, daemon.api.get("/v1/tunnels/kept")) == "hello from far end 0\n"
    daemon.api.delete("gone")
    with home.socket() as sock:
        assert sock.connect_ex(proxy_address(gone)) != 0, "the listener is closed"
    fresh = daemon.api.create(Peer(far, "fresh").document())
    assert _page(home, fresh) == "hello from far end 0\n"


def test_a_worker_that_dies_after_an_upgrade_is_replaced(home, far, make_own):
    """A worker that this program did not start is its child all the same."""
    daemon = make_own(namespace=home, arguments=["--workers", "1"])
    tunnel = daemon.api.create(Peer(far, "t").document())
    upgrade(daemon, binary())
    dead = daemon.workers()[0]
    os.kill(dead, signal.SIGKILL)
    wait_until(lambda: daemon.workers() and daemon.workers() != [dead], what="another worker")
    daemon.api.wait_state("t", "up")
    assert _page(home, tunnel) == "hello from far end 0\n"
    daemon.kill()


@pytest.fixture
def pool(home, far, far2, make_own):
    """The daemon, and the address of a pool of a tunnel to each far end."""
    daemon = make_own(namespace=home, arguments=["--workers", "2"])
    for id, end in (("one", far2), ("zero", far)):
        daemon.api.create({**Peer(end, id).document(), "labels": {"pool": "x"}})
    made = daemon.api.expect(201, "POST", "/v1/pools?wait=up&timeout=10", {"id": "p", "spec": {"members": {"labels": {"pool": "x"}}}}).json
    return daemon, proxy_address(made)


def test_pools_and_their_sessions_go_on(home, far, pool):
    """Workers know a pool's members by numbers, which stay; a session keeps its exit, and a member that comes afterwards serves."""
    daemon, address = pool

    def through(user):
        return curl(home, "-p", "-x", f"http://{user}:@{address[0]}:{address[1]}", f"http://{INNER}/hello", check=False).stdout
    exits = {f"u-tunnel-{id}": f"hello from far end {number}\n" for number, id in enumerate(("zero", "one"))}
    for user, exit in exits.items():
        wait_until(lambda: through(user) == exit, what="the member serves")
    sessions = {f"u-session-{number}": through(f"u-session-{number}") for number in range(6)}
    for _ in range(2):
        upgrade(daemon, binary())
        assert {user: through(user) for user in sessions} == sessions
        assert {user: through(user) for user in exits} == exits
    daemon.api.create({**Peer(far, "later").document(), "labels": {"pool": "x"}})
    wait_until(lambda: through("u-tunnel-later") == exits["u-tunnel-zero"], what="the new member serves")
    assert {user: through(user) for user in sessions} == sessions


def test_connections_of_a_member_that_left_end_with_the_pool(home, pool):
    """The program after the upgrade knows that workers without members may still have connections of a pool."""
    daemon, address = pool
    with Connection(address, home) as zero, Connection(address, home) as one:
        for connection, id in ((zero, "zero"), (one, "one")):
            assert connection.http_connect(f"{INNER}:80", login=f"u-tunnel-{id}:")[0] == 200
        for id in ("zero", "one"):
            daemon.api.patch(id, {"labels": {"pool": "y"}})
        wait_until(lambda: not daemon.api.get("/v1/pools/p/members")["members"], what="both have left")
        upgrade(daemon, binary())
        daemon.api.expect(204, "DELETE", "/v1/pools/p")
        for connection in (zero, one):
            wait_until(connection.is_at_end, what="it is cut")


def test_a_program_behind_a_link_is_replaced(make_daemon, directory):
    """As the package has it: the link is what is started, and what it names is alone in its directory."""
    os.makedirs(f"{directory}/own")
    shutil.copy2(binary(), f"{directory}/own/warrend")
    os.symlink("own/warrend", f"{directory}/warrend")
    daemon = make_daemon(program=f"{directory}/warrend").start()
    for program in (built("warrend_other"), binary()):
        daemon.program = f"{directory}/own/warrend"
        upgrade(daemon, program)


@pytest.mark.parametrize("content", [b"no program", b""])
def test_a_broken_program_changes_nothing(make_own, directory, content):
    daemon = make_own()
    workers = daemon.workers()
    reader = Reader(daemon)
    wait_until(reader.is_open.is_set, what="the stream is open")
    with open(f"{directory}/broken", "wb") as file:
        file.write(content)
    os.chmod(f"{directory}/broken", 0o755)
    upgrade(daemon, f"{directory}/broken", "daemon.upgrade_failed")
    wait_until(lambda: any(event.get("type") == "daemon.upgrade_failed" and event["detail"] for event in reader.events), what="the event")
    reader.close()
    assert daemon.workers() == workers
    warren = Command(daemon.state_dir)
    failed = warren("upgrade", code=1)
    assert "upgrade failed" in failed.stderr and not failed.stdout
    install(daemon, binary())
    assert warren("upgrade").stdout == "upgraded\n"


def test_a_program_that_cannot_take_over_gives_back(home, far, make_own):
    """After execve, when the check said yes: the program before is started again from its own file, and the data path never noticed."""
    daemon = make_own(namespace=home, environment={"WARREND_CANNOT_TAKE_OVER": "1"})
    tunnel = daemon.api.create(Peer(far, "t").document())
    workers = daemon.workers()
    before = told(daemon, "daemon.upgraded")
    install(daemon, built("warrend_hooked"))
    daemon.process.send_signal(signal.SIGUSR2)
    wait_until(lambda: "gives back" in daemon.process.log() and told(daemon, "daemon.upgraded") > before, what="the program before goes on")
    wait_until(lambda: daemon.api.request("GET", "/readyz").status == 200, what="the API answers")
    assert daemon.workers() == workers
    assert _page(home, tunnel) == "hello from far end 0\n"
    upgrade(daemon, binary())


def test_the_api_upgrades_for_an_admin_only(make_own):
    daemon = make_own()
    token = daemon.api.expect(201, "POST", "/v1/tokens", {"name": "w", "scopes": ["write"]}).json["token"]
    assert daemon.tcp_api(token).request("POST", "/v1/actions/upgrade").status == 403
    before = told(daemon, "daemon.upgraded")
    assert daemon.api.expect(202, "POST", "/v1/actions/upgrade").json == {"state": "checking"}
    wait_until(lambda: told(daemon, "daemon.upgraded") > before, what="the upgrade")


def _check_whole(daemon, written):
    """Every tunnel, and what was acknowledged."""
    daemon.start()
    daemon.api.wait_state("t", "up")
    assert int(daemon.api.get("/v1/tunnels/t")["labels"].get("n", "0")) >= written


def _write_until_killed(daemon, number, seconds):
    """Changes the tunnel while the program is replaced; the last number that was acknowledged."""
    timer = threading.Timer(seconds, daemon.kill)
    timer.start()
    while timer.is_alive():
        try:
            number += daemon.api.request("PATCH", "/v1/tunnels/t", {"labels": {"n": str(number + 1)}}).status == 200
        except (OSError, http.client.HTTPException):
            pass   # killed, or replaced
    timer.join()
    return number


def test_a_kill_at_any_moment_of_an_upgrade_leaves_a_whole_state(home, far, make_own):
    """kill -9 at random: whichever version is started next has every tunnel and every acknowledged write."""
    generator = random.Random(os.environ.get("WARREN_E2E_SEED", "18"))
    daemon = make_own(namespace=home)
    daemon.api.create(Peer(far, "t").document())
    written = 0
    for number in range(KILLS):
        install(daemon, (built("warrend_other"), binary())[number % 2])
        daemon.process.send_signal(signal.SIGUSR2)
        written = _write_until_killed(daemon, written, generator.uniform(0, 0.15))
        _check_whole(daemon, written)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_beside_the_point_of_no_return_leaves_a_whole_state(home, far, make_own, moment):
    """Before execve, when all is written down; and after it, before anything is taken over."""
    daemon = make_own(namespace=home, environment={"WARREND_IS_KILLED": moment})
    daemon.api.create({**Peer(far, "t").document(), "labels": {"n": "1"}})
    install(daemon, built("warrend_hooked"))
    if moment == "before":
        daemon.kill()
        daemon.start()
    workers = daemon.workers()
    daemon.process.send_signal(signal.SIGUSR2)
    assert daemon.process.wait(10) == -signal.SIGKILL, daemon.tail()
    wait_until(lambda: not any(is_alive(pid) for pid in workers), what="workers die with the daemon")
    _check_whole(daemon, 1)


def test_a_newer_version_keeps_the_workers_of_the_one_before(home, far, make_own):
    """Another hand-over and other messages, of which it knows those before: workers serve on, and one that dies is followed by its own."""
    daemon = make_own(namespace=home, arguments=["--workers", "1"])
    tunnel = daemon.api.create(Peer(far, "t").document())
    workers, handshakes = daemon.workers(), daemon.api.stats("t")["handshakes"]
    upgrade(daemon, built("warrend_newer"))
    assert daemon.workers() == workers and _versions(daemon) == ("0.1.0-newer", ["0.1.0"])
    daemon.api.expect(200, "PATCH", "/v1/tunnels/t", {"spec": {"proxy": {"connect_timeout": 7}}})
    assert _page(home, tunnel) == "hello from far end 0\n"
    assert daemon.api.stats("t")["handshakes"] == handshakes
    os.kill(workers[0], signal.SIGKILL)
    wait_until(lambda: _versions(daemon) == ("0.1.0-newer", ["0.1.0-newer"]), what="a worker of its own")
    daemon.api.wait_state("t", "up")
    assert _page(home, tunnel) == "hello from far end 0\n"
    daemon.kill()


def test_a_version_that_cannot_read_the_hand_over_is_refused(make_own):
    """Back to the version before: it says what to do, and nothing has changed."""
    daemon = make_own()
    upgrade(daemon, built("warrend_newer"))
    workers = daemon.workers()
    upgrade(daemon, binary(), "daemon.upgrade_failed")
    assert "version 0.1.0 cannot take over from the one that runs: restart the daemon" in daemon.process.log()
    assert daemon.workers() == workers and _versions(daemon)[0] == "0.1.0-newer"


def test_a_version_that_needs_a_wider_sandbox_is_refused(make_own):
    """A sandbox survives the change of programs, and only ever becomes narrower."""
    daemon = make_own(environment={"WARREND_LACKS_A_RULE": "1"})
    upgrade(daemon, built("warrend_hooked"))
    workers = daemon.workers()
    upgrade(daemon, binary(), "daemon.upgrade_failed")
    assert "refuses (rules: 1)" in daemon.process.log() and "restart the daemon" in daemon.process.log()
    assert daemon.workers() == workers


def test_workers_of_an_unknown_version_are_replaced(home, far, make_own):
    """The last resort: a control process that cannot talk with them says so, and tunnels begin anew."""
    daemon = make_own(namespace=home, arguments=["--workers", "1"])
    tunnel = daemon.api.create(Peer(far, "t").document())
    workers = daemon.workers()
    upgrade(daemon, built("warrend_foreign"))
    wait_until(lambda: _versions(daemon) == ("0.1.0-foreign", ["0.1.0-foreign"]) and daemon.workers() != workers, what="a worker of its own")
    assert "ending worker 0: its version 0.1.0 speaks protocol" in daemon.process.log()
    daemon.api.wait_state("t", "up")
    assert daemon.api.get("/v1/tunnels/t")["status"]["listen"] == tunnel["status"]["listen"]
    assert _page(home, tunnel) == "hello from far end 0\n"


def test_a_stop_at_the_last_moment_is_a_stop(make_own, directory):
    """SIGTERM just before the program is replaced is obeyed by the next one."""
    daemon = make_own(environment={"WARREND_IS_STOPPED_LATE": "1"})
    install(daemon, built("warrend_hooked"))
    daemon.kill()
    daemon.start()
    daemon.process.send_signal(signal.SIGUSR2)
    assert daemon.process.wait(10) == 0, daemon.tail()


def test_a_stop_at_any_moment_of_an_upgrade_is_a_stop(make_own):
    """SIGTERM is obeyed by the program that runs, or by the one that takes its place."""
    for milliseconds in (0, 5, 10, 20, 40):
        daemon = make_own()
        daemon.process.send_signal(signal.SIGUSR2)
        threading.Event().wait(milliseconds / 1000)
        daemon.stop()
