/* POP3 sessions (RFC 1939) and the web mail page; one thread each. */
#pragma once

void pop3_serve(int fd);
void web_serve(int fd);
