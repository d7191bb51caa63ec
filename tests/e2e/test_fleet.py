"""Daemons as nodes of a fleet on a real etcd (service/fleet/): how they join, leave, are drained, lose etcd and are upgraded."""

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import time

import pytest

from harness.browser import Browser
from harness import process
from harness.certificates import make_certificate
from harness.daemon import ROOT, binary
from harness.etcd import program
from harness.events import Reader
from harness.fleet import READY, Fleet, Page
from harness.process import die_with_parent, wait_until
from harness.upgrade import built, install, upgrade

pytestmark = pytest.mark.skipif(program() is None, reason="etcd is not installed")


def test_over_tls_with_a_certificate_of_the_node(directory):
    """The sandbox allows the files, and the look-up of a name, which has no address here."""
    certificate, key = f"{directory}/tls.pem", f"{directory}/tls.key"
    make_certificate(certificate, key, "etcd", "IP:127.0.0.1")
    words = ["--fleet-ca", certificate, "--fleet-cert", certificate, "--fleet-key", key]
    with Fleet(directory, ("a",), more_urls=["https://etcd.invalid:2379"], arguments=words, count=1, tls=(certificate, key),
               client_ca=certificate) as fleet:
        upgrade(fleet["a"], binary())
        fleet["a"].wait_connected()
        fleet["a"].stop()


def test_the_commands_of_the_documentation_show_a_failover(directory):
    with open(f"{ROOT}/docs/fleet.md", encoding="utf-8") as file:
        commands = re.search(r"```sh\n(scripts/fleet-demo .*?)```", file.read(), re.S).group(1).splitlines()
    environment = {**os.environ, "WARREND": os.path.abspath(binary()), "WARREN_FLEET_DEMO": f"{directory}/demo"}
    assert len(commands) == 2
    try:
        for command in commands:
            done = subprocess.run(command.split(), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, preexec_fn=die_with_parent)
            assert done.returncode == 0 and "Hello from behind the tunnel." in done.stdout, done.stdout + done.stderr
    finally:
        subprocess.run(["scripts/fleet-demo", "down"], cwd=ROOT, env=environment, check=True, timeout=60)


def _is_told(reader, node, state):
    return any(event.get("type") == "node.state" and event["node"] == node and event["state"] == state for event in reader.events)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with Page(str(tmp_path_factory.mktemp("page"))) as page:
        yield page


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    with Fleet(str(tmp_path_factory.mktemp("fleet"))) as fleet:
        yield fleet
        for node in fleet.nodes.values():
            node.check_log()


def test_each_node_knows_all_others(fleet):
    nodes = fleet["b"].nodes()
    assert sorted(nodes) == ["a", "b", "c"]
    assert [name for name, node in nodes.items() if node["is_self"]] == ["b"]
    assert nodes["a"]["api"] == f"http://{fleet['a'].address}" and nodes["a"]["capacity"] == 10000 and nodes["a"]["tunnels"] == 0
    assert nodes["a"]["version"] == fleet["b"].api.get("/v1/version")["version"]
    metrics = fleet["b"].api.request("GET", "/metrics").body.decode()
    with open(f"{ROOT}/openapi/prometheus-alerts.yaml", encoding="utf-8") as file:
        alerted = set(re.findall(r"\bwarren_fleet_\w+", file.read()))
    assert alerted and all(f"\n# TYPE {name} gauge\n" in metrics for name in alerted)
    assert "\nwarren_fleet_connected 1\n" in metrics and "\nwarren_fleet_tunnels{state=\"lost\"} 0\n" in metrics


def test_a_worker_has_nothing_of_the_connections_to_etcd(fleet):
    """The first one was started before there were any."""
    node = fleet["a"]
    first = node.workers()[0]
    before = process.descriptors(first)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: node.workers() not in ([], [first]) and node.api.request("GET", "/readyz").status == 200, timeout=READY, what="another worker")
    node.api.request("GET", "/v1/connections")
    assert process.descriptors(node.workers()[0]) == before
    if os.getuid() == 0:
        with open(f"/proc/{node.workers()[0]}/maps", encoding="utf-8") as maps:
            assert "libcurl" not in maps.read(), "only a node's control process loads it"


def test_a_node_is_drained_at_its_own_api_and_stays_so_over_a_restart(fleet):
    reply = fleet["a"].api.request("PATCH", "/v1/nodes/c", {"draining": True})
    assert reply.status == 307 and reply.headers["Location"] == f"http://{fleet['c'].address}/v1/nodes/c"
    assert fleet["c"].api.request("PATCH", "/v1/nodes/c", {"draining": True}).json["state"] == "draining"
    wait_until(lambda: fleet["a"].states()["c"] == "draining", timeout=READY, what="others know it")
    fleet["c"].kill()
    fleet["c"].start()
    fleet["c"].wait_connected()
    assert fleet["c"].states()["c"] == "draining"
    fleet["c"].api.request("PATCH", "/v1/nodes/c", {"draining": False})
    fleet.wait_ready()


def test_the_page_shows_the_nodes(fleet, directory):
    """In Chromium: who runs what, the way to the pages of others, and emptying the node whose page it is."""
    spec = {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]}, "proxy": {"listen": []}}
    for id, node in (("here", "a"), ("there", "b")):
        assert fleet["a"].api.request("POST", "/v1/tunnels", {"id": id, "spec": {**spec, "placement": {"node": node}}}).status == 201
    wait_until(lambda: fleet.owners("here") == ["a"] and fleet.owners("there") == ["b"], timeout=READY, what="both run")
    browser = Browser(directory)
    try:
        browser.open(f"http://{fleet['a'].address}/#token={fleet['a'].token}")
        browser.wait_text("#link", "live")
        browser.wait_text("#lines .line:has([aria-label='Select there'])", "on b")
        browser.set("#filter-node", "b")
        browser.wait_text("#shown-count", "1 of 2")
        browser.click("#lines a[href='#/tunnels/there']")
        browser.wait_text("#detail-elsewhere", "The node b runs it")
        assert browser.run("return document.querySelector('#detail-elsewhere a').getAttribute('href')") == f"http://{fleet['b'].address}"
        assert not browser.is_visible("[aria-label='Reconnect there']") and browser.is_visible("[aria-label='Edit there']")
        browser.press("escape")
        browser.click("#nav-nodes")
        browser.wait_text("#nodes-count", "3 of 3")
        browser.wait_text("#node-lines", "Open the page of c")
        browser.click("[aria-label='Empty: a']")
        browser.click("#question-yes")
        wait_until(lambda: fleet["b"].states()["a"] == "draining", timeout=READY, what="the node is drained")
        browser.click("[aria-label='Let it have tunnels: a']")
        fleet.wait_ready()
    finally:
        browser.close()
    for id in ("here", "there"):
        assert fleet["a"].api.request("DELETE", f"/v1/tunnels/{id}").status == 204


def test_a_page_arrives_before_and_after_its_node_is_killed(fleet, page):
    """The new owner has the same port, and the far end takes its handshake, which is later than the last one's."""
    tunnel = page.tunnel("moves")
    assert fleet["a"].api.request("POST", "/v1/tunnels", tunnel).status == 201
    wait_until(lambda: page.arrives(tunnel), timeout=READY, what="the page")
    wait_until(lambda: len(fleet.owners("moves")) == 1, timeout=READY, what="an owner")
    first = fleet.owners("moves")[0]
    fleet[first].kill()
    wait_until(lambda: page.arrives(tunnel), timeout=READY, what="the page, from another node")
    second = fleet.owners("moves")
    assert len(second) == 1 and second[0] != first
    # Its copy of before ends, whoever has the tunnel now.
    fleet[first].start()
    fleet.wait_ready()
    wait_until(lambda: len(fleet.owners("moves")) == 1, timeout=READY, what="one owner")
    assert fleet[second[0]].api.request("DELETE", "/v1/tunnels/moves").status == 204
    wait_until(lambda: not fleet.owners("moves"), timeout=READY, what="no owner")


def test_a_node_that_is_drained_is_empty_in_the_end(fleet, page):
    tunnels = [page.tunnel(f"drained{i}") for i in range(6)]
    for tunnel in tunnels:
        assert fleet["a"].api.request("POST", "/v1/tunnels", tunnel).status == 201
    wait_until(lambda: sum(node["tunnels"] for node in fleet["a"].nodes().values()) == 6, timeout=READY, what="all are known")
    wait_until(lambda: all(page.arrives(tunnel) for tunnel in tunnels), timeout=READY, what="the pages")
    name = max(fleet["a"].nodes().values(), key=lambda node: node["tunnels"])["id"]
    fleet[name].api.request("PATCH", f"/v1/nodes/{name}", {"draining": True})
    wait_until(lambda: fleet[name].nodes()[name]["tunnels"] == 0, timeout=READY, what="it is empty")
    assert not [tunnel["id"] for tunnel in tunnels if fleet[name].runs(tunnel["id"])]
    wait_until(lambda: all(page.arrives(tunnel) for tunnel in tunnels), timeout=READY, what="the pages, from the others")
    fleet[name].api.request("PATCH", f"/v1/nodes/{name}", {"draining": False})
    for tunnel in tunnels:
        assert fleet[name].api.request("DELETE", f"/v1/tunnels/{tunnel['id']}").status == 204
    fleet.wait_ready()


def test_a_node_that_is_told_to_end_says_bye_and_forgets(fleet, page):
    tunnel = page.tunnel("leaves")
    assert fleet["a"].api.request("POST", "/v1/tunnels", tunnel).status == 201
    wait_until(lambda: len(fleet.owners("leaves")) == 1 and page.arrives(tunnel), timeout=READY, what="the page")
    name = fleet.owners("leaves")[0]
    other = next(node for node in fleet.nodes.values() if node.name != name)
    reader = Reader(other)
    reader.is_open.wait()
    fleet[name].stop()
    wait_until(lambda: _is_told(reader, name, "lost"), timeout=READY, what="the event")
    reader.close()
    assert other.states().get(name, "lost") == "lost"
    wait_until(lambda: page.arrives(tunnel), timeout=READY, what="the page, from another node")
    with contextlib.closing(sqlite3.connect(f"{fleet[name].state_dir}/state.db")) as database:
        assert database.execute("SELECT count(*) FROM tunnels").fetchone() == (0,)
    fleet[name].start()
    fleet.wait_ready()
    assert other.api.request("DELETE", "/v1/tunnels/leaves").status == 204


def test_an_upgrade_in_place_leaves_the_node_connected(fleet):
    node = fleet["a"]
    reader = Reader(fleet["b"])
    reader.is_open.wait()
    before = time.monotonic()
    upgrade(node, binary())
    node.wait_connected()
    is_quick = time.monotonic() - before < 7  # of the 10.5 s for which a heartbeat counts; the last one may be 3 s old
    fleet.wait_ready()
    assert not is_quick or not (_is_told(reader, "a", "lost") or "cut off" in node.process.log())
    reader.close()


def test_after_an_upgrade_that_fails_the_node_goes_on(fleet, page):
    node = fleet["b"]
    node.stop()
    node.environment = {"WARREND_CANNOT_TAKE_OVER": "1"}
    node.start()
    fleet.wait_ready()
    install(node, built("warrend_hooked"))
    node.process.send_signal(signal.SIGUSR2)
    wait_until(lambda: "the new version could not take over, and this one goes on" in node.process.log(), timeout=READY, what="it has failed")
    wait_until(lambda: node.process.log().count("this is node b") > 1, timeout=READY, what="it joins again")
    fleet.wait_ready()
    tunnel = page.tunnel("late")
    wait_until(lambda: node.api.request("POST", "/v1/tunnels", tunnel).status in (201, 409), timeout=READY, what="it takes writes")
    wait_until(lambda: page.arrives(tunnel), timeout=READY, what="the page")
    assert node.api.request("DELETE", "/v1/tunnels/late").status == 204


def test_a_full_etcd_is_told_with_what_to_do(fleet):
    member = fleet.cluster.members[0]
    id = member.call("/v3/maintenance/status", {})["header"]["member_id"]
    member.call("/v3/maintenance/alarm", {"action": "ACTIVATE", "memberID": id, "alarm": "NOSPACE"})
    try:
        for node in fleet.nodes.values():
            wait_until(lambda: "is full (NOSPACE)" in node.process.log(), timeout=READY, what="it is told")
    finally:
        member.call("/v3/maintenance/alarm", {"action": "DEACTIVATE", "memberID": id, "alarm": "NOSPACE"})
    for node in fleet.nodes.values():
        wait_until(lambda: "etcd answers again" in node.process.log().rpartition("(NOSPACE)")[2], timeout=READY, what="it goes on")


def test_without_etcd_a_node_is_cut_off_and_what_runs_goes_on(fleet, page):
    node = fleet["c"]
    keeps, stops = page.tunnel("keeps"), page.tunnel("stops", on_isolation="stop")
    for tunnel in (keeps, stops):
        assert node.api.request("POST", "/v1/tunnels", tunnel).status == 201
        wait_until(lambda: page.arrives(tunnel), timeout=READY, what="the page")
    for member in fleet.cluster.members[:2]:
        member.process.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: not node.fleet()["connected"], timeout=READY, what="it is cut off")
        assert "fleet: this node is cut off" in node.process.log()
        wait_until(lambda: not page.arrives(stops), timeout=READY, what="the tunnel that stops is silent")
        assert page.arrives(keeps)
        for tunnel in (keeps, stops):
            owner = fleet[fleet.owners(tunnel["id"])[0]]
            wait_until(lambda: [condition["type"] for condition in owner.api.get(f"/v1/tunnels/{tunnel['id']}")["status"]["conditions"]] == ["isolated"],
                       timeout=READY, what="the condition, on the node that has it")
        reply = node.api.request("PATCH", "/v1/tunnels/keeps", {"labels": {"a": "b"}})
        assert reply.status == 503 and reply.code == "fleet_unavailable"
        node.kill()
        node.start()
        assert not node.fleet()["connected"], "it runs what it has, without etcd"
    finally:
        for member in fleet.cluster.members[:2]:
            member.process.send_signal(signal.SIGCONT)
    fleet.wait_ready()
    for tunnel in (keeps, stops):
        wait_until(lambda: page.arrives(tunnel), timeout=READY, what="the page")
