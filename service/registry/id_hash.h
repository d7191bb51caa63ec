/* A hash of an object's key, or of an id, for tables of the daemon's own (FNV-1a). */
#ifndef WARREN_SERVICE_REGISTRY_ID_HASH_H
#define WARREN_SERVICE_REGISTRY_ID_HASH_H

#include <stdint.h>

static inline uint32_t id_hash(const char *id)
{
	uint32_t hash = 2166136261u;
	for (; *id != '\0'; id++)
		hash = (hash ^ (unsigned char)*id) * 16777619u;
	return hash;
}

#endif
