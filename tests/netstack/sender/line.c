#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <sys/socket.h>

#include "netstack/netstack.h"
#include "tests/netstack/sender/line.h"

#define BYTES (4u << 20)

static uint8_t bytes[BYTES];

static bool emit(void *owner, uint64_t place, const struct iovec *parts, size_t count, size_t length, uint8_t flags)
{
	struct line *line = owner;
	uint64_t at = place;

	if (line->is_refusing)
		return false;
	for (size_t i = 0; i < count; at += parts[i++].iov_len)
		assert_memory_equal(parts[i].iov_base, bytes + at, parts[i].iov_len);
	assert_int_equal(at - place, length);
	assert_true(length <= line->sender.segment);
	assert_true(line->count < LINE_MOST);
	line->emitted[line->count++] = (struct emitted){ place, length, flags };
	return true;
}

void line_start(struct line *line, bool has_sack, uint64_t round_trip)
{
	const struct sender_env env = { .owner = line, .family = AF_INET6, .emit = emit };

	for (size_t i = 0; i < BYTES; i++)
		bytes[i] = (uint8_t)(i * 2654435761u >> 13);
	*line = (struct line){ .now = 1000 * MS, .window = 1 << 20 };
	budget_start(LINE_LIMIT);
	sender_init(&line->sender, &env, &line->budget, LINE_FIRST, LINE_SIZE, has_sack, round_trip, line->now);
	line->sender.window_end = line->sender.window_max = line->sender.bbr.window = 1 << 20;
	line->sender.bbr.pacing_rate = 1e15;
	line->sender.limit = BYTES;
}

void line_end(struct line *line)
{
	sender_clear(&line->sender);
	assert_int_equal(sender_deadline(&line->sender), NETSTACK_NEVER);
	assert_int_equal(budget_used(), 0);
}

void line_write(struct line *line, size_t length)
{
	assert_true(line->sender.queue.end + length <= BYTES);
	assert_int_equal(sender_write(&line->sender, bytes + line->sender.queue.end, length), length);
}

void line_update(struct line *line)
{
	sender_update(&line->sender, line->now);
	line_check(line);
}

void line_forget(struct line *line)
{
	line->count = 0;
}

void line_expect(const struct line *line, size_t count, const struct emitted *wanted)
{
	assert_int_equal(line->count, count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(line->emitted[i].place, wanted[i].place);
		assert_int_equal(line->emitted[i].length, wanted[i].length);
		assert_int_equal(line->emitted[i].flags, SEGMENT_ACK | wanted[i].flags);
	}
}

void line_acknowledge(struct line *line, uint64_t place, size_t blocks, const struct range *ranges)
{
	uint8_t sack[8 * SEGMENT_SACK_MAX];
	const struct segment segment = {
		.acknowledgement = LINE_FIRST + (uint32_t)place,
		.window = (uint16_t)(line->window >> 7),
		.flags = SEGMENT_ACK,
		.sack = sack,
		.sack_count = (uint8_t)blocks,
	};

	assert_in_range(blocks, 0, SEGMENT_SACK_MAX);
	for (size_t i = 0; i < blocks && i < SEGMENT_SACK_MAX; i++) {
		packet_write32(sack + 8 * i, LINE_FIRST + (uint32_t)ranges[i].left);
		packet_write32(sack + 8 * i + 4, LINE_FIRST + (uint32_t)ranges[i].right);
	}
	assert_true(sender_heard(&line->sender, &segment, 7, line->now));
	line_update(line);
}

void line_run_timer(struct line *line)
{
	uint64_t due = sender_deadline(&line->sender);

	assert_int_not_equal(due, NETSTACK_NEVER);
	if (due > line->now)
		line->now = due;
	sender_expire(&line->sender, line->now);
	line_check(line);
}

void line_check(const struct line *line)
{
	const struct sender *sender = &line->sender;
	const struct scoreboard *board = &sender->board;

	assert_true(sender->acknowledged <= sender->next && sender->next <= sender->queue.end + 1);
	assert_true(sender->queue.start <= sender->acknowledged);
	if (sender->next > sender->acknowledged)
		assert_int_not_equal(sender->deadlines[SENDER_TIMEOUT], NETSTACK_NEVER);
	else if (sender_has_unsent(sender) && !sender->is_blocked)
		assert_true(sender->deadlines[SENDER_PERSIST] != NETSTACK_NEVER || sender->deadlines[SENDER_PACE] != NETSTACK_NEVER);
	if (!scoreboard_is_empty(board))
		assert_int_equal(board->in_flight + board->sacked + board->lost, sender->next - scoreboard_at(board, board->head)->start);
}
