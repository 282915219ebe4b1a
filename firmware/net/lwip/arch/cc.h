// arch/cc.h: what lwIP asks of a compiler and platform (lwip/arch.h lists it).
#ifndef ARCH_CC_H
#define ARCH_CC_H
#include <stddef.h>
#include <stdint.h>
#include "ek/random.h"

#define LWIP_NO_INTTYPES_H 1
#define LWIP_NO_UNISTD_H 1
#define LWIP_NO_CTYPE_H 1
#define U16_F "u"
#define S16_F "d"
#define X16_F "x"
#define U32_F "u"
#define S32_F "d"
#define X32_F "x"
#define SZT_F "zu"

#define LWIP_RAND() ek_random32()
#define LWIP_PLATFORM_DIAG(message)                                                                \
    do {                                                                                           \
    } while (0)
#ifdef EK_NET_ASSERT // tests on the host
#include <stdlib.h>
#define LWIP_PLATFORM_ASSERT(message) abort()
#else // lwIP's own checks cost 3 KB; those of foreign input stay (LWIP_ERROR)
#define LWIP_NOASSERT 1
#define LWIP_PLATFORM_ASSERT(message)                                                              \
    do {                                                                                           \
    } while (0)
#endif
#endif
