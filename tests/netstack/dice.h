/* Pseudo-random numbers, the same in each run. */
#ifndef WARREN_TESTS_NETSTACK_DICE_H
#define WARREN_TESTS_NETSTACK_DICE_H

#include <stdint.h>

uint32_t dice(uint32_t below);

#endif
