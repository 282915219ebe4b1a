// runtime.c: what the compiler calls for on its own (Arm IHI 0043, Run-time ABI, 4.2 and 4.3). Its
// arguments are not in C's order, hence the assembly. Left out: floating point.

// Quotient in r0 and r1, remainder in r2 and r3.
#define DIVIDE(name, function)                                                                     \
    __attribute__((naked)) void name(void);                                                        \
    __attribute__((naked)) void name(void) {                                                       \
        __asm__ volatile("push {r7, lr}\n sub sp, #16\n"                                           \
                         "add r7, sp, #8\n str r7, [sp]\n bl " #function "\n"                      \
                         "ldr r2, [sp, #8]\n ldr r3, [sp, #12]\n"                                  \
                         "add sp, #16\n pop {r7, pc}");                                            \
    }
DIVIDE(__aeabi_uldivmod, thumb_divide)
DIVIDE(__aeabi_ldivmod, thumb_divide_signed)

// Armv6-M branches 2 KB far, but calls 16 MB far.
#if __ARM_ARCH >= 7
#define JUMP(function) "b " #function
#else
#define JUMP(function) "push {r7, lr}\n bl " #function "\n pop {r7, pc}"
#endif

// (to, from, len), as in C.
#define COPY(name, function)                                                                       \
    __attribute__((naked)) void name(void);                                                        \
    __attribute__((naked)) void name(void) { __asm__ volatile(JUMP(function)); }
COPY(__aeabi_memcpy, memcpy)
COPY(__aeabi_memcpy4, memcpy)
COPY(__aeabi_memcpy8, memcpy)
COPY(__aeabi_memmove, memmove)
COPY(__aeabi_memmove4, memmove)
COPY(__aeabi_memmove8, memmove)

// (to, len, byte).
#define SET(name)                                                                                  \
    __attribute__((naked)) void name(void);                                                        \
    __attribute__((naked)) void name(void) {                                                       \
        __asm__ volatile("mov r3, r1\n mov r1, r2\n mov r2, r3\n" JUMP(memset));                   \
    }
SET(__aeabi_memset)
SET(__aeabi_memset4)
SET(__aeabi_memset8)

// (to, len), with 0.
#define CLEAR(name)                                                                                \
    __attribute__((naked)) void name(void);                                                        \
    __attribute__((naked)) void name(void) {                                                       \
        __asm__ volatile("mov r2, r1\n movs r1, #0\n" JUMP(memset));                               \
    }
CLEAR(__aeabi_memclr)
CLEAR(__aeabi_memclr4)
CLEAR(__aeabi_memclr8)

#if __ARM_ARCH >= 7
// 64-bit shifts, r0 and r1 by r2 (0 to 63); register shifts by 32 and more give 0, or the sign.
__attribute__((naked)) void __aeabi_llsl(void);
__attribute__((naked)) void __aeabi_llsl(void) {
    __asm__ volatile("subs r3, r2, #32\n it pl\n lslpl r1, r0, r3\n itttt mi\n"
                     "lslmi r1, r1, r2\n rsbmi r3, r2, #32\n lsrmi r3, r0, r3\n"
                     "orrmi r1, r1, r3\n lsl.w r0, r0, r2\n bx lr");
}
__attribute__((naked)) void __aeabi_llsr(void);
__attribute__((naked)) void __aeabi_llsr(void) {
    __asm__ volatile("subs r3, r2, #32\n it pl\n lsrpl r0, r1, r3\n itttt mi\n"
                     "lsrmi r0, r0, r2\n rsbmi r3, r2, #32\n lslmi r3, r1, r3\n"
                     "orrmi r0, r0, r3\n lsr.w r1, r1, r2\n bx lr");
}
__attribute__((naked)) void __aeabi_lasr(void);
__attribute__((naked)) void __aeabi_lasr(void) {
    __asm__ volatile("subs r3, r2, #32\n it pl\n asrpl r0, r1, r3\n itttt mi\n"
                     "lsrmi r0, r0, r2\n rsbmi r3, r2, #32\n lslmi r3, r1, r3\n"
                     "orrmi r0, r0, r3\n asr.w r1, r1, r2\n bx lr");
}
// 64-bit product: low words multiplied in full, the crossed ones added to the high word.
__attribute__((naked)) void __aeabi_lmul(void);
__attribute__((naked)) void __aeabi_lmul(void) {
    __asm__ volatile("mul r1, r1, r2\n mla r1, r0, r3, r1\n umull r0, r3, r0, r2\n"
                     "add r1, r1, r3\n bx lr");
}
#else // Armv6-M: no conditional execution, no long multiplication, no division
// 64-bit shifts: what one word loses (r3) goes into the other.
#define SHIFT(name, first, here, there, lost, back, into)                                          \
    __attribute__((naked)) void name(void);                                                        \
    __attribute__((naked)) void name(void) {                                                       \
        __asm__ volatile(                                                                          \
            "movs r3, " first "\n " here "\n " there "\n subs r2, #32\n bmi 1f\n " lost            \
            " r3, r2\n b 2f\n1: negs r2, r2\n " back " r3, r2\n2: orrs " into ", r3\n bx lr");     \
    }
SHIFT(__aeabi_llsl, "r0", "lsls r0, r2", "lsls r1, r2", "lsls", "lsrs", "r1")
SHIFT(__aeabi_llsr, "r1", "lsrs r0, r2", "lsrs r1, r2", "lsrs", "lsls", "r0")
SHIFT(__aeabi_lasr, "r1", "lsrs r0, r2", "asrs r1, r2", "asrs", "lsls", "r0")

__attribute__((naked)) void __aeabi_lmul(void);
__attribute__((naked)) void __aeabi_lmul(void) { __asm__ volatile(JUMP(thumb_multiply)); }

// Quotient in r0, remainder in r1, where only the quotient is asked for too.
#define DIVIDE32(name, function)                                                                   \
    __attribute__((naked)) void name(void);                                                        \
    __attribute__((naked)) void name(void) {                                                       \
        __asm__ volatile("push {r4, lr}\n sub sp, #8\n mov r2, sp\n bl " #function                 \
                         "\n ldr r1, [sp]\n add sp, #8\n pop {r4, pc}");                           \
    }
DIVIDE32(__aeabi_uidiv, thumb_divide32)
DIVIDE32(__aeabi_uidivmod, thumb_divide32)
DIVIDE32(__aeabi_idiv, thumb_divide32_signed)
DIVIDE32(__aeabi_idivmod, thumb_divide32_signed)
#endif
