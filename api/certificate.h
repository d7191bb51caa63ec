/* The API's certificate and key: PEM files, which are read again when they change, also behind links (as ACME clients renew them). There is one
 * of a process, because the TLS library's callback has no owner. */
#ifndef WARREN_API_CERTIFICATE_H
#define WARREN_API_CERTIFICATE_H

#include <gnutls/abstract.h>
#include <stdbool.h>

/* Before the first handshake. False when they cannot be read, or do not belong to each other; `failure` says which. The paths are copied. */
bool certificate_open(const char *certificate, const char *key, char failure[512]);
/* After the last handshake. Wipes the key. NULL-safe: nothing when it was not opened. */
void certificate_close(void);
/* For MHD_OPTION_HTTPS_CERT_CALLBACK2, any thread. Looks at the files once a second at most. New ones that cannot be used leave the old in use, and
 * that is logged once. */
gnutls_certificate_retrieve_function3 certificate_retrieve;

#endif
