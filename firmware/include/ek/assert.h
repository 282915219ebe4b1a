// ek/assert.h: for errors of the program itself. Kept in release images.
#ifndef EK_ASSERT_H
#define EK_ASSERT_H
_Noreturn void ek_assert_fail(const char *file, int line);
// One condition each, no side effects inside.
#define ek_assert(cond) ((cond) ? (void)0 : ek_assert_fail(__FILE_NAME__, __LINE__))
#endif
