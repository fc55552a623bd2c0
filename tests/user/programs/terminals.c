// ioctl: a terminal of our own, pipes and files, block devices that may be there; fcntl's locks of all kinds.
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static const char *said(long result) { return result < 0 ? strerrorname_np(errno) : "done"; }

static void print(const struct termios *t) {
  printf("%#x %#x %#x %#x line %d, intr %d eof %d min %d\n", t->c_iflag, t->c_oflag, t->c_cflag, t->c_lflag, t->c_line, t->c_cc[VINTR], t->c_cc[VEOF], t->c_cc[VMIN]);
}

static void terminal(void) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || grantpt(master) || unlockpt(master)) {
    printf("no terminal\n");
    return;
  }
  unsigned number = 0;
  printf("number %s\n", said(ioctl(master, TIOCGPTN, &number)));
  const int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
  struct termios t;
  printf("get %s ", said(tcgetattr(slave, &t)));
  print(&t);
  t.c_lflag &= ~(ICANON | ECHO), t.c_cc[VMIN] = 2, t.c_cc[VTIME] = 0, t.c_oflag &= ~OPOST;
  cfsetspeed(&t, B38400);
  printf("set %s ", said(tcsetattr(slave, TCSANOW, &t)));
  tcgetattr(slave, &t), print(&t);
  printf("speed %d %d\n", cfgetispeed(&t) == B38400, cfgetospeed(&t) == B38400);
  struct winsize size = {33, 101, 7, 9};
  printf("size %s", said(ioctl(slave, TIOCSWINSZ, &size)));
  memset(&size, 0, sizeof size), ioctl(master, TIOCGWINSZ, &size);
  printf(" %d %d %d %d\n", size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel);
  write(master, "abc", 3);
  int waiting = 0;
  poll(&(struct pollfd){slave, POLLIN}, 1, 5000);  // the line discipline takes them by and by
  usleep(10000);
  printf("waiting %s", said(ioctl(slave, FIONREAD, &waiting)));
  printf(" %d\n", waiting);
  char text[8] = {0};
  printf("read %zd %s\n", read(slave, text, sizeof text), text);
  { printf("flush %s", said(tcflush(slave, TCIOFLUSH))); printf(" drain %s", said(tcdrain(slave))); printf(" flow %s\n", said(tcflow(slave, TCOON))); }
  int on = 1, modem = 0;
  { printf("packet %s", said(ioctl(master, TIOCPKT, &on))); printf(" exclusive %s", said(ioctl(slave, TIOCEXCL))); printf(" modem %s\n", said(ioctl(slave, TIOCMGET, &modem))); }
  printf("break %s\n", said(tcsendbreak(slave, 0)));
  ioctl(slave, TIOCNXCL);
  // As the terminal of a session of its own: job control.
  fflush(stdout);
  const pid_t child = fork();
  if (!child) {
    setsid();
    printf("control %s", said(ioctl(slave, TIOCSCTTY, 0)));
    pid_t group = 0, session = 0;
    { printf(" group %s", said(ioctl(slave, TIOCGPGRP, &group))); printf(" %d", group == getpid()); }
    { printf(" session %s", said(ioctl(slave, TIOCGSID, &session))); printf(" %d", session == getpid()); }
    printf(" set %s", said(tcsetpgrp(slave, getpid())));
    signal(SIGHUP, SIG_IGN);
    printf(" away %s\n", said(ioctl(slave, TIOCNOTTY)));
    fflush(stdout);
    _exit(0);
  }
  waitpid(child, 0, 0);
  struct termio old;
  { printf("termio %s", said(ioctl(slave, TCGETA, &old))); printf(" %#x\n", old.c_lflag); }
  printf("not a terminal %s\n", said(ioctl(1, TIOCSTI, 0) < 0 ? ioctl(open("/dev/null", O_RDONLY), TCGETS, &t) : 0));
}

static void files(void) {
  int two[2], value = 0;
  pipe(two);
  write(two[1], "12345", 5);
  printf("pipe %s", said(ioctl(two[0], FIONREAD, &value)));
  printf(" %d\n", value);
  value = 1;
  { printf("nonblocking %s", said(ioctl(two[0], FIONBIO, &value))); printf(" %#x\n", fcntl(two[0], F_GETFL) & O_NONBLOCK); }
  printf("cloexec %s", said(ioctl(two[0], FIOCLEX)));
  printf(" %d", fcntl(two[0], F_GETFD));
  ioctl(two[0], FIONCLEX);
  printf(" %d\n", fcntl(two[0], F_GETFD));
  printf("size of pipe %d\n", fcntl(two[1], F_SETPIPE_SZ, 16384));
  { printf("owner %s", said(fcntl(two[0], F_SETOWN, getpid()))); printf(" %d\n", fcntl(two[0], F_GETOWN) == getpid()); }
  struct f_owner_ex owner = {F_OWNER_TID, getpid()}, got = {0};
  printf("owner ex %s", said(fcntl(two[0], F_SETOWN_EX, &owner)));
  { printf(" %s", said(fcntl(two[0], F_GETOWN_EX, &got))); printf(" %d", got.type); printf(" %d\n", got.pid == getpid()); }
  { printf("signal %s", said(fcntl(two[0], F_SETSIG, 40))); printf(" %d\n", fcntl(two[0], F_GETSIG)); }
  char name[] = "/tmp/lyre-ioctl-XXXXXX";
  const int fd = mkstemp(name);
  int flags = 0;
  const int has_flags = ioctl(fd, FS_IOC_GETFLAGS, &flags);
  printf("flags %s\n", said(has_flags));
  unsigned block = 0;
  printf("bmap %s\n", said(ioctl(fd, FIGETBSZ, &block)) && block ? "has a block size" : "");
  struct fsxattr extra;
  printf("xattr %s\n", said(ioctl(fd, FS_IOC_FSGETXATTR, &extra)));
  int copy = memfd_create("copy", MFD_ALLOW_SEALING);
  printf("clone %s\n", said(ioctl(copy, FICLONE, fd)));
  { printf("seals %s", said(fcntl(copy, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW))); printf(" %#x", fcntl(copy, F_GET_SEALS)); printf(" %s\n", said(ftruncate(copy, 5))); }
  uint64_t hint = 2;
  printf("hint %s", said(fcntl(fd, F_SET_RW_HINT, &hint)));
  hint = 0;
  { printf(" %s", said(fcntl(fd, F_GET_RW_HINT, &hint))); printf(" %d\n", (int)hint); }
  { printf("lease %s", said(fcntl(fd, F_SETLEASE, F_WRLCK))); printf(" %d\n", fcntl(fd, F_GETLEASE)); }
  fcntl(fd, F_SETLEASE, F_UNLCK);
  const int high = fcntl(fd, F_DUPFD_CLOEXEC, 500);
  printf("dup %d %d\n", high >= 500, fcntl(high, F_GETFD));
  unlink(name);
  const int loop = open("/dev/loop-control", O_RDWR);
  if (loop >= 0) printf("loop %s\n", said(ioctl(loop, LOOP_CTL_GET_FREE) < 0 ? -1 : 0));
  struct loop_info64 info;
  const int device = open("/dev/loop0", O_RDONLY);
  if (device >= 0) {
    unsigned long long bytes = 0;
    int sector = 0, read_only = -1;
    const int known = ioctl(device, LOOP_GET_STATUS64, &info);
    printf("status %s", said(known));
    printf(" size %s", said(ioctl(device, BLKGETSIZE64, &bytes)));
    { printf(" sector %s", said(ioctl(device, BLKSSZGET, &sector))); printf(" %d", sector); printf(" read-only %s", said(ioctl(device, BLKROGET, &read_only))); printf(" %d\n", read_only); }
  }
}

static void show_lock(const char *what, int result, const struct flock *lock) {
  { printf("%s", what); printf(" %s", said(result)); printf(" type %d", lock->l_type); printf(" whence %d", lock->l_whence); printf(" start %ld", (long)lock->l_start); printf(" bytes %ld\n", (long)lock->l_len); }
}

static void locks(void) {
  char name[] = "/tmp/lyre-lock-XXXXXX";
  const int fd = mkstemp(name), other = open(name, O_RDWR);
  write(fd, "0123456789", 10);
  struct flock lock = {F_WRLCK, SEEK_SET, 2, 3, 0};
  show_lock("set", fcntl(fd, F_SETLK, &lock), &lock);
  fflush(stdout);
  if (!fork()) {
    struct flock asked = {F_RDLCK, SEEK_SET, 0, 0, 0};
    const int result = fcntl(fd, F_GETLK, &asked);
    printf("holder %d ", asked.l_pid == getppid());
    show_lock("get", result, &asked);
    asked = (struct flock){F_RDLCK, SEEK_SET, 0, 0, 0};
    printf("try %s\n", said(fcntl(fd, F_SETLK, &asked)));
    asked = (struct flock){F_WRLCK, SEEK_END, -2, 2, 0};
    show_lock("beside", fcntl(fd, F_SETLK, &asked), &asked);
    fflush(stdout);
    _exit(0);
  }
  wait(0);
  lock = (struct flock){F_UNLCK, SEEK_SET, 0, 0, 0};
  fcntl(fd, F_SETLK, &lock);
  // Of the open file: two descriptors of one process exclude each other.
  lock = (struct flock){F_WRLCK, SEEK_SET, 0, 4, 0};
  show_lock("own", fcntl(fd, F_OFD_SETLK, &lock), &lock);
  lock = (struct flock){F_WRLCK, SEEK_SET, 0, 4, 0};
  printf("other %s\n", said(fcntl(other, F_OFD_SETLK, &lock)));
  lock = (struct flock){F_WRLCK, SEEK_SET, 0, 0, 0};
  const int result = fcntl(other, F_OFD_GETLK, &lock);
  printf("pid %d ", lock.l_pid);
  show_lock("get", result, &lock);
  lock = (struct flock){F_WRLCK, SEEK_SET, 0, 4, 1};
  printf("with a pid %s\n", said(fcntl(other, F_OFD_SETLK, &lock)));
  { printf("flock %s", said(flock(fd, LOCK_EX))); printf(", %s", said(flock(other, LOCK_SH | LOCK_NB))); printf(", %s\n", said(flock(fd, LOCK_UN))); }
  // A wait that a signal ends.
  fflush(stdout);
  if (!fork()) {
    struct sigaction action = {.sa_handler = (void (*)(int))abs};
    sigaction(SIGALRM, &action, 0);
    alarm(1);
    lock = (struct flock){F_WRLCK, SEEK_SET, 0, 4, 0};
    printf("wait %s\n", said(fcntl(open(name, O_RDWR), F_OFD_SETLKW, &lock)));
    fflush(stdout);
    _exit(0);
  }
  wait(0);
  unlink(name);
}

int main(void) {
  terminal();
  files();
  locks();
}
