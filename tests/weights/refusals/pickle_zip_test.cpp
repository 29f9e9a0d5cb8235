// Refusals 5 and 6: pickles, with those that NumPy's arrays of objects are, and zip archives.
#include <fstream>
#include <functional>

#include "tests/weights/refusals/front_door.h"
#include "weights/formats/zip.h"

namespace graft {
namespace {
namespace fs = std::filesystem;
using front_door::FrontDoor;
using front_door::le;
using front_door::patch;
using front_door::seen;
using test::read_file;
using test::TempFolder;

const std::string kBegin = "\x80\x02";

std::string whole(std::int64_t v) { return "\x8a\x08" + le(static_cast<std::uint64_t>(v), 8); }
std::string tuple(const std::vector<std::int64_t>& v) {
  std::string s = "(";
  for (const std::int64_t n : v) s += whole(n);
  return s + "t";
}
// {"w": a tensor of a storage of so many f32}, as torch.save has it.
struct View {
  std::int64_t elements = 4, offset = 0;
  std::vector<std::int64_t> sizes{2, 2}, strides{2, 1};
};
std::string torch_view(const View& v) {
  return std::string("ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x01") + "0U\x03" + "cpu" +
         whole(v.elements) + "tQ" + whole(v.offset) + tuple(v.sizes) + tuple(v.strides) + "\x89" + "ccollections\nOrderedDict\n)RtR";
}
std::string state(const View& v) { return kBegin + "}U\x01w" + torch_view(v) + "s."; }

using Members = std::vector<std::pair<std::string, std::string>>;
std::string archive(const Members& members, const std::function<void(std::string&)>& change = {}) {
  const TempFolder dir;
  write_atomically(dir / "z", [&](FileSink& sink) {
    ZipWriter w(sink);
    for (const auto& [name, data] : members) w.add(name, data);
    w.finish();
  });
  std::string s = read_file(dir / "z");
  if (change) change(s);
  return s;
}
std::string torch_zip(const View& v, std::size_t storage_bytes) {
  return archive({{"m/data.pkl", state(v)}, {"m/data/0", std::string(storage_bytes, '\0')}, {"m/version", "3\n"}});
}

// ---- 3.5 ----

TEST_F(FrontDoor, PicklesThatWantToRunSomething) {
  is("args.bin", kBegin + "ctransformers.training_args\nTrainingArguments\n)\x81.",
     {"needs transformers.training_args.TrainingArguments: this file holds no tensors at byte 2"});
  is("system", kBegin + "cposix\nsystem\nU\x02id\x85R.", {"needs posix.system", "at byte 2"});
  is("class", kBegin + "}U\x01w" + torch_view({}) + "sU\x01xcmine.trainer\nState\n)\x81s.",
     {"needs mine.trainer.State, which stands among the tensors", "save the state_dict() alone"});
  is("call", kBegin + "}U\x01w" + torch_view({}) + "sU\x01xcbuiltins\neval\nU\x01" + "1\x85Rs.",
     {"needs builtins.eval, which the file wants to be called", "graft runs nothing that a file names"});
  is("registry", kBegin + "\x82\x05.", {"extension registry", "at byte 2"});
}
TEST_F(FrontDoor, PicklesThatAreNone) {
  is("opcode", kBegin + "}\xff.", {"unknown opcode 0xff in the pickle at byte 3"});
  is("memo", kBegin + std::string("h\x07.", 3), {"the memo place 7 was never filled at byte 2"});
  is("stack", kBegin + "}s.", {"SETITEM finds nothing on the stack at byte 3"});
  is("mark", kBegin + "}u.", {"SETITEMS finds no mark at byte 3"});
  is("unfinished", kBegin + "}", {"ends without STOP at byte 3"});
  is("two_values", kBegin + "}}.", {"STOP with 2 values"});
  is("cycle", kBegin + "]q" + std::string("\0h\0a.", 5), {"a value that holds itself at byte 2"});
  is("deep", kBegin + std::string(400, ']') + std::string(399, 'a') + ".", {"values nested deeper than 200"});
  is("marks", kBegin + std::string(1001, '('), {"marks nested deeper than 1000 at byte 1002"});
  is("text", kBegin + "X" + le(1, 4) + "\xff.", {"a string that is not UTF-8", "at byte 2"});
  is("long_text", kBegin + "X\xff\xff\xff\x7f" + "ab.", {"wants 2147483647 bytes more, and there are 3 at byte 2"});
  is("tail", kBegin + "}.more", {"4 bytes after the pickle's end at byte 4"});
  // 64 MB and a byte, of which the disk has none.
  {
    std::ofstream out(dir / "longest", std::ios::binary);
    out << kBegin << "X" << le((64u << 20) + 1, 4);
    out.seekp((64 << 20) + 1, std::ios::cur).write(".", 1);
  }
  front_door::refused(dir.path, {"inspect", (dir / "longest").string()},
                      {(dir / "longest").string() + ": ", {"a string of 67108865 bytes; at most 64 MB are read at byte 2"}});
}
TEST_F(FrontDoor, TensorsThatTheirStoragesDoNotHold) {
  is("missing.pt", archive({{"m/data.pkl", state({})}}), {"the storage \"m/data/0\" is missing"});
  is("bare.pkl", state({}), {"the storage \"0\" is missing: this is the data.pkl of an archive without the archive"});
  is("longer.pt", torch_zip({}, 20), {"a storage longer than declared: 20 bytes in place of 16", "\"m/data/0\""});
  is("shorter.pt", torch_zip({}, 12), {"a storage shorter than declared: 12 bytes in place of 16"});
  is("backwards.pt", torch_zip({4, 3, {2, 2}, {2, -1}}, 16), {"a tensor with the negative stride -1", "\"w\""});
  is("before.pt", torch_zip({4, -1, {2, 2}, {2, 1}}, 16), {"begins 1 elements before its storage"});
  is("past.pt", torch_zip({4, 1, {2, 2}, {2, 1}}, 16), {"a view past its storage: element 4 of 4", "\"w\""});
  is("overflow.pt", torch_zip({4, 0, {2, std::int64_t{1} << 62}, {1, 1}}, 16), {"a tensor whose size overflows"});
  is("far.pt", torch_zip({4, 0, {2, 3}, {std::int64_t{1} << 62, std::int64_t{1} << 62}}, 16), {"a tensor whose strides overflow"});
  is("ranks.pt", torch_zip({4, 0, {2, 2}, {1}}, 16), {"2 sizes and 1 strides"});
  is("negative.pt", torch_zip({4, 0, {-2, 2}, {2, 1}}, 16), {"a tensor with the size -2"});
  is("expanded.pt", torch_zip({1, 0, {1000, 1000}, {0, 0}}, 4),
     {"4000000 bytes, more than four times the file", "save clones of what is meant"});
  is("sizes.pkl",
     archive({{"m/data.pkl", kBegin + "(" + torch_view({}) + torch_view({3, 0, {3}, {1}}) + "t."}, {"m/data/0", std::string(16, '\0')}}),
     {"is said to be 16 and 12 bytes long"});
}

// ---- 3.5 as NumPy has it, and 3.10 ----

TEST_F(FrontDoor, ArraysOfObjects) {
  golden("numpy/bad_objects_call.npy", {"needs posix.system, which the file wants to be called", "graft runs nothing that a file names"});
  golden("numpy/bad_objects_class.npy", {"needs numpy.random.mtrand.RandomState, which stands among the tensors"});
  golden("numpy/bad_objects.npy", {"the closed pickle reader finds no array of numbers among them at byte 128"});
  const std::string good = golden_bytes("numpy/good_objects_rows.npy");
  is("cut.npy", good.substr(0, good.size() - 1), {"a frame of 382 bytes, and there are 381 at byte 130"});
  is("tail.npy", good + "x", {"1 bytes after the end of the pickle"});
  std::string other = good;
  const std::size_t shape = other.find("(3,)");
  ASSERT_NE(shape, std::string::npos);
  other[shape + 1] = '2';
  is("shape.npy", other, {"is [2] by its header, and by its pickle [3] of 3"});
  is("no_array.npy", good.substr(0, 128) + kBegin + "}.", {"an array of objects whose pickle is none at byte 130"});
  is("inside.npz", archive({{"w.npy", golden_bytes("numpy/good_version_1.npy")}, {"x.npy", golden_bytes("numpy/bad_objects_call.npy")}}),
     {"needs posix.system", "(x.npy)"});
  is("twice.npz",
     archive(
         {{"params.npy", golden_bytes("numpy/good_objects_dict.npy")}, {"params.conv.bias.npy", golden_bytes("numpy/good_version_1.npy")}}),
     {"a second array of one name", "\"params.conv.bias\""});
}

// ---- 3.6 ----

TEST_F(FrontDoor, Zips) {
  const auto central = [](const std::string& s, int i) {
    std::size_t at = s.find("PK\1\2");
    for (; i > 0; --i) at = s.find("PK\1\2", at + 4);
    return at;
  };
  const auto local = [](const std::string& s, int i) {
    std::size_t at = s.find("PK\3\4");
    for (; i > 0; --i) at = s.find("PK\3\4", at + 4);
    return at;
  };
  const auto end = [](const std::string& s) { return s.rfind("PK\5\6"); };
  const std::string array = golden_bytes("numpy/good_version_1.npy");
  const auto two = [&](const std::function<void(std::string&)>& change) { return archive({{"a.npy", array}, {"b.npy", array}}, change); };
  is("encrypted", two([&](std::string& s) { patch(s, central(s, 0) + 8, 0x0801, 2); }),
     {"the member is encrypted at byte ", "\"a.npy\"", "unpack it with its password"});
  is("encrypted2", two([&](std::string& s) { patch(s, local(s, 0) + 6, 0x0801, 2); }), {"the member is encrypted at byte 6"});
  is("disks", two([&](std::string& s) { patch(s, end(s) + 4, 1, 2); }), {"a zip in several parts", "end record"});
  is("disk", two([&](std::string& s) { patch(s, central(s, 1) + 34, 1, 2); }), {"the member lies in another part of the zip", "\"b.npy\""});
  is("names", two([&](std::string& s) { s[local(s, 0) + 30] = 'c'; }), {"the member calls itself \"c.npy\"", "\"a.npy\"", "at byte 30"});
  is("twice", two([&](std::string& s) { s[local(s, 1) + 30] = s[central(s, 1) + 46] = 'a'; }), {"the member is there twice", "\"a.npy\""});
  is("overlap", two([&](std::string& s) { s[central(s, 0) + 46] = 'b', patch(s, central(s, 0) + 42, local(s, 1), 4); }),
     {"lie over one another"});
  is("into_the_next", two([&](std::string& s) {
       const std::size_t n = array.size() + 64;
       for (const std::size_t at : {central(s, 0) + 20, central(s, 0) + 24, local(s, 0) + 18, local(s, 0) + 22}) patch(s, at, n, 4);
     }),
     {"the members \"a.npy\" and \"b.npy\" lie over one another"});
  is("absolute", two([&](std::string& s) { s[local(s, 0) + 30] = s[central(s, 0) + 46] = '/'; }),
     {"the name of a member is an absolute path", "\"/.npy\""});
  is("leaves", two([&](std::string& s) { s.replace(local(s, 0) + 30, 3, "../"), s.replace(central(s, 0) + 46, 3, "../"); }),
     {"the name of a member leaves its folder", "\"../py\""});
  is("method", two([&](std::string& s) { patch(s, central(s, 0) + 10, 12, 2), patch(s, local(s, 0) + 8, 12, 2); }),
     {"is packed by method 12, and 0 (stored) and 8 (deflated) are known"});
  is("method2", two([&](std::string& s) { patch(s, local(s, 0) + 8, 8, 2); }), {"another method than the central directory"});
  is("cut", two([](std::string& s) { s.resize(s.size() - 1); }), {"without its end record", "the download was cut off"});
  is("head", two([](std::string& s) { s.insert(0, "PK\3\4"); }), {"something was put before or into the archive"});
  is("nothing_known", archive({{"readme.txt", "hello"}}), {"a zip archive at byte 0 that holds no weights graft knows"});
  // The CRC of what has to be read for the list is checked in any case, that of an array where it is read.
  is("sum.pt",
     archive({{"m/data.pkl", state({})}, {"m/data/0", std::string(16, '\1')}}, [](std::string& s) { s[s.find("OrderedDict")] = 'o'; }),
     {"the CRC of the member's bytes is not the one", "\"m/data.pkl\""});
  const std::string damaged = two([&](std::string& s) { s[s.rfind("\x93NUMPY") + array.size() - 1] ^= 1; });
  std::ofstream(dir / "sum.npz", std::ios::binary) << damaged;
  EXPECT_EQ(seen({"inspect", (dir / "sum.npz").string()}).code, 0) << "the list is whole";
  const std::string file = (dir / "sum.npz").string();
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"inspect", file, "--values"}, {"inspect", file, "--values", "--json"}})
    front_door::refused(dir.path, arguments, {file + ": ", {"the CRC of the member's bytes is not the one", "\"b.npy\""}});
}

}  // namespace
}  // namespace graft
