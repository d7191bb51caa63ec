"""P8: no keys and passwords are left in the memory of the daemon's processes, read as a core file would contain it."""

import base64
import contextlib
import os

import pytest

from harness import keys
from harness.daemon import is_sanitized
from harness.process import wait_until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may read the memory of a process that is not dumpable"),
    pytest.mark.skipif(is_sanitized(), reason="a sanitizer keeps freed memory, and its heap is not ours to wipe"),
]

PIECE = 1 << 24


def _memory(pid):
    """The readable memory of a process, in pieces that overlap by more than a secret is long."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            span, rights, *_, name = [*line.split(maxsplit=5), ""][:6]
            if "r" not in rights or name.strip() in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                continue
            start, end = (int(number, 16) for number in span.split("-"))
            for at in range(start, end, PIECE):
                mem.seek(at)
                try:
                    yield mem.read(min(PIECE + 128, end - at))
                except OSError:
                    pass   # mapped but inaccessible memory (guard pages, secret memory)


def _forms(secret):
    raw = base64.b64decode(secret)
    return {"bytes": raw, "base64": secret.encode(), "base64url": base64.urlsafe_b64encode(raw).rstrip(b"="), "hex": raw.hex().encode()}


def _left(daemon, secrets):
    """The findings: (control or worker, the secret's name and form) → count."""
    found = {}
    for pid in daemon.family():
        who = "control" if pid == daemon.pid else "worker"
        for piece in _memory(pid):
            for name, forms in secrets.items():
                for form, text in forms.items():
                    if count := piece.count(text):
                        found[who, f"{name} as {form}"] = found.get((who, f"{name} as {form}"), 0) + count
    return found


def _assert_gone(daemon, secrets):
    """A reply reaches the client a moment before the thread that sent it frees its memory."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not _left(daemon, secrets), 5)
    assert _left(daemon, secrets) == {}


@pytest.fixture
def hidden():
    """A tunnel's document and its secrets."""
    own, preshared, password = keys.new_key(), keys.new_preshared_key(), "a-password-to-be-found-7f3d"
    document = {"spec": {"interface": {"private_key": own.private, "addresses": ["10.2.0.2"]},
                         "peers": [{"public_key": keys.new_key().public, "preshared_key": preshared, "endpoint": "127.0.0.1:9",
                                    "allowed_ips": ["0.0.0.0/0"]}],
                         "proxy": {"users": [{"username": "ann", "password": password}]}}}
    return document, {"private key": _forms(own.private), "preshared key": _forms(preshared),
                      "password": {"text": password.encode(), "base64": base64.b64encode(b"ann:" + password.encode())}}


def _live(found):
    """Everything except what a running tunnel must keep: its keys as bytes, and its users' passwords."""
    return {where: count for where, count in found.items() if not where[1].endswith(("key as bytes", "password as text"))}


def test_p8_no_text_of_a_secret_outlives_its_request(local_daemon, hidden):
    """Every input and output: a running tunnel keeps keys as bytes; text that was read, written, stored or replied is gone."""
    document, secrets = hidden
    api = local_daemon.api
    conf = f"[Interface]\nPrivateKey = {document['spec']['interface']['private_key']}\nAddress = 10.2.0.2\n"
    api.put("s", document)
    assert _live(_left(local_daemon, secrets)) == {}, "after a create"
    api.expect(200, "PATCH", "/v1/tunnels/s", {"spec": {"limits": {"connections": 9}}}, content_type="application/merge-patch+json")
    assert _live(_left(local_daemon, secrets)) == {}, "after a patch"
    for path in ("/v1/tunnels/s/config?include_secrets=true", "/v1/state?include_secrets=true"):
        assert document["spec"]["interface"]["private_key"] in api.expect(200, "GET", path).body.decode()
    assert _live(_left(local_daemon, secrets)) == {}, "after an export"
    api.expect(422, "PUT", "/v1/tunnels/t", {"spec": {**document["spec"], "odd": 1}})
    api.expect(200, "PUT", "/v1/state", {"tunnels": [{"id": "s", **document}]})
    api.expect(201, "PUT", "/v1/tunnels/t", conf, content_type="text/plain")
    api.expect(200, "POST", "/v1/batch", {"operations": [{"method": "PUT", "path": "/v1/tunnels/s", "body": document}]})
    assert _live(_left(local_daemon, secrets)) == {}, "after a refusal, a state, a file and a batch"


def test_p8_nothing_of_a_deleted_tunnel_is_left(local_daemon, hidden):
    document, secrets = hidden
    api = local_daemon.api
    over_tcp = local_daemon.tcp_api()
    over_tcp.put("s", document)
    api.expect(200, "GET", "/v1/state?include_secrets=true")
    over_tcp.expect(200, "GET", "/v1/tunnels/s/config?include_secrets=true")
    api.put("s", {"spec": {**document["spec"], "enabled": False}})
    api.put("s", document)
    api.expect(204, "DELETE", "/v1/tunnels/s")
    _assert_gone(local_daemon, secrets)


def test_p8_nothing_is_left_after_a_restart(local_daemon, hidden):
    """Read back from the disk, and deleted."""
    document, secrets = hidden
    local_daemon.api.put("s", document)
    local_daemon.stop()
    local_daemon.start()
    assert _live(_left(local_daemon, secrets)) == {}, "after a start"
    local_daemon.api.expect(204, "DELETE", "/v1/tunnels/s")
    _assert_gone(local_daemon, secrets)
