// start.S: from PVH entry to C. 32-bit protected mode without paging, interrupts off, EBX = the
// start information; builds page tables and enters 64-bit mode. Follows xen/docs/misc/pvh.pandoc,
// Intel SDM volume 3, 10.8.5 (2024). Left out: 5-level paging, other processors, processors that
// cannot forbid execution (NX).
//
// What is mapped, one to one: the first 2 MB by pages, as `regions` below has them; from there to
// 992 MB all memory, where only what a loader left is read, read-only; the last 32 MB of the fourth
// GB, where virtio-mmio, IOAPIC and local APIC are, uncached. Only code is executable.

    // Reserved by the linker script, within bss.
#define PAGE_MAP x86_page_tables
#define PAGE_DIRECTORY_POINTERS (x86_page_tables + 4096)
#define PAGE_DIRECTORY (x86_page_tables + 8192)
#define HIGH_DIRECTORY (x86_page_tables + 12288) // of the fourth GB
#define PAGES (x86_page_tables + 16384)          // of the first 2 MB

// Of entries (SDM volume 3, 4.5): present, accessed; and with that written, writable; of 2 MB;
// uncached (PCD, PWT). NO_EXECUTE is the upper half's.
#define CODE 0x21
#define VARIABLES 0x63
#define MEMORY 0xa1
#define DEVICES 0xfb
#define NO_EXECUTE 0x80000000

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
    mov $__stack_top, %esp

    movl $PAGE_DIRECTORY_POINTERS + 3, PAGE_MAP
    movl $PAGE_DIRECTORY + 3, PAGE_DIRECTORY_POINTERS
    movl $HIGH_DIRECTORY + 3, PAGE_DIRECTORY_POINTERS + 24
    movl $PAGES + 3, PAGE_DIRECTORY
    mov $PAGES, %edi
    xor %eax, %eax              // the page's address, upwards
    mov $regions, %esi
1:  mov 4(%esi), %edx
    lea (%eax, %edx), %ecx
    and $NO_EXECUTE, %edx
    btr $31, %ecx
    mov %ecx, (%edi)
    mov %edx, 4(%edi)
    add $8, %edi
    add $0x1000, %eax
    cmp (%esi), %eax
    jb 1b
    add $8, %esi
    cmp $0x200000, %eax
    jb 1b

    mov $PAGE_DIRECTORY + 8, %edi // EAX is at 2 MB
    add $MEMORY, %eax
    mov $495, %ecx
    call fill
    mov $HIGH_DIRECTORY + 496 * 8, %edi
    mov $0xfe000000 + DEVICES, %eax
    mov $16, %ecx
    call fill

    mov $PAGE_MAP, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x20, %eax              // PAE
    mov %eax, %cr4
    mov $0xc0000080, %ecx       // EFER
    rdmsr
    or $0x900, %eax             // LME, NXE
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
    xor %ebp, %ebp              // ends backtraces
    mov $task_state, %eax       // whose address the descriptor has in two parts, and 0 over 16 MB
    mov %ax, task_descriptor + 2
    shr $16, %eax
    mov %al, task_descriptor + 4
    movl $__stack_top, task_state + 36 // IST1, for double faults: a stack that overflowed
    mov $24, %eax
    ltr %ax
    call ek_main
    ud2

    // ECX entries of 2 MB at EDI, not executable, from EAX upwards.
    .code32
fill:
    mov %eax, (%edi)
    movl $NO_EXECUTE, 4(%edi)
    add $8, %edi
    add $0x200000, %eax
    loop fill
    ret

    .section .rodata.start, "a", @progbits
    .balign 8
    // The first 2 MB: where a region ends, and what its pages are; 0: not mapped.
regions:
    .long 0x1000, 0             // null pointers
    .long 0xa0000, CODE + NO_EXECUTE // read-only: what a loader left
    .long 0xc0000, 0            // of old graphics cards
    .long __text_start, CODE + NO_EXECUTE
    .long __text_end, CODE
    .long __data_start, CODE + NO_EXECUTE
    .long __bss_end, VARIABLES + NO_EXECUTE
    .long __stack_bottom, 0
    .long __stack_top, VARIABLES + NO_EXECUTE
    .long 0x200000, CODE + NO_EXECUTE
gdt_register:
    .word gdt_end - gdt - 1
    .long gdt

    // Writable: the processor marks the task as busy.
    .section .data.start, "aw", @progbits
    .balign 8
gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff // 64-bit code, data; accessed already
task_descriptor:
    .quad 0x0000890000000067, 0 // 104 bytes, not busy
gdt_end:

    .section .bss.start, "aw", @nobits
    .balign 8
    .globl x86_start_info, x86_entry_tsc
x86_start_info:
    .skip 8
x86_entry_tsc:
    .skip 8
    .balign 8
task_state: // only its interrupt stack is used (SDM volume 3, 8.7)
    .skip 104

    .section .note.GNU-stack, "", @progbits
