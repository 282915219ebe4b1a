// publisher.c: empties the pipeline's queue into frames. Readings carry times relative to the
// frame's (RFC 8428, 4.5.3): the receiver knows the time of day.
#include "app/serial/serial.h"
#include "ek/device_config.h"
#include "ek/log.h"
#include "ek/timer.h"
#include "kernel/kernel.h"
#include "pipeline/pipeline.h"
#include <string.h>

enum { TOPIC_MAX = 64 }; // bytes of `mqtt.topic`; edgeuk checks it when it writes the blob

static char base[TOPIC_MAX + 2]; // "<mqtt.topic>/"
static struct ek_timer timer;

// A frame that the console did not take is lost, as one that is lost behind it: the receiver counts
// both by their numbers.
static void drain(void *arg) {
    (void)arg;
    size_t size;
    uint8_t *out = frames_payload(&size);
    unsigned count;
    size_t len = pipeline_encode(out, size, base, &count);
    if (count > 0) {
        (void)frames_send(FRAME_DATA, len);
        pipeline_take(count);
        ek_timer_start(&timer, 0, drain, NULL); // what else is due comes first
    }
}

static void ready(void) { drain(NULL); }

const char *publisher_base_name(void) { return base; }

void publisher_start(void) {
    const char *name = ek_device_config("name", "");
    name = name[0] != '\0' ? name : "edgeuk";
    const char *topic = ek_device_config("mqtt.topic", "");
    (void)ek_format(base, sizeof base, "%s/", topic[0] != '\0' ? topic : name);
    size_t size;
    uint8_t *out = frames_payload(&size);
    (void)frames_send(FRAME_BOOT, (size_t)ek_format((char *)out, size, "%s%s", kernel_boot_report(),
                                                    kernel_config_report()));
    pipeline_on_ready(ready);
}
