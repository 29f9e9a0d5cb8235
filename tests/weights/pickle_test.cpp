// The pickle machine: every opcode that a writer uses, read as data; each way to be no pickle, refused with its byte.
#include "weights/formats/pickle.h"

#include <deque>
#include <set>

#include "tests/weights/torch_testing.h"
#include "weights/formats/pickle_globals.h"
#include "weights/formats/pickle_text.h"

namespace graft {
namespace {

using torch_testing::bytes_of;
using torch_testing::refused;

// The value as Python would print it, objects as what makes them.
std::string print(const PickleTree& t, PickleId id) {
  const PickleValue& v = t[id];
  const auto list = [&](std::span<const PickleId> all, const char* open, const char* close) {
    std::string s = open;
    for (std::size_t i = 0; i < all.size(); ++i) s += (i ? ", " : "") + print(t, all[i]);
    return s + close;
  };
  const auto pairs = [&](std::span<const PickleId> all) {
    std::string s = "{";
    for (std::size_t i = 0; i < all.size(); i += 2) s += (i ? ", " : "") + print(t, all[i]) + ": " + print(t, all[i + 1]);
    return s + "}";
  };
  switch (v.kind) {
    case PickleKind::none: return "None";
    case PickleKind::boolean: return v.number ? "True" : "False";
    case PickleKind::integer: return std::to_string(v.number);
    case PickleKind::big: return "big" + torch_testing::hex(std::string(v.text));
    case PickleKind::real: return std::to_string(t.real(id));
    case PickleKind::text: return "'" + std::string(v.text) + "'";
    case PickleKind::string8: return "s'" + std::string(v.text) + "'";
    case PickleKind::bytes: return "b'" + std::string(v.text) + "'";
    case PickleKind::list: return list(t.items(id), "[", "]");
    case PickleKind::tuple: return list(t.items(id), "(", ")");
    case PickleKind::dict: return pairs(t.items(id));
    case PickleKind::set: return list(t.items(id), "{", "}");
    case PickleKind::global: return std::string(v.text);
    case PickleKind::persistent: return "id(" + print(t, v.args) + ")";
    case PickleKind::object: break;
  }
  std::string s = print(t, v.of) + (v.args == kNoPickle ? "()" : print(t, v.args));
  if (!t.items(id).empty()) s += pairs(t.items(id));
  if (!t.elements(id).empty()) s += list(t.elements(id), "[", "]");
  return v.state == kNoPickle ? s : s + " state " + print(t, v.state);
}

std::string read(const std::string& stream) {
  const PickleTree t = parse_pickle(bytes_of(stream), "x.pkl");
  EXPECT_EQ(t.size, stream.size());
  return print(t, t.root);
}
// Trees point into their stream, so that is kept to the end.
PickleTree tree(const std::string& stream, std::uint64_t base = 0) {
  static std::deque<std::string> kept;
  return parse_pickle(bytes_of(kept.emplace_back(stream)), "x", "", base);
}
std::string bytes(std::initializer_list<int> all) {
  std::string s;
  for (const int b : all) s += static_cast<char>(b);
  return s;
}

TEST(Pickle, Constants) {
  EXPECT_EQ(read("N."), "None");
  EXPECT_EQ(read("\x88."), "True");
  EXPECT_EQ(read("\x89."), "False");
  EXPECT_EQ(read("I01\n."), "True");
  EXPECT_EQ(read("I00\n."), "False");
  EXPECT_EQ(read("I-17\n."), "-17");
  EXPECT_EQ(read("L12345678901L\n."), "12345678901");
  EXPECT_EQ(read("L5\n."), "5");
  EXPECT_EQ(read("J" + bytes({0xfe, 0xff, 0xff, 0xff}) + "."), "-2");
  EXPECT_EQ(read("K\xff."), "255");
  EXPECT_EQ(read("M" + bytes({0x34, 0x12}) + "."), "4660");
  EXPECT_EQ(read("\x8a" + bytes({0}) + "."), "0");
  EXPECT_EQ(read("\x8a" + bytes({2, 0, 0x80}) + "."), "-32768");
  EXPECT_EQ(read("\x8a" + bytes({8, 255, 255, 255, 255, 255, 255, 255, 127}) + "."), "9223372036854775807");
  EXPECT_EQ(read("\x8a" + bytes({9, 0, 0, 0, 0, 0, 0, 0, 0, 1}) + "."), "big000000000000000001");
  EXPECT_EQ(read("\x8b" + bytes({1, 0, 0, 0, 7}) + "."), "7");
  EXPECT_EQ(read("F2.5\n."), "2.500000");
  EXPECT_EQ(read("F-1e3\n."), "-1000.000000");
  EXPECT_EQ(read("G" + bytes({0x3f, 0xf8, 0, 0, 0, 0, 0, 0}) + "."), "1.500000");
}

TEST(Pickle, Strings) {
  EXPECT_EQ(read("X" + bytes({3, 0, 0, 0}) + "a\xc3\xa9."), "'a\xc3\xa9'");
  EXPECT_EQ(read("\x8c" + bytes({1}) + "a."), "'a'");
  EXPECT_EQ(read("\x8d" + bytes({1, 0, 0, 0, 0, 0, 0, 0}) + "a."), "'a'");
  EXPECT_EQ(read("Va\xe9\\u20ac\\U0001f600\\n\n."), "'a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\\n'");
  EXPECT_EQ(read("U" + bytes({2}) + "\xe9\xff."), "s'\xe9\xff'");
  EXPECT_EQ(read("T" + bytes({1, 0, 0, 0}) + "a."), "s'a'");
  EXPECT_EQ(read("S'a\\x41\\101\\n\\'\\\\'\n."), "s'aAA\n'\\'");
  EXPECT_EQ(read("S\"it's\"\r\n."), "s'it's'");
  EXPECT_EQ(read("B" + bytes({1, 0, 0, 0}) + "\xff."), "b'\xff'");
  EXPECT_EQ(read("C" + bytes({1}) + "a."), "b'a'");
  EXPECT_EQ(read("\x8e" + bytes({1, 0, 0, 0, 0, 0, 0, 0}) + "a."), "b'a'");
  EXPECT_EQ(read("\x96" + bytes({1, 0, 0, 0, 0, 0, 0, 0}) + "a."), "b'a'");
  const PickleTree t = tree("U" + bytes({2}) +
                            "\xe9"
                            "a.");
  EXPECT_EQ(t.text(t.root),
            "\xc3\xa9"
            "a")
      << "Python 2's bytes are Latin-1";
  EXPECT_EQ(latin1_of_utf8("\xc3\xa9"
                           "a")
                .value(),
            "\xe9"
            "a");
  EXPECT_FALSE(latin1_of_utf8("\xe2\x82\xac").has_value());
}

TEST(Pickle, Containers) {
  EXPECT_EQ(read(")."), "()");
  EXPECT_EQ(read("(K\1K\2t."), "(1, 2)");
  EXPECT_EQ(read("K\1\x85."), "(1)");
  EXPECT_EQ(read("K\1K\2\x86."), "(1, 2)");
  EXPECT_EQ(read("K\1K\2K\3\x87."), "(1, 2, 3)");
  EXPECT_EQ(read("]K\1a(K\2K\3e."), "[1, 2, 3]");
  EXPECT_EQ(read("(K\1l."), "[1]");
  EXPECT_EQ(read("}K\1Ns(K\2NK\3Nu."), "{1: None, 2: None, 3: None}");
  EXPECT_EQ(read("(K\1Nd."), "{1: None}");
  EXPECT_EQ(read("\x8f(K\1K\2\x90."), "{1, 2}");
  EXPECT_EQ(read("(K\1\x91."), "{1}");
  EXPECT_EQ(read("K\1"
                 "20."),
            "1");  // DUP, POP
  EXPECT_EQ(read("K\1(K\2K\3"
                 "1."),
            "1");                  // POP_MARK
  EXPECT_EQ(read("K\1(0."), "1");  // POP of a mark
}

TEST(Pickle, Memo) {
  EXPECT_EQ(read("]p7\ng7\n\x86."), "([], [])");
  EXPECT_EQ(read("]q\1h\1\x86."), "([], [])");
  EXPECT_EQ(read("]r" + bytes({0, 1, 0, 0}) + "j" + bytes({0, 1, 0, 0}) + "\x86."), "([], [])");
  EXPECT_EQ(read("]\x94h" + bytes({0}) + "\x86."), "([], [])");
  const PickleTree t = tree("]q\1h\1\x86.");
  EXPECT_EQ(t.items(t.root)[0], t.items(t.root)[1]) << "one value, twice";
}

TEST(Pickle, NamesAndObjects) {
  EXPECT_EQ(read("ccollections\nOrderedDict\n)R}b."), "collections.OrderedDict() state {}");
  EXPECT_EQ(read("\x8c\x0b"
                 "collections\x8c\x0bOrderedDict\x93)RK\1Ns."),
            "collections.OrderedDict(){1: None}");
  EXPECT_EQ(read("ccollections\ndeque\n)RK\1a."), "collections.deque()[1]");
  EXPECT_EQ(read("cmine\nThing\n)\x81}b."), "mine.Thing() state {}");
  EXPECT_EQ(read("cmine\nThing\n)}\x92."), "mine.Thing()");
  EXPECT_EQ(read("(imine\nThing\n."), "mine.Thing()");
  EXPECT_EQ(read("(cmine\nThing\nK\1o."), "mine.Thing(1)");
  EXPECT_EQ(read("ccopy_reg\n_reconstructor\n(cmine\nThing\nc__builtin__\nobject\nNtR}b."), "mine.Thing() state {}");
  EXPECT_EQ(read("c__builtin__\nset\n(]tR."), "builtins.set([])");
  EXPECT_EQ(read("cnumpy.core.multiarray\nscalar\n."), "numpy.multiarray.scalar");
  EXPECT_EQ(read("ctorch.cuda\nFloatStorage\n."), "torch.FloatStorage");
  EXPECT_EQ(read("P12\n."), "id(s'12')");
  EXPECT_EQ(read("K\5Q."), "id(5)");
  const PickleTree u = tree("(cmine\nA\nccollections\nOrderedDict\ncother\nB\nt.");
  ASSERT_EQ(u.unknown.size(), 2u);
  EXPECT_EQ(u[u.unknown[1]].text, "other.B");
  EXPECT_EQ(u[u.unknown[1]].byte, 34u);
}

TEST(Pickle, StreamsAndPlaces) {
  EXPECT_EQ(read("\x80\x05\x95" + bytes({2, 0, 0, 0, 0, 0, 0, 0}) + "N."), "None");
  const PickleTree t = tree("\x80\x02N.rest", 1000);
  EXPECT_EQ(t.size, 4u);
  EXPECT_EQ(t[t.root].byte, 1002u);
  for (const char* begin : {"\x80\x02}.", "\x80\x05N.", "(dp0\n.", "ccollections\nO"})
    EXPECT_TRUE(looks_like_pickle(bytes_of(begin))) << begin;
  for (const char* begin : {"", "\x80", "\x80\x06N.", "{\"a\"", "PK\3\4", "\x89HDF"})
    EXPECT_FALSE(looks_like_pickle(bytes_of(begin))) << begin;
}

TEST(Pickle, TheListHasNoDoubles) {
  std::set<std::string_view> names;
  for (int i = 0; find_global(pickle_global(i).name) == i && i < 130; ++i) names.insert(pickle_global(i).name);
  EXPECT_GT(names.size(), 120u);
  for (const char* bad : {"posix.system", "os.system", "nt.system", "builtins.eval", "builtins.exec", "builtins.getattr",
                          "builtins.__import__", "subprocess.Popen", "torch.load", "torch.hub.load", "runpy._run_code",
                          "operator.attrgetter", "numpy.load", "functools.reduce", "pickle.loads", "bdb.Bdb", "webbrowser.open"})
    EXPECT_EQ(find_global(bad), -1) << bad;
}

void wrong(const std::string& stream, const std::vector<std::string>& parts) {
  refused([&] { parse_pickle(bytes_of(stream), "x.pkl", "part"); }, parts);
}

TEST(PickleRefusals, Streams) {
  wrong("", {"x.pkl: the pickle ends without STOP at byte 0 (part)"});
  wrong("NN", {"ends without STOP at byte 2"});
  wrong("NN.", {"STOP with 2 values and 0 marks"});
  wrong("(N.", {"STOP with 1 values and 1 marks"});
  wrong(".", {"STOP with 0 values"});
  wrong("N\xff.", {"unknown opcode 0xff in the pickle at byte 1"});
  wrong("\x80\x06N.", {"the pickle protocol 6"});
  wrong("\x82\1.", {"extension registry"});
  wrong("\x97.", {"outside of the pickle"});
  wrong("\x95" + bytes({100, 0, 0, 0, 0, 0, 0, 0}) + "N.", {"a frame of 100 bytes"});
}

TEST(PickleRefusals, Operands) {
  wrong("X" + bytes({255, 255, 255, 255}) + "abc", {"wants 4294967295 bytes more, and there are 3"});
  wrong("\x8e" + bytes({255, 255, 255, 255, 255, 255, 255, 255}) + "abc", {"wants 18446744073709551615 bytes more"});
  wrong("X" + bytes({1, 0, 0, 0}) + "\xff.", {"a string that is not UTF-8"});
  wrong("J" + bytes({1}), {"wants 4 bytes more, and there are 1"});
  wrong("I12x\n.", {"INT is no whole number"});
  wrong("I99999999999999999999\n.", {"INT is no whole number"});
  wrong("Fabc\n.", {"FLOAT is no number"});
  wrong("S'abc\n.", {"STRING is no quoted string"});
  wrong("V\\u12\n.", {"UNICODE has a bad escape"});
  wrong("V\\ud800\n.", {"UNICODE has a bad escape"});
  wrong("Iabc", {"line has no end"});
  wrong("cmodule\n\n.", {"a global without a proper name"});
  std::string number(2000, 'x');
  wrong("\x8b" + bytes({0xd0, 7, 0, 0}) + number + ".", {"a whole number of 2000 bytes"});
  std::string longest = "X" + bytes({1, 0, 0, 4}) + std::string((std::size_t{64} << 20) + 1, 'a') + ".";
  wrong(longest, {"a string of 67108865 bytes; at most 64 MB"});
}

TEST(PickleRefusals, StackAndTypes) {
  wrong("a.", {"APPEND finds nothing on the stack"});
  wrong("0N.", {"POP finds nothing on the stack"});
  wrong("(\x85.", {"TUPLE1 finds nothing on the stack"});  // a mark is no value
  wrong("Nt.", {"TUPLE finds no mark"});
  wrong("NNa.", {"APPEND appends to None"});
  wrong(")Na.", {"APPEND appends to a tuple"});
  wrong("](NNu.", {"SETITEMS sets items of a list"});
  wrong("}(Nu.", {"a key without a value"});
  wrong("}]Ns.", {"SETITEM has a list as a key"});
  wrong("N(N\x90.", {"ADDITEMS adds to None"});
  wrong("N)R.", {"REDUCE calls None"});
  wrong("ccollections\nOrderedDict\nNR.", {"REDUCE has None for arguments"});
  wrong("]}b.", {"BUILD gives a state to a list"});
  wrong("ccollections\nOrderedDict\n)R}b}b.", {"a second state"});
  wrong("NN\x93.", {"STACK_GLOBAL names no module and class"});
  wrong("cmine\nT\n)NN\x92.", {"NEWOBJ_EX wants a dict and finds None"});
  wrong("cmine\nT\n)}NNs\x92.", {"has named arguments"});
  wrong("(o.", {"OBJ has no class"});
  wrong("h\5.", {"the memo place 5 was never filled"});
  wrong("Nr" + bytes({255, 255, 255, 255}) + ".", {"the memo place 4294967295"});
  wrong("Np-1\n.", {"PUT has a negative place"});
  wrong(std::string(1001, '(') + ".", {"marks nested deeper than 1000"});
  wrong("cposix\nsystem\n(U\2idtR.", {"needs posix.system: this file holds no tensors at byte 0"});
  wrong(
      "(cmine\nArgs\n)\x81"
      "cmine\nKind\n(U\2idtRt.",
      {"needs mine.Args: this file holds no tensors at byte 1"});
  wrong("(U\1wQcposix\nsystem\n(U\2idtRt.", {"needs posix.system, which the file wants to be called,", "at byte 5", "graft runs nothing"});
  wrong("ccopy_reg\n_reconstructor\n)R.", {"reconstructs no class"});
}

TEST(PickleRefusals, TooMuch) {
  std::string many =
      "]"
      "(";
  many += std::string(4'000'001, 'N');
  wrong(many + "e.", {"more than 4000000 values"});
}

}  // namespace
}  // namespace graft
