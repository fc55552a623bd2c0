"""Paths under -L, and what programs look for in /proc."""

import os
import tempfile

from cases import shell_program
from harness import emulator, expect, run, user_test

LINKS = r"""
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
static void show(const char *path) {
  char text[64] = "", target[64] = "";
  struct stat info;
  int fd = open(path, O_RDONLY);
  if (fd >= 0) read(fd, text, sizeof text - 1);
  close(fd);
  readlink(path, target, sizeof target - 1);
  printf("%s: '%s' -> '%s', link %d\n", path, text, target, lstat(path, &info) == 0 && S_ISLNK(info.st_mode));
}
int main(int argc, char **argv) {
  for (int k = 1; k < argc; k++) show(argv[k]);
  rename("/in-the-tree/absolute", "/in-the-tree/renamed");
  show("/in-the-tree/renamed");
  printf("%d %d\n", unlink("/in-the-tree/renamed"), access("/in-the-tree/file", F_OK));
  printf("%d\n", access("/proc/self/status", F_OK));
  chdir("/in-the-tree");
  char here[4096];
  getcwd(here, sizeof here);
  show(strcat(here, "/name"));
}
"""


@user_test
def links_under_the_prefix_stay_in_it():
    program = shell_program(LINKS)
    with tempfile.TemporaryDirectory() as root:
        for folder in ("in-the-tree", "etc/alternatives", "proc"):
            os.makedirs(f"{root}/{folder}")
        for name, text in (("in-the-tree/file", "inside"), ("etc/hostname", "of the tree")):
            with open(f"{root}/{name}", "w") as file:
                file.write(text)
        for name, target in (("absolute", "/in-the-tree/file"), ("name", "/etc/alternatives/name"), ("up", "../../../etc/hostname"),
                             ("loop", "/in-the-tree/loop"), ("null", "/dev/null")):
            os.symlink(target, f"{root}/in-the-tree/{name}")
        os.symlink("/etc/hostname", f"{root}/etc/alternatives/name")
        os.symlink("in-the-tree", f"{root}/relative")
        asked = ["/in-the-tree/absolute", "/in-the-tree/name", "/in-the-tree/up", "/in-the-tree/loop", "/in-the-tree/null", "/relative/../relative/absolute"]
        got = run([emulator(), "-L", os.path.relpath(root), program, *asked])
        expected = ["/in-the-tree/absolute: 'inside' -> '/in-the-tree/file', link 1", "/in-the-tree/name: 'of the tree' -> '/etc/alternatives/name', link 1",
                    "/in-the-tree/up: 'of the tree' -> '../../../etc/hostname', link 1", "/in-the-tree/loop: '' -> '/in-the-tree/loop', link 1",
                    "/in-the-tree/null: '' -> '/dev/null', link 1", "/relative/../relative/absolute: 'inside' -> '/in-the-tree/file', link 1",
                    "/in-the-tree/renamed: 'inside' -> '/in-the-tree/file', link 1", "0 0", "0", f"{root}/in-the-tree/name: 'of the tree' -> '/etc/alternatives/name', link 1"]
        expect(got.stdout.splitlines() == expected, got.stdout + got.stderr)


@user_test
def cpuinfo_is_the_guests():
    program = shell_program("#include <stdio.h>\nint main() { char t[4096]; FILE *f = fopen(\"/proc/cpuinfo\", \"r\"); t[fread(t, 1, 4095, f)] = 0; puts(t); }")
    lines = run([emulator(), program]).stdout.splitlines()
    expect("mmu\t\t: sv48" in lines, "HotSpot starts with no more than sv48, which the address space is")
    expect(sum(line.startswith("processor") for line in lines) == sum(line.startswith("hart") for line in lines) >= 1, "\n".join(lines))
