#include "base/json.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fs.h"

#include <string.h>

void json_cleanup(json_t **json)
{
	int keep = errno;

	json_decref(*json);
	*json = NULL;
	errno = keep;
}

json_t *json_load_path(const char *path, size_t max_bytes, struct err *err)
{
	auto_buf struct buf text = {0};
	json_error_t why;
	json_t *json;

	if (fs_read(path, max_bytes, &text, err))
		return NULL;
	json = json_loadb(buf_text(&text), text.len, JSON_REJECT_DUPLICATES, &why);
	if (!json)
		err_set(err, -EINVAL, "'%s' line %d is no JSON: %s", path, why.line, why.text);
	return json;
}

int json_save_path(const char *path, const json_t *json, struct err *err)
{
	auto_free char *text = json_dumps(json, JSON_INDENT(2));
	auto_free char *whole = NULL;

	if (!text)
		return err_set(err, -EINVAL, "'%s' cannot be written as JSON", path);
	whole = text_fmt("%s\n", text);
	return fs_write_atomic(path, whole, strlen(whole), err);
}

const char *json_get_text(const json_t *object, const char *key, const char *otherwise)
{
	const json_t *value = json_object_get(object, key);

	return json_is_string(value) ? json_string_value(value) : otherwise;
}

int64_t json_get_int(const json_t *object, const char *key, int64_t otherwise)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

double json_get_real(const json_t *object, const char *key, double otherwise)
{
	const json_t *value = json_object_get(object, key);

	return json_is_number(value) ? json_number_value(value) : otherwise;
}

bool json_get_bool(const json_t *object, const char *key, bool otherwise)
{
	const json_t *value = json_object_get(object, key);

	return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

bool json_has_text(const json_t *array, const char *text)
{
	const json_t *one;
	size_t i;

	json_array_foreach ((json_t *)array, i, one)
		if (json_is_string(one) && !strcmp(json_string_value(one), text))
			return true;
	return false;
}

json_t *json_text(const char *text)
{
	return json_text_n(text, strlen(text));
}

json_t *json_text_n(const char *bytes, size_t len)
{
	auto_buf struct buf clean = {0};
	json_t *json;

	for (size_t i = 0; i < len;) {
		size_t n = utf8_char(bytes + i, len - i);

		/* NUL is valid UTF-8, but most readers of JSON cannot hold it in a string. */
		if (!n || !bytes[i]) {
			buf_addf(&clean, "\\x%02x", (unsigned char)bytes[i]);
			n = 1;
		} else {
			buf_add(&clean, bytes + i, n);
		}
		i += n;
	}
	json = json_stringn(buf_text(&clean), clean.len);
	if (!json)
		abort();
	return json;
}
