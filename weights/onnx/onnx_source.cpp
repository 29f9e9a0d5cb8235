// The weights of an ONNX model as a Source: initialisers, Constant nodes, and those of branches, bodies and functions under their paths
// (weights/onnx/constants.h).
#include <algorithm>

#include "weights/formats/json_guard.h"
#include "weights/formats/readers.h"
#include "weights/onnx/constants.h"
#include "weights/onnx/proto.h"
#include "weights/onnx/types.h"

namespace graft {
namespace {

class OnnxSource : public Source {
 public:
  explicit OnnxSource(std::shared_ptr<const OnnxModel> m) : model_(std::move(m)) {
    path = model_->path;
    format = "ONNX";
    files.push_back(path);
    const std::filesystem::path folder = std::filesystem::path(path).parent_path();
    for (const std::string& f : model_->external_files) files.push_back((folder / f).string());
    metadata = model_->metadata;
    metadata["onnx.ir_version"] = std::to_string(model_->ir_version);
    if (!model_->producer.empty())
      metadata["onnx.producer"] = model_->producer + (model_->producer_version.empty() ? "" : " " + model_->producer_version);
    for (const auto& [domain, version] : model_->opsets)
      metadata["onnx.opset" + (domain.empty() ? "" : "." + domain)] = std::to_string(version);
    if (!model_->graph.name.empty()) metadata["onnx.graph"] = model_->graph.name;
    std::size_t texts = 0;
    std::map<std::string, std::uint64_t> seen;
    onnx::each_constant(*model_, [&](const std::string& name, const OnnxTensor& t) {
      if (t.type == onnx::kString) {
        ++texts;
        return;
      }
      if (const auto [it, fresh] = seen.emplace(name, t.at); !fresh)
        throw Error(Code::input, path + ": two constants at bytes " + std::to_string(it->second) + " and " + std::to_string(t.at) + " (" +
                                     in_quotes(name) + "); names must be unique");
      std::size_t file = 0;
      if (!t.external.empty())
        file = 1 + static_cast<std::size_t>(std::find(model_->external_files.begin(), model_->external_files.end(), t.external) -
                                            model_->external_files.begin());
      tensors.push_back({name, std::string(onnx::type_info(t.type)->stored), t.dims, {}, t.at, t.data.size(), file, -1});
      parts_.push_back(&t);
    });
    if (texts) notes.push_back(std::to_string(texts) + " constants of text are left out");
    if (model_->graph.sparse_initialisers)
      warnings.push_back(std::to_string(model_->graph.sparse_initialisers) +
                         " sparse initialisers are left out: graft has no sparse tensors");
  }
  KeptBytes bytes(std::size_t i) const override {
    verify_external(*parts_[i], path);
    return {parts_[i]->data, parts_[i]->keeper};
  }

 private:
  std::shared_ptr<const OnnxModel> model_;
  std::vector<const OnnxTensor*> parts_;
};

}  // namespace

SourcePtr open_onnx(const std::filesystem::path& path) { return std::make_unique<OnnxSource>(read_onnx(path)); }

}  // namespace graft
