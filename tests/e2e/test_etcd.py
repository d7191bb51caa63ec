"""warren's client of etcd (fleet/etcd): against a double of the JSON gateway that does what a real one seldom does, and against real members."""

import itertools
import json
import threading
import time

import pytest

from harness.certificates import make_certificate
from harness.etcd import Client, Cluster, Gateway, base64_of, program, text_of
from harness.process import wait_until

HEADER = {"cluster_id": "77", "member_id": "1", "revision": "9", "raft_term": "2"}
DONE = {"header": HEADER, "succeeded": True}
needs_etcd = pytest.mark.skipif(program() is None, reason="etcd is not installed")


def _event(key, revision, value="v"):
    return {"kv": {"key": base64_of(f"/w/{key}"), "value": base64_of(value), "mod_revision": str(revision)}}


def _message(**members):
    return json.dumps({"result": {"header": HEADER, **members}}).encode() + b"\n"


def _record(key, revision, value="v", lease=0, deleted=False):
    return {"key": key, "value": value, "revision": revision, "lease": lease, "deleted": deleted}


# ---- A double: the watch ----

STREAM = (_message(created=True) + _message(events=[_event("p/a", 5), _event("p/b", 5)]) + _message(fragment=True, events=[_event("p/c", 6)]) +
          _message(events=[_event("p/d", 6)]) + _message() + _message(events=[_event("p/e", 8)]))
TOLD = [{"created": 9, "cluster": 77}, {"event": _record("p/a", 5)}, {"event": _record("p/b", 5)}, {"progress": 5}, {"event": _record("p/c", 6)},
        {"event": _record("p/d", 6)}, {"progress": 6}, {"event": _record("p/e", 8)}, {"progress": 8}]


@pytest.mark.parametrize("size", [1, 7, 100, len(STREAM)])
def test_a_watch_is_told_however_its_lines_are_divided(size):
    def serve(request):
        request.begin_stream()
        for start in range(0, len(STREAM), size):
            request.chunk(STREAM[start:start + size])
        threading.Event().wait(5)

    with Gateway(serve) as gateway, Client([gateway.url]) as client:
        client.ask("watch 5")
        assert [client.next() for _ in TOLD] == TOLD
        assert gateway.asked[0].path == "/v3/watch"
        create = gateway.asked[0].body["create_request"]
        assert (text_of(create["key"]), text_of(create["range_end"]), create["start_revision"], create["fragment"]) == ("/w/p/", "/w/p0", "5", True)
        assert gateway.asked[0].headers["grpc-metadata-hasleader"] == "true"


def test_a_line_of_a_watch_can_be_megabytes_long():
    count = 13_000
    line = _message(events=[_event(f"p/node/{i}", i + 1, "x" * 100) for i in range(count)])
    assert len(line) > 2_700_000

    def serve(request):
        request.begin_stream()
        request.chunk(_message(created=True))
        for start in range(0, len(line), 8192):
            request.chunk(line[start:start + 8192])
        threading.Event().wait(5)

    with Gateway(serve) as gateway, Client([gateway.url]) as client:
        client.ask("watch 1")
        told = [client.next() for _ in range(count + 2)]
        assert [event["event"]["revision"] for event in told[1:-1]] == list(range(1, count + 1))
        assert told[-1] == {"progress": count}


@pytest.mark.parametrize("line, ended", [
    (_message(created=True, canceled=True, compact_revision="19"), {"ended": "compacted", "compacted": True}),
    (b'{"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader"}}\n', {"ended": "unavailable", "compacted": False}),
    (_message(created=True, canceled=True, cancel_reason="permission denied"), {"ended": "denied", "compacted": False}),
    (b"nonsense\n", {"ended": "malformed", "compacted": False}),
    (b"[]\n", {"ended": "malformed", "compacted": False}),
    (b"x" * (9 << 20), {"ended": "too_large", "compacted": False}),
    (None, {"ended": "unreachable", "compacted": False}),
], ids=["compacted", "no leader", "denied", "nonsense", "array", "too large", "closed"])
def test_a_watch_ends_with_its_reason(line, ended):
    def serve(request):
        request.begin_stream()
        if line is None:
            request.connection.sendall(b"0\r\n\r\n")
            return
        request.chunk(line)
        threading.Event().wait(5)

    with Gateway(serve) as gateway, Client([gateway.url]) as client:
        client.ask("watch 1")
        assert client.next() == {**ended, "member": gateway.url}


def test_another_watch_takes_the_place_of_one_and_elsewhere_when_asked_to():
    def serve(request):
        request.begin_stream()
        request.chunk(_message(created=True))
        threading.Event().wait(5)

    with Gateway(serve) as first, Gateway(serve) as second, Client([first.url, second.url]) as client:
        for line, count in (("watch 1", (1, 0)), ("watch 2", (2, 0)), ("watch 3 elsewhere", (2, 1)), ("watch 4", (2, 2))):
            client.ask(line)
            assert client.next() == {"created": 9, "cluster": 77}
            assert (len(first.asked), len(second.asked)) == count


# ---- A double: requests ----

@pytest.mark.parametrize("status, body, result, error", [
    (200, {"result": {"header": HEADER, "ID": "5", "TTL": "12"}}, "done", "ok"),
    (200, {"result": {"header": HEADER, "ID": "5"}}, "no_lease", "ok"),
    (200, {}, "unknown", "malformed"),
    (200, {"result": {}}, "unknown", "malformed"),
    (200, b"", "unknown", "malformed"),
    (404, b"404 page not found\n", "unknown", "malformed"),
    (404, {"error": "x", "message": "etcdserver: requested lease not found", "code": 5}, "no_lease", "not_found"),
    (503, {"error": "x", "message": "etcdserver: no leader", "code": 14}, "unknown", "unavailable"),
], ids=["done", "no TTL", "empty object", "empty result", "nothing", "page not found", "not found", "no leader"])
def test_a_keepalive_has_the_result_that_its_answer_says(status, body, result, error):
    with Gateway(lambda request: request.answer(body, status)) as gateway, Client([gateway.url]) as client:
        reply = client.reply("keepalive 5")
        assert (reply["result"], reply["error"], reply["lease"]) == (result, error, 5)
        assert gateway.asked[0].body == {"ID": "5"}


def test_a_transaction_that_tells_nothing_is_no_refusal():
    with Gateway(lambda request: request.answer({})) as gateway, Client([gateway.url]) as client:
        reply = client.reply("heartbeat lease p/node/a 5 put p/node/a 5 v")
        assert (reply["result"], reply["error"]) == ("unknown", "malformed")


def test_a_list_is_of_one_revision_and_page_by_page():
    def serve(request):
        page = len(gateway.asked)
        request.answer({"header": {**HEADER, "revision": str(40 + page)}, "kvs": [_event(f"p/{page}", page)["kv"]], "more": page < 3})

    with Gateway(serve) as gateway, Client([gateway.url]) as client:
        reply = client.reply("list")
        assert (reply["result"], reply["revision"], reply["cluster"]) == ("done", 41, 77)
        assert [record["key"] for record in reply["listed"]] == ["p/1", "p/2", "p/3"]
        assert [(text_of(request.body["key"]), request.body.get("revision")) for request in gateway.asked] == \
            [("/w/p/", None), ("/w/p/1\0", "41"), ("/w/p/2\0", "41")]
        assert all(text_of(request.body["range_end"]) == "/w/p0" for request in gateway.asked)


@pytest.mark.parametrize("kvs", [[], [_event("p/a", 1)["kv"]], [{"key": base64_of("/other")}]])
def test_a_page_that_leads_no_further_ends_the_list(kvs):
    with Gateway(lambda request: request.answer({"header": HEADER, "kvs": kvs, "more": True})) as gateway, Client([gateway.url]) as client:
        reply = client.reply("list")
        assert (reply["result"], reply["error"]) == ("unknown", "malformed")
        assert len(gateway.asked) <= 2


def test_a_member_that_hangs_is_left_after_two_seconds_and_delays_nothing_else():
    def serve(request):
        if request.path == "/v3/kv/range":
            threading.Event().wait(5)
        request.answer(DONE)

    with Gateway(serve) as first, Gateway(lambda request: request.answer(DONE)) as second, Client([first.url, second.url]) as client:
        began = time.monotonic()
        client.ask("list")
        assert client.reply("heartbeat put p/node/a 0 v")["result"] == "done"
        told = client.next()
        assert (told["reply"], told["result"], told["error"], told["member"]) == ("list", "unknown", "timed_out", first.url)
        assert time.monotonic() - began >= 2
        assert client.reply("heartbeat put p/node/a 0 v")["member"] == second.url


def test_a_client_keeps_to_a_member_that_works():
    down = {"error": "x", "message": "etcdserver: request timed out", "code": 14}
    full = {"error": "x", "message": "etcdserver: mvcc: database space exceeded", "code": 8}
    answers = itertools.chain([(DONE, 200), (full, 429)], itertools.repeat((DONE, 200)))
    with Gateway(lambda request: request.answer(down, 503)) as first, Gateway(lambda request: request.answer(*next(answers))) as second:
        with Client([first.url, second.url]) as client:
            line = "heartbeat put p/node/a 0 v"
            replies = [client.reply(line) for _ in range(4)]
            assert [reply["error"] for reply in replies] == ["unavailable", "ok", "no_space", "ok"]
            assert [reply["member"] for reply in replies] == [first.url] + 3 * [second.url]


def test_a_member_that_sends_elsewhere_is_not_followed():
    with Gateway(lambda request: request.answer(DONE)) as other:
        def serve(request):
            request.connection.sendall(f"HTTP/1.1 307 X\r\nLocation: {other.url}/v3/kv/txn\r\nContent-Length: 0\r\n\r\n".encode())

        with Gateway(serve) as gateway, Client([gateway.url]) as client:
            assert client.reply("heartbeat put p/node/a 0 v")["error"] == "malformed"
            assert other.asked == []


def test_a_client_goes_on_after_any_allocation_that_fails():
    line = "heartbeat put p/node/a 0 v"
    outcomes = set()
    for allowed in itertools.count():
        with Gateway(lambda request: request.answer(DONE)) as gateway, Client([gateway.url]) as client:
            client.ask(f"starve {allowed} {line}")
            told = client.next()
            outcomes.add(told.get("error", "not_asked"))
            assert client.reply(line)["result"] == "done"
            if told.get("starved") == 0:
                break
    assert outcomes <= {"not_asked", "timed_out", "no_memory", "ok"} and len(outcomes) >= 3


# ---- A double: the store ----


def _stored(client):
    """The records that are told, and how it ends."""
    records = []
    while "record" in (told := client.next()):
        records.append(told["record"])
    return records, told


def test_a_store_reads_a_folder_in_pages_that_are_as_small_as_they_must_be():
    def serve(request):
        limit, after = int(request.body["limit"]), text_of(request.body["key"])
        if limit > 8:
            request.answer(b" " * (9 << 20))
            return
        rest = [i for i in range(20) if f"/w/t/{i:02}" >= after]
        page = [_event(f"t/{i:02}", i + 1, "v" * 9000)["kv"] for i in rest[:limit]]
        request.answer({"header": {**HEADER, "revision": str(40 + len(gateway.asked))}, "kvs": page, "more": len(rest) > limit})

    with Gateway(serve) as gateway, Client([gateway.url]) as client:
        client.ask("store_read t/")
        records, end = _stored(client)
        assert [record["key"] for record in records] == [f"t/{i:02}" for i in range(20)]
        assert all(len(record["value"]) == 9000 for record in records)
        assert (end["stored"], end["revision"]) == ("ok", 43)
        assert [request.body.get("revision") for request in gateway.asked[2:]] == [None, "43", "43"]
        client.ask("store_read 3 t/")
        records, end = _stored(client)
        assert (len(records), end) == (3, {"cancelled": True})


def test_a_store_asks_fifteen_at_once_and_the_others_in_their_order():
    lock, together, most, may_answer = threading.Lock(), 0, 0, threading.Event()

    def serve(request):
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        assert may_answer.wait(60)
        with lock:
            together -= 1
        request.answer({"header": HEADER})

    with Gateway(serve) as gateway, Client([gateway.url]) as client:
        client.ask("\n".join(f"store_read t/{i:02}" for i in range(40)))
        wait_until(lambda: together == 15, what="as many requests as are allowed")
        may_answer.set()
        assert [client.next()["stored"] for _ in range(40)] == 40 * ["ok"]
        assert most == 15
        later = [text_of(request.body["key"]) for request in gateway.asked[15:]]
        assert sorted(later) == [f"/w/t/{i:02}" for i in range(15, 40)]


def test_what_a_store_asked_is_done_is_not_or_may_be():
    answers = iter([({**DONE}, 200), ({"header": HEADER}, 200), ({"error": "x", "message": "etcdserver: mvcc: database space exceeded", "code": 8}, 429),
                    ({"error": "x", "message": "etcdserver: request timed out", "code": 14}, 503), (b"nonsense", 200)])
    with Gateway(lambda request: request.answer(*next(answers))) as gateway, Client([gateway.url]) as client:
        ends = []
        for _ in range(5):
            client.ask("store_write put t/a 0 v")
            end = client.next()
            ends.append((end["stored"], end["succeeded"], end["refusal"]))
        assert ends == [("ok", True, False), ("ok", False, False), ("no_space", False, True), ("unavailable", False, False), ("malformed", False, False)]


@pytest.mark.parametrize("line", ["store_write put t/a 0 v", "store_read t/"])
def test_a_store_goes_on_after_any_allocation_that_fails(line):
    answer = {**DONE, "kvs": [_event("t/a", 5)["kv"]]}
    for allowed in itertools.count():
        with Gateway(lambda request: request.answer(answer)) as gateway, Client([gateway.url]) as client:
            client.ask(f"starve {allowed} {line}")
            told = _stored(client)[1]
            client.ask(line)
            records, end = _stored(client)
            assert (end["stored"], len(records)) == ("ok", "read" in line)
            if told.get("starved") == 0:
                break
    assert allowed > 3


USER = {"ETCD_USER": "warren", "ETCD_PASSWORD": 'pass"word'}


def test_a_client_logs_in_first_and_again_when_its_token_is_forgotten():
    valid = []

    def serve(request):
        if request.path == "/v3/auth/authenticate":
            valid.append(f"token.{len(valid)}")
            request.answer({"header": HEADER, "token": valid[-1]})
        elif request.headers.get("authorization") == valid[-1] and not forgotten.is_set():
            request.answer(DONE)
        else:
            forgotten.clear()
            request.answer({"error": "x", "message": "etcdserver: invalid auth token", "code": 16}, 401)

    forgotten = threading.Event()
    with Gateway(serve) as gateway, Client([gateway.url], USER) as client:
        line = "heartbeat put p/node/a 0 v"
        assert client.reply(line)["result"] == "done"
        assert gateway.asked[0].body == {"name": "warren", "password": 'pass"word'}
        forgotten.set()
        assert client.reply(line)["result"] == "done"
        assert client.reply(line)["result"] == "done"
        assert [request.path.rsplit("/", 1)[1] for request in gateway.asked] == ["authenticate", "txn", "txn", "authenticate", "txn", "txn"]


def test_a_token_that_is_never_taken_ends_the_request():
    def serve(request):
        if request.path == "/v3/auth/authenticate":
            request.answer({"header": HEADER, "token": "token"})
        else:
            request.answer({"error": "x", "message": "etcdserver: invalid auth token", "code": 16}, 401)

    with Gateway(serve) as gateway, Client([gateway.url], USER) as client:
        assert client.reply("heartbeat put p/node/a 0 v")["error"] == "no_login"
        assert len(gateway.asked) == 4


def test_a_wrong_password_fails_all_that_waits():
    denied = {"error": "x", "message": "etcdserver: authentication failed, invalid user ID or password", "code": 3}
    with Gateway(lambda request: request.answer(denied, 400)) as gateway, Client([gateway.url], USER) as client:
        client.ask("list\nwatch 1")
        told = [client.next(), client.next()]
        assert told[0]["error"] == "denied" and told[1]["ended"] == "denied"
        assert len(gateway.asked) == 1


# ---- Real members ----

def _read_watch(client, count):
    """The next events, and the revision at which they are complete."""
    events, progress = [], 0
    while len(events) < count or progress < events[-1]["revision"]:
        told = client.next()
        if "event" in told:
            events.append(told["event"])
        progress = told.get("progress", progress)
    return events


def _fill(client, count):
    for start in range(0, count, 100):
        puts = " ".join(f"put p/shard/any/{i} 0 v{i}" for i in range(start, start + 100))
        assert client.reply(f"place {puts}")["result"] == "done"


@needs_etcd
def test_a_fleet_s_requests_at_real_members(directory):
    with Cluster(directory) as cluster, Client(cluster.urls) as client:
        lease = client.reply("grant 12")["lease"]
        assert lease > 0
        join = f"join mod p/node/a 0 put p/node/a {lease} first read p/node/a"
        joined = client.reply(join)
        assert joined["result"] == "done" and joined["revision"] > 0 and joined["cluster"] != 0
        again = client.reply(join)
        assert again["result"] == "refused" and again["found"] == _record("p/node/a", joined["revision"], "first", lease)
        assert client.reply(f"heartbeat lease p/node/a {lease} put p/node/a {lease} second")["result"] == "done"
        assert client.reply(f"heartbeat lease p/node/a {lease + 1} put p/node/a {lease} third")["result"] == "refused"
        assert client.reply(f"keepalive {lease}")["result"] == "done"
        assert client.reply(f"keepalive {lease + 1}")["result"] == "no_lease"
        assert client.reply(f"heartbeat put p/node/a {lease + 1} v")["result"] == "no_lease"
        _fill(client, 1200)  # three pages
        listed = client.reply("list")
        assert listed["result"] == "done" and len(listed["listed"]) == 1201
        client.ask(f"watch {joined['revision']}")
        assert client.next()["created"] >= listed["revision"]
        events = _read_watch(client, 1202)
        assert [event["value"] for event in events[:2]] == ["first", "second"]
        assert [event["revision"] for event in events] == sorted(event["revision"] for event in events)
        cluster.members[0].call("/v3/lease/revoke", {"ID": str(lease)})
        assert _read_watch(client, 1)[0]["deleted"]
        assert client.reply(f"keepalive {lease}")["result"] == "no_lease"
        _check_store(client)


def _check_store(client):
    create = "store_write mod id/a 0 put id/a 0 {} put t/any/7/a 0 spec put t/any/7/+a 0 pool put t/any/70/b 0 other"
    client.ask(create)
    created = client.next()
    assert created["stored"] == "ok" and created["succeeded"]
    client.ask(create)
    assert client.next()["succeeded"] is False
    client.ask("store_read t/any/7/")
    records, end = _stored(client)
    assert [(record["key"], record["value"], record["revision"]) for record in records] == \
        [("t/any/7/+a", "pool", created["revision"]), ("t/any/7/a", "spec", created["revision"])]
    assert end["revision"] >= created["revision"]
    client.ask(f"store_write mod t/any/7/a {created['revision']} delete t/any/7/a delete id/a")
    assert client.next()["succeeded"]
    for key, count in (("t/any/7/a", 0), ("id/a", 0), ("t/any/70/b", 1), ("t/any/7/", 1)):
        client.ask(f"store_read {key}")
        assert len(_stored(client)[0]) == count


@needs_etcd
def test_a_member_that_is_killed_costs_a_reply_and_no_event(directory):
    with Cluster(directory) as cluster, Client(cluster.urls) as client:
        first = client.reply("lead put p/leader 0 one")
        assert first["member"] == cluster.urls[0]
        client.ask(f"watch {first['revision']}")
        assert "created" in client.next() and _read_watch(client, 1)
        cluster.members[0].process.stop(number=9)
        ended = client.next()
        assert ended["ended"] == "unreachable" and not ended["compacted"]
        wait_until(lambda: client.reply("lead put p/leader 0 two")["result"] == "done", timeout=20, interval=0.1, what="there is a new leader")
        client.ask(f"watch {first['revision'] + 1}")
        assert client.next()["created"] > first["revision"]
        assert _read_watch(client, 1)[0]["value"] == "two"


@needs_etcd
def test_a_watch_from_before_a_compaction_says_so(directory):
    with Cluster(directory, count=1) as cluster, Client(cluster.urls) as client:
        revisions = [client.reply(f"lead put p/leader 0 v{i}")["revision"] for i in range(5)]
        cluster.members[0].call("/v3/kv/compaction", {"revision": str(revisions[-1]), "physical": True})
        client.ask(f"watch {revisions[0]}")
        told = client.next()
        if "created" in told:
            told = client.next()
        assert told["ended"] == "compacted" and told["compacted"]


@needs_etcd
def test_tls_and_a_user(directory):
    certificate, key = f"{directory}/etcd.pem", f"{directory}/etcd.key"
    make_certificate(certificate, key, "etcd", "IP:127.0.0.1")
    with Cluster(directory, count=1, tls=(certificate, key)) as cluster:
        member = cluster.members[0]
        for path, body in (("user/add", {"name": "root", "password": "secret"}), ("role/add", {"name": "root"}),
                           ("user/grant", {"user": "root", "role": "root"}), ("enable", {})):
            member.call(f"/v3/auth/{path}", body)
        line = "lead put p/leader 0 v"
        user = {"ETCD_CA": certificate, "ETCD_USER": "root", "ETCD_PASSWORD": "secret"}
        with Client(cluster.urls, user) as client:
            assert client.reply(line)["result"] == "done"
            client.ask("watch 1")
            assert "created" in client.next() and _read_watch(client, 1)
        for environment, error in (({**user, "ETCD_PASSWORD": "wrong"}, "denied"), ({"ETCD_CA": certificate}, "no_login"),
                                   ({**user, "ETCD_CA": "/etc/ssl/certs/ca-certificates.crt"}, "untrusted")):
            with Client(cluster.urls, environment) as client:
                assert client.reply(line)["error"] == error


@needs_etcd
def test_a_certificate_of_the_client_s(directory):
    certificate, key = f"{directory}/etcd.pem", f"{directory}/etcd.key"
    make_certificate(certificate, key, "etcd", "IP:127.0.0.1")
    with Cluster(directory, count=1, tls=(certificate, key), client_ca=certificate) as cluster:
        trust = {"ETCD_CA": certificate, "ETCD_CERTIFICATE": certificate, "ETCD_KEY": key}
        with Client(cluster.urls, trust) as client:
            assert client.reply("lead put p/leader 0 v")["result"] == "done"
        with Client(cluster.urls, {"ETCD_CA": certificate}) as client:
            assert client.reply("lead put p/leader 0 v")["result"] == "unknown"
