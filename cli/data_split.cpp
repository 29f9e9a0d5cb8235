// graft data split: a folder of classes becomes PART/CLASS/FILE (hard links, or copies), a table PART.csv with the bytes of its rows. The
// new folder appears whole or not at all.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>

#include "cli/data.h"
#include "engine/base/file.h"
#include "engine/base/text.h"
#include "engine/data/folder.h"
#include "engine/data/split.h"

namespace graft::cli {
namespace fs = std::filesystem;
namespace {

// RFC 4180; names of files are bytes and stay them.
std::string csv_field(const std::string& s) {
  if (s.find_first_of(",\"\r\n") == std::string::npos) return s;
  std::string out = "\"";
  for (const char c : s) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

struct Plan {
  std::vector<std::string> classes;
  std::vector<std::int64_t> labels;
  std::vector<std::size_t> part_of;
  std::int64_t kept_together = 0;  // items that are in a group of several
  std::vector<std::string> notes;
};
void assign(Plan& plan, const std::vector<std::int64_t>& groups, const std::vector<Share>& shares, std::uint64_t seed, bool stratify) {
  std::map<std::int64_t, std::int64_t> sizes;
  for (const std::int64_t g : groups) ++sizes[g];
  for (const auto& [g, n] : sizes) plan.kept_together += n > 1 ? n : 0;
  plan.part_of = split_items(plan.labels, groups, shares, seed, stratify);
}

void place_file(const fs::path& from, const fs::path& to, bool copy) {
  std::error_code ec;
  const fs::path real = fs::canonical(from, ec);  // a link to a link would end where the folder moves
  if (!ec) {
    if (copy) fs::copy_file(real, to, ec);
    else fs::create_hard_link(real, to, ec);
  }
  if (!ec) return;
  const Error e = file_error(one_line(from.native()), copy ? "copy it to the new folder" : "link it into the new folder", ec.value());
  if (copy || e.code() != Code::input) throw Error(e);
  throw Error(Code::input,
              one_line(from.native()) + ": cannot make a hard link in the new folder: " + ec.message() + "; --copy copies the files");
}

Plan split_folder(const fs::path& root, NewFolder& out, const SplitAsked& asked, const std::vector<Share>& shares, std::uint64_t seed,
                  bool quiet) {
  const ImageFolder set = list_image_folder(root, true);
  Plan plan{set.class_names, set.labels, {}, 0, set.notes};
  std::vector<std::int64_t> groups;
  if (asked.group)
    groups = duplicate_groups(make_dataset(root.native(), open_image_folder(root, true)), progress_line(quiet, "reading pictures"));
  if (asked.group && groups.size() != set.files.size())
    throw Error(Code::input, one_line(root.native()) + ": its files change while it is read; run it again when they are still");
  assign(plan, groups, shares, seed, asked.stratify);
  std::string manifest = "file,class,part\n";
  for (std::size_t i = 0; i < set.files.size(); ++i) {
    if (i % 256 == 0 && interrupted()) throw Error(Code::stopped, "data split was stopped, nothing was written; run it again");
    const std::string& part = shares[plan.part_of[i]].name;
    const fs::path to = out.path() / part / set.files[i];
    std::error_code ec;
    fs::create_directories(to.parent_path(), ec);
    if (ec) throw Error(file_error(one_line(to.parent_path().native()), "create", ec.value()));
    place_file(root / set.files[i], to, asked.copy);
    manifest +=
        csv_field(set.files[i]) + "," + csv_field(set.class_names[static_cast<std::size_t>(set.labels[i])]) + "," + csv_field(part) + "\n";
  }
  write_atomically(out.path() / "manifest.csv", std::string_view(manifest));
  return plan;
}

Plan split_table(const fs::path& path, NewFolder& out, const SplitAsked& asked, const std::vector<Share>& shares, std::uint64_t seed,
                 const std::string& target) {
  const TableText t = read_table_text(path);
  check_fields(t);
  Plan plan;
  const auto column = std::find(t.names.begin(), t.names.end(), target);
  if (column == t.names.end() && asked.stratify)
    throw Error(Code::usage, "--stratify: " + one_line(path.native()) + " has no column " + shown_value(target) +
                                 "; name the one to predict: data.target=COLUMN");
  std::map<std::string, std::int64_t> class_of;
  if (column != t.names.end())
    for (const TableRow& r : t.rows) class_of.emplace(r.fields[static_cast<std::size_t>(column - t.names.begin())], 0);
  if (class_of.size() > 10000 && asked.stratify)
    throw Error(Code::usage, "--stratify: column " + shown_value(target) + " has " + std::to_string(class_of.size()) +
                                 " different values; a class is wanted in it");
  for (auto& [name, number] : class_of) number = static_cast<std::int64_t>(plan.classes.size()), plan.classes.push_back(name);
  for (const TableRow& r : t.rows)
    plan.labels.push_back(class_of.empty() ? 0 : class_of.at(r.fields[static_cast<std::size_t>(column - t.names.begin())]));
  if (class_of.empty()) plan.classes = {"all"};
  assign(plan, asked.group ? duplicate_groups(t, target) : std::vector<std::int64_t>{}, shares, seed, asked.stratify);
  const std::string ending = path.extension().native(), header = t.text.substr(0, t.header);
  std::string manifest = "line,part\n";
  for (std::size_t p = 0; p < shares.size(); ++p) {
    std::string rows = header;
    for (std::size_t i = 0; i < t.rows.size(); ++i) {
      if (plan.part_of[i] != p) continue;
      rows.append(t.text, t.rows[i].begin, t.rows[i].end - t.rows[i].begin);
      if (rows.back() != '\n') rows += '\n';  // the file's last row
    }
    write_atomically(out.path() / (shares[p].name + ending), std::string_view(rows));
  }
  for (std::size_t i = 0; i < t.rows.size(); ++i)
    manifest += std::to_string(t.rows[i].line) + "," + csv_field(shares[plan.part_of[i]].name) + "\n";
  write_atomically(out.path() / "manifest.csv", std::string_view(manifest));
  return plan;
}

}  // namespace

int data_split(const Common& c, const SplitAsked& asked) {
  const Session session(c);
  if (c.out.empty()) throw Error(Code::usage, "--out is missing; name the new folder that the parts are written to");
  const std::vector<Share> shares = parse_shares(asked.parts);
  const auto seed = static_cast<std::uint64_t>(c.seed.value_or(1));
  const Asked data = asked_data(c);
  const fs::path& path = data.alone;
  if (path.empty())
    throw Error(Code::usage, one_line(c.words.empty() ? "the configuration" : c.words[0]) +
                                 ": has its parts already, or is no path; a folder with a folder per class or a table is split");
  if (is_archive(path)) throw Error(Code::usage, one_line(path.native()) + ": is an archive; unpack it, and split the folder");
  std::error_code ec;
  const std::string inside = fs::weakly_canonical(c.out, ec).native() + "/", whole = fs::weakly_canonical(path, ec).native() + "/";
  if (inside.starts_with(whole))
    throw Error(Code::usage,
                "--out " + one_line(c.out) + ": lies in the folder that is split, where it would be a class; name one outside");
  const bool table = is_table(path);
  for (const Share& s : shares)
    if (table && s.name == "manifest")
      throw Error(Code::usage, "--parts " + asked.parts + ": manifest.csv is the list of rows; name the part otherwise");
  watch_signals();
  NewFolder out(c.out);
  const Plan plan = table ? split_table(path, out, asked, shares, seed, data.config.get<std::string>("data.target"))
                          : split_folder(path, out, asked, shares, seed, c.quiet);
  out.keep();

  Json all{{"verb", "data split"},
           {"out", one_line(c.out)},
           {"seed", seed},
           {"items", plan.labels.size()},
           {"kept_together", plan.kept_together}};
  for (std::size_t p = 0; p < shares.size(); ++p) {
    std::vector<std::int64_t> counts(plan.classes.size());
    std::int64_t total = 0;
    for (std::size_t i = 0; i < plan.labels.size(); ++i)
      if (plan.part_of[i] == p) ++counts[static_cast<std::size_t>(plan.labels[i])], ++total;
    const auto none = std::count(counts.begin(), counts.end(), 0);
    all["parts"].push_back({{"name", shares[p].name}, {"items", total}, {"classes_missing", none}});
    if (!c.json)
      std::printf("%-11s %lld %s of %zu classes%s\n", shares[p].name.c_str(), static_cast<long long>(total), table ? "rows" : "pictures",
                  counts.size() - static_cast<std::size_t>(none), none ? (", " + std::to_string(none) + " missing").c_str() : "");
  }
  all["notes"] = plan.notes;
  if (c.json) {
    print_json(all);
    return 0;
  }
  if (asked.group) std::printf("%lld are equal or nearly equal to others and stay with them\n", static_cast<long long>(plan.kept_together));
  for (const std::string& n : plan.notes) std::printf("note: %s\n", n.c_str());
  return 0;
}

}  // namespace graft::cli
