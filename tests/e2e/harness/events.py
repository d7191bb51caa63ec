"""A reader of the event stream."""

import http.client
import json
import socket
import threading


class Reader(threading.Thread):
    """Reads JSON lines; `pause` holds it before its first read. Over the unix socket, or as a client over TCP with a token."""

    def __init__(self, daemon, query="", pause=None, token=None):
        super().__init__(daemon=True)
        self.events, self.pause = [], pause
        self.connection = http.client.HTTPConnection("localhost")
        if token:
            host, port = daemon.address.rsplit(":", 1)
            self.sock = self.connection.sock = socket.create_connection((host, int(port)))
        else:
            self.sock = self.connection.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(f"{daemon.state_dir}/api.sock")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.connection.request("GET", f"/v1/events{query}", headers={**headers, "Accept": "application/x-ndjson"})
        self.is_open = threading.Event()
        self.start()

    def run(self):
        response = self.connection.getresponse()
        self.is_open.set()
        if self.pause:
            self.pause.wait()
        try:
            for line in response:
                self.events.append(json.loads(line))
        except (OSError, http.client.HTTPException, ValueError):
            pass   # closed by the test

    def numbered(self):
        """Without heartbeats, which have the number of the event before."""
        return [event for event in self.events if "type" in event and event["type"] != "heartbeat" and "id" in event]

    def numbers(self):
        return [event["id"] for event in self.numbered()]

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.join(5)
