#include "kernels/lab/report.h"

#include <cmath>
#include <ctime>

#include "kernels/lab/statistics.h"

namespace graft::lab {
namespace {

std::string number(const char* format, double v) {
  char text[64];
  std::snprintf(text, sizeof text, format, v);
  return text;
}
Json maybe(const std::optional<double>& v) { return v ? Json(*v) : Json(nullptr); }
Json finite(double v) { return std::isfinite(v) ? Json(v) : Json(nullptr); }

}  // namespace

std::vector<Result> results_of(Contest& contest, Lab& lab, const std::string& against) {
  std::vector<Result> all;
  const Work w = contest.cost();
  const Bound bound = lab.roofline().bound(w, lab.options().cold);
  const Candidate* other = nullptr;
  for (const Candidate& c : contest.candidates())
    if (c.name == against && c.caught.empty()) other = &c;
  for (const Candidate& c : contest.candidates()) {
    Result r;
    r.family = contest.spec().family->name();
    r.variant = c.name;
    r.shape = contest.work().shape;
    r.dtype = name_of(contest.dtype());
    r.device = name_of(lab.queue().device());
    r.threads = lab.queue().threads();
    r.cold = lab.options().cold;
    r.caught = c.caught;
    r.error = c.error;
    r.checked = c.checked;
    if (c.caught.empty()) {
      r.samples = c.samples.size();
      r.rounds = c.rounds.size();
      r.min = quantile(c.samples, 0);
      r.median = median(c.samples);
      r.q1 = quantile(c.samples, 0.25);
      r.q3 = quantile(c.samples, 0.75);
      r.interval = median_interval(c.rounds);
      r.spread = (r.q3 - r.q1) / r.median;
      r.noisy = uncertainty(c.rounds) > lab.options().noise;
      r.flops_rate = w.flops / r.median;
      r.bytes_rate = w.bytes / r.median;
      if (bound.seconds > 0) r.of_roofline = bound.seconds / r.median;
      r.bound_by = bound.by;
      if (!c.clocks.empty()) r.clock_mhz = median(c.clocks);
      if (!c.watts.empty()) r.watts = median(c.watts);
      if (other && other != &c) {
        std::vector<double> each;  // round by round: what slows the machine slows both
        for (std::size_t i = 0; i < std::min(c.rounds.size(), other->rounds.size()); ++i) each.push_back(other->rounds[i] / c.rounds[i]);
        r.ratio = Ratio{against, median(each), median_interval(each)};
      }
    }
    all.push_back(std::move(r));
  }
  return all;
}

Document make_document(Lab& lab, const std::string& version) {
  Document d;
  d.version = version;
  char date[32];
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
  d.date = date;
  d.machine = this_machine(lab.queue().device());
  d.device = name_of(lab.queue().device());
  d.threads = lab.queue().threads();
  d.options = lab.options();
  d.seed = lab.seed();
  d.levels = lab.roofline().levels();
  d.flops_f32 = lab.roofline().flops(DType::f32);
  d.flops_16 = lab.roofline().flops(DType::bf16);
  return d;
}

std::string text_of(const Result& r) {
  char head[160];
  std::snprintf(head, sizeof head, "%-18s %-18s %-24s %-5s ", r.family.c_str(), r.variant.c_str(), r.shape.c_str(), r.dtype.c_str());
  if (!r.caught.empty()) return std::string(head) + "CAUGHT: " + r.caught;
  const bool tera = r.flops_rate >= 1e13;
  char body[256];
  std::snprintf(body, sizeof body, "%10.4f ms [%.4f %.4f] +-%4.1f %% %5zu calls %8.1f %cFLOP/s %7.1f GB/s", r.median * 1e3, r.q1 * 1e3,
                r.q3 * 1e3, 50 * r.spread, r.samples, r.flops_rate * (tera ? 1e-12 : 1e-9), tera ? 'T' : 'G', r.bytes_rate * 1e-9);
  std::string s = std::string(head) + body;
  if (r.of_roofline) s += number("  %5.1f %% of ", 100 * *r.of_roofline) + r.bound_by;
  s += number("  error %.2g", r.error);
  if (r.ratio)
    s += number("  %.2f", r.ratio->value) + number(" [%.2f", r.ratio->interval.low) + number(" %.2f] times ", r.ratio->interval.high) +
         r.ratio->against;
  if (r.noisy) s += "  noisy";
  return s;
}

Json json_of(const Document& d) {
  Json levels = Json::object(), rows = Json::array(), caught = Json::array();
  for (const Level& l : d.levels) levels[l.name] = l.rate * 1e-9;
  for (const Result& r : d.rows) {
    if (!r.caught.empty()) {
      caught.push_back({{"family", r.family}, {"variant", r.variant}, {"shape", r.shape}, {"dtype", r.dtype}, {"reason", r.caught}});
      continue;
    }
    Json j = {{"family", r.family},
              {"variant", r.variant},
              {"shape", r.shape},
              {"dtype", r.dtype},
              {"device", r.device},
              {"threads", r.threads},
              {"cold", r.cold},
              {"samples", r.samples},
              {"rounds", r.rounds},
              {"min_s", r.min},
              {"median_s", r.median},
              {"q1_s", r.q1},
              {"q3_s", r.q3},
              {"low_s", r.interval.low},
              {"high_s", r.interval.high},
              {"spread", r.spread},
              {"noisy", r.noisy},
              {"gflops", r.flops_rate * 1e-9},
              {"gbps", r.bytes_rate * 1e-9},
              {"of_roofline", maybe(r.of_roofline)},
              {"bound_by", r.bound_by.empty() ? Json(nullptr) : Json(r.bound_by)},
              {"error", finite(r.error)},
              {"checked", r.checked},
              {"clock_mhz", maybe(r.clock_mhz)},
              {"watts", maybe(r.watts)}};
    if (r.ratio)
      j["against"] = {
          {"variant", r.ratio->against}, {"speed_ratio", r.ratio->value}, {"low", r.ratio->interval.low}, {"high", r.ratio->interval.high}};
    rows.push_back(std::move(j));
  }
  return {{"graft", d.version},
          {"date", d.date},
          {"machine",
           {{"host", d.machine.host},
            {"cpu", d.machine.cpu},
            {"cores", d.machine.cores},
            {"memory_mib", d.machine.memory_mib},
            {"system", d.machine.system},
            {"compiler", d.machine.compiler},
            {"device", d.machine.device}}},
          {"device", d.device},
          {"threads", d.threads},
          {"cold", d.options.cold},
          {"seconds", d.options.seconds},
          {"noise", d.options.noise},
          {"seed", d.seed},
          {"times_mean_something", d.device != "emu"},
          {"roofline", {{"gflops_f32", d.flops_f32 * 1e-9}, {"gflops_16bit", d.flops_16 * 1e-9}, {"gbps", levels}}},
          {"peers", d.peers},
          {"rows", rows},
          {"caught", caught}};
}

std::string csv_of(const Document& d) {
  std::string s =
      "family,variant,shape,dtype,device,threads,cold,samples,rounds,min_s,median_s,q1_s,q3_s,low_s,high_s,spread,noisy,gflops,gbps,of_"
      "roofline,bound_by,error,"
      "clock_mhz,watts,against,speed_ratio,ratio_low,ratio_high,caught\n";
  const auto quoted = [](const std::string& t) {
    if (t.find_first_of(",\"\n") == std::string::npos) return t;
    std::string q = "\"";
    for (char c : t) q += c == '"' ? std::string("\"\"") : std::string(1, c);
    return q + "\"";
  };
  const auto value = [](double v) { return number("%.9g", v); };
  const auto given = [&](const std::optional<double>& v) { return v ? value(*v) : std::string{}; };
  for (const Result& r : d.rows) {
    const bool ok = r.caught.empty();
    const auto if_ok = [&](double v) { return ok ? value(v) : std::string{}; };
    for (const std::string& cell : {quoted(r.family),
                                    quoted(r.variant),
                                    quoted(r.shape),
                                    r.dtype,
                                    r.device,
                                    std::to_string(r.threads),
                                    std::string(r.cold ? "1" : "0"),
                                    std::to_string(r.samples),
                                    std::to_string(r.rounds),
                                    if_ok(r.min),
                                    if_ok(r.median),
                                    if_ok(r.q1),
                                    if_ok(r.q3),
                                    if_ok(r.interval.low),
                                    if_ok(r.interval.high),
                                    if_ok(r.spread),
                                    std::string(r.noisy ? "1" : "0"),
                                    if_ok(r.flops_rate * 1e-9),
                                    if_ok(r.bytes_rate * 1e-9),
                                    given(r.of_roofline),
                                    r.bound_by,
                                    value(r.error),
                                    given(r.clock_mhz),
                                    given(r.watts),
                                    r.ratio ? quoted(r.ratio->against) : std::string{},
                                    r.ratio ? value(r.ratio->value) : std::string{},
                                    r.ratio ? value(r.ratio->interval.low) : std::string{},
                                    r.ratio ? value(r.ratio->interval.high) : std::string{}})
      s += cell + ",";
    s += quoted(r.caught) + "\n";
  }
  return s;
}

}  // namespace graft::lab
