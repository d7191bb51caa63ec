#include "netstack/sender/bbr.h"

#include <math.h>

#define MS 1000000ull
#define STARTUP_GAIN 2.77
#define DRAIN_GAIN 0.35
#define LOSS_THRESHOLD 0.02
#define BETA 0.7
#define HEADROOM 0.15
#define NOISE_MAX 0.2
#define NOISE_SPREADS 2 /* mean deviations above the mean: what a round of bursts may well lose */
#define MIN_RTT_WINDOW (10000 * MS)
#define PROBE_RTT_INTERVAL (5000 * MS)
#define PROBE_RTT_TIME (200 * MS)
#define QUEUE_SHARE 4   /* of the round trip: a smaller mean queue is not a standing queue */
#define FIRST_WINDOW 10 /* segments, RFC 6928 */
#define LEAST_WINDOW 4
#define PACING_MARGIN 0.99
#define CRUISE_WINDOW 1.1 /* of what the path holds: more is a queue that hides the path's rate from who shares it */
#define UP_GROWTH 1.1     /* of the bandwidth, by a round with a gain of 1.25 */

static void enter_startup(struct bbr *bbr)
{
	bbr->state = BBR_STARTUP;
	bbr->pacing_gain = STARTUP_GAIN;
	bbr->window_gain = 2;
}

/* The first window per round trip; until there is a sample, per millisecond (4.2.1). */
static void set_first_pacing(struct bbr *bbr, uint64_t round_trip)
{
	bbr->pacing_rate = STARTUP_GAIN * (double)bbr->window * 1e9 / (double)(round_trip > 0 ? round_trip : MS);
}

void bbr_init(struct bbr *bbr, uint32_t segment, uint64_t round_trip, uint64_t now)
{
	*bbr = (struct bbr){
		.segment = segment,
		.window = (uint64_t)FIRST_WINDOW * segment,
		.bandwidth_low = INFINITY,
		.inflight_low = UINT64_MAX,
		.inflight_high = UINT64_MAX,
		.up_count = UINT64_MAX,
		.min_rtt = round_trip > 0 ? round_trip : UINT64_MAX,
		.min_rtt_at = now,
		.probe_rtt_min = round_trip > 0 ? round_trip : UINT64_MAX,
		.probe_rtt_min_at = now,
		.excess_from = now,
	};
	enter_startup(bbr);
	set_first_pacing(bbr, round_trip);
}

static double bandwidth_max(const struct bbr *bbr)
{
	return fmax(bbr->bandwidth_max[0], bbr->bandwidth_max[1]);
}

double bbr_bandwidth(const struct bbr *bbr)
{
	return fmin(bandwidth_max(bbr), bbr->bandwidth_low);
}

static uint64_t product(const struct bbr *bbr, double bandwidth, double gain)
{
	if (bbr->min_rtt == UINT64_MAX || bandwidth <= 0)
		return (uint64_t)FIRST_WINDOW * bbr->segment;
	return (uint64_t)(gain * bandwidth * (double)bbr->min_rtt / 1e9);
}

/* Three trains: one being sent, one in flight, one whose acknowledgements are aggregated. */
static uint64_t trains(const struct bbr *bbr)
{
	double train = bbr->pacing_rate / 1000;

	if (train > 65536)
		train = 65536;
	if (train < 2.0 * bbr->segment)
		train = 2.0 * bbr->segment;
	return (uint64_t)(3 * train);
}

uint64_t bbr_inflight(const struct bbr *bbr, double gain)
{
	return product(bbr, bbr_bandwidth(bbr), gain) + trains(bbr);
}

static bool is_probing_bandwidth(const struct bbr *bbr)
{
	switch (bbr->state) {
	case BBR_DOWN:
	case BBR_CRUISE:
	case BBR_REFILL:
	case BBR_UP: return true;
	case BBR_STARTUP:
	case BBR_DRAIN:
	case BBR_PROBE_RTT: break;
	}
	return false;
}

static bool is_accelerating(const struct bbr *bbr)
{
	return bbr->state == BBR_STARTUP || bbr->state == BBR_REFILL || bbr->state == BBR_UP;
}

/* A few lost segments are always tolerated, because shares of small windows mean nothing. */
static bool is_too_lossy(const struct bbr *bbr, uint64_t lost, uint64_t of)
{
	double spread = fmax(bbr->noise / 2, NOISE_SPREADS * bbr->noise_spread);
	return lost > 3ull * bbr->segment && (double)lost > (LOSS_THRESHOLD + bbr->noise + spread) * (double)of;
}

/* --- the phases of probing for bandwidth (5.3.3) --- */

static void start_round(struct bbr *bbr, uint64_t delivered)
{
	bbr->next_round = delivered;
}

static void reset_low(struct bbr *bbr)
{
	bbr->bandwidth_low = INFINITY;
	bbr->inflight_low = UINT64_MAX;
}

static void reset_full(struct bbr *bbr)
{
	bbr->full_bandwidth = 0;
	bbr->full_count = 0;
	bbr->full_now = false;
}

static void start_down(struct bbr *bbr, const struct bbr_context *context)
{
	bbr->round_lost = bbr->round_delivered = 0;
	bbr->bandwidth_latest = 0;
	bbr->inflight_latest = 0;
	bbr->up_count = UINT64_MAX;
	bbr->rounds_since_probe = context->random & 1;
	bbr->probe_wait = 2000 * MS + (context->random >> 1) % (1000 * MS);
	bbr->steady_from = context->delivered;
	bbr->phase_at = context->now;
	bbr->ack_phase = BBR_ACKS_PROBE_STOPPING;
	start_round(bbr, context->delivered);
	bbr->state = BBR_DOWN;
	bbr->pacing_gain = 0.9;
	bbr->window_gain = 2;
}

/* The time to the next probe counts from the start of BBR_DOWN (5.3.3.6). */
static void start_cruise(struct bbr *bbr)
{
	bbr->state = BBR_CRUISE;
	bbr->pacing_gain = 1;
	bbr->window_gain = CRUISE_WINDOW;
}

static void start_refill(struct bbr *bbr, const struct bbr_context *context)
{
	reset_low(bbr);
	bbr->up_rounds = 0;
	bbr->up_acknowledged = 0;
	bbr->ack_phase = BBR_ACKS_REFILLING;
	start_round(bbr, context->delivered);
	bbr->state = BBR_REFILL;
	bbr->pacing_gain = 1;
	bbr->window_gain = 2;
}

static void raise_slope(struct bbr *bbr)
{
	uint64_t growth = 1ull << bbr->up_rounds;

	if (bbr->up_rounds < 30)
		bbr->up_rounds++;
	bbr->up_count = bbr->window / growth;
	if (bbr->up_count == 0)
		bbr->up_count = 1;
}

static void start_up(struct bbr *bbr, const struct rate_sample *sample, const struct bbr_context *context)
{
	bbr->ack_phase = BBR_ACKS_PROBE_STARTING;
	start_round(bbr, context->delivered);
	reset_full(bbr);
	bbr->full_bandwidth = bbr->up_bandwidth = sample->bandwidth;
	bbr->up_grows = true;
	bbr->phase_at = context->now;
	bbr->state = BBR_UP;
	bbr->pacing_gain = 1.25;
	bbr->window_gain = 2.25;
	raise_slope(bbr);
}

/* --- rounds, bandwidth, loss (5.5) --- */

static void update_round(struct bbr *bbr, const struct rate_sample *sample, const struct bbr_context *context)
{
	bbr->round_start = false;
	bbr->loss_round_start = false;
	if (!sample->has_delivery)
		return;
	if (sample->prior_delivered >= bbr->next_round) {
		start_round(bbr, context->delivered);
		bbr->rounds++;
		bbr->rounds_since_probe++;
		bbr->round_start = true;
	}
	bbr->bandwidth_latest = fmax(bbr->bandwidth_latest, sample->bandwidth);
	if (sample->delivered > bbr->inflight_latest)
		bbr->inflight_latest = sample->delivered;
	if (sample->prior_delivered >= bbr->next_loss_round) {
		bbr->next_loss_round = context->delivered;
		bbr->loss_round_start = true;
	}
}

static void update_bandwidth(struct bbr *bbr, const struct rate_sample *sample)
{
	if (sample->bandwidth > 0 && (!sample->is_limited || sample->bandwidth >= bandwidth_max(bbr)))
		bbr->bandwidth_max[1] = fmax(bbr->bandwidth_max[1], sample->bandwidth);
}

static void advance_bandwidth(struct bbr *bbr)
{
	if (bbr->bandwidth_max[1] <= 0)
		return;
	bbr->bandwidth_max[0] = bbr->bandwidth_max[1];
	bbr->bandwidth_max[1] = 0;
}

/* The path's own loss. It rises slowly, over many rounds, and falls quickly. While a queue stands, losses may be its own and say nothing. */
static void update_noise(struct bbr *bbr, const struct rate_sample *sample)
{
	if (bbr->state != BBR_CRUISE && bbr->state != BBR_DOWN)
		return;
	if (sample->round_trip > bbr->min_rtt + bbr->min_rtt / QUEUE_SHARE)
		return;
	bbr->cruise_lost += sample->newly_lost;
	bbr->cruise_delivered += sample->acknowledged;
	uint64_t total = bbr->cruise_lost + bbr->cruise_delivered;
	if (!bbr->loss_round_start || total < 200ull * bbr->segment)
		return;
	double share = (double)bbr->cruise_lost / (double)total;
	bbr->noise_spread += (fabs(share - bbr->noise) - bbr->noise_spread) / 4;
	bbr->noise += (share - bbr->noise) * (share > bbr->noise ? 0.25 : 0.5);
	if (bbr->noise > NOISE_MAX)
		bbr->noise = NOISE_MAX;
	bbr->cruise_lost = bbr->cruise_delivered = 0;
}

/* Short-term bounds: a round lost too much while not probing. */
static void update_low(struct bbr *bbr, const struct rate_sample *sample)
{
	bbr->round_lost += sample->newly_lost;
	bbr->round_delivered += sample->acknowledged;
	if (!bbr->loss_round_start)
		return;
	if (!is_accelerating(bbr) && is_too_lossy(bbr, bbr->round_lost, bbr->round_lost + bbr->round_delivered)) {
		if (isinf(bbr->bandwidth_low))
			bbr->bandwidth_low = bandwidth_max(bbr);
		if (bbr->inflight_low == UINT64_MAX)
			bbr->inflight_low = bbr->window;
		bbr->bandwidth_low = fmax(bbr->bandwidth_latest, BETA * bbr->bandwidth_low);
		uint64_t cut = (uint64_t)(BETA * (double)bbr->inflight_low);
		bbr->inflight_low = bbr->inflight_latest > cut ? bbr->inflight_latest : cut;
	}
}

static void advance_loss_round(struct bbr *bbr, const struct rate_sample *sample)
{
	if (!bbr->loss_round_start)
		return;
	bbr->bandwidth_latest = sample->bandwidth;
	bbr->inflight_latest = sample->delivered;
	bbr->round_lost = bbr->round_delivered = 0;
}

/* --- the startup (5.3.1) --- */

static void check_full(struct bbr *bbr, const struct rate_sample *sample)
{
	if (bbr->full_now || !bbr->round_start || sample->is_limited)
		return;
	/* The maximum, because one sample covers only a few packets. */
	if (bandwidth_max(bbr) >= bbr->full_bandwidth * 1.25) {
		reset_full(bbr);
		bbr->full_bandwidth = bandwidth_max(bbr);
		return;
	}
	bbr->full_count++;
	/* A round with congestive loss and no growth is as conclusive as three without growth. */
	bool lossy = is_too_lossy(bbr, bbr->round_lost, bbr->round_lost + bbr->round_delivered);
	bbr->full_now = bbr->full_count >= 3 || (bbr->state == BBR_STARTUP && lossy && bbr->full_count >= 2);
	if (bbr->full_now && !bbr->filled) {
		bbr->filled = true;
		uint64_t held = product(bbr, bandwidth_max(bbr), 1);
		if (lossy)
			bbr->inflight_high = held > bbr->inflight_latest ? held : bbr->inflight_latest;
	}
}

static void check_startup(struct bbr *bbr, const struct bbr_context *context)
{
	if (bbr->state == BBR_STARTUP && bbr->filled) {
		bbr->state = BBR_DRAIN;
		bbr->pacing_gain = DRAIN_GAIN;
		bbr->window_gain = 2;
	}
	if (bbr->state == BBR_DRAIN && context->in_flight <= bbr_inflight(bbr, 1))
		start_down(bbr, context);
}

/* --- the long-term bound (5.5.10.2) --- */

static uint64_t with_headroom(const struct bbr *bbr)
{
	if (bbr->inflight_high == UINT64_MAX)
		return UINT64_MAX;
	uint64_t room = (uint64_t)(HEADROOM * (double)bbr->inflight_high);
	if (room < bbr->segment)
		room = bbr->segment;
	uint64_t kept = bbr->inflight_high > room ? bbr->inflight_high - room : 0;
	uint64_t least = (uint64_t)LEAST_WINDOW * bbr->segment;
	return kept > least ? kept : least;
}

static uint64_t target_inflight(const struct bbr *bbr)
{
	uint64_t held = product(bbr, bbr_bandwidth(bbr), 1);
	return held < bbr->window ? held : bbr->window;
}

static void cut_high(struct bbr *bbr, uint64_t in_flight_at_send, bool is_limited)
{
	bbr->samples_probe = false;
	if (is_limited)
		return;
	uint64_t least = (uint64_t)(BETA * (double)target_inflight(bbr));
	bbr->inflight_high = in_flight_at_send > least ? in_flight_at_send : least;
}

void bbr_lost(struct bbr *bbr, uint64_t in_flight_at_send, uint64_t lost_since, bool is_limited, const struct bbr_context *context)
{
	if (!bbr->samples_probe || !is_too_lossy(bbr, lost_since, in_flight_at_send))
		return;
	cut_high(bbr, in_flight_at_send, is_limited);
	if (bbr->state == BBR_UP)
		start_down(bbr, context);
}

static void raise_high(struct bbr *bbr, const struct rate_sample *sample, const struct bbr_context *context)
{
	if (!context->is_window_limited || bbr->window < bbr->inflight_high)
		return;
	bbr->up_acknowledged += sample->acknowledged;
	if (bbr->up_acknowledged >= bbr->up_count) {
		uint64_t steps = bbr->up_acknowledged / bbr->up_count;
		bbr->up_acknowledged -= steps * bbr->up_count;
		bbr->inflight_high += steps * bbr->segment;
	}
	if (bbr->round_start)
		raise_slope(bbr);
}

static void update_high(struct bbr *bbr, const struct rate_sample *sample, const struct bbr_context *context)
{
	if (bbr->ack_phase == BBR_ACKS_PROBE_STARTING && bbr->round_start) {
		bbr->ack_phase = BBR_ACKS_PROBE_FEEDBACK;
		bbr->samples_probe = true;
	}
	if (bbr->ack_phase == BBR_ACKS_PROBE_STOPPING && bbr->round_start) {
		bbr->samples_probe = false;
		bbr->ack_phase = BBR_ACKS_INIT;
		if (is_probing_bandwidth(bbr) && !sample->is_limited)
			advance_bandwidth(bbr);
	}
	if (bbr->inflight_high == UINT64_MAX || is_too_lossy(bbr, sample->lost, sample->in_flight_at_send))
		return;
	if (sample->in_flight_at_send > bbr->inflight_high)
		bbr->inflight_high = sample->in_flight_at_send;
	if (bbr->state == BBR_UP)
		raise_high(bbr, sample, context);
}

/* --- the cycle (5.3.3.6) --- */

static bool is_time_to_probe(const struct bbr *bbr, const struct bbr_context *context)
{
	uint64_t reno = target_inflight(bbr) / bbr->segment;

	if (context->now - bbr->phase_at >= bbr->probe_wait)
		return true;
	return bbr->rounds_since_probe >= (reno < 63 ? reno : 63); /* as often as Reno would lose */
}

static bool is_time_to_cruise(const struct bbr *bbr, const struct bbr_context *context)
{
	return context->in_flight <= with_headroom(bbr) && context->in_flight <= bbr_inflight(bbr, 1);
}

static bool is_time_to_go_down(struct bbr *bbr, const struct rate_sample *sample, const struct bbr_context *context)
{
	if (context->is_window_limited && bbr->window >= bbr->inflight_high) { /* still bounded: growth cannot show yet */
		reset_full(bbr);
		bbr->full_bandwidth = sample->bandwidth;
		return false;
	}
	if (bbr->round_start) {
		bbr->up_grows = sample->bandwidth > UP_GROWTH * bbr->up_bandwidth;
		bbr->up_bandwidth = fmax(bbr->up_bandwidth, sample->bandwidth);
	}
	/* A full path shows within a round, because it only queues the excess. One that still grows was left too early by startup. */
	return bbr->full_now || (!bbr->up_grows && context->now - bbr->phase_at > bbr->min_rtt && sample->prior_in_flight >= bbr_inflight(bbr, 1.25));
}

static void update_cycle(struct bbr *bbr, const struct rate_sample *sample, const struct bbr_context *context)
{
	if (!bbr->filled)
		return;
	update_high(bbr, sample, context);
	switch (bbr->state) {
	case BBR_DOWN:
		if (is_time_to_probe(bbr, context))
			start_refill(bbr, context);
		else if (is_time_to_cruise(bbr, context))
			start_cruise(bbr);
		break;
	case BBR_CRUISE:
		if (is_time_to_probe(bbr, context))
			start_refill(bbr, context);
		break;
	case BBR_REFILL:
		if (bbr->round_start) {
			bbr->samples_probe = true;
			start_up(bbr, sample, context);
		}
		break;
	case BBR_UP:
		if (is_time_to_go_down(bbr, sample, context))
			start_down(bbr, context);
		break;
	case BBR_STARTUP:
	case BBR_DRAIN:
	case BBR_PROBE_RTT: break;
	}
}

/* --- the round trip (5.3.4) --- */

/* A window that recovery or a pause has reduced does not describe the path. */
static void save_window(struct bbr *bbr)
{
	bool is_cut = bbr->in_recovery || bbr->state == BBR_PROBE_RTT;

	if (!is_cut || bbr->window > bbr->prior_window)
		bbr->prior_window = bbr->window;
}

static void leave_probe_rtt(struct bbr *bbr, const struct bbr_context *context)
{
	bbr->probe_rtt_min_at = context->now;
	reset_low(bbr);
	if (bbr->window < bbr->prior_window)
		bbr->window = bbr->prior_window;
	if (!bbr->filled) {
		enter_startup(bbr);
		return;
	}
	start_down(bbr, context);
	start_cruise(bbr);
}

static uint64_t probe_rtt_window(const struct bbr *bbr)
{
	uint64_t half = product(bbr, bbr_bandwidth(bbr), 0.5);
	uint64_t least = (uint64_t)LEAST_WINDOW * bbr->segment;
	return half > least ? half : least;
}

static void run_probe_rtt(struct bbr *bbr, const struct bbr_context *context)
{
	if (bbr->probe_rtt_done == 0) {
		if (context->in_flight > probe_rtt_window(bbr))
			return;
		bbr->probe_rtt_done = context->now + PROBE_RTT_TIME;
		bbr->probe_rtt_round = false;
		start_round(bbr, context->delivered);
		return;
	}
	if (bbr->round_start)
		bbr->probe_rtt_round = true;
	if (bbr->probe_rtt_round && context->now > bbr->probe_rtt_done)
		leave_probe_rtt(bbr, context);
}

/* Has the round trip of the last interval been looked for in vain? Where hardly anything queued on the mean, the least known is still the
 * path's, and there is nobody to make room for. It is not raised then, so a queue cannot creep into it. */
static bool has_expired(struct bbr *bbr, const struct rate_sample *sample, uint64_t now)
{
	if (sample->round_trip > 0) {
		bbr->round_trip_sum += sample->round_trip;
		bbr->round_trips++;
	}
	if (now <= bbr->probe_rtt_min_at + PROBE_RTT_INTERVAL)
		return false;
	bool has_queued = bbr->round_trip_sum >= bbr->round_trips * (bbr->probe_rtt_min + bbr->probe_rtt_min / QUEUE_SHARE);
	bbr->round_trip_sum = bbr->round_trips = 0;
	if (!has_queued)
		bbr->probe_rtt_min_at = now;
	return has_queued;
}

static void update_rtt(struct bbr *bbr, const struct rate_sample *sample, const struct bbr_context *context)
{
	bool expired = has_expired(bbr, sample, context->now);

	/* The handshake gave no sample, because its first packet was lost. */
	if (sample->round_trip > 0 && bbr->min_rtt == UINT64_MAX)
		set_first_pacing(bbr, sample->round_trip);
	if (sample->round_trip > 0 && (sample->round_trip < bbr->probe_rtt_min || expired)) {
		bbr->probe_rtt_min = sample->round_trip;
		bbr->probe_rtt_min_at = context->now;
	}
	if (bbr->probe_rtt_min < bbr->min_rtt || context->now > bbr->min_rtt_at + MIN_RTT_WINDOW) {
		bbr->min_rtt = bbr->probe_rtt_min;
		bbr->min_rtt_at = bbr->probe_rtt_min_at;
	}
	if (expired && !bbr->idle_restart && bbr->state != BBR_PROBE_RTT) {
		save_window(bbr);
		bbr->state = BBR_PROBE_RTT;
		bbr->pacing_gain = 1;
		bbr->window_gain = 0.5;
		bbr->probe_rtt_done = 0;
		bbr->ack_phase = BBR_ACKS_PROBE_STOPPING;
		start_round(bbr, context->delivered);
	}
	if (bbr->state == BBR_PROBE_RTT)
		run_probe_rtt(bbr, context);
	if (sample->acknowledged > 0)
		bbr->idle_restart = false;
}

/* --- aggregated acknowledgements (5.5.9): the excess over what the bandwidth explains --- */

static void update_excess(struct bbr *bbr, const struct rate_sample *sample, const struct bbr_context *context)
{
	double expected = bbr_bandwidth(bbr) * (double)(context->now - bbr->excess_from) / 1e9;

	if ((double)bbr->excess_acknowledged <= expected) {
		bbr->excess_acknowledged = 0;
		bbr->excess_from = context->now;
		expected = 0;
	}
	bbr->excess_acknowledged += sample->acknowledged;
	uint64_t excess = (uint64_t)((double)bbr->excess_acknowledged - expected);
	if (excess > bbr->window)
		excess = bbr->window;
	if (bbr->rounds - bbr->excess_rounds >= 5) {
		bbr->excess_rounds = bbr->rounds;
		bbr->excess[0] = bbr->excess[1];
		bbr->excess[1] = 0;
	}
	if (excess > bbr->excess[1])
		bbr->excess[1] = excess;
}

/* --- the model's output for the sender (5.6) --- */

static void set_pacing(struct bbr *bbr)
{
	double bandwidth = bbr_bandwidth(bbr);

	if (bandwidth <= 0)
		return;
	double rate = bbr->pacing_gain * bandwidth * PACING_MARGIN;
	if (bbr->filled || rate > bbr->pacing_rate)
		bbr->pacing_rate = rate;
}

static uint64_t model_cap(const struct bbr *bbr)
{
	uint64_t cap = UINT64_MAX;

	if (is_probing_bandwidth(bbr) && bbr->state != BBR_CRUISE)
		cap = bbr->inflight_high;
	else if (bbr->state == BBR_PROBE_RTT || bbr->state == BBR_CRUISE)
		cap = with_headroom(bbr);
	if (bbr->inflight_low < cap)
		cap = bbr->inflight_low;
	uint64_t least = (uint64_t)LEAST_WINDOW * bbr->segment;
	return cap > least ? cap : least;
}

static void set_window(struct bbr *bbr, const struct rate_sample *sample, const struct bbr_context *context)
{
	uint64_t excess = bbr->excess[0] > bbr->excess[1] ? bbr->excess[0] : bbr->excess[1];
	uint64_t most = bbr_inflight(bbr, bbr->window_gain) + (bbr->filled ? excess : 0);

	if (bbr->filled) {
		bbr->window += sample->acknowledged;
		if (bbr->window > most)
			bbr->window = most;
	} else if (bbr->window < most || context->delivered < (uint64_t)FIRST_WINDOW * bbr->segment) {
		bbr->window += sample->acknowledged;
	}
	if (bbr->window < (uint64_t)LEAST_WINDOW * bbr->segment)
		bbr->window = (uint64_t)LEAST_WINDOW * bbr->segment;
	if (bbr->state == BBR_PROBE_RTT && bbr->window > probe_rtt_window(bbr))
		bbr->window = probe_rtt_window(bbr);
	uint64_t cap = model_cap(bbr);
	if (bbr->window > cap)
		bbr->window = cap;
}

void bbr_update(struct bbr *bbr, const struct rate_sample *sample, const struct bbr_context *context)
{
	update_round(bbr, sample, context);
	update_bandwidth(bbr, sample);
	update_noise(bbr, sample);
	update_low(bbr, sample);
	update_excess(bbr, sample, context);
	check_full(bbr, sample);
	check_startup(bbr, context);
	update_cycle(bbr, sample, context);
	update_rtt(bbr, sample, context);
	advance_loss_round(bbr, sample);
	set_pacing(bbr);
	set_window(bbr, sample, context);
}

/* The path is unknown, except that it loses: one segment, then slow start up to the known window (5.6.4.4). */
void bbr_timeout(struct bbr *bbr, uint64_t delivered)
{
	save_window(bbr);
	bbr->in_recovery = true;
	bbr->steady_from = delivered + 1; /* losses in an outage say nothing about the path's capacity */
	bbr->window = bbr->segment;
	reset_full(bbr);
}

void bbr_spared(struct bbr *bbr, uint64_t in_flight)
{
	bbr->window += in_flight;
}

void bbr_recovered(struct bbr *bbr)
{
	if (!bbr->in_recovery)
		return;
	bbr->in_recovery = false;
	if (bbr->window < bbr->prior_window)
		bbr->window = bbr->prior_window;
}

void bbr_restart(struct bbr *bbr, uint64_t now)
{
	bbr->idle_restart = true;
	bbr->excess_from = now;
	bbr->excess_acknowledged = 0;
	if (is_probing_bandwidth(bbr) && bbr_bandwidth(bbr) > 0)
		bbr->pacing_rate = bbr_bandwidth(bbr) * PACING_MARGIN;
}
