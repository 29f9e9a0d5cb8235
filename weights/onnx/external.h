// Data that a model keeps in files beside it: which names are allowed, and their mapping.
#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "engine/base/file.h"

namespace graft::onnx {

class ExternalFiles {
 public:
  explicit ExternalFiles(std::filesystem::path model) : model_(std::move(model)) {}
  // `tensor` and `at` are for messages. Error(input) when the location is empty, absolute, has a drive or a backslash, has "..", or is
  // (behind links) in another folder than the model; and when it is no regular file.
  std::shared_ptr<const MappedFile> open(const std::string& location, const std::string& tensor, std::uint64_t at);

 private:
  std::filesystem::path model_;
  std::map<std::string, std::shared_ptr<const MappedFile>> open_;
};

}  // namespace graft::onnx
