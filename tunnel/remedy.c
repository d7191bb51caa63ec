#include "tunnel/remedy.h"

#include "ipc/log.h"
#include "tunnel/carrier.h"
#include "tunnel/descriptor_request.h"
#include "tunnel/tunnel.h"

/* After so many unanswered initiations, and again every HEAL_ROUND, the next remedy is tried. Names are looked up every 10 s: a peer that
 * has moved is found within 20 s. An address that never answered is left after one initiation. */
#define HEAL_HANDSHAKE 1
#define HEAL_RESOLVE 2
#define HEAL_FAMILY 4
#define HEAL_SOCKET 6
#define HEAL_ROUND 6

void remedy_resolve(struct tunnel_peer *peer)
{
	struct tunnel *tunnel = peer->tunnel;
	if (!tunnel_peer_is_named(peer))
		return;
	if (tunnel->carrier != NULL) {
		carrier_resolve(peer);
		news_remedy(tunnel, MESSAGE_HEALING_RESOLVE);
		return;
	}
	struct message_want_resolve message = { .slot = tunnel->slot,
		                                .generation = tunnel->generation,
		                                .peer = *wireguard_peer_public_key(peer->peer) };
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_want_resolve(&writer, &message);
	tunnel->context->send(tunnel->context, MESSAGE_WANT_RESOLVE, &writer);
	news_remedy(tunnel, MESSAGE_HEALING_RESOLVE);
}

static void on_udp_granted(void *owner, enum message_status status, int descriptor)
{
	struct tunnel *tunnel = owner;
	tunnel->health.want_udp = NULL;
	if (status != MESSAGE_STATUS_OK) {
		log_line(LOG_WARN, tunnel->id, "healing: no new UDP socket could be opened");
		return;
	}
	tunnel_replace_udp(tunnel, descriptor);
}

static void ask_socket(struct tunnel *tunnel)
{
	if (tunnel->health.want_udp != NULL)
		return;
	struct message_want want = { .slot = tunnel->slot, .generation = tunnel->generation };
	tunnel->health.want_udp = descriptor_request_ask(tunnel->context, MESSAGE_WANT_UDP, &want, on_udp_granted, tunnel);
	news_remedy(tunnel, MESSAGE_HEALING_SOCKET);
}

void remedy_next_address(struct tunnel_peer *peer)
{
	if (!tunnel_peer_next_address(peer))
		return;
	peer->health.has_answered = false;
	news_remedy(peer->tunnel, MESSAGE_HEALING_FAMILY);
	news_endpoint(peer);
}

void remedy_try(struct tunnel_peer *peer, unsigned sent)
{
	struct tunnel *tunnel = peer->tunnel;
	unsigned step = (sent - 1) % HEAL_ROUND + 1;
	if (step == HEAL_HANDSHAKE)
		news_remedy(tunnel, MESSAGE_HEALING_HANDSHAKE);
	if (step % HEAL_RESOLVE == 0)
		remedy_resolve(peer);
	if (step == HEAL_FAMILY && peer->health.has_answered)
		remedy_next_address(peer);
	if (step == HEAL_SOCKET && tunnel->udp != NULL)
		ask_socket(tunnel);
}

void remedy_stop(struct tunnel *tunnel)
{
	descriptor_request_cancel(tunnel->context, tunnel->health.want_udp);
	tunnel->health.want_udp = NULL;
}
