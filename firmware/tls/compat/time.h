// time.h: what mbedTLS takes from it; the system's where there is one.
#if __STDC_HOSTED__
#include_next <time.h>
#else
#ifndef TIME_H
#define TIME_H
typedef long long time_t;
struct tm {
    int tm_sec, tm_min, tm_hour, tm_mday, tm_mon, tm_year, tm_wday, tm_yday, tm_isdst;
};
#endif
#endif
