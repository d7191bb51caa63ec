#include "netstack/receiver/window.h"

#define FIRST_SPACE 14600 /* ten segments: the peer's initial window */
/* An owner whose client does not read looks fast while the socket's buffer fills. Only the consumed bytes distinguish it. */
#define TRIED (384ull * 1024)
#define UNTRIED_MOST (960ull * 1024)
#define SLACK ((uint64_t)16 * 1460)

void window_init(struct window *window, uint64_t size, uint64_t most, uint64_t round_trip)
{
	*window = (struct window){
		.size = size < most ? size : most,
		.most = most,
		.round_trip = round_trip,
		.space = FIRST_SPACE < size / 4 ? FIRST_SPACE : size / 4 + 1,
	};
}

void window_arrived(struct window *window, uint64_t bytes)
{
	window->arrived += bytes;
}

static void measure(struct window *window, uint64_t next, uint64_t now)
{
	if (!window->is_measuring) {
		window->is_measuring = true;
		window->measured_from = now;
		window->measured_until = next + window->size;
		return;
	}
	if (next < window->measured_until)
		return;
	uint64_t round_trip = now - window->measured_from;
	if (round_trip > 0 && (window->round_trip == 0 || round_trip < window->round_trip))
		window->round_trip = round_trip;
	window->is_measuring = false;
}

static void grow(struct window *window, uint64_t consumed, uint64_t held, uint64_t share)
{
	uint64_t most = window->most < share ? window->most : share;
	uint64_t want = 2 * window->arrived + SLACK;

	/* A sender in slow start gets room for the next doublings at once. */
	want += 2 * (uint64_t)((double)want * (double)(window->arrived - window->space) / (double)window->space) + held;
	if (consumed < TRIED && want > UNTRIED_MOST)
		want = UNTRIED_MOST;
	if (want > most)
		want = most;
	if (want > window->size)
		window->size = want;
	window->space = window->arrived < window->most ? window->arrived : window->most;
}

void window_adjust(struct window *window, uint64_t next, uint64_t unread, uint64_t held, uint64_t share, uint64_t now)
{
	measure(window, next, now);
	if (window->counted_from == 0) {
		window->counted_from = now;
		return;
	}
	if (window->round_trip == 0 || now - window->counted_from < window->round_trip)
		return;
	if (window->arrived > window->space && unread <= window->size / 4)
		grow(window, next - unread, held, share);
	window->counted_from = now;
	window->arrived = 0;
}
