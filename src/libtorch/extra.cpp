// What libtorch has and tch does not bind: the generators' states, flushing of subnormals, the fused
// optimiser steps, the version. Each function answers NULL, or a message that the caller frees.
// A tensor crosses the border as tch has it: a pointer to an at::Tensor.

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <torch/version.h>

#include <dlfcn.h>

#include <cstring>
#include <exception>
#include <mutex>
#include <string>
#include <vector>

namespace {

template <typename F>
char *guarded(F &&body) {
  try {
    body();
    return nullptr;
  } catch (const c10::Error &error) {
    return strdup(error.what_without_backtrace());
  } catch (const std::exception &error) {
    return strdup(error.what());
  }
}

std::vector<at::Tensor> list(at::Tensor *const *tensors, size_t n) {
  std::vector<at::Tensor> out;
  out.reserve(n);
  for (size_t i = 0; i < n; ++i) out.push_back(*tensors[i]);
  return out;
}

at::Generator generator(int device) {
  return device < 0 ? at::detail::getDefaultCPUGenerator()
                    : at::globalContext().defaultGenerator(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device)));
}

}  // namespace

extern "C" {

const char *lecture5_torch_version() { return TORCH_VERSION; }

// Bytes that are free on a CUDA device, or -1 where that cannot be asked. The CUDA runtime is looked up in what
// libtorch has loaded, so that the same code links against a libtorch without it.
long long lecture5_cuda_free(int device) {
  auto get = reinterpret_cast<int (*)(int *)>(dlsym(RTLD_DEFAULT, "cudaGetDevice"));
  auto set = reinterpret_cast<int (*)(int)>(dlsym(RTLD_DEFAULT, "cudaSetDevice"));
  auto ask = reinterpret_cast<int (*)(size_t *, size_t *)>(dlsym(RTLD_DEFAULT, "cudaMemGetInfo"));
  int current = 0;
  size_t left = 0, total = 0;
  if (!get || !set || !ask || get(&current) != 0 || set(device) != 0) return -1;
  bool answered = ask(&left, &total) == 0;
  set(current);
  return answered ? static_cast<long long>(left) : -1;
}

bool lecture5_flush_denormal(bool on) { return at::globalContext().setFlushDenormal(on); }

// The state of a device's default generator; device -1 is the CPU. `out` becomes a new byte tensor.
char *lecture5_rng_state(int device, at::Tensor **out) {
  return guarded([&] {
    auto source = generator(device);
    std::lock_guard<std::mutex> lock(source.mutex());
    *out = new at::Tensor(source.get_state());
  });
}

char *lecture5_set_rng_state(int device, const at::Tensor *state) {
  return guarded([&] {
    auto target = generator(device);
    std::lock_guard<std::mutex> lock(target.mutex());
    target.set_state(*state);
  });
}

char *lecture5_fused_sgd(at::Tensor *const *params, at::Tensor *const *grads, at::Tensor *const *momenta, size_t n,
                         double lr, double momentum, double weight_decay) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    auto buffers = momentum == 0 ? std::vector<at::Tensor>() : list(momenta, n);
    at::_fused_sgd_(list(params, n), list(grads, n), buffers, weight_decay, momentum, lr, /*dampening=*/0,
                    /*nesterov=*/false, /*maximize=*/false, /*is_first_step=*/false);
  });
}

char *lecture5_fused_adam(at::Tensor *const *params, at::Tensor *const *grads, at::Tensor *const *exp_avgs,
                          at::Tensor *const *exp_avg_sqs, at::Tensor *const *steps, size_t n, double lr, double beta1,
                          double beta2, double eps, double weight_decay, bool decoupled) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    auto p = list(params, n), g = list(grads, n), m = list(exp_avgs, n), v = list(exp_avg_sqs, n), t = list(steps, n);
    // The kernels compute with the step as it is after this one.
    for (auto &step : t) step.add_(1);
    if (decoupled) {
      at::_fused_adamw_(p, g, m, v, {}, t, lr, beta1, beta2, weight_decay, eps, /*amsgrad=*/false, /*maximize=*/false);
    } else {
      at::_fused_adam_(p, g, m, v, {}, t, lr, beta1, beta2, weight_decay, eps, /*amsgrad=*/false, /*maximize=*/false);
    }
  });
}

}  // extern "C"
