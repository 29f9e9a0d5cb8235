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

// fdlibm's coefficients, for box_muller-inl.h too. Scalars, not arrays: device code may read a constant of the host, not address it.
namespace fdlibm {
constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
constexpr double lg1 = 6.666666666666735130e-01, lg2 = 3.999999999940941908e-01, lg3 = 2.857142874366239149e-01,
                 lg4 = 2.222219843214978396e-01, lg5 = 1.818357216161805012e-01, lg6 = 1.531383769920937332e-01,
                 lg7 = 1.479819860511658591e-01;
constexpr double sin1 = -1.66666666666666324348e-01, sin2 = 8.33333333332248946124e-03, sin3 = -1.98412698298579493134e-04,
                 sin4 = 2.75573137070700676789e-06, sin5 = -2.50507602534068634195e-08, sin6 = 1.58969099521155010221e-10;
constexpr double cos1 = 4.16666666666666019037e-02, cos2 = -1.38888888888741095749e-03, cos3 = 2.48015872894767294178e-05,
                 cos4 = -2.75573143513906633035e-07, cos5 = 2.08757232129817482790e-09, cos6 = -1.13596475577881948265e-11;
}  // namespace fdlibm
constexpr std::uint64_t sqrt2_fraction = 0x6a09e667f3bcdull;     // the fraction bits of sqrt 2 as a double
constexpr double word_angle = 6.28318530717958647693 * 0x1p-32;  // 2 pi / 2^32

// log((w + 1/2) / 2^32): never 0, never of 0
constexpr double log_of_word(std::uint32_t w) {
  namespace co = fdlibm;
  const auto bits = std::bit_cast<std::uint64_t>(static_cast<double>(2 * std::uint64_t{w} + 1));  // an odd number below 2^33: exact
  const std::uint64_t fraction = bits & 0xfffffffffffffull;
  const bool upper = fraction > sqrt2_fraction;  // halved, so that f lies about 0
  const Unfused k = static_cast<double>(static_cast<int>(bits >> 52) - 1023 - 33 + upper);
  const Unfused f = std::bit_cast<double>(fraction | (upper ? 0x3feull : 0x3ffull) << 52) - 1;
  const Unfused s = f / (2 + f), z = s * s, y = z * z, half = 0.5 * f * f;
  const Unfused even = y * (co::lg2 + y * (co::lg4 + y * co::lg6));
  const Unfused odd = z * (co::lg1 + y * (co::lg3 + y * (co::lg5 + y * co::lg7)));
  return (k * co::ln2_high - ((half - (s * (half + (odd + even)) + k * co::ln2_low)) - f)).v;
}

struct CosSin {
  double cos, sin;
};
// of 2 pi w / 2^32; the reduction to an eighth of the circle is exact, on the word
constexpr CosSin cos_sin_of_word(std::uint32_t w) {
  namespace co = fdlibm;
  const std::uint32_t quadrant = (w + 0x20000000u) >> 30;
  const Unfused x = Unfused(static_cast<double>(static_cast<std::int32_t>(w - (quadrant << 30)))) * word_angle;
  const Unfused z = x * x, half = 0.5 * z, rest = 1 - half;
  const Unfused s = x + x * z * (co::sin1 + z * (co::sin2 + z * (co::sin3 + z * (co::sin4 + z * (co::sin5 + z * co::sin6)))));
  const Unfused r = z * (co::cos1 + z * (co::cos2 + z * (co::cos3 + z * (co::cos4 + z * (co::cos5 + z * co::cos6)))));
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
