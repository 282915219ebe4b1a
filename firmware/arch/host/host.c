// host.c: the architecture `host`: arch/arch.h for a Linux process.
//
// Usage: IMAGE [--config FILE] [--storage FILE]; the first holds a device configuration, the second
// is what it keeps. SIGINT and SIGTERM end the
// process between two rounds of the event loop with status 128 + number; a reset is an exit with
// EK_EXIT_PANIC. There are no interrupts: file descriptors wake the sleeper.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include "arch/arch.h"
#include "ek/dma.h"
#include "arch/host/storage.h"
#include "ek/assert.h"
#include "ek/host.h"
#include "ek/panic.h"
#include "ek/status.h"

enum { WATCHES_MAX = 64 };
enum { IDLE_MAX_US = 1000000 };
enum { CONFIG_BYTES_MAX = 8192 }; // two copies (docs/device-config-spec.md)
enum { USAGE = 2 };               // exit status

static struct pollfd watches[WATCHES_MAX];
static nfds_t watch_count;
static uint64_t start_us;
static uint8_t config[CONFIG_BYTES_MAX];
static size_t config_len;
static volatile sig_atomic_t stop_signal;

// The stack is the system's: kernel/stack.c sees an empty one.
uint32_t __stack_bottom[1];
extern uint32_t __stack_top[1] __attribute__((alias("__stack_bottom")));

static uint64_t monotonic_us(void) {
    struct timespec now;
    ek_assert(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void on_signal(int number) { stop_signal = number; }

void arch_init(void) {}

uint64_t arch_clock_us(void) { return monotonic_us() - start_us; }

void arch_idle(uint64_t deadline_us) {
    // The signals are let in only while sleeping, so that none is missed before it.
    uint64_t now_us = arch_clock_us();
    uint64_t wait_us = deadline_us > now_us ? deadline_us - now_us : 0;
    wait_us = wait_us < IDLE_MAX_US ? wait_us : IDLE_MAX_US;
    struct timespec wait = {(time_t)(wait_us / 1000000), (long)(wait_us % 1000000) * 1000};
    sigset_t none;
    sigemptyset(&none);
    (void)ppoll(watches, watch_count, &wait, &none);
    if (stop_signal) {
        ek_host_exit(128 + stop_signal);
    }
}

size_t arch_random(uint8_t *data, size_t len) {
    ssize_t got = getrandom(data, len, 0);
    return got < 0 ? 0 : (size_t)got;
}

const uint8_t *arch_device_config(size_t *size_max) {
    *size_max = config_len;
    return config_len > 0 ? config : NULL;
}

// As x86-64 and aarch64 lay it out with frame pointers.
struct frame {
    const struct frame *caller;
    uintptr_t return_pc;
};

// The environment lies above every frame. The sanitizer only knows what the compiler has put on the
// stack itself.
__attribute__((no_sanitize("address"))) size_t arch_backtrace(uintptr_t *pcs, size_t max) {
    const struct frame *frame = __builtin_frame_address(0);
    const struct frame *end = (const struct frame *)environ;
    size_t count = 0;
    while (count < max && frame < end && (uintptr_t)frame % sizeof(uintptr_t) == 0) {
        pcs[count++] = frame->return_pc;
        if (frame->caller <= frame) {
            break; // callers are further up; anything else is not a frame
        }
        frame = frame->caller;
    }
    return count;
}

void arch_reset(void) { ek_host_exit(EK_EXIT_PANIC); }

void ek_host_watch(int fd, bool read, bool write) {
    nfds_t i = 0;
    while (i < watch_count && watches[i].fd != fd) {
        i++;
    }
    if (!read && !write) {
        if (i < watch_count) {
            watches[i] = watches[--watch_count];
        }
        return;
    }
    ek_assert(i < WATCHES_MAX);
    watches[i].fd = fd;
    watches[i].events = (short)((read ? POLLIN : 0) | (write ? POLLOUT : 0));
    watch_count += i == watch_count;
}

int ek_host_write(const uint8_t *data, size_t len) {
    for (size_t done = 0; done < len;) {
        ssize_t n = write(STDOUT_FILENO, data + done, len - done);
        if (n < 0 && errno != EINTR) {
            return EK_EIO;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return (int)len;
}

// No device of a process reads its memory.
void ek_dma_clean(const void *addr, size_t len) {
    (void)addr;
    (void)len;
}

_Noreturn void ek_host_exit(int code) { exit(code); }

static void read_config(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "error: cannot read %s: %s\n", path, strerror(errno));
        exit(USAGE);
    }
    config_len = fread(config, 1, sizeof config, file);
    (void)fclose(file);
}

int main(int argc, char **argv) {
    start_us = monotonic_us();
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && strcmp(argv[i], "--config") == 0) {
            read_config(argv[i + 1]);
        } else if (i + 1 < argc && strcmp(argv[i], "--storage") == 0) {
            host_storage_open(argv[i + 1]);
        } else {
            fprintf(stderr, "usage: %s [--config FILE] [--storage FILE]\n", argv[0]);
            return USAGE;
        }
    }
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &stop, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    ek_main();
}
