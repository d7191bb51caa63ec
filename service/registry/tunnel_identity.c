#include "service/registry/tunnel_identity.h"

#include "service/registry/status.h"

void tunnel_identity_take(struct tunnel_identity *identity, const struct snapshot *snapshot)
{
	object_key_make(identity->key, snapshot->spec.kind, snapshot->id);
	identity->status = status_reference(snapshot->status);
}

struct entry *tunnel_identity_find(const struct tunnel_identity *identity, struct registry *registry)
{
	struct entry *entry = registry_entry(registry, identity->key);
	return entry != NULL && entry->status == identity->status ? entry : NULL;
}

void tunnel_identity_release(struct tunnel_identity *identity)
{
	status_release(identity->status);
	identity->status = NULL;
}
