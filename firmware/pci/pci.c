// pci.c: ek/pci.h by configuration mechanism 1, as every x86 machine has it. PCI Local Bus
// Specification 3.0; numbers in parentheses are its sections. Whatever a function says of itself is
// checked: it may be another party's, or broken.
// Left out: the 4 KB configuration space of PCI Express, numbering of buses behind bridges that
// nobody has numbered, power states.
#include "ek/pci.h"
#include "ek/bus.h"
#include "ek/mmio.h"
#include "ek/pio.h"

enum { CONFIG_ADDRESS = 0xcf8, CONFIG_DATA = 0xcfc }; // (3.2.2.3.2)
#define CONFIG_ENABLE (1u << 31)

enum { HEADER = 0x0c, BARS = 0x10, BRIDGE_BUSES = 0x18, CAPABILITIES = 0x34 }; // (6.1)
enum { HEADER_MANY_FUNCTIONS = 1u << 23, HEADER_TYPE = 0x7fu << 16, TYPE_BRIDGE = 1u << 16 };
enum { COMMAND_PORTS = 1u << 0, COMMAND_MEMORY = 1u << 1, COMMAND_MASTER = 1u << 2 }; // (6.2.2)
enum { COMMAND_NO_LINE = 1u << 10, STATUS_CAPABILITIES = 1u << 20 };
enum { BAR_PORTS = 1u << 0, BAR_64 = 2u << 1, BAR_TYPE = 3u << 1 }; // (6.2.5.1)
enum { NOBODY = 0xffff };                                           // vendor id where nothing is
enum { DEVICE_STEP = 1u << 11, FUNCTION_STEP = 1u << 8, BUS_SHIFT = 16, BUS_MAX = 255 };
enum { CAPABILITIES_MAX = 48 }; // 192 bytes behind the header, 4 at least each (6.7)

// MSI-X (6.8.2): message control is the upper half of the capability's first word.
#define MSIX_ENABLE (1u << 31)
enum { MSIX_MASK_ALL = 1u << 30 };
enum { MSIX_TABLE = 4, MSIX_BAR = 7, ENTRY_DATA = 8, ENTRY_CONTROL = 12, ENTRY_BYTES = 16 };

uint32_t ek_pci_read32(uint32_t function, uint32_t offset) {
    ek_out32(CONFIG_ADDRESS, CONFIG_ENABLE | function | (offset & 0xfc));
    return ek_in32(CONFIG_DATA);
}

void ek_pci_write32(uint32_t function, uint32_t offset, uint32_t value) {
    ek_out32(CONFIG_ADDRESS, CONFIG_ENABLE | function | (offset & 0xfc));
    ek_out32(CONFIG_DATA, value);
}

void ek_pci_write16(uint32_t function, uint32_t offset, uint16_t value) {
    ek_out32(CONFIG_ADDRESS, CONFIG_ENABLE | function | (offset & 0xfc));
    ek_out16(CONFIG_DATA + (offset & 2), value);
}

void ek_pci_write8(uint32_t function, uint32_t offset, uint8_t value) {
    ek_out32(CONFIG_ADDRESS, CONFIG_ENABLE | function | (offset & 0xfc));
    ek_out8(CONFIG_DATA + (offset & 3), value);
}

bool ek_pci_next(struct ek_pci_scan *scan, uint32_t *function) {
    while (scan->next >> BUS_SHIFT <= scan->last_bus) {
        uint32_t here = scan->next;
        scan->next += FUNCTION_STEP;
        bool first = here % DEVICE_STEP == 0;
        if ((ek_pci_read32(here, EK_PCI_ID) & NOBODY) == NOBODY) {
            scan->next += first ? DEVICE_STEP - FUNCTION_STEP : 0;
            continue;
        }
        uint32_t header = ek_pci_read32(here, HEADER);
        if (first && !(header & HEADER_MANY_FUNCTIONS)) {
            scan->next += DEVICE_STEP - FUNCTION_STEP;
        }
        if ((header & HEADER_TYPE) == TYPE_BRIDGE) {
            uint32_t last = ek_pci_read32(here, BRIDGE_BUSES) >> 16 & BUS_MAX; // subordinate
            scan->last_bus = last > scan->last_bus ? last : scan->last_bus;
        }
        *function = here;
        return true;
    }
    return false;
}

uint32_t ek_pci_capability(uint32_t function, uint8_t id, uint32_t after) {
    if (!(ek_pci_read32(function, EK_PCI_COMMAND) & STATUS_CAPABILITIES)) {
        return 0;
    }
    uint32_t at = ek_pci_read32(function, CAPABILITIES) & 0xfc;
    bool passed = after == 0;
    for (int i = 0; i < CAPABILITIES_MAX && at != 0; i++) { // the list may be a ring
        uint32_t head = ek_pci_read32(function, at);
        if (passed && (head & 0xff) == id) {
            return at;
        }
        passed = passed || at == after;
        at = head >> 8 & 0xfc;
    }
    return 0;
}

static void write_bar(uint32_t function, uint32_t at, uint64_t value, bool wide) {
    ek_pci_write32(function, at, (uint32_t)value);
    if (wide) {
        ek_pci_write32(function, at + 4, (uint32_t)(value >> 32));
    }
}

static uint64_t read_bar(uint32_t function, uint32_t at, bool wide) {
    uint64_t high = wide ? ek_pci_read32(function, at + 4) : 0;
    return high << 32 | ek_pci_read32(function, at);
}

// Nothing is decoded meanwhile.
static void read_size(uint32_t function, uint32_t at, bool wide, uint64_t *window,
                      struct ek_pci_bar *bar) {
    uint64_t flags = bar->is_ports ? 0x3 : 0xf;
    uint64_t was = read_bar(function, at, wide);
    write_bar(function, at, UINT64_MAX, wide);
    uint64_t mask = read_bar(function, at, wide) & ~flags; // what stays 0 tells the size
    write_bar(function, at, was, wide);
    if (!wide && mask != 0) {
        mask |= UINT64_MAX << (bar->is_ports ? 16 : 32); // ports may have no upper half (6.2.5.1)
    }
    uint64_t size = ~mask + 1;
    bar->address = was & ~flags & (bar->is_ports ? 0xffff : UINT64_MAX);
    if ((size & (size - 1)) != 0 || (bar->address == 0 && (bar->is_ports || size > UINT32_MAX))) {
        return;
    }
    bar->size = size;
    if (bar->address == 0 && size != 0) { // firmware, where there is any, has given every BAR one
        bar->address = (*window + size - 1) & ~(size - 1);
        *window = bar->address + size;
        write_bar(function, at, bar->address, wide);
    }
}

// Decoding is switched off and on once for all BARs: under emulation that is what takes longest.
void ek_pci_open(uint32_t function, uint64_t *window, struct ek_pci_bar bars[EK_PCI_BARS]) {
    // The upper half is status: zeros there clear nothing.
    uint32_t off = COMMAND_PORTS | COMMAND_MEMORY | COMMAND_NO_LINE;
    uint32_t command = ek_pci_read32(function, EK_PCI_COMMAND) & NOBODY & ~off;
    ek_pci_write32(function, EK_PCI_COMMAND, command);
    for (uint32_t i = 0; i < EK_PCI_BARS; i++) {
        uint32_t at = BARS + 4 * i, low = ek_pci_read32(function, at);
        bars[i] = (struct ek_pci_bar){.is_ports = low & BAR_PORTS};
        bool wide = !bars[i].is_ports && (low & BAR_TYPE) == BAR_64 && i + 1 < EK_PCI_BARS;
        read_size(function, at, wide, window, &bars[i]);
        if (wide) {
            bars[++i] = (struct ek_pci_bar){0};
        }
    }
    ek_pci_write32(function, EK_PCI_COMMAND,
                   command | COMMAND_PORTS | COMMAND_MEMORY | COMMAND_MASTER);
}

uintptr_t ek_pci_map(const struct ek_pci_bar bars[EK_PCI_BARS], uint32_t index, uint32_t offset,
                     uint32_t size) {
    if (index >= EK_PCI_BARS || bars[index].is_ports || offset > bars[index].size ||
        size > bars[index].size - offset) {
        return 0;
    }
    return ek_bus_map(bars[index].address + offset, size);
}

int ek_pci_use_msix(uint32_t function, const struct ek_pci_bar bars[EK_PCI_BARS]) {
    uint32_t at = ek_pci_capability(function, EK_PCI_CAP_MSIX, 0);
    if (at == 0) {
        return EK_ENOENT;
    }
    uint32_t table = ek_pci_read32(function, at + MSIX_TABLE);
    uintptr_t entry = ek_pci_map(bars, table & MSIX_BAR, table & ~(uint32_t)MSIX_BAR, ENTRY_BYTES);
    if (entry == 0) {
        return EK_ERANGE;
    }
    // The table may only be written while the function sends nothing (6.8.3.5).
    uint32_t control = ek_pci_read32(function, at) | MSIX_ENABLE;
    ek_pci_write32(function, at, control | MSIX_MASK_ALL);
    struct ek_bus_message message = ek_bus_wake_message();
    ek_write32(entry, (uint32_t)message.address);
    ek_write32(entry + 4, (uint32_t)(message.address >> 32));
    ek_write32(entry + ENTRY_DATA, message.data);
    ek_write32(entry + ENTRY_CONTROL, 0); // not masked
    ek_pci_write32(function, at, control & ~(uint32_t)MSIX_MASK_ALL);
    return EK_OK;
}
