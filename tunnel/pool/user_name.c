#include "tunnel/pool/user_name.h"

#include <sodium.h>
#include <string.h>

#include "ipc/utf8.h"
#include "tunnel/http/credentials.h"

enum parameter { PARAMETER_NONE, PARAMETER_SESSION, PARAMETER_TUNNEL, PARAMETER_LABEL };

struct marker {
	enum parameter parameter;
	struct user_name_text key; /* of a label */
	size_t length;             /* with both dashes */
};

static bool begins(const char *bytes, size_t length, const char *with)
{
	return length >= strlen(with) && memcmp(bytes, with, strlen(with)) == 0;
}

static struct marker marker_at(const char *bytes, size_t length, const struct label_keys *keys)
{
	if (length == 0 || bytes[0] != '-')
		return (struct marker){ .parameter = PARAMETER_NONE };
	if (begins(bytes, length, "-session-"))
		return (struct marker){ .parameter = PARAMETER_SESSION, .length = strlen("-session-") };
	if (begins(bytes, length, "-tunnel-"))
		return (struct marker){ .parameter = PARAMETER_TUNNEL, .length = strlen("-tunnel-") };
	size_t key = label_keys_find(keys, bytes + 1, length - 1);
	if (key == 0)
		return (struct marker){ .parameter = PARAMETER_NONE };
	return (struct marker){ .parameter = PARAMETER_LABEL, .key = { .bytes = bytes + 1, .length = key }, .length = key + 2 };
}

/* Where the next marker begins, or the end. */
static size_t marker_find(const char *bytes, size_t length, const struct label_keys *keys)
{
	size_t at = 0;
	while (at < length && marker_at(bytes + at, length - at, keys).parameter == PARAMETER_NONE)
		at++;
	return at;
}

bool user_name_is_utf8(struct user_name_text text)
{
	size_t step = 1;
	for (size_t at = 0; at < text.length && step > 0; at += step)
		step = utf8_length(text.bytes + at, text.length - at);
	return step > 0;
}

static bool text_equal(struct user_name_text a, struct user_name_text b)
{
	return a.length == b.length && memcmp(a.bytes, b.bytes, a.length) == 0;
}

static void set_once(struct user_name *user, struct user_name_text *text, struct user_name_text value)
{
	if (text->bytes != NULL)
		user->is_faulty = true;
	else
		*text = value;
}

static void add_label(struct user_name *user, struct user_name_text key, struct user_name_text value)
{
	bool is_doubled = false;
	for (size_t i = 0; i < user->label_count; i++)
		is_doubled |= text_equal(user->labels[i].key, key);
	if (is_doubled || user->label_count == USER_NAME_LABELS_MAX)
		user->is_faulty = true;
	else
		user->labels[user->label_count++] = (struct user_name_label){ .key = key, .value = value };
}

static void add(struct user_name *user, const struct marker *marker, struct user_name_text value)
{
	user->is_faulty |= !user_name_is_utf8(value);
	switch (marker->parameter) {
	case PARAMETER_NONE: user->is_faulty = true; break;
	case PARAMETER_SESSION: set_once(user, &user->session, value); break;
	case PARAMETER_TUNNEL: set_once(user, &user->tunnel, value); break;
	case PARAMETER_LABEL: add_label(user, marker->key, value); break;
	}
}

static void read_parameters(struct user_name *user, const char *bytes, size_t length, const struct label_keys *keys)
{
	while (length > 0 && !user->is_faulty) {
		struct marker marker = marker_at(bytes, length, keys);
		bytes += marker.length;
		length -= marker.length;
		size_t value = marker_find(bytes, length, keys);
		add(user, &marker, (struct user_name_text){ .bytes = bytes, .length = value });
		bytes += value;
		length -= value;
	}
}

/* How well the name ends where a user's does. */
enum ending { ENDING_NONE, ENDING_DASH, ENDING_SOUND };

/* A user whose name the offered one begins with. The members are in the order of their weight. */
struct fit {
	enum ending ending;
	size_t length;   /* of the user's name as it was offered */
	bool is_literal; /* and not in Latin-1 */
};

/* Both spellings are compared, whatever the first says. The length 0: it does not begin so. */
static struct fit fit_of(const char *bytes, size_t length, const char *known)
{
	char latin1[CREDENTIALS_PART_MAX];
	size_t plain = strlen(known);
	if (plain == 0 || plain > CREDENTIALS_PART_MAX)
		return (struct fit){ .length = 0 };
	uint8_t shorter = (uint8_t)plain;
	memcpy(latin1, known, plain);
	bool has_latin1 = credentials_to_latin1(latin1, &shorter) && shorter <= length;
	bool is_literal = plain <= length && sodium_memcmp(bytes, known, plain) == 0;
	bool is_latin1 = has_latin1 && sodium_memcmp(bytes, latin1, shorter) == 0;
	return (struct fit){ .length = is_literal ? plain : is_latin1 ? shorter : 0, .is_literal = is_literal };
}

static bool is_better(struct fit a, struct fit b)
{
	if (a.ending != b.ending)
		return a.ending > b.ending;
	return a.length != b.length ? a.length > b.length : a.is_literal && !b.is_literal;
}

static enum ending ending_at(const char *bytes, size_t length, const struct label_keys *keys)
{
	if (length == 0 || marker_at(bytes, length, keys).parameter != PARAMETER_NONE)
		return ENDING_SOUND;
	return bytes[0] == '-' ? ENDING_DASH : ENDING_NONE;
}

/* The length of the name that a configured user has, as it was offered; 0: there is none. Every user is looked at. */
static size_t find_user(struct user_name *user, const char *bytes, size_t length, const struct spec *spec, const struct label_keys *keys)
{
	struct fit best = { .ending = ENDING_NONE };
	for (size_t i = 0; i < spec->user_count; i++) {
		const char *known = spec->users[i].username;
		struct fit fit = fit_of(bytes, length, known);
		if (fit.length == 0)
			continue;
		fit.ending = ending_at(bytes + fit.length, length - fit.length, keys);
		if (fit.ending == ENDING_NONE || !is_better(fit, best))
			continue;
		best = fit;
		user->name = (struct user_name_text){ .bytes = known, .length = strlen(known) };
	}
	return best.length;
}

void user_name_read(struct user_name *user, const char *bytes, size_t length, const struct spec *spec, const struct label_keys *keys)
{
	*user = (struct user_name){ .name = { .bytes = bytes, .length = length } };
	size_t name;
	if (spec->user_count == 0) {
		name = marker_find(bytes, length, keys);
		user->name.length = name;
	} else {
		name = find_user(user, bytes, length, spec, keys);
		if (name == 0)
			return;
	}
	read_parameters(user, bytes + name, length - name, keys);
}
