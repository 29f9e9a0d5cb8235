// How one program's names and layouts become another's, as data: a .map file has a line per rule, the first that fits a tensor counts.
// Rules work both ways, so that a trained model can be written back with the names and layouts it came with.
//
//   name    keras-resnet8                         what the origin is called; a file may hold several maps, each begins with its name
//   what    ResNet-8 of MLPerf Tiny, by Keras     for people
//   type    bert                                  model_type in a config.json
//   has     conv1.weight [16,*,3,3]               recognised by: all of these (a name, and where given a shape; * is any size), and none of
//   lacks   layer4.**                             these
//   fact    n = count layer1.*.conv1.weight       a number: how many tensors there are of a kind, or
//   fact    classes = size linear.weight 0        the size of one along an axis
//   recipe  cifar-resnet20 n=3                    the recipe whose network it is, where the facts are these; without facts: always
//   set     data.normalize=[0.1307,0.3081]        what its weights want of the configuration
//   A -> B                                        renamed: * is a part of a name without dots, ** anything; they stand in B in the same
//   order A -> B : permute 3 2 0 1                      axes in another order;  : transpose  is  : permute 1 0 A -> B, C, D : split 0 equal
//   parts along an axis A, B -> C : cat 0                             joined along an axis A -> B : blocks 0 0 2 1 3 along the first axis,
//   as many equal blocks, in another order (gates) A -> B : reshape 24 -1                        other sizes of the same elements A -> B :
//   add 1                                a constant added tie B = A                                     B is A (no tensor of its own in the
//   file) drop A : reason                               of no use, and why
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace graft {

struct MapRule {
  enum class Kind { rename, permute, split, cat, blocks, reshape, add, tie, drop } kind = Kind::rename;
  std::vector<std::string> from, to;  // patterns
  std::vector<std::int64_t> numbers;  // axes, sizes, order of blocks (after the axis)
  double value = 0;
  std::string reason;
  int line = 0;
};

struct ShapePattern {
  std::string name;
  std::optional<std::vector<std::int64_t>> shape;  // -1: any size
};

struct MapFact {
  std::string name, pattern;
  int axis = -1;  // -1: a count
};

struct MapRecipe {
  std::string name;
  std::map<std::string, std::int64_t> facts;
};

struct WeightMap {
  std::string name, what, path;
  std::vector<std::string> types;
  std::vector<ShapePattern> has;
  std::vector<std::string> lacks;
  std::vector<MapFact> facts;
  std::vector<MapRecipe> recipes;
  std::vector<std::string> settings;  // key=value
  std::vector<MapRule> rules;
};

// All maps of a file. Error(usage) naming path and line for what is no rule.
std::vector<WeightMap> parse_maps(std::string_view text, const std::string& path);

// The maps that graft carries (weights/maps/*.map), in the order in which they are asked: by file name, then as they stand.
const std::vector<WeightMap>& carried_maps();

// What `pattern`'s stars stand for in `name`, in order; nothing where it does not fit. A star is the shortest part that fits.
std::optional<std::vector<std::string>> fits(std::string_view pattern, std::string_view name);
// `pattern` with its stars replaced in order.
std::string filled(std::string_view pattern, const std::vector<std::string>& parts);

}  // namespace graft
