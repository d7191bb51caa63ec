"""Packet captures on a namespace's interfaces, with tcpdump."""

import signal

from .process import run, wait_until


class Capture:
    """with Capture(namespace, "to0", "udp", directory) as capture: …; then capture.lines()."""

    def __init__(self, namespace, interface, expression, directory, name="capture"):
        self.namespace = namespace
        self.path = f"{directory}/{name}.pcap"
        self.argv = ["tcpdump", "-Z", "root", "-i", interface, "-n", "-U", "-s", "160", "--immediate-mode",
                     "-w", self.path, expression]
        self.log = f"{directory}/{name}.tcpdump.log"
        self.process = None

    def __enter__(self):
        self.process = self.namespace.start(self.argv, self.log)
        wait_until(lambda: "listening on" in self.process.log(), what="tcpdump listens")
        return self

    def __exit__(self, *_):
        self.process.stop(number=signal.SIGINT)

    def lines(self, expression=""):
        """One line of text for each packet, «SECONDS IP a.b.c.d.port > …»."""
        argv = ["tcpdump", "-Z", "root", "-n", "-tt", "-r", self.path]
        return run(argv + ([expression] if expression else [])).stdout.splitlines()
