/* Forwards a server's response to a client: heads are parsed and rewritten, interim ones included; the body is checked and forwarded, repaired
 * where necessary. There may be 32 interim heads, and 64 KiB of heads in total; otherwise the answer fails. */
#ifndef WARREN_TUNNEL_PROXY_ANSWER_H
#define WARREN_TUNNEL_PROXY_ANSWER_H

#include "tunnel/http/http_body.h"
#include "tunnel/http/http_response.h"
#include "tunnel/proxy/rx_pipe.h"

/* HEAD and BODY wait for bytes. ENDED: the whole answer is in the pipe; further bytes are dropped. UPGRADED: a 101 was forwarded, and all bytes
 * after it are forwarded unparsed. FAILED: see `fault`; nothing more is forwarded. */
enum answer_state { ANSWER_HEAD, ANSWER_BODY, ANSWER_ENDED, ANSWER_UPGRADED, ANSWER_FAILED };

/* Embedded by value; read by its owner. */
struct answer {
	struct rx_pipe *down; /* borrowed */
	struct http_asked asked;
	enum answer_state state;
	struct http_fault fault;
	struct http_head_search search;
	struct block *head; /* of an incomplete head */
	size_t head_bytes;  /* of all complete heads: together they are limited to the size of one */
	unsigned interims;
	struct http_body body;
	bool decodes; /* decodes chunks, for a client of HTTP/1.0 */
	bool begun;   /* some byte arrived */
	bool sent;    /* a final head is in the pipe: no other reply can be given */
	bool keeps_client, keeps_server;
};

void answer_init(struct answer *answer, struct rx_pipe *down, const struct http_asked *asked);
void answer_clear(struct answer *answer);
/* Takes bytes of the stream, valid until the stack is settled. `may_keep`: the client's connection may be reused after this answer. Returns how many
 * bytes of the stream are consumed by now; the rest waits in the pipe. */
size_t answer_feed(struct answer *answer, const struct iovec *parts, size_t count, bool may_keep) __attribute__((warn_unused_result));
/* The server's connection ended, with a FIN or a reset. */
void answer_finish(struct answer *answer);
void answer_break(struct answer *answer);

#endif
