"""WireGuard keys, made by the wg program."""

import base64
from dataclasses import dataclass

from .process import run


@dataclass(frozen=True)
class Key:
    private: str
    public: str

    @property
    def url(self):
        """The public key as it is written in a URL."""
        return base64.urlsafe_b64encode(base64.b64decode(self.public)).decode().rstrip("=")


def new_key():
    private = run(["wg", "genkey"]).stdout.strip()
    return Key(private, run(["wg", "pubkey"], input=private).stdout.strip())


def new_preshared_key():
    return run(["wg", "genpsk"]).stdout.strip()
