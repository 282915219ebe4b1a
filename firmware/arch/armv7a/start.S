// start.S: entry and exception vectors. Arm DDI 0406C; numbers in parentheses are its sections.
// Entered by a boot loader or an emulator in Supervisor, System, Monitor or Hyp mode, with or
// without MMU and caches. All runs in Supervisor mode with interrupts masked; the other modes are
// only passed through and need no stacks.

#define MODE_SVC 0x13
#define MODE_HYP 0x1a
#define MODE_MASK 0x1f
#define PSR_SVC_MASKED_THUMB 0x1f3    // A, I, F masked, T
#define SCTLR_ON 0x1005               // I, C, M (B4.1.130)
#define SCTLR_CLEAR 0x02102002        // EE, UWXN, V, A
#define SCTLR_TE (1 << 30)            // exceptions are taken in Thumb
#define ACTLR_SMP (1 << 6)            // Cortex-A7 needs it before its caches are switched on
#define CNTHCTL_PL1 3                 // PL1 may use the physical counter and timer (B8.1.2)

    .syntax unified
    .section .vectors, "ax"
    .arm                              // what every loader expects
    .globl _start
    .type _start, %function
_start:
    cpsid   aif
    ldr     r0, =entry
    bx      r0
    .ltorg

    .thumb
    .balign 32
vectors:
    b.w     stray                     // reset
    b.w     undefined
    b.w     call
    b.w     prefetch_abort
    b.w     data_abort
    b.w     stray                     // Hyp
    b.w     stray                     // IRQ: masked, cannot be
    b.w     stray                     // FIQ

    .thumb_func
entry:
    mrc     p15, 0, r0, c0, c0, 5     // MPIDR: other processors sleep for good
    ands    r0, r0, #3
    beq     2f
1:  wfe
    b       1b

2:  mrs     r0, cpsr
    and     r0, r0, #MODE_MASK
    cmp     r0, #MODE_HYP
    bne     3f
    movs    r0, #0
    mcr     p15, 4, r0, c1, c1, 0     // HCR: nothing is trapped
    mcrr    p15, 4, r0, r0, c14       // CNTVOFF
    mrc     p15, 4, r0, c14, c1, 0
    orr     r0, r0, #CNTHCTL_PL1
    mcr     p15, 4, r0, c14, c1, 0
    mov     r0, #PSR_SVC_MASKED_THUMB
    msr     spsr_cxsf, r0
    ldr     r0, =3f
    msr     elr_hyp, r0
    eret
3:  cpsid   aif, #MODE_SVC

    // Whoever was here before may have left MMU and caches on.
    mrc     p15, 0, r12, c1, c0, 0
    ldr     r1, =SCTLR_ON + SCTLR_CLEAR
    bic     r1, r12, r1
    orr     r1, r1, #SCTLR_TE
    mcr     p15, 0, r1, c1, c0, 0
    isb
    ands    r0, r12, #4               // C
    beq     9f

    // Clean and invalidate by set and way, each level to the point of coherency (B2.2.7).
    dsb
    mrc     p15, 1, r0, c0, c0, 1     // CLIDR
    ubfx    r3, r0, #24, #3           // LoC
    lsls    r3, r3, #1
    movs    r10, #0                   // level, shifted by 1
4:  cmp     r3, r10
    ble     8f
    add     r2, r10, r10, lsr #1
    lsr     r1, r0, r2
    and     r1, r1, #7
    cmp     r1, #2
    blt     7f                        // no data cache at this level
    mcr     p15, 2, r10, c0, c0, 0    // CSSELR
    isb
    mrc     p15, 1, r1, c0, c0, 0     // CCSIDR
    and     r2, r1, #7
    adds    r2, r2, #4                // log2 of the bytes in a line
    ubfx    r4, r1, #3, #10           // ways - 1
    clz     r5, r4                    // where the way's number stands
    ubfx    r7, r1, #13, #15          // sets - 1
5:  mov     r9, r4
6:  lsl     r6, r9, r5
    orr     r11, r10, r6
    lsl     r6, r7, r2
    orr     r11, r11, r6
    mcr     p15, 0, r11, c7, c14, 2   // DCCISW
    subs    r9, r9, #1
    bge     6b
    subs    r7, r7, #1
    bge     5b
7:  adds    r10, r10, #2
    b       4b
8:  dsb

9:  movs    r0, #0
    mcr     p15, 0, r0, c8, c7, 0     // TLBIALL
    mcr     p15, 0, r0, c7, c5, 0     // ICIALLU
    mcr     p15, 0, r0, c7, c5, 6     // BPIALL
    mrc     p15, 0, r0, c1, c0, 1
    tst     r0, #ACTLR_SMP
    bne     1f
    orr     r0, r0, #ACTLR_SMP
    mcr     p15, 0, r0, c1, c0, 1
1:  ldr     r0, =vectors
    mcr     p15, 0, r0, c12, c0, 0    // VBAR
    dsb
    isb
    mrrc    p15, 0, r4, r5, c14       // CNTPCT
    ldr     r0, =__stack_top
    mov     sp, r0
    ldr     r0, =__bss_start
    ldr     r1, =__bss_end
    movs    r2, #0
2:  cmp     r0, r1
    bhs     3f
    str     r2, [r0], #4              // both ends are aligned by link.ld.in
    b       2b
3:  ldr     r0, =armv7a_entry_counter
    strd    r4, r5, [r0]
    bl      armv7a_mmu_on
    bl      ek_main
    .ltorg

    // A semihosting call that nobody answers returns -1. There are no other calls.
    .thumb_func
call:
    mov     r0, #-1
    subs    pc, lr, #0

    // r0: kind as in fault.c, r1: where, from the exception's own lr (B1.8.3)
    .thumb_func
undefined:
    movs    r0, #1
    subs    r1, lr, #2
    b       fault
    .thumb_func
prefetch_abort:
    movs    r0, #2
    subs    r1, lr, #4
    b       fault
    .thumb_func
data_abort:
    movs    r0, #3
    sub     r1, lr, #8
    b       fault
    .thumb_func
stray:
    movs    r0, #0
    subs    r1, lr, #4

    // Back to Supervisor mode, whose lr is that of the code in question. Keep the stack if a panic
    // fits below it, else begin at its top: nobody returns.
fault:
    cpsid   aif, #MODE_SVC
    mov     r2, lr
    mov     r3, sp
    ldr     r4, =__stack_top
    ldr     r5, =__stack_bottom + 1024
    cmp     r3, r4
    bhi     1f
    cmp     r3, r5
    bhs     2f
1:  mov     sp, r4
2:  mov     r4, sp
    bic     r4, r4, #7
    mov     sp, r4
    bl      armv7a_fault              // (kind, pc, lr, sp)
    .ltorg
