/* A tunnel as a wg-quick file. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/key.h"
#include "ipc/network.h"
#include "ipc/place.h"
#include "service/spec/wgquick.h"
#include "service/spec/wgquick_comment.h"

static void write_networks(FILE *file, const char *key, const struct wireguard_network *networks, size_t count, bool is_bare)
{
	for (size_t i = 0; i < count; i++) {
		char text[NETWORK_TEXT_SIZE];
		if (is_bare)
			network_format_address(&networks[i], text);
		else
			network_format(&networks[i], text);
		if (i == 0)
			fprintf(file, "%s = %s", key, text);
		else
			fprintf(file, ", %s", text);
	}
	if (count > 0)
		fputc('\n', file);
}

static void write_key(FILE *file, const char *key, const struct wireguard_key *value)
{
	char text[KEY_TEXT_SIZE];
	key_format(value, text);
	fprintf(file, "%s = %s\n", key, text);
	sodium_memzero(text, sizeof(text));
}

static void write_range(FILE *file, const char *key, const struct obfuscation_range *range)
{
	char text[OBFUSCATION_RANGE_TEXT];
	obfuscation_range_format(range, text);
	fprintf(file, "%s = %s\n", key, text);
}

static void write_field(FILE *file, const struct obfuscation *obfuscation, const struct obfuscation_field *field, bool secrets)
{
	const void *value = (const char *)obfuscation + field->offset;
	switch (field->value) {
	case OBFUSCATION_NUMBER: fprintf(file, "%s = %u\n", field->key, *(const uint16_t *)value); break;
	case OBFUSCATION_RANGE: write_range(file, field->key, value); break;
	case OBFUSCATION_TEXT: fprintf(file, "%s = %s\n", field->key, *(char *const *)value); break;
	case OBFUSCATION_KEY:
		if (secrets)
			write_key(file, field->key, value);
		else
			fputs(WGQUICK_HEADER_KEY_LEFT_OUT "\n", file);
		break;
	case OBFUSCATION_SWITCH: fprintf(file, "%s = on\n", field->key); break;
	}
}

/* Those of version 1.0: programs take a file for one of AmneziaWG only if it has all of them. */
static bool is_always_written(const struct obfuscation_field *field)
{
	static const char *const keys[] = { "Jc", "Jmin", "Jmax", "S1", "S2", "H1", "H2", "H3", "H4" };
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(field->key, keys[i]) == 0)
			return true;
	return false;
}

/* In the keys of AmneziaWG. */
static void write_obfuscation(FILE *file, const struct obfuscation *obfuscation, bool secrets)
{
	bool is_amneziawg = obfuscation != NULL && obfuscation->type == OBFUSCATION_AMNEZIAWG;
	for (size_t i = 0; is_amneziawg && i < obfuscation_field_count; i++)
		if (is_always_written(&obfuscation_fields[i]) || !obfuscation_is_default(obfuscation, &obfuscation_fields[i]))
			write_field(file, obfuscation, &obfuscation_fields[i], secrets);
}

/* False when out of memory. */
static bool write_endpoint(FILE *file, const struct spec_place *place)
{
	if (place->kind == SPEC_PLACE_NONE)
		return true;
	char *endpoint = place_format(place);
	if (endpoint != NULL)
		fprintf(file, "Endpoint = %s\n", endpoint);
	free(endpoint);
	return endpoint != NULL;
}

static bool write_peer(FILE *file, const struct spec_peer *peer, bool secrets)
{
	fputs("\n[Peer]\n", file);
	write_key(file, "PublicKey", &peer->public_key);
	if (peer->has_preshared_key && secrets)
		write_key(file, "PresharedKey", &peer->preshared_key);
	else if (peer->has_preshared_key)
		fputs(WGQUICK_PRESHARED_KEY_LEFT_OUT "\n", file);
	bool is_whole = write_endpoint(file, &peer->endpoint);
	write_networks(file, "AllowedIPs", peer->allowed_ips, peer->allowed_ip_count, false);
	struct obfuscation_range keepalive = { peer->persistent_keepalive, peer->persistent_keepalive };
	if (peer->persistent_keepalive_most != 0)
		keepalive.high = peer->persistent_keepalive_most;
	if (keepalive.high != 0)
		write_range(file, "PersistentKeepalive", &keepalive);
	if (spec_peer_has_reserved(peer))
		fprintf(file, "Reserved = %u, %u, %u\n", peer->reserved[0], peer->reserved[1], peer->reserved[2]);
	return is_whole;
}

char *spec_to_wgquick(const struct spec *spec, const struct spec_label *labels, size_t label_count, bool secrets)
{
	char *text = NULL;
	size_t length = 0;
	FILE *file = open_memstream(&text, &length);
	if (file == NULL)
		return NULL;
	fputs("[Interface]\n", file);
	if (secrets && spec->has_private_key)
		write_key(file, "PrivateKey", &spec->private_key);
	else
		fputs("# PrivateKey is left out\n", file);
	write_networks(file, "Address", spec->addresses, spec->address_count, false);
	write_networks(file, "DNS", spec->dns, spec->dns_count, true);
	fprintf(file, "MTU = %u\n", spec->mtu);
	if (spec->listen_port != 0)
		fprintf(file, "ListenPort = %u\n", spec->listen_port);
	write_obfuscation(file, spec->obfuscation, secrets);
	bool is_whole = wgquick_comment_write(file, spec, labels, label_count, secrets);
	for (size_t i = 0; i < spec->peer_count && is_whole; i++)
		is_whole = write_peer(file, &spec->peers[i], secrets);
	is_whole = ferror(file) == 0 && is_whole;
	if (fclose(file) == 0 && is_whole)
		return text;
	if (text != NULL)
		sodium_memzero(text, length);
	free(text);
	return NULL;
}
