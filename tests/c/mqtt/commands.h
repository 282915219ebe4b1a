// commands.h: an MQTT client driven by lines of text. Every event is printed as one line on stdout,
// binary as hexadecimal ("-" when empty).
//   start KEY=VALUE ...     keys: version host port id user password keep_alive expiry will_topic
//                           will_payload will_qos will_retain receive outbox on_message on_room
//   publish QOS RETAIN TOPIC PAYLOAD_HEX    prints "returned N"
//   subscribe FILTER QOS                    prints "returned N"
//   stop, stats, pending
#ifndef COMMANDS_H
#define COMMANDS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// False: not one of these.
bool run_command(char *line);
void print_hex(const char *event, const uint8_t *data, size_t len);
// Returns the number of bytes.
size_t parse_hex(const char *text, uint8_t *out, size_t size);
#endif
