#include "runtime/linux/strace.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include <algorithm>

#include "runtime/base/log.h"
#include "runtime/linux/safe_syscall.h"

namespace lyre::linux_user {
namespace {

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\')
      out += '\\', out += c;
    else if (c == '\n')
      out += "\\n";
    else if (c < 32 || c == 127) {
      char code[8];
      snprintf(code, sizeof code, "\\x%02x", static_cast<unsigned char>(c));
      out += code;
    } else
      out += c;
  }
  return out + '"';
}

std::string number(const char* format, uint64_t value) {
  char text[32];
  snprintf(text, sizeof text, format, static_cast<unsigned long long>(value));
  return text;
}

std::string open_flags(uint64_t flags) {
  static constexpr struct {
    unsigned bit;
    char name[12];
  } kFlags[] = {{O_CREAT, "O_CREAT"},         {O_EXCL, "O_EXCL"},         {O_NOCTTY, "O_NOCTTY"},
                {O_TRUNC, "O_TRUNC"},         {O_APPEND, "O_APPEND"},     {O_NONBLOCK, "O_NONBLOCK"},
                {O_DIRECTORY, "O_DIRECTORY"}, {O_NOFOLLOW, "O_NOFOLLOW"}, {O_CLOEXEC, "O_CLOEXEC"}};
  static constexpr char kModes[4][10] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "3"};
  std::string text = kModes[flags & 3];
  flags &= ~uint64_t{3};
  for (const auto& flag : kFlags)
    if ((flags & flag.bit) == flag.bit) text += std::string("|") + flag.name, flags &= ~uint64_t{flag.bit};
  if (flags) text += number("|0x%llx", flags);
  return text;
}

std::string argument(const SyscallCall& call, unsigned k) {
  const uint64_t value = call.args[k];
  switch (call.row->format[k]) {
    case 'd':
    case 'f':
      return std::to_string(static_cast<int64_t>(static_cast<int32_t>(value)));
    case 'F':
      return static_cast<int32_t>(value) == AT_FDCWD ? "AT_FDCWD" : std::to_string(static_cast<int32_t>(value));
    case 'u':
      return number("%llu", value);
    case 'o':
      return number("0%llo", value);
    case 'O':
      return open_flags(value);
    case 'g':
      return std::to_string(static_cast<int32_t>(value));
    case 's':
    case 'l':
    case 't': {
      if (!value) return "NULL";
      auto text = call.memory.text(value, 4096);
      return text ? quoted(*text) : number("0x%llx", value);
    }
    case 'b': {
      const size_t bytes = std::min<uint64_t>(call.args[k + 1], 32);
      std::string text(bytes, '\0');
      if (!call.memory.read(value, text.data(), bytes)) return number("0x%llx", value);
      return quoted(text) + (call.args[k + 1] > bytes ? "..." : "");
    }
    case 'p':
    case 'w':
    case 'W':
    case 'v':
    case 'V':
      if (!value) return "NULL";
      [[fallthrough]];
    default:
      return number("0x%llx", value);
  }
}

std::string head(const SyscallCall& call) {
  std::string text = std::to_string(host_syscall(SYS_gettid)) + " ";
  if (!call.row) return text + "Unknown syscall " + std::to_string(call.number) + "()";
  text += std::string(syscall_name(call.row->id)) + "(";
  for (unsigned k = 0; k < 6 && call.row->format[k]; ++k) text += (k ? "," : "") + argument(call, k);
  return text + ")";
}

bool may_not_return(const SyscallCall& call) {
  return call.row && (call.row->id == Sys::exit || call.row->id == Sys::exit_group || call.row->id == Sys::execve ||
                      call.row->id == Sys::execveat);
}

}  // namespace

void strace_begin(const SyscallCall& call) {
  if (may_not_return(call)) log_line("%s\n", head(call).c_str());
}

void strace_end(const SyscallCall& call, int64_t result) {
  if (may_not_return(call) && result >= 0) return;
  std::string text =
      may_not_return(call) ? std::to_string(host_syscall(SYS_gettid)) + " " + syscall_name(call.row->id) : head(call);
  if (result == kRegistersSet)
    text += " = ?";
  else if (result == kRestart)
    text += " = ? (a signal comes first)";
  else if (result < 0 && result > -4096)
    text += " = -1 errno=" + std::to_string(-result) + " (" + strerror(static_cast<int>(-result)) + ")";
  else
    text += result >= 0 && result < 65536 ? " = " + std::to_string(result)
                                          : number(" = 0x%llx", static_cast<uint64_t>(result));
  log_line("%s\n", text.c_str());
}

}  // namespace lyre::linux_user
