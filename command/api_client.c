#include "command/api_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command/memory.h"
#include "command/api_address.h"
#include "command/terminal_text.h"

#define TOKEN_MAX 512
#define TIMEOUT 60         /* seconds */
#define CONNECT_TIMEOUT 10 /* seconds */
#define ANSWER_MAX ((size_t)256 << 20)

struct api_client {
	CURL *curl;
	const struct api_address *address;
	char authorization[sizeof("Authorization: Bearer ") + TOKEN_MAX]; /* empty: none */
	CURLcode result;
	char error[CURL_ERROR_SIZE];
	char url[1024]; /* that the last request went to, without its path */
};

/* The token of a file, into a header. False after one line on stderr. */
static bool read_token(struct api_client *client, const char *path)
{
	char token[TOKEN_MAX + 1] = { 0 };
	struct stat status;
	int file = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = file >= 0 && fstat(file, &status) == 0 ? read(file, token, TOKEN_MAX) : -1;
	int error = errno;
	if (file >= 0)
		close(file);
	if (length < 0) {
		fprintf(stderr, "warren: the token file %s cannot be read: %s\n", path, strerror(error));
		return false;
	}
	if ((status.st_mode & S_IROTH) != 0)
		fprintf(stderr, "warren: warning: everyone can read the token file %s; chmod 600 it\n", path);
	token[strcspn(token, "\r\n")] = '\0';
	bool is_fine = *token != '\0' && strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=") == strlen(token);
	if (is_fine)
		snprintf(client->authorization, sizeof(client->authorization), "Authorization: Bearer %s", token);
	else
		fprintf(stderr, "warren: the token file %s does not hold a token\n", path);
	explicit_bzero(token, sizeof(token));
	return is_fine;
}

struct api_client *api_client_create(const struct api_address *address, const char *token_file)
{
	struct api_client *client = memory_take(sizeof(*client));
	client->address = address;
	/* TLS and its library's random numbers are needed for https only. */
	bool is_tls = address->url != NULL && strncmp(address->url, "https:", 6) == 0;
	if (token_file != NULL && !read_token(client, token_file)) {
		api_client_free(client);
		return NULL;
	}
	if (curl_global_init(is_tls ? CURL_GLOBAL_SSL : CURL_GLOBAL_NOTHING) == CURLE_OK)
		client->curl = curl_easy_init();
	if (client->curl != NULL)
		return client;
	fputs("warren: libcurl cannot be started\n", stderr);
	api_client_free(client);
	return NULL;
}

void api_client_free(struct api_client *client)
{
	if (client == NULL)
		return;
	curl_easy_cleanup(client->curl);
	memory_discard(client);
}

struct transfer {
	struct api_client *client;
	const struct api_client_request *request;
	struct api_client_answer *answer;
};

static size_t take(char *bytes, size_t one, size_t length, void *owner)
{
	(void)one;
	struct transfer *transfer = owner;
	struct api_client_answer *answer = transfer->answer;
	curl_easy_getinfo(transfer->client->curl, CURLINFO_RESPONSE_CODE, &answer->status);
	if (transfer->request->on_bytes != NULL && answer->status / 100 == 2)
		return transfer->request->on_bytes(transfer->request->owner, bytes, length) ? length : 0;
	if (length > ANSWER_MAX - answer->length)
		return 0;
	answer->body = memory_grow(answer->body, answer->length, length + 1, &answer->room);
	memcpy(answer->body + answer->length, bytes, length);
	answer->length += length;
	answer->body[answer->length] = '\0';
	return length;
}

static size_t take_header(char *bytes, size_t one, size_t length, void *owner)
{
	(void)one;
	static const char name[] = "Warren-Inside:";
	struct api_client_answer *answer = owner;
	if (answer->inside != NULL || length < sizeof(name) || strncasecmp(bytes, name, sizeof(name) - 1) != 0)
		return length;
	const char *value = bytes + sizeof(name) - 1;
	size_t blanks = strspn(value, " "), end = strcspn(value, "\r\n");
	answer->inside = memory_print("%.*s", (int)(end - blanks), value + blanks);
	return length;
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
	if (value == NULL)
		return list;
	char *line = memory_print("%s: %s", name, value);
	struct curl_slist *longer = curl_slist_append(list, line);
	free(line);
	return longer != NULL ? longer : list;
}

static struct curl_slist *headers_of(const struct api_client *client, const struct api_client_request *request)
{
	/* A body is sent at once, without waiting for "100 Continue". */
	struct curl_slist *list = curl_slist_append(NULL, "Expect:");
	if (*client->authorization != '\0')
		list = curl_slist_append(list, client->authorization);
	/* Without a type libcurl would name one of its own. */
	list = request->type != NULL ? add_header(list, "Content-Type", request->type) : curl_slist_append(list, "Content-Type:");
	list = add_header(list, "If-Match", request->if_match);
	list = add_header(list, "If-None-Match", request->if_none_match);
	list = add_header(list, "Last-Event-ID", request->last_event_id);
	if (request->on_bytes != NULL)
		list = add_header(list, "Accept", "application/x-ndjson");
	return list;
}

static void set_target(struct api_client *client, const struct api_client_request *request)
{
	const char *base = client->address->url != NULL ? client->address->url : "http://localhost";
	snprintf(client->url, sizeof(client->url), "%.*s", (int)(strlen(base) - (base[strlen(base) - 1] == '/')), base);
	char *url = memory_print("%s%s", client->url, request->path);
	curl_easy_setopt(client->curl, CURLOPT_URL, url);
	free(url);
	if (client->address->url == NULL)
		curl_easy_setopt(client->curl, CURLOPT_UNIX_SOCKET_PATH, client->address->socket);
	/* A proxy of the environment must not see the token, and could not reach loopback. */
	curl_easy_setopt(client->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(client->curl, CURLOPT_CAINFO, getenv("SSL_CERT_FILE"));
}

bool api_client_ask(struct api_client *client, const struct api_client_request *request, struct api_client_answer *answer)
{
	struct transfer transfer = { client, request, answer };
	struct curl_slist *headers = headers_of(client, request);
	CURL *curl = client->curl;
	*answer = (struct api_client_answer){ 0 };
	answer->body = memory_grow(NULL, 0, 1, &answer->room);
	curl_easy_reset(curl); /* keeps the connection */
	set_target(client, request);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
	if (request->body != NULL) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->length);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
	}
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, answer);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->error);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, request->timeout > 0 ? (long)request->timeout : request->on_bytes != NULL ? 0L : (long)TIMEOUT);
	*client->error = '\0';
	client->result = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
	char *location = NULL;
	if (curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &location) == CURLE_OK && location != NULL)
		answer->location = memory_copy(location);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(headers);
	return client->result == CURLE_OK;
}

bool api_client_met_tls(const struct api_client *client)
{
	return client->result == CURLE_PEER_FAILED_VERIFICATION;
}

void api_client_explain(const struct api_client *client)
{
	long error = 0;
	curl_easy_getinfo(client->curl, CURLINFO_OS_ERRNO, &error);
	if (client->result == CURLE_COULDNT_CONNECT && client->address->url == NULL) {
		api_address_explain(client->address, (int)error);
		return;
	}
	const char *why = *client->error != '\0' ? client->error : curl_easy_strerror(client->result);
	terminal_text_line(stderr, "warren: cannot reach warrend at %s: %s", client->address->url != NULL ? client->url : client->address->socket,
	                   why);
	if (client->result == CURLE_PEER_FAILED_VERIFICATION)
		fputs("For a certificate of your own, name its file in the environment variable SSL_CERT_FILE.\n", stderr);
	else if (client->result == CURLE_COULDNT_CONNECT)
		fputs("Is warrend running there, and does its --listen name this address?\n", stderr);
}

void api_client_answer_clear(struct api_client_answer *answer)
{
	free(answer->location);
	free(answer->inside);
	memory_discard(answer->body); /* saved states and tokens are secrets */
	*answer = (struct api_client_answer){ 0 };
}

char *api_client_escape(const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	char *escaped = memory_take(3 * strlen(text) + 1), *to = escaped;
	for (const char *c = text; *c != '\0'; c++) {
		if (strchr(plain, *c) != NULL)
			*to++ = *c;
		else
			to += sprintf(to, "%%%02X", (unsigned char)*c);
	}
	return escaped;
}
