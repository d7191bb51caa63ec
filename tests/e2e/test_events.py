"""The event stream: heartbeats, resuming, readers that fall behind, and the daemon's end."""

import threading

from harness.events import Reader
from harness.process import wait_until

TUNNEL = {"spec": {"enabled": False, "interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]}}}


EVENTS = 20000   # more than the log of events and a socket's buffer hold


def _change(session, count, start=0):
    for number in range(start, start + count):
        session.request("PUT", "/v1/tunnels/e", {**TUNNEL, "labels": {"n": str(number)}})


def test_heartbeats_come(local_daemon):
    """Heartbeats arrive within 15 s on an idle stream, and carry the id to resume from."""
    with local_daemon.api.session() as session:
        _change(session, 3)
    reader = Reader(local_daemon)
    heartbeat = wait_until(lambda: next((event for event in reader.events if event["type"] == "heartbeat"), None), 17, what="a heartbeat")
    again = Reader(local_daemon, f"?since={heartbeat['id']}")
    with local_daemon.api.session() as session:
        _change(session, 1, 3)
    wait_until(lambda: again.numbers(), what="what came after the heartbeat")
    assert again.numbers()[0] == heartbeat["id"] + 1
    reader.close()
    again.close()


def test_a_reader_that_sleeps_is_told_and_cut(local_daemon):
    """A reader that misses more events than the log holds gets a problem at the end of its stream. An active reader misses none.

    A reader that takes nothing for a minute is cut without a word, so each transaction has a thousand events: even a busy machine has them all soon.
    """
    gate = threading.Event()
    fast, slow = Reader(local_daemon), Reader(local_daemon, pause=gate)
    wait_until(lambda: fast.is_open.is_set() and slow.is_open.is_set(), what="the streams are open")
    with local_daemon.api.session() as session:
        for turn in range(EVENTS // 1000):
            operations = [{"method": "PUT", "path": f"/v1/tunnels/e{n}", "body": {**TUNNEL, "labels": {"n": str(turn)}}} for n in range(1000)]
            session.expect(200, "POST", "/v1/batch", {"operations": operations, "atomic": True})
    wait_until(lambda: len(fast.numbers()) >= EVENTS, 20, what="the fast reader has all")
    numbers = fast.numbers()
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    gate.set()
    slow.join(20)
    assert not slow.is_alive(), "the stream of the slow reader has no end"
    last = slow.events[-1]
    assert last.get("code") == "events_expired" and last["status"] == 410
    known = slow.numbers()
    assert known == list(range(known[0], known[0] + len(known))) if known else True, "up to the end none is missing"
    fast.close()


def test_many_readers(local_daemon):
    """100 streams at once see the same events in the same order."""
    readers = [Reader(local_daemon) for _ in range(100)]
    wait_until(lambda: all(reader.is_open.is_set() for reader in readers), what="all are open")
    with local_daemon.api.session() as session:
        _change(session, 50)
        session.expect(204, "DELETE", "/v1/tunnels/e")
    wait_until(lambda: all(reader.events and reader.events[-1]["type"] == "tunnel.deleted" for reader in readers), what="all have the last one")
    told = [[event["id"] for event in reader.events if event["type"] != "heartbeat"] for reader in readers]
    assert all(numbers == told[0] for numbers in told)
    assert local_daemon.api.request("GET", "/livez").status == 200
    for reader in readers:
        reader.close()
    wait_until(lambda: local_daemon.api.request("GET", "/livez").status == 200, what="it answers")


def test_streams_end_with_the_daemon(local_daemon):
    """SIGTERM with open streams: each gets its final event, and the daemon exits in time."""
    readers = [Reader(local_daemon) for _ in range(20)]
    wait_until(lambda: all(reader.is_open.is_set() for reader in readers), what="all are open")
    local_daemon.stop()
    for reader in readers:
        reader.join(5)
        assert not reader.is_alive() and reader.events[-1].get("code") == "worker_unavailable", reader.events[-3:]


def test_ids_go_on_after_a_restart(local_daemon):
    """An id from before a restart is never mistaken for a new one: the stream either resumes after it or reports it as expired."""
    reader = Reader(local_daemon)
    wait_until(reader.is_open.is_set, what="open")
    with local_daemon.api.session() as session:
        _change(session, 20)
    wait_until(lambda: len(reader.numbers()) >= 20, what="the events")
    last = reader.numbers()[-1]
    local_daemon.stop()
    local_daemon.start()
    reply = local_daemon.api.request("GET", f"/v1/events?since={last - 5}")
    assert reply.status == 410 and reply.code == "events_expired"
    fresh = Reader(local_daemon)
    wait_until(fresh.is_open.is_set, what="open")
    with local_daemon.api.session() as session:
        _change(session, 1, 100)
    wait_until(lambda: fresh.numbers(), what="an event")
    assert fresh.numbers()[0] > last, "ids rise across a restart"
    fresh.close()
