#include "service/worker/peer_links.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "ipc/log.h"
#include "ipc/pool_message.h"
#include "service/worker/worker_process.h"

#define RENEWALS_PER_SECOND 1
#define RENEWALS_BURST 8

static void send_end(struct worker *to, const struct worker *other, int descriptor)
{
	const struct peer_link message = { .worker = other->index, .incarnation = other->incarnation };
	struct message_writer writer;
	message_writer_init(&writer);
	peer_link_encode(&writer, &message);
	worker_send(to, MESSAGE_PEER_LINK, &writer, &descriptor, 1);
}

static void join(struct worker *one, struct worker *other)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
		log_line(LOG_WARN, NULL, "workers %u and %u cannot be linked: %s", one->index, other->index, strerror(errno));
		return;
	}
	send_end(one, other, ends[0]);
	send_end(other, one, ends[1]);
}

void peer_links_join(struct supervisor *supervisor, struct worker *fresh)
{
	for (unsigned i = 0; i < supervisor_count(supervisor); i++) {
		struct worker *other = supervisor_worker(supervisor, i);
		if (other != fresh && worker_is_ready(other))
			join(fresh, other);
	}
}

bool peer_links_take_broken(struct supervisor *supervisor, struct worker *worker, struct message_reader *body)
{
	struct peer_link broken;
	if (!peer_link_decode(body, &broken) || broken.worker >= supervisor_count(supervisor) || broken.worker == worker->index)
		return false;
	struct worker *other = supervisor_worker(supervisor, broken.worker);
	log_line(LOG_WARN, NULL, "worker %u has closed its link to worker %u, which it says broke the protocol", worker->index, other->index);
	if (!worker_is_ready(other) || other->incarnation != broken.incarnation)
		return true; /* its successor gets links of its own */
	if (allowance_take(&worker->renewals, RENEWALS_PER_SECOND, RENEWALS_BURST, uv_now(supervisor->loop)))
		join(worker, other);
	else
		log_line(LOG_ERROR, NULL, "they stay without a link until one of them is replaced");
	return true;
}
