// Wild pointers in system calls: each pointer in turn is one of several bad ones while the other arguments are good. What the kernel says is printed;
// it is to be the same for the guest and natively, and nobody may die of it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_statmount
#define SYS_statmount 457
#define SYS_listmount 458
#endif

// Letters of an argument: p pointer to a buffer of zeros, o the same, where none would mean to wait for ever, s pointer to a path that does not exist, d AT_FDCWD, r a descriptor to read from (/dev/zero), w one to
// write to (/dev/null), P a pipe that holds bytes, u an unbound socket, U one end of a pair, e epoll, t timerfd, i inotify, F a regular file, 0 to 9 the number, n 64,
// m -1, q SIGUSR1, S the size of a signal set.
struct Call {
  const char *name;
  long number;
  const char *arguments;
};
#define CALL(name, arguments) {#name, SYS_##name, arguments}
static const struct Call calls[] = {
    CALL(read, "rpn"), CALL(write, "Fpn"), CALL(pread64, "Fpn0"), CALL(pwrite64, "Fpn0"), CALL(readv, "rp1"), CALL(writev, "Fp1"), CALL(preadv, "Fp100"), CALL(pwritev, "Fp100"),
    CALL(openat, "dp00"), CALL(openat2, "dspn"), CALL(openat2, "dp03"), CALL(newfstatat, "dpp0"), CALL(newfstatat, "Fsp0"), CALL(fstat, "Fp"), CALL(statx, "dp0np"), CALL(statfs, "pp"), CALL(fstatfs, "Fp"),
    CALL(readlinkat, "dppn"), CALL(faccessat, "dp0"), CALL(faccessat2, "dp00"), CALL(chdir, "p"), CALL(getcwd, "pn"), CALL(fchmodat, "dp0"), CALL(fchownat, "dpmm0"), CALL(mknodat, "dp00"),
    CALL(mkdirat, "dp0"), CALL(unlinkat, "dp0"), CALL(symlinkat, "pdp"), CALL(linkat, "dpdp0"), CALL(renameat2, "dpdp0"), CALL(truncate, "p0"), CALL(utimensat, "dpp0"), CALL(utimensat, "F0p0"),
    CALL(setxattr, "pppn0"), CALL(lsetxattr, "pppn0"), CALL(fsetxattr, "Fppn0"), CALL(getxattr, "pppn"), CALL(lgetxattr, "pppn"), CALL(fgetxattr, "Fppn"), CALL(listxattr, "ppn"), CALL(llistxattr, "ppn"),
    CALL(flistxattr, "Fpn"), CALL(removexattr, "pp"), CALL(fremovexattr, "Fp"), CALL(name_to_handle_at, "dppp0"), CALL(mount, "ppp0p"), CALL(umount2, "p0"), CALL(open_tree, "dp0"), CALL(move_mount, "dpdp0"),
    CALL(fsopen, "p0"), CALL(fspick, "dp0"), CALL(mount_setattr, "dp0pn"), CALL(inotify_add_watch, "ip1"), CALL(getdents64, "Fpn"),
    CALL(pipe2, "p0"), CALL(sendfile, "wrpn"), CALL(splice, "PpFpn0"), CALL(vmsplice, "Pp10"), CALL(copy_file_range, "FpFpn0"), CALL(epoll_ctl, "e1rp"), CALL(epoll_pwait, "ep100S"), CALL(epoll_pwait, "e010pS"),
    CALL(ppoll, "p1opS"), CALL(pselect6, "5pppo0"), CALL(io_setup, "1p"), CALL(io_submit, "01p"), CALL(io_getevents, "001pp"), CALL(fcntl, "F5p"), CALL(fcntl, "F6p"), CALL(ioctl, "u4p"),
    CALL(socketpair, "110p"), CALL(bind, "upn"), CALL(connect, "upn"), CALL(accept4, "upp0"), CALL(getsockname, "upp"), CALL(getpeername, "Upp"), CALL(sendto, "Upn0p0"), CALL(recvfrom, "Upn0pp"), CALL(setsockopt, "u12p4"),
    CALL(getsockopt, "u12pp"), CALL(sendmsg, "Up0"), CALL(recvmsg, "Up0"), CALL(sendmmsg, "Up10"), 
    CALL(nanosleep, "pp"), CALL(clock_gettime, "1p"), CALL(clock_getres, "1p"), CALL(clock_nanosleep, "10pp"), CALL(gettimeofday, "pp"), CALL(times, "p"), CALL(getitimer, "0p"), CALL(setitimer, "2pp"), CALL(timer_create, "1pp"),
    CALL(timer_gettime, "0p"), CALL(timer_settime, "00pp"), CALL(timerfd_settime, "t0pp"), CALL(timerfd_gettime, "tp"), CALL(adjtimex, "p"), CALL(clock_adjtime, "0p"),
    CALL(rt_sigaction, "qppS"), CALL(rt_sigprocmask, "0ppS"), CALL(rt_sigpending, "pS"), CALL(rt_sigtimedwait, "ppoS"), CALL(rt_sigqueueinfo, "00p"), CALL(signalfd4, "mpS0"), CALL(sigaltstack, "pp"), 
    CALL(futex, "p101p0"), CALL(futex, "p010p0"), CALL(futex_waitv, "p1000"), CALL(set_robust_list, "p3"), CALL(get_robust_list, "0pp"), CALL(getresuid, "ppp"), CALL(getresgid, "ppp"), CALL(getgroups, "np"), CALL(capget, "pp"),
    CALL(capset, "pp"), CALL(getrusage, "0p"), CALL(getcpu, "pp"), CALL(sched_getparam, "0p"), CALL(sched_setparam, "0p"), CALL(sched_setscheduler, "00p"), CALL(sched_getaffinity, "0np"), CALL(sched_setaffinity, "0np"),
    CALL(sched_rr_get_interval, "0p"), CALL(sched_getattr, "0pn0"), CALL(sched_setattr, "0p0"), CALL(getrlimit, "4p"), CALL(setrlimit, "4p"), CALL(prlimit64, "070p"), CALL(prlimit64, "04pp"), CALL(wait4, "m1pp"), CALL(waitid, "00p4p"),
    CALL(process_vm_readv, "0p1p10"), CALL(execve, "ppp"), CALL(execve, "spp"), CALL(execveat, "dppp0"), CALL(uname, "p"), CALL(sysinfo, "p"), CALL(getrandom, "pn0"), CALL(memfd_create, "p0"),
    CALL(get_mempolicy, "pp000"), CALL(add_key, "pppnm"), CALL(request_key, "pppm"), CALL(landlock_create_ruleset, "pn0"), CALL(mq_open, "pnnp"), CALL(mq_unlink, "p"), CALL(semop, "mp1"),
    CALL(semtimedop, "mp1p"), CALL(msgsnd, "mpn0"), CALL(msgrcv, "mpn00"), CALL(shmctl, "m2p"), CALL(semctl, "m02p"), CALL(msgctl, "m2p"), CALL(quotactl, "0p0p"), CALL(pidfd_send_signal, "F0p0"), CALL(statmount, "ppn0"), CALL(listmount, "pp10"),
    CALL(pivot_root, "pp"), CALL(fanotify_mark, "F10dp"), 
};

static char *page(int protection) { return mmap(0, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }

static long pick(char letter, int files[128]) {
  if (letter >= '0' && letter <= '9') return letter - '0';
  switch (letter) {
    case 'd': return AT_FDCWD;
    case 'n': return 64;
    case 'm': return -1;
    case 'q': return SIGUSR1;
    case 'S': return 8;
    case 's': return (long)"/no/such/file";
    default: return files[(int)letter];
  }
}

static void open_files(int files[128]) {
  int two[2];
  files['r'] = open("/dev/zero", O_RDONLY);
  files['w'] = open("/dev/null", O_WRONLY);
  pipe(two), write(two[1], "12345678", 8), files['P'] = two[0];
  files['u'] = socket(AF_UNIX, SOCK_STREAM, 0);
  socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, two), files['U'] = two[0];
  for (int k = 0; k < 3; k++) write(two[1], "12345678", 8);
  files['e'] = epoll_create1(0);
  files['t'] = syscall(SYS_timerfd_create, 1, 0);
  files['i'] = syscall(SYS_inotify_init1, 0);
  files['F'] = syscall(SYS_memfd_create, "file", 0);
  ftruncate(files['F'], 100);
}

int main(void) {
  char *none = page(PROT_NONE), *constant = page(PROT_READ), *last = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + 4096 - 3;
  static char good[6][4096];
  munmap(last + 3, 4096);
  const struct {
    const char *name;
    char *pointer;
  } bad[] = {{"null", 0}, {"low", (char *)8}, {"kernel", (char *)-4096}, {"odd", (char *)0x8000000000000000}, {"none", none}, {"constant", constant}, {"last", last}};
  setvbuf(stdout, 0, _IOFBF, 1 << 16);
  for (unsigned c = 0; c < sizeof calls / sizeof *calls; c++) {
    fflush(stdout);
    // One process a call: what is done to it is gone afterwards.
    const pid_t child = fork();
    if (child) {
      int status;
      waitpid(child, &status, 0);
      if (status) printf("%s: ended with %#x\n", calls[c].name, status);
      continue;
    }
    signal(SIGALRM, SIG_DFL), alarm(20);
    setpgid(0, 0);
    int files[128] = {0};
    open_files(files);
    printf("%s", calls[c].name);
    for (int at = 0; calls[c].arguments[at]; at++) {
      if (calls[c].arguments[at] != 'p' && calls[c].arguments[at] != 'o') continue;
      for (unsigned b = calls[c].arguments[at] == 'o'; b < sizeof bad / sizeof *bad; b++) {
        long arguments[6] = {0};
        for (int k = 0; calls[c].arguments[k]; k++)
          arguments[k] = calls[c].arguments[k] != 'p' && calls[c].arguments[k] != 'o' ? pick(calls[c].arguments[k], files) : k == at ? (long)bad[b].pointer : (long)memset(good[k], 0, 4096);
        const long result = syscall(calls[c].number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
        if (result < 0)
          printf(" %d:%s:%s", at, bad[b].name, strerrorname_np(errno));
        else
          printf(" %d:%s:done", at, bad[b].name);
      }
    }
    printf("\n");
    fflush(stdout);
    _exit(0);
  }
}
