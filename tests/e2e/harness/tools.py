"""Programs that tests need: those of packages, and newer WireGuard implementations that Go's and Rust's package tools install once into
build/tools."""

import functools
import os
import shutil
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
TOOLS = f"{ROOT}/build/tools"


def packaged(package, name):
    """A program of a package: installed, or unpacked by scripts/test; None if neither."""
    return shutil.which(name) or shutil.which(f"{TOOLS}/{package}/usr/bin/{name}")


def go_install(name, module):
    """The program of a Go module, installed under `name`; None if that is not possible."""
    path = f"{TOOLS}/{name}"
    if os.path.exists(path):
        return path
    if not shutil.which("go"):
        return None
    binaries = f"{TOOLS}/go-bin"
    if not _quietly(["nice", "go", "install", module], {"GOBIN": binaries, "GOFLAGS": "-p=1"}):
        return None
    os.rename(f"{binaries}/{module.split('@')[0].rsplit('/', 1)[1]}", path)
    return path


def cargo_install(crate):
    """The program of a crate, with the crate's name; None if that is not possible."""
    path = f"{TOOLS}/bin/{crate}"
    if os.path.exists(path):
        return path
    if not shutil.which("cargo") or not _quietly(["nice", "cargo", "install", "-j1", "--root", TOOLS, crate], {}):
        return None
    return path


def _quietly(argv, environment):
    os.makedirs(TOOLS, exist_ok=True)
    try:
        subprocess.run(argv, check=True, capture_output=True, timeout=1800, env={**os.environ, **environment})
    except (subprocess.SubprocessError, OSError):
        return False
    return True


@functools.cache
def path(implementation):
    """The program, or None if it is not available."""
    if implementation in ("wireguard-go", "amneziawg-go"):
        return shutil.which(implementation)
    if implementation == "wireguard-go-newest":
        return go_install("wireguard", "golang.zx2c4.com/wireguard@latest")
    return shutil.which("boringtun-cli") or cargo_install("boringtun-cli")
