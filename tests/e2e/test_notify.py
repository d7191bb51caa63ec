"""Notifications to the service manager over sd_notify(3)'s socket: readiness, watchdog, the end."""

import os
import signal
import socket

import pytest


@pytest.fixture
def manager(directory):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{directory}/notify")
        manager.settimeout(10)
        yield manager


def start(make_daemon, directory, **environment):
    return make_daemon(environment={"NOTIFY_SOCKET": f"{directory}/notify", **environment}).start()


def drain(manager):
    """The messages that are there."""
    messages = []
    manager.setblocking(False)
    try:
        while True:
            messages.append(manager.recv(100))
    except BlockingIOError:
        manager.settimeout(10)
        return messages


def test_the_watchdog_is_fed_while_the_main_loop_turns(make_daemon, manager, directory):
    daemon = start(make_daemon, directory, WATCHDOG_USEC="600000")
    messages = [manager.recv(100)]
    while messages[-1] != b"READY=1":
        messages.append(manager.recv(100))
    assert set(messages[:-1]) <= {b"WATCHDOG=1"}
    assert [manager.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
    daemon.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, daemon.pid, os.WSTOPPED)
    drain(manager)
    manager.settimeout(1)
    with pytest.raises(TimeoutError):
        manager.recv(100)
    daemon.process.send_signal(signal.SIGCONT)
    manager.settimeout(10)
    assert manager.recv(100) == b"WATCHDOG=1"
    daemon.stop()
    assert drain(manager)[-1] == b"STOPPING=1"


@pytest.mark.parametrize("environment", [{}, {"WATCHDOG_USEC": "600000", "WATCHDOG_PID": "1"}])
def test_who_watches_nobody_is_told_nothing(make_daemon, manager, directory, environment):
    daemon = start(make_daemon, directory, **environment)
    assert manager.recv(100) == b"READY=1"
    manager.settimeout(1)
    with pytest.raises(TimeoutError):
        manager.recv(100)
    daemon.stop()
    assert drain(manager) == [b"STOPPING=1"]
