/* Round trip time and retransmission timeout (RFC 6298), in nanoseconds. */
#ifndef WARREN_NETSTACK_SENDER_RTT_H
#define WARREN_NETSTACK_SENDER_RTT_H

#include <stdint.h>

#define RTT_UNKNOWN UINT64_MAX

struct rtt {
	uint64_t smoothed; /* 0: no sample yet */
	uint64_t variation;
	uint64_t minimum; /* RTT_UNKNOWN: no sample yet */
	unsigned backoff; /* timeouts in a row */
};

void rtt_init(struct rtt *rtt);
void rtt_sample(struct rtt *rtt, uint64_t sample);
uint64_t rtt_timeout(const struct rtt *rtt);

#endif
