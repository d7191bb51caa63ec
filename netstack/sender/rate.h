/* Delivery rate samples (draft-cheng-iccrg-delivery-rate-estimation): the rate at which data arrived between two acknowledgements. */
#ifndef WARREN_NETSTACK_SENDER_RATE_H
#define WARREN_NETSTACK_SENDER_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "netstack/sender/scoreboard.h"

/* State of a connection. */
struct rate {
	uint64_t delivered; /* bytes that arrived */
	uint64_t delivered_at;
	uint64_t first_sent_at;
	uint64_t lost;          /* bytes marked lost so far */
	uint64_t limited_until; /* value of `delivered` at which the application-limited phase ends, 0: none */
};

/* A sample from one batch of acknowledgements. */
struct rate_sample {
	bool is_open; /* an acknowledgement arrived since the last rate_close */
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
	uint64_t round_trip; /* 0: no unambiguous one (Karn) */
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
