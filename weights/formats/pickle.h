// Python pickles as data. A pickle is a program for a stack machine, and Python's own machine imports and calls whatever the file names;
// this one has no way to call anything. It builds a tree of values in which "call F with these arguments" is a value like any other, an
// object with F's name, and F must stand in a list (pickle_globals.h). What such an object means is for the reader of the container to know
// (torch_values.h). All opcodes of protocols 0 to 5 are known; refused are those that need something outside of the file (the extension
// registry, out-of-band buffers).
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace graft {

enum class PickleKind : std::uint8_t {
  none,
  boolean,
  integer,
  big,
  real,
  text,
  string8,
  bytes,
  list,
  tuple,
  dict,
  set,
  global,
  object,
  persistent
};

using PickleId = std::uint32_t;
inline constexpr PickleId kNoPickle = 0xffffffffu;

struct PickleValue {
  PickleKind kind = PickleKind::none;
  PickleId of = kNoPickle;                                // object: the global (or the persistent id of a class) that makes it
  PickleId args = kNoPickle;                              // object: the tuple it is called with; persistent: the id
  PickleId state = kNoPickle;                             // object: what BUILD gives it
  std::uint32_t items = kNoPickle, elements = kNoPickle;  // places in PickleTree's lists
  std::int64_t number = 0;  // integer, boolean; real as its bits; global: its row of the list, -1 where it has none
  std::string_view text;    // text (UTF-8), string8 (Python 2), bytes, big (little endian, two's complement), global ("module.name")
  std::uint64_t byte = 0;   // of the opcode that made it, in the file
};

// Values refer to one another by number, so that shared and cyclic ones need no care and nothing is deep in memory.
class PickleTree {
 public:
  std::string path, part;  // for messages: the file, and where in it the pickle is ("x/data.pkl"; empty: the file itself)
  PickleId root = kNoPickle;
  std::uint64_t size = 0;         // bytes of the stream up to and with STOP
  std::vector<PickleId> unknown;  // globals that are in no list, in the order of the stream

  const PickleValue& operator[](PickleId id) const { return values_[id]; }
  std::size_t count() const { return values_.size(); }
  // Of a list, tuple or set its elements; of a dict, and of an object that is filled like one, key, value, key, value.
  std::span<const PickleId> items(PickleId id) const { return list(values_[id].items); }
  std::span<const PickleId> elements(PickleId id) const { return list(values_[id].elements); }  // of an object that is filled like a list
  bool is(PickleId id, PickleKind kind) const { return id != kNoPickle && values_[id].kind == kind; }
  bool is_text(PickleId id) const { return is(id, PickleKind::text) || is(id, PickleKind::string8); }
  double real(PickleId id) const;
  std::string text(PickleId id) const;  // of text and string8 as UTF-8 (Python 2's bytes are read as Latin-1)
  // The value of a string key of a dict or object; kNoPickle when it is not there.
  PickleId get(PickleId dict, std::string_view key) const;
  [[noreturn]] void refuse(PickleId at, const std::string& what, const std::string& who, const std::string& advice) const;

 private:
  friend class PickleMachine;
  std::span<const PickleId> list(std::uint32_t at) const {
    return at == kNoPickle ? std::span<const PickleId>() : std::span<const PickleId>(lists_[at]);
  }
  std::vector<PickleValue> values_;
  std::vector<std::vector<PickleId>> lists_;
  std::deque<std::string> owned_;  // texts that do not stand in the stream as they are
};

// Reads one pickle from the beginning of `stream`, which must outlive the tree and lies at byte `base` of `path`. Throws Error(input) with
// the byte and the opcode: not a pickle, cut off, an unknown opcode, operands of a wrong type, an empty stack, a memo place that was never
// filled, text that is not UTF-8 or longer than 64 MB, more than 4 million values, marks deeper than 1000, a call of what is in no list
// ("needs posix.system").
PickleTree parse_pickle(std::span<const std::byte> stream, const std::string& path, const std::string& part = "", std::uint64_t base = 0);

// Whether a file begins as a pickle does: protocols 2 to 5 by their first opcode, 0 and 1 by a dict, list or global there.
bool looks_like_pickle(std::span<const std::byte> file);

}  // namespace graft
