#include "weights/checkpoints.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "engine/base/file.h"
#include "engine/base/json.h"
#include "weights/formats/safetensors.h"
#include "weights/hash.h"

namespace graft {
namespace fs = std::filesystem;
namespace {

constexpr const char* kManifest = "manifest.json";

// The step of "step-00000042", or -1.
std::int64_t step_of(const std::string& name) {
  if (!name.starts_with("step-") || name.size() < 6 || name.size() > 24 || name.find_first_not_of("0123456789", 5) != std::string::npos)
    return -1;
  return std::strtoll(name.c_str() + 5, nullptr, 10);
}

void throw_if(const std::error_code& ec, const fs::path& path, const char* action) {
  if (ec) throw file_error(path, action, ec.value());
}

// `link` names `target` from now on, in one step.
void point(const fs::path& link, const std::string& target) {
  const fs::path fresh = link.string() + ".new";
  std::error_code ec;
  fs::remove(fresh, ec);
  fs::create_directory_symlink(target, fresh, ec);
  throw_if(ec, link, "write");
  fs::rename(fresh, link, ec);
  throw_if(ec, link, "write");
}

std::string hash_of(const fs::path& file) { return bytes_hash(MappedFile::open(file)->bytes()); }

// The manifest's own line of defence: a hash over what it says.
std::string manifest_text(const Json& files) {
  const std::string body = json_text(files, -1);
  return json_text({{"files", files}, {"hash", bytes_hash(std::as_bytes(std::span(body.data(), body.size())))}}, 1) + "\n";
}

// Empty when every file is what the manifest says.
std::string damage_of(const fs::path& folder) {
  const fs::path manifest = folder / kManifest;
  try {
    const Json j = read_json_in_order(read_text(manifest, 1 << 20));
    if (j.is_discarded() || !j.is_object() || !j.contains("files") || !j["files"].is_array() ||
        manifest_text(j["files"]) != read_text(manifest, 1 << 20))
      return manifest.string() + ": is damaged";
    if (j["files"].empty()) return manifest.string() + ": names no file";
    for (const Json& f : j["files"]) {
      const fs::path file = folder / f.at("name").get<std::string>();
      const auto mapped = MappedFile::open(file);
      const auto wanted = f.at("bytes").get<std::uint64_t>();
      if (mapped->bytes().size() != wanted)
        return file.string() + ": has " + std::to_string(mapped->bytes().size()) + " bytes where " + std::to_string(wanted) +
               " were written";
      if (bytes_hash(mapped->bytes()) != f.at("xxh3").get<std::string>())
        return file.string() + ": its bytes are not those that were written (XXH3-128 differs)";
    }
  } catch (const Error& e) { return e.what(); } catch (const Json::exception&) {
    return manifest.string() + ": is damaged";
  }
  return {};
}

}  // namespace

Checkpoints::Checkpoints(fs::path folder, std::int64_t keep) : folder_(std::move(folder)), keep_(std::max<std::int64_t>(1, keep)) {}

std::string Checkpoints::name_of(std::int64_t step) {
  std::string digits = std::to_string(step);
  return "step-" + std::string(digits.size() < 8 ? 8 - digits.size() : 0, '0') + digits;
}

std::vector<Checkpoints::Found> Checkpoints::all() const {
  std::vector<Found> found;
  std::error_code ec;
  for (const auto& e : fs::directory_iterator(folder_, ec))
    if (const std::int64_t step = step_of(e.path().filename().string()); step >= 0 && e.is_directory(ec)) found.push_back({step, e.path()});
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.step > b.step; });
  return found;
}

void Checkpoints::save(std::int64_t step, const std::vector<CheckpointPart>& parts, bool best) {
  const fs::path target = folder_ / name_of(step), fresh = target.string() + ".new";
  std::error_code ec, ignored;
  fs::create_directories(folder_, ec);
  throw_if(ec, folder_, "make the folder");
  fs::remove_all(fresh, ignored);
  fs::create_directory(fresh, ec);
  throw_if(ec, fresh, "make the folder");
  try {
    Json files = Json::array();
    for (const CheckpointPart& p : parts) {
      const std::string name = p.name + ".safetensors";
      write_safetensors(fresh / name, p.tensors, p.metadata);
      files.push_back({{"name", name}, {"bytes", fs::file_size(fresh / name)}, {"xxh3", hash_of(fresh / name)}});
    }
    write_atomically(fresh / kManifest, manifest_text(files));
  } catch (...) {
    fs::remove_all(fresh, ignored);
    throw;
  }
  fs::remove_all(target, ec);  // of a run that had come this far before
  fs::rename(fresh, target, ec);
  throw_if(ec, target, "write");
  sync_folder(folder_);
  point(folder_ / "last", target.filename().string());
  if (best || !fs::exists(folder_ / "best", ignored)) point(folder_ / "best", target.filename().string());

  const std::string of_best = fs::read_symlink(folder_ / "best", ignored).filename().string();
  std::int64_t older = 0;
  for (const Found& f : all())
    if (f.step <= step && ++older > keep_ && f.folder.filename().string() != of_best) fs::remove_all(f.folder, ignored);
}

std::optional<Checkpoints::Found> Checkpoints::newest_whole(std::vector<std::string>& damage) const {
  for (const Found& f : all()) {
    std::string wrong = damage_of(f.folder);
    if (wrong.empty()) return f;
    damage.push_back(std::move(wrong));
  }
  return {};
}

void Checkpoints::set_links(std::int64_t last, std::int64_t best) {
  std::error_code ec;
  if (fs::is_directory(folder_ / name_of(last), ec)) point(folder_ / "last", name_of(last));
  if (fs::is_directory(folder_ / name_of(best), ec)) point(folder_ / "best", name_of(best));
}

void Checkpoints::clear_after(std::int64_t step) {
  std::error_code ignored;
  std::vector<fs::path> leftovers;
  for (const auto& e : fs::directory_iterator(folder_, ignored))
    if (e.path().extension() == ".new") leftovers.push_back(e.path());
  for (const fs::path& p : leftovers) fs::remove_all(p, ignored);
  for (const Found& f : all()) {
    if (f.step <= step) break;
    const fs::path aside = f.folder.string() + ".damaged";
    fs::remove_all(aside, ignored);
    fs::rename(f.folder, aside, ignored);
  }
}

}  // namespace graft
