// report.html of a training: its curves from log.jsonl, what it confuses, its configuration and the command.
#pragma once
#include <string>
#include <vector>

#include "cli/common.h"

namespace graft::cli {

// `log`: the text of log.jsonl. `labels` and `predictions`: of the last evaluation, or empty. `report`: report.json.
std::string training_html(const std::string& log, const std::vector<std::int64_t>& labels, const std::vector<std::int64_t>& predictions,
                          const std::vector<std::string>& class_names, const Json& report, const Config& config);

}  // namespace graft::cli
