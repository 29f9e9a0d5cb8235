// If, Loop and Scan. A branch or body is a graph of its own that sees the values around it; conditions and counts are read on the host.
#include <algorithm>
#include <limits>

#include "weights/onnx/op.h"

namespace graft::onnx {
namespace {

constexpr std::int64_t kMaxTurns = std::int64_t{1} << 24;  // of a loop that does not say how many it wants

bool truth(const Call& c, const OnnxValue& v) {
  if (v.tensor.numel() != 1 || v.type != kBool) c.wrong("has the condition " + v.tensor.str());
  return v.tensor.item() != 0;
}

void branch(Call& c) {
  for (OnnxValue& v : c.run_body(truth(c, c.in(0)) ? "then_branch" : "else_branch", {})) c.out(std::move(v));
}

// Rows that were collected, as one tensor; without any, an empty one of an unknown shape cannot be made.
OnnxValue stacked(const Call& c, const std::vector<OnnxValue>& rows, int axis) {
  if (rows.empty()) c.refuse("collects the values of no turn at all, whose shape graft does not know");
  Tensors parts;
  for (const OnnxValue& v : rows) {
    if (v.type != rows[0].type) c.wrong("collects values of different types");
    parts.push_back(cast(here(v.tensor), type_info(v.type)->held));
  }
  return {stack(parts, axis), rows[0].type};
}

void loop(Call& c) {
  const std::int64_t most = c.has(std::size_t{0}) ? c.integer(0) : std::numeric_limits<std::int64_t>::max();
  bool go = !c.has(std::size_t{1}) || truth(c, c.in(1));
  std::vector<OnnxValue> carried;
  for (std::size_t i = 2; i < c.inputs(); ++i) carried.push_back(c.in(i));
  if (c.body_inputs("body") != carried.size() + 2)
    c.wrong("has a body with " + std::to_string(c.body_inputs("body")) + " inputs for " + std::to_string(carried.size()) + " values");
  std::vector<std::vector<OnnxValue>> collected(c.outputs() - std::min(c.outputs(), carried.size()));
  for (std::int64_t turn = 0; go && turn < most; ++turn) {
    if (turn == kMaxTurns) c.refuse("turned " + std::to_string(kMaxTurns) + " times and does not end");
    std::vector<OnnxValue> in{from_ints({turn}, {}, kInt64), from_ints({1}, {}, kBool)};
    in.insert(in.end(), carried.begin(), carried.end());
    std::vector<OnnxValue> out = c.run_body("body", in);
    if (out.size() < carried.size() + 1 || out.size() - carried.size() - 1 < collected.size())
      c.wrong("has a body with " + std::to_string(out.size()) + " outputs");
    go = truth(c, out[0]);
    for (std::size_t i = 0; i < carried.size(); ++i) carried[i] = out[i + 1];
    for (std::size_t i = 0; i < collected.size(); ++i) collected[i].push_back(out[1 + carried.size() + i]);
  }
  for (OnnxValue& v : carried) c.out(std::move(v));
  for (std::size_t i = 0; i < collected.size(); ++i) {
    if (c.wants(c.results.size())) c.out(stacked(c, collected[i], 0));
    else c.none();
  }
}

std::vector<std::int64_t> list_or(const Call& c, const char* name, std::size_t n) {
  std::vector<std::int64_t> v = c.list(name);
  if (v.empty()) v.assign(n, 0);
  if (v.size() != n) c.wrong("has " + std::to_string(v.size()) + " " + name + " for " + std::to_string(n));
  return v;
}
// states first, then sequences; gives the last states and what was collected.
std::vector<OnnxValue> scanned(Call& c, std::vector<OnnxValue> states, const std::vector<OnnxValue>& sequences,
                               const std::vector<std::int64_t>& directions, const std::vector<std::int64_t>& axes,
                               const std::vector<std::int64_t>& out_directions, const std::vector<std::int64_t>& out_axes) {
  std::int64_t steps = -1;
  std::vector<int> at;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    at.push_back(c.axis(axes[i], sequences[i].tensor.rank()));
    const std::int64_t n = sequences[i].tensor.size(at[i]);
    if (steps >= 0 && n != steps) c.wrong("scans sequences of " + std::to_string(steps) + " and " + std::to_string(n) + " steps");
    steps = n;
  }
  std::vector<std::vector<OnnxValue>> collected(out_axes.size());
  for (std::int64_t t = 0; t < steps; ++t) {
    std::vector<OnnxValue> in = states;
    for (std::size_t i = 0; i < sequences.size(); ++i)
      in.push_back({select(cast(here(sequences[i].tensor), type_info(sequences[i].type)->held), at[i], directions[i] ? steps - 1 - t : t),
                    sequences[i].type});
    std::vector<OnnxValue> out = c.run_body("body", in);
    if (out.size() != states.size() + collected.size()) c.wrong("has a body with " + std::to_string(out.size()) + " outputs");
    for (std::size_t i = 0; i < states.size(); ++i) states[i] = out[i];
    for (std::size_t i = 0; i < collected.size(); ++i) collected[i].push_back(out[states.size() + i]);
  }
  for (std::size_t i = 0; i < collected.size(); ++i) {
    if (out_directions[i]) std::reverse(collected[i].begin(), collected[i].end());
    const int rank = collected[i].empty() ? 0 : collected[i][0].tensor.rank() + 1;
    states.push_back(stacked(c, collected[i], rank ? c.axis(out_axes[i], rank) : 0));
  }
  return states;
}

void scan(Call& c) {
  const std::int64_t wanted = c.attr("num_scan_inputs", 0);
  const std::size_t first = c.opset < 9 ? 1 : 0, given = c.inputs() - first;
  if (wanted < 1 || c.inputs() < first || static_cast<std::size_t>(wanted) > given)
    c.wrong("has " + std::to_string(wanted) + " sequences among " + std::to_string(given) + " inputs");
  const std::size_t m = static_cast<std::size_t>(wanted), n = given - m;
  if (c.outputs() < n) c.wrong("has fewer outputs than states");
  const std::size_t k = c.outputs() - n;
  std::vector<OnnxValue> states, sequences;
  for (std::size_t i = 0; i < n; ++i) states.push_back(c.in(first + i));
  for (std::size_t i = 0; i < m; ++i) sequences.push_back(c.in(first + n + i));
  const auto directions = list_or(c, c.opset < 9 ? "directions" : "scan_input_directions", m);
  if (c.opset >= 9) {
    for (OnnxValue& v : scanned(c, states, sequences, directions, list_or(c, "scan_input_axes", m), list_or(c, "scan_output_directions", k),
                                list_or(c, "scan_output_axes", k)))
      c.out(std::move(v));
    return;
  }
  // Opset 8: everything has a batch axis in front, and each row may be shorter than the rest.
  const std::int64_t batch = sequences[0].tensor.rank() ? sequences[0].tensor.size(0) : 0;
  std::vector<std::int64_t> lengths;
  if (c.has(std::size_t{0})) lengths = c.ints(0);
  if (!lengths.empty() && static_cast<std::int64_t>(lengths.size()) != batch)
    c.wrong("has " + std::to_string(lengths.size()) + " lengths for " + std::to_string(batch) + " rows");
  std::vector<std::vector<OnnxValue>> rows(n + k);
  for (std::int64_t b = 0; b < batch; ++b) {
    const auto row = [&](const OnnxValue& v) { return OnnxValue{select(cast(here(v.tensor), type_info(v.type)->held), 0, b), v.type}; };
    std::vector<OnnxValue> s, q;
    for (const OnnxValue& v : states) s.push_back(row(v));
    for (const OnnxValue& v : sequences) q.push_back(row(v));
    if (!lengths.empty() && lengths[static_cast<std::size_t>(b)] != q[0].tensor.size(0)) c.refuse("scans rows of different lengths");
    const std::vector<OnnxValue> out =
        scanned(c, s, q, directions, std::vector<std::int64_t>(m, 0), std::vector<std::int64_t>(k, 0), std::vector<std::int64_t>(k, 0));
    for (std::size_t i = 0; i < out.size(); ++i) rows[i].push_back(out[i]);
  }
  for (const auto& r : rows) c.out(stacked(c, r, 0));
}

constexpr Operator kTable[] = {{"If", branch}, {"Loop", loop}, {"Scan", scan}};

}  // namespace

std::span<const Operator> control_operators() { return kTable; }

}  // namespace graft::onnx
