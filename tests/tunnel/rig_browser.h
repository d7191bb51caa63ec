/* A client of the HTTP proxy, and its exchange, started as client.c does. */
#ifndef WARREN_TESTS_TUNNEL_RIG_BROWSER_H
#define WARREN_TESTS_TUNNEL_RIG_BROWSER_H

#include "tests/tunnel/rig.h"
#include "tunnel/proxy/exchange.h"

struct rig_browser {
	struct connection connection;
	struct exchange *exchange;
	int client; /* the test's end */
	unsigned ended, handed_back;
	char back[256]; /* bytes handed back unread */
};
extern struct rig_browser rig_browser;

#define GET "GET http://198.51.100.7/a?b HTTP/1.1\r\nHost: 198.51.100.7\r\n\r\n"
#define GET_SENT "GET /a?b HTTP/1.1\r\nHost: 198.51.100.7\r\nConnection: keep-alive\r\n\r\n"
#define OK2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define OK2_SENT "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi"

/* A client whose first bytes have been read. */
void rig_browse(const char *first);
/* It closes. */
void rig_leave(void);
void rig_end_browser(struct connection *connection);
/* One GET that is answered; the server's connection is kept. */
void rig_use_once(void);
/* A reply of the proxy itself arrived, and the connection is kept, or closed. */
void rig_expect_failure(const char *status, bool kept);

#endif
