// 10,000 random expressions over the tensor functions, compared with NumPy's answers. tests/golden/expressions/make_expressions.py wrote
// them and explains the line format and where each tolerance comes from. Here: a reader of that one-line language, and the comparison.
#include <gtest/gtest.h>

#include <charconv>
#include <cmath>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <variant>

#include "engine/autograd/tape.h"
#include "engine/ops/ops.h"

namespace graft {
namespace {

struct Number {
  double value;
  bool integer;
};
struct None {};
struct Value;
using List = std::vector<Value>;
struct Value : std::variant<Tensor, Number, None, bool, std::string, List> {
  using variant::variant;
  const Tensor& tensor() const { return std::get<Tensor>(*this); }
  Scalar scalar() const {
    const Number n = std::get<Number>(*this);
    return n.integer ? Scalar(static_cast<std::int64_t>(n.value)) : Scalar(n.value);
  }
  double number() const { return std::get<Number>(*this).value; }
  std::int64_t integer() const { return static_cast<std::int64_t>(number()); }
  int axis() const { return static_cast<int>(number()); }
  bool flag() const { return std::get<bool>(*this); }
  bool is_tensor() const { return std::holds_alternative<Tensor>(*this); }
  std::int64_t integer_or(std::int64_t other) const { return std::holds_alternative<None>(*this) ? other : integer(); }
  std::vector<int> axes() const {
    std::vector<int> a;
    for (const Value& v : std::get<List>(*this)) a.push_back(v.axis());
    return a;
  }
  Shape shape() const {
    Shape s;
    for (const Value& v : std::get<List>(*this)) s.push_back(v.integer());
    return s;
  }
  Tensors tensors() const {
    Tensors t;
    for (const Value& v : std::get<List>(*this)) t.push_back(v.tensor());
    return t;
  }
};

DType dtype_named(const std::string& s) {
  for (DType d : {DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64, DType::i32, DType::u8, DType::b8})
    if (s == name_of(d)) return d;
  throw Error(Code::usage, "no dtype " + s);
}

using Args = std::vector<Value>;
using Function = std::function<Tensor(const Args&)>;

const std::map<std::string, Function>& functions() {
  using A = const Args&;
#define GRAFT_ONE(f)                         \
  {                                          \
#f, [](A a) { return f(a[0].tensor()); } \
  }
#define GRAFT_TWO(f)                                        \
  {                                                         \
#f, [](A a) { return f(a[0].tensor(), a[1].tensor()); } \
  }
#define GRAFT_WITH_SCALAR(f)                                                                                     \
  {                                                                                                              \
#f, [](A a) { return a[1].is_tensor() ? f(a[0].tensor(), a[1].tensor()) : f(a[0].tensor(), a[1].scalar()); } \
  }
#define GRAFT_REDUCE(f)                                                \
  {                                                                    \
#f, [](A a) { return f(a[0].tensor(), a[1].axes(), a[2].flag()); } \
  }
  static const std::map<std::string, Function> table = {
      GRAFT_ONE(neg),
      GRAFT_ONE(abs),
      GRAFT_ONE(sign),
      GRAFT_ONE(square),
      GRAFT_ONE(sqrt),
      GRAFT_ONE(rsqrt),
      GRAFT_ONE(reciprocal),
      GRAFT_ONE(exp),
      GRAFT_ONE(expm1),
      GRAFT_ONE(log),
      GRAFT_ONE(log1p),
      GRAFT_ONE(sin),
      GRAFT_ONE(cos),
      GRAFT_ONE(tanh),
      GRAFT_ONE(sigmoid),
      GRAFT_ONE(floor),
      GRAFT_ONE(ceil),
      GRAFT_ONE(round),
      GRAFT_ONE(relu),
      GRAFT_ONE(silu),
      GRAFT_ONE(softplus),
      GRAFT_ONE(hardswish),
      GRAFT_ONE(mish),
      GRAFT_ONE(elu),
      GRAFT_ONE(logical_not),
      GRAFT_ONE(contiguous),
      GRAFT_ONE(clone),
      GRAFT_ONE(norm),
      GRAFT_TWO(maximum),
      GRAFT_TWO(minimum),
      GRAFT_TWO(floor_div),
      GRAFT_TWO(eq),
      GRAFT_TWO(ne),
      GRAFT_TWO(lt),
      GRAFT_TWO(le),
      GRAFT_TWO(gt),
      GRAFT_TWO(ge),
      GRAFT_TWO(logical_and),
      GRAFT_TWO(logical_or),
      GRAFT_TWO(logical_xor),
      GRAFT_TWO(matmul),
      GRAFT_TWO(embedding),
      GRAFT_WITH_SCALAR(add),
      GRAFT_WITH_SCALAR(mul),
      GRAFT_WITH_SCALAR(div),
      GRAFT_WITH_SCALAR(pow),
      GRAFT_REDUCE(sum),
      GRAFT_REDUCE(mean),
      GRAFT_REDUCE(prod),
      GRAFT_REDUCE(amax),
      GRAFT_REDUCE(amin),
      GRAFT_REDUCE(any_true),
      GRAFT_REDUCE(all_true),
      GRAFT_REDUCE(logsumexp),
      {"sub",
       [](A a) {
         if (!a[0].is_tensor()) return sub(a[0].scalar(), a[1].tensor());
         return a[1].is_tensor() ? sub(a[0].tensor(), a[1].tensor()) : sub(a[0].tensor(), a[1].scalar());
       }},
      {"mod",
       [](A a) {  // beside a number: an index folded into range
         return mod(a[0].tensor(), a[1].is_tensor() ? a[1].tensor() : Tensor::scalar(a[1].number(), a[0].tensor().dtype()));
       }},
      {"arange", [](A a) { return Tensor::arange(0, a[0].number()); }},
      {"leaky_relu", [](A a) { return leaky_relu(a[0].tensor(), a[1].number()); }},
      {"clamp", [](A a) { return clamp(a[0].tensor(), a[1].number(), a[2].number()); }},
      {"cast", [](A a) { return cast(a[0].tensor(), dtype_named(std::get<std::string>(a[1]))); }},
      {"where", [](A a) { return where(a[0].tensor(), a[1].tensor(), a[2].tensor()); }},
      {"masked_fill", [](A a) { return masked_fill(a[0].tensor(), a[1].tensor(), a[2].number()); }},
      {"masked_select", [](A a) { return masked_select(a[0].tensor(), a[1].tensor()); }},
      {"reshape", [](A a) { return reshape(a[0].tensor(), a[1].shape()); }},
      {"expand", [](A a) { return expand(a[0].tensor(), a[1].shape()); }},
      {"permute", [](A a) { return permute(a[0].tensor(), a[1].axes()); }},
      {"transpose", [](A a) { return transpose(a[0].tensor(), a[1].axis(), a[2].axis()); }},
      {"squeeze", [](A a) { return squeeze(a[0].tensor(), a[1].axis()); }},
      {"unsqueeze", [](A a) { return unsqueeze(a[0].tensor(), a[1].axis()); }},
      {"flatten", [](A a) { return flatten(a[0].tensor(), a[1].axis(), a[2].axis()); }},
      {"slice",
       [](A a) {
         const std::int64_t step = a[4].integer();
         return slice(a[0].tensor(), a[1].axis(), a[2].integer_or(step > 0 ? 0 : kEnd), a[3].integer_or(step > 0 ? kEnd : INT64_MIN), step);
       }},
      {"select", [](A a) { return select(a[0].tensor(), a[1].axis(), a[2].integer()); }},
      {"flip", [](A a) { return flip(a[0].tensor(), a[1].axes()); }},
      {"diagonal", [](A a) { return diagonal(a[0].tensor(), a[1].axis(), a[2].axis()); }},
      {"pad",
       [](A a) {
         std::vector<std::pair<std::int64_t, std::int64_t>> amounts;
         for (const Value& v : std::get<List>(a[1])) amounts.emplace_back(v.shape()[0], v.shape()[1]);
         return pad(a[0].tensor(), amounts, a[2].number());
       }},
      {"split", [](A a) { return split(a[0].tensor(), a[1].integer(), a[2].axis()).at(static_cast<std::size_t>(a[3].integer())); }},
      {"cat", [](A a) { return cat(a[0].tensors(), a[1].axis()); }},
      {"stack", [](A a) { return stack(a[0].tensors(), a[1].axis()); }},
      {"var", [](A a) { return var(a[0].tensor(), a[1].axes(), a[2].flag(), a[3].flag()); }},
      {"argmax", [](A a) { return argmax(a[0].tensor(), a[1].axis(), a[2].flag()); }},
      {"argmin", [](A a) { return argmin(a[0].tensor(), a[1].axis(), a[2].flag()); }},
      {"cumsum", [](A a) { return cumsum(a[0].tensor(), a[1].axis()); }},
      {"gather", [](A a) { return gather(a[0].tensor(), a[1].axis(), a[2].tensor()); }},
      {"scatter", [](A a) { return scatter(a[0].tensor(), a[1].axis(), a[2].tensor(), a[3].tensor()); }},
      {"scatter_add", [](A a) { return scatter_add(a[0].tensor(), a[1].axis(), a[2].tensor(), a[3].tensor()); }},
      {"index_select", [](A a) { return index_select(a[0].tensor(), a[1].axis(), a[2].tensor()); }},
      {"one_hot", [](A a) { return one_hot(a[0].tensor(), a[1].integer()); }},
      {"sort_values", [](A a) { return sort(a[0].tensor(), a[1].axis(), a[2].flag()).values; }},
      {"sort_indices", [](A a) { return sort(a[0].tensor(), a[1].axis(), a[2].flag()).indices; }},
      {"topk_values", [](A a) { return topk(a[0].tensor(), a[1].integer(), a[2].axis(), a[3].flag()).values; }},
      {"topk_indices", [](A a) { return topk(a[0].tensor(), a[1].integer(), a[2].axis(), a[3].flag()).indices; }},
      {"linear", [](A a) { return linear(a[0].tensor(), a[1].tensor(), a[2].tensor()); }},
      {"einsum", [](A a) { return einsum(std::get<std::string>(a[0]), a[1].tensors()); }},
      {"softmax", [](A a) { return softmax(a[0].tensor(), a[1].axis()); }},
      {"log_softmax", [](A a) { return log_softmax(a[0].tensor(), a[1].axis()); }},
  };
#undef GRAFT_ONE
#undef GRAFT_TWO
#undef GRAFT_WITH_SCALAR
#undef GRAFT_REDUCE
  return table;
}

// The same numbers as value() in the script.
Tensor input(DType dtype, const Shape& shape, std::uint64_t seed) {
  std::vector<double> v(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < v.size(); ++i) {
    auto x = static_cast<std::uint32_t>(i + seed * 1000003);
    x = (x ^ (x >> 16)) * 0x7FEB352Du;
    x = (x ^ (x >> 15)) * 0x846CA68Bu;
    x ^= x >> 16;
    const auto h = static_cast<int>(x >> 8);
    v[i] = is_float(dtype) ? (h % 129 - 64) / 16.0 : dtype == DType::b8 ? h % 2 : dtype == DType::u8 ? h % 7 : h % 13 - 6;
  }
  return cast(Tensor::from(v, shape), dtype);
}

class Reader {
 public:
  Reader(const std::string& text, const std::map<std::string, Tensor>& inputs, std::set<std::string>& used)
      : s_(text), inputs_(inputs), used_(used) {}
  Tensor all() {
    const Tensor t = value().tensor();
    if (at_ != s_.size()) fail("surplus text");
    return t;
  }

 private:
  [[noreturn]] void fail(const std::string& what) { throw Error(Code::usage, what + " at " + std::to_string(at_) + " of " + s_); }
  bool take(char c) {
    if (at_ >= s_.size() || s_[at_] != c) return false;
    ++at_;
    return true;
  }
  List list(char close) {
    List l;
    if (take(close)) return l;
    do l.push_back(value());
    while (take(','));
    if (!take(close)) fail("no closing bracket");
    return l;
  }
  Value value() {
    if (take('[')) return list(']');
    if (take('\'')) {
      const std::size_t end = s_.find('\'', at_);
      const std::string t = s_.substr(at_, end - at_);
      at_ = end + 1;
      return t;
    }
    const std::size_t begin = at_;
    while (at_ < s_.size() && (std::isalnum(static_cast<unsigned char>(s_[at_])) || s_[at_] == '_' || s_[at_] == '.' || s_[at_] == '-'))
      ++at_;
    const std::string word = s_.substr(begin, at_ - begin);
    if (word.empty()) fail("a word is missing");
    if (!std::isalpha(static_cast<unsigned char>(word[0]))) return Number{std::stod(word), word.find('.') == std::string::npos};
    if (take('(')) {
      const auto f = functions().find(word);
      if (f == functions().end()) fail("no function " + word);
      used_.insert(word);
      return f->second(list(')'));
    }
    if (word == "none") return None{};
    if (word == "true" || word == "false") return word == "true";
    const auto t = inputs_.find(word);
    if (t == inputs_.end()) fail("no input " + word);
    return t->second;
  }

  const std::string& s_;
  const std::map<std::string, Tensor>& inputs_;
  std::set<std::string>& used_;
  std::size_t at_ = 0;
};

// "f32[2,3]" -> dtype and shape; `rest` is what follows the bracket.
std::pair<DType, Shape> typed(const std::string& s, std::string* rest = nullptr) {
  const std::size_t open = s.find('['), close = s.find(']');
  std::istringstream sizes(s.substr(open + 1, close - open - 1));
  Shape shape;
  for (std::string n; std::getline(sizes, n, ',');) shape.push_back(std::stoll(n));
  if (rest) *rest = s.substr(close + 1);
  return {dtype_named(s.substr(0, open)), shape};
}

// Empty when the line holds; else what is wrong.
std::string check(const std::string& line, std::set<std::string>& used) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at != std::string::npos;) {
    const std::size_t bar = line.find(" | ", at);
    parts.push_back(line.substr(at, bar == std::string::npos ? bar : bar - at));
    at = bar == std::string::npos ? bar : bar + 3;
  }
  if (parts.size() != 4) return "the line has " + std::to_string(parts.size()) + " parts, not 4";
  std::map<std::string, Tensor> inputs;
  std::istringstream words(parts[0]);
  for (std::string w; words >> w;) {
    std::string rest;
    const auto [dtype, shape] = typed(w.substr(w.find('=') + 1), &rest);
    inputs[w.substr(0, w.find('='))] = input(dtype, shape, std::stoull(rest.substr(1)));
  }
  Tensor got;
  try {
    got = Reader(parts[1], inputs, used).all();
  } catch (const Error& e) { return std::string("refused: ") + e.what(); }
  std::string rest;
  const auto [dtype, shape] = typed(parts[2], &rest);
  if (got.dtype() != dtype || !(got.shape() == shape))
    return "is " + got.str() + ", NumPy has " + std::string(name_of(dtype)) + shape.str();
  const double tolerance = std::stod(rest);
  const std::vector<double> values = got.values();
  std::istringstream wanted(parts[3]);
  for (std::size_t i = 0; i < values.size(); ++i) {
    double w;
    if (!(wanted >> w)) return "the line has fewer values than its shape says";
    if (!(std::abs(values[i] - w) <= tolerance)) {
      std::ostringstream s;
      s.precision(17);
      s << "element " << i << " is " << values[i] << ", NumPy has " << w << " (tolerance " << tolerance << ")";
      return s.str();
    }
  }
  std::string surplus;
  return wanted >> surplus ? "the line has more values than its shape says" : "";
}

TEST(Expressions, EqualNumPy) {
  NoGrad off;
  std::set<std::string> used;
  int count = 0, wrong = 0;
  for (int k = 0; k < 10; ++k) {
    const std::string path = std::string(GRAFT_SOURCE_DIR) + "/tests/golden/expressions/expressions_" + std::to_string(k) + ".txt";
    std::ifstream in(path);
    ASSERT_TRUE(in) << path;
    for (std::string line; std::getline(in, line); ++count) {
      const std::string what = check(line, used);
      if (!what.empty() && ++wrong <= 20) ADD_FAILURE() << path << ":\n  " << line << "\n  " << what;
    }
  }
  EXPECT_EQ(count, 10000);
  EXPECT_EQ(wrong, 0);
  for (const auto& [name, f] : functions()) EXPECT_TRUE(used.count(name)) << "no expression uses " << name;
}

// The comparison itself must be able to fail.
TEST(Expressions, WrongAnswersAreSeen) {
  NoGrad off;
  std::set<std::string> used;
  const std::string head = "a=f64[2]:1 | add(a,1) | ";
  const std::vector<double> v = add(input(DType::f64, {2}, 1), 1).values();
  const auto line = [&](const std::string& type, double x, double y) {
    std::ostringstream s;
    s << head << type << " | " << x << " " << y;
    return s.str();
  };
  EXPECT_EQ(check(line("f64[2] 1e-12", v[0], v[1]), used), "");
  EXPECT_NE(check(line("f64[2] 1e-12", v[0], v[1] + 1e-3), used), "");
  EXPECT_NE(check(line("f32[2] 1e-12", v[0], v[1]), used), "");
  EXPECT_NE(check(line("f64[2,1] 1e-12", v[0], v[1]), used), "");
  EXPECT_NE(check(line("f64[2] 1e-12", v[0], v[1]) + " 4", used), "");
  EXPECT_NE(check("a=f64[2]:1 | reshape(a,[3]) | f64[3] 0 | 1 1 1", used), "");
}

}  // namespace
}  // namespace graft
