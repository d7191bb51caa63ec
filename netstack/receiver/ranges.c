#include "netstack/receiver/ranges.h"

#include <stdlib.h>
#include <string.h>

#include "netstack/packet/budget.h"

size_t ranges_find(const struct ranges *ranges, uint64_t place)
{
	size_t low = 0, high = ranges->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (ranges->first[middle].right < place)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool ranges_contain(const struct ranges *ranges, struct range range, struct range *in)
{
	size_t index = ranges_find(ranges, range.right);

	if (index == ranges->count || ranges->first[index].left > range.left)
		return false;
	*in = ranges->first[index];
	return true;
}

static bool make_room(struct ranges *ranges)
{
	size_t offset = ranges->all == NULL ? 0 : (size_t)(ranges->first - ranges->all);

	if (ranges->count >= RANGES_MAX)
		return false;
	if (offset + ranges->count < ranges->capacity)
		return true;
	if (offset > ranges->capacity / 2) {
		memmove(ranges->all, ranges->first, ranges->count * sizeof(struct range));
		ranges->first = ranges->all;
		return true;
	}
	if (ranges->capacity > 0 && budget_is_spent(ranges->budget))
		return false;
	size_t capacity = ranges->capacity == 0 ? 16 : 2 * ranges->capacity;
	struct range *all = realloc(ranges->all, capacity * sizeof(struct range));
	if (all == NULL)
		return false;
	budget_charge(ranges->budget, (capacity - ranges->capacity) * sizeof(struct range));
	ranges->all = all;
	ranges->first = all + offset;
	ranges->capacity = capacity;
	return true;
}

enum ranges_outcome ranges_add(struct ranges *ranges, struct range added, struct range *merged)
{
	size_t index = ranges_find(ranges, added.left), end = index;

	if (ranges_contain(ranges, added, merged))
		return RANGES_KNOWN;
	while (end < ranges->count && ranges->first[end].left <= added.right)
		end++;
	if (end == index) {
		if (!make_room(ranges))
			return RANGES_FULL;
		memmove(ranges->first + index + 1, ranges->first + index, (ranges->count - index) * sizeof(struct range));
		ranges->count++;
		ranges->first[index] = added;
	} else {
		struct range *into = &ranges->first[index];
		uint64_t right = ranges->first[end - 1].right;
		if (added.left < into->left)
			into->left = added.left;
		into->right = added.right > right ? added.right : right;
		memmove(into + 1, ranges->first + end, (ranges->count - end) * sizeof(struct range));
		ranges->count -= end - index - 1;
	}
	*merged = ranges->first[index];
	return RANGES_ADDED;
}

void ranges_trim(struct ranges *ranges, uint64_t place)
{
	while (ranges->count > 0 && ranges->first->right <= place) {
		ranges->first++;
		ranges->count--;
	}
	if (ranges->count == 0)
		ranges_clear(ranges);
	else if (ranges->first->left < place)
		ranges->first->left = place;
}

void ranges_clear(struct ranges *ranges)
{
	budget_release(ranges->budget, ranges->capacity * sizeof(struct range));
	free(ranges->all);
	*ranges = (struct ranges){ .budget = ranges->budget };
}
