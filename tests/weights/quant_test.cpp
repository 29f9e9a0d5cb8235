// ggml's block types: every bit of what they stand for against ggml and gguf-py, what graft writes against the reference, and the search of
// the K types against ggml's.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "engine/base/context.h"
#include "weights/formats/ggml_codecs.h"
#include "weights/source.h"
#include "weights/stored_type.h"

namespace graft {
namespace {

const std::filesystem::path kBlocks = std::filesystem::path(GRAFT_SOURCE_DIR) / "tests/golden/gguf/blocks.safetensors";

const Source& golden() {
  static const std::unique_ptr<Source> s = open_source(kBlocks);
  return *s;
}
KeptBytes golden_bytes(const std::string& name) {
  const auto& all = golden().tensors;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (all[i].name == name) return golden().bytes(i);
  ADD_FAILURE() << name << " is not in " << kBlocks;
  return {};
}
std::vector<float> golden_floats(const std::string& name) {
  const KeptBytes b = golden_bytes(name);
  std::vector<float> x(b.data.size() / 4);
  std::memcpy(x.data(), b.data.data(), b.data.size());
  return x;
}
std::vector<const BlockCodec*> codecs() {
  std::vector<const BlockCodec*> all;
  for (const auto table : {simple_codecs(), k_codecs(), iq_codecs(), low_codecs()})
    for (const BlockCodec& c : table) all.push_back(&c);
  return all;
}
std::vector<float> there_and_back(std::string_view name, const std::vector<float>& x) {
  const StoredType& t = *stored_type(name);
  const std::size_t blocks = x.size() / static_cast<std::size_t>(t.elements);
  std::vector<std::byte> packed(blocks * static_cast<std::size_t>(t.bits) / 8);
  quantise_blocks(name, x.data(), blocks, packed.data());
  std::vector<float> y(x.size(), std::numeric_limits<float>::quiet_NaN());
  dequantise_blocks(name, packed.data(), blocks, y.data());
  return y;
}

TEST(Quant, EveryTypeStandsForTheReferencesBits) {
  int types = 0;
  for (const BlockCodec* c : codecs()) {
    const std::string name(c->name);
    const KeptBytes bytes = golden_bytes(name + ".bytes");
    const std::vector<float> want = golden_floats(name + ".floats");
    ASSERT_EQ(bytes.data.size() / static_cast<std::size_t>(c->bytes) * static_cast<std::size_t>(c->elements), want.size()) << name;
    std::vector<float> have(want.size(), -1.0f);
    dequantise_blocks(name, bytes.data.data(), bytes.data.size() / static_cast<std::size_t>(c->bytes), have.data());
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < want.size(); ++i)
      if (std::bit_cast<std::uint32_t>(have[i]) != std::bit_cast<std::uint32_t>(want[i]) && wrong++ == 0)
        ADD_FAILURE() << name << ": element " << i << " is " << have[i] << ", the reference has " << want[i];
    EXPECT_EQ(wrong, 0u) << name;
    ++types;
  }
  EXPECT_EQ(types, 25);
}

TEST(Quant, TheTablesAgreeOnSizes) {
  for (const BlockCodec* c : codecs()) {
    const StoredType* t = stored_type(c->name);
    ASSERT_NE(t, nullptr) << c->name;
    EXPECT_EQ(t->elements, c->elements) << c->name;
    EXPECT_EQ(t->bits, 8 * c->bytes) << c->name;
  }
}

TEST(Quant, SimpleTypesAreWrittenAsTheReferenceWritesThem) {
  const std::vector<float> x = golden_floats("x");
  int types = 0;
  for (const BlockCodec* c : codecs()) {
    const std::string name(c->name);
    if (!c->quantise || name.ends_with("_K")) continue;
    const KeptBytes want = golden_bytes(name + ".packed");
    const std::size_t blocks = x.size() / static_cast<std::size_t>(c->elements);
    std::vector<std::byte> have(blocks * static_cast<std::size_t>(c->bytes));
    quantise_blocks(name, x.data(), blocks, have.data());
    ASSERT_EQ(have.size(), want.data.size()) << name;
    for (std::size_t i = 0; i < have.size(); ++i)
      ASSERT_EQ(have[i], want.data[i]) << name << ": byte " << i % static_cast<std::size_t>(c->bytes) << " of block "
                                       << i / static_cast<std::size_t>(c->bytes);
    ++types;
  }
  EXPECT_EQ(types, 10);
}

// The rows of `weights` by distribution, as make_blocks.py drew them.
struct RowsOfAKind {
  const char* name;
  int from, to;
};
constexpr RowsOfAKind kRows[] = {{"normal", 0, 16},
                                 {"Laplace", 16, 32},
                                 {"uniform above 0", 32, 40},
                                 {"uniform below 0", 40, 44},
                                 {"normal, parts of many sizes", 44, 52},
                                 {"Student's t, 3", 52, 64}};

TEST(Quant, TheSearchOfTheKTypesIsNotWorseThanGgmls) {
  const KeptBytes stored = golden_bytes("weights");
  std::vector<float> x(stored.data.size() / 2);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = half_at(reinterpret_cast<const std::uint8_t*>(stored.data.data()) + 2 * i);
  for (const char* name : {"Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"}) {
    const KeptBytes b = golden_bytes(std::string(name) + ".squares");
    std::vector<double> theirs(b.data.size() / 8);
    std::memcpy(theirs.data(), b.data.data(), b.data.size());
    ASSERT_EQ(theirs.size(), 64u);
    const std::vector<float> y = there_and_back(name, x);
    for (const RowsOfAKind& rows : kRows) {
      double ours = 0, reference = 0;
      for (int r = rows.from; r < rows.to; ++r) {
        reference += theirs[static_cast<std::size_t>(r)];
        for (std::size_t i = 256 * static_cast<std::size_t>(r); i < 256 * static_cast<std::size_t>(r + 1); ++i)
          ours += std::pow(static_cast<double>(y[i]) - x[i], 2);
      }
      const double ratio = std::sqrt(ours / reference);
      EXPECT_LE(ratio, 1.05) << name << ", " << rows.name << ": RMS error is " << ratio << " times ggml's";
      RecordProperty(std::string(name) + " " + rows.name, std::to_string(ratio));
    }
  }
}

// 300,000 elements are several pieces, and the last is shorter.
TEST(Quant, ThreadsChangeNothing) {
  std::vector<float> x(256 * 1200);
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (float& v : x) v = normal(random);
  for (const BlockCodec* c : codecs()) {
    if (!c->quantise) continue;
    const std::size_t blocks = x.size() / static_cast<std::size_t>(c->elements);
    std::vector<std::byte> packed[3];
    std::vector<float> back[3];
    const int threads[3] = {1, 2, 5};
    for (int i = 0; i < 3; ++i) {
      Queue q(threads[i]);
      const UseQueue use(q);
      packed[i].resize(blocks * static_cast<std::size_t>(c->bytes));
      back[i].resize(x.size());
      quantise_blocks(c->name, x.data(), blocks, packed[i].data());
      dequantise_blocks(c->name, packed[i].data(), blocks, back[i].data());
    }
    EXPECT_EQ(packed[0], packed[1]) << c->name;
    EXPECT_EQ(packed[0], packed[2]) << c->name;
    EXPECT_EQ(back[0], back[2]) << c->name;
  }
}

// Whatever finite floats come, the answer is finite and not further off than a step of a grid over the block's range; zeros stay zeros.
TEST(Quant, OddBlocksStayInTheirRange) {
  const auto row = [](auto&& f) {
    std::vector<float> x(256);
    for (std::size_t i = 0; i < 256; ++i) x[i] = f(i);
    return x;
  };
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  const std::vector<std::pair<const char*, std::vector<float>>> rows = {
      {"zeros", row([](std::size_t) { return 0.0f; })},
      {"negative zeros", row([](std::size_t) { return -0.0f; })},
      {"one value", row([](std::size_t) { return 0.7f; })},
      {"one negative value", row([](std::size_t) { return -0.7f; })},
      {"one of 256", row([](std::size_t i) { return i == 77 ? -3.0f : 0.0f; })},
      {"largest", row([](std::size_t i) { return i % 2 ? 65504.0f : -65504.0f; })},
      {"far from 0", row([&](std::size_t) { return 1000.0f + normal(random); })},
      {"below f16", row([&](std::size_t) { return 1e-30f * normal(random); })},
      {"subnormal", row([&](std::size_t) { return 1e-41f * normal(random); })},
      {"one part of many sizes", row([&](std::size_t i) { return i < 16 ? 1e4f * normal(random) : 1e-4f * normal(random); })},
  };
  for (const char* name : {"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"})
    for (const auto& [what, x] : rows) {
      const std::vector<float> y = there_and_back(name, x);
      float most = 0;
      for (const float v : x) most = std::max(most, std::abs(v));
      for (std::size_t i = 0; i < x.size(); ++i) {
        ASSERT_TRUE(std::isfinite(y[i])) << name << ", " << what << ": element " << i;
        // The coarsest is Q2_K: a third of the range, from 0 or below to the largest, and what rounding its minimum to 4 bits adds.
        ASSERT_LE(std::abs(y[i] - x[i]), 0.4f * most + 1e-7f)
            << name << ", " << what << ": element " << i << " is " << y[i] << " for " << x[i];
        if (most == 0) { ASSERT_EQ(y[i], 0.0f) << name << ", " << what; }
      }
    }
}

TEST(Quant, WhatNoBlockHoldsIsRefusedByElement) {
  for (const BlockCodec* c : codecs()) {
    if (!c->quantise) {
      EXPECT_FALSE(quantises(c->name));
      continue;
    }
    EXPECT_TRUE(quantises(c->name));
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity(), 3.3e38f}) {
      std::vector<float> x(512, 1.0f);
      x[300] = bad;
      std::vector<std::byte> packed(512 / static_cast<std::size_t>(c->elements) * static_cast<std::size_t>(c->bytes));
      try {
        quantise_blocks(c->name, x.data(), 512 / static_cast<std::size_t>(c->elements), packed.data());
        ADD_FAILURE() << c->name << " took " << bad;
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), Code::input);
        EXPECT_NE(std::string(e.what()).find("element 300"), std::string::npos) << e.what();
        EXPECT_NE(std::string(e.what()).find(c->name), std::string::npos) << e.what();
      }
    }
  }
  EXPECT_FALSE(quantises("F32"));
  float none = 0;
  EXPECT_THROW(dequantise_blocks("Q8_1", nullptr, 0, &none), Error);
}

}  // namespace
}  // namespace graft
