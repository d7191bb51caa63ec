"""A UDP relay that loses datagrams at random, so that loss needs no root: one between the two tunnels of each pair."""

import asyncio
import random


class _Side(asyncio.DatagramProtocol):
    def __init__(self, received):
        self.received = received

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.received(data, address)

    def error_received(self, error):
        pass   # the other end is away for a moment: that is what a soak makes happen


class Relay:
    """The near tunnel sends to the front's port; the far tunnel hears it from the back's, and answers there."""

    def __init__(self, loss, seed):
        self.loss, self.random = loss / 100, random.Random(seed)
        self.client = self.target = None
        self.passed = self.lost = 0
        self.fronts = []

    async def open(self):
        self.back = await self._bind(self._from_far)
        await self.open_front()
        return self

    async def open_front(self):
        """One more port for the near tunnel; replies leave from the one that it used last. Returns the port."""
        front = await self._bind(lambda data, address: self._from_near(front, data, address))
        self.fronts.append(front)
        self.reply_by = front
        return front.transport.get_extra_info("sockname")[1]

    def close_old_fronts(self):
        for front in self.fronts[:-1]:
            front.transport.close()
        self.fronts = self.fronts[-1:]
        self.reply_by = self.fronts[0]   # the near tunnel may have nothing to say for a while

    async def _bind(self, received):
        loop = asyncio.get_running_loop()
        _, side = await loop.create_datagram_endpoint(lambda: _Side(received), local_addr=("127.0.0.1", 0))
        return side

    def _is_lost(self):
        lost = self.random.random() < self.loss
        self.lost += lost
        self.passed += not lost
        return lost

    def _from_near(self, front, data, address):
        self.client, self.reply_by = address, front
        if self.target and not self._is_lost():
            self.back.transport.sendto(data, self.target)

    def _from_far(self, data, address):
        if self.client and not self._is_lost():
            self.reply_by.transport.sendto(data, self.client)

    def close(self):
        for side in (self.back, *self.fronts):
            side.transport.close()
