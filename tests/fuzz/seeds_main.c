/* `seeds DIR`: the seeds of tests/fuzz/seeds.c as files. */
#include "tests/fuzz/seeds.h"

int main(int argc, char **argv)
{
	if (argc != 2)
		return 64;
	make_seeds(argv[1]);
	return 0;
}
