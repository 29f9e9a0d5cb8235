#include "kernels/copy/raw.h"
#include "kernels/copy/rows.h"
#include "kernels/core/loops.h"

namespace graft {
namespace {

bool half(DType t) { return t == DType::bf16 || t == DType::f16; }

constexpr Limit<CopyArgs> dense_f32_half{
    "f32 to or from bf16 or f16, runs dense on both sides", [](const CopyArgs& a) {
      if (!((a.in.dtype == DType::f32 && half(a.out.dtype)) || (half(a.in.dtype) && a.out.dtype == DType::f32)))
        return no("not between f32 and a 16-bit float");
      const Runs<2> r = runs_of<2>({&a.out, &a.in});
      if (r.inner > 1 && (r.inner_stride[0] != 1 || r.inner_stride[1] != 1)) return no("inner stride is not 1");
      return yes();
    }};

Verdict raw_or_floats(const CopyArgs& a) {
  if (a.in.dtype == a.out.dtype || (is_float(a.in.dtype) && is_float(a.out.dtype))) return yes();
  return no("between " + std::string(name_of(a.in.dtype)) + " and " + std::string(name_of(a.out.dtype)));
}
constexpr Limit<CopyArgs> device_runs{"one dtype or two floats; fewer than 2^31 elements", [](const CopyArgs& a) {
                                        if (const Verdict v = raw_or_floats(a); !v) return v;
                                        return a.out.numel() < (std::int64_t{1} << 31) ? yes() : no("2^31 elements or more");
                                      }};

constexpr Limit<CopyArgs> device_packs{
    "one dtype or two floats; one dense run or dense runs of whole 16-byte packs, aligned", [](const CopyArgs& a) {
      if (const Verdict v = raw_or_floats(a); !v) return v;
      const Runs<2> r = runs_of<2>({&a.out, &a.in});
      const std::int64_t size = pack_of(size_of(a.in.dtype), size_of(a.out.dtype));
      if (r.inner > 1 && (r.inner_stride[0] != 1 || r.inner_stride[1] != 1)) return no("inner stride is not 1");
      if (reinterpret_cast<std::uintptr_t>(a.in.data) % 16 || reinterpret_cast<std::uintptr_t>(a.out.data) % 16)
        return no("not aligned to 16 bytes");
      if (r.rank && r.inner % size) return no("runs of " + std::to_string(r.inner) + " elements are not whole packs");
      for (int d = 0; d < r.rank; ++d)
        for (const std::int64_t step : r.stride[static_cast<std::size_t>(d)])
          if (step % size) return no("a side steps by " + std::to_string(step) + " elements, not whole packs");
      return r.outer * (r.inner / size) < (std::int64_t{1} << 31) ? yes() : no("2^31 packs or more");
    }};

constexpr Limit<CopyArgs> device_tiles{
    "one dtype; the input's dense axis is the output's second, both at least 8", [](const CopyArgs& a) {
      if (a.in.dtype != a.out.dtype) return no("converts");
      const Runs<2> r = runs_of<2>({&a.out, &a.in});
      if (r.rank < 1 || r.inner_stride[0] != 1 || r.stride[static_cast<std::size_t>(r.rank) - 1][1] != 1)
        return no("not a transposition of the last two merged axes");
      const std::int64_t rows = r.shape[static_cast<std::size_t>(r.rank) - 1];
      if (rows < 8 || r.inner < 8) return no(std::to_string(rows) + " x " + std::to_string(r.inner) + " is less than a tile");
      return r.outer / rows * ((rows + 31) / 32) * ((r.inner + 31) / 32) < (std::int64_t{1} << 31) ? yes() : no("2^31 tiles or more");
    }};

}  // namespace

const Family<CopyArgs>& copy_family() {
  static const Family<CopyArgs> family(
      "copy",
      {
          host("ref", copy_ref, any<CopyArgs>, 0, "element by element, one thread"),
          host("naive", copy_naive, any<CopyArgs>, 1, "element by element"),
          host("cpu.1_runs", copy_runs, any<CopyArgs>, 10, "merged runs: memcpy, tiles for transpositions"),
          host("cpu.2_simd", copy_simd, dense_f32_half, 20, "f32 to or from 16-bit floats, whole vectors"),
      },
      {
          {"0_thread_element", GRAFT_BODIES(copy_thread_element), any<CopyArgs>, 1,
           "one thread per element, its position divided by every axis"},
          {"1_runs", GRAFT_BODIES(copy_thread_runs), device_runs, 10, "merged runs, one thread per element"},
          {"2_vectors", GRAFT_BODIES(copy_vectors), device_packs, 20, "16-byte packs over the grid, converted in registers"},
          {"3_tiles", GRAFT_BODIES(copy_tiles), device_tiles, 30, "transposition through 32 x 32 tiles in shared memory"},
      });
  return family;
}

}  // namespace graft
