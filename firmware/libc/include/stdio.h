// stdio.h: empty. lwIP includes it for options that are off; there is no printf, see ek/log.h.
#ifndef STDIO_H
#define STDIO_H
#include <stddef.h>
#endif
