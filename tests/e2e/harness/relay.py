"""A path between two tunnels over loopback that silently drops large datagrams, or does what a subclass says."""

import select
import socket
import threading


class Relay:
    """Forwards datagrams between the senders to `port` and `host`:`target`, except those of more than `size_max` bytes."""

    def __init__(self, target, size_max=65535, host="127.0.0.1"):
        self.size_max, self.dropped = size_max, 0
        self._near, self._far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self._near.bind(("127.0.0.1", 0))
        self._far.connect((host, target))
        self.port = self._near.getsockname()[1]
        self._client = None
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            ready, _, _ = select.select([self._near, self._far, self._stopped], [], [])
            if self._stopped in ready:
                return
            for sock in ready:
                try:
                    self._pass(sock)
                except OSError:
                    pass   # the far tunnel is not there

    def _pass(self, sock):
        if sock is self._far:
            data = sock.recv(65536)
        else:
            data, self._client = sock.recvfrom(65536)
        data = self.change(data, sock is self._near)
        if len(data) > self.size_max:
            self.dropped += 1
        elif sock is self._near:
            self._far.send(data)
        elif self._client:
            self._near.sendto(data, self._client)

    def change(self, data, is_to_target):
        """What is passed on instead of the datagram."""
        return data

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stop.close()
        self._thread.join(5)
        for sock in (self._near, self._far, self._stopped):
            sock.close()
