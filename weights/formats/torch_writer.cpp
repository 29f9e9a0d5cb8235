#include "weights/formats/torch_writer.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "kernels/core/error.h"
#include "weights/formats/json_guard.h"
#include "weights/formats/zip.h"
#include "weights/stored_type.h"

namespace graft {
namespace {

struct TorchType {
  std::string_view dtype, storage, name;  // where `storage` is empty, the tensor says its type, and the storage is bytes
};
constexpr TorchType kTypes[] = {{"F32", "FloatStorage", ""},
                                {"F64", "DoubleStorage", ""},
                                {"F16", "HalfStorage", ""},
                                {"BF16", "BFloat16Storage", ""},
                                {"I64", "LongStorage", ""},
                                {"I32", "IntStorage", ""},
                                {"I16", "ShortStorage", ""},
                                {"I8", "CharStorage", ""},
                                {"U8", "ByteStorage", ""},
                                {"BOOL", "BoolStorage", ""},
                                {"C64", "ComplexFloatStorage", ""},
                                {"C128", "ComplexDoubleStorage", ""},
                                {"U16", "", "uint16"},
                                {"U32", "", "uint32"},
                                {"U64", "", "uint64"},
                                {"F8_E4M3", "", "float8_e4m3fn"},
                                {"F8_E5M2", "", "float8_e5m2"},
                                {"F8_E4M3FNUZ", "", "float8_e4m3fnuz"},
                                {"F8_E5M2FNUZ", "", "float8_e5m2fnuz"},
                                {"F8_E8M0", "", "float8_e8m0fnu"}};

const TorchType& type_of(const TorchItem& item) {
  for (const TorchType& t : kTypes)
    if (t.dtype == item.dtype) return t;
  throw Error(Code::usage, "PyTorch has no tensors of " + item.dtype + " (" + in_quotes(item.name) + "); write it as F32");
}

// Protocol 2, only what is needed of it.
class PickleWriter {
 public:
  std::string out = "\x80\x02";
  void op(std::string_view bytes) { out += bytes; }
  void whole(std::int64_t v) {
    if (v >= 0 && v < 256) return op("K"), number(static_cast<std::uint64_t>(v), 1);
    if (v >= 0 && v < 65536) return op("M"), number(static_cast<std::uint64_t>(v), 2);
    if (v >= -2147483648LL && v <= 2147483647LL) return op("J"), number(static_cast<std::uint64_t>(v), 4);
    op("\x8a\x08");
    number(static_cast<std::uint64_t>(v), 8);
  }
  void text(std::string_view s) {
    op("X");
    number(s.size(), 4);
    op(s);
  }
  void wholes(const std::vector<std::int64_t>& v) {
    op("(");
    for (const std::int64_t x : v) whole(x);
    op("t");
  }
  // What is named again and again is written once and then recalled.
  void global(const std::string& module, const std::string& name) {
    once(module + "." + name, [&] { op("c" + module + "\n" + name + "\n"); });
  }
  void word(const std::string& s) {
    once("'" + s, [&] { text(s); });
  }
  void ordered_dict() {
    global("collections", "OrderedDict");
    op(")R");
  }

 private:
  void number(std::uint64_t v, int width) {
    for (int i = 0; i < width; ++i) out += static_cast<char>(v >> (8 * i) & 0xff);
  }
  template <class F>
  void once(const std::string& key, F write) {
    const auto [at, fresh] = memo_.emplace(key, memo_.size());
    if (fresh) write();
    op(fresh ? "q" : "h");
    number(at->second, 1);  // two dozen at most
  }
  std::map<std::string, std::size_t> memo_;
};

struct OutItem {
  std::vector<std::int64_t> strides;
  std::uint64_t width, range;  // bytes of an element, and from the first to the last
  std::size_t storage = 0;
  std::uint64_t first = 0;  // byte of the storage
};
struct OutStorage {
  std::vector<std::size_t> items;  // in the order of their places
  std::uint64_t bytes = 0;
};

OutItem laid_out(const TorchItem& item) {
  type_of(item);
  const StoredType& type = *stored_type(item.dtype);
  const auto refuse = [&](const char* what) { throw Error(Code::usage, "the tensor " + in_quotes(item.name) + " has " + what); };
  const auto bytes = stored_bytes(type, item.shape);
  if (!bytes) refuse("no possible size");
  OutItem o;
  o.width = static_cast<std::uint64_t>(type.bits) / 8;
  o.strides = item.strides;
  o.range = *bytes;
  if (item.strides.empty()) {
    o.strides.assign(item.shape.size(), 1);
    for (std::size_t d = item.shape.size(); d-- > 1;) o.strides[d - 1] = o.strides[d] * std::max<std::int64_t>(item.shape[d], 1);
    return o;
  }
  if (item.strides.size() != item.shape.size()) refuse("not as many strides as sizes");
  std::int64_t last = 0, step = 0;
  for (std::size_t d = 0; d < item.shape.size(); ++d) {
    if (item.strides[d] < 0) refuse("a negative stride, and PyTorch has none: write it row-major");
    if (*bytes > 0 && (__builtin_mul_overflow(item.shape[d] - 1, item.strides[d], &step) || __builtin_add_overflow(last, step, &last)))
      refuse("strides that overflow");
  }
  if (*bytes > 0) o.range = (static_cast<std::uint64_t>(last) + 1) * o.width;
  return o;
}

class TorchLayout {
 public:
  TorchLayout(const std::vector<TorchItem>& items, const std::function<std::span<const std::byte>(std::size_t)>& bytes_of)
      : items_(items), bytes_of_(bytes_of) {
    std::map<std::pair<std::int64_t, std::string>, std::vector<std::size_t>> together;
    for (std::size_t i = 0; i < items.size(); ++i) {
      out.push_back(laid_out(items[i]));
      if (items[i].storage >= 0 && out[i].range > 0) together[{items[i].storage, items[i].dtype}].push_back(i);
    }
    std::vector<std::size_t> leader(items.size());  // the first of those that share
    std::vector<std::vector<std::size_t>> sharing(items.size());
    for (std::size_t i = 0; i < items.size(); ++i) leader[i] = i;
    for (auto& [key, all] : together) {
      const bool unknown = std::all_of(all.begin(), all.end(), [&](std::size_t i) { return items[i].offset == 0; });
      std::stable_sort(all.begin(), all.end(), [&](std::size_t a, std::size_t b) { return items[a].offset < items[b].offset; });
      std::vector<std::size_t> run;
      std::uint64_t end = 0;
      const auto close = [&] {
        if (run.size() > 1 && agree(run)) {
          const std::size_t first = *std::min_element(run.begin(), run.end());
          for (const std::size_t i : run) leader[i] = first;
          sharing[first] = run;
        }
        run.clear();
      };
      for (const std::size_t i : all) {
        const bool with = !run.empty() && (unknown ? same_form(run.front(), i) : items[i].offset < end);
        if (!with) close();
        run.push_back(i);
        end = std::max(with ? end : 0, items[i].offset + out[i].range);
      }
      close();
    }
    for (std::size_t i = 0; i < items.size(); ++i) {  // storages are numbered as their first users stand
      if (leader[i] != i) continue;
      OutStorage s;
      s.items = sharing[i].empty() ? std::vector<std::size_t>{i} : sharing[i];
      const std::uint64_t base = items[s.items.front()].offset;
      for (const std::size_t k : s.items) {
        out[k].storage = storages.size();
        out[k].first = items[k].offset - base;
        s.bytes = std::max(s.bytes, out[k].first + out[k].range);
      }
      storages.push_back(std::move(s));
    }
  }

  std::span<const std::byte> bytes(std::size_t i) const {
    const auto b = bytes_of_(i);
    if (b.size() != out[i].range)
      throw Error(Code::bug, "write_torch: " + std::to_string(b.size()) + " bytes for " + in_quotes(items_[i].name) + ", which takes " +
                                 std::to_string(out[i].range));
    return b;
  }
  // Several views put together: what lies in none of them does not exist, since ranges overlap without gaps.
  std::vector<std::byte> joined(const std::vector<std::size_t>& run, bool* same = nullptr) const {
    const std::uint64_t base = items_[run.front()].offset;
    std::vector<std::byte> all;
    for (const std::size_t i : run) {
      const auto b = bytes(i);
      const std::uint64_t at = items_[i].offset - base;
      const std::uint64_t known = at < all.size() ? std::min<std::uint64_t>(all.size() - at, b.size()) : 0;
      if (same && known > 0 && std::memcmp(all.data() + at, b.data(), known) != 0) *same = false;
      all.resize(std::max<std::uint64_t>(all.size(), at + b.size()));
      std::memcpy(all.data() + at, b.data(), b.size());
    }
    return all;
  }

  std::vector<OutItem> out;
  std::vector<OutStorage> storages;

 private:
  bool same_form(std::size_t a, std::size_t b) const { return items_[a].shape == items_[b].shape && out[a].strides == out[b].strides; }
  bool agree(const std::vector<std::size_t>& run) const {
    for (const std::size_t i : run)
      if ((items_[i].offset - items_[run.front()].offset) % out[i].width != 0) return false;
    bool same = true;
    joined(run, &same);
    return same;
  }
  const std::vector<TorchItem>& items_;
  const std::function<std::span<const std::byte>(std::size_t)>& bytes_of_;
};

std::string data_pickle(const std::vector<TorchItem>& items, const TorchLayout& layout, const std::string& wrapped_in) {
  PickleWriter p;
  if (!wrapped_in.empty()) {
    p.op("}");
    p.text(wrapped_in);
  }
  p.ordered_dict();
  if (!items.empty()) p.op("(");
  for (std::size_t i = 0; i < items.size(); ++i) {
    const TorchType& type = type_of(items[i]);
    const OutItem& o = layout.out[i];
    p.text(items[i].name);
    p.global("torch._utils", type.storage.empty() ? "_rebuild_tensor_v3" : "_rebuild_tensor_v2");
    p.op("((");
    p.word("storage");
    if (type.storage.empty()) p.global("torch.storage", "UntypedStorage");
    else p.global("torch", std::string(type.storage));
    p.text(std::to_string(o.storage));
    p.word("cpu");
    p.whole(static_cast<std::int64_t>(layout.storages[o.storage].bytes / (type.storage.empty() ? 1 : o.width)));
    p.op("tQ");
    p.whole(static_cast<std::int64_t>(o.first / o.width));
    p.wholes(items[i].shape);
    p.wholes(o.strides);
    p.op("\x89");  // no gradient wanted
    p.ordered_dict();
    if (type.storage.empty()) p.global("torch", std::string(type.name));
    p.op("tR");
  }
  if (!items.empty()) p.op("u");
  if (!wrapped_in.empty()) p.op("s");
  p.op(".");
  return std::move(p.out);
}

}  // namespace

void write_torch(const std::filesystem::path& path, const std::vector<TorchItem>& items,
                 const std::function<std::span<const std::byte>(std::size_t)>& bytes_of, const std::string& wrapped_in) {
  std::set<std::string_view> names;
  for (const TorchItem& item : items) {
    if (first_not_utf8(item.name) != std::string_view::npos)
      throw Error(Code::usage, "the name " + in_quotes(item.name) + " is not UTF-8; rename the tensor");
    if (!names.insert(item.name).second) throw Error(Code::usage, "two tensors are called " + in_quotes(item.name) + "; rename one");
  }
  const TorchLayout layout(items, bytes_of);
  write_atomically(path, [&](FileSink& sink) {
    ZipWriter zip(sink, 64);
    zip.add("archive/data.pkl", data_pickle(items, layout, wrapped_in));
    zip.add("archive/.format_version", std::string_view("1"));
    zip.add("archive/.storage_alignment", std::string_view("64"));
    zip.add("archive/byteorder", std::string_view("little"));
    for (std::size_t s = 0; s < layout.storages.size(); ++s) {
      const auto& run = layout.storages[s].items;
      const std::string name = "archive/data/" + std::to_string(s);
      if (run.size() == 1) zip.add(name, layout.bytes(run[0]));
      else zip.add(name, std::span<const std::byte>(layout.joined(run)));
    }
    zip.add("archive/version", std::string_view("3\n"));
    zip.finish();
  });
}

void write_torch(const std::filesystem::path& path, const std::vector<std::pair<std::string, Tensor>>& tensors,
                 const std::string& wrapped_in) {
  std::vector<TorchItem> items;
  std::map<const Storage*, std::int64_t> storages;
  for (const auto& [name, t] : tensors) {
    TorchItem item;
    item.name = name;
    item.dtype = stored_name(t.dtype());
    for (int d = 0; d < t.rank(); ++d) {
      item.shape.push_back(t.shape()[d]);
      item.strides.push_back(t.strides()[d]);
    }
    if (t.is_contiguous()) item.strides.clear();
    item.storage = storages.emplace(t.storage().get(), static_cast<std::int64_t>(storages.size())).first->second;
    item.offset = 64 + static_cast<std::uint64_t>(t.offset()) * size_of(t.dtype());  // never 0, which would mean that nobody knows
    items.push_back(std::move(item));
  }
  std::vector<std::uint64_t> ranges;
  for (const TorchItem& item : items) ranges.push_back(laid_out(item).range);
  write_torch(
      path, items,
      [&](std::size_t i) {
        return std::span<const std::byte>(ranges[i] ? static_cast<const std::byte*>(tensors[i].second.raw()) : nullptr, ranges[i]);
      },
      wrapped_in);
}

}  // namespace graft
