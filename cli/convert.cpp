// graft convert A B: a checkpoint in another container, tensor by tensor, with nothing known of the network. graft export CHECKPOINT OUT: a
// model that graft trained, for others: with
// --like ORIGIN in the names, layouts and types of the checkpoint that it came from. Both read what they wrote and compare before they say
// that it is done.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "cli/common.h"
#include "cli/run_folder.h"
#include "engine/autograd/tape.h"
#include "engine/base/file.h"
#include "engine/ops/ops.h"
#include "weights/companions.h"
#include "weights/formats/json_guard.h"
#include "weights/formats/shard_index.h"
#include "weights/import.h"
#include "weights/onnx/module.h"
#include "weights/onnx/writer.h"
#include "weights/peft.h"
#include "weights/stored_type.h"
#include "weights/writers.h"

namespace graft::cli {
namespace fs = std::filesystem;
namespace {

struct ConvertOptions {
  std::string from, to, format, dtype, shard, like;
  bool plain = false, json = false;
};

Container container_for(const ConvertOptions& o) {
  const auto c = o.format.empty() ? container_of_file(o.to) : container_named(o.format);
  if (!c)
    throw Error(Code::usage, (o.format.empty() ? o.to + ": the extension names no container that graft writes"
                                               : "--format " + o.format + " is no container that graft writes") +
                                 "; take safetensors, pt, npz or gguf");
  return *c;
}

// Nothing of what is read may be written over, by whatever names the two are called: a file of one of these checkpoints, a shard among
// them, or a checkpoint of a run, whose files belong together. To be asked before anything is written.
void refuse_target(const ConvertOptions& o, const char* verb, const std::vector<std::string>& sources) {
  std::error_code ec;
  const fs::path to = o.to, folder = to.has_parent_path() ? to.parent_path() : fs::path(".");
  // Of what is written: the file itself, or the files of that folder (PEFT), or the shards and their index (NAME-1-of-2.safetensors).
  const auto would_be_written = [&](const fs::path& file) {
    if (fs::equivalent(file, to, ec)) return true;
    const fs::path in = file.has_parent_path() ? file.parent_path() : fs::path(".");
    const std::string name = file.filename().string(), stem = to.stem().string();
    if (o.format == "peft") return name.starts_with("adapter_") && fs::equivalent(in, to, ec);
    return !o.shard.empty() && fs::equivalent(in, folder, ec) && (name.starts_with(stem + "-") || name.starts_with(stem + ".safetensors"));
  };
  for (const std::string& source : sources) {
    if (source.empty() || !fs::exists(source, ec)) continue;
    if (would_be_written(source))
      throw Error(Code::usage, std::string(verb) + ": " + source + " cannot be read and written at once; name another file");
    const std::unique_ptr<Source> opened = open_source(source);
    for (const std::string& file : opened->files)
      if (would_be_written(file))
        throw Error(Code::usage, std::string(verb) + ": " + file + " cannot be read and written at once; name another file");
  }
  for (const fs::path& in : {folder, to})
    if (fs::exists(in / "manifest.json", ec) && fs::exists(in / "model.safetensors", ec))
      throw Error(Code::usage, std::string(verb) + ": " + in.string() + " is a checkpoint of a run; name a file outside of it");
}

// A type that numbers are written in, before anything is opened.
void check_dtype(const ConvertOptions& o) {
  if (o.dtype.empty()) return;
  const StoredType* type = stored_type(o.dtype);
  const bool is_float_type = o.dtype == "F64" || o.dtype == "F32" || o.dtype == "BF16" || o.dtype == "F16";
  if (!is_float_type && (!type || type->elements == 1))
    throw Error(Code::usage, "--dtype " + o.dtype +
                                 ": is no type that floats can be written in; take F64, F32, BF16, F16, or for gguf a block type such as "
                                 "Q8_0 or Q4_K");
}

// The largest difference between two tensors, as a share of the largest number in them; infinite where NaN is on one side alone.
double difference(const Tensor& x, const Tensor& y) {
  const std::vector<double> a = x.values(), b = y.values();
  double most = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    const double d = std::fabs(a[i] - b[i]);
    most = std::isnan(d) ? std::numeric_limits<double>::infinity() : std::max(most, d);
  }
  for (const double v : a)
    if (std::isfinite(v)) size = std::max(size, std::fabs(v));
  return most == 0 ? 0 : most / std::max(size, 1e-300);
}

// Relative to the largest number of a tensor: what rounding to the type may change, which for floats is 2^-(bits of the significand).
// Blocks are judged by their own scale.
double allowed(std::string_view wrote, std::string_view was) {
  if (wrote == was) return 0;
  if (wrote == "F64" || (wrote == "F32" && was != "F64")) return 0;
  if (wrote == "F32") return std::exp2(-24);
  if (wrote == "F16") return std::exp2(-11);
  if (wrote == "BF16") return std::exp2(-8);
  const StoredType* t = stored_type(wrote);
  if (!t || t->elements == 1) return 0;  // nothing else is written from another type
  const double bits = static_cast<double>(t->bits) / t->elements;
  return 2 / std::exp2(std::floor(bits) - 1);  // a step of the coarsest block, and its scale's rounding
}

// What was written, read again and held against what was to be written.
void verify(const fs::path& path, const OutCheckpoint& wanted) {
  NoGrad off;
  const std::shared_ptr<const Source> source = open_source(path);
  const OutCheckpoint back = as_written(source);
  std::map<std::string, const OutTensor*> at;
  const std::string wrapped = wanted.wrapped_in.empty() ? "" : wanted.wrapped_in + ".";
  for (const OutTensor& t : back.tensors) at[t.name] = &t;
  for (std::size_t i = 0; i < wanted.tensors.size(); ++i) {
    const OutTensor& t = wanted.tensors[i];
    auto it = at.find(wrapped + t.name);
    if (it == at.end()) {  // a tie that the container has once
      const auto tied = source->metadata.find(t.name);
      if (tied != source->metadata.end()) it = at.find(tied->second);
    }
    if (it == at.end()) throw Error(Code::bug, path.string() + ": " + in_quotes(t.name) + " is not there after writing");
    if (it->second->shape != t.shape) throw Error(Code::bug, path.string() + ": " + in_quotes(t.name) + " has another shape after writing");
    const StoredType* type = stored_type(t.dtype);
    if (it->second->dtype == t.dtype) {
      const KeptBytes a = dense_once(t), b = dense_once(*it->second);
      if (!std::equal(a.data.begin(), a.data.end(), b.data.begin(), b.data.end()))
        throw Error(Code::bug, path.string() + ": the bytes of " + in_quotes(t.name) + " are not those that were written");
    } else if (type && type->loads) {
      const double d = difference(load_once(t), load_once(*it->second));
      if (!(d <= allowed(it->second->dtype, t.dtype)))
        throw Error(Code::no, path.string() + ": " + in_quotes(t.name) + " differs by " + std::to_string(d) +
                                  " of its largest number after writing as " + it->second->dtype);
    }
  }
}

// What stands beside the weights goes with them.
void carry(const Source& origin, const fs::path& at, const std::vector<std::string>& labels, bool quiet) {
  const Carried c = carry_companions(origin, at.parent_path(), labels);
  if (!c.copied.empty() && !quiet) std::printf("beside it, from where it came: %s\n", quoted_list(c.copied).c_str());
  if (!c.kept.empty())
    std::fprintf(stderr, "graft: warning: %s: the folder has other files of these names, which stay as they are\n",
                 quoted_list(c.kept).c_str());
}

// The file, or the index of its shards.
fs::path write_and_verify(const ConvertOptions& o, const OutCheckpoint& out, const char* verb, Json more) {
  const Container container = container_for(o);
  WriteOptions options;
  options.dtype = o.dtype;
  if (!o.shard.empty()) {
    if (container != Container::safetensors) throw Error(Code::usage, "--shard-size: only safetensors is written in shards");
    options.shard_bytes = static_cast<std::uint64_t>(parse_bytes(o.shard, "--shard-size"));
  }
  const auto [at, said] = write_checkpoint(o.to, container, out, options);
  verify(at, out);
  if (o.json) {
    Json j{{"verb", verb},   {"from", o.from}, {"to", at.string()}, {"format", name_of(container)}, {"tensors", out.tensors.size()},
           {"changed", said}};
    j.update(more);
    print_json(j);
    return at;
  }
  for (const auto& s : said) std::printf("%s\n", s.c_str());
  std::printf("%s: %zu tensors as %s, read again and compared\n", at.c_str(), out.tensors.size(), std::string(name_of(container)).c_str());
  return at;
}

// The dictionary of a PyTorch file that the names of its model begin with, or nothing: the first part of what wraps them where that is a
// container and no prefix.
std::string torch_wrapper(const Source& source) {
  if (!source.format.starts_with("PyTorch")) return {};
  const BareNames bare = bare_names(source);
  const std::string first = bare.stripped.substr(0, bare.stripped.find('.'));
  return first == "module" || first == "_orig_mod" || first == "net" || first == "student" ? std::string() : first;
}

int convert_verb(const ConvertOptions& o) {
  const Container container = container_for(o);  // before anything is opened
  check_dtype(o);
  refuse_target(o, "convert", {o.from});
  std::shared_ptr<const Source> source = open_source(o.from);
  for (const auto& w : source->warnings) std::fprintf(stderr, "graft: warning: %s\n", w.c_str());
  OutCheckpoint out = as_written(source);
  if (container == Container::safetensors && source->format != "safetensors") out.metadata["format"] = "pt";  // other programs ask for it
  const std::string wrapper = torch_wrapper(*source);
  if (container == Container::torch && !wrapper.empty() &&
      std::all_of(out.tensors.begin(), out.tensors.end(), [&](const OutTensor& t) { return t.name.starts_with(wrapper + "."); })) {
    out.wrapped_in = wrapper;
    for (OutTensor& t : out.tensors) t.name.erase(0, wrapper.size() + 1);
  }
  carry(*source, write_and_verify(o, out, "convert", Json::object()), {}, o.json);
  return 0;
}

// ---- export -------------------------------------------------------------------------------------

// The tensors of `built` as the origin had them: its names, layouts, types and order. What graft has no use for (counters) is carried over
// as it was.
OutCheckpoint like_origin(const Built& built, const std::shared_ptr<const Source>& origin, const WeightMap* map) {
  const Mapping mapping(origin, map);
  const auto now = named_tensors(built.params);
  std::set<std::string> used;
  const auto value = [&](const std::string& name) -> Tensor {
    const auto it = std::find_if(now.begin(), now.end(), [&](const auto& t) { return t.first == name; });
    if (it == now.end()) return {};
    used.insert(name);
    return it->second;
  };
  OutCheckpoint out;
  out.origin = origin;
  out.metadata = origin->metadata;
  out.metadata_order = origin->metadata_order;
  const BareNames bare = bare_names(*origin);
  out.wrapped_in = torch_wrapper(*origin);
  for (std::size_t i = 0; i < origin->tensors.size(); ++i) {
    if (!bare.beside[i].empty()) continue;  // an optimizer's state: it is not this model's any more
    const StoredTensor& was = origin->tensors[i];
    std::string name = was.name;
    if (!out.wrapped_in.empty()) name.erase(0, out.wrapped_in.size() + 1);
    const Tensor t = mapping.back(i, value);
    OutTensor x = t.defined()
                      ? in_dtype(out_tensor(name, t), was.dtype)
                      : OutTensor{name, was.dtype, was.shape, was.strides, -1, was.offset, [origin, i] { return origin->bytes(i); }};
    out.tensors.push_back(std::move(x));
  }
  std::string left;
  for (const auto& [name, t] : now)
    if (!used.count(name)) left += (left.empty() ? "" : ", ") + in_quotes(name);
  if (!left.empty()) throw Error(Code::usage, origin->path + ": has no place for " + left + " of this model; export without --like");
  return out;
}

// What images must be like and what the outputs are called, beside the weights: containers differ in where, so a file of its own.
void write_sidecar(const fs::path& out, const Built& built, const Config& config) {
  const Shape& input = built.input;
  const Json j{{"model", config.get<std::string>("model.name")},
               {"classes", built.class_names},
               {"normalize", config.get<std::vector<double>>("data.normalize")},
               {"input", {input[0], input[1], input[2]}},
               {"values", "0 to 1, then (x - mean) / deviation"},
               {"config", config.text()}};
  write_atomically(fs::path(out.string() + ".json"), json_ascii(j) + "\n");
}

// The exported file as a model, run on the same drawn images as the one that was exported.
double rerun(const Built& built, const Config& config, const fs::path& at, const std::string& map) {
  NoGrad off;
  Config again = config;
  again.set("init.from=" + at.string(), Origin::flag("the export"));
  again.set("init.head=keep", Origin::flag("the export"));
  if (!map.empty()) again.set("init.map=" + map, Origin::flag("the export"));
  const Shape& input = built.input;
  const Built other = build_model(again, input, built.class_names);
  RandomState r{1, 21, 0};
  const Tensor x = rand_normal({4, input[0], input[1], input[2]}, 0, 1, r);
  Run run;
  return difference(built.model.module->forward(x, run), other.model.module->forward(x, run));
}

// A run with adapters, as PEFT keeps them: the factors, and whole what else differs from the base model (the last layer, running
// statistics).
int export_peft(const ConvertOptions& o, const Config& config) {
  NoGrad off;
  const fs::path checkpoint = fs::is_directory(o.from) ? fs::path(o.from) : fs::path(o.from).parent_path();
  const auto apart = read_adapters(checkpoint);
  const std::string from = config.get<std::string>("init.from");
  if (apart.empty() || from.empty())
    throw Error(Code::usage, o.from + ": holds no adapters; only a run with peft.method=lora has them: export it as pt or safetensors");
  std::error_code ec;
  if (!fs::exists(from, ec))
    throw Error(Code::usage, "export: the base model " + from + " (init.from) is not there; go to the folder where the run was started");
  std::shared_ptr<const Source> base = open_source(from);
  std::vector<WeightMap> own;
  const Mapping mapping(base, choose_map(*base, config.get<std::string>("init.map"), own));
  Config plain = without_origin(config);
  for (const char* s : {"init.head=keep", "peft.method=none"}) plain.set(s, Origin::flag("export"));
  plain.set("init.from=" + o.from, Origin::flag("export"));
  const Built built = build_model(plain, input_of_checkpoint(o.from, config), classes_of_checkpoint(o.from));
  const auto now = named_tensors(built.params);
  const auto held = [&](const std::string& name) -> Tensor {
    const auto it = std::find_if(apart.begin(), apart.end(), [&](const auto& t) { return t.first == name; });
    return it == apart.end() ? Tensor{} : it->second;
  };
  // As the base model calls it; its own name where it is new.
  const auto name_there = [&](const std::string& name) {
    const MappedTensor* t = mapping.find(name);
    if (t && t->rule && t->rule->kind != MapRule::Kind::rename)
      throw Error(Code::usage, "export: " + name + " is " + t->how + " in " + from + ", and PEFT has no place for that; export it as pt");
    return t ? mapping.bare(t->from[0]) : name;
  };
  PeftOutput out;
  out.rank = config.get<std::int64_t>("peft.rank");
  out.alpha = config.get<double>("peft.alpha");
  out.base = from;
  std::set<std::string> whole;  // modules
  for (const auto& [name, t] : now) {
    const auto dot = name.rfind('.');
    const Tensor a = held(name.substr(0, dot) + ".lora_A"), b = held(name.substr(0, dot) + ".lora_B");
    if (name.ends_with(".weight") && a.defined()) {
      const std::string there = name_there(name);
      out.layers.emplace_back(there.substr(0, there.size() - 7), t, a, b);
    } else if (const MappedTensor* was = mapping.find(name);
               !was || mapping.load(*was).shape() != t.shape() || difference(mapping.load(*was), t) != 0) {
      whole.insert(name.substr(0, dot));
    }
  }
  for (const auto& [name, t] : now)
    if (whole.count(name.substr(0, name.rfind('.')))) out.whole.emplace_back(name_there(name), t);
  // PEFT wants all of a whole module, counters that graft has no use for as well.
  std::set<std::string> modules;
  for (const auto& [name, t] : out.whole) modules.insert(name.substr(0, name.rfind('.')));
  for (const Mapping::Dropped& d : mapping.dropped())
    if (const std::string& name = mapping.bare(d.tensor); !name.empty() && modules.count(name.substr(0, name.rfind('.'))))
      out.whole.emplace_back(name, base->load(d.tensor));
  write_peft(o.to, out);

  // Read again, added to the base model, and run.
  Config again = config;
  for (const std::string& s : {"init.adapter=" + o.to, std::string("init.head=auto"), std::string("peft.method=none")})
    again.set(s, Origin::flag("export"));
  const Built other = build_model(again, built.input, built.class_names);
  RandomState r{1, 21, 0};
  const Tensor x = rand_normal({4, built.input[0], built.input[1], built.input[2]}, 0, 1, r);
  Run run;
  const double d = difference(built.model.module->forward(x, run), other.model.module->forward(x, run));
  if (!(d <= 1e-5))
    throw Error(Code::no, o.to + ": gives other outputs than the model (by " + std::to_string(d) +
                              " of the largest); the folder is kept for you to look at");
  if (o.json)
    print_json(Json{{"verb", "export"},
                    {"from", o.from},
                    {"to", o.to},
                    {"format", "peft"},
                    {"adapters", out.layers.size()},
                    {"whole", out.whole.size()},
                    {"difference", d}});
  else
    std::printf(
        "%s: %zu adapters and %zu whole tensors for %s, read again and run on drawn images: outputs differ by at most %.3g of the "
        "largest\n",
        o.to.c_str(), out.layers.size(), out.whole.size(), from.c_str(), d);
  return 0;
}

// As a graph: nodes and weights, for programs that run ONNX.
int export_onnx(const ConvertOptions& o, const Config& config, const Built& built) {
  NoGrad off;
  write_onnx(o.to, *built.model.module, built.params, built.input, checkpoint_metadata(built, config, 0));
  write_sidecar(o.to, built, config);
  // Read again, with another number of images than it was traced with.
  const auto graph = read_onnx(o.to);
  const Params params = Params::from(onnx_lookup(graph), 1);
  const OnnxModule again(graph, params);
  RandomState r{1, 21, 0};
  const Tensor x = rand_normal({5, built.input[0], built.input[1], built.input[2]}, 0, 1, r);
  Run run;
  const double d = difference(built.model.module->forward(x, run), again.forward(x, run));
  if (!(d <= 1e-5))
    throw Error(Code::no, o.to + ": gives other outputs than the model (by " + std::to_string(d) +
                              " of the largest); the file is kept for you to look at");
  if (o.json) print_json(Json{{"verb", "export"}, {"from", o.from}, {"to", o.to}, {"format", "onnx"}, {"difference", d}});
  else
    std::printf("%s: an ONNX graph of opset 17, read again and run on drawn images: outputs differ by at most %.3g of the largest\n",
                o.to.c_str(), d);
  return 0;
}

int export_verb(const ConvertOptions& o) {
  UseQueue host(host_queue());
  Config config = config_of_checkpoint(o.from);
  check_dtype(o);
  refuse_target(o, "export", {o.from, o.like, config.get<std::string>("init.from"), config.get<std::string>("model.graph")});
  std::error_code same;
  if (const auto adapter = config.get<std::string>("init.adapter"); !adapter.empty() && fs::equivalent(adapter, o.to, same))
    throw Error(Code::usage, "export: " + adapter + " is what training began from (init.adapter); name another folder");
  if (o.format == "peft") return export_peft(o, config);
  std::string origin = o.like;
  const std::string map = config.get<std::string>("init.map");
  std::error_code ec;
  const std::string from = config.get<std::string>("init.from");
  const bool there = !from.empty() && fs::exists(from, ec);
  // What it was fine-tuned from, unless that was graft's own.
  if (origin.empty() && !o.plain && there && !open_source(from)->metadata.count("graft.config")) origin = from;
  const std::string company = !o.like.empty() ? o.like : there ? from : o.from;
  config.set("init.from=" + o.from, Origin::flag("export"));
  config.set("init.head=keep", Origin::flag("export"));
  config.set("peft.method=none", Origin::flag("export"));
  const Config plain = without_origin(config);
  const Built built = build_model(plain, input_of_checkpoint(o.from, config), classes_of_checkpoint(o.from));
  if (o.format == "onnx" || (o.format.empty() && fs::path(o.to).extension() == ".onnx")) {
    const int code = export_onnx(o, config, built);
    carry(*open_source(company), o.to, built.class_names, o.json);
    return code;
  }
  OutCheckpoint out;
  std::vector<WeightMap> own;
  if (!origin.empty()) {
    std::shared_ptr<const Source> source = open_source(origin);
    const WeightMap* chosen = choose_map(*source, map, own);
    out = like_origin(built, source, chosen);
    std::fprintf(stderr, "as in %s: its names, layouts and types%s\n", origin.c_str(), chosen ? (" (" + chosen->name + ")").c_str() : "");
  } else {
    for (const auto& [name, t] : named_tensors(built.params)) out.tensors.push_back(out_tensor(name, t));
    out.metadata = checkpoint_metadata(built, config, 0);
  }
  if (container_for(o) == Container::safetensors) out.metadata["format"] = "pt";
  const fs::path at = write_and_verify(o, out, "export", Json{{"like", origin.empty() ? Json(nullptr) : Json(origin)}});
  write_sidecar(at, built, config);
  carry(*open_source(company), at, built.class_names, o.json);
  const double d = rerun(built, plain, at, origin.empty() ? "" : map);
  // Nothing was rounded: the same outputs. Where the origin's types or --dtype round, verify() has held each tensor against that rounding,
  // and the outputs are told.
  const bool rounds = !o.dtype.empty() || std::any_of(out.tensors.begin(), out.tensors.end(), [](const OutTensor& t) {
    const StoredType* type = stored_type(t.dtype);
    return type && is_float(type->loaded) && t.dtype != "F32" && t.dtype != "F64";
  });
  if (!rounds && !(d <= (origin.empty() ? 0 : 1e-5)))
    throw Error(Code::no, at.string() + ": gives other outputs than the model (by " + std::to_string(d) +
                              " of the largest); the file is kept for you to look at");
  if (!o.json)
    std::printf(
        "run again on drawn images: outputs differ by at most %.3g of the largest; what images and classes it wants is in %s.json\n", d,
        at.c_str());
  return 0;
}

void options(const Verb& sub, ConvertOptions& o) {
  sub.option("from", o.from, "checkpoint: file or folder").required();
  sub.option("to", o.to, "file to write; its extension names the container").required();
  sub.option(
      "--format", o.format,
      "safetensors, pt, npz or gguf, where the extension does not say; export also onnx, and peft: a folder with the adapters of a run");
  sub.option("--dtype", o.dtype, "write floats as F64, F32, BF16, F16, or in gguf as Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K");
  sub.option("--shard-size", o.shard, "most bytes of a file, such as 5GB (safetensors)");
  sub.flag("--json", o.json, "one JSON document on stdout");
}

}  // namespace

void add_convert(const Verb& app) {
  {
    const Verb sub = app.verb("convert", "a checkpoint in another container: safetensors, PyTorch, npz, GGUF");
    auto o = std::make_shared<ConvertOptions>();
    options(sub, *o);
    sub.does([=] { return convert_verb(*o); });
  }
  const Verb sub = app.verb("export", "a trained model for other programs, as the checkpoint that it came from was");
  auto o = std::make_shared<ConvertOptions>();
  options(sub, *o);
  sub.option("--like", o->like, "the checkpoint whose names, layouts and types are wanted (default: what it was fine-tuned from)");
  sub.flag("--plain", o->plain, "graft's own names");
  sub.does([=] { return export_verb(*o); });
}

}  // namespace graft::cli
