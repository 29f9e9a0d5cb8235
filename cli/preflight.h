// What the preflight found, for the console and as JSON.
#pragma once
#include "cli/common.h"
#include "engine/train/preflight.h"

namespace graft::cli {

Json preflight_json(const Preflight& p);  // {"preflight": "ok"|"warn"|"fail", "seconds": ..., "findings": [{"level", "check", "text"}]}
// `graft train ... --preflight`: everything is checked and shown, nothing is trained or written. Returns 0, or 1 when a check failed.
int run_preflight(const Common& c, const Config& config, const Data& data, const Built& built);
// Before a run of more than kPreflightFrom steps, unless train.preflight=false: the short form; what is not ok goes to stderr. Empty where
// there was none.
inline constexpr std::int64_t kPreflightFrom = 500;  // its some 15 steps are then at most 3 % of the run
Json preflight_before(const Common& c, const Config& config, const Data& data, const Built& built);

}  // namespace graft::cli
