"""A random walk over the API by several concurrent clients: never a 500, never a hang, and the final state matches the replies."""

import os
import random
import threading
import time

from harness import keys
from harness.process import wait_until

CLIENTS = 8
PEERS = [keys.new_key() for _ in range(6)]


class Walker:
    def __init__(self, daemon, number, seed, until):
        self.daemon, self.number, self.until = daemon, number, until
        self.random = random.Random(seed * 100 + number)
        self.problems, self.requests = [], 0

    def run(self):
        try:
            with self.daemon.api.session() as self.api:
                while time.monotonic() < self.until:
                    getattr(self, self.random.choice(STEPS))()
        except Exception as error:
            self.problems.append(repr(error))

    def ask(self, allowed, method, path, *arguments, **options):
        before = time.monotonic()
        reply = self.api.request(method, path, *arguments, **options)
        took = time.monotonic() - before
        self.requests += 1
        if reply.status not in allowed:
            self.problems.append(f"{method} {path} {arguments}: {reply!r}")
        if took > 30:
            self.problems.append(f"{method} {path}: took {took:.1f} s")
        return reply

    def id(self):
        """Half of the ids are this client's own, half are shared."""
        number = self.random.randrange(6)
        return f"own{self.number}-{number}" if self.random.random() < 0.5 else f"shared-{number}"

    def document(self):
        spec = {"interface": {"generate_private_key": True, "addresses": [f"10.0.0.{self.random.randrange(1, 250)}"],
                              "mtu": self.random.choice([1280, 1420])},
                "peers": [{"public_key": key.public, "allowed_ips": [f"10.{index}.0.0/16"], "endpoint": "127.0.0.1:9",
                           "persistent_keepalive": self.random.choice([0, 1, 25])}
                          for index, key in enumerate(self.random.sample(PEERS, self.random.randrange(4)))],
                "enabled": self.random.random() < 0.8,
                "limits": {"connections": self.random.randrange(1, 100)}}
        if self.random.random() < 0.2:
            spec["proxy"] = {"listen": [f"127.0.0.1:{18700 + self.random.randrange(4)}"]}
        return {"labels": {"pool": self.random.choice("ab")}, "spec": spec}

    def put(self):
        self.ask((200, 201, 409), "PUT", f"/v1/tunnels/{self.id()}", self.document())

    def post(self):
        self.ask((201, 409), "POST", "/v1/tunnels", {"id": self.id(), **self.document()})

    def delete(self):
        self.ask((204, 404), "DELETE", f"/v1/tunnels/{self.id()}")

    def patch(self):
        self.ask((200, 404, 409), "PATCH", f"/v1/tunnels/{self.id()}", {"spec": {"limits": {"connections": self.random.randrange(1, 9)}}},
                 content_type="application/merge-patch+json")

    def conditional(self):
        id = self.id()
        reply = self.ask((200, 404), "GET", f"/v1/tunnels/{id}")
        if reply.status == 200:
            self.ask((200, 404, 409, 412), "PUT", f"/v1/tunnels/{id}", self.document(), headers={"If-Match": reply.headers["ETag"]})

    def peers(self):
        key = self.random.choice(PEERS)
        path = f"/v1/tunnels/{self.id()}/peers/{key.url}"
        action = self.random.randrange(3)
        if action == 0:
            self.ask((200, 201, 404, 422), "PUT", path, {"public_key": key.public, "allowed_ips": ["192.0.2.0/24"]})
        elif action == 1:
            self.ask((200, 404), "PATCH", path, {"persistent_keepalive": 7}, content_type="application/merge-patch+json")
        else:
            self.ask((204, 404), "DELETE", path)

    def bulk(self):
        if self.random.random() < 0.1:
            self.ask((200,), "DELETE", "/v1/tunnels?label=pool=a")

    def batch(self):
        own = f"own{self.number}-{self.random.randrange(6)}"
        self.ask((200, 404, 409, 412), "POST", "/v1/batch", {"atomic": self.random.random() < 0.5, "operations": [
            {"method": "PUT", "path": f"/v1/tunnels/{own}", "body": self.document()},
            {"method": "DELETE", "path": f"/v1/tunnels/{self.id()}"}]})

    def reconnect(self):
        self.ask((200, 404, 409), "POST", f"/v1/tunnels/{self.id()}/actions/reconnect")

    def read(self):
        id = self.id()
        path, allowed = self.random.choice([
            ("/v1/tunnels?view=full", (200,)), ("/v1/stats", (200,)), ("/metrics", (200,)), ("/v1/state", (200,)), ("/livez", (200,)),
            (f"/v1/tunnels/{id}", (200, 404)), (f"/v1/tunnels/{id}/stats", (200, 404)), (f"/v1/tunnels/{id}/config", (200, 404)),
            (f"/v1/tunnels/{id}/peers", (200, 404)), ("/v1/connections", (200,))])
        self.ask(allowed, "GET", path)


STEPS = ["put", "put", "post", "delete", "patch", "conditional", "peers", "bulk", "batch", "reconnect", "read", "read", "read"]


def test_random_walk(make_daemon):
    daemon = make_daemon().start()
    seed = int(os.environ.get("WARREN_E2E_SEED", "5"))
    seconds = float(os.environ.get("WARREN_E2E_WALK_SECONDS", "15"))
    daemon.api.expect(200, "DELETE", "/v1/tunnels")
    descriptors, threads = daemon.descriptors(), daemon.threads()
    walkers = [Walker(daemon, number, seed, time.monotonic() + seconds) for number in range(CLIENTS)]
    running = [threading.Thread(target=walker.run) for walker in walkers]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    problems = [problem for walker in walkers for problem in walker.problems]
    assert problems == [], "\n".join(problems[:10])
    assert sum(walker.requests for walker in walkers) > 100
    state = daemon.api.get("/v1/state")
    listed = daemon.api.get("/v1/tunnels?page_size=1000")["tunnels"]
    assert [tunnel["id"] for tunnel in listed] == sorted(tunnel["id"] for tunnel in state["tunnels"])
    daemon.api.expect(200, "DELETE", "/v1/tunnels")
    wait_until(lambda: daemon.descriptors() <= descriptors + 8, what="descriptors are back")
    assert daemon.threads() <= threads
