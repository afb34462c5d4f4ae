/*
 * The free journal of a static program (faults/guest/frees.h): what the preload does for others. The linker sends
 * the zoo's own calls of malloc() and free() here; libc's own are not seen.
 */
#pragma once

void zoo_frees_begin(void); /* in the program that a case runs as; its children follow */
