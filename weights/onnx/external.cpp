#include "weights/onnx/external.h"

#include "weights/formats/json_guard.h"

namespace graft::onnx {
namespace fs = std::filesystem;

std::shared_ptr<const MappedFile> ExternalFiles::open(const std::string& location, const std::string& tensor, std::uint64_t at) {
  if (const auto it = open_.find(location); it != open_.end()) return it->second;
  const auto refuse = [&](const std::string& what) {
    throw Error(Code::input, model_.string() + ": the external file " + in_quotes(location) + " " + what + " at byte " +
                                 std::to_string(at) + " (" + in_quotes(tensor) + "); a model may name files beside itself alone");
  };
  if (location.empty()) refuse("has no name");
  if (location.find('\0') != std::string::npos) refuse("has a zero byte in its name");
  if (location.find('\\') != std::string::npos || (location.size() > 1 && location[1] == ':')) refuse("is named as Windows names paths");
  const fs::path relative(location);
  if (relative.is_absolute()) refuse("is an absolute path");
  for (const fs::path& part : relative)
    if (part == "..") refuse("leads out of the folder by ..");
  const fs::path folder = model_.parent_path().empty() ? fs::path(".") : model_.parent_path(), path = folder / relative;
  std::error_code ec;
  const fs::file_status status = fs::status(path, ec);
  if (!fs::exists(status)) refuse("is not there: copy it beside the model, or get it again");
  if (!fs::is_regular_file(status)) refuse("is no regular file");
  // A cache may keep a model and its data as links into one folder; any other link leads away.
  const fs::path real = fs::canonical(path, ec);
  const auto below = [&](const fs::path& root) {
    const fs::path r = real.lexically_relative(root);
    return !r.empty() && *r.begin() != "..";
  };
  const fs::path here = fs::canonical(folder, ec), home = fs::canonical(model_, ec).parent_path();
  if (!below(here) && !below(home)) refuse("is a link out of the folder");
  return open_[location] = MappedFile::open(path);
}

}  // namespace graft::onnx
