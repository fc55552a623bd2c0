// Disks: raw files on both engines, snapshots, locks, what survives a kill, and the options of -drive and -blockdev.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "machine/block/nodes.h"
#include "machine/block/null_disk.h"
#include "machine/block/overlay.h"
#include "machine/block/raw_file.h"
#include "tests/support/catch.h"
#include "tests/support/temp_file.h"

using namespace lyre;
using namespace lyre::machine;
using namespace lyre::machine::block;
using namespace lyre::tests;

namespace {

// Submits on the I/O thread and waits.
class Client final : public BlockClient {
 public:
  explicit Client(EventLoop& loop) : loop_(loop) {}
  void block_done(std::span<BlockRequest* const> done) override {
    std::lock_guard guard(mutex_);
    left_ -= done.size();
    done_.notify_all();
  }
  void run(BlockBackend& disk, std::vector<BlockRequest>& requests) {
    std::vector<BlockRequest*> batch;
    for (BlockRequest& r : requests) {
      r.client = this;
      batch.push_back(&r);
    }
    {
      std::lock_guard guard(mutex_);
      left_ += batch.size();
    }
    loop_.post([&disk, batch] { disk.submit(batch); });
    std::unique_lock lock(mutex_);
    REQUIRE(done_.wait_for(lock, std::chrono::seconds(20), [&] { return left_ == 0; }));
  }
  int one(BlockBackend& disk, Op op, uint64_t offset, std::string& bytes, bool fua = false) {
    std::vector<iovec> list;
    for (size_t at = 0; at < bytes.size(); at += 700) list.push_back({bytes.data() + at, std::min<size_t>(700, bytes.size() - at)});
    std::vector<BlockRequest> requests(1);
    requests[0].op = op;
    requests[0].offset = offset;
    requests[0].bytes = bytes.size();
    requests[0].data = list;
    requests[0].fua = fua;
    run(disk, requests);
    return requests[0].error;
  }
  int plain(BlockBackend& disk, Op op, uint64_t offset = 0, uint64_t bytes = 0, bool unmap = false) {
    std::vector<BlockRequest> requests(1);
    requests[0].op = op;
    requests[0].offset = offset;
    requests[0].bytes = bytes;
    requests[0].unmap = unmap;
    run(disk, requests);
    return requests[0].error;
  }
  std::string read(BlockBackend& disk, uint64_t offset, size_t bytes) {
    std::string text(bytes, '?');
    CHECK(one(disk, Op::kRead, offset, text) == 0);
    return text;
  }
  int write(BlockBackend& disk, uint64_t offset, std::string text, bool fua = false) { return one(disk, Op::kWrite, offset, text, fua); }

 private:
  EventLoop& loop_;
  std::mutex mutex_;
  std::condition_variable done_;
  size_t left_ = 0;
};

struct Rig {
  Rig() : client(loop) { loop.start("test-io"); }
  ~Rig() { loop.stop(); }
  std::unique_ptr<RawFile> open(RawFileOptions options) {
    auto disk = RawFile::open(loop, options);
    if (!disk) INFO(disk.error().message);
    REQUIRE(disk);
    return std::move(*disk);
  }
  EventLoop loop;
  Client client;
};

std::string random_bytes(size_t bytes, unsigned seed) {
  std::mt19937 random(seed);
  std::string text(bytes, 0);
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

RawFileOptions with(const TempFile& file, AioEngine engine = AioEngine::kAuto) {
  RawFileOptions options;
  options.file = file.path();
  options.aio = engine;
  return options;
}

OptionList list(std::initializer_list<std::pair<std::string, std::string>> items) { return OptionList{items}; }

}  // namespace

TEST_CASE("a raw file is read and written on either engine") {
  const AioEngine engine = GENERATE(AioEngine::kThreads, AioEngine::kAuto);
  const bool direct = GENERATE(false, true);
  Rig rig;
  TempFile file(random_bytes(1 << 20, 1));
  std::string model = file.content();
  RawFileOptions options = with(file, engine);
  options.direct = direct;
  auto opened = RawFile::open(rig.loop, options);
  if (!opened && direct) return;  // a file system without O_DIRECT
  REQUIRE(opened);
  RawFile& disk = **opened;
  CHECK(disk.size() == 1 << 20);
  std::mt19937 random(7);
  for (int i = 0; i < 100; ++i) {
    const uint64_t at = random() % 2000 * 512, bytes = (random() % 40 + 1) * 512;
    if (at + bytes > model.size()) continue;
    if (random() % 2) {
      std::string fresh = random_bytes(bytes, static_cast<unsigned>(i));
      CHECK(rig.client.write(disk, at, fresh, random() % 4 == 0) == 0);
      model.replace(at, bytes, fresh);
    } else {
      CHECK(rig.client.read(disk, at, bytes) == model.substr(at, bytes));
    }
  }
  CHECK(rig.client.plain(disk, Op::kFlush) == 0);
  CHECK(rig.client.plain(disk, Op::kZeroes, 4096, 65536) == 0);
  model.replace(4096, 65536, std::string(65536, 0));
  CHECK(rig.client.plain(disk, Op::kDiscard, 131072, 4096) == 0);  // discard=ignore
  CHECK(file.content() == model);
  rig.loop.stop();
}

TEST_CASE("hundreds of requests at once") {
  const AioEngine engine = GENERATE(AioEngine::kThreads, AioEngine::kAuto);
  Rig rig;
  TempFile file(random_bytes(1 << 20, 2));
  const std::string model = file.content();
  auto disk = rig.open(with(file, engine));
  std::vector<std::string> buffers(1000, std::string(512, 0));
  std::vector<iovec> lists;
  std::vector<BlockRequest> requests(1000);
  lists.reserve(1000);
  for (size_t i = 0; i < 1000; ++i) {
    lists.push_back({buffers[i].data(), 512});
    requests[i].offset = i * 1024;
    requests[i].bytes = 512;
    requests[i].data = {&lists[i], 1};
  }
  rig.client.run(*disk, requests);
  for (size_t i = 0; i < 1000; ++i) CHECK(buffers[i] == model.substr(i * 1024, 512));
  CHECK(std::string(disk->engine()).size() > 0);
  rig.loop.stop();
}

TEST_CASE("a file that is not whole sectors ends in zeros") {
  const AioEngine engine = GENERATE(AioEngine::kThreads, AioEngine::kAuto);
  Rig rig;
  TempFile file(std::string(1000, 'x'));
  auto disk = rig.open(with(file, engine));
  CHECK(disk->size() == 1024);
  CHECK(rig.client.read(*disk, 0, 1024) == std::string(1000, 'x') + std::string(24, 0));
  CHECK(rig.client.write(*disk, 512, std::string(512, 'y')) == 0);
  CHECK(file.content() == std::string(512, 'x') + std::string(512, 'y'));
  rig.loop.stop();
}

TEST_CASE("discard=unmap makes holes") {
  Rig rig;
  TempFile file(random_bytes(1 << 20, 3));
  RawFileOptions options = with(file);
  options.discard = true;
  auto disk = rig.open(options);
  CHECK(rig.client.plain(*disk, Op::kDiscard, 65536, 65536) == 0);
  CHECK(file.content().substr(65536, 65536) == std::string(65536, 0));
  CHECK(rig.client.plain(*disk, Op::kZeroes, 0, 65536, true) == 0);
  CHECK(file.content().substr(0, 131072) == std::string(131072, 0));
  CHECK(file.content().size() == 1 << 20);
  rig.loop.stop();
}

TEST_CASE("read-only files, windows and impossible files") {
  Rig rig;
  TempFile file(random_bytes(8192, 4));
  RawFileOptions options = with(file);
  options.read_only = true;
  options.offset = 1024;
  options.bytes = 2048;
  auto disk = rig.open(options);
  CHECK(disk->size() == 2048);
  CHECK(rig.client.read(*disk, 512, 512) == file.content().substr(1536, 512));
  CHECK(rig.client.write(*disk, 0, std::string(512, 'z')) == EROFS);
  options.offset = 1 << 20;
  CHECK(!RawFile::open(rig.loop, options));
  options = {};
  options.file = "/nonexistent/disk.img";
  auto missing = RawFile::open(rig.loop, options);
  REQUIRE(!missing);
  CHECK(missing.error().message == "could not open '/nonexistent/disk.img': No such file or directory");
  options.file = "/tmp";
  options.read_only = true;
  auto folder = RawFile::open(rig.loop, options);
  REQUIRE(!folder);
  CHECK(folder.error().message == "'/tmp' is a directory, not a disk image");
  rig.loop.stop();
}

TEST_CASE("two writers of one image are kept apart, two readers are not") {
  Rig rig;
  TempFile file(std::string(4096, 0));
  RawFileOptions reader = with(file);
  reader.read_only = true;
  {
    auto writer = rig.open(with(file));
    auto second = RawFile::open(rig.loop, with(file));
    REQUIRE(!second);
    CHECK(second.error().message.find("another process is using the image") != std::string::npos);
    CHECK(!RawFile::open(rig.loop, reader));
    RawFileOptions unlocked = with(file);
    unlocked.locking = RawFileOptions::Locking::kOff;
    CHECK(RawFile::open(rig.loop, unlocked));
  }
  auto first = rig.open(reader), second = rig.open(reader);
  CHECK(!RawFile::open(rig.loop, with(file)));
  rig.loop.stop();
}

TEST_CASE("a snapshot leaves the disk as it was") {
  Rig rig;
  TempFile file(random_bytes(1 << 20, 5));
  const std::string before = file.content();
  std::string model = before;
  RawFileOptions options = with(file);
  options.read_only = true;
  std::shared_ptr<BlockBackend> base = rig.open(options);
  auto overlay = Overlay::create(rig.loop, base);
  REQUIRE(overlay);
  BlockBackend& disk = **overlay;
  CHECK(!disk.info().read_only);
  std::mt19937 random(11);
  for (int i = 0; i < 300; ++i) {
    const uint64_t at = random() % 2000 * 512, bytes = (random() % 20 + 1) * 512;
    if (at + bytes > model.size()) continue;
    switch (random() % 4) {
      case 0: {
        std::string fresh = random_bytes(bytes, static_cast<unsigned>(i));
        CHECK(rig.client.write(disk, at, fresh) == 0);
        model.replace(at, bytes, fresh);
        break;
      }
      case 1:
        CHECK(rig.client.plain(disk, random() % 2 ? Op::kDiscard : Op::kZeroes, at, bytes) == 0);
        model.replace(at, bytes, std::string(bytes, 0));
        break;
      default: CHECK(rig.client.read(disk, at, bytes) == model.substr(at, bytes));
    }
  }
  CHECK(rig.client.plain(disk, Op::kFlush) == 0);
  CHECK(rig.client.read(disk, 0, 1 << 20) == model);
  CHECK(file.content() == before);
  rig.loop.stop();
}

TEST_CASE("drain returns when all is done, from any thread") {
  const AioEngine engine = GENERATE(AioEngine::kThreads, AioEngine::kAuto);
  Rig rig;
  TempFile file(std::string(1 << 20, 0));
  auto disk = rig.open(with(file, engine));
  struct Counter final : BlockClient {
    std::atomic<int> done{0};
    void block_done(std::span<BlockRequest* const> r) override { done += static_cast<int>(r.size()); }
  } counter;
  std::string bytes(65536, 'd');
  iovec part{bytes.data(), bytes.size()};
  for (const bool inside : {false, true}) {
    counter.done = 0;
    std::vector<BlockRequest> requests(16);
    for (size_t i = 0; i < requests.size(); ++i) {
      requests[i].op = Op::kWrite;
      requests[i].offset = i * 65536;
      requests[i].bytes = 65536;
      requests[i].data = {&part, 1};
      requests[i].client = &counter;
    }
    std::atomic<int> at_drain{-1};
    std::atomic<bool> submitted{false};
    rig.loop.post([&] {
      for (BlockRequest& r : requests) {
        BlockRequest* each = &r;
        disk->submit({&each, 1});
      }
      if (inside) {
        disk->drain();
        at_drain = counter.done.load();
      }
      submitted = true;
    });
    while (!submitted) std::this_thread::yield();
    if (!inside) {
      disk->drain();
      at_drain = counter.done.load();
    }
    CHECK(at_drain == 16);
  }
  rig.loop.stop();
}

TEST_CASE("a killed process leaves what was flushed") {
  const AioEngine engine = GENERATE(AioEngine::kThreads, AioEngine::kAuto);
  TempFile file(std::string(1 << 20, 0));
  auto* flushed = static_cast<std::atomic<uint32_t>*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  REQUIRE(flushed != MAP_FAILED);
  const pid_t child = fork();
  if (child == 0) {
    Rig rig;
    auto disk = rig.open(with(file, engine));
    for (uint32_t round = 1;; ++round) {
      for (uint64_t sector = 0; sector < 16; ++sector) {
        std::string bytes(512, 0);
        std::memcpy(bytes.data(), &round, 4);
        rig.client.write(*disk, sector * 65536, bytes);
      }
      rig.client.plain(*disk, Op::kFlush);
      flushed->store(round);
    }
  }
  while (flushed->load() < 5) usleep(1000);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  const uint32_t promised = flushed->load();
  const std::string content = file.content();
  for (uint64_t sector = 0; sector < 16; ++sector) {
    uint32_t round;
    std::memcpy(&round, content.data() + sector * 65536, 4);
    CHECK(round >= promised);
    CHECK(round <= promised + 1);
  }
  munmap(flushed, 4096);
}

TEST_CASE("a null disk") {
  Rig rig;
  NullDisk disk(rig.loop, {.bytes = 1 << 20, .latency_ns = 100000, .read_zeroes = true});
  CHECK(rig.client.read(disk, 0, 4096) == std::string(4096, 0));
  CHECK(rig.client.write(disk, 0, std::string(512, 'x')) == 0);
  rig.loop.stop();
}

TEST_CASE("drives and nodes by their options") {
  Rig rig;
  TempFile file(random_bytes(65536, 6)), other(random_bytes(4096, 8));
  BlockNodes nodes(rig.loop);
  const auto error = [](const Status& s) { return s ? std::string() : s.error().message; };
  CHECK(error(nodes.add_drive(list({{"file", file.path()}, {"format", "raw"}, {"if", "none"}, {"id", "d0"}}), "virtio", false)).empty());
  CHECK(error(nodes.add_blockdev(list({{"driver", "file"}, {"node-name", "f1"}, {"filename", other.path()}}))).empty());
  CHECK(error(nodes.add_blockdev(list({{"driver", "raw"}, {"node-name", "r1"}, {"file", "f1"}}))).empty());
  CHECK(error(nodes.add_blockdev(list({{"driver", "null-co"}, {"node-name", "n"}, {"size", "1M"}}))).empty());
  auto disk = nodes.take("d0", "-device one");
  REQUIRE(disk);
  CHECK((*disk)->size() == 65536);
  CHECK(nodes.take("d0", "-device two").error().message == "-device two: drive 'd0' is already used by -device one");
  CHECK(nodes.take("d1", "-device two").error().message == "-device two: there is no drive or node 'd1', did you mean 'd0'?");
  REQUIRE(nodes.take("r1", "-device three"));
  CHECK(!nodes.take("f1", "-device four"));  // the same disk
  CHECK(rig.client.write(**disk, 0, std::string(512, 'f')) == 0);
  nodes.drain_and_flush();
  CHECK(file.content().substr(0, 512) == std::string(512, 'f'));
  rig.loop.stop();
}

TEST_CASE("drive options that make no sense get one sentence") {
  Rig rig;
  TempFile file(std::string(4096, 0)), qcow2("QFI\xfb" + std::string(508, 0));
  BlockNodes nodes(rig.loop);
  const auto drive = [&](std::initializer_list<std::pair<std::string, std::string>> items) {
    const Status s = nodes.add_drive(OptionList{items}, "virtio", false);
    return s ? std::string("accepted") : s.error().message;
  };
  CHECK(drive({{"flie", "x"}}) == "-drive: there is no property 'flie', did you mean 'file'?");
  CHECK(drive({{"file", file.path()}, {"cache", "fast"}}) ==
        "-drive: 'cache=fast' is not one of: writeback, none, writethrough, directsync, unsafe");
  CHECK(drive({{"file", file.path()}, {"readonly", "maybe"}}) == "-drive: 'readonly=maybe' is not on or off");
  CHECK(drive({{"if", "none"}}) == "-drive: there is no file=");
  CHECK(drive({{"file", file.path()}, {"format", "rwa"}}) == "-drive: there is no format or driver 'rwa', did you mean 'raw'?");
  CHECK(drive({{"file", "/nonexistent"}, {"format", "raw"}}) == "-drive: could not open '/nonexistent': No such file or directory");
  CHECK(drive({{"file", qcow2.path()}}).find("qcow2") != std::string::npos);
  CHECK(drive({{"file", file.path()}, {"if", "none"}, {"index", "0"}, {"format", "raw"}}) == "accepted");
  CHECK(drive({{"file", file.path()}, {"if", "none"}, {"index", "0"}, {"format", "raw"}}) == "-drive: there are two drives with if=none,index=0");
  CHECK(drive({{"file", file.path()}, {"if", "none"}, {"format", "raw"}}).find("another process") != std::string::npos);
  auto spec = parse_drive(list({{"file", "x.fd"}, {"if", "pflash"}, {"unit", "1"}, {"readonly", "on"}}), "virtio", false);
  REQUIRE(spec);
  CHECK(spec->interface == "pflash");
  CHECK(spec->index == 1);
  CHECK(spec->read_only);
  rig.loop.stop();
}

TEST_CASE("snapshot=on opens the image for reading only") {
  Rig rig;
  TempFile file(std::string(4096, 'a'));
  BlockNodes nodes(rig.loop);
  const OptionList options = list({{"file", file.path()}, {"format", "raw"}, {"if", "none"}, {"id", "s"}, {"snapshot", "on"}});
  CHECK(nodes.add_drive(options, "virtio", false));
  auto disk = nodes.take("s", "test");
  REQUIRE(disk);
  CHECK(rig.client.write(**disk, 0, std::string(512, 'b')) == 0);
  CHECK(rig.client.read(**disk, 0, 1024) == std::string(512, 'b') + std::string(512, 'a'));
  nodes.drain_and_flush();
  CHECK(file.content() == std::string(4096, 'a'));
  rig.loop.stop();
}
