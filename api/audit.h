/* The audit trail: one log line for each write by an authorized caller, and for credentials that were refused. */
#ifndef WARREN_API_AUDIT_H
#define WARREN_API_AUDIT_H

#include <stdint.h>

struct api_audit;
struct api_request;

struct api_audit *api_audit_create(void); /* NULL when out of memory */
void api_audit_free(struct api_audit *audit);
/* Logs an answered request, if it belongs to the trail; others only at debug level. Refused credentials are limited to a line per second and
 * address, and a few for all: `count` says how many of the address the line stands for. Any thread. */
void api_audit_record(struct api_audit *audit, const struct api_request *request, unsigned status, uint64_t duration_us);
/* All refused credentials since the start. */
uint64_t api_audit_refusals(struct api_audit *audit);

#endif
