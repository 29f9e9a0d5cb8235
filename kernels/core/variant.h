// The variant table: every implementation of an operation is one row, registered once. From the row it is selected, tested,
// benchmarked, listed and documented. Rows stand in explicit lists (kernels/<family>/variants.cpp), read top to bottom.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/amx.h"
#include "kernels/core/error.h"
#include "kernels/core/queue.h"
#include "kernels/core/scope.h"

namespace graft {

// May this variant run on these arguments? When not, `reason` is what users, logs and `graft kernels explain` show.
struct Verdict {
  bool ok = true;
  std::string reason;
  explicit operator bool() const { return ok; }
};
inline Verdict yes() { return {}; }
inline Verdict no(std::string reason) { return {false, std::move(reason)}; }

// What a row asks of the machine. A cuda row of the GPU: a compute capability (80: 8.0) or, where its instructions belong to one
// architecture (sm_90a), that one `only`. A host row of the processor: AMX (kernels/core/amx.h).
struct Capability {
  int least = 0;
  bool only = false;
  bool amx = false;
};

enum class Backend { ref, cpu, emu, cuda };  // who executes a row; `ref` serves no device and is run only when named

// Has this machine what a row of that backend asks for? The emulator runs every GPU's instructions.
Verdict has_capability(Backend b, Capability wanted);

template <class Args>
struct Limit {
  std::string_view text;          // "last axis dense, f32"
  Verdict (*check)(const Args&);  // nullptr: no limit
};
template <class Args>
inline constexpr Limit<Args> any{"any", nullptr};

template <class Args>
struct Row {
  std::string name;  // "ref", "naive", "cpu.1_rows", "cuda.2_warp_row"
  Backend backend;
  void (*run)(Queue&, const Args&);
  Limit<Args> limit;
  int rank;  // selection takes the highest rank whose verdict is ok
  std::string_view doc;
  std::size_t (*scratch)(const Args&, int threads) = nullptr;  // bytes the variant finds at q.scratch(0)
  bool order_dependent = false;  // results may differ by rounding from run to run (float atomics); never chosen unless named
  Capability capability = {};
  Verdict allowed(const Args& a) const {
    if (Verdict v = has_capability(backend, capability); !v) return v;
    return limit.check ? limit.check(a) : yes();
  }
};

// Host rows. `ref` is plain loops with double sums, nobody's backend: rank is ignored, only naming it runs it.
template <class Args>
Row<Args> host(std::string_view name, void (*run)(Queue&, const Args&), Limit<Args> limit, int rank, std::string_view doc,
               std::size_t (*scratch)(const Args&, int) = nullptr) {
  return {std::string(name), name == "ref" ? Backend::ref : Backend::cpu, run, limit, rank, doc, scratch};
}

// A host row for processors with AMX. Where the compiler knows none, nobody defines its function.
template <class Args>
Row<Args> amx_row(std::string_view name, void (*run)(Queue&, const Args&), Limit<Args> limit, int rank, std::string_view doc,
                  std::size_t (*scratch)(const Args&, int) = nullptr) {
  Row<Args> row = host(name, run, limit, rank, doc, scratch);
  row.capability.amx = true;
  return row;
}
#ifdef GRAFT_HAVE_AMX
#define GRAFT_AMX_BODY(function) function
#else
#define GRAFT_AMX_BODY(function) nullptr
#endif

// A kernel in CUDA's words is one row of the table and two variants: cuda.NAME, compiled by nvcc, and emu.NAME, the same source run by the
// emulator. A build without one of the two has a nullptr there and lacks that variant.
template <class Args>
struct SimtRow {
  std::string_view name;  // "2_warp_row"
  void (*emu)(Queue&, const Args&);
  void (*cuda)(Queue&, const Args&);
  Limit<Args> limit;
  int rank;
  std::string_view doc;
  std::size_t (*scratch)(const Args&, int threads) = nullptr;
  bool order_dependent = false;
  Capability capability = {};
};
#ifdef GRAFT_HAVE_EMU
#define GRAFT_EMU_BODY(function) &emu::function
#else
#define GRAFT_EMU_BODY(function) nullptr
#endif
#ifdef GRAFT_HAVE_CUDA
#define GRAFT_CUDA_BODY(function) &cuda::function
#else
#define GRAFT_CUDA_BODY(function) nullptr
#endif
#define GRAFT_BODIES(function) GRAFT_EMU_BODY(function), GRAFT_CUDA_BODY(function)
#ifdef GRAFT_HAVE_SM90A  // of a kernel in hopper.h's words: other architectures have an empty one
#define GRAFT_HOPPER_BODIES(function) GRAFT_BODIES(function)
#else
#define GRAFT_HOPPER_BODIES(function) GRAFT_EMU_BODY(function), nullptr
#endif
// Declares graft::emu::function and graft::cuda::function, which kernels/<family>/cuda_*.cu defines.
#define GRAFT_SIMT_ROW(function, Args)    \
  namespace emu {                         \
  void function(Queue& q, const Args& a); \
  }                                       \
  namespace cuda {                        \
  void function(Queue& q, const Args& a); \
  }                                       \
  static_assert(true)

// A vendor's kernel as a row: cuda.NAME, the named baseline of benches, chosen by itself only where nothing of ours can run. `missing` says
// why its library cannot be used here; then the family has no such row. In a build without CUDA both pointers are null.
template <class Args>
struct VendorRow {
  std::string_view name;  // "cublaslt"
  void (*run)(Queue&, const Args&);
  std::string (*missing)();
  Limit<Args> limit;
  int rank;
  std::string_view doc;
  std::size_t (*scratch)(const Args&, int threads) = nullptr;
};
// graft::cuda::function, defined by kernels/<family>/vendor_*.cpp, and what loads its library (kernels/core/cuda_backend.h).
#define GRAFT_VENDOR(function, library) GRAFT_CUDA_BODY(function), GRAFT_CUDA_BODY(library##_missing)
#define GRAFT_VENDOR_ROW(function, Args)  \
  namespace cuda {                        \
  void function(Queue& q, const Args& a); \
  }                                       \
  static_assert(true)

struct VariantInfo {
  std::string_view name;
  Backend backend;
  int rank;
  std::string_view limits, doc;
  bool order_dependent = false;
  Capability capability = {};
  bool executable() const { return has_capability(backend, capability).ok; }  // on this machine
};

// What the catalog sees of a family, whatever its argument type.
class FamilyBase {
 public:
  explicit FamilyBase(std::string_view name) : name_(name) {}
  virtual ~FamilyBase() = default;
  std::string_view name() const { return name_; }
  virtual std::vector<VariantInfo> variants() const = 0;
  // A row that was not compiled in: a Row<Args> of this family's Args, for the life of the process. The sizes are the caller's; a row that
  // was compiled against other headers is refused with Error(usage), as is a name that is taken. Only before specs are made and before work
  // starts: references to rows end here.
  virtual void add(const void* row, std::size_t row_bytes, std::size_t args_bytes) const = 0;

 private:
  std::string_view name_;
};

// "softmax=cpu.2_simd,matmul=naive": for this thread until the scope ends, those families run those variants. A forced variant
// that cannot run is an error with its reason. Unknown spelling throws Error(usage); unknown names are found by the catalog.
class ForceVariants {
 public:
  explicit ForceVariants(std::string_view spec);
  ~ForceVariants();
  ForceVariants(const ForceVariants&) = delete;
  ForceVariants& operator=(const ForceVariants&) = delete;

 private:
  std::size_t before_;
};
// The name forced for `family` in this thread, or empty.
std::string_view forced_variant(std::string_view family);

bool serves(Backend b, DeviceKind d);

// A row was run: tests ask afterwards which rows never ran. Called by Family::run when a listener stands in this thread.
struct RunListener {
  virtual ~RunListener() = default;
  virtual void ran(std::string_view family, std::string_view variant) = 0;
};
RunListener*& run_listener();

template <class Args>
class Family : public FamilyBase {
 public:
  Family(std::string_view name, std::vector<Row<Args>> rows, std::vector<SimtRow<Args>> simt = {}, std::vector<VendorRow<Args>> vendor = {})
      : FamilyBase(name), rows_(std::move(rows)) {
    for (const auto& r : simt) {
      if (r.cuda)
        rows_.push_back(
            {"cuda." + std::string(r.name), Backend::cuda, r.cuda, r.limit, r.rank, r.doc, r.scratch, r.order_dependent, r.capability});
      if (r.emu)
        rows_.push_back(
            {"emu." + std::string(r.name), Backend::emu, r.emu, r.limit, r.rank, r.doc, r.scratch, r.order_dependent, r.capability});
    }
    for (const auto& r : vendor)
      if (r.run && r.missing().empty())
        rows_.push_back({"cuda." + std::string(r.name), Backend::cuda, r.run, r.limit, r.rank, r.doc, r.scratch});
  }

  const std::vector<Row<Args>>& rows() const { return rows_; }
  void add(const void* row, std::size_t row_bytes, std::size_t args_bytes) const override {
    if (row_bytes != sizeof(Row<Args>) || args_bytes != sizeof(Args))
      throw Error(Code::usage, std::string(name()) + ": the row was compiled against other headers (its arguments have " +
                                   std::to_string(args_bytes) + " bytes, here " + std::to_string(sizeof(Args)) + ")");
    const auto& r = *static_cast<const Row<Args>*>(row);
    if (find(r.name)) throw Error(Code::usage, std::string(name()) + " has a variant '" + r.name + "' already; choose another name");
    rows_.push_back(r);
  }
  const Row<Args>* find(std::string_view variant) const {
    for (const auto& r : rows_)
      if (r.name == variant) return &r;
    return nullptr;
  }
  std::vector<VariantInfo> variants() const override {
    std::vector<VariantInfo> out;
    for (const auto& r : rows_) out.push_back({r.name, r.backend, r.rank, r.limit.text, r.doc, r.order_dependent, r.capability});
    return out;
  }

  // The row that run() would take. Throws Error(usage) when a forced row is unknown or refuses, Error(bug) when no row can run.
  const Row<Args>& select(const Queue& q, const Args& a) const {
    if (const auto forced = forced_variant(name()); !forced.empty()) {
      const Row<Args>* r = find(forced);
      if (!r)
        throw Error(Code::usage,
                    std::string(name()) + ": no variant '" + std::string(forced) + "'; see graft kernels list " + std::string(name()));
      if (r->backend != Backend::ref && !serves(r->backend, q.device().kind))
        throw Error(Code::usage, std::string(name()) + ": variant '" + std::string(forced) + "' does not run on " + name_of(q.device()));
      if (const Verdict v = r->allowed(a); !v)
        throw Error(Code::usage,
                    std::string(name()) + ": variant '" + std::string(forced) + "' was forced but cannot run here: " + v.reason);
      return *r;
    }
    const Row<Args>* best = nullptr;
    for (const auto& r : rows_)
      if (serves(r.backend, q.device().kind) && !r.order_dependent && (!best || r.rank > best->rank) && r.allowed(a)) best = &r;
    if (!best)
      throw Error(Code::bug, std::string(name()) + ": no variant can run these arguments on " + name_of(q.device()) + why_not(q, a));
    return *best;
  }

  void run(Queue& q, const Args& a) const { run_row(q, select(q, a), a); }
  void run_row(Queue& q, const Row<Args>& r, const Args& a) const {
    const KernelScope scope(name(), r.name);
    if (r.scratch) q.scratch(r.scratch(a, q.threads()));
    r.run(q, a);
    if (auto* l = run_listener()) l->ran(name(), r.name);
  }

 private:
  std::string why_not(const Queue& q, const Args& a) const {
    std::string s;
    for (const auto& r : rows_)
      if (serves(r.backend, q.device().kind)) s += "; " + std::string(r.name) + ": " + r.allowed(a).reason;
    return s;
  }
  mutable std::vector<Row<Args>> rows_;  // add() is for the table of a process, which everybody holds as const
};

}  // namespace graft
