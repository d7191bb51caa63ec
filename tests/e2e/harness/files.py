"""Real-world wg-quick files, with the tools' result and ours."""

import os
import shutil
import subprocess

KEY = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
PEER = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
INTERFACE = f"[Interface]\nPrivateKey = {KEY}\nAddress = 10.2.0.2/32\n"
SECTION = f"{INTERFACE}[Peer]\nPublicKey = {PEER}\n"

# The file's contents, the tools' result, our result. Where they differ, a comment says why.
FILES = [
    (INTERFACE + "DNS = 1.1.1.1,", True, True),
    (INTERFACE + "DNS = 1.1.1.1 9.9.9.9", True, True),
    (INTERFACE + "DNS =", True, True),
    (INTERFACE + "DNS = 10.2.0.1, ~.", True, True),
    (INTERFACE + "DNS = 10.2.0.1 .lan ~corp -x", True, True),
    (INTERFACE + "DNS = 10.2.0.1 b\u00fccher.example", True, True),
    (INTERFACE + "MTU =", True, True),
    (INTERFACE + "MTU = 01400", True, True),
    (INTERFACE + "Address = fd00::1 fd00::2/64", True, True),
    (INTERFACE + "Address = fd00::1,", True, True),
    (INTERFACE + "Address =", True, True),
    (INTERFACE + "Address = 10.2.0.2/24, 10.2.0.2/32", True, True),
    (INTERFACE + "DNS = 127.0.0.53, 10.2.0.1", True, True),
    (INTERFACE + "DNS = ::1", True, True),
    (INTERFACE + "ListenPort = 051820", True, True),
    (INTERFACE + "ListenPort = domain", True, True),
    (INTERFACE + "Listen Port = 5 1820", True, True),
    (INTERFACE + "ListenPort =", False, True),  # nothing else can be meant
    (INTERFACE + "ListenPort = no-such-service", False, False),
    (INTERFACE + "Colour = blue", False, False),
    (INTERFACE + "nonsense", False, False),
    (INTERFACE + "; a comment", False, False),
    (INTERFACE + "# a comment = x\nPostUp = a; b # c\nTable = off\nFwMark = off\nSaveConfig = false", True, True),
    (f"[interface]\nprivatekey = {KEY[:9]} {KEY[9:]}\naddress=10.2.0.2", True, True),
    ("[Interface]\nAddress = 10.2.0.2\nPrivateKey =", False, False),
    ("[Wires]", False, False),
    (f"PrivateKey = {KEY}\n[Interface]\nAddress = 10.2.0.2", False, False),
    (f"\ufeff{INTERFACE}", False, True),  # editors of other systems write one
    (INTERFACE.replace("\n", "\r\n"), True, True),
    (SECTION + "Endpoint = 192.0.2.1:51820", True, True),
    (SECTION + "Endpoint = 192.0.2.1:051820", True, True),
    (SECTION + "Endpoint = 192.0.2.1 : 51820", True, True),
    (SECTION + "Endpoint = 192.0.2.1:domain", True, True),
    (SECTION + "Endpoint = 2001:db8::1:51820", True, True),
    (SECTION + "Endpoint = [2001:db8::1]:51820", True, True),
    (SECTION + "Endpoint = 2001:db8::1:5182", True, True),
    (SECTION + "Endpoint = 192.000.002.001:51820", True, True),
    (SECTION + "Endpoint = fe80::1%lo:51820", True, False),  # an endpoint cannot name an interface
    (SECTION + "Endpoint = [ 2001:db8::1 ] : 51820", True, True),
    (SECTION + "Endpoint = [192.0.2.1]:51820", True, True),
    (SECTION + "Endpoint =", False, True),  # nothing else can be meant
    (SECTION + "Endpoint = 192.0.2.1", False, False),
    (SECTION + "Endpoint = [2001:db8::1]51820", False, False),
    (SECTION + "Endpoint = 192.0.2.1:", False, False),
    (SECTION + "Endpoint = 192.0.2.1:no-such-service", False, False),
    (SECTION + "Endpoint = 192.0.2.1:0", True, False),  # nothing can be sent to it
    (SECTION + "AllowedIPs =", False, True),  # our own writer's word for none
    (SECTION + "AllowedIPs = 10.0.0.0/08, ::/00 ,192.0.2.1", True, True),
    (SECTION + "AllowedIPs = 10.0.0.1/8\nAllowedIPs = 10.0.0.1/8", True, True),
    (SECTION + "AllowedIPs = 10.0.0.0/8,", False, False),
    (SECTION + "AllowedIPs = 10.0.0.0/8 10.1.0.0/16", False, False),
    (SECTION + "AllowedIPs = 10.0.0.0/33", False, False),
    (SECTION + "PersistentKeepalive = off", True, True),
    (SECTION + "PersistentKeepalive = 0025", True, True),
    (SECTION + "PersistentKeepalive =", False, True),  # nothing else can be meant
    (SECTION + "PersistentKeepalive = on", False, False),
    (SECTION + "PersistentKeepalive = 65536", False, False),
    (SECTION + "PresharedKey =", False, False),
    (SECTION + f"[Peer]\nPublicKey = {PEER}\nAllowedIPs = ::/0", True, True),
    (INTERFACE + f"[ Peer ] # one\nPublic Key = {PEER}", True, True),
    (INTERFACE + "[Peer]\nPublicKey =", False, False),
    (INTERFACE + "[Peer]\nEndpoint = 192.0.2.1:1", False, False),
]


def name_of(text):
    """A one-line summary of how a file differs from the others."""
    for place, prefix in (("peer", SECTION), ("interface", INTERFACE)):
        if text.startswith(prefix):
            return f"{place}: {text.removeprefix(prefix)!r}".replace(PEER, "PEER")
    return repr(text).replace(KEY, "KEY")


def have_tools():
    """wg-quick must run as root."""
    return bool(shutil.which("wg-quick") and shutil.which("wg")) and os.geteuid() == 0


def strip(text, directory):
    """The lines that wg-quick passes to wg after reading its own keys, or None if it refuses the file."""
    path = os.path.join(directory, "nosuch0.conf")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8", newline="") as file:
        file.write(text + "\n")
    stripped = subprocess.run(["wg-quick", "strip", path], capture_output=True, timeout=10, check=False)
    return stripped.stdout if stripped.returncode == 0 else None


def wg_takes(stripped, directory):
    """wg reads the whole file before it looks for the interface, which does not exist."""
    path = os.path.join(directory, "nosuch0.conf")
    with open(path, "wb") as file:
        file.write(stripped)
    said = subprocess.run(["wg", "setconf", "nosuch0", path], capture_output=True, timeout=30, check=False,
                          env={**os.environ, "WG_ENDPOINT_RESOLUTION_RETRIES": "0"}).stderr
    return b"parsing error" not in said and b"Unrecognized" not in said and b"missing" not in said
