"""Asks through a pool by Python requests: a thread for each key, every second request a POST. Ends on SIGTERM, with each request answered."""

import json
import signal
import sys
import threading
import time

import requests

proxy, target, period, *keys = sys.argv[1:]
stop, lock = threading.Event(), threading.Lock()


def ask(session, key, number):
    record = {"key": key, "id": f"{key}-{number}", "begin": time.time()}
    try:
        reply = session.request("POST" if number % 2 else "GET", f"{target}/from/{record['id']}", timeout=40)
        record |= {"status": reply.status_code, "body": reply.text, "reason": reply.headers.get("Proxy-Status")}
    except requests.RequestException as error:
        record["error"] = repr(error)
    record["end"] = time.time()
    with lock:
        print(json.dumps(record), flush=True)


def run(key):
    session = requests.Session()
    session.trust_env = False
    session.proxies = {"http": f"http://client-session-{key}:x@{proxy}"}
    number = 0
    while not stop.wait(float(period)):
        ask(session, key, number)
        number += 1


signal.signal(signal.SIGTERM, lambda *_: stop.set())
threads = [threading.Thread(target=run, args=(key,)) for key in keys]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
