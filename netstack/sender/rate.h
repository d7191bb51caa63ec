/* Delivery rate samples (draft-cheng-iccrg-delivery-rate-estimation): how fast data arrived between two acknowledgements. */
#ifndef WARREN_NETSTACK_SENDER_RATE_H
#define WARREN_NETSTACK_SENDER_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "netstack/sender/scoreboard.h"

/* Of a connection. */
struct rate {
	uint64_t delivered; /* bytes that arrived */
	uint64_t delivered_at;
	uint64_t first_sent_at;
	uint64_t lost;          /* bytes that were ever taken for lost */
	uint64_t limited_until; /* `delivered` at which the application's pause is over, 0: none */
};

/* Of a batch of acknowledgements. */
struct rate_sample {
	bool is_open; /* something was heard since the last one was closed */
	bool has_delivery;
	bool is_limited;
	bool was_sent_again;
	uint64_t prior_delivered;
	uint64_t prior_delivered_at;
	uint64_t send_elapsed;
	uint32_t order; /* of the newest segment that arrived */
	uint64_t prior_lost;
	uint64_t in_flight_at_send;
	uint64_t prior_in_flight;
	uint64_t acknowledged; /* bytes that arrived */
	uint64_t newly_lost;
	uint64_t round_trip; /* 0: none that is unambiguous (Karn) */
	/* results of rate_close */
	uint64_t delivered;
	uint64_t lost;
	double bandwidth; /* bytes a second, 0: no sample */
};

void rate_open(struct rate_sample *sample, uint64_t in_flight);
void rate_sent(struct rate *rate, struct sent *sent, uint64_t in_flight_before, uint64_t now);
void rate_delivered(struct rate *rate, struct rate_sample *sample, const struct sent *sent, uint64_t now);
void rate_close(struct rate *rate, struct rate_sample *sample, uint64_t minimum_rtt, uint64_t now);

#endif
