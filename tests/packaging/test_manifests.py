"""The examples for Compose and Kubernetes satisfy their published schemas, and give the container no more than it needs."""

import glob
import json
import os
import re
import subprocess

import pytest

from conftest import BUILD
from harness import venv

ROOT = os.path.realpath(f"{os.path.dirname(os.path.abspath(__file__))}/../..")
MANIFESTS = sorted(glob.glob(f"{ROOT}/packaging/kubernetes/*.yaml"))
# PyYAML and jsonschema of the virtual environment, because Debian's python3 may lack them.
CHECK = """
import glob, json, sys, jsonschema, yaml
schema, = glob.glob(sys.prefix + "/lib/python3*/site-packages/compose/config/compose_spec.json")
with open(sys.argv[1]) as document, open(schema) as file:
    document = yaml.safe_load(document)
    jsonschema.validate(document, json.load(file))
print(json.dumps(document))
"""
READ = "import json, sys, yaml; print(json.dumps([d for f in sys.argv[1:] for d in yaml.safe_load_all(open(f))]))"


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python():
    venv.program("kubernetes-validate")
    return venv.program("python3")


def pod_specs():
    for document in json.loads(run(python(), "-c", READ, *MANIFESTS)):
        if document["kind"] == "Pod":
            yield document["spec"]
        elif document["kind"] == "Deployment":
            yield document["spec"]["template"]["spec"]


@pytest.mark.parametrize("manifest", [os.path.basename(path) for path in MANIFESTS])
def test_kubernetes_manifest_is_valid(manifest):
    run(venv.program("kubernetes-validate"), "--strict", f"{ROOT}/packaging/kubernetes/{manifest}")


def test_steps_of_the_compose_file_make_what_warrend_takes(tmp_path):
    """They run as they stand but for the last one; --check has the options that the file gives the container."""
    key = subprocess.run(["wg", "genkey"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "provider").mkdir()
    (tmp_path / "provider/ams-1.conf").write_text(f"[Interface]\nPrivateKey = {key}Address = 10.2.0.2\n")
    with open(f"{ROOT}/packaging/compose.yaml", encoding="utf-8") as file:
        text = file.read()
    steps = [line.removeprefix("#   ") for line in text.splitlines() if line.startswith("#   ") and not line.startswith("#   {")]
    assert steps.pop() == "podman-compose up"
    for step in steps:
        subprocess.run(["sh", "-ec", step.replace("~", ".")], cwd=tmp_path, check=True, timeout=20)
    words = json.loads(re.search(r"command: (.*)", text)[1])
    run(f"{BUILD}/warrend", "--check", "--state-dir", f"{tmp_path}/state", *[word.replace("/etc/warren", str(tmp_path)) for word in words])
    for secret in re.findall(r"file: \./(.*)", text):
        assert (tmp_path / secret).exists()


def test_pods_have_no_privilege():
    specs = list(pod_specs())
    assert len(specs) == 2
    for spec in specs:
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        own, = (c for c in spec["containers"] + spec.get("initContainers", []) if c["name"] == "warren")
        assert own["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        writable = [m["name"] for m in own["volumeMounts"] if not m.get("readOnly")]
        assert writable == ["state"]


def test_compose_file_is_valid():
    document = json.loads(run(python(), "-c", CHECK, f"{ROOT}/packaging/compose.yaml"))
    own = document["services"]["warren"]
    assert own["read_only"] and own["cap_drop"] == ["ALL"] and own["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in own["ports"]), "what is published is for this machine"
