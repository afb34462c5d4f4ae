#include "faults/guest/board_points.h"

#include <stddef.h>
#include <string.h>

#define ERRNOS(id, name, can, ...) static const int errnos_##id[] = {__VA_ARGS__, 0};
#define ROW(id, name, can, ...)	   [POINT_##id] = {name, BOARD_CAN_##can, errnos_##id},

BOARD_POINTS(ERRNOS)

const struct board_point_row board_point_rows[POINT_COUNT] = {BOARD_POINTS(ROW)};

int board_point_find(const char *name)
{
	for (int i = 0; i < POINT_COUNT; i++)
		if (!strcmp(board_point_rows[i].name, name))
			return i;
	return -1;
}
