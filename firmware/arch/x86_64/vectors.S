// vectors.S: entries of exceptions (vectors 0 to 31) and interrupts. Exceptions never return, so
// they save nothing; x86_exception() gets a struct x86_exception.

    .macro exception number
    // The processor pushes an error code itself for these (SDM volume 3, table 6-1).
    .if (\number == 8) || (\number >= 10 && \number <= 14) || (\number == 17) || (\number == 21)
    .byte 0x66, 0x90, 0x66, 0x90 // two no-ops of two bytes: every entry has the same length
    .else
    .byte 0x6a, 0x00, 0x66, 0x90 // push $0, no-op
    .endif
    .byte 0x6a, \number          // push $number
    .byte 0xe9                   // jmp exception_common, 32-bit offset
    .long exception_common - . - 4
    .endm

    .section .text.vectors, "ax", @progbits
    .code64
    .globl x86_exception_entries
x86_exception_entries:
    .altmacro
    .set vector, 0
    .rept 32
    exception %vector
    .set vector, vector + 1
    .endr

exception_common:
    cld
    push %rbp
    mov %rsp, %rdi
    xor %ebp, %ebp
    and $-16, %rsp
    call x86_exception
    ud2

    // The device entry leaves the interrupt in service; arch_idle() ends it, see interrupts.c.
    .globl x86_device_entry, x86_timer_entry, x86_spurious_entry
x86_device_entry:
    movb $1, x86_device_in_service
    iretq

x86_timer_entry:
    push %rax
    mov $0xfee000b0, %eax        // end of interrupt
    movl $0, (%rax)
    pop %rax
x86_spurious_entry:
    iretq

    .section .note.GNU-stack, "", @progbits
