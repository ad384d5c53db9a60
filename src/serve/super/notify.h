/* notify.h - a word to the service manager that started the process (systemd's sd_notify). */
#ifndef DYNO_SERVE_SUPER_NOTIFY_H
#define DYNO_SERVE_SUPER_NOTIFY_H

/* Send `state` ("READY=1") to the datagram socket that NOTIFY_SOCKET names.  Without one, or when
 * nobody listens there, nothing happens. */
void dyno_notify(const char *state);

#endif /* DYNO_SERVE_SUPER_NOTIFY_H */
