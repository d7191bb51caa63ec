#include "netstack/sender/rate.h"

void rate_open(struct rate_sample *sample, uint64_t in_flight)
{
	if (!sample->is_open)
		*sample = (struct rate_sample){ .is_open = true, .prior_in_flight = in_flight };
}

void rate_sent(struct rate *rate, struct sent *sent, uint64_t in_flight_before, uint64_t now)
{
	if (in_flight_before == 0) {
		rate->first_sent_at = now;
		rate->delivered_at = now;
	}
	sent->sent_at = now;
	sent->delivered = rate->delivered;
	sent->delivered_at = rate->delivered_at;
	sent->first_sent_at = rate->first_sent_at;
	sent->lost = rate->lost;
	sent->in_flight = (uint32_t)(in_flight_before + sent->length);
	sent->flags = (uint8_t)(rate->limited_until != 0 ? sent->flags | SENT_LIMITED : sent->flags & ~SENT_LIMITED);
}

void rate_delivered(struct rate *rate, struct rate_sample *sample, const struct sent *sent, uint64_t now)
{
	rate->delivered += sent->length;
	rate->delivered_at = now;
	sample->acknowledged += sent->length;
	if (sample->has_delivery && !scoreboard_is_after(sent->order, sample->order))
		return;
	sample->has_delivery = true;
	sample->prior_delivered = sent->delivered;
	sample->prior_delivered_at = sent->delivered_at;
	sample->prior_lost = sent->lost;
	sample->in_flight_at_send = sent->in_flight;
	sample->is_limited = (sent->flags & SENT_LIMITED) != 0;
	sample->was_sent_again = (sent->flags & SENT_AGAIN) != 0;
	sample->send_elapsed = sent->sent_at - sent->first_sent_at;
	sample->order = sent->order;
	rate->first_sent_at = sent->sent_at;
	if (!sample->was_sent_again)
		sample->round_trip = now - sent->sent_at;
}

/* The longer of the two intervals, so that compressed acknowledgements do not suggest a faster path; at least a round trip. */
void rate_close(struct rate *rate, struct rate_sample *sample, uint64_t minimum_rtt, uint64_t now)
{
	sample->is_open = false;
	if (rate->limited_until != 0 && rate->delivered > rate->limited_until)
		rate->limited_until = 0;
	if (!sample->has_delivery)
		return;
	uint64_t elapsed = now - sample->prior_delivered_at;
	if (elapsed < sample->send_elapsed)
		elapsed = sample->send_elapsed;
	sample->delivered = rate->delivered - sample->prior_delivered;
	sample->lost = rate->lost - sample->prior_lost;
	if (elapsed > 0 && (minimum_rtt == UINT64_MAX || elapsed >= minimum_rtt))
		sample->bandwidth = (double)sample->delivered * 1e9 / (double)elapsed;
}
