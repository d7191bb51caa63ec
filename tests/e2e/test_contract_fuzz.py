"""Schemathesis fuzzes the daemon from its OpenAPI document: no 500, and no status or reply that the document lacks."""

import json
import os
import shutil
import subprocess

import pytest

from harness import keys
from harness.process import die_with_parent, run
from harness.venv import program

EXAMPLES = int(os.environ.get("WARREN_E2E_FUZZ", "20"))
CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
          "response_schema_conformance", "negative_data_rejection", "unsupported_method", "missing_required_header", "ignored_auth",
          "use_after_free"]
# What `default` stands for at every operation; schemathesis takes any status that is left to `default` as documented.
EVERYWHERE = ("405", "414", "421", "429", "431")
PEER = keys.new_key()


def _operations(document):
    for item in document["paths"].values():
        for method, operation in item.items():
            if method in ("get", "head", "put", "post", "patch", "delete"):
                yield operation


def _or(schema, *values):
    """The schema, with meaningful values: purely random strings would all end in a 422."""
    return {"anyOf": [{"type": "string", "enum": list(values)}, schema]}


def _sharpened(document):
    for operation in _operations(document):
        other = operation["responses"].pop("default", None)
        for status in EVERYWHERE if other else ():
            operation["responses"].setdefault(status, other)
        names = [reference.get("$ref", "").rsplit("/", 1)[-1] for reference in operation.get("parameters", [])]
        operation["parameters"] = [parameter for parameter, name in zip(operation.get("parameters", []), names) if name not in ("wait", "timeout")]
    schemas, parameters = document["components"]["schemas"], document["components"]["parameters"]
    schemas["Id"] = _or(schemas["Id"], "one", "two")
    parameters["peer_key"]["schema"] = _or(parameters["peer_key"]["schema"], PEER.url)
    parameters["of_state"]["schema"] = schemas["TunnelState"]
    schemas["Key"] = _or(schemas["Key"], PEER.public, keys.new_key().private)
    interface, peer = schemas["Interface"]["properties"], schemas["Peer"]["properties"]
    interface["addresses"]["items"] = _or(interface["addresses"]["items"], "10.2.0.2", "fd00::2/128")
    interface["dns"]["items"] = _or(interface["dns"]["items"], "10.2.0.1")
    peer["endpoint"] = _or(peer["endpoint"], "127.0.0.1:9", "[::1]:9")
    peer["allowed_ips"]["items"] = _or(peer["allowed_ips"]["items"], "0.0.0.0/0", "::/0", "10.9.0.0/16")
    schemas["Proxy"]["properties"]["listen"]["items"] = _or({"type": "string"}, "127.0.0.1:0", "[::1]:0")
    for member, value in (("listen", "127.0.0.1:0"), ("target", "10.9.0.5:80")):
        schemas["Forward"]["properties"][member] = _or({"type": "string"}, value)
    schemas["ProbeSpec"]["properties"]["target"] = _or({"type": "string"}, "10.2.0.1")
    # A probe of an absent target would wait for each reply.
    _limit(document["paths"]["/v1/tunnels/{id}/actions/probe"]["post"], {"count": 1, "timeout": 1})
    batch = document["paths"]["/v1/batch"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    batch["properties"]["operations"]["items"]["properties"]["path"] = _or(
        {"type": "string"}, "/v1/tunnels", "/v1/tunnels/one", "/v1/tunnels/two", f"/v1/tunnels/one/peers/{PEER.url}", "/v1/tunnels/one/actions/reconnect")
    return document


def _limit(operation, most):
    properties = operation["requestBody"]["content"]["application/json"]["schema"]["properties"]
    for member, value in most.items():
        properties[member]["maximum"] = value


def test_document_is_valid():
    """The result of a validator with the OpenAPI initiative's own schema."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    result = run([program("openapi-spec-validator"), f"{root}/openapi/openapi.yaml"], check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_document_is_clean_yaml():
    if not shutil.which("yamllint"):
        pytest.skip("no yamllint")
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    rules = "{extends: default, rules: {line-length: {max: 150}, braces: {max-spaces-inside: 1}, document-start: disable}}"
    result = run(["yamllint", "--strict", "-d", rules, f"{root}/openapi/openapi.yaml"], check=False)
    assert result.returncode == 0, result.stdout


def test_fuzzed(local_daemon, directory):
    schemathesis = program("schemathesis")
    peer = {"public_key": PEER.public, "allowed_ips": ["0.0.0.0/0"]}
    for id in ("one", "two"):
        local_daemon.api.create({"id": id, "spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]}, "peers": [peer]}}, wait_up=False)
    path = f"{directory}/document.json"
    with open(path, "w", encoding="utf-8") as file:
        json.dump(_sharpened(local_daemon.api.get("/openapi.json")), file)
    # The event stream never ends by itself; test_api.py reads it.
    argv = [schemathesis, "run", path, "--url", f"http://{local_daemon.address}", "-H", f"Authorization: Bearer {local_daemon.token}",
            "--exclude-path", "/v1/events", "-c", ",".join(CHECKS), "-n", str(EXAMPLES), "--seed", os.environ.get("WARREN_E2E_SEED", "1"),
            "--continue-on-failure", "--no-shrink", "--request-timeout", "20"]
    result = subprocess.run(argv, capture_output=True, text=True, cwd=directory, timeout=800, preexec_fn=die_with_parent)
    output = result.stdout + result.stderr
    assert result.returncode == 0, output[:12000]
    print(output[-1500:])
    assert local_daemon.api.request("GET", "/readyz").status == 200
