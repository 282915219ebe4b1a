// inttypes.h: the types; the formats are for what is never printed.
#if __STDC_HOSTED__
#include_next <inttypes.h>
#else
#include <stdint.h>
#endif
