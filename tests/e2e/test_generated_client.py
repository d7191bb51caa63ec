"""Clients generated from the OpenAPI document by public generators, for Python, Go and TypeScript, take a tunnel from creation to deletion."""

import json
import os
import shutil

import pytest

from harness.loop import Ends
from harness.process import run
from harness.tools import ROOT
from harness.venv import BIN, program

SOURCES = f"{ROOT}/tests/e2e/generated"
DOCUMENT = f"{ROOT}/openapi/openapi.json"
NODE_MODULES = f"{ROOT}/build/tools-node/node_modules"
GO_BIN = f"{ROOT}/build/tools-go"


@pytest.fixture
def folder(directory):
    """One for the generated client, with the test's sources beside it."""
    shutil.copytree(SOURCES, f"{directory}/client")
    return f"{directory}/client"


def _run(daemon, folder, *argv):
    """The client's steps, beside a tunnel that is the other end."""
    ends = Ends()
    far = daemon.api.create(ends.far(), wait_up=False)
    port = str(far["status"]["udp_port"])
    ran = run([*argv, daemon.address, daemon.token, port, ends.near_key.private, ends.far_key.public], cwd=folder, timeout=60, check=False)
    assert ran.returncode == 0 and ran.stdout == "done\n", ran.stdout + ran.stderr


def test_python(local_daemon, folder):
    run([program("openapi-python-client"), "generate", "--path", DOCUMENT, "--output-path", f"{folder}/warren", "--meta", "none"], timeout=120)
    with open(DOCUMENT, encoding="utf-8") as file:
        wanted = {operation["operationId"] for item in json.load(file)["paths"].values() for operation in item.values()
                  if "operationId" in operation}
    generated = {name.removesuffix(".py").replace("_", "") for _, _, names in os.walk(f"{folder}/warren/api") for name in names}
    assert {name for name in wanted if name.lower() not in generated} == set(), "operations that the generator did not understand"
    _run(local_daemon, folder, f"{BIN}/python3", "client.py")


def test_go(local_daemon, folder):
    generator = f"{GO_BIN}/oapi-codegen"
    if not os.access(generator, os.X_OK) or not shutil.which("go"):
        pytest.skip("no oapi-codegen or no Go: scripts/test installs it as a Go module")
    os.mkdir(f"{folder}/warren")
    run([generator, "-config", "oapi-codegen.yaml", "-o", "warren/warren.go", DOCUMENT], cwd=folder, timeout=120)
    run(["go", "build", "-o", "steps", "."], cwd=folder, timeout=300, env={**os.environ, "GOPROXY": "off"})
    _run(local_daemon, folder, "./steps")


def test_typescript(local_daemon, folder):
    if not os.path.isdir(f"{NODE_MODULES}/openapi-fetch") or not shutil.which("node"):
        pytest.skip("no openapi-typescript or no node: scripts/test installs it from the npm registry")
    os.symlink(NODE_MODULES, f"{folder}/node_modules")
    run([f"{NODE_MODULES}/.bin/openapi-typescript", DOCUMENT, "--default-non-nullable=false", "-o", "warren.d.ts"], cwd=folder, timeout=120)
    run([f"{NODE_MODULES}/.bin/tsc", "-p", "."], cwd=folder, timeout=300)
    _run(local_daemon, folder, "node", "client.js")
