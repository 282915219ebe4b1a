// time.h: lwIP's sntp.c includes it for its debug output only; there is none here.
#ifndef TIME_H
#define TIME_H
#endif
