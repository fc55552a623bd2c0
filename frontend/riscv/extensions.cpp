// Models, features, and how they are resolved. A feature asked for brings what it needs; one that is refused takes along what needs it, unless that
// was asked for too: then it is an error.
#include "frontend/riscv/extensions.h"

#include <algorithm>
#include <vector>

#include "frontend/riscv/cpu.h"
#include "runtime/base/nearest.h"

namespace lyre::riscv {

namespace {

struct Group {
  std::string_view name;
  std::string_view members;
  std::string_view description;
};
constexpr Group kGroups[] = {
    {"g", "i m a f d zicsr zifencei", "i, m, a, f, d, zicsr and zifencei"},
    {"b", "zba zbb zbs", "zba, zbb and zbs"},
    {"zkn", "zbkb zbkc zbkx zkne zknd zknh", "NIST cryptography"},
    {"zks", "zbkb zbkc zbkx zksed zksh", "ShangMi cryptography"},
    {"zk", "zbkb zbkc zbkx zkne zknd zknh zkr zkt", "zkn, zkr and zkt"},
};

struct Model {
  unsigned xlen;
  std::string_view name;
  std::string_view extensions;  // besides what they need
  std::string_view description;
};
// The first of a width is its default.
constexpr Model kModels[] = {
    {64, "rv64",
     "g c zicbom zicbop zicboz zicntr zicond zihintntl zihintpause zihpm zawrs zfa zfh zcb zcd zba zbb zbc zbs sscofpmf sstc svadu svinval svnapot svpbmt",
     "64-bit, the usual extensions (default)"},
    {64, "max", "", "every extension that is implemented"},
    {64, "rv64i", "i zicsr zifencei", "64-bit, base integer instructions only"},
    {64, "rv64gc", "g c zcd zicntr", "64-bit, general purpose with compressed instructions"},
    {64, "rva22u64", "g c zcd zicbom zicbop zicboz zicntr zihpm zihintpause zba zbb zbs zfhmin zkt", "profile RVA22U64"},
    {64, "rva22s64", "g c zcd zicbom zicbop zicboz zicntr zihpm zihintpause zba zbb zbs zfhmin zkt svade svpbmt svinval", "profile RVA22S64"},
    {32, "rv32",
     "g c zicbom zicbop zicboz zicntr zicond zihintntl zihintpause zihpm zawrs zfa zfh zcb zcd zcf zba zbb zbc zbs sscofpmf sstc svadu svinval",
     "32-bit, the usual extensions (default)"},
    {32, "max", "", "every extension that is implemented"},
    {32, "rv32i", "i zicsr zifencei", "32-bit, base integer instructions only"},
    {32, "rv32gc", "g c zcd zcf zicntr", "32-bit, general purpose with compressed instructions"},
};

// Extensions that exist in one width only.
constexpr Ext kOnly32[] = {Ext::zcf};
constexpr Ext kOnly64[] = {Ext::svnapot, Ext::svpbmt};
bool exists(Ext ext, unsigned xlen) {
  std::span<const Ext> other = xlen == 64 ? std::span<const Ext>(kOnly32) : std::span<const Ext>(kOnly64);
  return std::find(other.begin(), other.end(), ext) == other.end();
}

// Extensions that are named but not implemented yet: not in max, and asking for one is an error.
constexpr Ext kNotImplemented[] = {Ext::v, Ext::h};

template <typename Visit>
void each_word(std::string_view list, Visit visit) {
  while (!list.empty()) {
    size_t end = std::min(list.find(' '), list.size());
    if (end) visit(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
}

bool find_ext(std::string_view name, Ext& ext) {
  for (unsigned k = 0; k < kNamedExtCount; ++k)
    if (kExtInfo[k].name == name) return ext = static_cast<Ext>(k), true;
  return false;
}

// The extensions that a feature name stands for; empty: unknown.
std::string_view members_of(std::string_view name) {
  for (const Group& group : kGroups)
    if (group.name == name) return group.members;
  Ext ext;
  return find_ext(name, ext) ? kExtInfo[static_cast<unsigned>(ext)].name : std::string_view{};
}

ExtSet set_of(std::string_view list) {
  ExtSet set;
  each_word(list, [&](std::string_view name) {
    each_word(members_of(name), [&](std::string_view member) {
      Ext ext;
      if (find_ext(member, ext)) set.add(ext);
    });
  });
  return set;
}

ExtSet needs_of(Ext ext) { return set_of(kExtInfo[static_cast<unsigned>(ext)].needs); }

ExtSet with_needs(ExtSet set) {
  for (ExtSet before; !(before == set);) {
    before = set;
    for (unsigned k = 0; k < kNamedExtCount; ++k)
      if (set.has(static_cast<Ext>(k))) set = set | needs_of(static_cast<Ext>(k));
  }
  return set;
}

ExtSet everything(unsigned xlen) {
  ExtSet set;
  for (unsigned k = 0; k < kNamedExtCount; ++k)
    if (exists(static_cast<Ext>(k), xlen)) set.add(static_cast<Ext>(k));
  for (Ext ext : kNotImplemented) set.remove(ext);
  set.remove(Ext::svade);                  // the opposite of svadu
  if (xlen == 64) set.remove(Ext::zacas);  // amocas.q is missing
  return set;
}

// Features that are not extensions.
struct Other {
  unsigned xlen;  // 0: both
  std::string_view name;
  std::string_view description;
  bool exists(unsigned wanted) const { return !xlen || xlen == wanted; }
};
constexpr Other kOthers[] = {
    {32, "sv32", "virtual memory of 32 bits; off: none"},
    {64, "sv39", "virtual memory of 39 bits; off: none"},
    {64, "sv48", "virtual memory of 48 bits"},
    {64, "sv57", "virtual memory of 57 bits"},
    {0, "mmu", "virtual memory at all"},
    {0, "pmp", "physical memory protection"},
};

struct Feature {
  std::string_view name;
  bool on = true;
};

Result<Feature> parse_feature(std::string_view text) {
  Feature feature;
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    feature.on = text[0] == '+';
    feature.name = text.substr(1);
    return feature;
  }
  size_t equals = text.find('=');
  feature.name = text.substr(0, equals);
  if (equals == std::string_view::npos) return feature;
  std::string_view value = text.substr(equals + 1);
  if (value == "on" || value == "true" || value == "yes") return feature;
  feature.on = false;
  if (value == "off" || value == "false" || value == "no") return feature;
  return Error{"CPU feature '" + std::string(feature.name) + "' is 'on' or 'off', not '" + std::string(value) + "'"};
}

// Features that are not extensions; false: not one of them.
bool apply_other(const Feature& feature, RiscvConfig& config) {
  const Other* other = std::find_if(std::begin(kOthers), std::end(kOthers), [&](const Other& o) { return o.name == feature.name; });
  if (other == std::end(kOthers) || !other->exists(config.xlen)) return false;
  auto limit = [&](unsigned mode) { config.satp_mode_max = feature.on ? std::max(config.satp_mode_max, mode) : std::min(config.satp_mode_max, mode - 1); };
  if (feature.name == "sv57") {
    limit(10);
  } else if (feature.name == "sv48") {
    limit(9);
  } else if (feature.name == "pmp") {
    config.pmp_entries = feature.on ? kPmpEntries : 0;
  } else {  // sv32, sv39, mmu
    limit(config.xlen == 32 ? 1 : 8);
    if (!feature.on) config.satp_mode_max = 0;
  }
  return true;
}

// Calls visit(name, description) for every feature of a width.
template <typename Visit>
void each_feature(unsigned xlen, Visit visit) {
  for (unsigned k = 0; k < kNamedExtCount; ++k)
    if (exists(static_cast<Ext>(k), xlen)) visit(kExtInfo[k].name, kExtInfo[k].description);
  for (const Group& group : kGroups) visit(group.name, group.description);
  for (const Other& other : kOthers)
    if (other.exists(xlen)) visit(other.name, other.description);
}

std::vector<std::string_view> feature_names(unsigned xlen) {
  std::vector<std::string_view> names;
  each_feature(xlen, [&](std::string_view name, std::string_view) { names.push_back(name); });
  return names;
}

Result<RiscvConfig> resolve(std::string_view model_name, std::span<const std::string> features, unsigned xlen) {
  RiscvConfig config;
  config.xlen = xlen;
  if (xlen == 32) config.satp_mode_max = 1;
  const std::string guest = "riscv" + std::to_string(xlen);
  const Model* model = nullptr;
  std::vector<std::string_view> model_names;
  for (const Model& candidate : kModels) {
    if (candidate.xlen != xlen) continue;
    model_names.push_back(candidate.name);
    if (!model && (model_name.empty() || candidate.name == model_name)) model = &candidate;
  }
  if (!model) return Error{"there is no " + guest + " CPU model '" + std::string(model_name) + "'" + did_you_mean(model_name, model_names)};
  config.model = model->name;

  ExtSet on, off;
  for (const std::string& text : features) {
    Result<Feature> feature = parse_feature(text);
    if (!feature) return feature.error();
    if (apply_other(*feature, config)) continue;
    std::string_view members = members_of(feature->name);
    std::vector<std::string_view> known = feature_names(xlen);
    if (members.empty() || std::find(known.begin(), known.end(), feature->name) == known.end())
      return Error{guest + " CPUs have no feature '" + std::string(feature->name) + "'" + did_you_mean(feature->name, known)};
    ExtSet set = set_of(members);
    for (unsigned k = 0; k < kNamedExtCount; ++k) {
      if (!set.has(static_cast<Ext>(k))) continue;
      (feature->on ? on : off).add(static_cast<Ext>(k));
      (feature->on ? off : on).remove(static_cast<Ext>(k));
    }
  }
  for (Ext ext : kNotImplemented)
    if (on.has(ext)) return Error{"CPU feature '" + std::string(kExtInfo[static_cast<unsigned>(ext)].name) + "' is not implemented"};

  ExtSet set = with_needs((model->name == "max" ? everything(xlen) : set_of(model->extensions)) | on);
  for (ExtSet before; !(before == set);) {
    before = set;
    for (unsigned k = 0; k < kNamedExtCount; ++k) {
      Ext ext = static_cast<Ext>(k);
      if (!set.has(ext) || (!off.has(ext) && set.contains(needs_of(ext)))) continue;
      if (on.has(ext)) return Error{"CPU feature '" + std::string(kExtInfo[k].name) + "' needs '" + std::string(kExtInfo[k].needs) + "', which is switched off"};
      set.remove(ext);
    }
  }
  if (!set.has(Ext::i)) return Error{"CPU feature 'i' can not be switched off"};
  // C includes Zcd where there is D, and for RV32 Zcf where there is F.
  if (set.has(Ext::c) && set.has(Ext::d)) set.add(Ext::zcd);
  if (set.has(Ext::c) && set.has(Ext::f) && xlen == 32) set.add(Ext::zcf);
  set.add(xlen == 32 ? Ext::rv32 : Ext::rv64);
  config.extensions = set;
  return config;
}

}  // namespace

std::span<const frontend::CpuModel> models(unsigned xlen) {
  auto make = [](unsigned wanted) {
    std::vector<frontend::CpuModel> made;
    for (const Model& model : kModels)
      if (model.xlen == wanted) made.push_back({std::string(model.name), std::string(model.description)});
    return made;
  };
  static const std::vector<frontend::CpuModel> narrow = make(32), wide = make(64);
  return xlen == 32 ? narrow : wide;
}

std::span<const frontend::CpuModel> feature_list(unsigned xlen) {
  auto make = [](unsigned wanted) {
    std::vector<frontend::CpuModel> made;
    each_feature(wanted, [&](std::string_view name, std::string_view description) { made.push_back({std::string(name), std::string(description)}); });
    return made;
  };
  static const std::vector<frontend::CpuModel> narrow = make(32), wide = make(64);
  return xlen == 32 ? narrow : wide;
}

Result<std::unique_ptr<RiscvCpu>> create_riscv_cpu(std::string_view model, std::span<const std::string> features, unsigned xlen) {
  Result<RiscvConfig> config = resolve(model, features, xlen);
  if (!config) return config.error();
  return std::make_unique<RiscvCpu>(std::move(*config));
}

}  // namespace lyre::riscv
