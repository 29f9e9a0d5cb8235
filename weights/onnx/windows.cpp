#include "weights/onnx/windows.h"

#include <algorithm>

namespace graft::onnx {

std::vector<std::int64_t> positive_list(const Call& c, const char* name, std::size_t n) {
  std::vector<std::int64_t> v = c.list(name);
  if (v.empty()) v.assign(n, 1);
  if (v.size() != n) c.wrong("has " + std::to_string(v.size()) + " " + name + " for " + std::to_string(n) + " spatial axes");
  for (const std::int64_t e : v)
    if (e < 1 || e > std::int64_t{1} << 30) c.wrong(std::string("has ") + name + " of " + std::to_string(e));
  return v;
}

Windows windows_of(const Call& c, const Shape& x, std::vector<std::int64_t> kernel, bool ceil) {
  Windows w;
  const std::size_t n = kernel.size();
  if (x.rank() != static_cast<int>(n) + 2 || n == 0) c.wrong("has a kernel of " + std::to_string(n) + " axes for an input " + x.str());
  for (const std::int64_t k : kernel)
    if (k < 1 || k > std::int64_t{1} << 30) c.wrong("has a kernel of size " + std::to_string(k));
  w.kernel = std::move(kernel);
  w.stride = positive_list(c, "strides", n);
  w.dilation = positive_list(c, "dilations", n);
  for (std::size_t i = 0; i < n; ++i) w.in.push_back(x[static_cast<int>(i) + 2]);
  const std::string automatic = c.attr("auto_pad", "NOTSET");
  if (automatic == "SAME_UPPER" || automatic == "SAME_LOWER") {
    for (std::size_t i = 0; i < n; ++i) {
      const std::int64_t out = (w.in[i] + w.stride[i] - 1) / w.stride[i],
                         all = std::max<std::int64_t>(0, (out - 1) * w.stride[i] + w.reach(i) - w.in[i]);
      const std::int64_t less = all / 2, more = all - less;
      w.before.push_back(automatic == "SAME_UPPER" ? less : more);
      w.after.push_back(automatic == "SAME_UPPER" ? more : less);
      w.out.push_back(out);
    }
    return w;
  }
  if (automatic != "NOTSET" && automatic != "VALID") c.wrong("pads in the way '" + automatic + "'");
  std::vector<std::int64_t> pads = automatic == "VALID" ? std::vector<std::int64_t>{} : c.list("pads");
  if (pads.empty()) pads.assign(2 * n, 0);
  if (pads.size() != 2 * n) c.wrong("has " + std::to_string(pads.size()) + " pads for " + std::to_string(n) + " spatial axes");
  for (const std::int64_t p : pads) {
    if (p < 0) c.refuse("has a negative pad");
    if (p > std::int64_t{1} << 30) c.wrong("pads more than memory holds");
  }
  for (std::size_t i = 0; i < n; ++i) {
    w.before.push_back(pads[i]);
    w.after.push_back(pads[i + n]);
    const std::int64_t room = w.in[i] + w.before[i] + w.after[i] - w.reach(i);
    if (room < 0) c.wrong("has a kernel larger than the padded input " + x.str());
    std::int64_t out = (room + (ceil ? w.stride[i] - 1 : 0)) / w.stride[i] + 1;
    if (ceil && (out - 1) * w.stride[i] >= w.in[i] + w.before[i]) --out;  // a window that sees padding alone
    w.out.push_back(out);
  }
  return w;
}

}  // namespace graft::onnx
