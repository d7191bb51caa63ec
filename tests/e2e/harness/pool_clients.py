"""Real clients that ask through a pool again and again. Each answer is a record: key, id, begin, end, and status, body and reason, or an error.

The far end's answer is the member's address and the path, in which the request's id is."""

import json
import os
import shutil
import threading
import time
import urllib.parse

from .browser import Browser
from .clients import curl
from .farend import INNER
from .process import Process, run, wait_until
from .tools import TOOLS
from .venv import BIN

SOURCES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "pool_clients")
TARGET = f"http://{INNER}"


class Program:
    """A program that writes a record a line, and ends on SIGTERM when each request has its answer."""

    def __init__(self, home, argv, log):
        self.process = Process(home.command(argv), log)

    def end(self):
        code = self.process.stop(timeout=60)
        assert code == 0, f"{self.process.name}: exit {code}: {self.process.log()[-2000:]}"
        return [json.loads(line) for line in self.process.log().splitlines()]


class Curl:
    """A curl for each request, by CONNECT and by SOCKS5 in turn; a thread for each key."""

    def __init__(self, home, proxy, period, keys):
        self.home, self.proxy, self.period = home, proxy, period
        self.records, self.stop = [], threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(key,), daemon=True) for key in keys]
        for thread in self.threads:
            thread.start()

    def _run(self, key):
        number = 0
        while not self.stop.wait(self.period):
            self._ask(key, f"{key}-{number}", ["--socks5-hostname"] if number % 2 else ["-p", "-x"])
            number += 1

    def _ask(self, key, id, words):
        record = {"key": key, "id": id, "begin": time.time()}
        result = curl(self.home, "-f", "-v", *words, self.proxy, "--proxy-user", f"client-session-{key}:x", f"{TARGET}/from/{id}", check=False,
                      timeout=40)
        if result.returncode == 0:
            record |= {"status": 200, "body": result.stdout}
        elif reasons := [line for line in result.stderr.splitlines() if line.startswith(("< Proxy-Status:", "* Can't complete SOCKS5"))]:
            record |= {"status": 503, "reason": reasons[-1]}
        else:
            record["error"] = result.stderr
        self.records.append(record | {"end": time.time()})

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive(), "a curl does not end"
        return self.records


class Chromium:
    """Four fetches at a time of a page that was loaded by the pool's PAC file."""

    def __init__(self, home, pac, period, directory, far_ends):
        """Any of the far ends may be asked for the page."""
        for end in far_ends:
            shutil.copy(f"{SOURCES}/chromium.html", f"{end.directory}/www")
        self.browser = Browser(directory, namespace=home, proxy=f"--proxy-pac-url={pac}")
        self.browser.open(f"{TARGET}/chromium.html?{period}")

    def end(self):
        try:
            self.browser.run("isEnding = true")
            wait_until(lambda: self.browser.run("return running") == 0, timeout=60, what="each fetch has its answer")
            return self.browser.run("return records")
        finally:
            self.browser.close()


def go_program():
    """The client of Go's http.Transport; None if there is no Go."""
    if not shutil.which("go"):
        return None
    os.makedirs(TOOLS, exist_ok=True)
    run(["nice", "go", "build", "-o", f"{TOOLS}/pool-transport", f"{SOURCES}/transport.go"], timeout=300, env={**os.environ, "GO111MODULE": "off"})
    return f"{TOOLS}/pool-transport"


def requests_program():
    """Python with the library Requests, which scripts/test installs; None if it is missing."""
    python = f"{BIN}/python3"
    is_there = os.access(python, os.X_OK) and run([python, "-c", "import requests"], check=False).returncode == 0
    return [python, f"{SOURCES}/requests_client.py"] if is_there else None


def served(log, method):
    """How often the far end served each path, by its access log."""
    counts = {}
    with open(log, encoding="utf-8", errors="replace") as file:
        for line in file:
            words = line.split('"')[1].split()
            if len(words) == 3 and words[0] == method:
                path = urllib.parse.unquote(words[1])
                counts[path] = counts.get(path, 0) + 1
    return counts
