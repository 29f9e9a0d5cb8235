// The stack machine. Opcodes as CPython's Lib/pickletools.py describes them.
#include "weights/formats/pickle.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <unordered_map>

#include "engine/base/text.h"
#include "kernels/core/error.h"
#include "weights/formats/json_guard.h"
#include "weights/formats/pickle_globals.h"
#include "weights/formats/pickle_text.h"

namespace graft {

namespace {

constexpr std::size_t kMostValues = 4'000'000, kDeepest = 1000;
constexpr std::uint64_t kLongestText = std::uint64_t{64} << 20;
constexpr const char* kAgain = "the file is damaged, get it again";

const char* kind_name(PickleKind k) {
  switch (k) {
    case PickleKind::none: return "None";
    case PickleKind::boolean: return "a bool";
    case PickleKind::integer:
    case PickleKind::big: return "an int";
    case PickleKind::real: return "a float";
    case PickleKind::text:
    case PickleKind::string8: return "a string";
    case PickleKind::bytes: return "bytes";
    case PickleKind::list: return "a list";
    case PickleKind::tuple: return "a tuple";
    case PickleKind::dict: return "a dict";
    case PickleKind::set: return "a set";
    case PickleKind::global: return "a name";
    case PickleKind::object: return "an object";
    case PickleKind::persistent: return "a persistent id";
  }
  return "";
}

std::string message(const std::string& path, const std::string& part, std::uint64_t byte, const std::string& what, const std::string& who,
                    const std::string& advice) {
  std::string in = part;
  if (!who.empty()) in += (in.empty() ? "" : ", ") + who;
  return path + ": " + what + " at byte " + std::to_string(byte) + (in.empty() ? "" : " (" + in + ")") + "; " + advice;
}

}  // namespace

double PickleTree::real(PickleId id) const { return std::bit_cast<double>(values_[id].number); }

std::string PickleTree::text(PickleId id) const {
  const PickleValue& v = values_[id];
  if (v.kind == PickleKind::text) return std::string(v.text);
  if (v.text.size() > kLongestText)
    refuse(id, "a string of " + std::to_string(v.text.size()) + " bytes", "", "names are not that long, the file is damaged");
  return utf8_of_latin1(v.text);
}

PickleId PickleTree::get(PickleId dict, std::string_view key) const {
  if (dict == kNoPickle) return kNoPickle;
  const auto all = items(dict);
  for (std::size_t i = all.size(); i >= 2; i -= 2)  // the last one to be set counts
    if (is_text(all[i - 2]) && values_[all[i - 2]].text == key) return all[i - 1];
  return kNoPickle;
}

void PickleTree::refuse(PickleId at, const std::string& what, const std::string& who, const std::string& advice) const {
  throw Error(Code::input, message(path, part, at == kNoPickle ? 0 : values_[at].byte, what, who, advice));
}

bool looks_like_pickle(std::span<const std::byte> file) {
  if (file.size() < 2) return false;
  const auto at = [&](std::size_t i) { return std::to_integer<unsigned char>(file[i]); };
  if (at(0) == 0x80) return at(1) >= 2 && at(1) <= 5;
  const std::string_view text(reinterpret_cast<const char*>(file.data()), std::min<std::size_t>(file.size(), 16));
  for (const std::string_view begin : {"(dp", "(lp", "(d.", "(l.", "}q", "]q", "ccollections\n", "ccopy_reg\n", "cnumpy", "ctorch"})
    if (text.starts_with(begin)) return true;
  return false;
}

// One pickle, from its first opcode to STOP. Every operand is read by take(), and every value passes through make().
class PickleMachine {
 public:
  PickleMachine(std::span<const std::byte> stream, PickleTree& tree, std::uint64_t base) : s_(stream), t_(tree), base_(base) {}

  void run() {
    for (;;) {
      op_at_ = at_;
      if (at_ == s_.size()) refuse("the pickle ends without STOP", "the file was cut off, get it again");
      const auto op = std::to_integer<unsigned char>(s_[at_++]);
      if (op == '.') break;
      step(op);
    }
    if (stack_.size() != 1 || !marks_.empty())
      refuse("STOP with " + std::to_string(stack_.size()) + " values and " + std::to_string(marks_.size()) +
                 " marks on the stack in place of one value",
             kAgain);
    t_.root = stack_[0];
    t_.size = at_;
    if (called_ != kNoPickle) refuse_call();
  }

 private:
  using K = PickleKind;

  [[noreturn]] void refuse(const std::string& what, const std::string& advice) const {
    throw Error(Code::input, message(t_.path, t_.part, base_ + op_at_, what, "", advice));
  }
  [[noreturn]] void wrong(const char* op, const std::string& what) const { refuse(std::string("the pickle's ") + op + " " + what, kAgain); }

  // ---- operands ----
  std::string_view take(std::uint64_t n) {
    if (n > s_.size() - at_)
      refuse("the pickle wants " + std::to_string(n) + " bytes more, and there are " + std::to_string(s_.size() - at_),
             "the file was cut off or damaged, get it again");
    const std::string_view v(reinterpret_cast<const char*>(s_.data()) + at_, static_cast<std::size_t>(n));
    at_ += n;
    return v;
  }
  std::uint64_t number(int width) {
    std::uint64_t v = 0;
    const std::string_view b = take(static_cast<std::uint64_t>(width));
    for (int i = width; i-- > 0;) v = v << 8 | static_cast<unsigned char>(b[static_cast<std::size_t>(i)]);
    return v;
  }
  std::string_view line() {
    const auto* begin = reinterpret_cast<const char*>(s_.data()) + at_;
    const auto* end = static_cast<const char*>(std::memchr(begin, '\n', std::min<std::size_t>(s_.size() - at_, kLongestText)));
    if (!end) refuse("the pickle's line has no end", "the file was cut off or damaged, get it again");
    std::string_view v = take(static_cast<std::uint64_t>(end - begin) + 1);
    v.remove_suffix(1);
    if (v.ends_with('\r')) v.remove_suffix(1);  // a file that passed through Windows as text
    return v;
  }
  std::string_view own(std::string text) { return t_.owned_.emplace_back(std::move(text)); }

  // ---- values ----
  PickleId make(K kind) {
    if (t_.values_.size() >= kMostValues) refuse("more than " + std::to_string(kMostValues) + " values", "this is no checkpoint");
    PickleValue v;
    v.kind = kind;
    v.byte = base_ + op_at_;
    t_.values_.push_back(v);
    return static_cast<PickleId>(t_.values_.size() - 1);
  }
  PickleValue& at(PickleId id) { return t_.values_[id]; }
  void push(PickleId id) { stack_.push_back(id); }
  void push_number(K kind, std::int64_t n) {
    const PickleId id = make(kind);
    at(id).number = n;
    push(id);
  }
  void push_text(K kind, std::string_view text) {
    if (kind == K::text) {
      if (text.size() > kLongestText)
        refuse("a string of " + std::to_string(text.size()) + " bytes; at most 64 MB are read",
               "save arrays as bytes or tensors, not as text");
      if (const auto bad = first_not_utf8(text); bad != std::string_view::npos)
        refuse("a string that is not UTF-8 after " + std::to_string(bad) + " bytes", kAgain);
    }
    const PickleId id = make(kind);
    at(id).text = text;
    push(id);
  }
  std::vector<PickleId>& list_at(std::uint32_t PickleValue::*where, PickleId id) {
    if (at(id).*where == kNoPickle) {
      at(id).*where = static_cast<std::uint32_t>(t_.lists_.size());
      t_.lists_.emplace_back();
    }
    return t_.lists_[at(id).*where];
  }
  void fill(PickleId id, std::vector<PickleId> items) { list_at(&PickleValue::items, id) = std::move(items); }

  // ---- the stack ----
  PickleId pop(const char* op) {
    if (stack_.empty() || (!marks_.empty() && stack_.size() <= marks_.back())) wrong(op, "finds nothing on the stack");
    const PickleId id = stack_.back();
    stack_.pop_back();
    return id;
  }
  PickleId top(const char* op) {
    const PickleId id = pop(op);
    push(id);
    return id;
  }
  PickleId pop_a(const char* op, K kind) {
    const PickleId id = pop(op);
    if (at(id).kind != kind) wrong(op, std::string("wants ") + kind_name(kind) + " and finds " + kind_name(at(id).kind));
    return id;
  }
  std::vector<PickleId> pop_mark(const char* op) {
    if (marks_.empty()) wrong(op, "finds no mark");
    const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<PickleId> v(first, stack_.end());
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return v;
  }

  void push_tuple(std::vector<PickleId> items) {
    const PickleId id = make(K::tuple);
    fill(id, std::move(items));
    push(id);
  }
  void push_few(const char* op, int n) {
    std::vector<PickleId> items(static_cast<std::size_t>(n));
    for (std::size_t i = items.size(); i-- > 0;) items[i] = pop(op);
    push_tuple(std::move(items));
  }
  void append(const char* op, PickleId to, const std::vector<PickleId>& items) {
    if (at(to).kind != K::list && at(to).kind != K::object) wrong(op, std::string("appends to ") + kind_name(at(to).kind));
    auto& all = list_at(at(to).kind == K::list ? &PickleValue::items : &PickleValue::elements, to);
    all.insert(all.end(), items.begin(), items.end());
  }
  void set_items(const char* op, PickleId to, const std::vector<PickleId>& items) {
    if (items.size() % 2 != 0) wrong(op, "has a key without a value");
    if (at(to).kind != K::dict && at(to).kind != K::object) wrong(op, std::string("sets items of ") + kind_name(at(to).kind));
    for (std::size_t i = 0; i < items.size(); i += 2)
      if (const K k = at(items[i]).kind; k == K::list || k == K::dict || k == K::set)
        wrong(op, std::string("has ") + kind_name(k) + " as a key");
    auto& all = list_at(&PickleValue::items, to);
    all.insert(all.end(), items.begin(), items.end());
  }

  void remember(std::uint64_t place, PickleId id) {
    if (place >= kMostValues) refuse("the memo place " + std::to_string(place), "no writer uses such places, the file is damaged");
    memo_[static_cast<std::uint32_t>(place)] = id;
  }
  void recall(std::uint64_t place) {
    const auto found = place < kMostValues ? memo_.find(static_cast<std::uint32_t>(place)) : memo_.end();
    if (found == memo_.end()) refuse("the memo place " + std::to_string(place) + " was never filled", kAgain);
    push(found->second);
  }

  // ---- names and objects ----
  PickleId global(std::string_view module, std::string_view name) {
    const auto proper = [](std::string_view s) {
      return !s.empty() && s.size() <= 200 && first_not_utf8(s) == std::string_view::npos &&
             std::none_of(s.begin(), s.end(), [](char c) { return static_cast<unsigned char>(c) < 33; });
    };
    if (!proper(module) || !proper(name)) refuse("a global without a proper name", kAgain);
    const PickleId id = make(K::global);
    std::string normal = normal_global(module, name);
    at(id).number = find_global(normal);
    at(id).text = own(std::move(normal));
    if (at(id).number < 0) t_.unknown.push_back(id);
    return id;
  }
  // A call of what is in no list. The whole stream has been read by now, so that it can be said what the file is: one without tensors is
  // named by the first thing that it needs ("transformers.training_args.TrainingArguments"), not by the first that would be called.
  [[noreturn]] void refuse_call() const {
    const bool tensors = std::any_of(t_.values_.begin(), t_.values_.end(), [](const PickleValue& v) {
      if (v.kind != K::global || v.number < 0) return v.kind == K::persistent;
      const PickleRole role = pickle_global(static_cast<int>(v.number)).role;
      return (role >= PickleRole::rebuild_tensor && role <= PickleRole::storage_bytes) || role == PickleRole::numpy_reconstruct ||
             role == PickleRole::numpy_frombuffer;
    });
    const PickleId id = tensors ? called_ : t_.unknown.front();
    t_.refuse(
        id, "needs " + one_line(t_[id].text) + (tensors ? ", which the file wants to be called," : ": this file holds no tensors"), "",
        tensors
            ? "graft runs nothing that a file names: save a state_dict() in place of objects, and do not trust the file if it should be one"
            : "name the file of the weights");
  }
  // A class that has only been given a state is data whatever its name; a call is more, and must be of the list.
  void object(const char* op, PickleId of, PickleId args, bool call) {
    if (at(of).kind == K::persistent && !call) {
    } else if (at(of).kind != K::global) {
      wrong(op, std::string("calls ") + kind_name(at(of).kind));
    } else if (call && at(of).number < 0) {
      if (called_ == kNoPickle) called_ = of;
    }
    if (at(args).kind != K::tuple) wrong(op, std::string("has ") + kind_name(at(args).kind) + " for arguments");
    const PickleId id = make(K::object);
    at(id).of = of;
    at(id).args = args;
    if (call && at(of).number >= 0 && pickle_global(static_cast<int>(at(of).number)).role == PickleRole::reconstructor) {
      // copyreg's _reconstructor(class, base, state): an object of that class
      const auto a = t_.items(args);
      if (a.size() != 3 || at(a[0]).kind != K::global) wrong(op, "reconstructs no class");
      at(id).of = a[0];
      at(id).args = kNoPickle;
    }
    push(id);
  }

  // ---- numbers as text ----
  std::int64_t whole(const char* op, std::string_view text) {
    std::int64_t v = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
    if (error != std::errc() || end != text.data() + text.size()) wrong(op, "is no whole number of 64 bits: " + in_quotes(text));
    return v;
  }
  void long_bytes(std::string_view b) {
    if (b.size() <= 8) {
      std::uint64_t v = !b.empty() && (b.back() & 0x80) ? ~std::uint64_t{0} : 0;
      for (std::size_t i = b.size(); i-- > 0;) v = v << 8 | static_cast<unsigned char>(b[i]);
      return push_number(K::integer, static_cast<std::int64_t>(v));
    }
    if (b.size() > 1000)
      refuse("a whole number of " + std::to_string(b.size()) + " bytes", "no checkpoint counts that far, the file is damaged");
    push_text(K::big, b);
  }

  void step(unsigned char op) {
    switch (op) {
      // ---- constants ----
      case 'N': return push(make(K::none));
      case 0x88: return push_number(K::boolean, 1);
      case 0x89: return push_number(K::boolean, 0);
      case 'J': return push_number(K::integer, static_cast<std::int32_t>(number(4)));
      case 'K': return push_number(K::integer, static_cast<std::int64_t>(number(1)));
      case 'M': return push_number(K::integer, static_cast<std::int64_t>(number(2)));
      case 0x8a: return long_bytes(take(number(1)));
      case 0x8b: return long_bytes(take(number(4)));
      case 'G': {
        const std::string_view b = take(8);  // the one number that is big endian
        std::uint64_t v = 0;
        for (const char c : b) v = v << 8 | static_cast<unsigned char>(c);
        return push_number(K::real, static_cast<std::int64_t>(v));
      }
      case 'I': {
        const std::string_view v = line();
        if (v == "00" || v == "01") return push_number(K::boolean, v == "01");
        return push_number(K::integer, whole("INT", v));
      }
      case 'L': {
        std::string_view v = line();
        if (v.ends_with('L')) v.remove_suffix(1);
        return push_number(K::integer, whole("LONG", v));
      }
      case 'F': {
        const std::string_view v = line();
        double d = 0;
        const auto [end, error] = std::from_chars(v.data(), v.data() + v.size(), d);
        if (error != std::errc() || end != v.data() + v.size()) wrong("FLOAT", "is no number: " + in_quotes(v));
        return push_number(K::real, std::bit_cast<std::int64_t>(d));
      }
      // ---- strings ----
      case 'X': return push_text(K::text, take(number(4)));
      case 0x8c: return push_text(K::text, take(number(1)));
      case 0x8d: return push_text(K::text, take(number(8)));
      case 'V': {
        std::string text;
        if (!unescape_unicode(line(), text)) wrong("UNICODE", "has a bad escape");
        return push_text(K::text, own(std::move(text)));
      }
      case 'U': return push_text(K::string8, take(number(1)));
      case 'T': return push_text(K::string8, take(number(4)));
      case 'S': {
        std::string text;
        if (!unescape_string(line(), text)) wrong("STRING", "is no quoted string");
        return push_text(K::string8, own(std::move(text)));
      }
      case 'B': return push_text(K::bytes, take(number(4)));
      case 'C': return push_text(K::bytes, take(number(1)));
      case 0x8e:
      case 0x96: return push_text(K::bytes, take(number(8)));
      // ---- containers ----
      case '(':
        if (marks_.size() >= kDeepest)
          refuse("marks nested deeper than " + std::to_string(kDeepest), "no checkpoint is that deep, do not trust the file");
        return marks_.push_back(stack_.size());
      case ')': return push_tuple({});
      case 't': return push_tuple(pop_mark("TUPLE"));
      case 0x85: return push_few("TUPLE1", 1);
      case 0x86: return push_few("TUPLE2", 2);
      case 0x87: return push_few("TUPLE3", 3);
      case ']': return push(make(K::list));
      case 'l': {
        auto items = pop_mark("LIST");
        const PickleId id = make(K::list);
        fill(id, std::move(items));
        return push(id);
      }
      case 'a': {
        const PickleId item = pop("APPEND");
        return append("APPEND", top("APPEND"), {item});
      }
      case 'e': {
        const auto items = pop_mark("APPENDS");
        return append("APPENDS", top("APPENDS"), items);
      }
      case '}': return push(make(K::dict));
      case 'd': {
        const auto items = pop_mark("DICT");
        const PickleId id = make(K::dict);
        set_items("DICT", id, items);
        return push(id);
      }
      case 's': {
        const PickleId value = pop("SETITEM"), key = pop("SETITEM");
        return set_items("SETITEM", top("SETITEM"), {key, value});
      }
      case 'u': {
        const auto items = pop_mark("SETITEMS");
        return set_items("SETITEMS", top("SETITEMS"), items);
      }
      case 0x8f: return push(make(K::set));
      case 0x90: {
        const auto items = pop_mark("ADDITEMS");
        const PickleId to = top("ADDITEMS");
        if (at(to).kind != K::set) wrong("ADDITEMS", std::string("adds to ") + kind_name(at(to).kind));
        auto& all = list_at(&PickleValue::items, to);
        all.insert(all.end(), items.begin(), items.end());
        return;
      }
      case 0x91: {
        auto items = pop_mark("FROZENSET");
        const PickleId id = make(K::set);
        fill(id, std::move(items));
        return push(id);
      }
      // ---- the stack and the memo ----
      case '0':
        if (!marks_.empty() && stack_.size() == marks_.back()) return marks_.pop_back();  // as CPython: POP may take a mark
        pop("POP");
        return;
      case '1': pop_mark("POP_MARK"); return;
      case '2': return push(top("DUP"));
      case 'p': return remember(place("PUT"), top("PUT"));
      case 'q': return remember(number(1), top("BINPUT"));
      case 'r': return remember(number(4), top("LONG_BINPUT"));
      case 0x94: return remember(memo_.size(), top("MEMOIZE"));
      case 'g': return recall(place("GET"));
      case 'h': return recall(number(1));
      case 'j': return recall(number(4));
      // ---- names and objects ----
      case 'c': {
        const std::string_view module = line(), name = line();
        return push(global(module, name));
      }
      case 0x93: {
        const PickleId name = pop("STACK_GLOBAL"), module = pop("STACK_GLOBAL");
        if (!t_.is_text(name) || !t_.is_text(module)) wrong("STACK_GLOBAL", "names no module and class");
        return push(global(at(module).text, at(name).text));
      }
      case 'R': {
        const PickleId args = pop("REDUCE"), of = pop("REDUCE");
        return object("REDUCE", of, args, true);
      }
      case 0x81: {
        const PickleId args = pop("NEWOBJ"), of = pop("NEWOBJ");
        return object("NEWOBJ", of, args, false);
      }
      case 0x92: {
        const PickleId named = pop_a("NEWOBJ_EX", K::dict), args = pop("NEWOBJ_EX"), of = pop("NEWOBJ_EX");
        if (!t_.items(named).empty()) wrong("NEWOBJ_EX", "has named arguments, which no tensor has");
        return object("NEWOBJ_EX", of, args, false);
      }
      case 'o': {
        auto items = pop_mark("OBJ");
        if (items.empty()) wrong("OBJ", "has no class");
        const PickleId of = items.front();
        items.erase(items.begin());
        push_tuple(std::move(items));
        return object("OBJ", of, pop("OBJ"), false);
      }
      case 'i': {
        const std::string_view module = line(), name = line();
        const PickleId of = global(module, name);
        push_tuple(pop_mark("INST"));
        return object("INST", of, pop("INST"), false);
      }
      case 'b': {
        const PickleId state = pop("BUILD"), to = top("BUILD");
        if (at(to).kind != K::object) wrong("BUILD", std::string("gives a state to ") + kind_name(at(to).kind));
        if (at(to).state != kNoPickle) wrong("BUILD", "gives a second state to an object");
        at(to).state = state;
        return;
      }
      case 'P': {
        push_text(K::string8, line());
        return persistent("PERSID");
      }
      case 'Q': return persistent("BINPERSID");
      // ---- the stream ----
      case 0x80:
        if (const auto protocol = number(1); protocol > 5)
          refuse("the pickle protocol " + std::to_string(protocol) + "; 0 to 5 are known", "save it by an older protocol");
        return;
      case 0x95:
        if (const auto n = number(8); n > s_.size() - at_)
          refuse("a frame of " + std::to_string(n) + " bytes, and there are " + std::to_string(s_.size() - at_),
                 "the file was cut off or damaged, get it again");
        return;
      case 0x82:
      case 0x83:
      case 0x84: refuse("a name of the extension registry, which lies outside of the file,", "save it without copyreg.add_extension");
      case 0x97:
      case 0x98: refuse("a buffer that lies outside of the pickle", "save it without buffer_callback");
      default: {
        static const char* const kHex = "0123456789abcdef";
        refuse(std::string("unknown opcode 0x") + kHex[op >> 4] + kHex[op & 15] + " in the pickle",
               "the file is damaged or no pickle, get it again");
      }
    }
  }
  std::uint64_t place(const char* op) {
    const std::int64_t n = whole(op, line());
    if (n < 0) wrong(op, "has a negative place");
    return static_cast<std::uint64_t>(n);
  }
  void persistent(const char* op) {
    const PickleId args = pop(op), id = make(K::persistent);
    at(id).args = args;
    push(id);
  }

  std::span<const std::byte> s_;
  PickleTree& t_;
  std::uint64_t base_, at_ = 0, op_at_ = 0;
  std::vector<PickleId> stack_;
  std::vector<std::size_t> marks_;  // heights of the stack
  std::unordered_map<std::uint32_t, PickleId> memo_;
  PickleId called_ = kNoPickle;  // the first name without a row that was called
};

PickleTree parse_pickle(std::span<const std::byte> stream, const std::string& path, const std::string& part, std::uint64_t base) {
  PickleTree tree;
  tree.path = path;
  tree.part = part;
  PickleMachine(stream, tree, base).run();
  return tree;
}

}  // namespace graft
