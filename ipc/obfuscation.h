/* How a tunnel's WireGuard datagrams are disguised: Mullvad's LWO, which has no parameters, or AmneziaWG (1.0 to 3.1). Plain data, part of a
 * spec. A table names all parameters, for JSON, for wg-quick files and for the message to the worker. */
#ifndef WARREN_IPC_OBFUSCATION_H
#define WARREN_IPC_OBFUSCATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/key.h"

struct message_writer;
struct message_reader;

enum obfuscation_type { OBFUSCATION_LWO, OBFUSCATION_AMNEZIAWG, OBFUSCATION_TYPES };
const char *obfuscation_type_name(enum obfuscation_type type); /* "lwo" */
bool obfuscation_type_parse(const char *name, enum obfuscation_type *type);

/* The four messages, in the order of AmneziaWG's names: S1 and H1 belong to the initiation. */
enum obfuscation_message { OBFUSCATION_INITIATION, OBFUSCATION_RESPONSE, OBFUSCATION_COOKIE_REPLY, OBFUSCATION_DATA, OBFUSCATION_MESSAGES };

#define OBFUSCATION_SIGNATURES 5
#define OBFUSCATION_RANGE_TEXT 24
#define OBFUSCATION_KEY_PADDING 12 /* header protection takes its nonce from the padding */

/* Inclusive. 0 to 0 is off, or WireGuard's own value. */
struct obfuscation_range {
	uint32_t low, high;
};

struct obfuscation {
	enum obfuscation_type type;
	uint16_t junk_count, junk_least, junk_most;                   /* Jc, Jmin, Jmax */
	uint16_t padding[OBFUSCATION_MESSAGES];                       /* S1 to S4: bytes before the message */
	struct obfuscation_range message_types[OBFUSCATION_MESSAGES]; /* H1 to H4 */
	char *signatures[OBFUSCATION_SIGNATURES];                     /* I1 to I5, signature.h; or NULL */
	struct wireguard_key header_key;                              /* all zeros: no header protection */
	struct obfuscation_range content_padding;
	/* Seconds, and a number. */
	struct obfuscation_range rekey_after, rekey_timeout, reject_after, keepalive_timeout, attempts;
	bool random_trailers, disable_cookies;
};

enum obfuscation_value {
	OBFUSCATION_NUMBER, /* uint16_t */
	OBFUSCATION_RANGE,
	OBFUSCATION_TEXT,
	OBFUSCATION_KEY,
	OBFUSCATION_SWITCH, /* bool */
};

struct obfuscation_field {
	const char *member; /* in JSON */
	const char *key;    /* in wg-quick files */
	enum obfuscation_value value;
	size_t offset; /* in struct obfuscation */
	uint32_t most;
	uint32_t least; /* of a range that is not 0 to 0 */
};
extern const struct obfuscation_field obfuscation_fields[];
extern const size_t obfuscation_field_count;

void obfuscation_init(struct obfuscation *obfuscation, enum obfuscation_type type);
/* NULL is allowed. Wipes. */
void obfuscation_free(struct obfuscation *obfuscation);
bool obfuscation_has_header_key(const struct obfuscation *obfuscation);
/* Whether a field has its default, with which it is not written. */
bool obfuscation_is_default(const struct obfuscation *obfuscation, const struct obfuscation_field *field);
/* Whether the datagrams are those of plain WireGuard, as far as a peer of it looks at them. */
bool obfuscation_is_plain_wire(const struct obfuscation *obfuscation);

/* "n" or "low-high", both at most `most`, low not above high. */
bool obfuscation_range_parse(const char *text, uint32_t most, struct obfuscation_range *range);
/* Whether it is 0 to 0, or begins with `least` or more. */
bool obfuscation_range_begins_at(const struct obfuscation_range *range, uint32_t least);
void obfuscation_range_format(const struct obfuscation_range *range, char text[OBFUSCATION_RANGE_TEXT]);

/* NULL is none. Decoding gives an owned one, and fails on what is out of bounds. */
void obfuscation_encode(struct message_writer *writer, const struct obfuscation *obfuscation);
struct obfuscation *obfuscation_decode(struct message_reader *reader);

#endif
