// Functions of libtorch that tch does not bind (those of CUDA are in cuda.cpp): the generators' states, flushing of
// subnormals, the fused optimizer steps, a record of the operations called, the version. A function that can fail
// returns NULL, or a message that the caller frees.
// Tensors are passed as in tch: a pointer to an at::Tensor.

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/record_function.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <torch/version.h>

#include "guarded.h"

#include <unistd.h>

#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

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

// The operations that a thread calls, without nested calls.
struct Record {
  std::vector<std::string> calls;  // in the format of lecture5_record_end
  std::unordered_map<const c10::TensorImpl *, size_t> ids;
  std::vector<at::Tensor> kept;  // so that no address is reused
  int depth = 0;
  at::CallbackHandle handle = 0;

  size_t id(const at::Tensor &t) {
    const auto [at, is_new] = ids.try_emplace(t.unsafeGetTensorImpl(), ids.size());
    if (is_new) kept.push_back(t);
    return at->second;
  }

  void write(std::ostream &out, const c10::IValue &value) {
    if (value.isTensor() && value.toTensor().defined()) {
      const at::Tensor &t = value.toTensor();
      const bool in_memory = t.is_cpu() && t.layout() == at::kStrided;
      const bool is_float = t.scalar_type() == at::kFloat, is_int = t.scalar_type() == at::kLong;
      out << "t" << id(t) << (in_memory && is_float ? (t.requires_grad() ? "g" : "f") : in_memory && is_int ? "i" : "u");
      for (const int64_t n : t.sizes()) out << "," << n;
    } else if (value.isTensorList()) {
      for (const at::Tensor &t : value.toTensorVector()) write(out << "+", t);
    } else if (value.isIntList()) {
      out << "l";
      for (const int64_t n : value.toIntVector()) out << "," << n;
    } else if (value.isDouble()) {
      out << "x" << value.toDouble();
    } else if (value.isInt()) {
      out << "x" << value.toInt();
    } else if (value.isBool()) {
      out << "x" << value.toBool();
    } else {
      out << (value.isNone() ? "n" : "?");
    }
  }
};

thread_local std::unique_ptr<Record> record;

std::unique_ptr<at::ObserverContext> call_starts(const at::RecordFunction &call) {
  if (record && record->depth++ == 0) {
    std::ostringstream text;
    text.precision(17);
    text << call.name();
    if (const auto op = call.operator_name(); op && !op->overload_name.empty()) text << "." << op->overload_name;
    for (const auto &input : call.inputs()) record->write(text << " ", input);
    record->calls.push_back(text.str());
  }
  return nullptr;
}

void call_ends(const at::RecordFunction &call, at::ObserverContext *) {
  if (record && --record->depth == 0) {
    std::ostringstream text;
    for (const auto &output : call.outputs()) record->write(text << " ", output);
    record->calls.back() += " =" + text.str();
  }
}

}  // namespace

extern "C" {

const char *lecture5_torch_version() { return TORCH_VERSION; }

// From here on an exception that nothing catches gives one line on the standard error and status 1, like any other failure.
void lecture5_explain_terminations() {
  std::set_terminate([] {
    std::string line = "error: libtorch ended the process";
    try {
      if (std::current_exception()) throw;
    } catch (const std::bad_alloc &) {
      static const char out[] = "error: memory ran out within libtorch: free some, or raise its limit (ulimit -v)\n";
      if (write(2, out, sizeof out - 1) < 0) _exit(1);
      _exit(1);
    } catch (const std::exception &error) {
      line += std::string(": ") + error.what();
    }
    line = line.substr(0, line.find('\n')) + "\n";
    if (write(2, line.data(), line.size()) < 0) _exit(1);
    _exit(1);
  });
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

// zero_grad(set_to_none=True): the next backward pass sets the gradients instead of adding to them.
void lecture5_forget_gradient(at::Tensor *param) { param->mutable_grad().reset(); }

// From here to `lecture5_record_end` the operations that this thread calls are recorded.
char *lecture5_record_begin(at::Tensor *const *known, size_t n) {
  return guarded([&] {
    TORCH_CHECK(!record, "a record within a record");
    record = std::make_unique<Record>();
    for (size_t i = 0; i < n; ++i) record->id(*known[i]);
    record->handle = at::addThreadLocalCallback(at::RecordFunctionCallback(call_starts, call_ends)
                                                    .needsInputs(true)
                                                    .needsOutputs(true)
                                                    .scopes({at::RecordScope::FUNCTION}));
  });
}

// The operations, one per line, as `name inputs = outputs` separated by spaces; the caller frees the text. A tensor is
// `t3g,64,50`: its number (the `n` known ones come first), its type (f: float32, g: the same with a gradient, i: int64,
// all in the CPU's memory; u: any other) and its size. A list of tensors has a + before each tensor; `l,1,2` is a list
// of integers, `x0.5` a number, `n` nothing and `?` anything else.
char *lecture5_record_end() {
  const auto mine = std::move(record);
  at::removeCallback(mine->handle);
  std::string text;
  for (const auto &call : mine->calls) text += call + "\n";
  return strdup(text.c_str());
}

char *lecture5_fused_sgd(at::Tensor *const *params, at::Tensor *const *grads, at::Tensor *const *momenta, size_t n,
                         const at::Tensor *lr, double momentum, double weight_decay) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    auto buffers = momentum == 0 ? std::vector<at::Tensor>() : list(momenta, n);
    at::_fused_sgd_(list(params, n), list(grads, n), buffers, weight_decay, momentum, *lr, /*dampening=*/0,
                    /*nesterov=*/false, /*maximize=*/false, /*is_first_step=*/false);
  });
}

char *lecture5_fused_adam(at::Tensor *const *params, at::Tensor *const *grads, at::Tensor *const *exp_avgs,
                          at::Tensor *const *exp_avg_sqs, at::Tensor *const *steps, size_t n, const at::Tensor *lr, double beta1,
                          double beta2, double eps, double weight_decay, bool decoupled) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    auto p = list(params, n), g = list(grads, n), m = list(exp_avgs, n), v = list(exp_avg_sqs, n), t = list(steps, n);
    // The kernels expect the step count after this step. On a card this is one launch, and not one for each parameter.
    at::_foreach_add_(t, 1);
    if (decoupled) {
      at::_fused_adamw_(p, g, m, v, {}, t, *lr, beta1, beta2, weight_decay, eps, /*amsgrad=*/false, /*maximize=*/false);
    } else {
      at::_fused_adam_(p, g, m, v, {}, t, *lr, beta1, beta2, weight_decay, eps, /*amsgrad=*/false, /*maximize=*/false);
    }
  });
}

}  // extern "C"
