// app/serial/serial.h: what the parts of this component know of each other.
#ifndef APP_SERIAL_SERIAL_H
#define APP_SERIAL_SERIAL_H
#include <stddef.h>
#include <stdint.h>

// Frames on the console (docs/serial-frames.md), between the lines of the log.
enum frame_type { FRAME_DATA = 1, FRAME_STATISTICS = 2, FRAME_STATUS = 3, FRAME_BOOT = 4 };
// Room for the payload of the next frame.
uint8_t *frames_payload(size_t *size);
// Send one with the first `len` bytes of it. Returns when the last byte has left, at 115200 baud
// after 34 ms for the longest. EK_OK; EK_ETIMEDOUT: the console does not take it.
int frames_send(enum frame_type type, size_t len);
uint32_t frames_sent(void);

// Empties the pipeline's queue, one frame per round of the event loop.
void publisher_start(void);
const char *publisher_base_name(void); // "<mqtt.topic>/"

// Send a statistics record now and every pipeline_settings.statistics_s from now on.
void statistics_start(void);
void statistics_send(void);
#endif
