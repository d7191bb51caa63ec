/* A tag is split at its blanks into a name and arguments, of which the first one counts, as amneziawg-go does it. */
#include "ipc/signature.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define BLANKS " \t"

static const char hexadecimal[] = "0123456789abcdefABCDEF";

/* A word of a tag, which ends before `end`. */
struct word {
	const char *text;
	size_t length;
};

static struct word next_word(const char **at, const char *end)
{
	while (*at < end && strchr(BLANKS, **at) != NULL)
		(*at)++;
	struct word word = { *at, 0 };
	while (*at < end && strchr(BLANKS, **at) == NULL)
		(*at)++;
	word.length = (size_t)(*at - word.text);
	return word;
}

static bool is_word(const struct word *word, const char *text)
{
	return word->length == strlen(text) && memcmp(word->text, text, word->length) == 0;
}

static int read_bytes(const struct word *argument, struct signature_piece *piece)
{
	bool has_prefix = argument->length >= 2 && memcmp(argument->text, "0x", 2) == 0;
	const char *digits = argument->text + (has_prefix ? 2 : 0);
	size_t count = argument->length - (has_prefix ? 2 : 0);

	if (count == 0 || count % 2 != 0 || strspn(digits, hexadecimal) < count)
		return SIGNATURE_MALFORMED;
	*piece = (struct signature_piece){ .kind = SIGNATURE_BYTES, .length = count / 2, .digits = digits };
	return count / 2 <= SIGNATURE_SIZE_MAX ? 1 : SIGNATURE_TOO_LARGE;
}

static int read_count(const struct word *argument, enum signature_kind kind, struct signature_piece *piece)
{
	size_t count = 0;

	if (argument->length == 0 || strspn(argument->text, "0123456789") < argument->length)
		return SIGNATURE_MALFORMED;
	for (size_t i = 0; i < argument->length; i++) {
		count = 10 * count + (size_t)(argument->text[i] - '0');
		if (count > SIGNATURE_SIZE_MAX)
			return SIGNATURE_TOO_LARGE;
	}
	*piece = (struct signature_piece){ .kind = kind, .length = count };
	return 1;
}

static int read_tag(const struct word *name, const struct word *argument, struct signature_piece *piece)
{
	if (is_word(name, "b"))
		return read_bytes(argument, piece);
	if (is_word(name, "r"))
		return read_count(argument, SIGNATURE_RANDOM, piece);
	if (is_word(name, "rc"))
		return read_count(argument, SIGNATURE_LETTERS, piece);
	if (is_word(name, "rd"))
		return read_count(argument, SIGNATURE_DIGITS, piece);
	if (is_word(name, "dz"))
		return read_count(argument, SIGNATURE_ZEROES, piece);
	*piece = (struct signature_piece){ .kind = SIGNATURE_ZEROES };
	if (is_word(name, "d") || is_word(name, "ds"))
		return 1;
	*piece = (struct signature_piece){ .kind = SIGNATURE_TIME, .length = sizeof(uint32_t) };
	return is_word(name, "t") ? 1 : SIGNATURE_UNKNOWN_TAG;
}

int signature_next(const char **text, struct signature_piece *piece)
{
	const char *begin = strchr(*text, '<'), *end = begin == NULL ? NULL : strchr(begin, '>');

	if (begin == NULL)
		return 0;
	if (end == NULL)
		return SIGNATURE_MALFORMED;
	*text = end + 1;
	begin++;
	struct word name = next_word(&begin, end), argument = next_word(&begin, end);
	return read_tag(&name, &argument, piece);
}

/* A comment or the end of the line would cut it in a wg-quick file. */
static bool is_one_line(const char *text)
{
	for (; *text != '\0'; text++)
		if (*text < ' ' || *text > '~' || *text == '#')
			return false;
	return true;
}

int signature_length(const char *text)
{
	struct signature_piece piece;
	size_t length = 0;
	int more;

	if (strlen(text) > SIGNATURE_TEXT_MAX)
		return SIGNATURE_TOO_LARGE;
	if (!is_one_line(text))
		return SIGNATURE_MALFORMED;
	while ((more = signature_next(&text, &piece)) > 0) {
		length += piece.length;
		if (length > SIGNATURE_SIZE_MAX)
			return SIGNATURE_TOO_LARGE;
	}
	if (more < 0)
		return more;
	return length > 0 ? (int)length : SIGNATURE_EMPTY;
}

const char *signature_error_text(enum signature_error error)
{
	switch (error) {
	case SIGNATURE_MALFORMED: return "A tag must be <b 0xHEX>, <r n>, <rc n>, <rd n> or <t>, on one line without #.";
	case SIGNATURE_UNKNOWN_TAG: return "An unknown tag: there are <b 0xHEX>, <r n>, <rc n>, <rd n> and <t>.";
	case SIGNATURE_EMPTY: return "These tags make a packet without a byte.";
	case SIGNATURE_TOO_LARGE: return "A signature packet can have at most 1280 bytes, and its text 4096 characters.";
	}
	return "";
}

static unsigned char digit(char c)
{
	return (unsigned char)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

unsigned char signature_byte(const char digits[2])
{
	return (unsigned char)(digit(digits[0]) << 4 | digit(digits[1]));
}
