"""A far end of amneziawg-go, which no package registry has: whoever has the program puts it on the PATH. It is configured over its own socket."""

import base64
import os
import socket

from .farend import INNER, PORT, FarEnd
from .process import wait_until

ADDRESS_SPACE = 4 << 30   # some parameters make it take all memory


def _hex(key):
    return base64.b64decode(key).hex()


def _value(value):
    return int(value) if isinstance(value, bool) else value


def parameters(obfuscation):
    """Lines of its configuration for the API's obfuscation."""
    members = {name: value for name, value in obfuscation.items() if name != "type"}
    if key := members.pop("header_protection_key", None):
        members["header_protection_key"] = _hex(key)
    return [f"{name}={_value(value)}" for name, value in members.items()]


class AmneziawgEnd(FarEnd):
    def __init__(self, home, number, directory, obfuscation, mtu):
        self.obfuscation, self.mtu = obfuscation, mtu
        super().__init__(home, number, directory, "amneziawg-go")

    @property
    def control(self):
        return f"/var/run/amneziawg/{self.interface}.sock"

    def command(self):
        return ["prlimit", f"--as={ADDRESS_SPACE}", *super().command()]

    def ask(self, *lines):
        """The answer's members, the last of each name."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(self.control)
            sock.sendall("".join(f"{line}\n" for line in lines).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n\n") and (data := sock.recv(65536)):
                answer += data
        members = dict(line.partition("=")[::2] for line in answer.decode().split())
        assert members["errno"] == "0", f"{lines}: {members}"
        return members

    def configure(self):
        wait_until(lambda: os.path.exists(self.control), what="amneziawg-go answers")
        self.ask("set=1", f"private_key={_hex(self.key.private)}", f"listen_port={PORT}", *parameters(self.obfuscation))
        self.set_addresses(self.mtu)
        # Its first packet after a change of s4 has the old one: that packet is for an address that no peer has.
        self.namespace.run("ping", "-c", "1", "-W", "1", f"{INNER.rpartition('.')[0]}.254", check=False)

    def _set_peer(self, public, allowed_ips, preshared_key, endpoint, keepalive):
        lines = ["set=1", f"public_key={_hex(public)}", "replace_allowed_ips=true", *(f"allowed_ip={network}" for network in allowed_ips),
                 f"persistent_keepalive_interval={keepalive}"]
        if endpoint:
            lines.append(f"endpoint={endpoint}")
        if preshared_key:
            lines.append(f"preshared_key={_hex(preshared_key)}")
        self.ask(*lines)

    def remove_peer(self, public):
        self._peers.pop(public, None)
        self.ask("set=1", f"public_key={_hex(public)}", "remove=true")
