"""Programs that Debian lacks; scripts/test installs them into build/tools-venv from Python's package index."""

import glob
import os

import pytest

from .tools import ROOT

BIN = f"{ROOT}/build/tools-venv/bin"


def program(name):
    """Its path; skips the test if it is missing."""
    path = f"{BIN}/{name}"
    if not os.access(path, os.X_OK):
        pytest.skip(f"no {name}: scripts/test installs it from the Python package index")
    return path


def axe():
    """The source of axe-core, which finds what hinders people in a page; skips the test if it is missing."""
    found = glob.glob(f"{ROOT}/build/tools-venv/lib/python3*/site-packages/axe_playwright_python/axe.min.js")
    if not found:
        pytest.skip("no axe-core: scripts/test installs it from the Python package index")
    with open(found[0], encoding="utf-8") as file:
        return file.read()
