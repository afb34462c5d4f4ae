/*
 * How a store worked off what had piled up while an agent was disabled, from the history alone: pure. Figures, no
 * judgement: the laws say what is wrong.
 */
#pragma once

#include "api/history.h"

/*
 * NULL where no fault of the disabled-mta family was healed; else a new reference to
 * {"empty_ms": from the last heal to the empty queue, -1 if it was not seen empty
 *  "burst_1s": the most messages that the queue tried within one second after it
 *  "tries": how many it tried after it
 *  "duplicates": copies beyond the first of a message in a user's mailboxes
 *  "reordered": messages that stand in a mailbox behind one that was accepted after them}
 */
json_t *drain_measure(const struct history *history);
