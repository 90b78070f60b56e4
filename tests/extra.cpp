// Calls every function of src/libtorch/*.cpp at least once, for the sanitizers: scripts/sanitize.sh compiles all of
// these files with them. It ends with status 0, or at the first check that fails.

#include "../src/libtorch/cuda.cpp"
#include "../src/libtorch/extra.cpp"
#include "../src/libtorch/graph.cpp"

#include <torch/torch.h>

#include <cstdlib>
#include <iostream>

#define CHECK_THAT(what) \
  if (!(what)) std::cerr << "line " << __LINE__ << ": " #what "\n", std::exit(1)

// The function succeeded.
void good(char *message) {
  if (message) std::cerr << message << "\n", std::exit(1);
}

// The function refused, and said why.
void refused(char *message) {
  CHECK_THAT(message != nullptr && std::strlen(message) > 0);
  std::free(message);
}

int main() {
  CHECK_THAT(std::string(lecture5_torch_version()).rfind("2.", 0) == 0);
  lecture5_flush_denormal(true);
  lecture5_explain_terminations();

  // From a saved state the generator gives the same numbers again; no other tensor is accepted as a state.
  at::Tensor *state = nullptr;
  good(lecture5_rng_state(-1, &state));
  const auto first = torch::rand({5});
  good(lecture5_set_rng_state(-1, state));
  CHECK_THAT(torch::equal(first, torch::rand({5})));
  delete state;
  const auto foreign = torch::zeros({3}, torch::kByte), floats = torch::zeros({3});
  refused(lecture5_set_rng_state(-1, &foreign));
  refused(lecture5_set_rng_state(-1, &floats));

  auto table = torch::ones({4, 2}).set_requires_grad(true);
  at::Tensor *params[] = {&table};
  good(lecture5_record_begin(params, 1));
  refused(lecture5_record_begin(params, 1));
  torch::embedding(table, torch::tensor({1, 1, 3})).sum().backward();
  char *calls = lecture5_record_end();
  CHECK_THAT(std::strstr(calls, "aten::embedding t0g,4,2") != nullptr);
  std::free(calls);
  CHECK_THAT(table.grad().sum().item<float>() == 6);
  lecture5_forget_gradient(&table);
  CHECK_THAT(!table.grad().defined());

  // p = 1, g = 2: SGD at 0.1 gives 0.8; Adam's first step equals its rate, whatever the gradient.
  at::Tensor p = torch::ones({2}), g = torch::full({2}, 2.0f), m = torch::zeros({2}), v = torch::zeros({2});
  at::Tensor t = torch::zeros({});
  const at::Tensor lr = torch::full({}, 0.1, torch::kDouble);
  at::Tensor *ps[] = {&p}, *gs[] = {&g}, *ms[] = {&m}, *vs[] = {&v}, *ts[] = {&t};
  good(lecture5_fused_sgd(ps, gs, ms, 1, &lr, 0.9, 0));
  CHECK_THAT(torch::allclose(p, torch::full({2}, 0.8f)));
  m.zero_();
  good(lecture5_fused_adam(ps, gs, ms, vs, ts, 1, &lr, 0.9, 0.999, 1e-8, 0, false));
  CHECK_THAT(torch::allclose(p, torch::full({2}, 0.7f)));
  good(lecture5_fused_adam(ps, gs, ms, vs, ts, 1, &lr, 0.9, 0.999, 1e-8, 0.01, true));
  CHECK_THAT(t.item<float>() == 2);

  char name[100] = "";
  const int capability = lecture5_cuda_card(0, name, sizeof name);
  CHECK_THAT(capability == -1 || (capability >= 30 && name[0] != 0));
  CHECK_THAT(lecture5_cuda_of_driver() >= -1 && lecture5_cuda_of_runtime() >= -1 && lecture5_cuda_start() >= -1);
  CHECK_THAT(lecture5_cuda_free(0) >= -1 && lecture5_cuda_peak(0) >= -1);

  // A graph needs a card.
  Recording *recording = nullptr;
  if (!torch::cuda::is_available()) refused(lecture5_graph_begin(0, &recording));
  std::cout << "extra.cpp: every function was called, and the sanitizers report nothing\n";
}
