/* A naive reference of a pool's decisions, for its model test: who is chosen, which member a key has, which rule matches, what a user name says.
 * Lists that are walked, texts that are compared, nothing remembered that can be computed. */
#ifndef WARREN_TESTS_TUNNEL_POOL_MODEL_H
#define WARREN_TESTS_TUNNEL_POOL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/pool_message.h"

#define MODEL_MEMBERS 128
#define MODEL_KEYS 4 /* of labels */
#define MODEL_SCOPES 32
#define MODEL_RULES 4
#define MODEL_TRIED 4
#define MODEL_STICKY 512

extern const char *const model_keys[MODEL_KEYS];

/* Values of model_keys; NULL: not there. */
struct model_labels {
	const char *values[MODEL_KEYS];
};

struct model_member {
	struct pool_member member; /* without labels */
	struct model_labels labels;
	uint32_t open;
};

struct model_selection {
	const char *ids[2]; /* NULL: none */
	struct model_labels labels;
};

struct model_rule {
	const char *domain, *user; /* NULL: not given */
	uint32_t network;          /* IPv4, with `prefix`; 0: not given */
	unsigned prefix;
	uint16_t first_port, last_port; /* 0: not given */
	bool rejects;
	struct model_selection members;
};

struct model_name {
	char name[256], session[256], tunnel[256], values[MODEL_KEYS][256];
	bool has_session, has_tunnel, has_value[MODEL_KEYS];
	bool is_faulty;
};

struct model_scope {
	size_t group;
	struct model_labels labels;
	uint64_t used;
	uint32_t last;
	struct {
		uint32_t number;
		int64_t turn;
	} turns[MODEL_MEMBERS];
};

struct model {
	enum spec_strategy strategy;
	struct model_selection selection;
	struct model_rule rules[MODEL_RULES];
	size_t rule_count;
	struct model_member members[MODEL_MEMBERS];
	size_t member_count;
	struct model_scope scopes[MODEL_SCOPES];
	uint64_t choices;
	uint32_t tried[MODEL_TRIED];
	size_t tried_count;
};

/* A user name of a pool without users. */
void model_read_name(struct model_name *read, const char *name);
/* The first rule, or -1. `host` is in lower case; `address` is that of a literal in host order, 0 for a name. */
int model_match(const struct model *model, const char *host, uint32_t address, uint16_t port, const char *user);

struct model_member *model_find(struct model *model, uint32_t number);
void model_remove(struct model *model, struct model_member *member);
void model_forget_turns(struct model *model);
bool model_is_eligible(const struct model *model, const struct model_member *member, size_t group, const struct model_name *name);
/* It is not, only because it is starting. */
bool model_is_starting(const struct model *model, const struct model_member *member, size_t group, const struct model_name *name);
/* The member's number, or 0. For `random` any that is eligible. */
uint32_t model_choose(struct model *model, size_t group, const struct model_name *name);

struct model_key {
	char text[64];
	uint32_t member;
	unsigned place; /* of its owner */
	uint32_t open;
	uint64_t since; /* when the last connection ended */
	uint64_t order; /* in which keys became idle */
};

struct model_sticky {
	struct model_key keys[MODEL_STICKY];
	size_t count, capacity;
	uint64_t ttl, order;
};

/* NULL: it has none, or it has expired. */
struct model_key *model_key_find(struct model_sticky *sticky, const char *text, uint64_t now);
/* False: there is no room. `*gone` is the key that was thrown out for it, or empty. */
bool model_key_hold(struct model_sticky *sticky, const char *text, unsigned place, uint32_t member, uint64_t now, char gone[64]);
void model_key_release(struct model_sticky *sticky, struct model_key *key, uint64_t now);
void model_key_drop(struct model_sticky *sticky, struct model_key *key);

#endif
