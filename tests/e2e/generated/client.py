"""Takes a tunnel from creation to deletion with the client that openapi-python-client makes of the OpenAPI document."""

import json
import sys

from warren import AuthenticatedClient
from warren.api.daemon import get_version
from warren.api.observe import get_stats, get_tunnel_stats, stream_events
from warren.api.tunnels import create_tunnel, delete_tunnel, get_tunnel, list_tunnels, patch_tunnel, put_tunnel
from warren.api.bulk import get_state, put_state
from warren.models import (AppliedTunnel, AppliedTunnelApplied, CreateTunnelWait, EventType, Interface, ListTunnelsView, MergePatch, Peer, Problem, Proxy, Spec,
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
bad = create_tunnel.sync(client=client, body=TunnelInput(id="bad", spec=Spec(interface=Interface(addresses=["10.99.0.2/99"], private_key=key))))
assert isinstance(bad, Problem) and bad.errors[0].pointer == "/spec/interface/addresses/0", bad
assert [tunnel.id for tunnel in list_tunnels.sync(client=client, view=ListTunnelsView.FULL).tunnels] == ["far", "generated"]
stats = get_tunnel_stats.sync("generated", client=client)
assert isinstance(stats, Stats) and stats.handshakes >= 1 and len(get_stats.sync(client=client).tunnels) == 2

patch = MergePatch.from_dict({"labels": {"made-by": "a generator"}})
changed = patch_tunnel.sync("generated", client=client, body=patch, if_match=made.etag)
assert changed.labels["made-by"] == "a generator" and changed.etag != made.etag
late = patch_tunnel.sync("generated", client=client, body=patch, if_match=made.etag)
assert isinstance(late, Problem) and late.code == "precondition_failed", late
got = get_tunnel.sync("generated", client=client)
assert isinstance(got, Tunnel) and got.etag == changed.etag
same = put_tunnel.sync("generated", client=client, body=TunnelInput.from_dict(got.to_dict()))
assert same.applied == AppliedTunnelApplied.UNCHANGED, same
state = put_state.sync(client=client, body=State.from_dict(get_state.sync(client=client).to_dict()))
assert (state.unchanged, state.changed) == (2, 0), state

# The generated function reads to the end, which a stream has not; its request is the same.
request = {**stream_events._get_kwargs(since=0), "headers": {"Accept": "application/x-ndjson"}}
with client.get_httpx_client().stream(**request) as stream:
    created = (event["tunnel"] for event in map(json.loads, stream.iter_lines()) if event["type"] == EventType.TUNNEL_CREATED)
    assert [next(created), next(created)] == ["far", "generated"]

assert delete_tunnel.sync_detailed("generated", client=client).status_code == 204
assert isinstance(get_tunnel.sync("generated", client=client), Problem)
print("done")
