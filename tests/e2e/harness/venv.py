"""Python programs that Debian lacks; scripts/test installs them into build/tools-venv."""

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
