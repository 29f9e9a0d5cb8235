// What `graft data` looks at: a recipe's data or a path, part by part, as the files have it; what cannot be opened is a part too.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "cli/common.h"
#include "engine/data/audit_table.h"

namespace graft::cli {

struct Asked {
  Config config;
  std::filesystem::path
      alone;  // one folder of classes, archive or table that is no part of anything; else empty and the configuration says
};
// words: RECIPE, FILE.toml or PATH, then key=value. A path is what it looks like: a table, an archive, a folder of classes, or a folder
// with the parts of a data set of tables, pictures, CIFAR or MNIST. Error(usage) as make_config; Error(input) where there is nothing at
// PATH or nothing of this kind in it.
Asked asked_data(const Common& c);

struct RawParts {
  bool table = false;
  std::vector<AuditPart> pictures;
  std::vector<TablePart> tables;
};
// train, validation (data.validation held out where that is set) and test as far as they are there, or "all". With `test` the test part
// too: for audits alone.
RawParts raw_parts(const Asked& asked, bool test);
bool is_archive(const std::filesystem::path& path);               // by its name
std::string place_text(const RawParts& parts, AuditPlace place);  // "train/cat/7.png", "digits: image 7", "test.csv:12"; printable

}  // namespace graft::cli
