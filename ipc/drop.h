/* The reasons for which WireGuard drops a datagram or a packet, as counted and shown. */
#ifndef WARREN_IPC_DROP_H
#define WARREN_IPC_DROP_H

enum wireguard_drop {
	WIREGUARD_DROP_MALFORMED, /* length, type or reserved bytes */
	WIREGUARD_DROP_MAC1,
	WIREGUARD_DROP_COOKIE, /* under load without a valid MAC2, or a cookie reply that cannot be decrypted */
	WIREGUARD_DROP_RATE,   /* the limiter's */
	WIREGUARD_DROP_UNKNOWN_PEER,
	WIREGUARD_DROP_UNKNOWN_INDEX,
	WIREGUARD_DROP_HANDSHAKE,      /* cannot be decrypted, replayed or flooded initiation, response without an initiation */
	WIREGUARD_DROP_AUTHENTICATION, /* transport data whose tag is wrong */
	WIREGUARD_DROP_REPLAY,
	WIREGUARD_DROP_EXPIRED,      /* the session is too old or its counter used up */
	WIREGUARD_DROP_INNER,        /* inner packet malformed */
	WIREGUARD_DROP_SOURCE,       /* inner source that is not this peer's */
	WIREGUARD_DROP_STAGED,       /* staged queue overflowed or was purged */
	WIREGUARD_DROP_UNRECOGNIZED, /* not a message of the obfuscation that is configured: junk, or other parameters */
	WIREGUARD_DROP_COUNT
};

#endif
