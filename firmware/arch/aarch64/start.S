// start.S: entry and exception vectors. Arm DDI 0487 (Armv8-A); D1.10 is the vector table.
// Entered at EL3, EL2 or EL1, with or without MMU and caches; all runs at EL1. From EL3, that is
// the secure EL1: nobody is there who would have made the devices non-secure.
// The table's first quarter is for exceptions taken on SP_EL0, which is never selected here: the
// entry code stands there. Its second half, for lower exception levels, does not exist. What is
// common to the entries fills the 128 bytes of the first two.

#define HCR_RW (1 << 31)       // EL1 is AArch64
#define CNTHCTL_EL1 3          // EL1 may use the physical counter and timer
#define CPTR_RES1 0x33ff       // CPTR_EL2: nothing is trapped
#define SCR_EL3 0x4b0          // EL1 is AArch64, SMC is undefined; RES1
#define SPSR_EL1H_MASKED 0x3c5 // EL1 with its own stack; D, A, I, F masked
#define SCTLR_RES1 0x30d00800  // MMU, caches and alignment checks off, little-endian
#define SRE_EL1 0xf            // GICv3: system registers, for EL1 too; no bypass (Arm IHI 0069)
#define ICC_SRE_EL2 s3_4_c12_c9_5
#define ICC_SRE_EL3 s3_6_c12_c12_5
#define CPUECTLR_EL1 s3_1_c15_c2_1 // Cortex-A53 and A72; SMPEN has to be set before caches are on
#define CPUECTLR_SMPEN (1 << 6)

    .section .vectors, "ax"
    .balign 2048
vectors:
    .globl _start
_start:
    msr     daifset, #15
    mrs     x0, mpidr_el1           // other processors sleep for good
    and     x0, x0, #0xffffff       // affinity, less that of the highest level
1:  cbz     x0, 2f
    wfi
    b       1b
2:  mrs     x22, id_aa64pfr0_el1
    ubfx    x22, x22, #24, #4       // GIC: system registers there
    ldr     x21, =SCTLR_RES1
    mov     x1, #SPSR_EL1H_MASKED
    adr     x2, at_el1
    mrs     x19, CurrentEL
    lsr     x19, x19, #2            // 1 to 3
    cmp     x19, #2
    b.hi    at_el3
    b.eq    at_el2
    mrs     x20, sctlr_el1
    msr     sctlr_el1, x21
    b       at_el1
at_el2:
    mrs     x20, sctlr_el2
    msr     sctlr_el2, x21          // its RES1 bits are among those
    mov     x0, #HCR_RW
    msr     hcr_el2, x0
    mov     x0, #CNTHCTL_EL1
    msr     cnthctl_el2, x0
    msr     cntvoff_el2, xzr
    mov     x0, #CPTR_RES1
    msr     cptr_el2, x0
    cbz     x22, 3f
    mov     x0, #SRE_EL1
    msr     ICC_SRE_EL2, x0
3:  msr     sctlr_el1, x21
    msr     spsr_el2, x1
    msr     elr_el2, x2
    isb
    eret
at_el3:
    mrs     x20, sctlr_el3
    msr     sctlr_el3, x21
    mov     x0, #SCR_EL3
    msr     scr_el3, x0
    msr     cptr_el3, xzr
    mrs     x0, CPUECTLR_EL1
    orr     x0, x0, #CPUECTLR_SMPEN
    msr     CPUECTLR_EL1, x0
    cbz     x22, 4f
    mov     x0, #SRE_EL1
    msr     ICC_SRE_EL3, x0
4:  msr     sctlr_el1, x21
    msr     spsr_el3, x1
    msr     elr_el3, x2
    isb
    eret
at_el1:
    isb
    tbz     x20, #2, 5f             // C
    bl      clean_caches
5:  tlbi    vmalle1
    ic      iallu
    msr     spsel, #1
    ldr     x0, =__stack_top
    mov     sp, x0
    adr     x0, vectors
    msr     vbar_el1, x0
    mov     x0, #(3 << 20)          // FPEN: no traps, though nothing here uses FP
    msr     cpacr_el1, x0
    dsb     sy
    isb
    mrs     x20, cntvct_el0

    // Memory, then C.
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
    bl      aarch64_mmu_on
    mov     x30, xzr
    bl      ek_main

    // Clean and invalidate by set and way, each level to the point of coherency (D7.4): whoever was
    // here before left caches on. Uses x0 to x11.
clean_caches:
    dsb     sy
    mrs     x0, clidr_el1
    ubfx    x3, x0, #24, #3         // LoC
    lsl     x3, x3, #1
    mov     x10, #0                 // level, shifted by 1
1:  cmp     x3, x10
    b.ls    5f
    add     x2, x10, x10, lsr #1
    lsr     x1, x0, x2
    and     x1, x1, #7
    cmp     x1, #2
    b.lo    4f                      // no data cache at this level
    msr     csselr_el1, x10
    isb
    mrs     x1, ccsidr_el1
    and     x2, x1, #7
    add     x2, x2, #4              // log2 of the bytes in a line
    ubfx    x4, x1, #3, #10         // ways - 1
    clz     w5, w4                  // where the way's number stands
    ubfx    x7, x1, #13, #15        // sets - 1
2:  mov     x9, x4
3:  lsl     x6, x9, x5
    orr     x11, x10, x6
    lsl     x6, x7, x2
    orr     x11, x11, x6
    dc      cisw, x11
    subs    x9, x9, #1
    b.ge    3b
    subs    x7, x7, #1
    b.ge    2b
4:  add     x10, x10, #2
    b       1b
5:  dsb     sy
    ret
    .ltorg

    // Exceptions of the current level, on its own stack.
    .org    vectors + 0x200         // synchronous
    // A call that nobody answers (HLT of semihosting, HVC, SMC) is undefined: it returns -1. The
    // code around such calls gives up x16 and x17. Anything else is the end.
    mov     x16, #0
    mrs     x17, esr_el1
    lsr     x17, x17, #26           // exception class 0: undefined instruction
    cbnz    x17, fault
    mrs     x17, elr_el1
    tst     x17, #3
    b.ne    fault
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
    b       fault
3:  mrs     x17, elr_el1
    add     x17, x17, #4
    msr     elr_el1, x17
    mov     x0, #-1
    eret

    .org    vectors + 0x280
    mov     x16, #1                 // IRQ: masked, cannot be
    // Keep the stack if a panic fits below it, else begin at its top: nobody returns.
fault:
    ldr     x0, =__stack_top
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

    .org    vectors + 0x300
    mov     x16, #2                 // FIQ
    b       fault
    .ltorg

    .org    vectors + 0x380
    mov     x16, #3                 // SError
    b       fault
