/* The API on loopback with the fake service, and a client that writes arbitrary requests. */
#ifndef WARREN_TESTS_API_API_FIXTURE_H
#define WARREN_TESTS_API_API_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/server.h"
#include "fake_service.h"

struct fixture {
	char state_dir[64];
	char admin_token[64];
	uint16_t port;
	struct service *service;
	struct api *api;
};

struct reply {
	int status; /* 0: the connection ended without a reply */
	char *head; /* lines, with the status line */
	char *body; /* terminated; chunks are joined */
	size_t body_length;
};

void fixture_start(struct fixture *fixture, bool no_auth);
void fixture_stop(struct fixture *fixture);

int fixture_connect(const struct fixture *fixture); /* a descriptor */
int fixture_connect_unix(const struct fixture *fixture);
void fixture_write(int descriptor, const char *bytes, size_t length);
/* Reads one complete reply; the connection may be reused. */
struct reply fixture_read(int descriptor, bool is_head);
/* Over a connection of its own, as admin. `headers` are further lines with their ends, or "". */
struct reply fixture_ask(const struct fixture *fixture, const char *method, const char *path, const char *headers, const char *body);
struct reply fixture_ask_as(const struct fixture *fixture, const char *token, const char *method, const char *path, const char *headers,
                            const char *body);
struct reply fixture_raw(const struct fixture *fixture, const char *bytes, size_t length);
bool reply_has_header(const struct reply *reply, const char *line); /* "Name: value" */
void reply_clear(struct reply *reply);

#define JSON "Content-Type: application/json\r\n"

#endif
