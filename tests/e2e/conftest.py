"""Fixtures: a home namespace in which the daemon runs, far ends connected by veth pairs, and daemons with fresh state."""

import os
import shutil
import signal
import sys
import tempfile

import pytest

from harness import namespace, process
from harness.daemon import Daemon, binary, is_sanitized
from harness.farend import FarEnd
from harness.namespace import Namespace
from harness.process import wait_until
from harness.spec import Peer

ALL_SKIPPED = 77


def pytest_configure(config):
    # A test run that is told to end still takes down what it made, one in the background (where SIGINT is ignored) too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    namespace.isolate()


def pytest_collection_modifyitems(items):
    if os.environ.get("WARREN_E2E_LONG"):
        return
    for item in items:
        if "long" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="takes minutes; runs with WARREN_E2E_LONG=1"))


def pytest_runtest_logreport(report):
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        sys.stderr.write(f"\nskipped: {report.nodeid}: {str(reason).removeprefix('Skipped: ')}\n")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    ran = any(reporter.stats.get(kind) for kind in ("passed", "failed", "error"))
    if exitstatus == 0 and reporter.stats.get("skipped") and not ran:
        session.exitstatus = ALL_SKIPPED
    process.stop_all()
    namespace.close_all()


@pytest.fixture
def directory():
    """A fresh folder with a short name, because the path of a unix socket has room for 107 bytes."""
    path = tempfile.mkdtemp(prefix="warren-e2e-")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def session_directory():
    path = tempfile.mkdtemp(prefix="warren-e2e-")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def home(session_directory):
    """Where the daemon and its clients live. Its own resolver listens on 127.0.0.1 and keeps a log of what it was asked."""
    why = namespace.unavailable()
    if why:
        pytest.skip(why)
    namespace.sweep()
    home = Namespace("home", nameserver="127.0.0.1")
    os.makedirs(f"{session_directory}/home")
    home.resolver_log = f"{session_directory}/home/dns.log"
    dns = home.start(["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root",
                      "--pid-file=", "--bind-interfaces", "--listen-address=127.0.0.1", "--local=/test/",
                      "--host-record=peer0.test,198.51.100.2", "--host-record=peer1.test,198.51.100.18", "--log-queries",
                      f"--log-facility={home.resolver_log}"], f"{session_directory}/home/dnsmasq.log")
    wait_until(lambda: os.path.exists(home.resolver_log), what="dnsmasq answers")
    yield home
    dns.stop()
    home.close()


def _far(home, session_directory, number, **options):
    path = f"{session_directory}/far{number}"
    os.makedirs(path)
    far = FarEnd(home, number, path, **options)
    far.start_nginx()
    far.start_dns()
    return far


@pytest.fixture(scope="session")
def far(home, session_directory):
    far = _far(home, session_directory, 0)
    yield far
    far.close()


@pytest.fixture(scope="session")
def far2(home, session_directory):
    """Another far end with the very same inner addresses, names and ports."""
    far = _far(home, session_directory, 1)
    yield far
    far.close()


@pytest.fixture
def make_daemon(directory):
    """make_daemon(namespace=…, arguments=[…]): a daemon, stopped and checked at the end of the test."""
    daemons = []

    def make(**options):
        daemon = Daemon(directory if not daemons else f"{directory}/{len(daemons)}", **options)
        os.makedirs(daemon.directory, exist_ok=True)
        daemons.append(daemon)
        return daemon

    if not os.path.exists(binary()):
        pytest.fail(f"{binary()} is missing: build it first")
    yield make
    for daemon in daemons:
        if daemon.process and daemon.process.is_running():
            daemon.stop()
        elif daemon.process:
            daemon.check_log()


@pytest.fixture
def make_own(directory, make_daemon):
    """A running daemon whose program is a file of its own."""
    def make(**options):
        shutil.copy2(binary(), f"{directory}/warrend")
        return make_daemon(program=f"{directory}/warrend", **options).start()
    return make


@pytest.fixture
def daemon(home, make_daemon):
    """A running daemon in the home namespace."""
    return make_daemon(namespace=home).start()


@pytest.fixture
def local_daemon(make_daemon):
    """A running daemon on this machine's loopback, for tests that need no root."""
    return make_daemon().start()


@pytest.fixture
def tunnel(daemon, far):
    """A tunnel to the far end that is up; `tunnel.peer` is its Peer."""
    peer = Peer(far, "main")
    created = daemon.api.create(peer.document())
    yield created
    far.remove_peer(peer.key.public)


@pytest.fixture(scope="session")
def transfer_bytes():
    """How much the large transfers move."""
    return int(os.environ.get("WARREN_E2E_BYTES", 64 << 20 if is_sanitized() else 1 << 30))
