/* Counters of requests. The statuses are few and known, so a table of atomics is enough. */
#include "api/measure.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "api/route.h"

static const unsigned statuses[] = { 200, 201, 204, 400, 401, 403, 404, 405, 409, 410, 412, 413, 415, 421, 422, 429, 431, 500, 503, 504, 0 };
#define STATUS_COUNT (sizeof(statuses) / sizeof(statuses[0]))

static const struct {
	uint64_t us;
	const char *written;
} bounds[] = {
	{ 1000, "0.001" },  { 2500, "0.0025" }, { 5000, "0.005" }, { 10000, "0.01" },  { 25000, "0.025" }, { 50000, "0.05" },  { 100000, "0.1" },
	{ 250000, "0.25" }, { 500000, "0.5" },  { 1000000, "1" },  { 2500000, "2.5" }, { 5000000, "5" },   { 10000000, "10" }, { UINT64_MAX, "+Inf" },
};
#define BUCKET_COUNT (sizeof(bounds) / sizeof(bounds[0]))

struct api_measure {
	size_t route_count;
	_Atomic uint64_t buckets[BUCKET_COUNT];
	_Atomic uint64_t sum_us;
	_Atomic uint64_t requests[][STATUS_COUNT];
};

struct api_measure *api_measure_create(void)
{
	size_t routes = api_route_count() + 1;
	struct api_measure *measure = calloc(1, sizeof(*measure) + routes * sizeof(measure->requests[0]));
	if (measure != NULL)
		measure->route_count = routes;
	return measure;
}

void api_measure_free(struct api_measure *measure)
{
	free(measure);
}

void api_measure_record(struct api_measure *measure, size_t route, unsigned status, uint64_t duration_us)
{
	size_t s = 0, b = 0;
	while (s < STATUS_COUNT - 1 && statuses[s] != status)
		s++;
	while (bounds[b].us < duration_us)
		b++;
	atomic_fetch_add_explicit(&measure->requests[route][s], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&measure->buckets[b], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&measure->sum_us, duration_us, memory_order_relaxed);
}

static void write_requests(const struct api_measure *measure, struct text *text)
{
	text_put_family(text, "warren_api_requests_total", "counter", "Requests to the control API.");
	for (size_t r = 0; r < measure->route_count; r++) {
		const struct api_route *route = r + 1 < measure->route_count ? api_route_at(r) : NULL;
		for (size_t s = 0; s < STATUS_COUNT; s++) {
			uint64_t n = atomic_load_explicit(&measure->requests[r][s], memory_order_relaxed);
			if (n > 0)
				text_printf(text, "warren_api_requests_total{method=\"%s\",route=\"%s\",code=\"%u\"} %llu\n",
				            route != NULL ? route->method : "other", route != NULL ? route->path : "none", statuses[s],
				            (unsigned long long)n);
		}
	}
}

void api_measure_write(const struct api_measure *measure, struct text *text)
{
	write_requests(measure, text);
	text_put_family(text, "warren_api_request_duration_seconds", "histogram", "Time from the request line to the reply.");
	uint64_t below = 0;
	for (size_t b = 0; b < BUCKET_COUNT; b++) {
		below += atomic_load_explicit(&measure->buckets[b], memory_order_relaxed);
		text_printf(text, "warren_api_request_duration_seconds_bucket{le=\"%s\"} %llu\n", bounds[b].written, (unsigned long long)below);
	}
	text_put(text, "warren_api_request_duration_seconds_sum ");
	text_put_double(text, (double)atomic_load_explicit(&measure->sum_us, memory_order_relaxed) / 1e6);
	/* The count is the sum of the buckets read here, so that both agree while requests are counted. */
	text_printf(text, "\nwarren_api_request_duration_seconds_count %llu\n", (unsigned long long)below);
}
