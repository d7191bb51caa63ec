"""A client of the control API, over its unix socket or over TCP."""

import http.client
import json
import socket
import time

from .process import wait_until


class Reply:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The problem's code, or None."""
        if "problem+json" not in self.headers.get("Content-Type", ""):
            return None
        return self.json["code"]

    @property
    def pointers(self):
        return [fault["pointer"] for fault in self.json.get("errors", [])]

    def __repr__(self):
        return f"{self.status} {self.body[:2000].decode(errors='replace')}"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Api:
    """One request per connection, unless used as `with api.session() as session`."""

    def __init__(self, connect, headers=None):
        self._connect = connect
        self._headers = headers or {}
        self._kept = None

    @classmethod
    def over_unix(cls, path, timeout=60):
        return cls(lambda: _UnixConnection(path, timeout))

    @classmethod
    def over_tcp(cls, address, token=None, timeout=60, namespace=None):
        host, port = address.rsplit(":", 1)

        def connect():
            connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
            if namespace:
                connection.sock = namespace.connect((host, int(port)), timeout)
            return connection
        return cls(connect, {"Authorization": f"Bearer {token}"} if token else {})

    def session(self):
        """The same client on one kept connection."""
        api = Api(self._connect, self._headers)
        api._kept = self._connect()
        return api

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._kept.close()

    def request(self, method, path, body=None, content_type="application/json", headers=None):
        headers = {**self._headers, **(headers or {})}
        if body is not None:
            headers["Content-Type"] = content_type
            if not isinstance(body, (bytes, str)):
                body = json.dumps(body)
            if isinstance(body, str):
                body = body.encode()
        connection = self._kept or self._connect()
        try:
            connection.request(method, path, body=body, headers=headers)
            return Reply(connection.getresponse())
        finally:
            if connection is not self._kept:
                connection.close()

    def expect(self, status, method, path, *arguments, **options):
        reply = self.request(method, path, *arguments, **options)
        assert reply.status == status, f"{method} {path}: expected {status}, got {reply!r}"
        return reply

    def get(self, path, status=200):
        return self.expect(status, "GET", path).json

    def times_ms(self, path, count):
        """How long each of `count` GETs took, the quickest first."""
        took = []
        for _ in range(count):
            before = time.perf_counter()
            self.expect(200, "GET", path)
            took.append(1000 * (time.perf_counter() - before))
        return sorted(took)

    def create(self, document, wait_up=True, timeout=60):
        """POST /v1/tunnels; returns the tunnel, which is up if asked to wait."""
        query = f"?wait=up&timeout={timeout}" if wait_up else ""
        return self.expect(201, "POST", f"/v1/tunnels{query}", document).json

    def put(self, id, document, status=None):
        reply = self.request("PUT", f"/v1/tunnels/{id}", document)
        assert reply.status in ((200, 201) if status is None else (status,)), f"PUT {id}: {reply!r}"
        return reply.json

    def patch(self, id, document, status=200):
        return self.expect(status, "PATCH", f"/v1/tunnels/{id}", document,
                           content_type="application/merge-patch+json").json

    def delete(self, id, status=204):
        return self.expect(status, "DELETE", f"/v1/tunnels/{id}")

    def stats(self, id):
        return self.get(f"/v1/tunnels/{id}/stats")

    def state(self, id):
        return self.get(f"/v1/tunnels/{id}/status")["state"]

    def wait_state(self, id, state, timeout=20):
        status = {}

        def has_come():
            status.clear()
            status.update(self.get(f"/v1/tunnels/{id}/status"))
            return status["state"] == state
        try:
            wait_until(has_come, timeout)
        except AssertionError:
            raise AssertionError(f"{id} is not {state} in time: {status}") from None
        return status
