// Files beyond reading and writing: extended attributes, openat2, statx, entries of folders, the mount API, landlock, quotas, handles.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/quota.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static const char *said(long result) { return result < 0 ? strerrorname_np(errno) : "done"; }

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void extended(void) {
  const int fd = open("file", O_CREAT | O_RDWR, 0640);
  symlink("file", "link");
  char text[256] = {0};
  printf("set %s", said(setxattr("file", "user.one", "value", 5, XATTR_CREATE)));
  printf(" again %s", said(setxattr("file", "user.one", "value", 5, XATTR_CREATE)));
  printf(" none %s\n", said(fsetxattr(fd, "user.two", "2", 1, XATTR_REPLACE)));
  fsetxattr(fd, "user.two", "2", 1, 0);
  printf("get %zd", getxattr("link", "user.one", text, sizeof text));
  printf(" %s size %zd", text, getxattr("file", "user.one", 0, 0));
  printf(" short %s", said(getxattr("file", "user.one", text, 2)));
  printf(" none %s\n", said(lgetxattr("link", "user.one", text, sizeof text)));
  const ssize_t bytes = flistxattr(fd, text, sizeof text);
  int ours = 0;
  for (ssize_t at = 0; at < bytes; at += (ssize_t)strlen(text + at) + 1) ours += !strncmp(text + at, "user.", 5);
  printf("list %d\n", ours);
  printf("remove %s", said(removexattr("file", "user.one")));
  printf(" %s\n", said(fremovexattr(fd, "user.one")));
  printf("wrong name %s", said(setxattr("file", "nothing.one", "v", 1, 0)));
  printf(" on a link %s\n", said(lsetxattr("link", "user.one", "v", 1, 0)));
  close(fd);
}

static long open2(const char *path, uint64_t flags, uint64_t mode, uint64_t resolve, size_t bytes) {
  struct {
    struct open_how how;
    uint64_t more[4];
  } how = {{flags, mode, resolve}};
  return syscall(SYS_openat2, AT_FDCWD, path, &how, bytes);
}

static void opening(void) {
  const size_t bytes = sizeof(struct open_how);
  printf("openat2 %s", said(open2("file", O_RDONLY, 0, 0, bytes)));
  printf(" link %s", said(open2("link", O_RDONLY, 0, RESOLVE_NO_SYMLINKS, bytes)));
  printf(" beneath %s", said(open2("/etc/passwd", O_RDONLY, 0, RESOLVE_BENEATH, bytes)));
  printf(" root %s", said(open2("/etc/passwd", O_RDONLY, 0, RESOLVE_IN_ROOT, bytes)));
  printf(" magic %s", said(open2("/proc/self/fd/0", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS, bytes)));
  printf(" device %s", said(open2("/proc/self/stat", O_RDONLY, 0, RESOLVE_NO_XDEV, bytes)));
  printf(" mode %s", said(open2("file", O_RDONLY, 0600, 0, bytes)));
  printf(" flags %s", said(open2("file", 1ull << 40, 0, 0, bytes)));
  printf(" larger %s", said(open2("file", O_RDONLY, 0, 0, bytes + 16)));
  printf(" smaller %s\n", said(open2("file", O_RDONLY, 0, 0, 16)));
  struct stat info;
  const int path = open("link", O_PATH | O_NOFOLLOW), folder = open(".", O_DIRECTORY | O_RDONLY), none = open(".", O_TMPFILE | O_RDWR, 0600);
  fstat(path, &info);
  { printf("path %d", S_ISLNK(info.st_mode)); printf(" read %s", said(read(path, &info, 1))); printf(" temporary %s", said(none)); }
  printf(" linked %s\n", said(none < 0 ? -1 : linkat(none, "", folder, "made", AT_EMPTY_PATH)));
  unlink("made");
  printf("direct %d %d\n", (fcntl(open("file", O_RDONLY | O_NOATIME), F_GETFL) & O_NOATIME) != 0, fcntl(folder, F_GETFL) & O_DIRECTORY ? 1 : 0);
  struct {
    struct file_handle head;
    char bytes[128];
  } handle = {{sizeof handle.bytes}};
  int mount = 0;
  const int named = name_to_handle_at(AT_FDCWD, "file", &handle.head, &mount, 0);
  printf("handle %s", said(named));
  handle.head.handle_bytes = 0;
  { printf(" too small %s", said(name_to_handle_at(AT_FDCWD, "file", &handle.head, &mount, 0))); printf(" %d\n", handle.head.handle_bytes > 0); }
}

static void stats(void) {
  struct statx x;
  struct stat plain;
  memset(&x, 0x55, sizeof x);
  const int result = statx(AT_FDCWD, "file", 0, STATX_ALL | STATX_BTIME, &x);
  stat("file", &plain);
  printf("statx %s mode %#o links %u size %llu mask %d", said(result), x.stx_mode, x.stx_nlink, (unsigned long long)x.stx_size, (x.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
  printf(" same %d%d%d%d\n", x.stx_ino == plain.st_ino, makedev(x.stx_dev_major, x.stx_dev_minor) == plain.st_dev, x.stx_mtime.tv_sec == plain.st_mtim.tv_sec && x.stx_mtime.tv_nsec == plain.st_mtim.tv_nsec,
         x.stx_blksize == (uint32_t)plain.st_blksize);
  { printf("link %d", statx(AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, STATX_TYPE, &x) == 0 && S_ISLNK(x.stx_mode)); printf(" empty %s", said(statx(open("file", O_RDONLY), "", AT_EMPTY_PATH, STATX_SIZE, &x))); printf(" wrong %s\n", said(statx(AT_FDCWD, "file", 0x40000000, 0, &x))); }
  struct statfs file_system;
  struct statvfs same;
  printf("statfs %s", said(statfs(".", &file_system)));
  statvfs(".", &same);
  printf(" %d%d%d\n", file_system.f_bsize > 0, (long)file_system.f_bsize == (long)same.f_bsize, file_system.f_namelen == same.f_namemax);
  struct timespec times[2] = {{1000000000, 123456789}, {0, UTIME_OMIT}};
  utimensat(AT_FDCWD, "file", times, 0), stat("file", &plain);
  printf("times %ld %ld\n", (long)plain.st_atim.tv_sec, plain.st_atim.tv_nsec);
  times[0].tv_nsec = 2000000000;
  printf("wrong time %s\n", said(utimensat(AT_FDCWD, "file", times, 0)));
  printf("device %s\n", said(mknod("pipe", S_IFIFO | 0600, 0)));
  stat("pipe", &plain), printf("%#o\n", plain.st_mode);
  stat("/dev/null", &plain), printf("null %d %d\n", major(plain.st_rdev), minor(plain.st_rdev));
}

static void folders(void) {
  mkdir("folder", 0700), chdir("folder");
  char name[64], *names[300];
  int count = 0;
  for (int k = 0; k < 200; k++) snprintf(name, sizeof name, "a file with a longer name %d", k), close(open(name, O_CREAT | O_WRONLY, 0600));
  const int fd = open(".", O_RDONLY | O_DIRECTORY);
  char room[1024] __attribute__((aligned(8)));
  for (ssize_t got; (got = syscall(SYS_getdents64, fd, room, sizeof room)) > 0;)
    for (ssize_t at = 0; at < got;) {
      struct dirent64 *entry = (void *)(room + at);
      if (entry->d_name[0] != '.' && (entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN)) names[count++] = strdup(entry->d_name);
      at += entry->d_reclen;
    }
  qsort(names, count, sizeof *names, by_name);
  printf("%d first %s last %s\n", count, names[0], names[count - 1]);
  { printf("end %zd", (ssize_t)syscall(SYS_getdents64, fd, room, sizeof room)); printf(" small %s", (lseek(fd, 0, SEEK_SET), said(syscall(SYS_getdents64, fd, room, 8)))); printf(" file %s\n", said(syscall(SYS_getdents64, open(names[0], O_RDONLY), room, sizeof room))); }
  DIR *folder = opendir(".");
  long place = 0;
  for (int k = 0; k < 50; k++) readdir(folder);
  place = telldir(folder);
  struct dirent *at = readdir(folder);
  snprintf(name, sizeof name, "%s", at->d_name);
  for (int k = 0; k < 20; k++) readdir(folder);
  seekdir(folder, place);
  printf("seek %d\n", !strcmp(readdir(folder)->d_name, name));
  for (int k = 0; k < count; k++) unlink(names[k]);
  chdir("..");
  printf("rmdir %s\n", said(rmdir("folder")));
}

// In a child: what it does to itself is gone with it.
static void mounts(void) {
  fflush(stdout);
  if (fork()) {
    wait(0);
    return;
  }
  printf("unshare %s\n", said(unshare(CLONE_NEWNS)));
  printf("private %s\n", said(mount(0, "/", 0, MS_REC | MS_PRIVATE, 0)));
  mkdir("place", 0700);
  const int context = (int)syscall(SYS_fsopen, "tmpfs", 1);
  printf("fsopen %s", said(context));
  printf(" size %s", said(syscall(SYS_fsconfig, context, 1 /* string */, "size", "1M", 0)));
  printf(" wrong %s", said(syscall(SYS_fsconfig, context, 1, "nothing", "1", 0)));
  char message[256] = {0};
  const ssize_t said_bytes = read(context, message, sizeof message - 1);
  printf(" message %d", said_bytes > 0);
  printf(" create %s", said(syscall(SYS_fsconfig, context, 6 /* create */, 0, 0, 0)));
  const int mounted = (int)syscall(SYS_fsmount, context, 1, 0);
  printf(" fsmount %s", said(mounted));
  printf(" move %s\n", said(syscall(SYS_move_mount, mounted, "", AT_FDCWD, "place", 4 /* empty path */)));
  struct statfs info = {0};
  statfs("place", &info);
  printf("type %#lx blocks %ld\n", (long)info.f_type, (long)info.f_blocks);
  close(open("place/inside", O_CREAT | O_WRONLY, 0600));
  const int tree = (int)syscall(SYS_open_tree, AT_FDCWD, "place", 1 /* clone */);
  printf("open_tree %s", said(tree));
  struct {
    uint64_t set, clear, propagation, user;
  } attributes = {1 /* read-only */};
  printf(" read-only %s\n", said(syscall(SYS_mount_setattr, AT_FDCWD, "place", 0, &attributes, sizeof attributes)));
  printf("write %s\n", said(open("place/inside", O_WRONLY)));
  printf("umount %s", said(umount2("place", MNT_DETACH)));
  printf(" again %s\n", said(umount2("place", 0)));
  printf("old %s", said(mount("none", "place", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k")));
  printf(" bind %s", said(mount("place", "place", 0, MS_BIND, 0)));
  printf(" no type %s\n", said(mount("none", "place", "nosuchtype", 0, 0)));
  umount("place"), umount("place");
  rmdir("place");
  fflush(stdout);
  _exit(0);
}

static void rules(void) {
  const long version = syscall(SYS_landlock_create_ruleset, 0, 0, LANDLOCK_CREATE_RULESET_VERSION);
  printf("landlock %s\n", said(version));
  fflush(stdout);
  if (version < 0 || fork()) {
    wait(0);
    return;
  }
  mkdir("allowed", 0700);
  struct landlock_ruleset_attr all = {LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG};
  const int set = (int)syscall(SYS_landlock_create_ruleset, &all, 8, 0);
  struct landlock_path_beneath_attr rule = {all.handled_access_fs, open("allowed", O_PATH | O_DIRECTORY)};
  printf("rules %s", said(set));
  printf(" add %s", said(syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &rule, 0)));
  printf(" privileges %s", said(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)));
  printf(" restrict %s\n", said(syscall(SYS_landlock_restrict_self, set, 0)));
  printf("inside %s", said(open("allowed/file", O_CREAT | O_WRONLY, 0600)));
  printf(" outside %s", said(open("other", O_CREAT | O_WRONLY, 0600)));
  printf(" read %s\n", said(open("file", O_RDONLY)));
  unlink("allowed/file"), rmdir("allowed");
  fflush(stdout);
  _exit(0);
}

int main(void) {
  char folder[] = "/tmp/lyre-attributes-XXXXXX";
  umask(022);
  mkdtemp(folder), chdir(folder);
  extended();
  opening();
  stats();
  folders();
  mounts();
  rules();
  struct dqblk quota;
  printf("quota %s", said(quotactl(QCMD(Q_GETQUOTA, USRQUOTA), "/dev/none", 0, (void *)&quota)));
  printf(" %s\n", said(syscall(SYS_quotactl_fd, open(".", O_RDONLY), QCMD(Q_GETQUOTA, USRQUOTA), 0, &quota)));
  unlink("file"), unlink("link"), unlink("pipe"), rmdir("allowed"), rmdir("place");
  printf("rest %s\n", said(chdir("/") || rmdir(folder) ? -1 : 0));
}
