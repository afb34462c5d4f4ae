/*
 * One error, one sentence.
 *
 * A function that can fail returns 0 (or a non-negative result) on success and a negative errno on
 * failure; its last parameter is a `struct err *` that then holds one lower-case sentence naming
 * the subject in quotes, without a trailing full stop. NULL is allowed where the caller wants no
 * text. Outer layers add context once with err_wrap(). Nobody but cmd_*.c prints it. A struct err
 * is plain memory: no ownership, copy it freely, one per thread.
 */
#pragma once

#define ERR_TEXT_MAX 768

struct err {
	char text[ERR_TEXT_MAX];
};

/* Set the sentence and return `code` (a negative errno), so that `return err_set(...)` reads well.
 */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As err_set(), with ": <strerror>" behind it. `errnum` may be given as errno or as -errno. */
int err_sys(struct err *err, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Put "<context>: " in front of what is there. Returns `code`. */
int err_wrap(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
