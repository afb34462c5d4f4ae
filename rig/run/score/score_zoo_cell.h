/*
 * One cell of the zoo: a clone, a neighbour, the case, two scans, the diagnosis. Private to rig/run/score/score_zoo*.
 */
#pragma once

#include "diagnose/diagnose.h"
#include "run/bed/bed_spec.h"
#include "run/score/score_zoo.h"
#include "vm/template.h"

/* One case as the program lists it. */
struct zoo_truth {
	char name[ZOO_NAME_MAX], role[ZOO_NAME_MAX];
	const char *hang_class; /* NULL: healthy */
	int deaths;
	bool spins, progressed, overdue, frozen, thawed, starved, slow_disk, stopping, held_out,
		exits;
};

struct zoo_cell {
	const struct bed_spec *spec; /* of the machine */
	const struct template *template;
	const char *disk;  /* name of the disk that cases hurt */
	const char *mount; /* where the guest has it */
	const char *dir;   /* of the machine; made */
	const struct zoo_truth *truth;
	const struct zoo_truth *neighbour; /* a healthy case beside it, or NULL */
	unsigned int seed;
};

/* Fills `ret`; the evidence and the diagnosis go to DIR/cell.json. An error is the rig's trouble. */
int zoo_cell_run(const struct zoo_cell *cell, struct zoo_outcome *ret, struct err *err);
