"""The web page in Chromium: an operator's tasks, by mouse and keyboard, on wide and narrow screens, light and dark."""

import os
import threading

import pytest

from harness import keys
from harness.browser import Browser
from harness.clients import curl
from harness.loop import INNER, Ends, pages
from harness.process import wait_until
from harness.spec import proxy_address


@pytest.fixture
def browser(directory):
    browser = Browser(directory)
    yield browser
    browser.close()


@pytest.fixture
def page(browser, local_daemon):
    browser.open(f"http://{local_daemon.address}/")
    wait_until(lambda: browser.is_visible("#token"), what="the token is asked for")
    return browser


def _card(id):
    return f"#tunnels > li:has([aria-label='Delete {id}'])"


def _sign_in(page, daemon):
    page.type("#token", daemon.token)
    page.press("enter")
    page.wait_text("#link", "live")


def _show(page, name):
    """Screenshots to look at, in WARREN_E2E_SCREENSHOTS when that is set."""
    folder = os.environ.get("WARREN_E2E_SCREENSHOTS")
    if folder:
        page.screenshot(f"{folder}/{name}.png")


def _complaints(page):
    """The page learns from a 401 that it needs a token; nothing else may be in the console."""
    return [message for message in page.complaints() if "401 (Unauthorized)" not in message]


def _is_too_wide(page):
    return page.run("return document.documentElement.scrollWidth > document.documentElement.clientWidth")


def test_a_tunnels_life(page, local_daemon):
    """From entering the token to deleting a tunnel."""
    api = local_daemon.api
    page.type("#token", "wrong")
    page.press("enter")
    page.wait_text("#token-message", "not valid")
    page.run("document.getElementById('token').value = ''")
    _sign_in(page, local_daemon)
    assert page.is_visible("#empty") and page.is_visible("#conf")
    ends = Ends()
    with pages(size=50 << 20) as server:
        far = api.create(ends.far(server.address), wait_up=False)
        page.type("#conf", ends.near_conf(far["status"]["udp_port"]).replace("10.99.0.2/32", "10.99.0.2/99"))
        page.type("#new-id", "near")
        page.click("#create-form .primary")
        page.wait_text("#faults", "Line 3:")
        _show(page, "fault")
        page.run("document.getElementById('conf').value = arguments[0]", ends.near_conf(far["status"]["udp_port"]))
        page.click("#create-form .primary")
        page.wait_text(f"{_card('near')} .chip", "up")
        page.wait_text("#note", "PostUp")
        page.click("#note-close")
        assert not page.is_visible("#note")
        near = api.get("/v1/tunnels/near")
        assert near["status"]["listen"][0] in page.text(_card("near"))
        host, port = proxy_address(near)
        words = ("--noproxy", "", "-x", f"http://{host}:{port}", f"http://{INNER}/", "-o", "/dev/null", "--limit-rate", "20m")
        download = threading.Thread(target=curl, args=(None, *words))
        download.start()
        page.wait_text(f"{_card('near')} .rates .received", "Mbit/s")
        _show(page, "bytes")
        download.join()
        page.wait_text(f"{_card('near')} .rates .received", "52.4 MB")
    page.click(f"{_card('near')} [aria-label='Disable near']")
    page.wait_text(f"{_card('near')} .chip", "disabled")
    assert api.get("/v1/tunnels/near")["spec"]["enabled"] is False
    page.click(f"{_card('near')} [aria-label='Enable near']")
    page.wait_text(f"{_card('near')} .chip", "up")
    handshakes = api.stats("near")["handshakes"]
    page.click(f"{_card('near')} [aria-label='Reconnect near']")
    wait_until(lambda: api.stats("near")["handshakes"] > handshakes, what="a new handshake")
    page.click(f"{_card('near')} [aria-label='Delete near']")
    page.wait_text("#delete-dialog", "Delete near?")
    _show(page, "delete")
    page.click("#delete-dialog [value=keep]")
    api.get("/v1/tunnels/near")
    page.click(f"{_card('near')} [aria-label='Delete near']")
    page.click("#delete-dialog [value=delete]")
    wait_until(lambda: not page.is_visible(_card("near")), what="the card is gone")
    api.get("/v1/tunnels/near", status=404)
    assert _complaints(page) == ["%s - Failed to load resource: the server responded with a status of 422 (Unprocessable Content)"
                                 % f"http://{local_daemon.address}/v1/tunnels?id=near"]


def test_what_others_do_is_seen(page, local_daemon):
    """Created, relabelled, deleted by another client: the page follows without a reload, and comes back after a restart."""
    api = local_daemon.api
    _sign_in(page, local_daemon)
    api.create({"id": "other", "labels": {"pool": "eu"}, "spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]}}}, wait_up=False)
    page.wait_text(_card("other"), "pool=eu")
    api.patch("other", {"labels": {"pool": "<b>us</b>"}})
    page.wait_text(_card("other"), "pool=<b>us</b>")
    page.type("#filter", "nothing-like-it")
    page.wait_text("#none", "No tunnel")
    page.run("const box = document.getElementById('filter'); box.value = 'us'; box.dispatchEvent(new Event('input'))")
    wait_until(lambda: page.is_visible(_card("other")), what="it is found")
    local_daemon.listen = local_daemon.address
    local_daemon.stop()
    page.wait_text("#link", "connection lost")
    local_daemon.start()
    page.wait_text("#link", "live", timeout=20)
    api.delete("other")
    wait_until(lambda: not page.is_visible(_card("other")), what="the card is gone")


def test_keyboard_alone(page, local_daemon):
    """Everything can be reached with Tab and operated with Enter and Space; the focus is always visible and useful."""
    api = local_daemon.api
    _sign_in(page, local_daemon)
    api.create({"id": "k", "spec": {"interface": {"generate_private_key": True, "addresses": ["10.2.0.2"]}}}, wait_up=False)
    wait_until(lambda: page.is_visible(_card("k")), what="the card")
    page.tab_to("wg-quick file")
    page.run("document.getElementById('conf').value = arguments[0]", f"[Interface]\nPrivateKey = {keys.new_key().private}\nAddress = 10.3.0.2\n")
    page.tab_to("new-id")
    page.press(*"typed")
    page.press("enter")
    wait_until(lambda: page.is_visible(_card("typed")), what="Enter in a field creates")
    page.tab_to("Disable typed")
    page.press("space")
    page.wait_text(f"{_card('typed')} .chip", "disabled")
    page.tab_to("Delete typed")
    page.press("enter")
    page.wait_text("#delete-dialog", "Delete typed?")
    assert page.focused() == "Keep it"
    page.press("escape")
    assert page.focused() == "Delete typed", "the focus comes back from the question"
    page.press("enter")
    page.press("tab")
    assert page.focused() == "Delete"
    page.press("enter")
    wait_until(lambda: api.request("GET", "/v1/tunnels/typed").status == 404, what="deleted")
    wait_until(lambda: page.focused() == "tunnels-title", what="the focus is near the list")
    outline = page.run("document.getElementById('filter').focus(); return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "the focus is seen"


def _contrasts(page):
    """The lowest WCAG contrast of any text with its background."""
    return page.run("""
        const channel = (value) => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
        const parse = (text) => text.match(/[\\d.]+/g).map(Number);
        const light = ([r, g, b]) => 0.2126 * channel(r / 255) + 0.7152 * channel(g / 255) + 0.0722 * channel(b / 255);
        const ground = (node) => { for (; node; node = node.parentElement) { const c = parse(getComputedStyle(node).backgroundColor);
            if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
        let worst = [99, ''];
        for (const node of document.querySelectorAll('body *')) {
            const has = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
            if (!has || !node.checkVisibility() || node.closest('noscript, :disabled')) continue;
            const [a, b] = [light(parse(getComputedStyle(node).color)), light(ground(node))];
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < worst[0]) worst = [ratio, node.textContent.slice(0, 40)];
        }
        return worst;""")


def test_phone_and_dark(page, local_daemon):
    api = local_daemon.api
    _sign_in(page, local_daemon)
    for number, id in enumerate(["a", "a-name-that-is-as-long-as-names-can-be-which-is-sixty-three-char", "c"]):
        api.create({"id": id[:63], "labels": {"label-key-" * 5: "value-" * 30} if number else {}, "spec": {
            "enabled": number != 2, "interface": {"generate_private_key": True, "addresses": ["10.2.0.2", "fd00::2"]},
            "proxy": {"listen": ["127.0.0.1:0", "[::1]:0"]},
            "peers": [{"public_key": keys.new_key().public, "endpoint": "nowhere.invalid:51820", "allowed_ips": ["0.0.0.0/0", "::/0"]}]}}, wait_up=False)
    wait_until(lambda: page.is_visible(_card("c")), what="the cards")
    page.run("document.querySelectorAll('#tunnels details').forEach((node) => { node.open = true; })")
    for width, height, is_phone in ((1200, 900, False), (390, 844, True), (320, 568, True)):
        page.resize(width, height, is_phone)
        for scheme in ("light", "dark"):
            page.colours(scheme)
            _show(page, f"{width}-{scheme}")
            assert not _is_too_wide(page), f"{width} pixels: the page scrolls sideways"
            ratio, text = _contrasts(page)
            assert ratio >= 4.5, f"{scheme}: {text!r} has a contrast of {ratio:.2f}"
    small = page.run("""return [...document.querySelectorAll('button')].filter((node) => node.checkVisibility())
        .filter((node) => node.getBoundingClientRect().height < 24).map((node) => node.innerText)""")
    assert small == [], "buttons that are too small to touch (WCAG 2.5.8)"
    assert _complaints(page) == []
