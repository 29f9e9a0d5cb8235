// The house keeps itself: arrows between rooms, headers that compile alone, documents that tell the truth, text that stays in the house.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include "kernels/catalog.h"
#include "kernels/core/device.h"
#include "kernels/specs.h"

namespace graft {
namespace {
namespace fs = std::filesystem;

const fs::path kRoot = GRAFT_SOURCE_DIR;
std::string read(const fs::path& p) {
  std::ifstream f(p);
  std::ostringstream s;
  s << f.rdbuf();
  return s.str();
}
std::vector<fs::path> sources(const std::vector<std::string>& folders, const std::vector<std::string>& ends) {
  std::vector<fs::path> all;
  for (const auto& folder : folders)
    for (const auto& e : fs::recursive_directory_iterator(kRoot / folder))
      if (std::find(ends.begin(), ends.end(), e.path().extension().string()) != ends.end()) all.push_back(fs::relative(e.path(), kRoot));
  std::sort(all.begin(), all.end());
  return all;
}
bool starts(const std::string& s, const std::string& with) { return s.rfind(with, 0) == 0; }

// The room of a path: "kernels/core", "kernels/simd", "kernels/softmax", "kernels" (the catalogs), "engine", "models", "weights", "cli".
std::string room(const std::string& p) {
  const auto slash = p.find('/');
  const std::string top = p.substr(0, slash);
  if (top != "kernels") return top;
  const auto next = p.find('/', slash + 1);
  return next == std::string::npos ? top : p.substr(0, next);
}
bool is_vendor(const std::string& p) { return p == "kernels/simt/vendor.h" || p == "kernels/simt/cudnn_graph.h"; }
bool allowed(const std::string& from, const std::string& to) {
  const std::string a = room(from), b = room(to);
  if (a == b) return true;
  const bool contract = fs::path(to).stem() == fs::path(to).parent_path().filename();  // kernels/softmax/softmax.h
  const bool family = starts(b, "kernels/") && b != "kernels/core" && b != "kernels/simd" && b != "kernels/simt" && b != "kernels/lab";
  if (a == "kernels/core") return false;
  if (a == "kernels/simd" || a == "kernels/simt") return b == "kernels/core";
  if (a == "kernels") return b == "kernels/core" || (family && contract);
  if (a == "kernels/lab") return b == "kernels/core" || b == "kernels" || to == "kernels/simd/peak.h" || (family && contract);
  // Only what is compiled as CUDA sees simt: a family's .cu files and the headers that only they include; and rows of a vendor's library
  // see its loader.
  if (starts(a, "kernels/") && b == "kernels/simt")
    return is_vendor(to) ? starts(fs::path(from).filename(), "vendor_")
                         : fs::path(from).extension() == ".cu" || fs::path(from).extension() == ".h";
  if (starts(a, "kernels/"))
    return b == "kernels/core" || b == "kernels/simd" || (fs::path(from).filename() == "spec.cpp" && to == "kernels/specs.h");
  if (a == "engine") return b == "kernels/core" || (family && contract);
  if (a == "models") return b == "engine" || b == "kernels/core";
  if (a == "weights") return b == "engine" || b == "kernels/core";
  return a == "cli";
}

TEST(House, IncludesFollowTheArrows) {
  const std::regex include("^#include \"([^\"]+)\"");
  int arrows = 0;
  for (const auto& p : sources({"kernels", "engine", "models", "weights", "cli"}, {".h", ".cpp", ".cu"})) {
    std::istringstream text(read(kRoot / p));
    for (std::string line; std::getline(text, line);) {
      std::smatch m;
      if (!std::regex_search(line, m, include)) continue;
      ++arrows;
      EXPECT_TRUE(fs::exists(kRoot / m[1].str())) << p << " includes " << m[1] << ", which is not a path from the root";
      EXPECT_TRUE(allowed(p.string(), m[1].str())) << p << " includes " << m[1] << ": not an arrow of docs/architecture.md";
    }
  }
  EXPECT_GT(arrows, 200);
}

// A first build has to end in minutes: CLI11's header alone is five seconds, and JSON's parser and printer two or three, in every file that
// has them.
TEST(House, SlowHeadersStayWhereTheyAre) {
  const std::regex parser("(json|Json)::(parse|sax_parse)|\\.dump\\(");
  int command_line = 0, json = 0;
  for (const auto& p : sources({"kernels", "engine", "models", "weights", "cli"}, {".h", ".cpp", ".cu"})) {
    const std::string file = p.string(), body = read(kRoot / p);
    if (body.find("#include <CLI/") != std::string::npos) {
      EXPECT_TRUE(file == "cli/verb.cpp" || file == "cli/main.cpp") << file << ": verbs are declared with cli/verb.h";
      ++command_line;
    }
    if (room(file) == "kernels/lab" || file == "weights/formats/json_guard.cpp")
      continue;  // the one is below engine, the other has its own
    if (std::regex_search(body, parser)) {
      EXPECT_EQ(file, "engine/base/json.cpp") << "engine/base/json.h reads and prints JSON";
      ++json;
    }
  }
  EXPECT_EQ(command_line, 2);
  EXPECT_EQ(json, 1);
}

// A family's header that includes simt is device code: a .cpp that included it would be compiled with CUDA's words.
TEST(House, DeviceHeadersStayWithTheCuFiles) {
  std::map<std::string, std::string> text;
  for (const auto& p : sources({"kernels"}, {".h", ".cpp"})) text[p.string()] = read(kRoot / p);
  std::vector<std::string> device = {"kernels/simt/simt.h"};
  for (std::size_t i = 0; i < device.size(); ++i)
    for (const auto& [file, body] : text)
      if (!starts(file, "kernels/simt/") && body.find("#include \"" + device[i] + "\"") != std::string::npos) {
        EXPECT_TRUE(file.ends_with(".h")) << file << " includes " << device[i];
        if (std::find(device.begin(), device.end(), file) == device.end()) device.push_back(file);
      } else if (starts(file, "kernels/simt/") && file.ends_with(".h") &&
                 body.find("#include \"" + device[i] + "\"") != std::string::npos &&
                 std::find(device.begin(), device.end(), file) == device.end()) {
        device.push_back(file);
      }
  EXPECT_GT(device.size(), 4u);
}
TEST(House, TheArrowTestSeesAWrongArrow) {
  EXPECT_FALSE(allowed("kernels/softmax/ref.cpp", "kernels/norm/norm.h"));
  EXPECT_FALSE(allowed("kernels/softmax/ref.cpp", "kernels/simt/simt.h"));
  EXPECT_FALSE(allowed("engine/tensor/tensor.cpp", "kernels/simt/simt.h"));
  EXPECT_TRUE(allowed("kernels/softmax/cuda_1_warp_row.cu", "kernels/simt/simt.h"));
  EXPECT_TRUE(allowed("kernels/matmul/vendor_cublaslt.cpp", "kernels/simt/vendor.h"));
  EXPECT_FALSE(allowed("kernels/matmul/cpu_2_packed.cpp", "kernels/simt/vendor.h"));
  EXPECT_FALSE(allowed("kernels/core/view.h", "engine/tensor/tensor.h"));
  EXPECT_FALSE(allowed("engine/ops/norm.cpp", "kernels/norm/loops.h"));
  EXPECT_TRUE(allowed("kernels/lab/peers.cpp", "kernels/matmul/matmul.h"));
  EXPECT_FALSE(allowed("kernels/lab/peers.cpp", "kernels/matmul/rows.h"));
  EXPECT_FALSE(allowed("kernels/matmul/ref.cpp", "kernels/lab/measure.h"));
  EXPECT_FALSE(allowed("engine/ops/norm.cpp", "kernels/lab/lab.h"));
  EXPECT_FALSE(allowed("weights/import.cpp", "models/zoo.h"));
  EXPECT_FALSE(allowed("models/mlp.cpp", "kernels/matmul/matmul.h"));
  EXPECT_TRUE(allowed("engine/ops/norm.cpp", "kernels/norm/norm.h"));
}

// Headers that are compiled once per vector target (-inl.h) or for a test program are not public.
TEST(House, EveryPublicHeaderCompilesAlone) {
  std::string all;
  for (const auto& p : sources({"kernels", "engine", "models", "weights"}, {".h"})) {
    if (p.string().find("-inl.h") != std::string::npos || p.filename() == "cuda_words.h" || is_vendor(p.string()))
      continue;  // these want CUDA
    all += "echo '#include \"" + p.string() + "\"' | ${CXX:-c++} -std=c++20 -fsyntax-only -Wall -Wextra -Werror -Wno-unused-function -I'" +
           kRoot.string() + "' -x c++ - || { echo " + p.string() + "; exit 1; }\n";
  }
  const auto script = fs::temp_directory_path() / ("graft-headers-" + std::to_string(::getpid()) + ".sh");
  std::ofstream(script) << all;
  EXPECT_EQ(std::system(("sh " + script.string()).c_str()), 0);
  fs::remove(script);
}

std::string kernels_page() {
  std::ostringstream s;
  s << "# Kernels\n\nGenerated from the variant tables (`kernels/*/variants.cpp`); a test compares this page with them. An `emu` row is "
       "the CUDA kernel of the same number run on the host; a CUDA build has it as `cuda` too. To write it anew: `GRAFT_WRITE_DOCS=1 "
       "build/test_house`.\n";
  for (const auto* f : families()) {
    s << "\n## " << f->name() << "\n\n| variant | rank | runs when | idea |\n|---|---|---|---|\n";
    for (const auto& v : f->variants())
      if (v.backend != Backend::cuda) s << "| `" << v.name << "` | " << v.rank << " | " << v.limits << " | " << v.doc << " |\n";
  }
  return s.str();
}
// Two types of one name in one namespace link without a word and break at run time: it happened to two kinds of findings.
TEST(House, ATypeHasItsNameForItself) {
  std::map<std::string, std::string> where;
  for (const auto& file : sources({"engine", "models", "weights", "cli", "kernels"}, {".h"})) {
    std::istringstream in(read(kRoot / file));
    std::string space;
    for (std::string line; std::getline(in, line);) {
      std::smatch m;
      if (std::regex_match(line, m, std::regex(R"(namespace (\S+) \{.*)"))) space += (space.empty() ? "" : "::") + m[1].str();
      else if (starts(line, "}  // namespace")) space = space.substr(0, space.rfind("::") == std::string::npos ? 0 : space.rfind("::"));
      else if (std::regex_match(line, m, std::regex(R"((?:struct|class|enum class) (\w+)(?: final)?(?: : [^;]*)? \{.*)"))) {
        const auto [it, fresh] = where.emplace(space + "::" + m[1].str(), file.string());
        EXPECT_TRUE(fresh || it->second == file.string()) << it->first << " is defined in " << it->second << " and in " << file;
      }
    }
  }
  EXPECT_GT(where.size(), 100u) << "it sees the headers' types";
}

TEST(House, KernelsPageIsTheTables) {
  if (!why_not({DeviceKind::emu, 0}).empty()) GTEST_SKIP() << "built without the emulator: its rows are missing here";
  if (std::getenv("GRAFT_WRITE_DOCS")) std::ofstream(kRoot / "docs/kernels.md") << kernels_page();
  std::istringstream page(read(kRoot / "docs/kernels.md")), tables(kernels_page());
  for (std::string have, want; std::getline(tables, want);) {
    ASSERT_TRUE(std::getline(page, have) && have == want)
        << "docs/kernels.md has '" << have << "' for '" << want << "'; GRAFT_WRITE_DOCS=1 build/test_house writes it anew";
  }
  EXPECT_EQ(page.peek(), EOF) << "docs/kernels.md is longer than the tables";
}

// Code blocks of the pages: ```cpp ones that begin with `// file` stand in that file word for word, and paths in backticks exist.
TEST(House, PagesQuoteWhatIsThere) {
  int quotes = 0, paths = 0;
  for (const auto& page : sources({"docs"}, {".md"})) {
    const std::string text = read(kRoot / page);
    for (std::size_t at = 0; (at = text.find("```cpp\n// ", at)) != std::string::npos;) {
      at += 10;
      const std::size_t line = text.find('\n', at), end = text.find("```", line);
      const std::string file = text.substr(at, line - at), body = text.substr(line + 1, end - line - 1);
      ASSERT_TRUE(fs::exists(kRoot / file)) << page << " quotes " << file;
      EXPECT_NE(read(kRoot / file).find(body), std::string::npos) << page << ": this is not in " << file << ":\n" << body;
      ++quotes;
      at = end;
    }
    const std::regex path("`((?:kernels|engine|models|weights|cli|bench|tests|docs)/[A-Za-z0-9_./-]+)`");
    for (std::sregex_iterator i(text.begin(), text.end(), path), none; i != none; ++i, ++paths)
      EXPECT_TRUE(fs::exists(kRoot / (*i)[1].str())) << page << " names " << (*i)[1];
  }
  EXPECT_GE(quotes, 3);
  EXPECT_GT(paths, 20);
}

// Commands of the pages that need neither network nor data: lines of ```sh blocks that begin with build/graft.
TEST(House, CommandsOfThePagesRun) {
  std::vector<fs::path> pages = sources({"docs"}, {".md"});
  pages.push_back("README.md");
  int commands = 0;
  const fs::path work = fs::temp_directory_path() / ("graft-docs-" + std::to_string(::getpid()));
  fs::create_directories(work / "build");
  fs::create_symlink(GRAFT_BINARY, work / "build/graft");
  for (const auto& page : pages) {
    const std::string text = read(kRoot / page);
    for (std::size_t at = 0; (at = text.find("```sh\n", at)) != std::string::npos;) {
      at += 6;
      const std::size_t end = text.find("```", at);
      std::istringstream block(text.substr(at, end - at));
      at = end;
      for (std::string line; std::getline(block, line);) {
        line = line.substr(0, line.find("  #"));
        if (!starts(line, "build/graft ") || line.find("shared/data") != std::string::npos) continue;
        ++commands;
        EXPECT_EQ(std::system(("cd " + work.string() + " && " + line + " >/dev/null 2>.err || { cat .err; exit 1; }").c_str()), 0)
            << page << ": " << line;
      }
    }
  }
  EXPECT_GE(commands, 5);
  fs::remove_all(work);
}

TEST(House, EverySpecHasItsFamilyAndEveryFamilyASpec) {
  std::vector<std::string> specs, tables;
  for (const Spec& s : all_specs()) specs.emplace_back(s.family->name());
  for (const auto* f : families()) tables.emplace_back(f->name());
  std::sort(specs.begin(), specs.end());
  std::sort(tables.begin(), tables.end());
  EXPECT_EQ(specs, tables);
}

// Hardware instructions have one room, where a host model stands beside each.
TEST(House, NoAssemblyOutsideOfSimt) {
  const std::regex assembly("\\basm\\s*(volatile\\s*)?\\(");
  for (const auto& p : sources({"kernels", "engine"}, {".h", ".cpp", ".cu"}))
    if (!starts(p.string(), "kernels/simt/")) { EXPECT_FALSE(std::regex_search(read(kRoot / p), assembly)) << p; }
}
TEST(House, FilesAreFormatted) {
  if (std::system("clang-format --version 2>/dev/null | grep -q 'version 14\\.'") != 0) GTEST_SKIP() << "no clang-format 14";
  EXPECT_EQ(std::system(("cd " + kRoot.string() + " && ./run format --check").c_str()), 0) << "./run format mends it";
}
TEST(House, FilesStayReadable) {
  for (const auto& p : sources({"kernels", "engine", "models", "weights", "cli"}, {".h", ".cpp", ".cu"})) {
    const std::string text = read(kRoot / p);
    if (p.extension() != ".cu") {  // nobody includes a .cu; there a family opens its own private namespace
      EXPECT_EQ(text.find("using namespace"), std::string::npos) << p;
    }
    EXPECT_EQ(text.find("TODO"), std::string::npos) << p;
    EXPECT_EQ(text.find('\t'), std::string::npos) << p;
  }
}

}  // namespace
}  // namespace graft
