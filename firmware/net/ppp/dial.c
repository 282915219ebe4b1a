// dial.c: what a cellular modem is told before PPP: back to its commands, the access point, dial.
// 3GPP TS 27.007, 10.1.1 (+CGDCONT), and D*99# of 27.007 D.1; V.250 for the rest.
//
// With the device configuration's modem.apn; without it the line is PPP at once. Left out: PIN.
#include "ek/device_config.h"
#include "ek/log.h"
#include "ek/status.h"
#include "net/lwip/glue.h"
#include "net/ppp/ppp.h"
#include <string.h>

// A modem that still is in a call comes back to commands by "+++" amid a second of silence
// (V.250 leaves it to the maker; this is Hayes's). To one that is not, it is part of a line that
// it does not know: so what `may_fail` says is not believed.
static const struct step {
    const char *before, *key, *fallback, *after;
    const char *wanted; // NULL: silence
    uint8_t seconds;
    bool may_fail;
} steps[] = {
    {"", NULL, NULL, "", NULL, 2, true},
    {"+++", NULL, NULL, "", NULL, 2, true},
    {"ATH", NULL, NULL, "\r", "OK", 3, true},
    {"AT", NULL, NULL, "\r", "OK", 2, false},
    {"AT+CGDCONT=1,\"IP\",\"", "modem.apn", "", "\"\r", "OK", 10, false},
    {"ATD", "modem.number", "*99#", "\r", "CONNECT", 60, false},
};
enum { STEPS = sizeof steps / sizeof steps[0] };
static const char *const refusals[] = {"ERROR", "NO ", "BUSY", "+CME ERROR", "+CMS ERROR"};

static uint8_t step, len;
static uint16_t wait; // ticks
static char answer[12];

static bool begins(const char *with) { return strncmp(answer, with, strlen(with)) == 0; }

static void say(void) {
    const struct step *now = &steps[step];
    wait = now->seconds * TICKS_PER_S;
    len = 0;
    ppp_line_text(now->before);
    if (now->key) {
        ppp_line_text(ek_device_config(now->key, now->fallback));
    }
    ppp_line_text(now->after);
}

void ppp_dial(void) {
    step = 0;
    say();
}

// The step is over. EK_OK after the last one.
static int end(int status) {
    if (status != EK_OK && !steps[step].may_fail) {
        ek_log("ppp: modem: no %s to %s", steps[step].wanted, steps[step].before);
        return status;
    }
    if (++step == STEPS) {
        return EK_OK;
    }
    say();
    return EK_EAGAIN;
}

// A line of the modem's is in `answer`, as far as it matters.
static int judge(void) {
    const char *wanted = steps[step].wanted;
    if (!wanted) {
        return EK_EAGAIN;
    }
    if (begins(wanted)) {
        return end(EK_OK);
    }
    for (unsigned i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        if (begins(refusals[i])) {
            return end(EK_EIO);
        }
    }
    return EK_EAGAIN; // an echo, or something of no interest
}

int ppp_dial_receive(void) {
    int status = EK_EAGAIN;
    ppp_line_gather();
    for (int byte; status == EK_EAGAIN && (byte = ppp_line_byte()) >= 0;) {
        if (byte == '\r' || byte == '\n') {
            answer[len] = '\0';
            len = 0;
            status = judge();
        } else if (len + 1u < sizeof answer) {
            answer[len++] = (char)byte;
        }
    }
    return status;
}

int ppp_dial_tick(void) { return --wait != 0 ? EK_EAGAIN : end(EK_ETIMEDOUT); }
