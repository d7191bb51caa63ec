/* Tells the service manager how it goes (sd_notify(3)), over the socket it names; nothing when there is none. */
#ifndef WARREN_DAEMON_NOTIFY_H
#define WARREN_DAEMON_NOTIFY_H

void notify_ready(void);
/* The main loop turns. To be called often: told so often as the manager's watchdog wants it. */
void notify_alive(void);
void notify_stopping(void);

#endif
