#include "netstack/receiver/pages.h"

#include <stdlib.h>
#include <string.h>

#include "netstack/packet/budget.h"

struct page {
	struct retired_buffer retired;
	uint8_t bytes[PAGES_SIZE];
};

static struct page **slot(const struct pages *pages, uint64_t number)
{
	return &pages->table[number & (pages->size - 1)];
}

/* Makes room in the table for pages `base` to `last`. */
static bool cover(struct pages *pages, uint64_t last)
{
	size_t size = pages->size == 0 ? 16 : pages->size;

	while (last - pages->base >= size) /* both are inside one window, so at most 4,096 pages */
		size *= 2;
	if (size == pages->size)
		return true;
	struct page **table = calloc(size, sizeof(*table));
	if (table == NULL)
		return false;
	for (size_t i = 0; i < pages->size; i++)
		table[(pages->base + i) & (size - 1)] = *slot(pages, pages->base + i);
	free(pages->table);
	pages->table = table;
	pages->size = size;
	return true;
}

/* Even when the budget is spent, a stream may have one for the first hole. */
static struct page *create_page(struct pages *pages)
{
	if (budget_is_spent(pages->budget) && (pages->count + 1) * PAGES_SIZE > BUDGET_LEAST)
		return NULL;
	struct page *page = malloc(sizeof(*page));
	if (page == NULL)
		return NULL;
	page->retired.charged = sizeof(*page);
	budget_charge(pages->budget, sizeof(*page));
	pages->count++;
	return page;
}

bool pages_store(struct pages *pages, uint64_t floor, uint64_t place, const uint8_t *bytes, size_t length)
{
	if (length == 0)
		return true;
	if (pages->count == 0)
		pages->base = floor / PAGES_SIZE;
	if (!cover(pages, (place + length - 1) / PAGES_SIZE))
		return false;
	while (length > 0) {
		struct page **at = slot(pages, place / PAGES_SIZE);
		size_t offset = place % PAGES_SIZE;
		size_t part = PAGES_SIZE - offset < length ? PAGES_SIZE - offset : length;
		if (*at == NULL && (*at = create_page(pages)) == NULL)
			return false;
		memcpy((*at)->bytes + offset, bytes, part);
		place += part;
		bytes += part;
		length -= part;
	}
	return true;
}

size_t pages_gather(const struct pages *pages, uint64_t place, size_t length, struct iovec *parts, size_t max, size_t *gathered)
{
	size_t count = 0;

	*gathered = 0;
	while (length > 0 && count < max) {
		size_t offset = place % PAGES_SIZE;
		size_t part = PAGES_SIZE - offset < length ? PAGES_SIZE - offset : length;
		parts[count++] = (struct iovec){ (*slot(pages, place / PAGES_SIZE))->bytes + offset, part };
		place += part;
		length -= part;
		*gathered += part;
	}
	return count;
}

static void retire(struct pages *pages, uint64_t number, struct retired *retired)
{
	struct page **at = slot(pages, number);

	if (*at == NULL)
		return;
	retired_add(retired, &(*at)->retired);
	*at = NULL;
	pages->count--;
}

void pages_release(struct pages *pages, uint64_t place, struct retired *retired)
{
	uint64_t until = place / PAGES_SIZE;

	for (; pages->count > 0 && pages->base < until; pages->base++)
		retire(pages, pages->base, retired);
}

void pages_clear(struct pages *pages, struct retired *retired)
{
	for (size_t i = 0; i < pages->size && pages->count > 0; i++)
		retire(pages, pages->base + i, retired);
	free(pages->table);
	*pages = (struct pages){ .budget = pages->budget };
}
