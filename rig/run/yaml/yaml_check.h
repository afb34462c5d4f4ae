/*
 * The structure of a YAML file against a libcyaml schema, and the schema's data out of it.
 *
 * libcyaml stops at its first error and keeps no lines, so the same schema tables are walked over our own
 * tree first: every unknown, repeated, missing or empty key and every wrong type becomes a mistake with
 * its line, and what is wrong is cut out. libcyaml then fills the raw structs (every scalar a text) from
 * what is left, so that units, labels and names are judged in the same go.
 */
#pragma once

#include "run/yaml/yaml_tree.h"

#include <cyaml/cyaml.h>

/* One kind of map: how it is called in a sentence and what it must have. All keys are optional for
 * libcyaml. */
struct yaml_rule {
	const cyaml_schema_field_t *fields;
	const char *noun;	     /* "step"; NULL: the document itself */
	const char *const *required; /* NULL-terminated, or NULL */
};

struct yaml_shape {
	const cyaml_schema_value_t *schema; /* of the document */
	const struct yaml_rule *rules;	    /* ended by NULL fields */
	/* Keys beside the schema that this map may have (a plug-in declared them), or NULL. */
	bool (*extra_key)(const void *arg, const struct node *map, const char *key);
	const void *arg;
};

/* Tell all mistakes of structure and cut what is wrong out of `root`. */
void yaml_check(struct node *root, const struct yaml_shape *shape, struct mistakes *mistakes);

/* The raw data of a checked tree; free with yaml_raw_free(). -EPROTO: libcyaml disagrees, a bug of ours. */
int yaml_raw_load(const struct node *root, const cyaml_schema_value_t *schema, void **ret_data,
	unsigned int *ret_count, struct err *err);
void yaml_raw_free(const cyaml_schema_value_t *schema, void *data, unsigned int count);

/* What names an entry in a sentence: "step 'snapshot'", "step 2", "'objectives'". Caller frees. */
char *yaml_title(const struct node *entry, const char *noun, size_t index);

/* ---- values: each leaves *ret alone when `text` is NULL or wrong, and tells what is wrong ---- */
struct yaml_place {
	const struct node *map; /* whose key it is, for the line */
	struct mistakes *mistakes;
};

void take_text(const char *text, char **ret); /* a copy */
void take_duration(struct yaml_place at, const char *key, const char *text, int64_t *ret_ms);
void take_size(struct yaml_place at, const char *key, const char *text, uint64_t min, uint64_t max,
	uint64_t *ret_bytes);
void take_rate(struct yaml_place at, const char *key, const char *text, double *ret_per_s);
void take_percent(struct yaml_place at, const char *key, const char *text, double *ret_ratio);
void take_count(struct yaml_place at, const char *key, const char *text, uint32_t min, uint32_t max,
	uint32_t *ret);
/* Index into `choices` (NULL-terminated). */
void take_choice(struct yaml_place at, const char *key, const char *text,
	const char *const *choices, int *ret);
/* An extended regular expression, kept as text. */
void take_regex(struct yaml_place at, const char *key, const char *text, char **ret);

/* " a b c" of a NULL-terminated list; "; did you mean 'x'?" or "". Caller frees. */
char *names_text(const char *const *names);
char *did_you_mean(const char *word, const char *const *names);
