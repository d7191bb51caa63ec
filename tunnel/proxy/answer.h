/* A server's response on its way to a client: heads are read whole and written anew, interim ones passed on, and the body is checked
 * and passed on as it is, or as it should be. Interim heads are at most 32, and 64 KiB together with the final one: else the answer has failed. */
#ifndef WARREN_TUNNEL_PROXY_ANSWER_H
#define WARREN_TUNNEL_PROXY_ANSWER_H

#include "tunnel/http/http_body.h"
#include "tunnel/http/http_response.h"
#include "tunnel/proxy/rx_pipe.h"

/* HEAD and BODY wait for bytes. ENDED: the whole answer is in the downward; what else comes is dropped. UPGRADED: a 101 was passed on, what
 * follows is passed on unread. FAILED: see `fault`; nothing more is passed on. */
enum answer_state { ANSWER_HEAD, ANSWER_BODY, ANSWER_ENDED, ANSWER_UPGRADED, ANSWER_FAILED };

/* Embedded by value; read by its owner. */
struct answer {
	struct rx_pipe *down; /* borrowed */
	struct http_asked asked;
	enum answer_state state;
	struct http_fault fault;
	struct http_head_search search;
	struct block *head; /* of one that is not whole yet */
	size_t head_bytes;  /* of all heads that were whole: together they are as large as one may be */
	unsigned interims;
	struct http_body body;
	bool decodes; /* chunks to a client that knows none */
	bool begun;   /* some byte came */
	bool sent;    /* a final head is with the downward: no other reply can be given */
	bool keeps_client, keeps_server;
};

void answer_init(struct answer *answer, struct rx_pipe *down, const struct http_asked *asked);
void answer_clear(struct answer *answer);
/* Bytes of the stream, valid until the stack is settled. `may_keep`: the client's connection could go on after this answer. Returns how many bytes
 * of the stream are dealt with by now: the rest waits in the downward. */
size_t answer_feed(struct answer *answer, const struct iovec *parts, size_t count, bool may_keep) __attribute__((warn_unused_result));
/* The server sends no more: in order, or broken off. */
void answer_finish(struct answer *answer);
void answer_break(struct answer *answer);

#endif
