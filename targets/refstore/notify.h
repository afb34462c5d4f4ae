/*
 * Push notifications: a client that waits for changes of a mailbox (IMAP IDLE) registers; a change
 * marks the registrations of that mailbox outstanding, and a task scans for those and pushes.
 *
 * notify_fd() becomes readable with each push; read it empty. A registration belongs to the session
 * that made it until notify_unsubscribe() or notify_dropped().
 */
#pragma once

struct push_notify;

struct push_notify *notify_subscribe(const char *user, const char *mailbox);
int notify_fd(const struct push_notify *notify);
void notify_unsubscribe(struct push_notify *notify); /* the client asked, or logs off */
void notify_dropped(struct push_notify *notify);     /* its connection broke */
void notify_changed(const char *user, const char *mailbox);
unsigned int notify_registrations(void); /* that exist */
