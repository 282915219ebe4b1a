// counters.c: see ek/counters.h.
#include "ek/counters.h"

struct ek_counters ek_counters;
