// Matrix products of any batch rank, the linear layer, and einsum, which reduces to them.
#include "kernels/matmul/matmul.h"

#include <algorithm>
#include <map>

#include "engine/base/flops.h"
#include "engine/ops/catalog.h"
#include "engine/ops/ops.h"
#include "engine/ops/raw.h"

namespace graft {
namespace {

// a [.., m, k] b [.., k, n], equal ranks >= 2, leading axes equal or 1
struct Matmul {
  static constexpr std::string_view name = "matmul";
  struct Attrs {};
  static Tensors forward(Context& c, const Attrs&, const Tensors& in) {
    c.keep(c.needs(1) ? in[0] : Tensor{});
    c.keep(c.needs(0) ? in[1] : Tensor{});
    const Tensor &a = in[0], &b = in[1];
    Shape sa = a.shape(), sb = b.shape();
    for (int i = 0; i + 2 < sa.rank(); ++i) sa[i] = sb[i] = sa[i] == 1 ? sb[i] : sa[i];
    return {raw::matmul(raw::expand(a, sa), raw::expand(b, sb))};
  }
  static Tensors backward(const Context& c, const Attrs&, const Tensors& dy) {
    return {c.needs(0) ? reduce_to(matmul(dy[0], transpose(c.saved(1))), c.input_shape(0)) : Tensor{},
            c.needs(1) ? reduce_to(matmul(transpose(c.saved(0)), dy[0]), c.input_shape(1)) : Tensor{}};
  }
  static std::vector<GradCase> cases() {
    const auto f = [](const Tensors& t) { return matmul(t[0], t[1]); };
    return {{"2d", {{3, 4}, {4, 2}}, f},
            {"batch", {{2, 3, 4}, {2, 4, 2}}, f},
            {"broadcast", {{2, 1, 3, 4}, {3, 4, 2}}, f},
            {"vector", {{4}, {4, 2}}, f},
            {"dot", {{4}, {4}}, f}};
  }
};

// x [rows, in], weight [out, in], bias [out] or undefined -> [rows, out]
struct Linear {
  static constexpr std::string_view name = "linear";
  struct Attrs {};
  static Tensors forward(Context& c, const Attrs&, const Tensors& in) {
    c.keep(c.needs(1) ? in[0] : Tensor{});
    c.keep(c.needs(0) ? in[1] : Tensor{});
    const Tensor &x = in[0], &w = in[1];
    Tensor y = Tensor::empty({x.size(0), w.size(0)}, x.dtype());
    const Tensor bias = in[2].defined() ? raw::contiguous(in[2]) : in[2];
    MatmulArgs a;
    a.a = raw::reshape(x, {1, x.size(0), x.size(1)}).view();
    a.b = w.alias({1, w.size(1), w.size(0)}, {0, w.strides()[1], w.strides()[0]}, 0).view();
    a.c = raw::reshape(y, {1, y.size(0), y.size(1)}).view();
    a.bias = raw::maybe(bias);
    counted_flops() += 2.0 * static_cast<double>(y.numel() * x.size(1));
    matmul_family().run(current_queue(), a);
    return {y};
  }
  static Tensors backward(const Context& c, const Attrs&, const Tensors& dy) {
    Tensors dx(3);
    if (c.needs(0)) dx[0] = matmul(dy[0], c.saved(1));
    if (c.needs(1)) dx[1] = matmul(transpose(dy[0]), c.saved(0));
    if (c.needs(2)) dx[2] = sum(dy[0], {0});
    return dx;
  }
  static std::vector<GradCase> cases() {
    return {{"bias", {{3, 4}, {2, 4}, {2}}, [](const Tensors& t) { return linear(t[0], t[1], t[2]); }},
            {"batch", {{2, 3, 4}, {2, 4}}, [](const Tensors& t) { return linear(t[0], t[1]); }}};
  }
};

// Integers have no product kernel: products and sums of i64, which wrap, over pieces of k that keep the intermediate result small. The low
// bits of a wrapped sum are those of the exact one, so i32 and u8 wrap as their own arithmetic does.
Tensor integer_product(const Tensor& a, const Tensor& b) {
  const DType t = a.dtype();
  const Tensor rows = unsqueeze(cast(a, DType::i64), -1), columns = unsqueeze(cast(b, DType::i64), -3);  // [.., m, k, 1] [.., 1, k, n]
  Shape shape = broadcast(rows.shape(), columns.shape(), "matmul");
  const std::int64_t k = shape[shape.rank() - 2];
  shape[shape.rank() - 2] = 1;
  const std::int64_t piece = std::max<std::int64_t>(1, (std::int64_t{1} << 20) / std::max<std::int64_t>(1, shape.numel()));
  Tensor y = Tensor::zeros(shape, DType::i64);
  for (std::int64_t i = 0; i < k; i += piece) {
    const std::int64_t end = std::min(k, i + piece);
    y = add(y, sum(mul(slice(rows, -2, i, end), slice(columns, -2, i, end)), {-2}, true));
  }
  y = squeeze(y, -2);
  if (t == DType::u8) y = mod(y, Tensor::scalar(256, DType::i64));
  if (t == DType::i32) y = sub(mod(add(y, std::int64_t{1} << 31), Tensor::scalar(0x1p32, DType::i64)), std::int64_t{1} << 31);
  return cast(y, t);
}

}  // namespace

Tensor matmul(const Tensor& a0, const Tensor& b0) {
  if (a0.rank() == 0 || b0.rank() == 0)
    throw Error(Code::usage, "matmul: " + a0.str() + " and " + b0.str() + ": operands need at least one axis; use mul for numbers");
  const DType t = promote(a0, b0);
  if (t == DType::b8) return cast(matmul(cast(a0, DType::f64), cast(b0, DType::f64)), t);
  Tensor a = cast(a0, t), b = cast(b0, t);
  const bool row = a.rank() == 1, column = b.rank() == 1;
  if (row) a = unsqueeze(a, 0);
  if (column) b = unsqueeze(b, 1);
  if (a.size(-1) != b.size(-2))
    throw Error(Code::usage, "matmul: " + a0.str() + " has " + std::to_string(a.size(-1)) + " columns but " + b0.str() + " has " +
                                 std::to_string(b.size(-2)) + " rows; they must be equal");
  Shape lead_a, lead_b;
  for (int i = 0; i + 2 < a.rank(); ++i) lead_a.push_back(a.shape()[i]);
  for (int i = 0; i + 2 < b.rank(); ++i) lead_b.push_back(b.shape()[i]);
  const Shape lead = broadcast(lead_a, lead_b, "matmul");
  const auto lift = [&](const Tensor& x) {
    if (x.rank() == lead.rank() + 2) return x;
    Shape s;
    for (int i = 0; i < lead.rank() + 2 - x.rank(); ++i) s.push_back(1);
    for (auto d : x.shape()) s.push_back(d);
    return reshape(x, s);
  };
  Tensor y;
  if (b.rank() == 2 && a.rank() > 2) {  // one weight for all batches: a single tall product
    Shape s = a.shape();
    s[s.rank() - 1] = b.size(1);
    std::int64_t rows = 1;  // not -1: a product over nothing has rows too
    for (int i = 0; i + 1 < a.rank(); ++i) rows *= a.shape()[i];
    const Tensor tall = reshape(a, {rows, a.size(-1)});
    y = reshape(is_float(t) ? record1<Matmul>({}, {tall, b}) : integer_product(tall, b), s);
  } else {
    y = is_float(t) ? record1<Matmul>({}, {lift(a), lift(b)}) : integer_product(lift(a), lift(b));
  }
  if (row) y = squeeze(y, -2);
  if (column) y = squeeze(y, -1);
  return y;
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (weight.rank() != 2 || x.rank() < 1 || x.size(-1) != weight.size(1))
    throw Error(Code::usage,
                "linear: input " + x.str() + " and weight " + weight.str() + ": the input's last axis must equal the weight's second");
  if (bias.defined() && (bias.rank() != 1 || bias.size(0) != weight.size(0)))
    throw Error(Code::usage,
                "linear: bias " + bias.str() + " does not fit weight " + weight.str() + "; wants [" + std::to_string(weight.size(0)) + "]");
  if (x.dtype() != weight.dtype() || (bias.defined() && bias.dtype() != x.dtype()))
    throw Error(Code::usage, "linear: input " + x.str() + ", weight " + weight.str() + (bias.defined() ? ", bias " + bias.str() : "") +
                                 " differ in dtype; cast them to one");
  raw::want_float("linear", "input", x);
  Shape out = x.shape();
  out[out.rank() - 1] = weight.size(0);
  std::int64_t rows = 1;  // not numel / in: an input of width 0 has rows too
  for (int i = 0; i + 1 < x.rank(); ++i) rows *= x.shape()[i];
  const Tensor flat = x.rank() == 2 ? x : reshape(x, {rows, x.size(-1)});
  const Tensor y = record1<Linear>({}, {flat, weight, bias});
  return x.rank() == 2 ? y : reshape(y, out);
}

// Letters become axes. Two operands at a time: letters of both that are still wanted are batch, letters of both that are not are summed.
Tensor einsum(const std::string& equation, const Tensors& operands) {
  const auto bad = [&](const std::string& why) { return Error(Code::usage, "einsum '" + equation + "': " + why); };
  std::string text;
  for (char ch : equation)
    if (ch != ' ') text += ch;
  const auto arrow = text.find("->");
  const std::string left = text.substr(0, arrow);
  std::vector<std::string> terms(1);
  for (char ch : left) {
    if (ch == ',') terms.emplace_back();
    else terms.back() += ch;
  }
  if (terms.size() != operands.size())
    throw bad(std::to_string(terms.size()) + " terms for " + std::to_string(operands.size()) + " operands");

  // "..." stands for the axes that letters do not name, aligned at the right; they get private letters from '\x01' up.
  int most = 0;
  const auto letters_of = [&](const std::string& term, int extra) {
    std::string out;
    for (std::size_t i = 0; i < term.size(); ++i) {
      if (term.compare(i, 3, "...") == 0) {
        for (int k = 0; k < extra; ++k) out += static_cast<char>(1 + most - extra + k);
        i += 2;
      } else if ((term[i] >= 'a' && term[i] <= 'z') || (term[i] >= 'A' && term[i] <= 'Z')) {
        out += term[i];
      } else {
        throw bad(std::string("unexpected character '") + term[i] + "'");
      }
    }
    return out;
  };
  std::vector<int> extra;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    const bool dots = terms[i].find("...") != std::string::npos;
    const int named = static_cast<int>(terms[i].size()) - (dots ? 3 : 0);
    if (dots ? operands[i].rank() < named : operands[i].rank() != named)
      throw bad("term '" + terms[i] + "' does not fit operand " + operands[i].str());
    extra.push_back(dots ? operands[i].rank() - named : 0);
    most = std::max(most, extra.back());
  }
  std::map<char, std::int64_t> size;
  std::vector<std::string> letters;
  Tensors xs;
  DType type = operands[0].dtype();
  for (const Tensor& t : operands) type = promote(type, t.dtype());
  for (std::size_t i = 0; i < terms.size(); ++i) {
    std::string l = letters_of(terms[i], extra[i]);
    Tensor x = cast(operands[i], type);
    for (std::size_t p = 0; p < l.size(); ++p) {  // a letter twice in one term: its diagonal
      const auto q = l.find(l[p], p + 1);
      if (q == std::string::npos) continue;
      if (x.shape()[static_cast<int>(p)] != x.shape()[static_cast<int>(q)])
        throw bad(std::string("letter '") + l[p] + "' has two sizes in one term");
      x = diagonal(x, static_cast<int>(p), static_cast<int>(q));
      const char ch = l[p];
      l.erase(q, 1);
      l.erase(p, 1);
      l += ch;
      --p;
    }
    for (std::size_t p = 0; p < l.size(); ++p) {
      const std::int64_t n = x.shape()[static_cast<int>(p)];
      auto [it, fresh] = size.emplace(l[p], n);
      if (!fresh && it->second != n) {
        if (it->second != 1 && n != 1)
          throw bad(std::string("letter '") + (l[p] < 32 ? '.' : l[p]) + "' is " + std::to_string(it->second) + " and " +
                    std::to_string(n));
        it->second = std::max(it->second, n);
      }
    }
    letters.push_back(l);
    xs.push_back(x);
  }
  std::string out;
  if (arrow != std::string::npos) {
    out = letters_of(text.substr(arrow + 2), text.find("...", arrow) != std::string::npos ? most : 0);
  } else {  // implicit: the letters that occur once, in alphabetical order, after those of "..."
    // Counted in the text: a letter that one operand repeats ("ii") has already become one axis in `letters`.
    for (auto [ch, extent] : size)
      if (ch < 32 || std::count(text.begin(), text.end(), ch) == 1) out += ch;
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (!size.count(out[i])) throw bad(std::string("output letter '") + out[i] + "' is in no operand");
    if (out.find(out[i], i + 1) != std::string::npos) throw bad(std::string("output letter '") + out[i] + "' stands twice");
  }

  // [letters] -> the order `want`, missing letters as 1
  const auto arrange = [&](const Tensor& x, const std::string& have, const std::string& want) {
    std::vector<int> order;
    Shape shape;
    for (char ch : want) {
      const auto p = have.find(ch);
      if (p == std::string::npos) {
        shape.push_back(1);
        continue;
      }
      order.push_back(static_cast<int>(p));
      shape.push_back(x.shape()[static_cast<int>(p)]);
    }
    return reshape(permute(x, order), shape);
  };
  const auto sum_out = [&](Tensor& x, std::string& l, const std::string& wanted) {
    Axes axes;
    std::string left_over;
    for (std::size_t p = 0; p < l.size(); ++p) {
      if (wanted.find(l[p]) == std::string::npos) axes.push_back(static_cast<int>(p));
      else left_over += l[p];
    }
    if (!axes.empty()) x = cast(sum(x, axes), x.dtype());
    l = left_over;
  };
  const auto later = [&](std::size_t from) {
    std::string w = out;
    for (std::size_t i = from; i < letters.size(); ++i) w += letters[i];
    return w;
  };
  Tensor acc = xs[0];
  std::string la = letters[0];
  sum_out(acc, la, later(1));
  for (std::size_t i = 1; i < xs.size(); ++i) {
    Tensor x = xs[i];
    std::string lx = letters[i];
    sum_out(x, lx, la + later(i + 1));
    const std::string wanted = later(i + 1);
    std::string batch, m, n, k;
    for (char ch : la) {
      const bool both = lx.find(ch) != std::string::npos, keep = wanted.find(ch) != std::string::npos;
      (both ? (keep ? batch : k) : m) += ch;
    }
    for (char ch : lx)
      if (la.find(ch) == std::string::npos) n += ch;
    // Sizes of 1 that stretch (only under "...") are stretched first where the product contracts or batches over them.
    const auto stretch = [&](Tensor t, const std::string& l, const std::string& over) {
      Shape s = t.shape();
      for (std::size_t p = 0; p < l.size(); ++p)
        if (over.find(l[p]) != std::string::npos) s[static_cast<int>(p)] = size[l[p]];
      return expand(t, s);
    };
    const auto product = [&](const std::string& l) {
      std::int64_t p = 1;
      for (char ch : l) p *= size[ch];
      return p;
    };
    acc = stretch(acc, la, la);
    x = stretch(x, lx, lx);
    const Tensor a3 = reshape(arrange(acc, la, batch + m + k), {product(batch), product(m), product(k)});
    const Tensor b3 = reshape(arrange(x, lx, batch + k + n), {product(batch), product(k), product(n)});
    la = batch + m + n;
    Shape s;
    for (char ch : la) s.push_back(size[ch]);
    acc = reshape(matmul(a3, b3), s);
  }
  sum_out(acc, la, out);
  return arrange(acc, la, out);
}

std::vector<OpInfo> matmul_ops() {
  OpInfo e;
  e.name = "einsum";
  e.cases = {{"bij,bjk->bik", {{2, 3, 4}, {2, 4, 2}}, [](const Tensors& t) { return einsum("bij,bjk->bik", t); }},
             {"ii->i", {{3, 3}}, [](const Tensors& t) { return einsum("ii->i", t); }},
             {"ij,j,ik->k", {{2, 3}, {3}, {2, 2}}, [](const Tensors& t) { return einsum("ij,j,ik->k", t); }}};
  return {info<Matmul>(), info<Linear>(), e};
}

}  // namespace graft
