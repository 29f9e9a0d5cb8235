#include "kernels/lab/compare.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>

namespace graft::lab {
namespace {

struct Time {
  double median, low, high;
};

std::string key_of(const Json& row, const Json& document) {
  const std::string device = row.contains("device") ? row.at("device").get<std::string>() : document.value("device", std::string("cpu"));
  return row.at("family").get<std::string>() + " " + row.at("variant").get<std::string>() + " " + row.at("shape").get<std::string>() + " " +
         row.at("dtype").get<std::string>() + ", " + std::to_string(row.at("threads").get<int>()) + " threads, " + device +
         (row.value("cold", false) ? ", cold" : "");
}
// Documents from before the intervals carry the quartiles' distance alone.
Time time_of(const Json& row) {
  const double median = row.at("median_s").get<double>(), half = row.at("spread").get<double>() / 2;
  return {median, row.value("low_s", median * (1 - std::min(half, 0.999))), row.value("high_s", median * (1 + half))};
}
std::string text_at(const Json& document, const char* key) {
  return document.contains("machine") && document.at("machine").is_object() ? document.at("machine").value(key, std::string{})
                                                                            : std::string{};
}

}  // namespace

Json read_document(const std::string& path) {
  std::ifstream f(path, std::ios::binary);
  const std::string what = path + ": ", wants = "; it must be what graft kernels bench --json writes";
  if (!f) throw Error(Code::input, what + "cannot be read" + wants);
  Json d = Json::parse(f, nullptr, false);
  if (f.bad()) throw Error(Code::input, what + "cannot be read" + wants);
  if (d.is_discarded()) throw Error(Code::input, what + "is not JSON" + wants);
  if (!d.is_object() || !d.contains("rows") || !d.at("rows").is_array()) throw Error(Code::input, what + "has no \"rows\"" + wants);
  std::size_t i = 0;
  try {
    for (const Json& row : d.at("rows")) {
      (void)key_of(row, d);
      const Time t = time_of(row);
      if (!(t.low > 0 && t.low <= t.median && t.median <= t.high && std::isfinite(t.high)))
        throw Error(Code::input, what + "row " + std::to_string(i) + " has no sound times" + wants);
      ++i;
    }
  } catch (const nlohmann::json::exception&) {
    throw Error(Code::input, what + "row " + std::to_string(i) + " lacks a key or has one of a wrong type" + wants);
  }
  return d;
}

Comparison compare(const Json& a, const Json& b, double threshold) {
  Comparison out;
  for (const auto& [key, name] :
       {std::pair{"cpu", "processors"}, std::pair{"device", "devices"}, std::pair{"host", "hosts"}, std::pair{"compiler", "compilers"}})
    if (const std::string x = text_at(a, key), y = text_at(b, key); x != y)
      out.remarks.push_back(std::string("different ") + name + ": " + (x.empty() ? "not said" : x) + " and " +
                            (y.empty() ? "not said" : y));
  for (const auto& [key, text] : {std::pair{"graft", "versions of graft"}})
    if (a.value(key, std::string{}) != b.value(key, std::string{}))
      out.remarks.push_back(std::string("different ") + text + ": " + a.value(key, std::string("not said")) + " and " +
                            b.value(key, std::string("not said")));
  const double noise = 2 * std::max(a.value("noise", 0.02), b.value("noise", 0.02));

  std::map<std::string, Time> times;
  for (const Json& row : b.at("rows")) times.insert_or_assign(key_of(row, b), time_of(row));
  std::map<std::string, bool> seen;
  for (const Json& row : a.at("rows")) {
    Compared c;
    c.key = key_of(row, a);
    if (std::exchange(seen[c.key], true)) continue;
    const Time x = time_of(row);
    c.a = x.median;
    const auto other = times.find(c.key);
    if (other == times.end()) {
      c.verdict = "only in A";
    } else {
      const Time y = other->second;
      c.b = y.median;
      c.ratio = y.median / x.median;
      c.interval = {y.low / x.high, y.high / x.low};
      const double low = 1 / (1 + threshold), high = 1 + threshold;
      if (c.interval.low > high) c.verdict = "slower";
      else if (c.interval.high < low) c.verdict = "faster";
      else if (c.interval.low >= low && c.interval.high <= high) c.verdict = "same";
      else if (c.interval.low <= 1 && c.interval.high >= 1 && c.interval.high - c.interval.low <= 2 * noise) c.verdict = "same";
      else c.verdict = "noisy";
      out.slower |= c.verdict == "slower";
    }
    out.rows.push_back(std::move(c));
  }
  for (const Json& row : b.at("rows"))
    if (const std::string key = key_of(row, b); !std::exchange(seen[key], true)) {
      Compared c;
      c.key = key;
      c.verdict = "only in B";
      c.b = time_of(row).median;
      out.rows.push_back(std::move(c));
    }
  return out;
}

}  // namespace graft::lab
