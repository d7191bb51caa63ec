/* libcurl, loaded when a daemon is in a fleet: one that is in none has nothing of it at run time. */
#ifndef WARREN_FLEET_ETCD_CURL_H
#define WARREN_FLEET_ETCD_CURL_H

#include <curl/curl.h>
#include <stdbool.h>

/* What the transport calls, by the names of curl.h. */
struct etcd_curl {
	CURLcode (*global_init)(long flags);
	void (*global_cleanup)(void);
	CURL *(*easy_init)(void);
	CURLcode (*easy_setopt)(CURL *easy, CURLoption option, ...);
	CURLcode (*easy_getinfo)(CURL *easy, CURLINFO info, ...);
	void (*easy_cleanup)(CURL *easy);
	CURLM *(*multi_init)(void);
	CURLMcode (*multi_setopt)(CURLM *multi, CURLMoption option, ...);
	CURLMcode (*multi_add_handle)(CURLM *multi, CURL *easy);
	CURLMcode (*multi_remove_handle)(CURLM *multi, CURL *easy);
	CURLMcode (*multi_assign)(CURLM *multi, curl_socket_t descriptor, void *pointer);
	CURLMcode (*multi_socket_action)(CURLM *multi, curl_socket_t descriptor, int events, int *running);
	CURLMsg *(*multi_info_read)(CURLM *multi, int *left);
	CURLMcode (*multi_cleanup)(CURLM *multi);
	struct curl_slist *(*slist_append)(struct curl_slist *list, const char *text);
	void (*slist_free_all)(struct curl_slist *list);
};

/* Before the sandbox closes. It stays loaded. False: `failure` says in a line for the user what is missing. */
bool etcd_curl_load(struct etcd_curl *curl, char failure[512]);

#endif
