// The emulator's own descriptor, kept out of the guest's way (1,000 or above where the limit allows): its executable,
// through which guest programs are executed in turn. Opened once at start; any thread reads it.
#pragma once

namespace lyre::linux_user {

void open_own_file();         // without /proc: by the name that it was executed under
void adopt_own_file(int fd);  // one that the emulator which executed this one has left open
void keep_own_file(bool through_exec);
int own_file();        // -1: it could not be opened
inline bool is_own_file(int fd) { return fd >= 0 && fd == own_file(); }

}  // namespace lyre::linux_user
