"""Many concurrent clients of the same tunnels, and repeated identical requests."""

import copy
import threading

from harness import keys

CLIENTS = 64
ROUNDS = 25
FAR = keys.new_key()


def _document(id=None, **spec):
    base = {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]},
            "peers": [{"public_key": FAR.public, "endpoint": "127.0.0.1:9", "allowed_ips": ["0.0.0.0/0"]}]}
    return {**({"id": id} if id else {}), "spec": {**base, **spec}}


def _all(count, act):
    """Runs act(number) in `count` concurrent threads; returns their results."""
    results, gate = [None] * count, threading.Barrier(count)

    def run(number):
        gate.wait()
        try:
            results[number] = act(number)
        except Exception as error:
            results[number] = error
    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failed = [result for result in results if isinstance(result, Exception)]
    assert not failed, failed[:3]
    return results


def test_if_match_has_one_winner(local_daemon):
    """64 clients, 25 rounds: in each round one write succeeds, 63 get 412, and the winner's write is stored."""
    api = local_daemon.api
    etag = api.create(_document("t"), wait_up=False)["etag"]
    seen = {etag}
    for number in range(ROUNDS):
        def write(client, etag=etag, number=number):
            with api.session() as session:
                return session.request("PATCH", "/v1/tunnels/t", {"labels": {"writer": str(client), "round": str(number)}},
                                       content_type="application/merge-patch+json", headers={"If-Match": etag})
        replies = _all(CLIENTS, write)
        won = [client for client, reply in enumerate(replies) if reply.status == 200]
        assert sorted(reply.status for reply in replies) == [200] + [412] * (CLIENTS - 1)
        tunnel = api.get("/v1/tunnels/t")
        assert tunnel["labels"] == {"writer": str(won[0]), "round": str(number)}
        etag = tunnel["etag"]
        assert etag == replies[won[0]].json["etag"] and etag not in seen
        seen.add(etag)
    assert tunnel["generation"] == 1 + ROUNDS


def test_read_modify_write_loses_nothing(local_daemon):
    """Each client adds its own label and retries after a 412: at the end all labels are there."""
    api = local_daemon.api
    api.create(_document("t"), wait_up=False)

    def add(client):
        with api.session() as session:
            for _ in range(1000):
                tunnel = session.expect(200, "GET", "/v1/tunnels/t").json
                tunnel["labels"][f"c{client}"] = "here"
                reply = session.request("PUT", "/v1/tunnels/t", tunnel, headers={"If-Match": tunnel["etag"]})
                if reply.status == 200:
                    return reply.json["etag"]
                assert reply.status == 412, repr(reply)
        raise AssertionError("never got through")
    etags = _all(CLIENTS // 2, add)
    assert len(set(etags)) == len(etags)
    assert api.get("/v1/tunnels/t")["labels"] == {f"c{client}": "here" for client in range(CLIENTS // 2)}


def test_a7_create_and_delete_of_one_id(local_daemon):
    """Of concurrent creates one is 201 and the others 409; of concurrent deletes one is 204 and the others 404; repeatedly."""
    api = local_daemon.api
    for _ in range(15):
        replies = _all(32, lambda _: api.request("POST", "/v1/tunnels", _document("same")))
        assert sorted(reply.status for reply in replies) == [201] + [409] * 31
        assert {reply.code for reply in replies if reply.status == 409} == {"tunnel_exists"}
        replies = _all(32, lambda _: api.request("DELETE", "/v1/tunnels/same"))
        assert sorted(reply.status for reply in replies) == [204] + [404] * 31


def test_a7_one_port_for_many(local_daemon):
    """Many tunnels request the same port at once: one gets it; the others are refused at once and leave nothing behind."""
    api = local_daemon.api
    port = api.create(_document("probe"), wait_up=False)["status"]["listen"][0]
    api.delete("probe")
    for _ in range(5):
        replies = _all(32, lambda number: api.request("PUT", f"/v1/tunnels/n{number}", _document(proxy={"listen": [port]})))
        assert sorted(reply.status for reply in replies) == [201] + [409] * 31
        assert {reply.code for reply in replies if reply.status == 409} == {"listener_in_use"}
        assert len(api.get("/v1/tunnels")["tunnels"]) == 1
        assert api.expect(200, "DELETE", "/v1/tunnels").json == {"deleted": 1}


def test_different_tunnels_do_not_wait_for_each_other(local_daemon):
    """64 clients write 64 tunnels, 20 times each: every write is stored."""
    api = local_daemon.api

    def write(client):
        with api.session() as session:
            for number in range(20):
                reply = session.request("PUT", f"/v1/tunnels/t{client}", {**_document(), "labels": {"n": str(number)}})
                assert reply.status == (200 if number else 201), repr(reply)
    _all(CLIENTS, write)
    tunnels = api.get("/v1/tunnels?page_size=1000")["tunnels"]
    assert len(tunnels) == CLIENTS and {tunnel["labels"]["n"] for tunnel in tunnels} == {"19"}
    assert {tunnel["generation"] for tunnel in tunnels} == {20}


def _playbook(number):
    return {"labels": {"managed-by": "playbook", "n": str(number)}, "spec": {
        "interface": {"private_key": keys.new_key().private, "addresses": [f"10.2.0.{number + 1}", "fd00::2"], "dns": ["10.2.0.1"], "mtu": 1380},
        "peers": [{"public_key": FAR.public, "preshared_key": keys.new_preshared_key(), "endpoint": "127.0.0.1:9",
                   "allowed_ips": ["0.0.0.0/0", "::/0"], "persistent_keepalive": 25}],
        "proxy": {"listen": ["127.0.0.1:0"], "users": [{"username": "u", "password": "p"}], "protocols": ["socks5", "http"]},
        "forwards": [{"name": "db", "direction": "outbound", "protocol": "tcp", "listen": "127.0.0.1:0", "target": "10.9.0.5:5432"}],
        "limits": {"connections": 10}, "probe": {"type": "ping", "target": "10.2.0.1"}}}


def _etags(api):
    return {tunnel["id"]: (tunnel["etag"], tunnel["generation"], tunnel["updated_at"]) for tunnel in api.get("/v1/tunnels?page_size=1000")["tunnels"]}


def test_a_playbook_twice(local_daemon):
    """20 tunnels by PUT, again, and again with one changed: equal ones are reported as unchanged and keep their ETag and socket."""
    api, documents = local_daemon.api, {f"t{number:02}": _playbook(number) for number in range(20)}
    assert {api.put(id, document)["applied"] for id, document in documents.items()} == {"created"}
    before, listening = _etags(api), [tunnel["status"]["listen"] for tunnel in api.get("/v1/tunnels?view=full")["tunnels"]]
    for _ in range(2):
        assert {api.put(id, document, status=200)["applied"] for id, document in documents.items()} == {"unchanged"}
        assert _etags(api) == before
    changed = copy.deepcopy(documents)
    changed["t07"]["spec"]["limits"]["connections"] = 11
    applied = {id: api.put(id, document, status=200)["applied"] for id, document in changed.items()}
    assert applied == {id: "in_place" if id == "t07" else "unchanged" for id in documents}
    after = _etags(api)
    assert {id for id in after if after[id] != before[id]} == {"t07"}
    assert [tunnel["status"]["listen"] for tunnel in api.get("/v1/tunnels?view=full")["tunnels"]] == listening


def test_a_whole_state_twice(local_daemon):
    """PUT /v1/state reports what it changed, and nothing the second time, also for a state that was read without secrets."""
    api = local_daemon.api
    state = {"tunnels": [{"id": f"t{number:02}", **_playbook(number)} for number in range(20)]}

    def put(body):
        return api.expect(200, "PUT", "/v1/state", body).json
    assert put(state) == {"created": 20, "changed": 0, "unchanged": 0, "deleted": 0}
    before = _etags(api)
    for body in (state, api.get("/v1/state"), api.get("/v1/state?include_secrets=true"), {"tunnels": api.get("/v1/tunnels?view=full")["tunnels"]}):
        assert put(body) == {"created": 0, "changed": 0, "unchanged": 20, "deleted": 0}
        assert _etags(api) == before
    local_daemon.stop()
    local_daemon.start()
    assert put(state)["unchanged"] == 20 and _etags(api) == before, "nor after a restart"
