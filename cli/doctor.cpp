// graft doctor: what this machine has, and whether the kernels compute on it.
#include <hwy/highway.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <thread>
#include <utility>

#include "cli/common.h"
#include "cli/console.h"
#include "engine/ops/ops.h"
#include "kernels/catalog.h"
#include "kernels/core/amx.h"
#include "kernels/core/device.h"
#include "kernels/lab/machine.h"
#include "kernels/lab/roofline.h"

namespace graft::cli {

void add_doctor(const Verb& app) {
  const Verb sub = app.verb("doctor", "what this machine has, and whether graft works on it");
  auto json = std::make_shared<bool>(false);
  auto peaks = std::make_shared<bool>(false);
  auto common = std::make_shared<Common>();
  common->device = "cpu";
  sub.flag("--json", *json, "one JSON document on stdout");
  sub.flag("--peaks", *peaks, "measure what the device can do at most: bandwidths and products");
  sub.option("--device", common->device, "whose peaks: cpu (the default), cuda or cuda:N");
  add_threads(sub, common->threads, "threads on the CPU (default: one per core)");
  sub.does([=] {
    const Device device = parse_device(common->device);
    if (*peaks && device.kind == DeviceKind::emu)
      throw Error(Code::usage, "--peaks --device emu: times of the emulator mean nothing; name cpu or cuda");
    Json checks = Json::array(), measured;
    bool all = true;
    const auto report = [&](const std::string& name, bool ok, const std::string& text) {
      all &= ok;
      if (*json) checks.push_back({{"check", name}, {"ok", ok}, {"detail", text}});
      else
        std::printf("%-10s %s %s\n", name.c_str(), painted(stdout, ok ? Ink::good : Ink::bad, ok ? "ok  " : "NO  ").c_str(), text.c_str());
    };
    report("version", true, "graft " GRAFT_VERSION);
    report("cpu", true,
           std::to_string(std::thread::hardware_concurrency()) + " threads, best vector target of this build and machine: " +
               hwy::TargetName(hwy::SupportedTargets() & -hwy::SupportedTargets()) + (why_no_amx().empty() ? ", AMX" : ""));
    report("memory", true, std::to_string(static_cast<long long>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE) >> 20) + " MiB");
    for (const auto& [name, kind] : {std::pair{"emu", DeviceKind::emu}, std::pair{"cuda", DeviceKind::cuda}}) {  // nobody must have them
      const bool here = why_not({kind, 0}).empty();
      if (*json) checks.push_back({{"check", name}, {"ok", true}, {"available", here}, {"detail", describe({kind, 0})}});
      else std::printf("%-10s %s %s\n", name, here ? painted(stdout, Ink::good, "ok  ").c_str() : "-   ", describe({kind, 0}).c_str());
    }
    std::size_t variants = 0;
    for (const auto* f : families()) variants += f->variants().size();
    report("kernels", variants > 0,
           std::to_string(families().size()) + " families, " + std::to_string(variants) + " variants; graft kernels check runs them all");
    const Tensor a = Tensor::from<float>({1, 2, 3, 4}, {2, 2});
    const bool right = matmul(a, a).values() == std::vector<double>{7, 10, 15, 22};
    report("compute", right, "a 2 x 2 product");
    std::error_code ec;
    const auto space = std::filesystem::space(".", ec);
    report("disk", !ec, ec ? ec.message() : std::to_string(space.available >> 20) + " MiB free here");
    if (*peaks) {
      Session session(*common);
      lab::Roofline roofline(current_queue());
      const auto mhz = lab::clock_mhz(device);
      measured = {{"device", name_of(device)},
                  {"threads", current_queue().threads()},
                  {"gflops_f32", roofline.flops(DType::f32) * 1e-9},
                  {"gflops_bf16", roofline.flops(DType::bf16) * 1e-9},
                  {"gbps", Json::object()},
                  {"clock_mhz", mhz ? Json(*mhz) : Json(nullptr)}};
      char text[64];
      std::snprintf(text, sizeof text, "%.1f GFLOP/s f32, %.1f GFLOP/s bf16", roofline.flops(DType::f32) * 1e-9,
                    roofline.flops(DType::bf16) * 1e-9);
      std::string rates;
      for (const auto& l : roofline.levels()) {
        measured["gbps"][l.name] = l.rate * 1e-9;
        char rate[48];
        std::snprintf(rate, sizeof rate, "%s%.1f GB/s %s", rates.empty() ? "" : ", ", l.rate * 1e-9, l.name.c_str());
        rates += rate;
      }
      report("products", true,
             text + std::string(device.kind == DeviceKind::cpu ? " (from registers, " : " (matmul of 4096, ") +
                 (device.kind == DeviceKind::cpu ? std::to_string(current_queue().threads()) + " threads)" : name_of(device) + ")"));
      report("bandwidth", true, rates + " (read and written)");
    }
    if (*json) {
      Json document = {{"ok", all}, {"checks", checks}};
      if (*peaks) document["peaks"] = measured;
      print_json(document);
    }
    return all ? 0 : static_cast<int>(Code::no);
  });
}

}  // namespace graft::cli
