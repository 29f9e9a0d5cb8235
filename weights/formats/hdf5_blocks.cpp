#include "weights/formats/hdf5_blocks.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace graft {
namespace {

// Bob Jenkins' lookup3 (public domain), which HDF5 uses for its metadata: hashlittle() with the initial value 0.
std::uint32_t lookup3(std::span<const std::byte> data) {
  std::uint32_t a = 0xdeadbeefu + static_cast<std::uint32_t>(data.size()), b = a, c = a;
  const auto word = [&](std::size_t at) {
    std::uint32_t v = 0;
    for (std::size_t i = 0; i < 4 && at + i < data.size(); ++i) v |= std::to_integer<std::uint32_t>(data[at + i]) << (8 * i);
    return v;
  };
  std::size_t at = 0;
  for (; data.size() - at > 12; at += 12) {
    a += word(at), b += word(at + 4), c += word(at + 8);
    a -= c, a ^= std::rotl(c, 4), c += b;
    b -= a, b ^= std::rotl(a, 6), a += c;
    c -= b, c ^= std::rotl(b, 8), b += a;
    a -= c, a ^= std::rotl(c, 16), c += b;
    b -= a, b ^= std::rotl(a, 19), a += c;
    c -= b, c ^= std::rotl(b, 4), b += a;
  }
  if (at == data.size()) return c;
  a += word(at), b += word(at + 4), c += word(at + 8);
  c ^= b, c -= std::rotl(b, 14);
  a ^= c, a -= std::rotl(c, 11);
  b ^= a, b -= std::rotl(a, 25);
  c ^= b, c -= std::rotl(b, 16);
  a ^= c, a -= std::rotl(c, 4);
  b ^= a, b -= std::rotl(a, 14);
  c ^= b, c -= std::rotl(b, 24);
  return c;
}

int bytes_for(std::uint64_t most) { return (std::bit_width(most) - 1) / 8 + 1; }  // that hold numbers up to `most` > 0, as HDF5 counts them

constexpr int kDeepest = 32;  // of trees

}  // namespace

// A fractal heap: blocks whose sizes double row by row, in a table or (small ones) a single block.
struct Hdf5Blocks::Heap {
  std::uint64_t at, root, first,
      largest;            // address of the header and of the root block; sizes of the smallest and the largest direct block
  int width, bits, rows;  // of the doubling table; of an offset; of the root indirect block, 0: the root is a direct block
  std::uint64_t longest;  // of a managed object
  std::uint64_t row_size(int row) const { return row < 2 ? first : first << (row - 1); }
};

void Hdf5Blocks::spend(std::uint64_t at) {
  if (budget_-- == 0) w_.refuse(at, "groups and trees that refer to each other without end");
}

void Hdf5Blocks::check_sum(std::uint64_t at, std::uint64_t size, const char* what) {
  const std::uint32_t have = lookup3(w_.bytes(at, size, what)), want = w_.u32(at + size, what);
  if (have != want) w_.refuse(at, std::string(what) + " does not agree with its checksum");
}

Hdf5Blocks::Hdf5Blocks(const ByteWindow& window) : w_(window), budget_(1024 + window.size() / 4) {
  const int version = w_.u8(8, "the superblock");
  const bool old = version < 2;
  if (version > 3)
    w_.refuse(8, "a superblock of version " + std::to_string(version),
              "graft reads 0 to 3: save it with h5py's default libver, or get it again");
  const int offsets = w_.u8(old ? 13 : 9, "the superblock"), lengths = w_.u8(old ? 14 : 10, "the superblock");
  if (offsets != 8 || lengths != 8)
    w_.refuse(old ? 13 : 9, "addresses of " + std::to_string(offsets) + " and lengths of " + std::to_string(lengths) + " bytes",
              "graft reads 8 and 8: save it with h5py, or get it again");
  std::uint64_t base = 0;
  if (old) {
    const std::uint64_t at = version == 0 ? 24 : 28;
    base = w_.u64(at, "the superblock");
    end_ = w_.u64(at + 16, "the superblock");
    root_ = w_.u64(at + 40, "the superblock");
  } else {
    check_sum(0, 44, "the superblock");
    base = w_.u64(12, "the superblock");
    end_ = w_.u64(28, "the superblock");
    root_ = w_.u64(36, "the superblock");
  }
  if (base != 0)
    w_.refuse(old ? 24 : 12, "a base address of " + std::to_string(base),
              "graft reads files without a user block: repack it (h5repack), or get it again");
  if (end_ > w_.size()) {
    const double percent = end_ ? 100.0 * static_cast<double>(w_.size()) / static_cast<double>(end_) : 0;
    w_.refuse(w_.size(),
              "the file is cut: " + std::to_string(w_.size()) + " of " + std::to_string(end_) + " bytes are there (" +
                  std::to_string(static_cast<int>(percent)) + " %)",
              "get it again");
  }
}

std::vector<Hdf5Message> Hdf5Blocks::messages(std::uint64_t object) {
  std::vector<Hdf5Message> out;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> blocks;  // where messages are
  const bool second = w_.text(object, 4, "an object header") == "OHDR";
  std::uint64_t head = 0;  // of a message
  bool ordered = false;    // version 2: messages have their creation order
  std::uint64_t most = 0;  // version 1: how many there are
  if (second) {
    if (w_.u8(object + 4, "an object header") != 2) w_.refuse(object + 4, "an object header of an unknown version");
    const unsigned flags = w_.u8(object + 5, "an object header");
    std::uint64_t at = object + 6 + (flags & 0x20u ? 16 : 0) + (flags & 0x10u ? 4 : 0);
    const int width = 1 << (flags & 3u);
    const std::uint64_t size = w_.number(at, width, "an object header");
    at += static_cast<std::uint64_t>(width);
    w_.bytes(at, size, "an object header");
    check_sum(object, at + size - object, "an object header");
    blocks.emplace_back(at, size);
    ordered = (flags & 4u) != 0;
    head = ordered ? 6 : 4;
  } else {
    if (w_.u8(object, "an object header") != 1) w_.refuse(object, "no object header where one should be");
    most = w_.u16(object + 2, "an object header");
    blocks.emplace_back(object + 16, w_.u32(object + 8, "an object header"));
    head = 8;
  }
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    const auto [begin, size] = blocks[b];
    w_.bytes(begin, size, "messages of an object header");
    for (std::uint64_t at = begin; at - begin + head <= size && (second || out.size() < most);) {
      spend(at);
      Hdf5Message m{};
      std::uint64_t length = 0;
      if (second) {
        m.type = w_.u8(at, "a message");
        length = w_.u16(at + 1, "a message");
        m.flags = w_.u8(at + 3, "a message");
      } else {
        m.type = w_.u16(at, "a message");
        length = w_.u16(at + 2, "a message");
        m.flags = w_.u8(at + 4, "a message");
      }
      m.at = at + head;
      m.size = length;
      if (length > size - (m.at - begin)) w_.refuse(at, "a message of " + std::to_string(length) + " bytes that leaves its object header");
      at = m.at + length;
      out.push_back(m);
      if (m.type != 0x10) continue;
      if (m.size < 16) w_.refuse(m.at, "a continuation of an object header without its place");
      const std::uint64_t to = w_.u64(m.at, "a continuation"), n = w_.u64(m.at + 8, "a continuation");
      w_.bytes(to, n, "a continued object header");
      if (blocks.size() > 1024) w_.refuse(m.at, "an object header in more than 1024 pieces");
      if (!second) {
        blocks.emplace_back(to, n);
        continue;
      }
      if (n < 8 || w_.text(to, 4, "a continued object header") != "OCHK") w_.refuse(to, "no continued object header where one should be");
      check_sum(to, n - 4, "a continued object header");
      blocks.emplace_back(to + 4, n - 8);
    }
  }
  if (!second && out.size() < most)
    w_.refuse(object, "an object header with " + std::to_string(out.size()) + " of its " + std::to_string(most) + " messages");
  return out;
}

void Hdf5Blocks::symbol_table(std::uint64_t node, int level, std::uint64_t names, std::uint64_t names_size, std::vector<Hdf5Link>& out) {
  spend(node);
  if (level < 0) {
    if (w_.text(node, 4, "a group's node") != "SNOD" || w_.u8(node + 4, "a group's node") != 1)
      w_.refuse(node, "no group's node where one should be");
    const int n = w_.u16(node + 6, "a group's node");
    for (int i = 0; i < n; ++i) {
      const std::uint64_t at = node + 8 + 40 * static_cast<std::uint64_t>(i);
      spend(at);
      const std::uint64_t name = w_.u64(at, "a group's entry"), object = w_.u64(at + 8, "a group's entry");
      const std::uint32_t cache = w_.u32(at + 16, "a group's entry");
      if (name >= names_size) w_.refuse(at, "a name outside of its group's heap");
      const std::string_view rest = w_.text(names + name, names_size - name, "a name");
      const auto zero = rest.find('\0');
      if (zero == std::string_view::npos) w_.refuse(names + name, "a name without an end");
      out.push_back({std::string(rest.substr(0, zero)), cache == 2 ? kHdf5Nowhere : object});
    }
    return;
  }
  if (w_.text(node, 4, "a group's tree") != "TREE" || w_.u8(node + 4, "a group's tree") != 0 || w_.u8(node + 5, "a group's tree") != level)
    w_.refuse(node, "no node of a group's tree where one should be");
  const int n = w_.u16(node + 6, "a group's tree");
  for (int i = 0; i < n; ++i)
    symbol_table(w_.u64(node + 32 + 16 * static_cast<std::uint64_t>(i), "a group's tree"), level - 1, names, names_size, out);
}

Hdf5Link Hdf5Blocks::link(std::uint64_t at, std::uint64_t size) {
  const ByteWindow m(w_.bytes(at, size, "a link"), w_.path(), w_.offset_in_file(at));
  if (m.u8(0, "a link") != 1) m.refuse(0, "a link of an unknown version");
  const unsigned flags = m.u8(1, "a link");
  std::uint64_t p = 2;
  const int kind = flags & 8u ? m.u8(p++, "a link") : 0;
  if (flags & 4u) p += 8;
  if (flags & 16u) p += 1;
  const int width = 1 << (flags & 3u);
  const std::uint64_t length = m.number(p, width, "a link");
  p += static_cast<std::uint64_t>(width);
  Hdf5Link out{std::string(m.text(p, length, "a link's name")), kHdf5Nowhere};
  if (kind == 0) out.object = m.u64(p + length, "a link");
  return out;
}

Hdf5Blocks::Heap Hdf5Blocks::heap(std::uint64_t at) {
  if (w_.text(at, 4, "a fractal heap") != "FRHP" || w_.u8(at + 4, "a fractal heap") != 0)
    w_.refuse(at, "no fractal heap where one should be");
  check_sum(at, 142, "a fractal heap");
  if (w_.u16(at + 7, "a fractal heap") != 0)
    w_.refuse(at + 7, "a fractal heap with filters", "graft reads unfiltered groups: save it with h5py's defaults");
  Heap h{};
  h.at = at;
  h.width = w_.u16(at + 110, "a fractal heap");
  h.first = w_.u64(at + 112, "a fractal heap");
  h.largest = w_.u64(at + 120, "a fractal heap");
  h.bits = w_.u16(at + 128, "a fractal heap");
  h.root = w_.u64(at + 132, "a fractal heap");
  h.rows = w_.u16(at + 140, "a fractal heap");
  h.longest = w_.u32(at + 10, "a fractal heap");
  const auto odd = [](std::uint64_t v) { return !std::has_single_bit(v) || v > (std::uint64_t{1} << 40); };
  if (h.width < 1 || h.width > 1024 || odd(static_cast<std::uint64_t>(h.width)) || odd(h.first) || odd(h.largest) || h.largest < h.first ||
      h.bits < 1 || h.bits > 48 || h.rows > 40)
    w_.refuse(at + 110, "a fractal heap of impossible sizes");
  return h;
}

Hdf5Message Hdf5Blocks::managed(const Heap& heap, std::uint64_t offset, std::uint64_t size, std::uint64_t id_at) {
  const auto offset_bytes = static_cast<std::uint64_t>((heap.bits + 7) / 8);
  const int direct_rows = std::countr_zero(heap.largest) - std::countr_zero(heap.first) + 2;
  std::uint64_t block = heap.root, begin = 0, block_size = heap.first;
  int rows = heap.rows;
  if (rows == 0 && heap.root == kHdf5Nowhere) w_.refuse(id_at, "an object of an empty heap");
  // Down the indirect blocks to the direct one that has the offset.
  for (int depth = 0; rows > 0; ++depth) {
    spend(block);
    if (depth > kDeepest || w_.text(block, 4, "a heap's block") != "FHIB" || w_.u64(block + 5, "a heap's block") != heap.at)
      w_.refuse(block, "no block of a heap where one should be");
    const int direct = std::min(rows, direct_rows), indirect = rows - direct;
    check_sum(block, 13 + offset_bytes + 8 * static_cast<std::uint64_t>(heap.width) * static_cast<std::uint64_t>(direct + indirect),
              "a heap's block");
    std::uint64_t row_begin = begin;
    int row = 0;
    for (; row < rows; ++row) {
      const std::uint64_t all = heap.row_size(row) * static_cast<std::uint64_t>(heap.width);
      if (offset - row_begin < all) break;
      row_begin += all;
    }
    if (row == rows) w_.refuse(id_at, "an object outside of its heap");
    const std::uint64_t column = (offset - row_begin) / heap.row_size(row);
    begin = row_begin + column * heap.row_size(row);
    block_size = heap.row_size(row);
    const std::uint64_t entry = static_cast<std::uint64_t>(row) * static_cast<std::uint64_t>(heap.width) + column;
    block = w_.u64(block + 13 + offset_bytes + 8 * entry, "a heap's block");
    if (block == kHdf5Nowhere) w_.refuse(id_at, "an object in a part of its heap that is not there");
    rows = row < direct_rows ? 0 : std::countr_zero(block_size) - std::countr_zero(heap.first * static_cast<std::uint64_t>(heap.width)) + 1;
    if (rows < 0 || rows > 40) w_.refuse(block, "a fractal heap of impossible sizes");
  }
  if (w_.text(block, 4, "a heap's block") != "FHDB" || w_.u64(block + 5, "a heap's block") != heap.at)
    w_.refuse(block, "no block of a heap where one should be");
  const std::uint64_t in = offset - begin;
  if (in > block_size || size > block_size - in || in < 13 + offset_bytes) w_.refuse(id_at, "an object outside of its heap's block");
  w_.bytes(block + in, size, "an object of a heap");
  return {0, 0, block + in, size};
}

std::vector<Hdf5Message> Hdf5Blocks::heap_objects(const Heap& heap, std::uint64_t tree, int type, std::uint64_t id_at,
                                                  std::uint64_t id_size) {
  if (w_.text(tree, 4, "a tree") != "BTHD" || w_.u8(tree + 4, "a tree") != 0 || w_.u8(tree + 5, "a tree") != type)
    w_.refuse(tree, "no tree where one should be");
  check_sum(tree, 34, "a tree");
  const std::uint64_t node_size = w_.u32(tree + 6, "a tree"), record = w_.u16(tree + 10, "a tree"), total = w_.u64(tree + 26, "a tree");
  const int depth = w_.u16(tree + 12, "a tree");
  const auto offset_bytes = static_cast<std::uint64_t>((heap.bits + 7) / 8);
  const int length_bytes = std::min((std::countr_zero(heap.largest) + 7) / 8, bytes_for(std::max<std::uint64_t>(1, heap.longest)));
  if (record < id_at + id_size || node_size < 16 + record || node_size > w_.size() || depth > kDeepest ||
      id_size < 1 + offset_bytes + static_cast<std::uint64_t>(length_bytes))
    w_.refuse(tree + 6, "a tree of impossible sizes");

  // Of a pointer to a node: an address, how many records it has, and, above the leaves' parents, how many are below it.
  const std::uint64_t in_leaf = (node_size - 10) / record;
  const int count_bytes = bytes_for(in_leaf);
  std::vector<std::uint64_t> below{in_leaf};
  std::vector<int> below_bytes{0};
  for (int level = 1; level <= depth; ++level) {
    const auto pointer = static_cast<std::uint64_t>(8 + count_bytes + below_bytes.back());
    if (node_size < 10 + pointer + record + pointer) w_.refuse(tree + 6, "a tree of impossible sizes");
    const std::uint64_t most = (node_size - 10 - pointer) / (record + pointer);
    if (below.back() > (kHdf5Nowhere >> 8) / (most + 1)) w_.refuse(tree + 12, "a tree of impossible depth");
    below.push_back((most + 1) * below.back() + most);
    below_bytes.push_back(bytes_for(below.back()));
  }

  std::vector<Hdf5Message> out;
  const auto take = [&](std::uint64_t at) {
    spend(at);
    const std::uint64_t id = at + id_at;
    if (w_.u8(id, "a record") >> 4 != 0)
      w_.refuse(id, "an object that lies outside of its heap's blocks (a huge or a tiny one)",
                "graft reads groups of common names and attributes: save it with h5py's defaults");
    const std::uint64_t offset = w_.number(id + 1, static_cast<int>(offset_bytes), "a record");
    out.push_back(managed(heap, offset, w_.number(id + 1 + offset_bytes, length_bytes, "a record"), id));
  };
  const auto visit = [&](const auto& self, std::uint64_t node, std::uint64_t records, int level) -> void {
    spend(node);
    if (w_.text(node, 4, "a tree's node") != (level ? "BTIN" : "BTLF") || w_.u8(node + 5, "a tree's node") != type)
      w_.refuse(node, "no node of a tree where one should be");
    const auto pointer = static_cast<std::uint64_t>(level ? 8 + count_bytes + below_bytes[static_cast<std::size_t>(level - 1)] : 0);
    const std::uint64_t room = node_size - 10;
    if (records > room / record || records * record + (level ? (records + 1) * pointer : 0) > room)
      w_.refuse(node, "a tree's node with more records than it has room for");
    const std::uint64_t pointers = node + 6 + records * record;
    check_sum(node, pointers - node + (level ? (records + 1) * pointer : 0), "a tree's node");
    for (std::uint64_t i = 0; i <= records; ++i) {
      if (level) {
        const std::uint64_t p = pointers + i * pointer;
        self(self, w_.u64(p, "a tree's node"), w_.number(p + 8, count_bytes, "a tree's node"), level - 1);
      }
      if (i < records) take(node + 6 + i * record);
    }
  };
  if (total > 0) visit(visit, w_.u64(tree + 16, "a tree"), w_.u16(tree + 24, "a tree"), depth);
  if (out.size() != total)
    w_.refuse(tree + 26, "a tree with " + std::to_string(out.size()) + " of its " + std::to_string(total) + " records");
  return out;
}

std::vector<Hdf5Link> Hdf5Blocks::links(const std::vector<Hdf5Message>& messages) {
  std::vector<Hdf5Link> out;
  for (const Hdf5Message& m : messages) {
    if (m.type == 0x11) {
      if (m.size < 16) w_.refuse(m.at, "a symbol table without its places");
      const std::uint64_t tree = w_.u64(m.at, "a symbol table"), heap = w_.u64(m.at + 8, "a symbol table");
      if (w_.text(heap, 4, "a group's heap") != "HEAP" || w_.u8(heap + 4, "a group's heap") != 0)
        w_.refuse(heap, "no group's heap where one should be");
      const std::uint64_t size = w_.u64(heap + 8, "a group's heap"), names = w_.u64(heap + 24, "a group's heap");
      w_.bytes(names, size, "a group's heap");
      const int level = w_.u8(tree + 5, "a group's tree");
      if (level > kDeepest) w_.refuse(tree, "a group's tree of " + std::to_string(level) + " levels");
      symbol_table(tree, level, names, size, out);
    } else if (m.type == 0x06) {
      out.push_back(link(m.at, m.size));
    } else if (m.type == 0x02) {
      const ByteWindow body(w_.bytes(m.at, m.size, "a group's link info"), w_.path(), w_.offset_in_file(m.at));
      const std::uint64_t at = 2 + (body.u8(1, "a group's link info") & 1u ? 8 : 0), heap_at = body.u64(at, "a group's link info");
      if (heap_at == kHdf5Nowhere) continue;
      for (const Hdf5Message& o : heap_objects(heap(heap_at), body.u64(at + 8, "a group's link info"), 5, 4, 7))
        out.push_back(link(o.at, o.size));
    }
  }
  return out;
}

std::vector<Hdf5Message> Hdf5Blocks::attributes(const std::vector<Hdf5Message>& messages) {
  std::vector<Hdf5Message> out;
  for (const Hdf5Message& m : messages) {
    if (m.type == 0x0C) out.push_back(m);
    if (m.type != 0x15) continue;
    const ByteWindow body(w_.bytes(m.at, m.size, "an attribute info"), w_.path(), w_.offset_in_file(m.at));
    const std::uint64_t at = 2 + (body.u8(1, "an attribute info") & 1u ? 2 : 0), heap_at = body.u64(at, "an attribute info");
    if (heap_at == kHdf5Nowhere) continue;
    for (Hdf5Message o : heap_objects(heap(heap_at), body.u64(at + 8, "an attribute info"), 8, 0, 8)) {
      o.type = 0x0C;
      out.push_back(o);
    }
  }
  return out;
}

std::string_view Hdf5Blocks::global_object(std::uint64_t address, std::uint32_t index) {
  const auto [heap, unread] = heaps_.try_emplace(address);
  if (unread) {
    if (w_.text(address, 4, "a global heap") != "GCOL" || w_.u8(address + 4, "a global heap") != 1)
      w_.refuse(address, "no global heap where one should be");
    const std::uint64_t size = w_.u64(address + 8, "a global heap");
    w_.bytes(address, size, "a global heap");
    for (std::uint64_t at = 16; at + 16 <= size;) {
      spend(address + at);
      const std::uint32_t i = w_.u16(address + at, "a global heap");
      const std::uint64_t n = w_.u64(address + at + 8, "a global heap");
      if (i == 0) break;  // what is free
      if (n > size - at - 16) w_.refuse(address + at, "an object that leaves its global heap");
      heap->second.emplace(i, w_.text(address + at + 16, n, "an object of a global heap"));
      at += 16 + (n + 7) / 8 * 8;
    }
  }
  const auto object = heap->second.find(index);
  if (object == heap->second.end())
    w_.refuse(address, "a global heap without the object " + std::to_string(index) + " that is referred to");
  return object->second;
}

}  // namespace graft
