#include "service/change/policy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "ipc/place.h"
#include "service/socket/socket_path.h"
#include "service/store/scope.h"
#include "service/worker/protection.h"

struct checking {
	const struct policy *policy;
	const struct spec *previous;
	bool is_admin;
	bool needs_admin; /* it has a part that only an admin may open */
	bool lacks_scope;
	char pointer[160];
	struct problem *problem;
};

static void require_admin(struct checking *checking, bool is_unchanged)
{
	checking->needs_admin = true;
	checking->lacks_scope |= !checking->is_admin && !is_unchanged;
}

/* 0 if it lies in one of the permitted directories, else an errno. A directory that is gone is no fault of what stays as it was. */
static int judge_path(const struct policy *policy, const char *path, bool is_unchanged)
{
	const char *name;
	int directory = socket_path_directory(policy->roots, path, &name);
	if (directory < 0)
		return is_unchanged && errno == ENOENT ? 0 : errno;
	close(directory);
	return 0;
}

static void check_path(struct checking *checking, const struct spec_place *place, bool is_unchanged)
{
	if (place->kind != SPEC_PLACE_UNIX)
		return;
	int error = judge_path(checking->policy, place->host, is_unchanged);
	if (error == EMFILE || error == ENFILE || error == ENOMEM)
		problem_set(checking->problem, PROBLEM_OUT_OF_RESOURCES, "The path of a unix socket cannot be checked: %s.", strerror(error));
	else if (error != 0)
		problem_add(checking->problem, checking->pointer, "path_not_allowed",
		            "A unix socket must lie in \"sockets\" in the state directory, or in a directory given with --allow-socket.");
	else if (protection_has_path(checking->policy->protection, place->host))
		problem_add(checking->problem, checking->pointer, "own_socket", "This is a socket of the daemon itself.");
	require_admin(checking, is_unchanged);
}

static bool is_open_to_others(const struct spec_place *place)
{
	return place->kind == SPEC_PLACE_INET && place_is_literal(place) && !place_is_loopback(place);
}

static bool had_listener(const struct spec *previous, const struct spec_place *place)
{
	for (size_t i = 0; previous != NULL && i < previous->listen_count; i++)
		if (spec_place_equal(&previous->listen[i], place))
			return true;
	return false;
}

static void check_proxy_listener(struct checking *checking, const struct spec *spec, const struct spec_place *place)
{
	check_path(checking, place, had_listener(checking->previous, place));
	if (!is_open_to_others(place))
		return;
	if (!checking->policy->allow_remote)
		problem_add(checking->problem, checking->pointer, "remote_not_allowed",
		            "A listener that other hosts can reach needs warrend --allow-remote.");
	else if (spec->user_count == 0)
		problem_add(checking->problem, checking->pointer, "users_required", "A listener that other hosts can reach needs proxy.users.");
}

static bool had_forward(const struct spec *previous, const struct spec_forward *forward)
{
	for (size_t i = 0; previous != NULL && i < previous->forward_count; i++) {
		const struct spec_forward *known = &previous->forwards[i];
		if (known->direction == forward->direction && known->transport == forward->transport &&
		    spec_place_equal(&known->listen, &forward->listen) && spec_place_equal(&known->target, &forward->target))
			return true;
	}
	return false;
}

static void check_outbound(struct checking *checking, const struct spec_forward *forward)
{
	bool is_unchanged = had_forward(checking->previous, forward);
	check_path(checking, &forward->listen, is_unchanged);
	if (!is_open_to_others(&forward->listen))
		return;
	if (!checking->policy->allow_remote)
		problem_add(checking->problem, checking->pointer, "remote_not_allowed",
		            "A forward that other hosts can reach needs warrend --allow-remote.");
	require_admin(checking, is_unchanged);
}

/* Other names are checked when they are dialled; only localhost is known not to change (RFC 6761, 6.3). */
static bool is_own_socket(const struct policy *policy, const struct spec_place *target)
{
	char loopbacks[][16] = { "127.0.0.1", "::1" };
	union wireguard_endpoint address;
	if (place_address(target, &address))
		return protection_has_address(policy->protection, &address);
	if (target->kind != SPEC_PLACE_INET || strcasecmp(target->host, "localhost") != 0)
		return false;
	for (size_t i = 0; i < sizeof(loopbacks) / sizeof(loopbacks[0]); i++) {
		const struct spec_place loopback = { .kind = SPEC_PLACE_INET, .host = loopbacks[i], .port = target->port };
		if (place_address(&loopback, &address) && protection_has_address(policy->protection, &address))
			return true;
	}
	return false;
}

static void check_inbound(struct checking *checking, const struct spec_forward *forward)
{
	bool is_unchanged = had_forward(checking->previous, forward);
	check_path(checking, &forward->target, is_unchanged);
	if (forward->target.kind == SPEC_PLACE_UNIX && protection_has_listener_path(checking->policy->protection, forward->target.host))
		problem_add(checking->problem, checking->pointer, "own_socket", "This is a socket of the daemon itself.");
	if (forward->transport == SPEC_TCP && is_own_socket(checking->policy, &forward->target))
		problem_add(checking->problem, checking->pointer, "own_socket", "This is a socket of the daemon itself.");
	require_admin(checking, is_unchanged);
}

static void check_placement(struct checking *checking, const struct spec *spec, const char *pointer)
{
	if (spec->placement == NULL || checking->policy->is_in_fleet)
		return;
	snprintf(checking->pointer, sizeof(checking->pointer), "%s/spec/placement", pointer);
	problem_add(checking->problem, checking->pointer, "no_fleet", "This daemon is in no fleet: it runs whatever it has, here. Leave this out.");
}

void policy_check(const struct policy *policy, const struct spec *spec, const struct spec *previous, unsigned scope, const char *pointer,
                  struct problem *problem)
{
	struct checking checking = { .policy = policy, .previous = previous, .is_admin = (scope & SCOPE_ADMIN) != 0, .problem = problem };
	check_placement(&checking, spec, pointer);
	for (size_t i = 0; i < spec->listen_count; i++) {
		snprintf(checking.pointer, sizeof(checking.pointer), "%s/spec/proxy/listen/%zu", pointer, i);
		check_proxy_listener(&checking, spec, &spec->listen[i]);
	}
	for (size_t i = 0; i < spec->forward_count; i++) {
		bool is_inbound = spec->forwards[i].direction == SPEC_INBOUND;
		snprintf(checking.pointer, sizeof(checking.pointer), "%s/spec/forwards/%zu/%s", pointer, i, is_inbound ? "target" : "listen");
		if (is_inbound)
			check_inbound(&checking, &spec->forwards[i]);
		else
			check_outbound(&checking, &spec->forwards[i]);
	}
	if (problem->code != PROBLEM_NONE || checking.is_admin)
		return;
	if (checking.lacks_scope)
		problem_set(problem, PROBLEM_FORBIDDEN,
		            "Inbound targets, unix sockets and forwards that other hosts can reach need a token with admin scope.");
	/* Otherwise a token with write scope could reach, from a peer of its own, what an admin opened. */
	else if (checking.needs_admin && previous != NULL && !spec_route_equal(previous, spec))
		problem_set(problem, PROBLEM_FORBIDDEN,
		            "This tunnel has an inbound target, a unix socket or a forward that other hosts can reach, so changing its key, "
		            "addresses, name servers or peers needs a token with admin scope.");
}
