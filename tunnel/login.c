#include "tunnel/login.h"

#include <assert.h>
#include <stdlib.h>

#define SOURCES 1024
#define DELAY (100 * LOOP_MILLISECOND)
#define DELAY_STEPS 4
#define REFUSED_FREELY 8
#define MEMORY (60 * LOOP_SECOND)

struct login_source {
	uint64_t source;
	uint64_t refused_at; /* the last time */
	uint64_t until;      /* when the last refusal is sent */
	unsigned refused;    /* in a row; 0 and nobody waits: the place is free */
	unsigned answered;   /* refusals sent that no further guess has followed yet */
	struct login *front, *back;
	struct loop *loop;
	struct deadline deadline; /* of the next turn */
};

struct logins {
	struct login_source sources[SOURCES];
};

const struct http_fault login_is_missing = { .status = 407,
	                                     .error = HTTP_ERROR_HTTP_REQUEST_DENIED,
	                                     .detail = "a username and password are required" };
const struct http_fault login_is_wrong = { .status = 407, .error = HTTP_ERROR_HTTP_REQUEST_DENIED, .detail = "wrong username or password" };

static struct loop *loop_of(const struct login *login)
{
	return login->connection->tunnel->context->loop;
}

/* Sources. */

static bool is_free(const struct login_source *at)
{
	return at->refused == 0 && at->front == NULL;
}

static struct login_source *find(const struct login *login)
{
	struct logins *logins = login->connection->tunnel->logins;
	for (size_t i = 0; logins != NULL && i < SOURCES; i++)
		if (logins->sources[i].source == login->connection->source && !is_free(&logins->sources[i]))
			return &logins->sources[i];
	return NULL;
}

/* A free place, or that of the source refused longest ago for which no login waits. NULL if there is none. */
static struct login_source *find_place(struct logins *logins)
{
	struct login_source *place = NULL;
	for (size_t i = 0; i < SOURCES; i++) {
		struct login_source *at = &logins->sources[i];
		if (is_free(at))
			return at;
		if (at->front == NULL && (place == NULL || at->refused_at < place->refused_at))
			place = at;
	}
	return place;
}

static bool must_wait(const struct login_source *at, uint64_t now)
{
	return at->refused >= REFUSED_FREELY && at->until > now;
}

static void unqueue(struct login *login)
{
	struct login_source *at = login->waits_at;
	assert(at != NULL); /* those in a queue wait in it */
	*(login->before == NULL ? &at->front : &login->before->after) = login->after;
	*(login->after == NULL ? &at->back : &login->after->before) = login->before;
	login->before = login->after = NULL;
	login->waits_at = NULL;
	login->connection->is_held = false;
	if (at->front == NULL)
		deadline_set(at->loop, &at->deadline, LOOP_NEVER);
}

static void give_turn(struct login *login)
{
	unqueue(login);
	login->has_turn = true;
	login->look(login->owner);
}

/* Checks one from each end; if the first is right, all others until eight are wrong. */
static void on_turn(void *owner)
{
	struct login_source *at = owner;
	for (unsigned i = 0; at->front != NULL && (i < 2 || !must_wait(at, loop_now(at->loop))); i++)
		give_turn(i % 2 == 0 ? at->front : at->back);
	if (at->front != NULL)
		deadline_set(at->loop, &at->deadline, at->until);
}

static void queue(struct login *login, struct login_source *at, bool goes_on)
{
	login->waits_at = at;
	if (goes_on) {
		login->before = at->back;
		*(at->back == NULL ? &at->front : &at->back->after) = login;
		at->back = login;
	} else {
		login->after = at->front;
		*(at->front == NULL ? &at->back : &at->front->before) = login;
		at->front = login;
	}
	login->connection->is_held = true;
	deadline_set(at->loop, &at->deadline, at->until);
}

/* Twice as long if two are checked in a turn. */
static uint64_t delay_of(const struct login *login, unsigned refused)
{
	uint64_t delay = DELAY << (refused < DELAY_STEPS ? refused : DELAY_STEPS);
	return login->has_turn ? 2 * delay : delay;
}

/* Counts a wrong password; returns when to send the refusal. Without a place for its source the delay is the longest. */
static uint64_t refuse(const struct login *login)
{
	struct tunnel *tunnel = login->connection->tunnel;
	uint64_t now = loop_now(loop_of(login));
	struct login_source *at = find(login);
	unsigned refused = at == NULL || now - at->refused_at >= MEMORY ? 0 : at->refused;
	if (tunnel->logins == NULL)
		tunnel->logins = calloc(1, sizeof(*tunnel->logins));
	if (at == NULL && tunnel->logins != NULL && (at = find_place(tunnel->logins)) != NULL) {
		*at = (struct login_source){ .source = login->connection->source, .loop = loop_of(login) };
		deadline_init(&at->deadline, on_turn, at);
	}
	if (at == NULL)
		return now + delay_of(login, DELAY_STEPS);
	at->refused_at = now;
	at->until = now + delay_of(login, refused);
	at->refused = refused + 1;
	return at->until;
}

static void forget(const struct login *login)
{
	struct login_source *at = find(login);
	if (at == NULL)
		return;
	at->refused = at->answered = 0;
	at->until = 0;
	if (at->front != NULL)
		deadline_set(at->loop, &at->deadline, loop_now(at->loop));
}

/* Logins. */

static void on_told(void *owner)
{
	struct login *login = owner;
	struct login_source *at = find(login);
	if (at != NULL)
		at->answered++;
	login->tell(login->owner);
}

void login_init(struct login *login, struct connection *connection, void (*look)(void *owner), void (*tell)(void *owner), void *owner)
{
	assert(look != NULL && tell != NULL);
	*login = (struct login){ .connection = connection, .look = look, .tell = tell, .owner = owner };
	deadline_init(&login->deadline, on_told, login);
}

void login_cancel(struct login *login)
{
	if (login->waits_at != NULL)
		unqueue(login);
	deadline_set(loop_of(login), &login->deadline, LOOP_NEVER);
}

bool login_has_turn(struct login *login)
{
	assert(login->waits_at == NULL);
	struct login_source *at = login->has_turn || login->connection->tunnel->spec.user_count == 0 ? NULL : find(login);
	bool goes_on = at != NULL && at->answered > 0;
	if (goes_on)
		at->answered--;
	if (at == NULL || (at->front == NULL && !must_wait(at, loop_now(at->loop))))
		return true;
	queue(login, at, goes_on);
	return false;
}

bool login_is_right(struct login *login, const struct credentials *offered)
{
	const struct spec *spec = &login->connection->tunnel->spec;
	bool is_right = offered != NULL && (spec->user_count == 0 || credentials_admitted(offered, spec));
	if (is_right)
		forget(login);
	if (is_right && spec->user_count > 0)
		connection_set_user(login->connection, offered->username, offered->username_length);
	if (!is_right)
		deadline_set(loop_of(login), &login->deadline, refuse(login));
	login->has_turn = false;
	return is_right;
}

void logins_free(struct logins *logins)
{
	for (size_t i = 0; logins != NULL && i < SOURCES; i++)
		assert(logins->sources[i].front == NULL);
	free(logins);
}
