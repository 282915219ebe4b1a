// storage.c: the file behind `--storage`, as ek/host.h gives it to the driver.
#define _GNU_SOURCE
#include "arch/host/storage.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "ek/host.h"
#include "ek/status.h"

enum { USAGE = 2 }; // exit status

static int fd = -1;

void host_storage_open(const char *path) {
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        fprintf(stderr, "error: cannot write %s: %s\n", path, strerror(errno));
        exit(USAGE);
    }
}

int ek_host_storage_size(uint64_t *size) {
    struct stat about;
    if (fd < 0 || fstat(fd, &about) != 0) {
        return EK_ENOENT;
    }
    *size = (uint64_t)about.st_size;
    return EK_OK;
}

// Inside the file as it is: it never grows.
static int check(uint64_t at, size_t len) {
    uint64_t size = 0;
    if (ek_host_storage_size(&size) != EK_OK) {
        return EK_EIO;
    }
    return at > size || len > size - at ? EK_ERANGE : EK_OK;
}

int ek_host_storage_read(uint64_t at, uint8_t *data, size_t len) {
    int status = check(at, len);
    if (status != EK_OK) {
        return status;
    }
    return pread(fd, data, len, (off_t)at) == (ssize_t)len ? EK_OK : EK_EIO;
}

int ek_host_storage_write(uint64_t at, const uint8_t *data, size_t len) {
    int status = check(at, len);
    if (status != EK_OK) {
        return status;
    }
    bool done = pwrite(fd, data, len, (off_t)at) == (ssize_t)len && fdatasync(fd) == 0;
    return done ? EK_OK : EK_EIO;
}
