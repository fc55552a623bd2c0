// The emulator's own descriptors, kept out of the guest's way (1,000 or above where the limit allows): its executable,
// through which guest programs are executed in turn, opened once at start; and those of a debugger's connection. Any
// thread asks.
#pragma once
#include <vector>

namespace lyre::linux_user {

void open_own_file();         // without /proc: by the name that it was executed under
void adopt_own_file(int fd);  // one that the emulator which executed this one has left open
void keep_own_file(bool through_exec);
int own_file();        // -1: it could not be opened
// `fd` moved above the guest's descriptors, closed on exec; itself, as it was, where the limit leaves no room there.
int raise_file(int fd);
// `fd` moved to where the guest does not see it, closed on exec.
int hide_file(int fd);
void close_hidden_file(int fd);
void close_hidden_files();
bool is_own_file(int fd);
std::vector<int> own_files();  // all of them, lowest first

}  // namespace lyre::linux_user
