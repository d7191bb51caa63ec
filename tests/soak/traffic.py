"""Light traffic through every pair: a request every few seconds to a page server behind the far tunnel. An event loop in a thread of
its own carries it, the page server and the relays."""

import asyncio
import random
import threading
import time

from harness.loop import INNER, Ends
from relay import Relay

PATIENCE = 10         # seconds for a request through a tunnel that is well
PATIENCE_AFTER = 3    # after a failure, so that the end of an outage is seen soon


class Pair:
    """Two tunnels, the relay between them, and how requests through them fare."""

    def __init__(self, number, relay):
        self.ends, self.relay = Ends(f"-{number:03}"), relay
        self.proxy = None               # (host, port) of the near tunnel's proxy; None while there is none
        self.disturbed_at = 0.0         # monotonic time of the last thing done to the pair that may break connections
        self.failing_since = None
        self.lock = threading.Lock()    # held by whoever changes the pair

    def disturb(self):
        self.disturbed_at = time.monotonic()


class Outage:
    def __init__(self, pair, start, end, disturbed_at, reason):
        self.id, self.start, self.seconds, self.reason = pair.ends.near_id, start, end - start, reason
        self.was_planned = start - disturbed_at < 30 or disturbed_at > start
        self.after_disturbance = end - max(start, disturbed_at)


class Traffic:
    def __init__(self, interval, loss, seed):
        self.interval, self.loss, self.seed = interval, loss, seed
        self.random = random.Random(seed)
        self.pairs, self.outages = [], []
        self.latencies = []             # seconds, of the requests since the last sample
        self.requests = self.failures = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.page_port = self.run(self._serve_pages())

    def run(self, coroutine):
        """Runs it in the loop's thread and waits for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    async def _serve_pages(self):
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        return server.sockets[0].getsockname()[1]

    @staticmethod
    async def _answer(reader, writer):
        """«GET /N»: N bytes."""
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
            size = int(head.split()[1].rsplit(b"/", 1)[1])
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % size)
            writer.write(b"x" * size)
            await asyncio.wait_for(writer.drain(), 60)
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def add_pair(self, number):
        pair = Pair(number, self.run(Relay(self.loss, self.seed * 1000 + number).open()))
        self.pairs.append(pair)
        return pair

    def begin(self):
        self.tasks = [asyncio.run_coroutine_threadsafe(self._use(pair), self.loop) for pair in self.pairs]

    async def _use(self, pair):
        generator = random.Random(self.seed * 2000 + self.pairs.index(pair))
        while True:
            await asyncio.sleep(0.5 if pair.failing_since else self.interval * generator.uniform(0.5, 1.5))
            if not pair.proxy:
                continue
            size = generator.choice((200, 2000, 20000, 200000))
            await self._try(pair, size)

    async def _try(self, pair, size):
        proxy, start = pair.proxy, time.monotonic()
        try:
            await asyncio.wait_for(self._request(proxy, size), PATIENCE_AFTER if pair.failing_since else PATIENCE)
        except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
            if pair.proxy == proxy:     # else its listener has moved meanwhile, as it was told to
                self.failures += 1
                pair.failing_since = pair.failing_since or start
                pair.reason = repr(error)
            return
        now = time.monotonic()
        self.requests += 1
        self.latencies.append(now - start)
        if pair.failing_since:
            self.outages.append(Outage(pair, pair.failing_since, now, pair.disturbed_at, pair.reason))
            pair.failing_since = None

    @staticmethod
    async def _request(proxy, size):
        reader, writer = await asyncio.open_connection(*proxy)
        try:
            writer.write(f"GET http://{INNER}/{size} HTTP/1.1\r\nHost: {INNER}\r\nConnection: close\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.split(b"\r\n", 1)[0]:
                raise ValueError(head.split(b"\r\n", 1)[0].decode("latin-1"))
            await reader.readexactly(size)
        finally:
            writer.close()

    def take_latencies(self):
        taken, self.latencies = self.latencies, []
        return sorted(taken)

    def end(self):
        """No new request; those that run are cut. What fails still is an outage that has not ended."""
        for task in self.tasks:
            task.cancel()
        now = time.monotonic()
        for pair in self.pairs:
            if pair.failing_since:
                self.outages.append(Outage(pair, pair.failing_since, now, pair.disturbed_at, pair.reason))
                pair.failing_since = None

    def close(self):
        for pair in self.pairs:
            self.loop.call_soon_threadsafe(pair.relay.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
