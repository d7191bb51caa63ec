"""JSON documents of tunnels."""

from . import keys
from .process import wait_until


class Peer:
    """Our side of a tunnel to a far end: key, inner addresses, and the document that makes the tunnel."""

    def __init__(self, far, id, preshared=False, addresses=None, register=True, endpoint=None):
        self.far, self.id = far, id
        self.key = keys.new_key()
        self.addresses = addresses or list(far.new_address())
        self.preshared_key = keys.new_preshared_key() if preshared else None
        self.endpoint = endpoint or far.endpoint
        if register:
            self.register()

    def register(self, **words):
        self.far.add_peer(self.key.public, [f"{a}/{128 if ':' in a else 32}" for a in self.addresses], self.preshared_key, **words)

    def keep_alive(self):
        """The far end sends a keepalive each second, so that silence after an answer never asks for a handshake. The tunnel is up:
        a far end that is told so before begins a handshake of its own, again and again, which can cross ours."""
        wait_until(lambda: self.far.peer(self.key.public)["latest_handshake"], what="the far end has finished the handshake")
        self.register(keepalive=1)

    def document(self, **members):
        """The tunnel's document; `members` replace or add members of the spec ("proxy", "interface" … are merged)."""
        peer = {"public_key": self.far.public_key, "endpoint": self.endpoint, "allowed_ips": ["0.0.0.0/0", "::/0"]}
        if self.preshared_key:
            peer["preshared_key"] = self.preshared_key
        spec = {"interface": {"private_key": self.key.private, "addresses": self.addresses, "dns": ["10.77.0.1"]},
                "peers": [peer], "proxy": {}}
        for name, value in members.items():
            if isinstance(value, dict) and isinstance(spec.get(name), dict):
                spec[name].update(value)
            elif name == "peer":
                peer.update(value)
            else:
                spec[name] = value
        return {"id": self.id, "spec": spec}


def proxy_address(tunnel, index=0):
    """(host, port) of a tunnel's proxy, from its document."""
    host, port = tunnel["status"]["listen"][index].rsplit(":", 1)
    return host.strip("[]"), int(port)
