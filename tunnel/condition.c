#include "tunnel/condition.h"

/* An idle tunnel that lost its session notices after 15 s of sending (paper, 6.2), so a tunnel in use shows a sign within this time. */
#define KEY_TAKEN_LASTS (30 * LOOP_SECOND)

static void set(struct tunnel *tunnel, enum message_condition_type type, uint32_t value)
{
	counter *gauge = &tunnel->counters->conditions[type];
	if (counter_read(gauge) == value)
		return;
	counter_set(gauge, value);
	struct message_condition message = { .slot = tunnel->slot, .generation = tunnel->generation, .type = (uint8_t)type, .value = value };
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_condition(&writer, &message);
	tunnel->context->send(tunnel->context, MESSAGE_CONDITION, &writer);
}

void condition_note_key_taken(struct tunnel *tunnel, uint64_t now)
{
	tunnel->key_taken_until = now + KEY_TAKEN_LASTS;
	condition_tick(tunnel, now);
}

bool condition_tick(struct tunnel *tunnel, uint64_t now)
{
	uint16_t limit = netstack_path_limit(tunnel->stack, now);
	bool is_taken = now < tunnel->key_taken_until;
	uint32_t refused = limit != 0 ? netstack_path_refused(tunnel->stack) : 0;

	set(tunnel, MESSAGE_CONDITION_MTU, refused << 16 | limit);
	set(tunnel, MESSAGE_CONDITION_KEY, is_taken);
	return limit != 0 || is_taken;
}
