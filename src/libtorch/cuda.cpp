// What the NVIDIA driver, the CUDA runtime and libtorch's own allocator say about a card. The driver and the runtime are
// looked up by name, so that the same code links against a libtorch without CUDA and runs on a machine without a driver.

#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <dlfcn.h>

#include <exception>

namespace {

// The driver's library, if there is one. It is never unloaded.
void *driver() {
  static void *const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  return library;
}

template <typename F>
F *of_driver(const char *name) {
  return driver() ? reinterpret_cast<F *>(dlsym(driver(), name)) : nullptr;
}

// What libtorch's allocator answers to `ask`; -1 without CUDA, or if it does not say.
template <typename Ask>
long long of_allocator(Ask ask) {
  try {
    if (!at::globalContext().hasCUDA()) return -1;
    at::globalContext().lazyInitDevice(at::kCUDA);
    return static_cast<long long>(ask(c10::getDeviceAllocator(at::kCUDA)));
  } catch (const std::exception &) {
    return -1;
  }
}

}  // namespace

extern "C" {

// The CUDA that the driver supports, as 1000 * major + 10 * minor; -1 without a driver, and 0 if it does not say.
int lecture5_cuda_of_driver() {
  int version = 0;
  auto *ask = of_driver<int(int *)>("cuDriverGetVersion");
  if (!ask) return -1;
  return ask(&version) == 0 ? version : 0;
}

// The same of the CUDA runtime that libtorch has loaded; -1 without one.
int lecture5_cuda_of_runtime() {
  int version = 0;
  auto *ask = reinterpret_cast<int (*)(int *)>(dlsym(RTLD_DEFAULT, "cudaRuntimeGetVersion"));
  return ask && ask(&version) == 0 ? version : -1;
}

// What the driver says as it starts: 0 if all is well, or its number for what is wrong; -1 without a driver.
int lecture5_cuda_start() {
  auto *start = of_driver<int(unsigned)>("cuInit");
  return start ? start(0) : -1;
}

// A card's name and compute capability, as 10 * major + minor; -1 if the driver does not say. Opens no context.
int lecture5_cuda_card(int index, char *name, int length) {
  auto *get = of_driver<int(int *, int)>("cuDeviceGet");
  auto *get_name = of_driver<int(char *, int, int)>("cuDeviceGetName");
  auto *attribute = of_driver<int(int *, int, int)>("cuDeviceGetAttribute");
  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
  constexpr int kMajor = 75, kMinor = 76;
  int device = 0, major = 0, minor = 0;
  const bool answered = get && get_name && attribute && lecture5_cuda_start() == 0 && get(&device, index) == 0 &&
                        get_name(name, length, device) == 0 && attribute(&major, kMajor, device) == 0 &&
                        attribute(&minor, kMinor, device) == 0;
  return answered ? 10 * major + minor : -1;
}

// Free bytes on a card, or -1 if they cannot be queried. libtorch's own guard asks: unlike a plain cudaSetDevice back, it
// opens no context on the card that was current before.
long long lecture5_cuda_free(int index) {
  return of_allocator([&](auto *allocator) {
    return allocator->getMemoryInfo(static_cast<c10::DeviceIndex>(index)).first;
  });
}

// The most bytes that this process's tensors have taken on a card at one time, or -1 if libtorch does not say.
long long lecture5_cuda_peak(int index) {
  return of_allocator([&](auto *allocator) {
    const auto stats = allocator->getDeviceStats(static_cast<c10::DeviceIndex>(index));
    return stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak;
  });
}

}  // extern "C"
