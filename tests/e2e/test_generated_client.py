"""A client generated from the OpenAPI document by a public generator takes a tunnel from creation to deletion."""

import json
import os
import subprocess

import pytest

from harness.daemon import ROOT
from harness.loop import Ends
from harness.process import die_with_parent
from harness.venv import BIN, program

# Runs in the generator's environment, which has what the generated code needs.
SCRIPT = """
import sys
from warren import AuthenticatedClient
from warren.api.daemon import get_version
from warren.api.observe import get_stats, get_tunnel_stats
from warren.api.tunnels import create_tunnel, delete_tunnel, get_tunnel, list_tunnels, patch_tunnel, put_tunnel
from warren.api.bulk import get_state, put_state
from warren.models import (AppliedTunnel, AppliedTunnelApplied, CreateTunnelWait, Interface, ListTunnelsView, MergePatch, Peer, Problem, Proxy, Spec,
                           State, Stats, Tunnel, TunnelInput, TunnelState)

address, token, port, key, peer = sys.argv[1:]
client = AuthenticatedClient(base_url=f"http://{address}", token=token, raise_on_unexpected_status=True, timeout=30)
assert get_version.sync(client=client).name == "warren"

spec = Spec(interface=Interface(addresses=["10.99.0.2"], private_key=key),
            peers=[Peer(public_key=peer, endpoint=f"127.0.0.1:{port}", allowed_ips=["0.0.0.0/0"])], proxy=Proxy(listen=["127.0.0.1:0"]))
made = create_tunnel.sync(client=client, body=TunnelInput(id="generated", spec=spec), wait=CreateTunnelWait.UP)
assert isinstance(made, AppliedTunnel), made
assert made.applied == AppliedTunnelApplied.CREATED and made.status.state == TunnelState.UP and made.status.listen, made

again = create_tunnel.sync(client=client, body=TunnelInput(id="generated", spec=spec))
assert isinstance(again, Problem) and again.code == "tunnel_exists", again
assert [tunnel.id for tunnel in list_tunnels.sync(client=client, view=ListTunnelsView.FULL).tunnels] == ["far", "generated"]
stats = get_tunnel_stats.sync("generated", client=client)
assert isinstance(stats, Stats) and stats.handshakes >= 1 and len(get_stats.sync(client=client).tunnels) == 2

patch = MergePatch.from_dict({"labels": {"made-by": "a generator"}})
changed = patch_tunnel.sync("generated", client=client, body=patch, if_match=made.etag)
assert changed.labels["made-by"] == "a generator" and changed.etag != made.etag
got = get_tunnel.sync("generated", client=client)
assert isinstance(got, Tunnel) and got.etag == changed.etag
same = put_tunnel.sync("generated", client=client, body=TunnelInput.from_dict(got.to_dict()))
assert same.applied == AppliedTunnelApplied.UNCHANGED, same
state = put_state.sync(client=client, body=State.from_dict(get_state.sync(client=client).to_dict()))
assert (state.unchanged, state.changed) == (2, 0), state

assert delete_tunnel.sync_detailed("generated", client=client).status_code == 204
assert isinstance(get_tunnel.sync("generated", client=client), Problem)
print("done")
"""


@pytest.fixture(scope="module")
def package(session_directory):
    """The folder that has the generated package `warren`."""
    argv = [program("openapi-python-client"), "generate", "--path", f"{ROOT}/openapi/openapi.yaml", "--output-path", f"{session_directory}/client/warren",
            "--meta", "none"]
    os.makedirs(f"{session_directory}/client")
    made = subprocess.run(argv, capture_output=True, text=True, timeout=120, preexec_fn=die_with_parent)
    assert made.returncode == 0, made.stdout + made.stderr
    with open(f"{ROOT}/openapi/openapi.json", encoding="utf-8") as file:
        wanted = {operation["operationId"] for item in json.load(file)["paths"].values() for operation in item.values()
                  if "operationId" in operation}
    generated = {name.removesuffix(".py").replace("_", "") for _, _, names in os.walk(f"{session_directory}/client/warren/api") for name in names}
    assert {name for name in wanted if name.lower() not in generated} == set(), "operations that the generator did not understand"
    return f"{session_directory}/client"


def test_a_generated_client(local_daemon, package):
    ends = Ends()
    far = local_daemon.api.create(ends.far(), wait_up=False)
    argv = [f"{BIN}/python3", "-c", SCRIPT, local_daemon.address, local_daemon.token, str(far["status"]["udp_port"]), ends.near_key.private,
            ends.far_key.public]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=package, preexec_fn=die_with_parent)
    assert ran.returncode == 0 and ran.stdout == "done\n", ran.stdout + ran.stderr
