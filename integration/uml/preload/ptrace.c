// Loaded into linux.uml before the C library.
//
// User Mode Linux before 6.13 keeps 2,696 bytes of a program's extended
// registers, which is what x86 had until AMX. Linux takes them only whole: less
// is EFAULT (xstateregs_set in arch/x86/kernel/fpu/regset.c), and on a processor
// with AMX not even the first program of a host would run. Here they are made
// whole. What is added is AMX's part, which programs on a host cannot use, so
// it is zero: its initial state.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef long function(enum __ptrace_request, ...);
static function *next;

__attribute__((constructor)) static void find(void)
{
	next = (function *)dlsym(RTLD_NEXT, "ptrace");
}

// Not on the stack, which is a kernel's and small. Nothing here runs twice at
// once: a host has one processor.
static char whole[64 << 10];

static long set(pid_t pid, const struct iovec *given)
{
	struct iovec all = {whole, sizeof whole};

	// Of what this reads, only the length matters.
	if (next(PTRACE_GETREGSET, pid, NT_X86_XSTATE, &all) < 0)
		return -1;
	if (given->iov_len < all.iov_len) {
		memset(whole, 0, all.iov_len);
		memcpy(whole, given->iov_base, given->iov_len);
		given = &all;
	}
	return next(PTRACE_SETREGSET, pid, NT_X86_XSTATE, given);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list args;

	va_start(args, request);
	pid_t pid = va_arg(args, pid_t);
	void *addr = va_arg(args, void *);
	void *data = va_arg(args, void *);
	va_end(args);
	if (request == PTRACE_SETREGSET && (long)addr == NT_X86_XSTATE)
		return set(pid, data);
	return next(request, pid, addr, data);
}
