/* Congestion control after BBR version 3 (draft-ietf-ccwg-bbr): a model of the path (bandwidth, round trip without queue) paces the
 * sending, and bounds learnt from loss keep it off shallow buffers and fair to others.
 *
 * Two departures. Version 3 takes more than 2 % of loss for congestion, and so starves on a path that loses 3 % at any rate. Here the
 * loss seen while sending at no more than the known bandwidth is the path's own (`noise`), and 2 % on top of it are congestion.
 * And the pause for the round trip is made where a queue stands only. */
#ifndef WARREN_NETSTACK_SENDER_BBR_H
#define WARREN_NETSTACK_SENDER_BBR_H

#include <stdbool.h>
#include <stdint.h>

#include "netstack/sender/rate.h"

enum bbr_state {
	BBR_STARTUP,   /* doubles each round until the bandwidth stops growing */
	BBR_DRAIN,     /* lets the queue of the startup run off */
	BBR_DOWN,      /* probing for bandwidth: first make room */
	BBR_CRUISE,    /* then send at the known bandwidth, with headroom for others */
	BBR_REFILL,    /* then fill the pipe */
	BBR_UP,        /* then more, until loss or a queue says stop */
	BBR_PROBE_RTT, /* a short pause that shows the round trip without our queue */
};

enum bbr_ack_phase {
	BBR_ACKS_INIT,
	BBR_ACKS_REFILLING,
	BBR_ACKS_PROBE_STARTING,
	BBR_ACKS_PROBE_FEEDBACK,
	BBR_ACKS_PROBE_STOPPING,
};

struct bbr {
	enum bbr_state state;
	enum bbr_ack_phase ack_phase;
	double pacing_rate; /* bytes a second */
	uint64_t window;    /* the congestion window */
	uint32_t segment;   /* the segment size */
	double pacing_gain;
	double window_gain;
	/* the path */
	double bandwidth_max[2]; /* of this probing cycle and the last */
	double bandwidth_low;    /* bounds of the short term, infinite when unset */
	uint64_t inflight_low;
	uint64_t inflight_high; /* bound of the long term */
	uint64_t min_rtt;
	uint64_t min_rtt_at;
	uint64_t probe_rtt_min; /* least of the last 5 s */
	uint64_t probe_rtt_min_at;
	uint64_t round_trip_sum; /* of the samples since the last look at its age */
	uint64_t round_trips;
	double noise; /* share of bytes that the path loses by itself */
	/* rounds */
	uint64_t next_round;
	uint64_t rounds;
	bool round_start;
	uint64_t next_loss_round;
	bool loss_round_start;
	uint64_t steady_from; /* losses of what was sent earlier (count of delivered bytes) are the probing's, not the path's */
	uint64_t round_lost;  /* bytes in this loss round */
	uint64_t round_delivered;
	uint64_t cruise_lost; /* bytes since cruising began */
	uint64_t cruise_delivered;
	double bandwidth_latest;
	uint64_t inflight_latest;
	/* is the pipe full? */
	bool filled;
	bool full_now;
	double full_bandwidth;
	unsigned full_count;
	/* probing */
	bool samples_probe; /* segments now acknowledged were sent while probing */
	uint64_t phase_at;
	uint64_t probe_wait;
	uint64_t rounds_since_probe;
	uint64_t up_count; /* bytes acknowledged for each segment that inflight_high grows */
	uint64_t up_acknowledged;
	unsigned up_rounds;
	double up_bandwidth; /* the most since it began */
	bool up_grows;
	/* probing the round trip */
	uint64_t probe_rtt_done; /* 0: in flight is still too much */
	bool probe_rtt_round;
	uint64_t prior_window;
	bool idle_restart;
	bool in_recovery;
	/* acknowledgements that come in lumps */
	uint64_t excess[2];
	uint64_t excess_rounds;
	uint64_t excess_from;
	uint64_t excess_acknowledged;
};

void bbr_init(struct bbr *bbr, uint32_t segment, uint64_t round_trip, uint64_t now);
/* What the sender knows besides the sample. */
struct bbr_context {
	uint64_t delivered;
	uint64_t in_flight;
	bool is_window_limited;
	uint64_t now;
	uint32_t random;
};
void bbr_update(struct bbr *bbr, const struct rate_sample *sample, const struct bbr_context *context);
/* A segment is lost that flew as one of `in_flight_at_send` bytes; so many were lost since it was sent. */
void bbr_lost(struct bbr *bbr, uint64_t in_flight_at_send, uint64_t lost_since, bool is_limited, const struct bbr_context *context);
void bbr_timeout(struct bbr *bbr, uint64_t delivered);
/* Of what was in flight at the timeout so much is not taken for lost: the first segment goes beside it (RFC 6298, 5.4). */
void bbr_spared(struct bbr *bbr, uint64_t in_flight);
void bbr_recovered(struct bbr *bbr);
/* Sending starts again after a pause. */
void bbr_restart(struct bbr *bbr, uint64_t now);
double bbr_bandwidth(const struct bbr *bbr);
/* Bytes in flight that `gain` times the path holds. */
uint64_t bbr_inflight(const struct bbr *bbr, double gain);

#endif
