/* Moving a mailbox to another place of the store. 0, or what db_user_move() gives, or -EAGAIN. */
#pragma once

int move_mailbox(const char *user);
