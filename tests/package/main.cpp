// Trains a perceptron to tell two clouds of points apart, writes it as safetensors and reads it back: engine, models and weights of the
// package.
#include <cstdio>

#include "engine/autograd/tape.h"
#include "engine/ops/ops.h"
#include "engine/optim/optimizer.h"
#include "models/mlp.h"
#include "weights/formats/safetensors.h"

using namespace graft;

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const Params params = Params::init(1);
  const Mlp model(params, {.inputs = 2, .hidden = 8, .classes = 2});
  ParamGroup group{{}, optim_defaults("adamw")};
  group.options.lr = 0.05;
  for (const auto& p : params.all()) group.params.push_back({p.name, p.tensor});
  Optimizer optimizer({group});

  std::vector<float> points;
  std::vector<std::int64_t> classes;
  for (int i = 0; i < 32; ++i) {
    const int c = i % 2;
    points.push_back(static_cast<float>((c ? 1 : -1) + 0.02 * i));
    points.push_back(static_cast<float>((c ? -1 : 1) - 0.01 * i));
    classes.push_back(c);
  }
  const Tensor x = Tensor::from(points, {32, 2}), y = Tensor::from(classes, {32});
  Run run;
  double first = 0, last = 0;
  for (int step = 0; step < 60; ++step) {
    optimizer.zero_grad();
    const Tensor loss = cross_entropy(model.forward(x, run), y);
    backward(loss);
    optimizer.step();
    last = loss.values()[0];
    if (step == 0) first = last;
  }

  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const auto& p : params.all()) tensors.push_back({p.name, p.tensor});
  write_safetensors(argv[1], tensors);
  const SafetensorsFile file = SafetensorsFile::open(argv[1]);
  std::printf("loss %.4f -> %.4f, %zu tensors\n", first, last, file.entries.size());
  return last < 0.1 * first && file.entries.size() == tensors.size() ? 0 : 1;
}
