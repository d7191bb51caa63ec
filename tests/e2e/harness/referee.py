"""What a far end sees of a fleet: UDP relays that note who sends for a tunnel and when, and TCP relays to etcd that can be cut."""

import selectors
import socket
import threading
import time


class Referee:
    """Relays datagrams between the nodes and far ends, in one thread."""

    def __init__(self):
        self.seen = {}  # tunnel → [[source, first, last]], in the order of their beginning
        self.selector = selectors.DefaultSelector()
        self.is_open = True
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_open = False
        self.thread.join(5)
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()

    def watch(self, tunnel, port):
        """The port that stands for the far end's."""
        near, far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        near.bind(("127.0.0.1", 0))
        far.connect(("127.0.0.1", port))
        self.seen[tunnel] = []
        self.selector.register(near, selectors.EVENT_READ, lambda: self._out(tunnel, near, far))
        self.selector.register(far, selectors.EVENT_READ, lambda: self._back(tunnel, near, far))
        return near.getsockname()[1]

    def _out(self, tunnel, near, far):
        data, source = near.recvfrom(65536)
        now = time.monotonic()
        seen = self.seen[tunnel]
        entry = next((entry for entry in reversed(seen) if entry[0] == source), None)
        if entry is None:
            seen.append([source, now, now])
        else:
            entry[2] = now
        self._quietly(lambda: far.send(data))

    def _back(self, tunnel, near, far):
        data = far.recv(65536)
        if self.seen[tunnel]:
            self._quietly(lambda: near.sendto(data, self.seen[tunnel][-1][0]))

    @staticmethod
    def _quietly(send):
        try:
            send()
        except OSError:
            pass

    def _run(self):
        while self.is_open:
            for key, _ in self.selector.select(0.2):
                self._quietly(key.data)

    def overlaps(self):
        """Tunnels for which two sent at one time, with what was seen."""
        found = {}
        for tunnel, seen in self.seen.items():
            if any(one[2] > other[1] for one, other in zip(seen, seen[1:])):
                found[tunnel] = seen
        return found

    def sends_since(self, tunnel, moment):
        """Whether somebody has sent for it after that moment who had not before."""
        return any(first > moment for _, first, _ in self.seen[tunnel])


class Way:
    """A node's way to a member of etcd. Cut, it takes nothing and says nothing, as a network that drops packets does."""

    def __init__(self, url):
        host, port = url.removeprefix("http://").split(":")
        self.to, self.is_whole = (host, int(port)), threading.Event()
        self.is_whole.set()
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.sock.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def is_cut(self):
        return not self.is_whole.is_set()

    @is_cut.setter
    def is_cut(self, value):
        (self.is_whole.clear if value else self.is_whole.set)()

    def _accept(self):
        while True:
            try:
                near, _ = self.sock.accept()
                far = socket.create_connection(self.to)
            except OSError:
                if self.sock.fileno() < 0:
                    return
                continue
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(one, other), daemon=True).start()

    def _copy(self, one, other):
        try:
            while data := one.recv(65536):
                self.is_whole.wait()
                other.sendall(data)
        except OSError:
            pass
        for sock in (one, other):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.sock.close()
