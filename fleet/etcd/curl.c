#include "fleet/etcd/curl.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* The command's comes first: the package brings it. */
static const char *const libraries[] = { "libcurl-gnutls.so.4", "libcurl.so.4" };

static const struct {
	const char *name;
	size_t offset; /* in struct etcd_curl */
} functions[] = {
	{ "curl_global_init", offsetof(struct etcd_curl, global_init) },
	{ "curl_global_cleanup", offsetof(struct etcd_curl, global_cleanup) },
	{ "curl_easy_init", offsetof(struct etcd_curl, easy_init) },
	{ "curl_easy_setopt", offsetof(struct etcd_curl, easy_setopt) },
	{ "curl_easy_getinfo", offsetof(struct etcd_curl, easy_getinfo) },
	{ "curl_easy_cleanup", offsetof(struct etcd_curl, easy_cleanup) },
	{ "curl_multi_init", offsetof(struct etcd_curl, multi_init) },
	{ "curl_multi_setopt", offsetof(struct etcd_curl, multi_setopt) },
	{ "curl_multi_add_handle", offsetof(struct etcd_curl, multi_add_handle) },
	{ "curl_multi_remove_handle", offsetof(struct etcd_curl, multi_remove_handle) },
	{ "curl_multi_assign", offsetof(struct etcd_curl, multi_assign) },
	{ "curl_multi_socket_action", offsetof(struct etcd_curl, multi_socket_action) },
	{ "curl_multi_info_read", offsetof(struct etcd_curl, multi_info_read) },
	{ "curl_multi_cleanup", offsetof(struct etcd_curl, multi_cleanup) },
	{ "curl_slist_append", offsetof(struct etcd_curl, slist_append) },
	{ "curl_slist_free_all", offsetof(struct etcd_curl, slist_free_all) },
};
_Static_assert(sizeof(functions) / sizeof(functions[0]) * sizeof(void *) == sizeof(struct etcd_curl), "each function has a name");

bool etcd_curl_load(struct etcd_curl *curl, char failure[512])
{
	void *library = NULL;
	for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]) && library == NULL; i++)
		library = dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);
	if (library == NULL) {
		snprintf(failure, 512, "--fleet needs libcurl, which cannot be loaded (on Debian: apt install libcurl3-gnutls): %s", dlerror());
		return false;
	}
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		void *found = dlsym(library, functions[i].name);
		if (found == NULL) {
			snprintf(failure, 512, "--fleet needs a newer libcurl: %s", dlerror());
			dlclose(library);
			return false;
		}
		/* POSIX has a data pointer of dlsym that is a function's; C has no conversion for it. */
		memcpy((char *)curl + functions[i].offset, &found, sizeof(found));
	}
	return true;
}
