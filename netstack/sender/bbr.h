/* Congestion control after BBR version 3 (draft-ietf-ccwg-bbr). A model of the path (bandwidth, minimum round trip) paces the sending, and
 * bounds learnt from loss keep it from overflowing shallow buffers and fair to other flows.
 *
 * There are two departures. Version 3 takes more than 2 % loss for congestion, and so starves on a path that loses 3 % at any rate. Here the
 * loss seen while sending at no more than the known bandwidth, and without a queue, is the path's own (`noise`), and only 2 % above it and its
 * spread count as congestion. The pause that measures the minimum round trip is made only when there is a standing queue. */
#ifndef WARREN_NETSTACK_SENDER_BBR_H
#define WARREN_NETSTACK_SENDER_BBR_H

#include <stdbool.h>
#include <stdint.h>

#include "netstack/sender/rate.h"

enum bbr_state {
	BBR_STARTUP,   /* doubles each round until the bandwidth stops growing */
	BBR_DRAIN,     /* drains the queue that startup built */
	BBR_DOWN,      /* probing for bandwidth: drains the queue */
	BBR_CRUISE,    /* then sends at the known bandwidth, with headroom for others */
	BBR_REFILL,    /* then fills the pipe */
	BBR_UP,        /* then sends more, until loss or a queue shows the limit */
	BBR_PROBE_RTT, /* a short pause to measure the round trip without our queue */
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
	uint64_t round_trip_sum; /* of the samples since the last check of its age */
	uint64_t round_trips;
	double noise;        /* share of bytes that the path loses without congestion */
	double noise_spread; /* its mean deviation from round to round: large where losses come in bursts */
	/* rounds */
	uint64_t next_round;
	uint64_t rounds;
	bool round_start;
	uint64_t next_loss_round;
	bool loss_round_start;
	uint64_t steady_from; /* count of delivered bytes: losses of data sent earlier are due to probing, not to the path */
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
	uint64_t up_count; /* bytes to be acknowledged for inflight_high to grow by one segment */
	uint64_t up_acknowledged;
	unsigned up_rounds;
	double up_bandwidth; /* the maximum since BBR_UP began */
	bool up_grows;
	/* probing the round trip */
	uint64_t probe_rtt_done; /* 0: too much is still in flight */
	bool probe_rtt_round;
	uint64_t prior_window;
	bool idle_restart;
	bool in_recovery;
	/* aggregated acknowledgements */
	uint64_t excess[2];
	uint64_t excess_rounds;
	uint64_t excess_from;
	uint64_t excess_acknowledged;
};

void bbr_init(struct bbr *bbr, uint32_t segment, uint64_t round_trip, uint64_t now);
/* The sender's state that accompanies a sample. */
struct bbr_context {
	uint64_t delivered;
	uint64_t in_flight;
	bool is_window_limited;
	uint64_t now;
	uint32_t random;
};
void bbr_update(struct bbr *bbr, const struct rate_sample *sample, const struct bbr_context *context);
/* A segment was lost. When it was sent, `in_flight_at_send` bytes were in flight; `lost_since` bytes were lost since then. */
void bbr_lost(struct bbr *bbr, uint64_t in_flight_at_send, uint64_t lost_since, bool is_limited, const struct bbr_context *context);
void bbr_timeout(struct bbr *bbr, uint64_t delivered);
/* Of what was in flight at the timeout so much is not taken for lost: the first segment goes beside it (RFC 6298, 5.4). */
void bbr_spared(struct bbr *bbr, uint64_t in_flight);
void bbr_recovered(struct bbr *bbr);
/* Sending restarts after an idle period. */
void bbr_restart(struct bbr *bbr, uint64_t now);
double bbr_bandwidth(const struct bbr *bbr);
/* `gain` times the bandwidth-delay product, in bytes. */
uint64_t bbr_inflight(const struct bbr *bbr, double gain);

#endif
