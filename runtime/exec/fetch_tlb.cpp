#include "runtime/exec/fetch_tlb.h"

#include "runtime/vcpu/vcpu.h"

namespace lyre::runtime {

const FetchEntry* FetchTlb::find(Vcpu& vcpu, Gva pc, ir::Fault& fault) {
  const frontend::GuestCpu& cpu = vcpu.shared().cpu;
  uint64_t page = pc.value & kPageMask;
  unsigned fetch_index = cpu.fetch_mmu_index(vcpu.block());
  uint32_t space = space_number(vcpu.fetch_space_);
  FetchEntry& entry = entries_[(page >> kPageBits ^ fetch_index << 6) % kEntries];
  if (entry.page == page && entry.space == space && entry.fetch_index == fetch_index && entry.host) return &entry;

  frontend::Translation walked = cpu.walk(vcpu.block(), pc, frontend::Access::kFetch, fetch_index);
  if (!walked.ok) {
    fault = walked.fault;
    return nullptr;
  }
  Gpa gpa{walked.gpa.value & kPageMask};
  Hva host = vcpu.shared().memory.ram(gpa, kPageSize, false);
  if (!host) {
    fault = cpu.access_fault(pc, frontend::Access::kFetch);
    return nullptr;
  }
  if (!walked.global && vcpu.fetch_space_ != vcpu.space_) {
    vcpu.expect_no_global_code();
    space = space_number(vcpu.fetch_space_);
  }
  // With rights that change inside the page the entry is used once and not found again.
  entry.page = walked.page_bits >= kPageBits ? page : ~uint64_t{0};
  entry.space = space;
  entry.fetch_index = fetch_index;
  entry.gpa = gpa;
  entry.host = host;
  entry.mapping = vcpu.shared().cache.mapping_number({page}, gpa, fetch_index);
  entry.global = walked.global;
  fetched_.set(page >> kPageBits & 4095);
  return &entry;
}

uint32_t FetchTlb::space_number(uint64_t id) {
  Space* oldest = &spaces_[0];
  for (Space& space : spaces_) {
    if (space.number && space.id == id) {
      space.last_used = ++uses_;
      return space.number;
    }
    if (space.last_used < oldest->last_used) oldest = &space;
  }
  oldest->id = id;
  oldest->number = next_number_++;
  oldest->last_used = ++uses_;
  return oldest->number;
}

void FetchTlb::flush_all() {
  for (Space& space : spaces_) space.number = 0;
  fetched_.reset();
}

void FetchTlb::flush_spaces(uint64_t mask, uint64_t value) {
  for (Space& space : spaces_)
    if ((space.id & mask) == value && !is_global(space.id)) space.number = 0;
}

bool FetchTlb::flush_page(Gva address) {
  uint64_t page = address.value & kPageMask;
  for (unsigned fetch_index = 0; fetch_index < 4; ++fetch_index) {
    FetchEntry& entry = entries_[(page >> kPageBits ^ fetch_index << 6) % kEntries];
    if (entry.page == page) entry.page = ~uint64_t{0};
  }
  return fetched_.test(page >> kPageBits & 4095);
}

void FetchTlb::flush_physical(Gpa address, uint64_t size) {
  for (FetchEntry& entry : entries_)
    if (entry.gpa.value - (address.value & kPageMask) < size) entry.page = ~uint64_t{0};
}

}  // namespace lyre::runtime
