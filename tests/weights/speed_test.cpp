// How fast checkpoints open: a mapped load against a copy of the same bytes, the listing of ten thousand tensors in a hundred shards, and
// the memory that a load of 4 GB takes beside the mapping. The numbers are printed; what is asserted leaves room for a busy machine. A
// program of its own, run by itself.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>

#include "engine/tensor/tensor.h"
#include "nlohmann/json.hpp"
#include "tests/cli/process.h"
#include "weights/formats/safetensors.h"
#include "weights/source.h"

namespace graft {
namespace {
namespace fs = std::filesystem;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kMeasured = false;  // a sanitizer's own time and memory would be measured
#else
constexpr bool kMeasured = true;
#endif
constexpr std::uint64_t kMega = 1 << 20, kGiga = 1 << 30;

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}
double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}
// Processor time of the children that have ended, in ms.
double children_ms() {
  rusage u{};
  ::getrusage(RUSAGE_CHILDREN, &u);
  return static_cast<double>(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
         static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}
// A line of /proc, in bytes; 0 where there is none.
std::uint64_t kilobytes(const char* file, const std::string& line) {
  std::ifstream in(file);
  for (std::string s; std::getline(in, s);)
    if (s.starts_with(line + ":")) return std::strtoull(s.c_str() + line.size() + 1, nullptr, 10) * 1024;
  return 0;
}
bool room_for(const fs::path& folder, std::uint64_t disk, std::uint64_t memory) {
  std::error_code ec;
  return fs::space(folder, ec).available > disk + 2 * kGiga && kilobytes("/proc/meminfo", "MemAvailable") > memory + 2 * kGiga;
}

TEST(Speed, MappedLoadAgainstMemcpy) {
  if (!kMeasured) GTEST_SKIP() << "not under a sanitizer";
  const test::TempFolder dir;
  if (!room_for(dir.path, kGiga, 2 * kGiga)) GTEST_SKIP() << "not enough room for 1 GB here";
  constexpr std::uint64_t kTensors = 256, kEach = 4 * kMega;
  std::vector<float> numbers(kEach / 4);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i);
  std::vector<SafetensorsItem> items;
  for (std::uint64_t i = 0; i < kTensors; ++i) items.push_back({"layer." + std::to_string(i) + ".weight", "F32", {1024, 1024}});
  write_safetensors(dir / "m.safetensors", items, {{"format", "pt"}}, [&](std::size_t) { return std::as_bytes(std::span(numbers)); });

  std::vector<std::byte> to(kTensors * kEach);
  std::memset(to.data(), 1, to.size());
  const auto load = [&] {
    const auto begin = std::chrono::steady_clock::now();
    const auto s = open_source(dir / "m.safetensors");
    std::byte* at = to.data();
    for (std::size_t i = 0; i < s->tensors.size(); ++i) {
      const Tensor t = s->load(i);
      std::memcpy(at, t.raw(), static_cast<std::size_t>(t.bytes()));
      at += t.bytes();
    }
    EXPECT_EQ(at, to.data() + to.size());
    return seconds_since(begin);
  };
  // The same bytes in the same pieces, without graft: what a mapping costs is the kernel's, and both pay for it.
  const auto copy = [&] {
    const auto begin = std::chrono::steady_clock::now();
    const auto file = MappedFile::open(dir / "m.safetensors");
    const auto bytes = file->bytes().last(to.size());
    for (std::size_t at = 0; at < to.size(); at += kEach) std::memcpy(to.data() + at, bytes.data() + at, kEach);
    return seconds_since(begin);
  };
  load(), copy();
  std::vector<double> loads, copies;
  for (int i = 0; i < 7; ++i) loads.push_back(load()), copies.push_back(copy());
  const double ratio = median(copies) / median(loads);
  std::printf(
      "1 GB in 256 tensors: open and load %.3f s, memcpy of the same mapped bytes %.3f s, medians of 7 interleaved: %.3f of memcpy's "
      "speed\n",
      median(loads), median(copies), ratio);
  // Other programs slow either of the two; the least times are the machine's own.
  EXPECT_GE(*std::min_element(copies.begin(), copies.end()) / *std::min_element(loads.begin(), loads.end()), 0.8);
  // Opening alone, for it is what a mapped load is where nobody touches the bytes.
  std::vector<double> opens;
  for (int i = 0; i < 7; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    const auto s = open_source(dir / "m.safetensors");
    for (std::size_t k = 0; k < s->tensors.size(); ++k) s->load(k);
    opens.push_back(seconds_since(begin));
  }
  std::printf("opened and all 256 tensors mapped, untouched: %.2f ms\n", median(opens) * 1e3);
  EXPECT_LT(median(opens), 0.1);
}

TEST(Speed, InspectTenThousandTensors) {
  const test::TempFolder dir;
  const std::vector<float> four(4);
  nlohmann::ordered_json map = nlohmann::ordered_json::object();
  for (int shard = 0; shard < 100; ++shard) {
    char name[64];
    std::snprintf(name, sizeof name, "model-%05d-of-00100.safetensors", shard + 1);
    std::vector<SafetensorsItem> items;
    for (int i = 0; i < 100; ++i) {
      items.push_back({"model.layers." + std::to_string(shard) + ".experts." + std::to_string(i) + ".down_proj.weight", "F32", {2, 2}});
      map[items.back().name] = name;
    }
    write_safetensors(dir / name, items, {{"format", "pt"}}, [&](std::size_t) { return std::as_bytes(std::span(four)); });
  }
  std::ofstream(dir / "model.safetensors.index.json")
      << nlohmann::ordered_json{{"metadata", {{"total_size", 160000}}}, {"weight_map", map}}.dump(2);
  for (const std::string verb : {"inspect .", "inspect --json ."}) {
    std::vector<double> times, processor;
    for (int i = 0; i < 7; ++i) {
      const double before = children_ms();
      const auto begin = std::chrono::steady_clock::now();
      const test::Outcome o = test::run(dir.path, verb);
      times.push_back(seconds_since(begin) * 1e3);
      processor.push_back(children_ms() - before);
      ASSERT_EQ(o.code, 0) << o.err;
      ASSERT_NE(o.out.find(verb == "inspect ." ? "10000 tensors" : "model.layers.99.experts.99.down_proj.weight"), std::string::npos)
          << o.out.substr(0, 500);
    }
    std::sort(times.begin(), times.end());
    std::printf(
        "graft %s of 10,000 tensors in 100 shards: %.1f ms (least), %.1f ms (median), of the processor %.1f ms (median), the whole "
        "program\n",
        verb.c_str(), times.front(), times[times.size() / 2], median(processor));
    if (kMeasured) {
      EXPECT_LT(median(processor), 250) << verb;  // the time on the wall is the other programs' too
    }
  }
}

TEST(Speed, MemoryOfFourGigabytesInShards) {
  if (!kMeasured) GTEST_SKIP() << "not under a sanitizer";
  const test::TempFolder dir;
  if (!room_for(dir.path, kGiga, 5 * kGiga)) GTEST_SKIP() << "not enough room for 4 GB here";
  // Headers, and data that are holes of the file: they are read as zeros and take no disk.
  constexpr int kShards = 8, kTensors = 16;
  constexpr std::uint64_t kEach = 32 * kMega;
  nlohmann::ordered_json map = nlohmann::ordered_json::object();
  for (int shard = 0; shard < kShards; ++shard) {
    const std::string name = "model-" + std::to_string(shard) + ".safetensors";
    std::vector<SafetensorsItem> items;
    for (int i = 0; i < kTensors; ++i) {
      items.push_back({"block." + std::to_string(shard) + "." + std::to_string(i), "F32", {4096, 2048}});
      map[items.back().name] = name;
    }
    const std::string header = safetensors_header(items, {{"format", "pt"}});
    std::ofstream(dir / name, std::ios::binary) << header;
    fs::resize_file(dir / name, header.size() + kTensors * kEach);
  }
  std::ofstream(dir / "model.safetensors.index.json")
      << nlohmann::ordered_json{{"metadata", {{"total_size", 4 * kGiga}}}, {"weight_map", map}}.dump(2);

  const std::uint64_t before = kilobytes("/proc/self/status", "RssAnon");
  const auto begin = std::chrono::steady_clock::now();
  const auto s = open_source(dir.path);
  std::vector<Tensor> all;
  std::uint64_t bytes = 0, sum = 0, most = 0;
  for (std::size_t i = 0; i < s->tensors.size(); ++i) {
    all.push_back(s->load(i));
    const auto* p = static_cast<const unsigned char*>(all.back().raw());
    const auto n = static_cast<std::size_t>(all.back().bytes());
    for (std::size_t k = 0; k < n; k += 4096) sum += p[k];  // every page, read
    bytes += n;
    most = std::max(most, kilobytes("/proc/self/status", "RssAnon"));
  }
  const double seconds = seconds_since(begin);
  EXPECT_EQ(bytes, 4 * kGiga);
  EXPECT_EQ(sum, 0u);
  const std::uint64_t anonymous = most > before ? most - before : 0;
  std::printf(
      "4 GB in 8 shards, loaded and every page read in %.2f s: %.1f MB of memory of its own (RssAnon at its most); pages of the files in "
      "memory: %.2f GB (RssFile), which the kernel may drop\n",
      seconds, static_cast<double>(anonymous) / 1e6, static_cast<double>(kilobytes("/proc/self/status", "RssFile")) / 1e9);
  ASSERT_GT(kilobytes("/proc/self/status", "RssAnon"), 0u) << "the kernel does not say";
  EXPECT_LT(anonymous, kGiga);
}

}  // namespace
}  // namespace graft
