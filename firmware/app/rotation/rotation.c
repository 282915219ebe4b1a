// rotation.c: another certificate for the running device. On "<mqtt.topic>/identity/":
//   rotate   to us: make a key; its payload does not matter, retained ones are ignored
//   request  from us: public key and proofs (tls/rotation.h)
//   set      to us: the certificate, DER
//   state    from us: "new", "old: ..." or "refused: ..."
// Who may publish there is the broker's to say; a certificate counts only if the project's CA has
// signed it.
#include <string.h>
#include "app/app.h"
#include "ek/device_config.h"
#include "ek/log.h"
#include "ek/timer.h"
#include "tls/rotation.h"

enum { STATE_BYTES = 80, RETRY_US = 1000000 };

static struct ek_timer timer;
static char state[STATE_BYTES]; // that is to be sent; "": none
static bool asked, reconnecting, connected;

static const char *name(void) { return ek_device_config("name", "edgeuk"); }

static bool is(const char *topic, size_t len, const char *what) {
    return len == strlen(what) && memcmp(topic, what, len) == 0;
}

static void say(const char *what, const char *why) {
    (void)ek_format(state, sizeof state, "%s%s", what, why);
    ek_log("identity: %s", state);
}

static int send_request(void) {
    uint8_t message[TLS_REQUEST_MAX];
    size_t len = 0;
    if (!connected) {
        return EK_EAGAIN; // the key of a connection signs
    }
    int status = tls_rotation_request(name(), message, &len);
    if (status != EK_OK) {
        say("refused: ", status == EK_ENOENT     ? "no storage"
                         : status == EK_EREFUSED ? "no certificate so far"
                                                 : "no memory");
        return EK_OK;
    }
    return publisher_send_as("identity/request", message, (uint16_t)len, 1, 0);
}

// What is due, one after the other; what finds no room is tried again.
static void work(void *arg) {
    (void)arg;
    int status = EK_OK;
    if (asked) {
        status = send_request();
        asked = status == EK_EAGAIN;
    }
    if (status != EK_EAGAIN && state[0] != 0) {
        status = publisher_send_as("identity/state", (const uint8_t *)state,
                                   (uint16_t)strlen(state), 1, 0);
        state[0] = status == EK_EAGAIN ? state[0] : 0;
    }
    if (status == EK_EAGAIN) {
        ek_timer_start(&timer, RETRY_US, work, NULL);
    } else if (reconnecting) {
        reconnecting = false;
        publisher_reconnect();
    }
}

static void on_message(const char *topic, size_t len, const struct mqtt_message *in) {
    if (in->retain) {
        return;
    }
    if (is(topic, len, "identity/rotate")) {
        asked = true;
    } else if (is(topic, len, "identity/set")) {
        const char *fault = tls_rotation_set(name(), in->payload, in->payload_len);
        if (fault) {
            say("refused: ", fault);
        } else {
            ek_log("identity: a new certificate, which the next connection uses");
            reconnecting = true;
        }
    } else {
        return;
    }
    ek_timer_start(&timer, 0, work, NULL);
}

static void on_connection(bool up) {
    bool attempt = up || !connected; // a connection that ends has been one
    connected = up;
    const char *said = attempt ? tls_rotation_result(up) : "";
    if (*said) {
        say(said, "");
        ek_timer_start(&timer, 0, work, NULL);
    }
}

void rotation_start(void) {
    static const struct publisher_listener listener = {
        .filter = "identity/+", .message = on_message, .connection = on_connection};
    publisher_listen(&listener);
}
