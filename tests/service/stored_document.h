/* Documents of the test's choice in a store, instead of a tunnel's: the program is linked with -Wl,--wrap=snapshot_to_json. */
#ifndef WARREN_TESTS_SERVICE_STORED_DOCUMENT_H
#define WARREN_TESTS_SERVICE_STORED_DOCUMENT_H

#include "service/registry/snapshot.h"

/* What a STORE_PUT writes as this text, which is compact JSON; referenced once. */
struct snapshot *stored_document(const char *text);

#endif
