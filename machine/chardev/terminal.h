// The process's terminal in raw mode, given back on every way out: exit, fatal signal, stop and continue. There is one
// terminal, so these are free functions over one state. Threads: main and I/O thread, one at a time; the restore in a
// signal handler uses only async-signal-safe calls.
#pragma once

namespace lyre::machine {

// Raw input on standard input; output processing stays as it is, so that \n still starts a line. `signals`: Ctrl-C and
// Ctrl-\ still send signals. Nothing happens if standard input is no terminal or belongs to another foreground job.
void terminal_raw(bool signals);
void terminal_restore();
// After SIGCONT: raw again if it was raw.
void terminal_continued();

}  // namespace lyre::machine
