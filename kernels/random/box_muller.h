// Two normal numbers of two words, the same bits on every machine: the logarithm, sine and cosine are written out (fdlibm's polynomials,
// Sun Microsystems 1993) because libm and CUDA round theirs differently, and no product is fused with a sum. Within about 2 ulp of the
// exact values.
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

namespace graft {

// A double whose operations are rounded one by one: nvcc would make a * b + c one rounding, the host build does not (-ffp-contract=off).
struct Unfused {
  double v;
  constexpr Unfused(double x) : v(x) {}
};
constexpr Unfused operator+(Unfused a, Unfused b) { return a.v + b.v; }
constexpr Unfused operator-(Unfused a, Unfused b) { return a.v - b.v; }
constexpr Unfused operator/(Unfused a, Unfused b) { return a.v / b.v; }
constexpr Unfused operator*(Unfused a, Unfused b) {
#ifdef __CUDA_ARCH__
  return __dmul_rn(a.v, b.v);
#else
  return a.v * b.v;
#endif
}

// log((w + 1/2) / 2^32): never 0, never of 0
constexpr double log_of_word(std::uint32_t w) {
  const auto bits = std::bit_cast<std::uint64_t>(static_cast<double>(2 * std::uint64_t{w} + 1));  // an odd number below 2^33: exact
  const std::uint64_t fraction = bits & 0xfffffffffffffull;
  const bool upper = fraction > 0x6a09e667f3bcdull;  // above sqrt 2: halved, so that f lies about 0
  const Unfused k = static_cast<double>(static_cast<int>(bits >> 52) - 1023 - 33 + upper);
  const Unfused f = std::bit_cast<double>(fraction | (upper ? 0x3feull : 0x3ffull) << 52) - 1;
  const Unfused s = f / (2 + f), z = s * s, y = z * z, half = 0.5 * f * f;
  const Unfused even = y * (3.999999999940941908e-01 + y * (2.222219843214978396e-01 + y * 1.531383769920937332e-01));
  const Unfused odd =
      z * (6.666666666666735130e-01 + y * (2.857142874366239149e-01 + y * (1.818357216161805012e-01 + y * 1.479819860511658591e-01)));
  return (k * 6.93147180369123816490e-01 - ((half - (s * (half + (odd + even)) + k * 1.90821492927058770002e-10)) - f)).v;
}

struct CosSin {
  double cos, sin;
};
// of 2 pi w / 2^32; the reduction to an eighth of the circle is exact, on the word
constexpr CosSin cos_sin_of_word(std::uint32_t w) {
  const std::uint32_t quadrant = (w + 0x20000000u) >> 30;
  const Unfused x = Unfused(static_cast<double>(static_cast<std::int32_t>(w - (quadrant << 30)))) * (6.28318530717958647693 * 0x1p-32);
  const Unfused z = x * x, half = 0.5 * z, rest = 1 - half;
  const Unfused s =
      x + x * z *
              (-1.66666666666666324348e-01 +
               z * (8.33333333332248946124e-03 +
                    z * (-1.98412698298579493134e-04 +
                         z * (2.75573137070700676789e-06 + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)))));
  const Unfused r = z * (4.16666666666666019037e-02 +
                         z * (-1.38888888888741095749e-03 +
                              z * (2.48015872894767294178e-05 + z * (-2.75573143513906633035e-07 +
                                                                     z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)))));
  const Unfused c = rest + ((1 - rest - half) + z * r);
  switch (quadrant) {
    case 0: return {c.v, s.v};
    case 1: return {-s.v, c.v};
    case 2: return {-c.v, -s.v};
    default: return {s.v, -c.v};
  }
}

// mean + deviation * N(0, 1), twice
struct Normals {
  double first, second;
};
constexpr Normals box_muller(std::uint32_t u, std::uint32_t v, double mean, double deviation) {
  const Unfused radius = deviation * Unfused(std::sqrt(-2 * log_of_word(u)));
  const CosSin at = cos_sin_of_word(v);
  return {(mean + radius * at.cos).v, (mean + radius * at.sin).v};
}

}  // namespace graft
