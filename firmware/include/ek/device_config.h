// ek/device_config.h: what differs between two devices with the same image. Byte format:
// docs/device-config-spec.md. The blob is found by the arch (a PVH module, a flash page, a file).
#ifndef EK_DEVICE_CONFIG_H
#define EK_DEVICE_CONFIG_H
#include <stddef.h>
#include <stdint.h>

// The value of `key` ("mqtt.host"), or `fallback` where the device has none. Valid for ever.
const char *ek_device_config(const char *key, const char *fallback);
// The same as a number; `fallback` too where it is not a decimal number of 32 bits.
uint32_t ek_device_config_u32(const char *key, uint32_t fallback);
// Bytes that are no text ("tls.key"), where they lie; NULL where the device has none. Valid for
// ever.
const uint8_t *ek_device_config_data(const char *key, size_t *len);
#endif
