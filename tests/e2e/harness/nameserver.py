"""A name server that the test plays."""

import select
import socket
import struct
import threading


def question(query):
    """(name, type, where the question ends) of a query."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    return ".".join(labels), struct.unpack(">H", query[at + 1:at + 3])[0], at + 5


class NameServer(threading.Thread):
    """Listens on (host, port), in a namespace or on the host. `answer(query)` gives the reply, or None for none, and the seconds until it is sent."""

    def __init__(self, answer, address=("127.0.0.1", 0), namespace=None):
        super().__init__(daemon=True)
        self.answer, self.later, self.stopping = answer, [], False
        self.sock = (namespace or socket).socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(address)
        self.address = self.sock.getsockname()

    def run(self):
        while not self.stopping:
            if not select.select([self.sock], [], [], 0.2)[0]:
                continue
            query, client = self.sock.recvfrom(1500)
            reply, delay = self.answer(query)
            if reply is None:
                continue
            self.later.append(threading.Timer(delay, self.sock.sendto, (reply, client)))
            self.later[-1].start()

    def close(self):
        self.stopping = True
        self.join()
        for timer in self.later:
            timer.cancel()
            timer.join()
        self.sock.close()
