// graft doctor: what this machine has, and whether the kernels compute on it.
#include <hwy/highway.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <thread>

#include "cli/common.h"
#include "engine/ops/ops.h"
#include "kernels/catalog.h"
#include "kernels/core/device.h"

namespace graft::cli {

void add_doctor(CLI::App& app, Action& run) {
  auto* sub = app.add_subcommand("doctor", "what this machine has, and whether graft works on it");
  auto json = std::make_shared<bool>(false);
  sub->add_flag("--json", *json, "one JSON document on stdout");
  sub->callback([=, &run] {
    run = [=] {
      Json checks = Json::array();
      bool all = true;
      const auto report = [&](const std::string& name, bool ok, const std::string& text) {
        all &= ok;
        if (*json) checks.push_back({{"check", name}, {"ok", ok}, {"detail", text}});
        else std::printf("%-10s %-4s %s\n", name.c_str(), ok ? "ok" : "NO", text.c_str());
      };
      report("version", true, "graft " GRAFT_VERSION);
      report("cpu", true, std::to_string(std::thread::hardware_concurrency()) + " threads, best vector target of this build and machine: " +
                              hwy::TargetName(hwy::SupportedTargets() & -hwy::SupportedTargets()));
      report("memory", true, std::to_string(static_cast<long long>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE) >> 20) + " MiB");
      report("emu", true, describe({DeviceKind::emu, 0}));
      report("cuda", true, describe({DeviceKind::cuda, 0}));
      std::size_t variants = 0;
      for (const auto* f : families()) variants += f->variants().size();
      report("kernels", variants > 0, std::to_string(families().size()) + " families, " + std::to_string(variants) + " variants; graft kernels check runs them all");
      const Tensor a = Tensor::from<float>({1, 2, 3, 4}, {2, 2});
      const bool right = matmul(a, a).values() == std::vector<double>{7, 10, 15, 22};
      report("compute", right, "a 2 x 2 product");
      std::error_code ec;
      const auto space = std::filesystem::space(".", ec);
      report("disk", !ec, ec ? ec.message() : std::to_string(space.available >> 20) + " MiB free here");
      if (*json) std::printf("%s\n", Json{{"ok", all}, {"checks", checks}}.dump(2).c_str());
      return all ? 0 : static_cast<int>(Code::no);
    };
  });
}

}  // namespace graft::cli
