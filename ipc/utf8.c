#include "ipc/utf8.h"

#include <stdbool.h>

static size_t length_of(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first <= 0xdf)
		return 2;
	if ((first & 0xf0) == 0xe0)
		return 3;
	return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

size_t utf8_length(const char *text, size_t left)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t length = length_of(s[0]);
	if (length == 0 || length > left)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	bool is_overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
	bool is_surrogate = s[0] == 0xed && s[1] > 0x9f;
	bool is_too_high = s[0] == 0xf4 && s[1] > 0x8f;
	return is_overlong || is_surrogate || is_too_high ? 0 : length;
}
