/* The user name of a pool's client: NAME, then parameters that narrow the choice of a member for this connection. Pure.
 *
 *     NAME-session-KEY    keeps to the member that KEY has
 *     NAME-tunnel-ID      the member with this id
 *     NAME-K-V            the members that have the label K=V, where K is the key of a label that some member has
 *
 * - A parameter begins with a marker: -session-, -tunnel- or -K-. Both dashes belong to it, so two markers never share one.
 * - A value ends where the next marker begins, read from the left, or with the name. Other dashes are part of it.
 * - Where several keys fit, the longest is meant. `session` and `tunnel` are never the keys of labels here, and neither is the start of a longer key.
 * - Markers and values are compared byte by byte: case counts, and percent signs mean themselves.
 * - An empty KEY is no session. An empty ID or V is compared like others: no tunnel has the empty id, but a label may have the empty value.
 * - What is no marker is part of what is before it. A name cannot begin with a marker's inside: «session-x» is the NAME «session-x».
 * - NAME may be empty when the pool has no users.
 * - With users, NAME is the longest configured name that the end or a marker follows. So a name that is configured literally always wins.
 *   If there is none, it is the longest that a dash follows, and the parameters are faulty.
 * - The parameters are faulty, too, when one is given twice, whatever its value, when there are more than USER_NAME_LABELS_MAX labels, or when a
 *   value is not UTF-8. No member satisfies faulty parameters. */
#ifndef WARREN_TUNNEL_POOL_USER_NAME_H
#define WARREN_TUNNEL_POOL_USER_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "ipc/spec.h"
#include "tunnel/pool/label_keys.h"

#define USER_NAME_LABELS_MAX 16

/* Bytes that the offered name or the spec owns; not terminated. */
struct user_name_text {
	const char *bytes; /* NULL: not given */
	size_t length;
};

struct user_name_label {
	struct user_name_text key, value;
};

struct user_name {
	struct user_name_text name; /* with users, as it is configured, if it is one of them */
	struct user_name_text session;
	struct user_name_text tunnel;
	struct user_name_label labels[USER_NAME_LABELS_MAX];
	size_t label_count;
	bool is_faulty;
};

/* Reads an offered user name of any bytes. With users in the spec, a name that belongs to none of them is NAME as a whole, for the password check to
 * refuse. A configured name is also found in Latin-1 (RFC 7617, 2.1). Every user is compared, each in constant time (X8). `user` borrows from `bytes`
 * and `spec`. */
void user_name_read(struct user_name *user, const char *bytes, size_t length, const struct spec *spec, const struct label_keys *keys);
bool user_name_is_utf8(struct user_name_text text);

#endif
