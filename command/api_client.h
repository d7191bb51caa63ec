/* Requests to the API, over its unix socket or over TCP with or without TLS. The only file pair that knows libcurl. One thread. */
#ifndef WARREN_COMMAND_API_CLIENT_H
#define WARREN_COMMAND_API_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

struct api_client;
struct api_address;

struct api_client_request {
	const char *method; /* NULL: GET */
	const char *path;   /* with its query, beginning with a slash */
	const char *type;   /* of the body */
	const char *body;   /* NULL: none */
	size_t length;
	const char *if_match;      /* an ETag, NULL: none */
	const char *if_none_match; /* "*", NULL: none */
	const char *last_event_id; /* NULL: none */
	unsigned timeout;          /* seconds for all of it; 0: a minute, or without end if `on_bytes` is set */
	/* For a reply without an end: a successful reply's bytes as they come, instead of `answer`; false ends the request. */
	bool (*on_bytes)(void *owner, const char *bytes, size_t length);
	void *owner;
};

struct api_client_answer {
	long status; /* 0: none came */
	char *body;  /* ends with a NUL byte that `length` does not count */
	size_t length, room;
	char *inside;   /* ids of tunnels that go through the one that was deleted, "b, c"; NULL: none */
	char *location; /* that a redirect leads to; NULL: none. None is followed, because the token is not for others. */
};

/* Borrows the address. `token_file` may be NULL; it is read at once, and its content is only ever sent. NULL after one line on stderr. */
struct api_client *api_client_create(const struct api_address *address, const char *token_file);
void api_client_free(struct api_client *client);

/* False if there was no whole reply: why, and what to do, is then known to api_client_explain. Otherwise the answer, whatever its status;
 * clear it in both cases. */
bool api_client_ask(struct api_client *client, const struct api_client_request *request, struct api_client_answer *answer);
/* Whether the last request failed because the other end's certificate is not trusted: something speaks TLS there. */
bool api_client_met_tls(const struct api_client *client);
/* Why the last request had no reply: lines on stderr. */
void api_client_explain(const struct api_client *client);
void api_client_answer_clear(struct api_client_answer *answer);

/* A text as a part of a path or query. Free it. */
char *api_client_escape(const char *text);

#endif
