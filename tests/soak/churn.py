"""Disturbances while the tunnels work: changes, in place and others, kills of workers, and API noise."""

import http.client
import json
import os
import random
import signal
import socket
import threading
import time

from harness.daemon import is_sanitized
from harness.spec import proxy_address


class Repeater(threading.Thread):
    """Calls `act` every `interval` seconds until it is stopped; keeps what it raises."""

    def __init__(self, interval, act):
        super().__init__(daemon=True)
        self.interval, self.act = interval, act
        self.stopping = threading.Event()
        self.problems, self.count = [], 0

    def run(self):
        due = time.monotonic()
        while not self.stopping.wait(max(0, due - time.monotonic())):
            due = max(due + self.interval, time.monotonic() - 10)
            try:
                self.act()
                self.count += 1
            except (AssertionError, OSError, http.client.HTTPException, ValueError) as error:
                self.problems.append(f"{type(error).__name__}: {str(error)[:500]}")

    def stop(self):
        self.stopping.set()
        self.join(60)


class Changes:
    """One random change to one random pair at a time."""

    def __init__(self, api, traffic, seed):
        self.api, self.traffic, self.random = api, traffic, random.Random(seed)
        self.number = 0
        self.done = {}
        self.in_place = [self.limits, self.names, self.keepalive, self.labels, self.probe, self.forward, self.endpoint, self.listener,
                         self.reconnect, self.allowed]
        self.disturbing = [self.mtu_near, self.mtu_far, self.off_and_on, self.again]

    def __call__(self):
        self.number += 1
        pair = self.random.choice(self.traffic.pairs)
        change = self.random.choice(self.in_place if self.random.random() < 0.9 else self.disturbing)
        with pair.lock:
            change(pair)
        self.done[change.__name__] = self.done.get(change.__name__, 0) + 1

    def _patch_near(self, pair, spec, applied=("in_place", "unchanged")):
        reply = self.api.patch(pair.ends.near_id, {"spec": spec})
        assert reply["applied"] in applied, f"{spec}: applied is {reply['applied']}"
        return reply

    def _near_peer(self, pair, port=None, **members):
        document = pair.ends.near(port or pair.front)
        return [{**document["spec"]["peers"][0], **members}]

    def limits(self, pair):
        self._patch_near(pair, {"limits": {"connections": 100 + self.number % 900}})

    def names(self, pair):
        self._patch_near(pair, {"interface": {"dns": [f"10.99.0.{1 + self.number % 3}"]}})

    def keepalive(self, pair):
        self._patch_near(pair, {"peers": self._near_peer(pair, persistent_keepalive=self.number % 30)})

    def allowed(self, pair):
        self._patch_near(pair, {"peers": self._near_peer(pair, allowed_ips=self.random.choice((["0.0.0.0/0"], ["10.0.0.0/8"], ["10.99.0.0/24"])))})

    def labels(self, pair):
        self.api.patch(pair.ends.near_id, {"labels": {"change": str(self.number)}})

    def probe(self, pair):
        self._patch_near(pair, {"probe": self.random.choice((None, {"type": "ping", "target": "10.99.0.1", "interval": 5}))})

    def forward(self, pair):
        forward = {"name": "f", "direction": "outbound", "protocol": "tcp", "listen": "127.0.0.1:0", "target": "10.99.0.1:80"}
        self._patch_near(pair, {"forwards": self.random.choice(([], [forward]))})

    def endpoint(self, pair):
        """The peer is reached by another port from now on; the old one is closed at the next move."""
        self.traffic.loop.call_soon_threadsafe(pair.relay.close_old_fronts)
        pair.front = self.traffic.run(pair.relay.open_front())
        self._patch_near(pair, {"peers": self._near_peer(pair)})

    def listener(self, pair):
        """Another port: the old one with it for a moment, so that both answer, then the new one alone."""
        old = f"{pair.proxy[0]}:{pair.proxy[1]}"
        reply = self._patch_near(pair, {"proxy": {"listen": [old, "127.0.0.1:0"]}})
        new = reply["status"]["listen"][1]
        pair.proxy = proxy_address(reply, 1)
        self._patch_near(pair, {"proxy": {"listen": [new]}})

    def reconnect(self, pair):
        """The session is given up, and with loss two handshakes in a row may fail: that takes ten seconds."""
        pair.disturb()
        reply = self.api.request("POST", f"/v1/tunnels/{pair.ends.near_id}/actions/reconnect")
        # Unlike a change it does not wait for a worker that was killed just before.
        assert reply.status == 200 or reply.json["code"] == "worker_unavailable", f"reconnect of {pair.ends.near_id}: {reply!r}"

    def mtu_near(self, pair):
        pair.disturb()
        self._patch_near(pair, {"interface": {"mtu": 1280 + self.number % 140}}, ("restarted", "unchanged"))

    def mtu_far(self, pair):
        pair.disturb()
        self.api.patch(pair.ends.far_id, {"spec": {"interface": {"mtu": 1280 + self.number % 140}}})

    def off_and_on(self, pair):
        pair.disturb()
        self._patch_near(pair, {"enabled": False}, ("in_place", "restarted"))
        time.sleep(self.random.uniform(0, 2))
        pair.disturb()
        self._patch_near(pair, {"enabled": True}, ("in_place", "restarted"))

    def again(self, pair):
        """Deleted and created."""
        pair.disturb()
        pair.proxy = None
        self.api.delete(pair.ends.near_id)
        if self.random.random() < 0.5:
            self.api.delete(pair.ends.far_id)
            create_far(self.api, self.traffic, pair)
        create_near(self.api, pair)
        pair.disturb()


def create_far(api, traffic, pair):
    far = api.create(pair.ends.far(("127.0.0.1", traffic.page_port)), wait_up=False)
    pair.relay.target = ("127.0.0.1", far["status"]["udp_port"])


def create_near(api, pair):
    pair.proxy = proxy_address(api.create(pair.ends.near(pair.front), wait_up=False))


class Kills:
    """A worker is killed with all that it holds; every pair may be on it."""

    def __init__(self, daemon, traffic, seed):
        self.daemon, self.traffic, self.random = daemon, traffic, random.Random(seed)

    def __call__(self):
        workers = self.daemon.workers()
        if not workers:
            return
        for pair in self.traffic.pairs:
            pair.disturb()
        number = self.random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGSEGV))
        # A sanitizer would report the other signal as a bug.
        os.kill(self.random.choice(workers), signal.SIGKILL if is_sanitized() else number)


class Noise:
    """Reads of every kind, and requests that must be refused."""

    def __init__(self, api, seed):
        self.api, self.random = api, random.Random(seed)

    def __call__(self):
        method, path, body, status = self.random.choice((
            ("GET", "/v1/tunnels?page_size=20", None, 200), ("GET", "/v1/stats", None, 200), ("GET", "/metrics", None, 200),
            ("GET", "/v1/state", None, 200), ("GET", "/v1/tunnels/nobody", None, 404), ("GET", "/v1/tunnels?lable=x", None, 400),
            ("POST", "/v1/tunnels", "{", 400), ("POST", "/v1/tunnels", {"spec": {}}, 422), ("POST", "/v1/keys", None, 200),
            ("POST", "/v1/batch", {"atomic": True, "operations": [{"method": "DELETE", "path": "/v1/tunnels/nobody"}]}, 404)))
        self.api.expect(status, method, path, body)


class Events(threading.Thread):
    """Reads the event stream throughout; its ids must rise by one."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.connection, self.sock = daemon.api._connect(), None
        self.count, self.last, self.problems = 0, None, []
        self.ended = False

    def run(self):
        try:
            self.connection.request("GET", "/v1/events", headers={"Accept": "application/x-ndjson"})
            self.sock = self.connection.sock   # the reply may take it over
            for line in self.connection.getresponse():
                if line.strip():
                    self._read(json.loads(line))
        except (OSError, ValueError, http.client.HTTPException) as error:
            if not self.ended:
                self.problems.append(repr(error))

    def _read(self, event):
        self.count += 1
        if event["type"] == "heartbeat":
            return   # carries the id of the latest event
        if self.last is not None and event["id"] != self.last + 1:
            self.problems.append(f"event {event['id']} after {self.last}")
        self.last = event["id"]

    def stop(self):
        self.ended = True
        if self.sock:
            self.sock.shutdown(socket.SHUT_RDWR)
        self.join(5)
