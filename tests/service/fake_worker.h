/* A worker without a data path, for tests of the control process: it implements the channel and holds the sockets. The prefix of a tunnel's id
 * determines its behaviour: "up-" comes up at once, "bad-" is refused (and an MTU of 1301), "crash-" kills the worker when it is prepared, "hang-"
 * stops it when it is removed, "full-" has no memory, "slow-start-" is prepared after a while, "late-" tells that it is stale when a change is
 * committed, "lie-" sends invalid messages once it runs; others stay handshaking. "dial-", "relay-", "stray-" and "udp-" ask for a host socket once
 * they run (a connection for forward 0, a relay on loopback, a relay elsewhere, a fresh UDP socket) and count probes_ok when it is granted and
 * probes_failed when not; a connection gets "hello". "client-" has a client whenever it is to be handed over idle, and counts that as probes_failed.
 * A compromised worker: "mute-" answers nothing from its PREPARE on, "half-" nothing after half a frame, "flood-" sends states for ever, "dials-" and
 * "relays-" request too many at once, "deaf-" requests and never reads, "gift-" attaches a descriptor, "odd-" sends nonsensical text and numbers,
 * "silent-" does not answer a QUERY, "endless-" answers it without end, "garbled-" with what is no connection, "wrong-" answers a COMMIT as if it
 * were a PREPARE, "accuse-" says a hundred times that the other worker broke its link, "nobody-" that a worker did that does not exist, "stay-" does
 * not end when it is told to; when they are handed over, "swarm-", "huge-" and "short-" tell false sessions, and "keeps-" answers nothing. Except
 * "mute-" they do it once they run. All of them keep their heartbeat. A process with FAKE_WORKER_FULL in its environment has no memory for any. */
#ifndef WARREN_TESTS_SERVICE_FAKE_WORKER_H
#define WARREN_TESTS_SERVICE_FAKE_WORKER_H

#include <stdbool.h>

/* To be called first by a test's main: if the process was started as a worker, it runs as one, and main must return the exit code. */
bool fake_worker_runs(int argc, char **argv, int *code);

#endif
