// arch/host/storage.h: the file behind `--storage`.
#ifndef ARCH_HOST_STORAGE_H
#define ARCH_HOST_STORAGE_H

// Ends the process where it cannot be opened.
void host_storage_open(const char *path);
#endif
