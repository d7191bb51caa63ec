#include "api/certificate.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "ipc/log.h"

#define FILE_MOST (1u << 20)
#define CHAIN_MOST 16
#define LOOK_PAUSE 1 /* seconds between two looks at the files */

/* Properties of a file that change when it is replaced or rewritten. */
struct mark {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified;
};

struct pem_file {
	char *path;
	gnutls_datum_t content; /* malloc'ed */
};

static struct {
	pthread_mutex_t lock;
	struct pem_file certificate, key;
	struct mark seen[2]; /* of the files read last, whether usable or not */
	time_t looked_at;
} own = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void wipe(gnutls_datum_t *content)
{
	if (content->data != NULL)
		sodium_memzero(content->data, content->size);
	free(content->data);
	*content = (gnutls_datum_t){ 0 };
}

static bool read_pem(const char *option, const char *path, gnutls_datum_t *content, char failure[512])
{
	FILE *file = fopen(path, "re");
	int error = errno;
	*content = (gnutls_datum_t){ .data = file == NULL ? NULL : malloc(FILE_MOST) };
	if (content->data != NULL)
		content->size = (unsigned)fread(content->data, 1, FILE_MOST, file);
	if (file != NULL)
		fclose(file);
	if (content->size > 0 && content->size < FILE_MOST)
		return true;
	snprintf(failure, 512, "%s %.400s cannot be read: %s", option, path, file == NULL ? strerror(error) : "it is empty, or larger than 1 MiB");
	wipe(content);
	return false;
}

static struct mark mark_of(const char *path)
{
	struct stat status;
	if (stat(path, &status) != 0)
		return (struct mark){ 0 };
	return (struct mark){ .device = status.st_dev, .inode = status.st_ino, .size = status.st_size, .modified = status.st_mtim };
}

static bool is_same_mark(const struct mark *a, const struct mark *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size && a->modified.tv_sec == b->modified.tv_sec &&
	       a->modified.tv_nsec == b->modified.tv_nsec;
}

/* Whether it differs from the last mark; records the new one. */
static bool take_marks(void)
{
	const struct mark now[2] = { mark_of(own.certificate.path), mark_of(own.key.path) };
	bool is_same = is_same_mark(&now[0], &own.seen[0]) && is_same_mark(&now[1], &own.seen[1]);
	own.seen[0] = now[0];
	own.seen[1] = now[1];
	return !is_same;
}

static bool belong_together(const gnutls_datum_t *certificate, const gnutls_datum_t *key, char failure[512])
{
	gnutls_certificate_credentials_t credentials;
	int error = gnutls_certificate_allocate_credentials(&credentials);
	if (error == GNUTLS_E_SUCCESS) {
		error = gnutls_certificate_set_x509_key_mem2(credentials, certificate, key, GNUTLS_X509_FMT_PEM, NULL, 0);
		gnutls_certificate_free_credentials(credentials);
	}
	if (error >= 0)
		return true;
	snprintf(failure, 512, "%.180s and %.180s are not a certificate and its key: %.80s", own.certificate.path, own.key.path,
	         gnutls_strerror(error));
	return false;
}

static bool read_both(char failure[512])
{
	gnutls_datum_t certificate = { 0 }, key = { 0 };
	bool is_good = read_pem("--tls-cert", own.certificate.path, &certificate, failure) && read_pem("--tls-key", own.key.path, &key, failure) &&
	               belong_together(&certificate, &key, failure);
	if (is_good) {
		gnutls_datum_t old = own.certificate.content, old_key = own.key.content;
		own.certificate.content = certificate;
		own.key.content = key;
		certificate = old;
		key = old_key;
	}
	wipe(&certificate);
	wipe(&key);
	return is_good;
}

static void look_again(void)
{
	char failure[512];
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec < own.looked_at + LOOK_PAUSE)
		return;
	own.looked_at = now.tv_sec;
	if (!take_marks())
		return;
	if (read_both(failure))
		log_line(LOG_INFO, NULL, "the API has a new certificate");
	else
		log_line(LOG_WARN, NULL, "the API keeps its certificate: %s", failure);
}

bool certificate_open(const char *certificate, const char *key, char failure[512])
{
	own.certificate.path = strdup(certificate);
	own.key.path = strdup(key);
	if (own.certificate.path == NULL || own.key.path == NULL) {
		snprintf(failure, 512, "out of memory");
		certificate_close();
		return false;
	}
	(void)take_marks();
	if (read_both(failure))
		return true;
	certificate_close();
	return false;
}

bool certificate_reload(char failure[512])
{
	pthread_mutex_lock(&own.lock);
	bool is_good = own.certificate.path == NULL;
	if (!is_good) {
		(void)take_marks();
		is_good = read_both(failure);
	}
	pthread_mutex_unlock(&own.lock);
	return is_good;
}

void certificate_close(void)
{
	wipe(&own.certificate.content);
	wipe(&own.key.content);
	free(own.certificate.path);
	free(own.key.path);
	own.certificate.path = own.key.path = NULL;
}

/* A chain and its key for GnuTLS, which frees both after the handshake. */
static int import(gnutls_pcert_st **chain, unsigned *count, gnutls_privkey_t *key)
{
	*count = CHAIN_MOST;
	*chain = gnutls_calloc(CHAIN_MOST, sizeof(gnutls_pcert_st));
	int error = *chain == NULL ? GNUTLS_E_MEMORY_ERROR : gnutls_privkey_init(key);
	if (error != GNUTLS_E_SUCCESS) {
		gnutls_free(*chain);
		return error;
	}
	error = gnutls_privkey_import_x509_raw(*key, &own.key.content, GNUTLS_X509_FMT_PEM, NULL, 0);
	if (error == GNUTLS_E_SUCCESS)
		error = gnutls_pcert_list_import_x509_raw(*chain, count, &own.certificate.content, GNUTLS_X509_FMT_PEM, 0);
	if (error >= 0)
		return 0;
	gnutls_privkey_deinit(*key);
	gnutls_free(*chain);
	return error;
}

int certificate_retrieve(gnutls_session_t session, const struct gnutls_cert_retr_st *info, gnutls_pcert_st **certificates, unsigned *count,
                         gnutls_ocsp_data_st **ocsp, unsigned *ocsp_count, gnutls_privkey_t *key, unsigned *flags)
{
	(void)session;
	(void)info;
	*ocsp = NULL;
	*ocsp_count = 0;
	*flags = GNUTLS_CERT_RETR_DEINIT_ALL;
	pthread_mutex_lock(&own.lock);
	look_again();
	int error = import(certificates, count, key);
	pthread_mutex_unlock(&own.lock);
	return error < 0 ? -1 : 0;
}
