"""Pairs of tunnels that are peers of each other over loopback, so that tunnels can be up and carry data without root."""

from . import keys
from .servers import Server, read_head

INNER, INNER_CLIENT = "10.99.0.1", "10.99.0.2"


class Ends:
    """The documents of a far tunnel, which waits for its peer, and of a near one, whose proxy leads to it."""

    def __init__(self, name=""):
        self.far_id, self.near_id = f"far{name}", f"near{name}"
        self.far_key, self.near_key = keys.new_key(), keys.new_key()

    def far(self, target=None, **spec):
        """`target` is the (host, port) that the far tunnel's inner port 80 leads to."""
        forwards = [{"name": "page", "direction": "inbound", "protocol": "tcp", "listen": f"{INNER}:80",
                     "target": f"{target[0]}:{target[1]}"}] if target else []
        return {"id": self.far_id, "spec": {
            "interface": {"private_key": self.far_key.private, "addresses": [INNER]},
            "peers": [{"public_key": self.near_key.public, "allowed_ips": [f"{INNER_CLIENT}/32"]}], "forwards": forwards, **spec}}

    def near(self, port, **spec):
        """`port` is the UDP port of the far tunnel."""
        return {"id": self.near_id, "labels": {"side": "near"}, "spec": {
            "interface": {"private_key": self.near_key.private, "addresses": [INNER_CLIENT]},
            "peers": [{"public_key": self.far_key.public, "endpoint": f"127.0.0.1:{port}", "allowed_ips": ["0.0.0.0/0"]}], **spec}}

    def near_conf(self, port):
        """The near tunnel as a wg-quick file."""
        return (f"[Interface]\nPrivateKey = {self.near_key.private}\nAddress = {INNER_CLIENT}/32\nPostUp = true\n\n"
                f"[Peer]\nPublicKey = {self.far_key.public}\nAllowedIPs = 0.0.0.0/0\nEndpoint = 127.0.0.1:{port}\n")


EVENTS_KEPT = 16384   # of the daemon's log


def pages(size=0, text=b"hello through the tunnel\n"):
    """A server on a free port that answers any HTTP request with `text`, or with that many bytes, and closes."""
    def answer(sock):
        sock.settimeout(30)
        if not read_head(sock):
            return
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (size or len(text)))
        left, block = size, bytes(1 << 18)
        while left > 0:
            sock.sendall(block[:left])
            left -= len(block)
        if not size:
            sock.sendall(text)
    return Server(None, ("127.0.0.1", 0), answer)


def create_pair(api, ends, target=None):
    """Both tunnels, the near one up: (far, near)."""
    far = api.create(ends.far(target), wait_up=False)
    return far, api.create(ends.near(far["status"]["udp_port"]))


def fill_event_log(api, id):
    """Fills the event log by changing a tunnel's label. The log is bounded; memory that grows once it is full is a leak."""
    for batch in range(EVENTS_KEPT // 500 + 1):
        operations = [{"method": "PATCH", "path": f"/v1/tunnels/{id}", "body": {"labels": {"fill": f"{batch}-{number}"}}} for number in range(500)]
        results = api.expect(200, "POST", "/v1/batch", {"operations": operations}).json["results"]
        assert all(result["status"] == 200 for result in results), results[0]
