#include "tunnel/assessment.h"

#include "ipc/wall_clock.h"
#include "tunnel/tunnel.h"

/* The probe decides when there is one. Without it, payload that came back since the state became up shows that the far end works. */
static enum tunnel_health assess(const struct tunnel *tunnel)
{
	if (tunnel->health.state != TUNNEL_UP)
		return TUNNEL_UNHEALTHY;
	if (tunnel->assessment.probe != TUNNEL_HEALTH_UNKNOWN)
		return tunnel->assessment.probe;
	bool has_received = counter_read(&tunnel->counters->bytes_received) != tunnel->assessment.received_before;
	return has_received ? TUNNEL_HEALTHY : TUNNEL_HEALTH_UNKNOWN;
}

static void tell(const struct tunnel *tunnel)
{
	struct message_health message = { .slot = tunnel->slot, .generation = tunnel->generation, .health = (uint8_t)tunnel->assessment.health };
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_health(&writer, &message);
	tunnel->context->send(tunnel->context, MESSAGE_HEALTH, &writer);
}

void assessment_resume(struct tunnel *tunnel)
{
	struct assessment *assessment = &tunnel->assessment;
	uint64_t health = counter_read(&tunnel->counters->health);
	if (health >= TUNNEL_HEALTH_COUNT)
		return;
	assessment->health = (enum tunnel_health)health;
	assessment->was_up = tunnel->health.state == TUNNEL_UP;
	if (tunnel->spec.probe.type != SPEC_PROBE_NONE)
		assessment->probe = assessment->health;
	assessment->received_before = counter_read(&tunnel->counters->bytes_received);
	/* Without a probe it was payload that showed it. */
	if (assessment->health == TUNNEL_HEALTHY)
		assessment->received_before--;
}

void assessment_review(struct tunnel *tunnel)
{
	struct assessment *assessment = &tunnel->assessment;
	bool is_up = tunnel->health.state == TUNNEL_UP;
	if (is_up && !assessment->was_up)
		assessment->received_before = counter_read(&tunnel->counters->bytes_received);
	assessment->was_up = is_up;
	enum tunnel_health health = assess(tunnel);
	if (health == assessment->health)
		return;
	assessment->health = health;
	counter_set(&tunnel->counters->health, (uint64_t)health);
	counter_set(&tunnel->counters->health_since, (uint64_t)wall_clock_ms());
	tell(tunnel);
}
