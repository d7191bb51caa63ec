/* Labels are coarse, so that they reveal less about the machine's clock and load. */
#include "tunnel/wireguard/tai64n.h"

#define BASE ((UINT64_C(1) << 62) + 10)
/* The power of two below a fiftieth of a second, the minimum time between two accepted initiations. */
#define STEP (UINT32_C(1) << 24)
#define SECOND UINT32_C(1000000000)

static struct wireguard_tai64n encode(uint64_t seconds, uint32_t nanoseconds)
{
	struct wireguard_tai64n label;

	seconds = htobe64(seconds);
	nanoseconds = htobe32(nanoseconds);
	memcpy(label.bytes, &seconds, sizeof(seconds));
	memcpy(label.bytes + sizeof(seconds), &nanoseconds, sizeof(nanoseconds));
	return label;
}

static struct wireguard_tai64n following(const struct wireguard_tai64n *last)
{
	uint64_t seconds;
	uint32_t nanoseconds;

	memcpy(&seconds, last->bytes, sizeof(seconds));
	memcpy(&nanoseconds, last->bytes + sizeof(seconds), sizeof(nanoseconds));
	seconds = be64toh(seconds);
	nanoseconds = be32toh(nanoseconds);
	if (nanoseconds >= SECOND - STEP)
		return encode(seconds + 1, 0);
	return encode(seconds, (nanoseconds & ~(STEP - 1)) + STEP);
}

bool wireguard_tai64n_is_after(const struct wireguard_tai64n *label, const struct wireguard_tai64n *other)
{
	return memcmp(label->bytes, other->bytes, sizeof(label->bytes)) > 0;
}

struct wireguard_tai64n wireguard_tai64n_next(const struct wireguard_tai64n *last, const struct timespec *wall)
{
	struct wireguard_tai64n now = encode(BASE + (uint64_t)wall->tv_sec, (uint32_t)wall->tv_nsec & ~(STEP - 1));

	return wireguard_tai64n_is_after(&now, last) ? now : following(last);
}
