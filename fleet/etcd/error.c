#include "fleet/etcd/error.h"

#include <stddef.h>

const char *etcd_error_name(enum etcd_error error)
{
	switch (error) {
	case ETCD_OK: return "ok";
	case ETCD_NO_MEMORY: return "no_memory";
	case ETCD_UNREACHABLE: return "unreachable";
	case ETCD_TIMED_OUT: return "timed_out";
	case ETCD_UNTRUSTED: return "untrusted";
	case ETCD_TOO_LARGE: return "too_large";
	case ETCD_MALFORMED: return "malformed";
	case ETCD_UNAVAILABLE: return "unavailable";
	case ETCD_NO_SPACE: return "no_space";
	case ETCD_COMPACTED: return "compacted";
	case ETCD_NOT_FOUND: return "not_found";
	case ETCD_NO_LOGIN: return "no_login";
	case ETCD_DENIED: return "denied";
	case ETCD_REFUSED: return "refused";
	}
	return NULL;
}

bool etcd_error_is_of_member(enum etcd_error error)
{
	return error <= ETCD_UNREACHABLE && error >= ETCD_UNAVAILABLE;
}

bool etcd_error_is_refusal(enum etcd_error error)
{
	return error == ETCD_UNTRUSTED || error <= ETCD_NO_SPACE;
}
