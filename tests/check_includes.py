#!/usr/bin/env python3
"""The arrows between the folders, as ARCHITECTURE.md draws them: fails on an include that goes another way, on a library that is used outside its
folder, and on two files of one name."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAY_USE = {
    "daemon": {"api", "service", "fleet", "service/spec", "tunnel/worker", "sandbox", "ipc"},
    "command": {"ipc"},
    "api": {"service", "service/registry", "service/spec", "ipc"},
    "fleet": {"service/spec", "ipc"},
    "fleet/etcd": {"fleet", "service/spec", "ipc"},
    "service": {"service/files", "service/fleet", "fleet", "service/change", "service/pool", "service/worker", "service/store", "service/registry", "service/socket", "service/spec", "ipc"},
    "service/files": {"service/change", "service/store", "service/registry", "service/spec", "ipc"},
    "service/fleet": {"fleet", "fleet/etcd", "service/change", "service/store", "service/registry", "service/spec", "ipc"},
    "service/change": {"service/worker", "service/store", "service/registry", "service/socket", "service/spec", "ipc"},
    "service/pool": {"service/worker", "service/store", "service/registry", "service/socket", "service/spec", "ipc"},
    "service/worker": {"service/store", "service/registry", "service/socket", "service/spec", "ipc"},
    "service/store": {"service/registry", "service/spec", "ipc"},
    "service/registry": {"service/socket", "service/spec", "ipc"},
    "service/socket": {"service/spec", "ipc"},
    "service/spec": {"ipc"},
    "tunnel/worker": {"tunnel/proxy", "tunnel", "tunnel/pool", "tunnel/io", "tunnel/wireguard", "netstack", "sandbox", "ipc"},
    "tunnel/proxy": {"tunnel", "tunnel/pool", "tunnel/http", "tunnel/io", "netstack", "ipc"},
    "tunnel": {"tunnel/http", "tunnel/io", "tunnel/wireguard", "netstack", "ipc"},
    "tunnel/pool": {"tunnel", "tunnel/http", "tunnel/io", "netstack", "ipc"},
    "tunnel/http": {"netstack", "ipc"},
    "tunnel/io": {"ipc"},
    "tunnel/wireguard": {"ipc"},
    "netstack": {"netstack/sender", "netstack/receiver", "netstack/packet"},
    "netstack/sender": {"netstack/packet"},
    "netstack/receiver": {"netstack/packet"},
    "netstack/packet": set(),
    "sandbox": {"ipc"},
    "ipc": set(),
}
LIBRARIES = {
    r"microhttpd\.h": {"api"},
    r"gnutls/.*": {"api"},
    r"jansson\.h": {"api", "service", "service/files", "service/fleet", "service/change", "service/store", "service/registry", "service/socket", "service/spec", "daemon",
                    "command", "fleet", "fleet/etcd"},
    r"curl/.*": {"command", "fleet/etcd"},
    r"sqlite3\.h": {"service/store"},
    r"uv\.h": {"service", "service/files", "service/fleet", "service/change", "service/worker", "service/pool", "daemon", "fleet/etcd"},
    r"seccomp\.h": {"sandbox"},
    r"lwip/.*": {"netstack"},
    r"ares.*\.h": {"netstack", "service/worker"},
    r"blake2\.h": {"tunnel/wireguard"},
    r"intel-ipsec-mb\.h": {"tunnel/wireguard"},
}

EVERY_PROGRAM_HAS = {"main"}  # the one name that stands more than once


def folder_of(path):
    """The innermost folder that has a row of its own."""
    parts = path.split("/")[:-1]
    while parts and "/".join(parts) not in MAY_USE:
        parts.pop()
    return "/".join(parts) or None


def reach(folder, seen=()):
    """Every folder that `folder` leads to; with itself when there is a circle."""
    for there in MAY_USE[folder] - set(seen):
        seen = reach(there, (*seen, there))
    return seen


def faults_of(file):
    relative = file.relative_to(ROOT).as_posix()
    here = folder_of(relative)
    for number, line in enumerate(file.read_text().splitlines(), 1):
        found = re.match(r'\s*#\s*include\s+[<"]([^>"]+)[>"]', line)
        if not found:
            continue
        name = found.group(1)
        there = folder_of(name) if "/" in name else None
        if there in MAY_USE and there != here and there not in MAY_USE[here]:
            yield f"{relative}:{number}: {here} may not use {there}"
        for pattern, folders in LIBRARIES.items():
            if re.fullmatch(pattern, name) and here not in folders:
                yield f"{relative}:{number}: {name} is for {', '.join(sorted(folders))} alone"


def twins_in(files):
    """Names that stand in two folders: a reader could not tell which one a comment, a test or a stack trace means."""
    places = {}
    for file in files:
        places.setdefault(file.stem, set()).add(file.parent.relative_to(ROOT).as_posix())
    for name, folders in sorted(places.items()):
        if len(folders) > 1 and name not in EVERY_PROGRAM_HAS:
            yield f"{name} stands in {' and '.join(sorted(folders))}: name each for what it is"


def main():
    files = [f for folder in sorted({name.split("/")[0] for name in MAY_USE}) for f in sorted((ROOT / folder).rglob("*.[ch]"))]
    faults = [fault for file in files for fault in faults_of(file)]
    faults += twins_in(files)
    faults += [f"{folder} is in a circle of folders" for folder in MAY_USE if folder in reach(folder)]
    print("\n".join(faults) or f"{len(files)} files, every arrow as drawn, every name once")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
