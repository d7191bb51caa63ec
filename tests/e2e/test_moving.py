"""A tunnel moves to another worker with its WireGuard sessions: its far end sees no handshake, and no counter twice."""

import http.client
import json
import os
import random
import signal
import socket
import struct
import threading
import time

import pytest

from harness import clock
from harness.capture import Capture
from harness.clients import Connection, fetch_page
from harness.events import Reader
from harness.farend import INNER
from harness.keys import new_key
from harness.process import wait_until
from harness.servers import UdpEcho, free_port
from harness.spec import Peer, proxy_address
from harness.upgrade import built


@pytest.fixture
def two(home, make_daemon):
    return make_daemon(namespace=home, arguments=["--workers", "2"]).start()


def _worker(daemon, id):
    return daemon.api.get(f"/v1/tunnels/{id}/status")["worker"]


def _move(daemon, id):
    """To the other one of two workers."""
    to = 1 - _worker(daemon, id)
    assert daemon.api.expect(200, "POST", f"/v1/tunnels/{id}/actions/move", {"worker": to}).json["status"]["worker"] == to


def data_counters(path, source):
    """(receiver, counter) of each data message that came from this address, from a capture of Ethernet frames."""
    with open(path, "rb") as file:
        capture = file.read()
    at, counters = 24, []
    while at + 16 <= len(capture):
        length = struct.unpack_from("<I", capture, at + 8)[0]
        frame = capture[at + 16:at + 16 + length]
        at += 16 + length
        if frame[12:14] != b"\x08\x00" or frame[23] != 17 or socket.inet_ntoa(frame[26:30]) != source:
            continue
        payload = frame[14 + 4 * (frame[14] & 15) + 8:]
        if payload[:4] == b"\4\0\0\0":
            counters.append(struct.unpack_from("<IQ", payload, 4))
    return counters


def test_p4_moved_tunnel_needs_no_handshake_and_repeats_no_counter(home, far, two, directory):
    """The far end is another implementation; its figures and ours agree after moves there and back."""
    reader = Reader(two, "?tunnel=moved")
    assert reader.is_open.wait(5)
    peer = Peer(far, "moved")
    tunnel = two.api.create(peer.document(), wait_up=True)
    fetch_page(home, tunnel)
    peer.keep_alive()
    wait_until(lambda: two.api.get("/v1/tunnels/moved/status")["health"]["healthy"], what="it is healthy")
    first = far.peer(peer.key.public)["latest_handshake"]
    before = two.api.get("/v1/tunnels/moved/status")
    with Capture(home, far.home_interface, "udp", directory) as capture:
        for _ in range(6):
            _move(two, "moved")
            assert fetch_page(home, tunnel).stdout.startswith("hello")
        ours = lambda: two.api.stats("moved")["peers"][0]
        wait_until(lambda: far.peer(peer.key.public)["received"] == ours()["bytes_sent"], what="what we sent was received")
        wait_until(lambda: far.peer(peer.key.public)["sent"] == ours()["bytes_received"], what="what it sent was received")
    assert far.peer(peer.key.public)["latest_handshake"] == first
    after = two.api.get("/v1/tunnels/moved/status")
    for member in ("state", "since", "listen", "udp_port", "health"):
        assert after[member] == before[member], member
    assert after["peers"][0]["last_handshake_at"] == before["peers"][0]["last_handshake_at"]
    stats = two.api.stats("moved")
    assert stats["handshakes"] == 1 and stats["handshake_failures"] == 0
    two.api.delete("moved")
    wait_until(lambda: "tunnel.deleted" in [event["type"] for event in reader.events], what="the last event is read")
    reader.close()
    told = [(event["type"].removeprefix("tunnel."), event.get("state")) for event in reader.events if event["type"].startswith("tunnel.")]
    assert [kind for kind in told if kind[0] != "health"] == [
        ("created", None), ("state", "handshaking"), ("handshake", None), ("endpoint", None), ("state", "up"), ("deleted", None)]
    assert [event["healthy"] for event in reader.events if event["type"] == "tunnel.health"] in ([None, True], [True])
    counters = data_counters(capture.path, far.home_outer)
    assert len(counters) > 30 and len(set(counters)) == len(counters)
    assert len({receiver for receiver, _ in counters}) == 1


def test_connections_that_are_cut_say_why(home, far, make_daemon, directory):
    log = f"{directory}/access.log"
    daemon = make_daemon(namespace=home, arguments=["--workers", "2", "--access-log", log]).start()
    tunnel = daemon.api.create(Peer(far, "cut").document(), wait_up=True)
    with Connection(proxy_address(tunnel), home) as connection:
        connection.http_connect(f"{INNER}:80")
        wait_until(lambda: daemon.api.stats("cut")["connections_open"] == 1, what="it is open")
        _move(daemon, "cut")
        assert connection.is_at_end()
    def lines():
        with open(log, encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    wait_until(lambda: lines(), what="it is in the log")
    assert [(line["tunnel"], line["result"], line["reason"]) for line in lines()] == [("cut", "cut", "moved")]
    assert daemon.api.stats("cut")["connections_open"] == 0
    assert "cut: goes to another worker; 1 connections are cut" in daemon.process.log()


def test_datagrams_of_a_forward_go_on_while_it_moves(home, far, two):
    """A client sends every 2 ms. The pause is bounded in datagrams that it sent meanwhile, as a busy machine slows it as well."""
    local = free_port(socket.SOCK_DGRAM, home)
    client = home.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect(("127.0.0.1", local))
    client.setblocking(False)
    returned, moves = [], []

    def hundreds_return():
        there = len(returned)
        wait_until(lambda: len(returned) >= there + 300, timeout=60, what="datagrams return")

    def move():
        for _ in range(5):
            hundreds_return()
            _move(two, "udp")
            moves.append(len(returned))
        hundreds_return()
    with UdpEcho(far.namespace, (INNER, 0)) as echo:
        two.api.create(Peer(far, "udp").document(forwards=[
            {"name": "udp", "direction": "outbound", "protocol": "udp", "listen": f"127.0.0.1:{local}", "target": f"{INNER}:{echo.address[1]}"}]), wait_up=True)
        mover = threading.Thread(target=move)
        mover.start()
        number, last, pauses = 0, (0, time.monotonic()), []
        while mover.is_alive():
            number += 1
            client.send(struct.pack("<I", number))
            clock.pace(0.002)
            try:
                while data := client.recv(64):
                    now = (number, time.monotonic())
                    pauses.append((now[0] - last[0], round(1000 * (now[1] - last[1]))))
                    last = now
                    returned.append(data)
            except BlockingIOError:
                pass
        mover.join()
    print(f"{len(moves)} moves, longest pauses (datagrams, ms) {sorted(pauses)[-5:]}, {len(returned)} of {number} came back")
    assert len(moves) == 5 and max(pauses)[0] < 500
    assert len(returned) > 0.9 * number and len(set(returned)) == len(returned)


def test_clients_are_never_refused_while_a_tunnel_moves(home, far, two):
    """The listening socket is the same before and after: a client waits. Moves come three at a time, then a client must be answered."""
    tunnel = two.api.create(Peer(far, "busy").document(), wait_up=True)
    over = threading.Event()
    answers, moves = [], []

    def move():
        while len(moves) < 60 and not over.is_set():
            for _ in range(3):
                _move(two, "busy")
                moves.append(len(answers))
            wait_until(lambda: len(answers) > moves[-1] or over.is_set(), timeout=60, what="a client is answered")
    mover = threading.Thread(target=move)
    mover.start()
    proxy = proxy_address(tunnel)
    try:
        while mover.is_alive():
            with Connection(proxy, home) as connection:   # a refusal raises
                try:
                    connection.send(f"GET http://{INNER}/hello HTTP/1.1\r\nHost: {INNER}\r\nConnection: close\r\n\r\n".encode())
                    answer = connection.read_all()
                except ConnectionError:
                    continue   # it was cut
                if b"hello" in answer:
                    answers.append(answer)
    finally:
        over.set()
        mover.join()
    assert len(moves) == 60 and len(answers) > moves[-1]


def test_p7_worker_killed_during_moves_leaves_one_tunnel(home, far, two):
    """Either worker at any instant: the tunnel is restored, and has its ports."""
    tunnel = two.api.create(Peer(far, "killed").document(), wait_up=True)
    dice = random.Random(7)
    for _ in range(12):
        asked = threading.Thread(target=two.api.request, args=("POST", "/v1/tunnels/killed/actions/move", {"worker": 1 - _worker(two, "killed")}))
        asked.start()
        clock.at_any_moment(dice, 0.004)
        os.kill(dice.choice(two.workers()), signal.SIGKILL)
        asked.join()
        wait_until(lambda: fetch_page(home, tunnel, check=False, timeout=2).returncode == 0, timeout=15, what="it works again")
        wait_until(lambda: len(two.workers()) == 2, what="both workers are there")
    status = two.api.get("/v1/tunnels/killed/status")
    assert status["listen"] == tunnel["status"]["listen"] and status["udp_port"] == tunnel["status"]["udp_port"]


@pytest.mark.parametrize("step, dies", [("prepared", "new"), ("before_hand_over", "old"), ("after_hand_over", "old"), ("transferred", "new"),
                                        ("before_commit", "new")])
def test_p7_worker_that_dies_at_a_step_leaves_one_tunnel(home, far, make_daemon, step, dies):
    """By its own fault (deadly_steps.c). The tunnel is on one of the two, with its ports, and its far end is heard."""
    steps = ("prepared", "before_hand_over", "after_hand_over", "transferred", "before_commit")
    daemon = make_daemon(namespace=home, program=built("warrend_hooked"), arguments=["--workers", "2"]).start()
    tunnel = daemon.api.create(Peer(far, "t").document(), wait_up=True)
    here = _worker(daemon, "t")
    pids = {worker["index"]: worker["pid"] for worker in daemon.api.get("/v1/info")["workers"]}
    os.kill(pids[here if dies == "old" else 1 - here], signal.SIGRTMAX - steps.index(step))
    reply = daemon.api.request("POST", "/v1/tunnels/t/actions/move", {"worker": 1 - here})
    assert reply.status == (503 if step == "prepared" else 200), reply
    wait_until(lambda: fetch_page(home, tunnel, check=False, timeout=2).returncode == 0, timeout=15, what="it works again")
    assert _worker(daemon, "t") == (here if step == "prepared" else 1 - here)
    status = daemon.api.get("/v1/tunnels/t/status")
    assert status["listen"] == tunnel["status"]["listen"] and status["udp_port"] == tunnel["status"]["udp_port"]
    assert "worker %d was killed (signal 4)" % (here if dies == "old" else 1 - here) in daemon.process.log()
    wait_until(lambda: daemon.api.stats("t")["connections_open"] == 0, what="no connection is counted that is gone")


def test_p5_control_process_killed_during_moves_and_replacements(home, far, two):
    """At any instant: afterwards each tunnel is there once, with its ports, nothing has leaked, and no byte is counted twice."""
    tunnels = [two.api.create(Peer(far, f"p{i}").document(limits={"total_bytes": 1 << 30}), wait_up=True) for i in range(3)]
    for tunnel in tunnels:
        two.api.expect(200, "PATCH", f"/v1/tunnels/{tunnel['id']}", {"spec": {"proxy": {"listen": tunnel["status"]["listen"]}}})
        fetch_page(home, tunnel)
    used = lambda: [two.api.stats(tunnel["id"])["bytes_used"] for tunnel in tunnels]
    counted = used()
    assert min(counted) > 0
    two.stop()   # which stores them
    two.start()
    for tunnel in tunnels:
        two.api.wait_state(tunnel["id"], "up")
    descriptors, dice = two.descriptors(), random.Random(11)
    for turn in range(4):
        asked = [("tunnels/p%d/actions/move" % i, {"worker": 1 - _worker(two, f"p{i}")}) for i in range(3)]
        if turn % 2:
            asked = [("workers/%d/actions/replace" % dice.randrange(2), {"drain_timeout": 0})]

        def ask(path, body):
            try:
                two.api.request("POST", f"/v1/{path}", body)
            except (OSError, http.client.HTTPException):
                pass   # it was killed
        threads = [threading.Thread(target=ask, args=words) for words in asked]
        for thread in threads:
            thread.start()
        clock.at_any_moment(dice, 0.2 if turn % 2 else 0.006)
        two.kill()
        for thread in threads:
            thread.join()
        two.start()
        assert used() == counted
        assert [tunnel["id"] for tunnel in two.api.get("/v1/tunnels")["tunnels"]] == ["p0", "p1", "p2"]
        assert sum(worker["tunnels"] for worker in two.api.get("/v1/info")["workers"]) == 3
        for tunnel in tunnels:
            two.api.wait_state(tunnel["id"], "up")
            assert two.api.get(f"/v1/tunnels/{tunnel['id']}/status")["listen"] == tunnel["status"]["listen"]
        wait_until(lambda: two.descriptors() <= descriptors, what="no descriptor is left")
    assert all(fetch_page(home, tunnel).returncode == 0 for tunnel in tunnels)


def test_a_stale_tunnel_stays_stale_and_a_used_up_one_stays_closed(home, far, two):
    """State and quota go with the tunnel: neither is told or counted anew."""
    peer = Peer(far, "t")
    tunnel = two.api.create(peer.document(limits={"total_bytes": 3000}), wait_up=True)
    fetch_page(home, tunnel)
    while two.api.stats("t")["bytes_used"] < 3000:
        fetch_page(home, tunnel, check=False)
    _move(two, "t")
    used = two.api.stats("t")["bytes_used"]
    assert used >= 3000 and fetch_page(home, tunnel, check=False).returncode != 0
    assert two.api.stats("t")["bytes_used"] == used
    with far.away():
        two.api.request("POST", "/v1/tunnels/t/actions/reconnect")
        two.api.wait_state("t", "stale", timeout=30)
        before = two.api.get("/v1/tunnels/t/status")
        reader = Reader(two, "?tunnel=t")
        assert reader.is_open.wait(5)
        _move(two, "t")
        after = two.api.get("/v1/tunnels/t/status")
        assert (after["state"], after["since"]) == ("stale", before["since"])
        reader.close()
        assert "up" not in [event.get("state") for event in reader.events]
    two.api.wait_state("t", "up", timeout=90)


def test_a_tunnel_with_many_peers_moves(two):
    """Each peer's state is a message of its own."""
    peers = [{"public_key": new_key().public, "endpoint": f"192.0.2.{i % 250 + 1}:51820", "allowed_ips": [f"10.{i // 250}.{i % 250}.0/24"]} for i in range(1500)]
    two.api.create({"id": "many", "spec": {"interface": {"private_key": new_key().private, "addresses": ["10.200.0.1"]}, "peers": peers, "proxy": {}}},
                   wait_up=False)
    for _ in range(4):
        _move(two, "many")
    assert len(two.api.get("/v1/tunnels/many/status")["peers"]) == 1500
    assert len(two.workers()) == 2 and "was killed" not in two.process.log()


def test_moves_that_cannot_be_are_refused(home, far, two):
    two.api.create(Peer(far, "still").document(), wait_up=True)
    path = "/v1/tunnels/still/actions/move"
    two.api.expect(404, "POST", "/v1/tunnels/none/actions/move", {"worker": 0})
    for wrong in ({}, {"worker": -1}, {"worker": 99}, {"worker": "0"}, {"to": 1}):
        two.api.expect(422, "POST", path, wrong)
    here = _worker(two, "still")
    assert two.api.expect(200, "POST", path, {"worker": here}).json["status"]["worker"] == here
