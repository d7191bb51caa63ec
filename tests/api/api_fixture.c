#include "api_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "ipc/log.h"

static void read_line(const char *dir, const char *name, char *line, size_t size)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	assert_non_null(fgets(line, (int)size, file));
	fclose(file);
	line[strcspn(line, "\n")] = '\0';
}

void fixture_start(struct fixture *fixture, bool no_auth)
{
	strcpy(fixture->state_dir, "/tmp/warren-api-XXXXXX");
	assert_non_null(mkdtemp(fixture->state_dir));
	char listen[] = "127.0.0.1:0", *addresses[] = { listen }, failure[512], address[64];
	struct api_options options = { .listen = addresses, .listen_count = 1, .no_auth = no_auth };
	snprintf(options.state_dir, sizeof(options.state_dir), "%s", fixture->state_dir);
	log_start(LOG_ERROR, false, "test");
	fixture->service = fake_service_create();
	fixture->api = api_create(&options, fixture->service, failure);
	if (fixture->api == NULL || !api_serve(fixture->api, failure))
		fail_msg("%s", failure);
	read_line(fixture->state_dir, "api.addr", address, sizeof(address));
	read_line(fixture->state_dir, "admin.token", fixture->admin_token, sizeof(fixture->admin_token));
	fixture->port = (uint16_t)atoi(strrchr(address, ':') + 1);
}

void fixture_stop(struct fixture *fixture)
{
	api_quiesce(fixture->api);
	fake_service_free(fixture->service);
	api_free(fixture->api);
	char path[128];
	snprintf(path, sizeof(path), "%s/admin.token", fixture->state_dir);
	assert_int_equal(unlink(path), 0);
	/* Nothing else is left behind: neither api.addr nor the socket. */
	assert_int_equal(rmdir(fixture->state_dir), 0);
}

/* A test that waits for ever is worse than one that fails. */
static int connect_to(int family, const struct sockaddr *address, socklen_t length)
{
	int descriptor = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(descriptor >= 0);
	struct timeval limit = { .tv_sec = 20 };
	setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	assert_int_equal(connect(descriptor, address, length), 0);
	return descriptor;
}

int fixture_connect(const struct fixture *fixture)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(fixture->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	return connect_to(AF_INET, (struct sockaddr *)&address, sizeof(address));
}

int fixture_connect_unix(const struct fixture *fixture)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/api.sock", fixture->state_dir);
	return connect_to(AF_UNIX, (struct sockaddr *)&address, sizeof(address));
}

void fixture_write(int descriptor, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t count = send(descriptor, bytes, length, MSG_NOSIGNAL);
		if (count <= 0)
			return; /* the server may have had enough */
		bytes += count;
		length -= (size_t)count;
	}
}

static char *read_head(int descriptor)
{
	size_t length = 0, capacity = 1024;
	char *head = malloc(capacity);
	while (length < 4 || memcmp(head + length - 4, "\r\n\r\n", 4) != 0) {
		if (length + 2 > capacity)
			head = realloc(head, capacity *= 2);
		if (recv(descriptor, head + length, 1, 0) != 1) {
			free(head);
			return NULL;
		}
		length++;
	}
	head[length] = '\0';
	return head;
}

static void read_exactly(int descriptor, struct reply *reply, size_t length)
{
	reply->body = realloc(reply->body, reply->body_length + length + 1);
	while (length > 0) {
		ssize_t count = recv(descriptor, reply->body + reply->body_length, length, 0);
		if (count <= 0)
			break;
		reply->body_length += (size_t)count;
		length -= (size_t)count;
	}
	reply->body[reply->body_length] = '\0';
}

static void read_chunks(int descriptor, struct reply *reply)
{
	for (;;) {
		char size[20] = "", end[2];
		for (size_t i = 0; i < sizeof(size) - 1 && strstr(size, "\r\n") == NULL; i++)
			if (recv(descriptor, size + i, 1, 0) != 1)
				return;
		size_t length = strtoul(size, NULL, 16);
		read_exactly(descriptor, reply, length);
		if (recv(descriptor, end, 2, MSG_WAITALL) != 2 || length == 0)
			return;
	}
}

struct reply fixture_read(int descriptor, bool is_head)
{
	struct reply reply = { .body = calloc(1, 1) };
	reply.head = read_head(descriptor);
	if (reply.head == NULL)
		return reply;
	reply.status = atoi(reply.head + 9);
	const char *length = strcasestr(reply.head, "\r\nContent-Length:");
	if (is_head)
		return reply;
	if (length != NULL)
		read_exactly(descriptor, &reply, strtoul(length + 17, NULL, 10));
	else if (strcasestr(reply.head, "\r\nTransfer-Encoding: chunked") != NULL)
		read_chunks(descriptor, &reply);
	return reply;
}

struct reply fixture_raw(const struct fixture *fixture, const char *bytes, size_t length)
{
	int descriptor = fixture_connect(fixture);
	fixture_write(descriptor, bytes, length);
	struct reply reply = fixture_read(descriptor, strncmp(bytes, "HEAD ", 5) == 0);
	close(descriptor);
	return reply;
}

struct reply fixture_ask_as(const struct fixture *fixture, const char *token, const char *method, const char *path, const char *headers,
                            const char *body)
{
	char *request, authorization[512] = "";
	if (token != NULL)
		snprintf(authorization, sizeof(authorization), "Authorization: Bearer %s\r\n", token);
	int length = asprintf(&request, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s%sContent-Length: %zu\r\n\r\n%s", method, path, fixture->port,
	                      authorization, headers, strlen(body), body);
	assert_true(length > 0);
	struct reply reply = fixture_raw(fixture, request, (size_t)length);
	free(request);
	return reply;
}

struct reply fixture_ask(const struct fixture *fixture, const char *method, const char *path, const char *headers, const char *body)
{
	return fixture_ask_as(fixture, fixture->admin_token, method, path, headers, body);
}

bool reply_has_header(const struct reply *reply, const char *line)
{
	char wanted[256];
	snprintf(wanted, sizeof(wanted), "\r\n%s\r\n", line);
	return reply->head != NULL && strcasestr(reply->head, wanted) != NULL;
}

void reply_clear(struct reply *reply)
{
	free(reply->head);
	free(reply->body);
	*reply = (struct reply){ 0 };
}
