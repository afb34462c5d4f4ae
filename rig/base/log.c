#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *file;
static int64_t start_ns;

int log_open(const char *path, struct err *err)
{
	FILE *f = fopen(path, "ae");

	if (!f)
		return err_sys(err, errno, "cannot open '%s'", path);
	setvbuf(f, NULL, _IOLBF, 0);
	pthread_mutex_lock(&lock);
	if (file)
		fclose(file);
	file = f;
	start_ns = clock_mono_ns();
	pthread_mutex_unlock(&lock);
	return 0;
}

void log_close(void)
{
	pthread_mutex_lock(&lock);
	if (file)
		fclose(file);
	file = NULL;
	pthread_mutex_unlock(&lock);
}

void log_line(const char *fmt, ...)
{
	auto_buf struct buf text = {0}, line = {0};
	FILE *out;
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	buf_add_escaped(&line, buf_text(&text), text.len); /* it may quote a guest */

	pthread_mutex_lock(&lock);
	out = file ? file : getenv("MAILRIG_DEBUG") ? stderr : NULL;
	if (out) {
		if (!start_ns)
			start_ns = clock_mono_ns();
		fprintf(out, "%10.4f %s\n",
			(double)(clock_mono_ns() - start_ns) / (double)NS_PER_SEC, buf_text(&line));
	}
	pthread_mutex_unlock(&lock);
}
