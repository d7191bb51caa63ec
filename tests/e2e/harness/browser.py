"""Headless Chromium, driven over the WebDriver protocol (W3C) by chromedriver."""

import base64
import http.client
import json
import os
import re
import shutil

import pytest

from .process import PATIENCE, Process, wait_until

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
          "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]
KEYS = {"tab": "\ue004", "enter": "\ue007", "space": " ", "escape": "\ue00c", "shift": "\ue008",
        "down": "\ue015", "up": "\ue013"}
# What a person would wait for.
_NOT_YET = {"no such element", "element not interactable", "element click intercepted", "stale element reference"}


class Refused(AssertionError):
    def __init__(self, text, code):
        super().__init__(text)
        self.code = code


class Browser:
    def __init__(self, directory, width=1200, height=900, namespace=None, proxy="--no-proxy-server", flags=()):
        """In `namespace`, or on this machine; `proxy` is Chromium's option that says which proxy it uses."""
        chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
        if not chromium or not driver:
            pytest.skip("no chromium or chromedriver")
        os.makedirs(f"{directory}/browser")
        self.port, self.namespace = None, namespace
        argv = [driver, "--port=0", "--allowed-ips=127.0.0.1"]
        self.process = Process(namespace.command(argv) if namespace else argv, f"{directory}/chromedriver.log",
                               environment={"HOME": f"{directory}/browser", "no_proxy": "127.0.0.1"})
        self.session = None
        wait_until(self._is_ready, timeout=20, what="chromedriver answers")
        options = {"binary": chromium, "args": [*_FLAGS, *flags, proxy, f"--user-data-dir={directory}/browser/data", f"--window-size={width},{height}"]}
        made = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.session = f"/session/{made['sessionId']}"

    def _is_ready(self):
        told = re.search(r"started successfully on port (\d+)", self.process.log())
        if not told:
            return False
        self.port = int(told[1])
        try:
            return self._ask("GET", "/status")["ready"]
        except OSError:
            return False

    def _ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60 * PATIENCE)
        if self.namespace:
            connection.sock = self.namespace.connect(("127.0.0.1", self.port), 60 * PATIENCE)
        connection.request(method, path, body=json.dumps(body) if body is not None else None, headers={"Content-Type": "application/json"})
        reply = connection.getresponse()
        value = json.loads(reply.read())["value"]
        connection.close()
        if reply.status != 200:
            raise Refused(f"{method} {path}: {value}", value.get("error"))
        return value

    def ask(self, method, path, body=None):
        return self._ask(method, self.session + path, body)

    def close(self):
        try:
            if self.session:
                self.ask("DELETE", "")
        finally:
            self.process.stop()

    def open(self, url):
        self.ask("POST", "/url", {"url": url})

    def open_tab(self, url):
        """In a tab of its own, which is used from here on. What `use_tab` takes: the tab before and this one."""
        before, made = self.ask("GET", "/window"), self.ask("POST", "/window/new", {"type": "tab"})["handle"]
        self.use_tab(made)
        self.open(url)
        return before, made

    def use_tab(self, handle):
        self.ask("POST", "/window", {"handle": handle})

    def run(self, script, *arguments):
        """The value of `script`, the body of a function."""
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def run_async(self, script, *arguments):
        """What `script` hands to its last argument, a function."""
        return self.ask("POST", "/execute/async", {"script": script, "args": list(arguments)})

    def find(self, css):
        return self.ask("POST", "/element", {"using": "css selector", "value": css})[_ELEMENT]

    def text(self, css):
        return self.run("const node = document.querySelector(arguments[0]); return node && node.checkVisibility() ? node.innerText : null", css)

    def wait(self, condition, what):
        wait_until(condition, 20, 0.05, what)

    def wait_text(self, css, text, timeout=20):
        wait_until(lambda: text in (self.text(css) or ""), timeout, 0.05, f"{css} shows {text!r}")

    def is_visible(self, css):
        return self.run("const node = document.querySelector(arguments[0]); return !!node && node.checkVisibility()", css)

    def _act(self, css, act, body):
        """As soon as a person could: what is pressed may still be about to come, or be moving."""
        def attempt():
            try:
                self.ask("POST", f"/element/{self.find(css)}/{act}", body)
            except Refused as refused:
                if refused.code not in _NOT_YET:
                    raise
                return False
            return True
        self.wait(attempt, f"{css} can be used")

    def click(self, css):
        """Clicks as a person does: scrolled into view, not covered by another element."""
        self._act(css, "click", {})

    def type(self, css, text):
        self._act(css, "value", {"text": text})

    def point(self, css, *more):
        """Moves the mouse to the middle of it."""
        self._mouse({"type": "pointerMove", "x": 0, "y": 0, "duration": 0, "origin": {_ELEMENT: self.find(css)}}, *more)

    def hold(self, css):
        """Presses the mouse's button on it, until `release`."""
        self.point(css, {"type": "pointerDown", "button": 0})

    def release(self):
        self._mouse({"type": "pointerUp", "button": 0})

    def _mouse(self, *actions):
        self.ask("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": list(actions)}]})

    def set(self, css, value):
        """Makes it the value of a field at once, as typing does letter by letter."""
        self.run("""const node = document.querySelector(arguments[0]); node.value = arguments[1];
            node.dispatchEvent(new Event('input', { bubbles: true })); node.dispatchEvent(new Event('change', { bubbles: true }))""", css, value)

    def drop(self, name, text):
        """A file is dropped on the page."""
        self.run("""const data = new DataTransfer(); data.items.add(new File([arguments[1]], arguments[0]));
            document.dispatchEvent(new DragEvent('drop', { dataTransfer: data, cancelable: true }))""", name, text)

    def drop_path(self, path):
        """A file or a folder of this machine is dropped on the page, by the mouse."""
        data = {"items": [], "files": [path], "dragOperationsMask": 1}
        for step in ("dragEnter", "dragOver", "drop"):
            self.devtools("Input.dispatchDragEvent", type=step, x=200, y=200, data=data)

    def press(self, *names):
        """Sends keys to the focused element; "shift" applies to the next one."""
        actions, held = [], []
        for name in names:
            key = KEYS.get(name, name)
            actions.append({"type": "keyDown", "value": key})
            if name == "shift":
                held.append(key)
                continue
            actions += [{"type": "keyUp", "value": value} for value in (key, *held)]
            held = []
        self.ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def focused(self):
        """The accessible name of the focused element."""
        return self.run("const node = document.activeElement; return node.getAttribute('aria-label') || node.id || node.innerText")

    def tab_to(self, name, most=60):
        """Presses Tab until that element has the focus."""
        for _ in range(most):
            if self.focused() == name:
                return
            self.press("tab")
        raise AssertionError(f"the keyboard never gets to {name!r}")

    def resize(self, width, height, is_phone=False):
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if is_phone else 1, mobile=is_phone)

    def colours(self, scheme):
        self.prefer("prefers-color-scheme", scheme)

    def prefer(self, feature, value):
        """What its user has asked of the machine, as a media feature of CSS."""
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": feature, "value": value}])

    def devtools(self, command, **parameters):
        return self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.ask("GET", "/screenshot")))

    def complaints(self):
        """The messages of the browser's console, violations of the content policy included, but for those of its own pages."""
        return [entry["message"] for entry in self.ask("POST", "/se/log", {"type": "browser"})
                if entry["level"] != "DEBUG" and not entry["message"].startswith("chrome://")]
