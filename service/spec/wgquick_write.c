/* A tunnel as a wg-quick file. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "ipc/key.h"
#include "ipc/network.h"
#include "ipc/place.h"
#include "service/spec/wgquick.h"

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
	if (peer->persistent_keepalive != 0)
		fprintf(file, "PersistentKeepalive = %u\n", peer->persistent_keepalive);
	return is_whole;
}

char *spec_to_wgquick(const struct spec *spec, bool secrets)
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
	bool is_whole = true;
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
