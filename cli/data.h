// graft data check, split and preview: one file each, and what they share.
#pragma once
#include <string>
#include <vector>

#include "cli/common.h"
#include "cli/data_parts.h"

namespace graft::cli {

struct SplitAsked {
  std::string parts = "train=0.8,validation=0.1,test=0.1";
  bool group = false, copy = false, stratify = false;
};
// A folder that is there as a whole or not at all: made as FOLDER.new, renamed by keep(), removed where that is not reached. Error(usage)
// where FOLDER is there; Error(input) where it cannot be made. An empty name makes nothing.
class NewFolder {
 public:
  explicit NewFolder(const std::string& wanted);
  ~NewFolder();
  NewFolder(const NewFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  void keep();

 private:
  std::filesystem::path final_, path_;
};

// Each returns the exit code.
int data_check(const Common& c, std::int64_t examples);
int data_split(const Common& c, const SplitAsked& asked);
int data_preview(const Common& c, std::int64_t count, bool augmented);

// A line on a terminal that shows how many pictures were read; throws Error(stopped) after INT.
AuditProgress progress_line(bool quiet, const std::string& what);
Json json_of(const AuditReport& report, const RawParts& parts);
// report.html: the findings, with pictures of the first cases of each.
std::string audit_page(const AuditReport& report, const RawParts& parts, const std::string& title);

}  // namespace graft::cli
