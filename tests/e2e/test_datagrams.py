"""Datagrams that forwards lose are counted."""

import os
import signal
import socket

from harness.loop import INNER, Ends
from harness.process import wait_until
from harness.servers import free_port


def _tell(workers, number):
    for pid in workers:
        os.kill(pid, number)


def test_datagrams_that_a_forward_has_no_room_for_are_counted(local_daemon):
    """A burst while the worker is stopped exceeds a socket's buffer."""
    port = free_port(socket.SOCK_DGRAM)
    api, ends = local_daemon.api, Ends()
    far = api.create(ends.far(), wait_up=False)
    api.create(ends.near(far["status"]["udp_port"], forwards=[
        {"name": "udp", "direction": "outbound", "protocol": "udp", "listen": f"127.0.0.1:{port}", "target": f"{INNER}:53"}]))
    workers = local_daemon.workers()
    sent, size = 2000, 1000
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        _tell(workers, signal.SIGSTOP)
        try:
            for _ in range(sent):
                client.sendto(bytes(size), ("127.0.0.1", port))
        finally:
            _tell(workers, signal.SIGCONT)

        def all_known():
            client.sendto(b"x", ("127.0.0.1", port))   # reports those lost before it
            stats = api.stats("near")
            return stats["dropped"].get("overflow", 0) + stats["bytes_sent"] // size >= sent
        wait_until(all_known, what="each datagram is counted as sent or dropped")
    assert api.stats("near")["dropped"]["overflow"] > 0
