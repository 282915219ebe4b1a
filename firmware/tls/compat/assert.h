// assert.h: for static_assert, which is all that mbedTLS uses of it.
#if __STDC_HOSTED__
#include_next <assert.h>
#else
#undef assert
#define assert(condition) ((void)0)
#define static_assert _Static_assert
#endif
