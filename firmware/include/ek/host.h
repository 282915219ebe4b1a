// ek/host.h: what the `host` architecture, a Linux process, gives to its drivers and its network.
#ifndef EK_HOST_H
#define EK_HOST_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Let arch_idle() wake up for a file descriptor: for what can be read, and for room to write.
// Neither: forget it (before it is closed).
void ek_host_watch(int fd, bool read, bool write);
// Write to standard output. Returns len, or a negative ek_status when it is gone.
int ek_host_write(const uint8_t *data, size_t len);
// The file of `--storage`: its size (EK_ENOENT: none is named), and bytes of it, which are on the
// disk when a write returns. The statuses of ek/storage.h.
int ek_host_storage_size(uint64_t *size);
int ek_host_storage_read(uint64_t at, uint8_t *data, size_t len);
int ek_host_storage_write(uint64_t at, const uint8_t *data, size_t len);
// End the process.
_Noreturn void ek_host_exit(int code);
#endif
