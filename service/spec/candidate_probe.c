/* The probe of a candidate, which the document of the action has, too. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/url.h"
#include "service/spec/candidate.h"

#define STATUS_LEAST 100
#define STATUS_MOST 599

static enum spec_probe_type type_parse(const char *text)
{
	for (int i = SPEC_PROBE_PING; i < SPEC_PROBE_TYPES; i++)
		if (strcmp(spec_probe_type_name((enum spec_probe_type)i), text) == 0)
			return (enum spec_probe_type)i;
	return SPEC_PROBE_NONE;
}

static bool is_place(const char *text)
{
	struct spec_place place;
	bool is_valid = place_parse(text, &place) && place.kind == SPEC_PLACE_INET && place.port != 0;
	place_clear(&place);
	return is_valid;
}

static const char *url_fault(const char *target)
{
	struct url url;
	char with_port[URL_MAX + 4];
	int error = url_split(target, &url);
	if (error == URL_NOT_HTTP)
		return "This must be an http URL: there is no TLS inside the tunnel.";
	if (error == 0)
		snprintf(with_port, sizeof(with_port), "%s:80", url.authority);
	bool is_valid = error == 0 && (is_place(url.authority) || is_place(with_port));
	return is_valid ? NULL : "This must be a URL, http://HOST[:PORT][/PATH], of at most 255 visible ASCII characters, without user or fragment.";
}

/* Why it is no target of this type, or NULL. */
static const char *target_fault(enum spec_probe_type type, const char *target)
{
	struct wireguard_network address;
	bool is_valid = true;
	switch (type) {
	case SPEC_PROBE_PING: is_valid = network_parse_address(target, &address) && network_is_host(&address); break;
	case SPEC_PROBE_TCP: is_valid = is_place(target); break;
	case SPEC_PROBE_DNS: is_valid = name_is_valid(target); break;
	case SPEC_PROBE_HTTP:
	case SPEC_PROBE_EXIT_IP: return url_fault(target);
	case SPEC_PROBE_NONE:
	case SPEC_PROBE_TYPES: break;
	}
	return is_valid ? NULL : "This must be an IP address for ping, HOST:PORT for tcp, a name for dns, a URL for http and exit_ip.";
}

static bool status_parse(const char *text, uint16_t *low, uint16_t *high)
{
	unsigned long from, to;
	char first[4];
	const char *dash = strchr(text, '-');
	if (dash == NULL || dash - text != 3)
		return false;
	snprintf(first, sizeof(first), "%s", text);
	if (!decimal_parse(first, STATUS_MOST, &from) || !decimal_parse(dash + 1, STATUS_MOST, &to) || from < STATUS_LEAST || to < from)
		return false;
	*low = (uint16_t)from;
	*high = (uint16_t)to;
	return true;
}

/* A number, or a text with the first and the last of a range. Any type may have it, so that a change of the type need not remove it. */
static void read_status(struct json_reader *reader, const json_t *value, struct spec_probe *probe)
{
	const json_t *written = json_object_get(value, "expected_status");
	if (written == NULL || json_is_null(written))
		return;
	json_int_t number = json_integer_value(written);
	if (json_is_integer(written) && number >= STATUS_LEAST && number <= STATUS_MOST)
		probe->status_low = probe->status_high = (uint16_t)number;
	else if (!json_is_string(written) || !status_parse(json_string_value(written), &probe->status_low, &probe->status_high))
		json_reader_fault_at(reader, "expected_status", "invalid_value",
		                     "This must be a status from 100 to 599, or a range of them such as \"200-399\".");
}

static void read_number(struct json_reader *reader, const json_t *value, const char *member, uint64_t most, uint32_t *number)
{
	uint64_t read = *number;
	json_reader_integer(reader, value, member, 1, most, &read);
	*number = (uint32_t)read;
}

void candidate_read_probe(struct json_reader *reader, const json_t *value, struct spec_probe *probe)
{
	static const char *const known[] = { "type", "target", "interval", "timeout", "unhealthy_after", "expected_status", NULL };
	json_reader_known(reader, value, known, NULL);
	const char *type = json_reader_string(reader, value, "type");
	probe->type = type == NULL ? SPEC_PROBE_PING : type_parse(type);
	if (probe->type == SPEC_PROBE_NONE)
		json_reader_fault_at(reader, "type", "invalid_value", "This must be ping, tcp, dns, http or exit_ip.");
	const char *target = candidate_required_string(reader, value, "target");
	errno = 0;
	const char *fault = target == NULL ? NULL : target_fault(probe->type, target);
	if (fault != NULL && errno == ENOMEM)
		problem_out_of_memory(reader->problem);
	else if (fault != NULL)
		json_reader_fault_at(reader, "target", "invalid_value", fault);
	else if (target != NULL)
		probe->target = json_reader_copy(reader, target);
	read_number(reader, value, "interval", 86400, &probe->interval);
	read_number(reader, value, "timeout", CANDIDATE_PROBE_TIMEOUT_MAX, &probe->timeout);
	read_number(reader, value, "unhealthy_after", 1000, &probe->unhealthy_after);
	read_status(reader, value, probe);
}
