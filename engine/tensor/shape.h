// The sizes or strides of a tensor, held inline: at most kMaxRank axes.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "kernels/core/error.h"
#include "kernels/core/view.h"

namespace graft {

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> d) : Shape(std::span(d.begin(), d.size())) {}
  Shape(const std::vector<std::int64_t>& d) : Shape(std::span(d)) {}
  explicit Shape(std::span<const std::int64_t> d) {
    for (auto v : d) push_back(v);
  }

  int rank() const { return rank_; }
  bool empty() const { return rank_ == 0; }
  std::int64_t& operator[](int i) { return d_[static_cast<std::size_t>(i)]; }
  std::int64_t operator[](int i) const { return d_[static_cast<std::size_t>(i)]; }
  const std::int64_t* begin() const { return d_.data(); }
  const std::int64_t* end() const { return d_.data() + rank_; }
  std::int64_t back() const { return d_[static_cast<std::size_t>(rank_ - 1)]; }
  void push_back(std::int64_t v) {
    if (rank_ == kMaxRank) throw Error(Code::usage, "a tensor has at most " + std::to_string(kMaxRank) + " axes");
    d_[static_cast<std::size_t>(rank_++)] = v;
  }
  void insert(int at, std::int64_t v) {
    push_back(v);
    for (int i = rank_ - 1; i > at; --i) d_[static_cast<std::size_t>(i)] = d_[static_cast<std::size_t>(i - 1)];
    d_[static_cast<std::size_t>(at)] = v;
  }
  void erase(int at) {
    for (int i = at; i + 1 < rank_; ++i) d_[static_cast<std::size_t>(i)] = d_[static_cast<std::size_t>(i + 1)];
    --rank_;
  }
  std::int64_t numel() const {
    std::int64_t n = 1;
    for (auto v : *this) n *= v;
    return n;
  }
  operator std::span<const std::int64_t>() const { return {d_.data(), static_cast<std::size_t>(rank_)}; }
  friend bool operator==(const Shape& a, const Shape& b) {
    if (a.rank_ != b.rank_) return false;
    for (int i = 0; i < a.rank_; ++i)
      if (a[i] != b[i]) return false;
    return true;
  }
  std::string str() const {  // "[8,1024]"
    std::string s = "[";
    for (int i = 0; i < rank_; ++i) s += (i ? "," : "") + std::to_string((*this)[i]);
    return s + "]";
  }

 private:
  std::array<std::int64_t, kMaxRank> d_{};
  int rank_ = 0;
};

// Row-major strides of a shape.
inline Shape dense_strides(const Shape& shape) {
  Shape s = shape;
  std::int64_t step = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    s[i] = step;
    step *= shape[i];
  }
  return s;
}

}  // namespace graft
