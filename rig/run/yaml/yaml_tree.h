/*
 * A YAML 1.1 document as a tree that remembers its lines, for the loaders of scenarios, targets, known
 * findings and nights. Made from text (libyaml's event parser) or from JSON; whole and bounded before
 * anybody looks at it: size, depth, number of nodes, length of a scalar.
 *
 * The files are read as the plain subset that every YAML reader agrees on: one document, no anchors,
 * aliases or tags, keys are words, and no unquoted word that YAML 1.1 takes for a boolean or null. Every
 * mistake becomes one sentence with its line; reading goes on as long as the parser can.
 * A tree owns its nodes; node_free() takes NULL. Not thread-safe, no globals.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define SCENARIO_FILE_MAX (256u << 10) /* bytes of any YAML file the rig reads */
#define YAML_DEPTH_MAX	  8
#define YAML_NODES_MAX	  20000
#define YAML_SCALAR_MAX	  8192 /* bytes */
#define MISTAKES_MAX	  200  /* told of one file */

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node_key {
	char *name;
	int line;
};

struct node {
	enum node_kind kind;
	int line;	       /* 1-based; 0: not from a file */
	char *text;	       /* of a scalar, UTF-8 without NUL; "" when nothing was written */
	struct node **items;   /* of a list or map */
	struct node_key *keys; /* of a map, one for each item */
	size_t count;
};

/* What is wrong with one file. Zero-initialise with the file's name; mistakes_free() after use. */
struct mistakes {
	const char *file; /* borrowed, as it shall be printed */
	struct mistake {
		int line;
		char *text;
	} * at;
	size_t count;
	bool more; /* than MISTAKES_MAX */
};

/* One sentence; whatever in it came from the file is made printable and bounded. */
void mistakes_add(struct mistakes *mistakes, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* "FILE:LINE: SENTENCE\n" each, in order of lines, behind what `out` holds. */
void mistakes_print(const struct mistakes *mistakes, struct buf *out);
/* Print them; `rc` if that is an error, else -EINVAL with their number in `err`, or 0 for none. */
int mistakes_result(
	const struct mistakes *mistakes, int rc, struct buf *complaints, struct err *err);
void mistakes_free(struct mistakes *mistakes);

/* NULL when there is nothing to go on with; the reason is then among the mistakes. */
struct node *node_parse(const char *text, size_t len, struct mistakes *mistakes);

/* The same tree from JSON. In an object, "line" is not a key but that object's line. */
struct node *node_from_json(const json_t *json, struct mistakes *mistakes);

struct node *node_new(enum node_kind kind, int line);
/* Takes over `key` (of a map; NULL in a list) and `item`. */
void node_append(struct node *node, char *key, int key_line, struct node *item);
void node_free(struct node *node);

/* As YAML that any parser reads back alike: flow style, every scalar in double quotes. */
void node_dump(const struct node *node, struct buf *out);

const struct node *node_get(const struct node *map, const char *key); /* NULL-safe */
int node_line_of(const struct node *map, const char *key); /* of the key; the map's where absent */
void node_drop(struct node *node, size_t index);	   /* of a list or map */
