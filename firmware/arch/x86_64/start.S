// start.S: from PVH entry to C. 32-bit protected mode without paging, interrupts off, EBX = the
// start information; builds page tables and enters 64-bit mode. Follows xen/docs/misc/pvh.pandoc,
// Intel SDM volume 3, 10.8.5 (2024). Left out: 5-level paging, other processors, NX.

    // Reserved by the linker script, within bss.
#define PAGE_MAP x86_page_tables
#define PAGE_DIRECTORY_POINTERS (x86_page_tables + 4096)
#define PAGE_DIRECTORY (x86_page_tables + 8192)

    // ELF note XEN_ELFNOTE_PHYS32_ENTRY (18): where a PVH loader enters.
    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18
    .asciz "Xen"
    .long _start

    .section .text.start, "ax", @progbits
    .code32
    .globl _start
_start:
    cld
    rdtsc                       // time 0, kept in EBP and ESP: there is no stack yet
    mov %eax, %ebp
    mov %edx, %esp

    mov $__bss_start, %edi
    mov $__bss_end, %ecx
    sub %edi, %ecx
    shr $2, %ecx
    xor %eax, %eax
    rep stosl

    mov %ebx, x86_start_info
    mov %ebp, x86_entry_tsc
    mov %esp, x86_entry_tsc + 4

    // One page directory serves the first GB and the fourth: entries 0 to 495 map memory from 0 up,
    // the last 16 map the 32 MB below 4 GB, where virtio-mmio, IOAPIC and local APIC are, uncached.
    // Each range also appears in the other GB, where nobody looks.
    movl $PAGE_DIRECTORY_POINTERS + 3, PAGE_MAP
    movl $PAGE_DIRECTORY + 3, PAGE_DIRECTORY_POINTERS
    movl $PAGE_DIRECTORY + 3, PAGE_DIRECTORY_POINTERS + 24
    mov $PAGE_DIRECTORY, %edi
    mov $0x83, %eax             // present, writable, 2 MB
    mov $496, %ecx
1:  mov %eax, (%edi)
    add $8, %edi
    add $0x200000, %eax
    loop 1b
    mov $0xfe00009b, %eax       // and uncached: PCD, PWT
    mov $16, %ecx
2:  mov %eax, (%edi)
    add $8, %edi
    add $0x200000, %eax
    loop 2b

    mov $PAGE_MAP, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x20, %eax              // PAE
    mov %eax, %cr4
    mov $0xc0000080, %ecx       // EFER
    rdmsr
    or $0x100, %eax             // LME
    wrmsr
    mov %cr0, %eax
    or $0x80010004, %eax        // PG, WP, and EM: floating point and SSE raise an exception
    mov %eax, %cr0
    lgdt gdt_register
    ljmp $8, $start64

    .code64
start64:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $__stack_top, %esp
    xor %ebp, %ebp              // ends backtraces
    call ek_main
    ud2

    .section .rodata.start, "a", @progbits
    .balign 8
gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff // 64-bit code, data; accessed already
gdt_register:
    .word . - gdt - 1
    .long gdt

    .section .bss.start, "aw", @nobits
    .balign 8
    .globl x86_start_info, x86_entry_tsc
x86_start_info:
    .skip 8
x86_entry_tsc:
    .skip 8

    .section .note.GNU-stack, "", @progbits
