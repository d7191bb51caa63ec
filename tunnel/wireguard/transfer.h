/* A peer's state on its way to another device with the same key, so that it goes on there without a handshake: sessions with their keys, counters and
 * replay windows, the endpoint, timers and cookie. Times are those of a clock that both devices share. What is not moved begins anew: an initiation
 * that waits for its response, staged packets, figures of traffic. */
#ifndef WARREN_TUNNEL_WIREGUARD_TRANSFER_H
#define WARREN_TUNNEL_WIREGUARD_TRANSFER_H

#include "ipc/message.h"
#include "tunnel/wireguard/device.h"

/* The longest form of one peer. */
#define WIREGUARD_TRANSFER_MOST 3800u
/* Counters of messages to send go ahead by so many: more than a device can send in the ten seconds in which one that still has the keys is ended. */
#define WIREGUARD_TRANSFER_JUMP (UINT64_C(1) << 24)

/* Appends the peer's state, and wipes its sessions and staged packets: no counter can be used by both devices, even if the writer has failed. */
void wireguard_transfer_give(struct wireguard_peer *peer, struct message_writer *writer);
/* Gives the state to the device's peer with that key, which has no session yet. All of it is checked, and nothing is changed on failure. `peer` may
 * be NULL. WIREGUARD_OK, NO_PEER, BAD_STATE or OUT_OF_MEMORY. */
int wireguard_transfer_take(struct wireguard_device *device, struct message_reader *reader, uint64_t now, struct wireguard_peer **peer)
    __attribute__((warn_unused_result));

#endif
