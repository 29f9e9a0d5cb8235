// graft data check: reads every picture or row of all parts, the test part too, and says what is wrong with them. Exit 0: nothing; 1:
// something; 3: nothing is readable.
#include "cli/data.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>

#include "engine/base/context.h"
#include "engine/base/file.h"
#include "engine/base/text.h"

namespace graft::cli {
namespace fs = std::filesystem;

NewFolder::NewFolder(const std::string& wanted) : final_(wanted) {
  if (wanted.empty()) return;
  if (!final_.has_filename()) final_ = final_.parent_path();  // "sets/" is "sets"
  const std::string shown = one_line(final_.native());
  std::error_code ec;
  if (fs::exists(fs::symlink_status(final_, ec))) throw Error(Code::usage, "--out " + shown + ": is there already; name a new folder");
  path_ = final_.native() + ".new";
  const bool left = fs::exists(fs::symlink_status(path_, ec));
  ec.clear();  // "no such file" is what is hoped for
  if (left)
    throw Error(Code::usage, shown + ".new: is there, left by a program that was killed or still runs; remove it or choose another --out");
  if (final_.has_parent_path()) fs::create_directories(final_.parent_path(), ec);
  if (!ec) fs::create_directory(path_, ec);
  if (ec) throw Error(file_error(one_line(path_.native()), "create", ec.value()));
}
NewFolder::~NewFolder() {
  std::error_code ec;
  if (!path_.empty()) fs::remove_all(path_, ec);
}
void NewFolder::keep() {
  std::error_code ec;
  sync_folder(path_);
  fs::rename(path_, final_, ec);
  if (ec) throw Error(file_error(one_line(final_.native()), "rename the finished folder to it", ec.value()));
  path_.clear();
}

AuditProgress progress_line(bool quiet, const std::string& what) {
  using Clock = std::chrono::steady_clock;
  const bool terminal = isatty(2);
  const auto begin = Clock::now();
  return [=, last = begin](std::int64_t done, std::int64_t total) mutable {
    if (interrupted())
      throw Error(Code::stopped, what + " was stopped after " + std::to_string(done) + " of " + std::to_string(total) + "; run it again");
    const auto now = Clock::now();
    if (quiet || total == 0 ||
        (done < total && now - last < (terminal ? std::chrono::milliseconds(200) : std::chrono::milliseconds(10000))))
      return;
    if (!terminal && (done == total || done == 0)) return;
    last = now;
    const double seconds = std::chrono::duration<double>(now - begin).count(), rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
    std::fprintf(stderr, "%s%s: %lld of %lld, %.0f/s, %.0f s left%s", terminal ? "\r\x1b[K" : "", what.c_str(),
                 static_cast<long long>(done), static_cast<long long>(total), rate, rate > 0 ? static_cast<double>(total - done) / rate : 0,
                 terminal ? (done == total ? "\r\x1b[K" : "") : "\n");
  };
}

Json json_of(const AuditReport& r, const RawParts& parts) {
  Json all{{"verb", "data check"}, {"clean", r.findings.empty()}, {"readable", r.readable()}};
  for (const auto& p : r.parts) {
    Json classes = Json::object();
    for (std::size_t c = 0; c < r.classes.size(); ++c) classes[one_line(r.classes[c])] = p.per_class[c];
    all["parts"].push_back({{"name", p.name}, {"items", p.items}, {"readable", p.readable}, {"classes", classes}});
  }
  all["findings"] = Json::array();
  for (const AuditFinding& f : r.findings) {
    Json cases = Json::array();
    for (const AuditCase& c : f.cases) {
      Json one{{"text", c.text}, {"places", Json::array()}};
      for (const AuditPlace& p : c.places)
        one["places"].push_back(
            {{"part", r.parts[static_cast<std::size_t>(p.part)].name}, {"index", p.index}, {"where", place_text(parts, p)}});
      cases.push_back(std::move(one));
    }
    all["findings"].push_back({{"kind", f.kind}, {"title", f.title}, {"advice", f.advice}, {"count", f.cases.size()}, {"cases", cases}});
  }
  all["notes"] = r.notes;
  return all;
}

namespace {

void print_report(const AuditReport& r, const RawParts& parts, std::int64_t examples) {
  for (const auto& p : r.parts)
    std::printf("%-11s %lld %s, %lld readable, %zu classes\n", p.name.c_str(), static_cast<long long>(p.items),
                parts.table ? "rows" : "pictures", static_cast<long long>(p.readable),
                static_cast<std::size_t>(std::count_if(p.per_class.begin(), p.per_class.end(), [](std::int64_t n) { return n > 0; })));
  for (const std::string& n : r.notes) std::printf("note: %s\n", n.c_str());
  if (r.findings.empty()) std::printf("nothing found\n");
  for (const AuditFinding& f : r.findings) {
    std::printf("\n%s: %zu (%s)\n  %s\n", f.title.c_str(), f.cases.size(), f.kind.c_str(), f.advice.c_str());
    for (std::size_t k = 0; k < f.cases.size(); ++k) {
      if (examples > 0 && static_cast<std::int64_t>(k) >= examples) {
        std::printf("  ... and %zu more; --examples 0 shows all, --out FOLDER keeps them\n", f.cases.size() - k);
        break;
      }
      const AuditCase& c = f.cases[k];
      if (c.places.size() == 1) {
        const std::string where = place_text(parts, c.places[0]);
        std::printf("  %s\n", (c.text.starts_with(where) ? c.text : where + ": " + c.text).c_str());
        continue;
      }
      std::printf("  %s\n", c.text.c_str());
      for (std::size_t i = 0; i < c.places.size(); ++i) {
        if (examples > 0 && i >= 8) {
          std::printf("    ... and %zu more\n", c.places.size() - i);
          break;
        }
        std::printf("    %-11s %s\n", r.parts[static_cast<std::size_t>(c.places[i].part)].name.c_str(),
                    place_text(parts, c.places[i]).c_str());
      }
    }
  }
}

}  // namespace

int data_check(const Common& c, std::int64_t examples) {
  if (examples < 0) throw Error(Code::usage, "--examples " + std::to_string(examples) + ": must be 0 (all) or more");
  const Session session(c);
  const Asked asked = asked_data(c);
  watch_signals();
  NewFolder out(c.out);
  const RawParts parts = raw_parts(asked, true);
  AuditReport report;
  if (parts.table) {
    report = audit_tables(parts.tables, asked.config.get<std::string>("data.target"));
  } else {
    AuditOptions options;
    options.any_size = asked.config.get<std::int64_t>("data.size") > 0;
    options.bands = asked.config.get<std::int64_t>("data.bands");
    report = audit_pictures(parts.pictures, options, progress_line(c.quiet, "reading pictures"));
  }
  if (report.readable() == 0) {
    std::string why = parts.table ? "there is no row" : "there is no picture";
    for (const char* kind : {"part", "unreadable", "fields"})
      if (const AuditFinding* f = report.find(kind)) {
        why = f->cases[0].text;
        break;
      }
    throw Error(Code::input, "nothing of " + std::string(asked.alone.empty() ? "the data" : one_line(asked.alone.native())) +
                                 " can be read; the first reason: " + why);
  }
  if (!c.out.empty()) {
    const std::string title = "Data: " + (c.words.empty() ? std::string("the configuration") : one_line(c.words[0]));
    write_atomically(out.path() / "report.json", std::string_view(json_text(json_of(report, parts)) + "\n"));
    write_atomically(out.path() / "report.html", std::string_view(audit_page(report, parts, title)));
    out.keep();
  }
  if (c.json) print_json(json_of(report, parts));
  else print_report(report, parts, examples);
  return report.findings.empty() ? 0 : static_cast<int>(Code::no);
}

void add_data(const Verb& app) {
  const Verb verb = app.group("data", "look at a data set, audit it, split it");
  {
    const Verb sub =
        verb.verb("check",
                  "what is wrong with the data: unreadable, duplicate, leaking, contradictory, constant, odd ones; classes that are too "
                  "small (exit 1 where something is)");
    auto c = std::make_shared<Common>();
    auto examples = std::make_shared<std::int64_t>(5);
    add_common(sub, *c);
    sub.describe("--out", "new folder for report.json and report.html");
    sub.option("--examples", *examples, "cases shown of each finding; 0: all (default 5)");
    sub.does([=] { return unless_stopped([&] { return data_check(*c, *examples); }); });
  }
  {
    const Verb sub = verb.verb("split", "a folder of classes or a table into parts that do not overlap, in a new folder (hard links)");
    auto c = std::make_shared<Common>();
    auto asked = std::make_shared<SplitAsked>();
    add_common(sub, *c);
    sub.describe("--out", "new folder that the parts are written to");
    sub.describe("--seed", "of the shuffling (default 1)");
    sub.option("--parts", asked->parts, "names and shares (default " + asked->parts + ")");
    sub.flag("--group-duplicates", asked->group, "equal and nearly equal ones stay in one part");
    sub.flag("--stratify", asked->stratify, "each class has its share in each part");
    sub.flag("--copy", asked->copy, "copies in place of hard links");
    sub.does([=] { return unless_stopped([&] { return data_split(*c, *asked); }); });
  }
  const Verb sub = verb.verb("preview", "a sheet of pictures, a row per class");
  auto c = std::make_shared<Common>();
  auto count = std::make_shared<std::int64_t>(8);
  auto augmented = std::make_shared<bool>(false);
  add_common(sub, *c);
  sub.describe("--out", "new file, sheet.html or sheet.png");
  sub.option("--count", *count, "pictures of each class (default 8)");
  sub.flag("--augment", *augmented, "beside each picture what training makes of it in the first epoch");
  sub.does([=] { return data_preview(*c, *count, *augmented); });
}

}  // namespace graft::cli
