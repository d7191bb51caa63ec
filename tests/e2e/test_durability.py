"""P5: an acknowledged write survives kill -9 at any instant; an unacknowledged one is there completely or not at all."""

import base64
import hashlib
import http.client
import os
import random
import threading

import pytest

from harness import clock, keys
from harness.daemon import is_sanitized
from harness.process import wait_until

PEER = keys.new_key().public
WRITERS = 4


class Writer:
    """Writes to its own ids and records, for each, the states that the daemon may legitimately have."""

    def __init__(self, daemon, number, seed):
        self.daemon, self.number = daemon, number
        self.random = random.Random(seed * 1000 + number)
        self.possible = {}   # id → list of marks (None: absent) that may be found
        self.stop = threading.Event()
        self.writes = 0
        self.problems = []

    def run(self):
        try:
            with self.daemon.api.session() as api:
                while not self.stop.is_set():
                    self._write(api)
        except (OSError, http.client.HTTPException):
            pass   # the daemon died in the middle
        except AssertionError as error:
            self.problems.append(str(error))

    def _write(self, api):
        id = f"w{self.number}-{self.random.randrange(12)}"
        known = self.possible.setdefault(id, [None])
        mark = None if self.random.random() < 0.3 else f"m{self.random.randrange(1 << 40):x}"
        self.possible[id] = [*known, mark]
        if mark is None:
            reply = api.request("DELETE", f"/v1/tunnels/{id}")
            assert reply.status in (204, 404), repr(reply)
        else:
            reply = api.request("PUT", f"/v1/tunnels/{id}", _document(mark))
            assert reply.status in (200, 201), repr(reply)
        self.possible[id] = [mark]
        self.writes += 1


def _document(mark):
    """The mark is in two places, so that a mixture of two writes is detected."""
    return {"labels": {"mark": mark}, "spec": {
        "enabled": False, "interface": {"private_key": keys_for(mark), "addresses": ["10.0.0.2"]},
        "peers": [{"public_key": PEER, "allowed_ips": ["0.0.0.0/0"]}], "proxy": {"users": [{"username": mark, "password": "p"}]}}}


def keys_for(mark):
    """Any 32 bytes are a key; these contain the mark."""
    return base64.b64encode(hashlib.sha256(mark.encode()).digest()).decode()


def _check(daemon, writers):
    found = {tunnel["id"]: tunnel for tunnel in daemon.api.get("/v1/state?include_secrets=true")["tunnels"]}
    for writer in writers:
        for id, possible in writer.possible.items():
            tunnel = found.get(id)
            mark = tunnel["labels"]["mark"] if tunnel else None
            assert mark in possible, f"{id} is {mark}, acknowledged was one of {possible}"
            if tunnel:
                assert tunnel["spec"]["proxy"]["users"][0]["username"] == mark, f"{id} is a mixture"
                assert tunnel["spec"]["interface"]["private_key"] == keys_for(mark), f"{id} is a mixture"
            writer.possible[id] = [mark]
    return found


def _kill_again_and_again(daemon, turns):
    generator = random.Random(os.environ.get("WARREN_E2E_SEED", "17"))
    writers = [Writer(daemon, number, turns) for number in range(WRITERS)]
    tags = {}
    for turn in range(turns):
        daemon.start()
        _check(daemon, writers)
        for tunnel in daemon.api.get("/v1/tunnels?page_size=1000")["tunnels"]:
            seen = tags.setdefault(tunnel["id"], {})
            mark = tunnel["labels"]["mark"]
            assert seen.setdefault(tunnel["etag"], mark) == mark, f"an ETag of {tunnel['id']} was used twice"
        threads = [threading.Thread(target=writer.run) for writer in writers]
        for writer in writers:
            writer.stop.clear()
        for thread in threads:
            thread.start()
        clock.at_any_moment(generator, 0.15)
        daemon.kill()
        for writer in writers:
            writer.stop.set()
        for thread in threads:
            thread.join()
        assert [problem for writer in writers for problem in writer.problems] == []
    daemon.start()
    _check(daemon, writers)
    assert sum(writer.writes for writer in writers) > turns, "hardly a write was acknowledged"


def test_d2_kill_at_random_instants(make_daemon):
    _kill_again_and_again(make_daemon(), 15 if is_sanitized() else 40)


@pytest.mark.long
def test_d2_kill_at_many_random_instants(make_daemon):
    _kill_again_and_again(make_daemon(), int(os.environ.get("WARREN_E2E_KILLS", 500)))


def _fill(path):
    """Fills the file system of `path` to the last byte."""
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass


@pytest.fixture
def small_disk(directory):
    """A file system of 8 MB."""
    from harness.process import run
    if os.geteuid() != 0:
        pytest.skip("not root, so no small file system")
    path = f"{directory}/state"
    os.makedirs(path)
    if run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", path], check=False).returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    yield path
    run(["umount", "-l", path], check=False)


def store_is_writable(api):
    return "\nwarren_store_writable 1\n" in api.expect(200, "GET", "/metrics").body.decode()


def test_d5_full_disk(small_disk, make_daemon):
    """A full disk fails the write with 503 and leaves nothing behind; tunnels run on, reads answer; with room again, writes work."""
    daemon = make_daemon().start()
    api = daemon.api
    api.create({"id": "before", **_document("before"), "spec": {**_document("before")["spec"], "enabled": True}}, wait_up=False)
    _fill(f"{small_disk}/ballast")
    statuses = set()
    for number in range(200):
        statuses.add(api.request("PUT", f"/v1/tunnels/t{number}", _document(f"m{number}")).status)
        if 503 in statuses:
            break
    assert statuses <= {201, 503} and 503 in statuses
    assert api.request("GET", f"/v1/tunnels/t{number}").status == 404
    assert api.get("/v1/tunnels/before")["status"]["state"] in ("starting", "handshaking")
    assert daemon.api.expect(200, "GET", "/readyz").json == {"status": "ready", "degraded": ["store_full"]}
    assert not store_is_writable(api)
    refused = api.expect(503, "PUT", f"/v1/tunnels/t{number}", _document(f"m{number}")).json
    assert refused["code"] == "out_of_resources" and f"mounted at {small_disk} has no room" in refused["detail"], refused
    assert f"mounted at {small_disk} has no room for {small_disk}" in daemon.process.log()
    os.unlink(f"{small_disk}/ballast")
    # No write is needed for it.
    wait_until(lambda: store_is_writable(api), what="room is found")
    assert daemon.api.expect(200, "GET", "/readyz").json == {"status": "ready"}
    api.put(f"t{number}", _document("after"), status=201)
    daemon.kill()
    daemon.start()
    assert daemon.api.get(f"/v1/tunnels/t{number}")["labels"] == {"mark": "after"}
    daemon.stop()


def test_d5_reserve_grows_again(small_disk, make_daemon):
    """Other programs took the reserve's space. It is taken back when there is room again, without a write."""
    daemon = make_daemon().start()
    daemon.api.put("kept", _document("kept"), status=201)
    daemon.kill()
    with open(f"{small_disk}/state.reserve", "wb"):
        pass
    _fill(f"{small_disk}/ballast")
    daemon.start()
    assert not store_is_writable(daemon.api) and os.stat(f"{small_disk}/state.reserve").st_size == 0
    os.unlink(f"{small_disk}/ballast")
    wait_until(lambda: store_is_writable(daemon.api), what="room is found")
    assert os.stat(f"{small_disk}/state.reserve").st_size > 0
    daemon.stop()


def test_d5_full_disk_is_emptied_by_deletes(small_disk, make_daemon):
    """The API alone is enough to recover from a full disk: deletes work, after a restart too, and then creates do."""
    daemon = make_daemon().start()
    api = daemon.api
    names = [f"t{number}" for number in range(12)]
    for name in names:
        api.put(name, _document("m"), status=201)
    _fill(f"{small_disk}/ballast")
    while (status := api.request("PUT", f"/v1/tunnels/t{len(names)}", _document("m")).status) == 201 and len(names) < 2000:
        names.append(f"t{len(names)}")
    assert status == 503
    half = len(names) // 2
    for name in names[:half]:
        assert api.request("DELETE", f"/v1/tunnels/{name}").status == 204
        _fill(f"{small_disk}/ballast2")
    api.put("again", _document("again"), status=201)
    _fill(f"{small_disk}/ballast3")
    daemon.kill()
    daemon.start()
    for name in names[half:] + ["again"]:
        assert daemon.api.request("DELETE", f"/v1/tunnels/{name}").status == 204
    daemon.stop()


@pytest.mark.parametrize("is_first", [True, False], ids=["first start", "later start"])
def test_d5_full_disk_at_the_start_is_told(small_disk, make_daemon, is_first):
    """A user who is told «damaged, move it away» on a full disk loses everything."""
    daemon = make_daemon()
    if not is_first:
        daemon.start()
        daemon.api.put("kept", _document("kept"), status=201)
        daemon.kill()
        for name in ("api.addr", "state.db-shm", "state.reserve"):
            if os.path.exists(f"{small_disk}/{name}"):
                os.unlink(f"{small_disk}/{name}")
    _fill(f"{small_disk}/ballast")
    daemon.start(wait=False)
    assert daemon.process.wait(10) == 1, daemon.tail()
    said = daemon.tail().strip().splitlines()[-1]
    assert "disk is full" in said and small_disk in said and "damaged" not in said, said
    os.unlink(f"{small_disk}/ballast")
    daemon.start()
    assert is_first or daemon.api.get("/v1/tunnels/kept")["labels"] == {"mark": "kept"}
    daemon.stop()


def test_d5_the_admin_token_outlives_a_full_disk(small_disk, make_daemon):
    """A token that cannot be written replaces nothing: the old one stays valid, in the file too."""
    daemon = make_daemon().start()
    old = daemon.token
    _fill(f"{small_disk}/ballast")
    reply = daemon.tcp_api(old).request("POST", "/v1/actions/rotate-token")
    assert reply.status == 503 and "stays valid" in reply.json["detail"], reply
    assert daemon.token == old and daemon.tcp_api(old).get("/v1/whoami")["name"] == "admin"
    assert not os.path.exists(f"{daemon.state_dir}/admin.token.new")
    os.unlink(f"{small_disk}/ballast")
    assert daemon.tcp_api(old).expect(200, "POST", "/v1/actions/rotate-token").json["token"] == daemon.token != old
