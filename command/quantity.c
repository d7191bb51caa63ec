#include "command/quantity.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Three digits at most: "1.5", "15", "150". */
static void scale(char text[QUANTITY_MAX], double value, const char *suffix)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	size_t unit = 0;
	while (value >= 999.5 && unit < sizeof(units) / sizeof(units[0]) - 1) {
		value /= 1024;
		unit++;
	}
	snprintf(text, QUANTITY_MAX, "%.*f %s%s", unit > 0 && value < 9.95 ? 1 : 0, value, units[unit], suffix);
}

void quantity_bytes(char text[QUANTITY_MAX], double bytes)
{
	scale(text, bytes, "");
}

void quantity_rate(char text[QUANTITY_MAX], double bits_per_second)
{
	scale(text, bits_per_second / 8, "/s");
}

void quantity_milliseconds(char text[QUANTITY_MAX], double milliseconds)
{
	snprintf(text, QUANTITY_MAX, "%.*f ms", milliseconds < 99.95 ? 1 : 0, milliseconds);
}

void quantity_duration(char text[QUANTITY_MAX], double seconds)
{
	if (seconds < 119.5)
		snprintf(text, QUANTITY_MAX, "%.0f s", seconds);
	else if (seconds < 119.5 * 60)
		snprintf(text, QUANTITY_MAX, "%.0f min", seconds / 60);
	else if (seconds < 47.5 * 3600)
		snprintf(text, QUANTITY_MAX, "%.0f h", seconds / 3600);
	else
		snprintf(text, QUANTITY_MAX, "%.0f days", seconds / 86400);
}

void quantity_age(char text[QUANTITY_MAX], double seconds)
{
	char span[QUANTITY_MAX];
	quantity_duration(span, fabs(seconds));
	if (fabs(seconds) < 0.5)
		snprintf(text, QUANTITY_MAX, "just now");
	else if (seconds < 0)
		snprintf(text, QUANTITY_MAX, "in %.20s", span);
	else
		snprintf(text, QUANTITY_MAX, "%.20s ago", span);
}

void quantity_since(char text[QUANTITY_MAX], const char *time, int64_t now_ms)
{
	struct tm parts = { 0 };
	const char *end = time != NULL ? strptime(time, "%Y-%m-%dT%H:%M:%S", &parts) : NULL;
	if (end == NULL || (*end != '.' && *end != 'Z')) {
		snprintf(text, QUANTITY_MAX, QUANTITY_NONE);
		return;
	}
	quantity_age(text, (double)(now_ms - 1000 * (int64_t)timegm(&parts)) / 1000);
}
