/* more_levels.c: makes the program one whose CPU has more kernel levels (tests/cli/test_levels.py). */
#include "levels/more_levels.h"
