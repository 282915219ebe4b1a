// start.S: entry and exception vectors. Arm DDI 0487 (Armv8-A); D1.10 is the vector table.
// Entered at EL2 or EL1 with the MMU off. The table's first quarter is for exceptions taken on
// SP_EL0, which is never selected here: the entry code stands there. Its second half, for lower
// exception levels, does not exist.

#define HCR_RW (1 << 31)       // EL1 is AArch64
#define CNTHCTL_EL1 3          // EL1 may use the physical counter and timer
#define SPSR_EL1H_MASKED 0x3c5 // EL1 with its own stack; D, A, I, F masked
#define SCTLR_RES1 0x30d00800  // MMU, caches and alignment checks off, little-endian

    .section .vectors, "ax"
    .balign 2048
vectors:
    .globl _start
_start:
    msr     daifset, #15
    mrs     x20, cntvct_el0
    mrs     x19, CurrentEL
    lsr     x19, x19, #2            // 1 or 2
    cmp     x19, #2
    b.ne    at_el1
    mov     x0, #HCR_RW
    msr     hcr_el2, x0
    mov     x0, #CNTHCTL_EL1
    msr     cnthctl_el2, x0
    msr     cntvoff_el2, xzr
    mrs     x20, cntvct_el0
    ldr     x0, =SCTLR_RES1
    msr     sctlr_el1, x0
    mov     x0, #SPSR_EL1H_MASKED
    msr     spsr_el2, x0
    adr     x0, at_el1
    msr     elr_el2, x0
    isb
    eret
at_el1:
    msr     spsel, #1
    ldr     x0, =__stack_top
    mov     sp, x0
    adr     x0, vectors
    msr     vbar_el1, x0
    mov     x0, #(3 << 20)          // FPEN: no traps, though nothing here uses FP
    msr     cpacr_el1, x0
    isb
    ldr     x0, =__bss_start
    ldr     x1, =__bss_end
1:  cmp     x0, x1
    b.hs    2f
    stp     xzr, xzr, [x0], #16     // both ends are aligned by link.ld.in
    b       1b
2:  ldr     x0, =aarch64_entry
    stp     x19, x20, [x0]          // exception level, counter
    mov     x29, xzr                // the end of every backtrace
    mov     x30, xzr
    bl      ek_main
    .ltorg

    // Exceptions of the current level, on its own stack.
    .org    vectors + 0x200
    mov     x16, #0                 // synchronous
    b       fault
    .org    vectors + 0x280
    mov     x16, #1                 // IRQ: masked, cannot be
    b       fault
    .org    vectors + 0x300
    mov     x16, #2                 // FIQ
    b       fault
    .org    vectors + 0x380
    mov     x16, #3                 // SError
    // Fall through.

// A call that nobody answers (HLT of semihosting, HVC, SMC) is undefined: it returns -1. The code
// around such calls gives up x16 and x17. Anything else is the end.
fault:
    cbnz    x16, 4f
    mrs     x17, esr_el1
    lsr     x17, x17, #26           // exception class 0: undefined instruction
    cbnz    x17, 4f
    mrs     x17, elr_el1
    tst     x17, #3
    b.ne    4f
    ldr     w17, [x17]
    ldr     w16, =0xd45e0000        // hlt #0xf000
    cmp     w17, w16
    b.eq    3f
    ldr     w16, =0xd4000002        // hvc #0
    cmp     w17, w16
    b.eq    3f
    add     w16, w16, #1            // smc #0
    cmp     w17, w16
    b.eq    3f
    mov     x16, #0
    b       4f
3:  mrs     x17, elr_el1
    add     x17, x17, #4
    msr     elr_el1, x17
    mov     x0, #-1
    eret

    // Keep the stack if a panic fits below it, else begin at its top: nobody returns.
4:  ldr     x0, =__stack_top
    ldr     x1, =__stack_bottom + 1024
    mov     x2, sp
    mov     x4, sp
    cmp     x2, x0
    b.hi    5f
    cmp     x2, x1
    b.hs    6f
5:  mov     x4, x0
6:  and     x4, x4, #~15
    mov     sp, x4
    mov     x0, x16
    mov     x1, x29
    b       aarch64_fault           // (kind, frame, sp)
    .ltorg
