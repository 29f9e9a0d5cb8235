// report.html of a training: its curves from log.jsonl, what it confuses, its configuration and the command.
#pragma once
#include <string>
#include <vector>

#include "cli/common.h"
#include "engine/train/evaluate.h"

namespace graft::cli {

// The last look of a run: at test images, or at held-out ones. Empty where there was none.
struct Judged {
  std::string name;  // "test", "validation"
  Dataset set;
  Evaluation by;
};
// `log`: the text of log.jsonl. `report`: report.json.
std::string training_html(const std::string& log, const Judged& judged, const Json& report, const Config& config);

}  // namespace graft::cli
