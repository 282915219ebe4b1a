// ek/pci.h: PCI functions. Configuration space, capabilities, base address registers (BARs) and
// MSI-X, for the drivers of PCI devices. firmware/pci/ implements it, with what the arch provides.
// PCI Local Bus Specification 3.0 and PCI-to-PCI Bridge Architecture 1.2; section numbers in the
// code are the former's.
#ifndef EK_PCI_H
#define EK_PCI_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "ek/status.h"

enum { EK_PCI_BARS = 6 };

// A `function` is named by its place: bus << 16 | device << 11 | number << 8.

// Registers of every function's configuration space (6.1), and capability ids (appendix H).
enum { EK_PCI_ID = 0x00, EK_PCI_COMMAND = 0x04, EK_PCI_CLASS = 0x08, EK_PCI_SUBSYSTEM = 0x2c };
enum { EK_PCI_CAP_VENDOR = 0x09, EK_PCI_CAP_MSIX = 0x11 };

// `offset` is a multiple of 4, below 256.
uint32_t ek_pci_read32(uint32_t function, uint32_t offset);
void ek_pci_write32(uint32_t function, uint32_t offset, uint32_t value);
// For registers of such a width, with others beside them; `offset` is a multiple of it.
void ek_pci_write16(uint32_t function, uint32_t offset, uint16_t value);
void ek_pci_write8(uint32_t function, uint32_t offset, uint8_t value);

// A look at every function there is. Begin with zeros.
struct ek_pci_scan {
    uint32_t next;     // function to look at
    uint32_t last_bus; // highest bus behind the bridges seen so far
};
bool ek_pci_next(struct ek_pci_scan *scan, uint32_t *function);

// The next capability with this id after the one at `after` (0: the first); 0 when there is none.
uint32_t ek_pci_capability(uint32_t function, uint8_t id, uint32_t after);

struct ek_pci_bar {
    uint64_t address; // of memory, or port number
    uint64_t size;    // 0: there is no such BAR, or it cannot be reached
    bool is_ports;
};
// Find out what the function's BARs decode, and let it decode them and read and write memory.
// Memory BARs that nobody has given an address get one, from `window` on, which is moved behind it.
void ek_pci_open(uint32_t function, uint64_t *window, struct ek_pci_bar bars[EK_PCI_BARS]);

// The address by which [offset, offset + size) of BAR `index` is reached; 0 if it is not in it, or
// lies where memory is.
uintptr_t ek_pci_map(const struct ek_pci_bar bars[EK_PCI_BARS], uint32_t index, uint32_t offset,
                     uint32_t size);

// Have all of the function's messages wake the processor: entry 0 of its MSI-X table. EK_OK;
// EK_ENOENT: it has no MSI-X, and keeps its interrupt line; EK_ERANGE: its table is out of reach.
int ek_pci_use_msix(uint32_t function, const struct ek_pci_bar bars[EK_PCI_BARS]);
#endif
