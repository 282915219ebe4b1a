// e1000e.h: instance data of the 82574 driver, filled in by the generated devices.c.
#ifndef EK_E1000E_H
#define EK_E1000E_H
#include <stdalign.h>
#include <stdbool.h>
#include "ek/eth.h"

// Rings have a multiple of 8 descriptors; one descriptor always is ours, so that a full ring is
// told from an empty one.
enum { E1000E_RECEIVE_BUFFERS = 16, E1000E_SEND_BUFFERS = 8 };
enum { E1000E_RECEIVE_BYTES = 2048, E1000E_SEND_BYTES = 1536 };

struct e1000e_descriptor {
    volatile uint64_t address;
    volatile uint64_t word; // length, status and more, see e1000e.c
};

struct e1000e_state {
    alignas(128) struct e1000e_descriptor received[E1000E_RECEIVE_BUFFERS];
    alignas(128) struct e1000e_descriptor sent[E1000E_SEND_BUFFERS];
    alignas(16) uint8_t receive_data[E1000E_RECEIVE_BUFFERS][E1000E_RECEIVE_BYTES];
    alignas(16) uint8_t send_data[E1000E_SEND_BUFFERS][E1000E_SEND_BYTES];
    uintptr_t base;         // of the registers; 0: not found
    uint32_t next_received; // descriptor that the device fills next
    uint32_t given;         // those before it are the device's again
    uint32_t next_sent, oldest_sent;
    bool started;
};

struct e1000e {
    uintptr_t window; // where the registers may lie if nobody has said so
    uint32_t nth;     // which of several
    struct e1000e_state *state;
};
extern const struct ek_eth_ops e1000e_ops;
#endif
