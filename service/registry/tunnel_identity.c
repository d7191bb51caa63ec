#include "service/registry/tunnel_identity.h"

#include <string.h>

#include "service/registry/status.h"

void tunnel_identity_take(struct tunnel_identity *identity, const struct snapshot *snapshot)
{
	memcpy(identity->id, snapshot->id, sizeof(identity->id));
	identity->status = status_reference(snapshot->status);
}

struct entry *tunnel_identity_find(const struct tunnel_identity *identity, struct registry *registry)
{
	struct entry *entry = registry_entry(registry, identity->id);
	return entry != NULL && entry->status == identity->status ? entry : NULL;
}

void tunnel_identity_release(struct tunnel_identity *identity)
{
	status_release(identity->status);
	identity->status = NULL;
}
