/* The API's certificate and key: PEM files, which are read again when they change, also behind links (as ACME clients renew them). There is one
 * per process, because the TLS library's callback has no owner argument. */
#ifndef WARREN_API_CERTIFICATE_H
#define WARREN_API_CERTIFICATE_H

#include <gnutls/abstract.h>
#include <stdbool.h>

/* To be called before the first handshake. False if the files cannot be read, or do not match; `failure` says which. The paths are copied. */
bool certificate_open(const char *certificate, const char *key, char failure[512]);
/* Reads the files again now. False, with a line, if they are not usable: the old ones stay in use. True without a certificate. Any thread. */
bool certificate_reload(char failure[512]);
/* To be called after the last handshake. Wipes the key. Does nothing if it was not opened. */
void certificate_close(void);
/* For MHD_OPTION_HTTPS_CERT_CALLBACK2, any thread. Checks the files at most once a second. If new ones are not usable, the old ones stay in use, and
 * this is logged once. */
gnutls_certificate_retrieve_function3 certificate_retrieve;

#endif
