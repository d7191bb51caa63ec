/* Notifies the service manager (sd_notify(3)) over its socket; does nothing if there is none. */
#ifndef WARREN_DAEMON_NOTIFY_H
#define WARREN_DAEMON_NOTIFY_H

void notify_ready(void);
/* The main loop is alive. To be called often; notifies as often as the manager's watchdog requires. */
void notify_alive(void);
void notify_reloading(void);
void notify_stopping(void);

#endif
