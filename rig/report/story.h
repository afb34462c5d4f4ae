/*
 * The story of one cell in plain words, from its folder alone: verdict.json and history.jsonl. Everything
 * that came from a guest is escaped.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

int story_write(const char *dir, struct buf *out, struct err *err);
