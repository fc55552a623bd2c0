// What a report can say of locks: who holds one, and who waits for it.
#include "runtime/base/named_mutex.h"

#include <pthread.h>

#include <chrono>
#include <thread>

#include "tests/support/catch.h"

using namespace lyre;

TEST_CASE("lock notes: held, nested and given back in any order", "[locks]") {
  LockNotes notes;
  use_lock_notes(&notes);
  NamedMutex uart("uart"), plic("plic");
  CHECK(notes.text().empty());
  uart.lock();
  CHECK(notes.text() == "holds the lock of uart");
  REQUIRE(plic.try_lock());
  CHECK(notes.text() == "holds the lock of uart and plic");
  uart.unlock();
  CHECK(notes.text() == "holds the lock of plic");
  plic.unlock();
  CHECK(notes.text().empty());
  CHECK(uart.holder() == nullptr);
  use_lock_notes(nullptr);
}

TEST_CASE("lock notes: more locks than are noted are still locks", "[locks]") {
  LockNotes notes;
  use_lock_notes(&notes);
  NamedMutex locks[] = {NamedMutex("1"), NamedMutex("2"), NamedMutex("3"),
                        NamedMutex("4"), NamedMutex("5"), NamedMutex("6")};
  for (NamedMutex& lock : locks) lock.lock();
  CHECK(notes.text() == "holds the lock of 1 and 2 and 3 and 4");
  for (NamedMutex& lock : locks) lock.unlock();
  CHECK(notes.text().empty());
  for (NamedMutex& lock : locks) CHECK(lock.holder() == nullptr);
  use_lock_notes(nullptr);
}

TEST_CASE("lock notes: a thread that waits, and for whom", "[locks]") {
  LockNotes notes;
  NamedMutex uart("uart"), plic("plic");
  plic.lock();
  std::thread waiter([&] {
    pthread_setname_np(pthread_self(), "waiter");
    use_lock_notes(&notes);
    std::lock_guard outer(uart);
    std::lock_guard inner(plic);
  });
  std::string text;
  for (int k = 0; k < 5000 && text.find("waits") == text.npos; ++k) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    text = notes.text();
  }
  char self[16];
  pthread_getname_np(pthread_self(), self, sizeof self);
  CHECK(text == "holds the lock of uart, waits for the lock of plic (held by " + std::string(self) + ")");
  CHECK(std::string(uart.holder()) == "waiter");
  plic.unlock();
  waiter.join();
  CHECK(notes.text().empty());
}
