#include "ipc/aead_backend.h"

#include <assert.h>
#include <string.h>

static const char *const names[] = { [AEAD_LIBSODIUM] = "libsodium", [AEAD_IPSEC_MB] = "ipsec-mb", [AEAD_AVX2] = "avx2", [AEAD_AVX512] = "avx512" };
static_assert(sizeof(names) / sizeof(names[0]) == AEAD_BACKENDS, "each has a name");

const char *aead_backend_name(enum aead_backend backend)
{
	return names[backend];
}

bool aead_backend_parse(const char *name, enum aead_backend *backend)
{
	*backend = aead_backend_fastest();
	if (strcmp(name, "auto") == 0)
		return true;
	*backend = AEAD_LIBSODIUM;
	while (*backend < AEAD_BACKENDS && strcmp(name, names[*backend]) != 0)
		(*backend)++;
	return *backend < AEAD_BACKENDS;
}

#ifdef __x86_64__
/* Those that this program's own code needs, and the least that libipsec-mb does. */
bool aead_backend_is_there(enum aead_backend backend)
{
	bool has_library = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("aes");

	switch (backend) {
	case AEAD_LIBSODIUM: return true;
	case AEAD_IPSEC_MB: return has_library;
	case AEAD_AVX2: return has_library && __builtin_cpu_supports("avx2");
	case AEAD_AVX512:
		return has_library && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
		       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512ifma");
	case AEAD_BACKENDS: break;
	}
	return false;
}
#else
bool aead_backend_is_there(enum aead_backend backend)
{
	return backend == AEAD_LIBSODIUM;
}
#endif

enum aead_backend aead_backend_fastest(void)
{
	enum aead_backend backend = AEAD_AVX512;

	while (!aead_backend_is_there(backend))
		backend--;
	return backend;
}
