/* The code for ChaCha20-Poly1305, by name: what an option chooses, a worker is told and GET /v1/info tells. What each does is in
 * tunnel/wireguard/aead.h. */
#ifndef WARREN_IPC_AEAD_BACKEND_H
#define WARREN_IPC_AEAD_BACKEND_H

#include <stdbool.h>

/* From the slowest to the fastest. */
enum aead_backend {
	AEAD_LIBSODIUM,
	AEAD_IPSEC_MB,
	AEAD_AVX2,
	AEAD_AVX512,
	AEAD_BACKENDS,
};

const char *aead_backend_name(enum aead_backend backend);
/* "auto" is the fastest that is there. False: the name is unknown. */
bool aead_backend_parse(const char *name, enum aead_backend *backend);
/* Whether this build and this CPU have it. */
bool aead_backend_is_there(enum aead_backend backend);
enum aead_backend aead_backend_fastest(void);

#endif
