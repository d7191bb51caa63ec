/* A worker without a data path, for tests of the control process: it speaks the channel and holds the sockets. How it behaves is said by
 * the beginning of a tunnel's id: "up-" comes up at once, "bad-" is refused, "crash-" kills the worker when it is prepared, "hang-" stops
 * it when it is removed, "full-" has no memory, "lie-" sends what no honest worker sends once it runs; others stay handshaking.
 * "dial-", "relay-", "stray-" and "udp-" ask for a host socket once they run (a connection for forward 0, a relay on loopback, a relay
 * elsewhere, a fresh UDP socket) and count probes_ok when it is granted and probes_failed when not; a connection gets "hello".
 * A worker that was broken into: "mute-" answers nothing from its PREPARE on, "half-" nothing behind half a frame, "flood-" sends states for
 * ever, "dials-" and "relays-" ask for too many at once, "deaf-" asks and never reads, "gift-" attaches a descriptor, "odd-" sends text
 * and numbers that make no sense. But for "mute-" they do it once they run. All of them beat. */
#ifndef WARREN_TESTS_SERVICE_FAKE_WORKER_H
#define WARREN_TESTS_SERVICE_FAKE_WORKER_H

#include <stdbool.h>

/* What a test's main does first: when the process was started as a worker, it is one, and the exit code is to be returned. */
bool fake_worker_runs(int argc, char **argv, int *code);

#endif
