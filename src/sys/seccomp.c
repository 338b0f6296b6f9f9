/* SPDX-License-Identifier: BSD-2-Clause */
#include "sys/seccomp.h"

#ifdef HAVE_SECCOMP

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/banned.h"

#define CALL(name) SCMP_SYS(name)
#undef pread64		/* musl renames them, and with them the calls */
#undef pwrite64

/* Memory, time, waiting, and the sockets that are open already. */
static const int both_may[] = {
	CALL(accept), CALL(accept4), CALL(brk), CALL(clock_getres), CALL(clock_gettime),
	CALL(clock_nanosleep), CALL(close), CALL(dup), CALL(epoll_create1), CALL(epoll_ctl),
	CALL(epoll_pwait), CALL(epoll_pwait2), CALL(epoll_wait), CALL(eventfd2), CALL(exit),
	CALL(exit_group), CALL(fcntl), CALL(fcntl64), CALL(fstat), CALL(fstat64), CALL(futex),
	CALL(futex_time64), CALL(getegid), CALL(geteuid), CALL(getgid), CALL(getpeername),
	CALL(getpid), CALL(getppid), CALL(getrandom), CALL(getsockname), CALL(getsockopt),
	CALL(gettid), CALL(gettimeofday), CALL(getuid), CALL(lseek), CALL(_llseek), CALL(madvise),
	CALL(membarrier), CALL(mremap), CALL(munmap), CALL(nanosleep), CALL(pipe2), CALL(poll),
	CALL(ppoll), CALL(pread64), CALL(preadv), CALL(read), CALL(readv), CALL(recvfrom),
	CALL(recvmmsg), CALL(recvmsg), CALL(restart_syscall), CALL(rseq), CALL(rt_sigaction),
	CALL(rt_sigprocmask), CALL(rt_sigreturn), CALL(rt_sigtimedwait), CALL(sched_getaffinity),
	CALL(sched_yield), CALL(select), CALL(sendmmsg), CALL(sendmsg), CALL(sendto),
	CALL(set_robust_list), CALL(set_tid_address), CALL(setsockopt), CALL(shutdown),
	CALL(sigaltstack), CALL(sigreturn), CALL(socketpair), CALL(sysinfo), CALL(time),
	CALL(timerfd_create), CALL(timerfd_settime), CALL(uname), CALL(write), CALL(writev),
};

/* Files (Landlock says which), name lookup, connections to the smarthost. */
static const int relay_may[] = {
	CALL(access), CALL(bind), CALL(connect), CALL(copy_file_range), CALL(faccessat),
	CALL(faccessat2), CALL(fadvise64), CALL(fallocate), CALL(fchmod), CALL(fdatasync),
	CALL(flock), CALL(fstatat64), CALL(fstatfs), CALL(fstatfs64), CALL(fsync), CALL(ftruncate),
	CALL(ftruncate64), CALL(getcwd), CALL(getdents64), CALL(lstat), CALL(mkdir), CALL(mkdirat),
	CALL(newfstatat), CALL(open), CALL(openat), CALL(openat2), CALL(preadv2), CALL(pwrite64),
	CALL(pwritev), CALL(pwritev2), CALL(readahead), CALL(readlink), CALL(readlinkat),
	CALL(rename), CALL(renameat), CALL(renameat2), CALL(rmdir), CALL(stat), CALL(stat64),
	CALL(statfs), CALL(statfs64), CALL(statx), CALL(sync_file_range), CALL(umask),
	CALL(unlink), CALL(unlinkat),
};

/* Nothing of ours, and no library that we use, calls these after set-up: an attack does. */
static const int attack[] = {
	CALL(bpf), CALL(chroot), CALL(delete_module), CALL(execve), CALL(execveat), CALL(finit_module),
	CALL(fork), CALL(init_module), CALL(io_uring_setup), CALL(kexec_load), CALL(mount),
	CALL(move_mount), CALL(open_tree), CALL(perf_event_open), CALL(personality), CALL(pidfd_getfd),
	CALL(pivot_root), CALL(process_vm_readv), CALL(process_vm_writev), CALL(ptrace), CALL(reboot),
	CALL(setgid), CALL(setns), CALL(setresgid), CALL(setresuid), CALL(setuid), CALL(swapon),
	CALL(umount2), CALL(unshare), CALL(userfaultfd), CALL(vfork),
};

/* What the supervisor and its commands need never (a command may ask the kernel's keyring). */
#ifdef WITH_SANITIZERS
#define TRACING			/* the leak check at exit traces its own process */
#else
#define TRACING CALL(ptrace),
#endif

static const int supervisor_may_not[] = {
	CALL(acct), CALL(bpf), CALL(chroot), CALL(clock_adjtime), CALL(clock_settime),
	CALL(delete_module), CALL(finit_module), CALL(fsmount), CALL(fsopen), CALL(init_module),
	CALL(io_uring_setup), CALL(kexec_file_load), CALL(kexec_load), CALL(mount),
	CALL(mount_setattr), CALL(move_mount), CALL(open_tree), CALL(perf_event_open),
	CALL(pidfd_getfd), CALL(pivot_root), CALL(process_vm_readv), CALL(process_vm_writev),
	TRACING CALL(quotactl), CALL(reboot), CALL(setns),
	CALL(settimeofday), CALL(swapoff), CALL(swapon), CALL(syslog), CALL(umount2), CALL(unshare),
	CALL(userfaultfd),
};

static const int intake_may_not[] = {
	CALL(bind), CALL(connect), CALL(execve), CALL(execveat), CALL(listen), CALL(socket),
};
static const int relay_may_not[] = {
	CALL(execve), CALL(execveat), CALL(listen),
};

/* 0 or a negative errno, as libseccomp has it. A call that this machine lacks is no error. */
static int
add_all(scmp_filter_ctx f, uint32_t action, const int *calls, size_t n)
{
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = seccomp_rule_add(f, action, calls[i], 0);
		if (rc == -EDOM || rc == -EACCES)
			rc = 0;		/* -EACCES: it is the default action */
	}
	return rc;
}

#define ADD_ALL(f, action, calls) add_all(f, action, calls, lengthof(calls))

/* Calls that are fine if one of their arguments is. */
struct guarded {
	int		 call;
	struct scmp_arg_cmp argument;
};

static int
add_guarded(scmp_filter_ctx f, const struct guarded *g, size_t n)
{
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, g[i].call, 1, g[i].argument);
	return rc;
}

#define ONLY(name, n, op, ...) { CALL(name), SCMP_A##n(SCMP_CMP_##op, __VA_ARGS__) }

static int
add_guarded_of_both(scmp_filter_ctx f)
{
	const struct guarded g[] = {
		/* A thread, not a process. */
		ONLY(clone, 0, MASKED_EQ, CLONE_THREAD, CLONE_THREAD),
		ONLY(tgkill, 0, EQ, (uint64_t)getpid()),
		ONLY(prctl, 0, EQ, PR_SET_NAME),
		ONLY(ioctl, 1, EQ, FIONREAD),
		ONLY(prlimit64, 2, EQ, 0),		/* ask, not set */
	};
	int rc = add_guarded(f, g, lengthof(g));

	/* It hides its flags in memory; without it, clone is used. */
	return rc != 0 ? rc : seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), CALL(clone3), 0);
}

/* Memory without this right. */
static int
add_mapping(scmp_filter_ctx f, uint64_t without)
{
	const struct guarded g[] = {
		ONLY(mmap, 2, MASKED_EQ, without, 0),
		ONLY(mmap2, 2, MASKED_EQ, without, 0),
		ONLY(mprotect, 2, MASKED_EQ, without, 0),
	};

	return add_guarded(f, g, lengthof(g));
}

static int
add_guarded_of_intake(scmp_filter_ctx f)
{
	const struct guarded g[] = {
		/* fstat() of the C library. */
		ONLY(newfstatat, 3, MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH),
	};

	return add_guarded(f, g, lengthof(g));
}

static int
add_guarded_of_relay(scmp_filter_ctx f)
{
	const struct guarded g[] = {
		ONLY(socket, 0, EQ, AF_UNIX),
		ONLY(socket, 0, EQ, AF_INET),
		ONLY(socket, 0, EQ, AF_INET6),
		ONLY(socket, 0, EQ, AF_NETLINK),
	};

	return add_guarded(f, g, lengthof(g));
}

static int
fill_role(scmp_filter_ctx f, enum sandbox_role role)
{
	bool relay = role == SANDBOX_RELAY;
	int rc = ADD_ALL(f, SCMP_ACT_ALLOW, both_may);

	if (rc == 0)
		rc = ADD_ALL(f, SCMP_ACT_KILL_PROCESS, attack);
	if (rc == 0)
		rc = add_guarded_of_both(f);
	if (rc == 0)
		rc = add_mapping(f, PROT_EXEC);
	/* getaddrinfo() loads modules: relay may map code, but none that it could write to. */
	if (rc == 0 && relay)
		rc = add_mapping(f, PROT_WRITE);
	if (rc == 0 && relay)
		rc = ADD_ALL(f, SCMP_ACT_ALLOW, relay_may);
	return rc != 0 ? rc : relay ? add_guarded_of_relay(f) : add_guarded_of_intake(f);
}

#ifdef WITH_SANITIZERS
static const bool is_partial = true;
#else
static const bool is_partial = false;
#endif

static int
fill(scmp_filter_ctx f, enum sandbox_role role)
{
	const uint32_t no = SCMP_ACT_ERRNO(EPERM);

	if (role == SANDBOX_SUPERVISOR)
		return ADD_ALL(f, no, supervisor_may_not);
	if (!is_partial)
		return fill_role(f, role);
	return role == SANDBOX_INTAKE ? ADD_ALL(f, no, intake_may_not) : ADD_ALL(f, no, relay_may_not);
}

int
seccomp_apply(enum sandbox_role role, bool *partial, struct err *e)
{
	bool deny_list = role == SANDBOX_SUPERVISOR || is_partial;
	scmp_filter_ctx f = seccomp_init(deny_list ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM));
	int rc;

	if (f == NULL)
		return err_set(e, ERR_SYSTEM, "no memory for the system call filter");
	/* As a tree: about a hundred rules, on every call. */
	(void)seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);		/* older libraries: a list */
	rc = fill(f, role);
	if (rc == 0)
		rc = seccomp_load(f);
	seccomp_release(f);
	if (rc != 0)
		return err_sys(e, -rc, "can't filter system calls");
	*partial = is_partial && role != SANDBOX_SUPERVISOR;
	return 0;
}

#else

#include <stdbool.h>

#include "base/banned.h"

int
seccomp_apply(enum sandbox_role role, bool *partial, struct err *e)
{
	return err_set(e, ERR_SYSTEM, "built without seccomp");
}

#endif
