// Operations on a card recorded as one CUDA graph, which are then started by one call. Compiled with CUDA's headers only;
// without them, `lecture5_graphs` says so.

#include <cstdlib>
#include <cstring>

#ifdef LECTURE5_CUDA_GRAPHS

#include <ATen/cuda/CUDAGraph.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/StreamGuard.h>
#include <c10/cuda/CUDAFunctions.h>

#include "guarded.h"

#include <memory>
#include <optional>

namespace {

struct Recording {
  explicit Recording(int index) : device(c10::kCUDA, static_cast<c10::DeviceIndex>(index)) {}
  const c10::Device device;
  at::cuda::CUDAGraph graph;
  // A graph cannot be recorded on the default stream.
  std::optional<c10::StreamGuard> aside;
};

}  // namespace

extern "C" {

bool lecture5_graphs() { return true; }

// From here to lecture5_graph_end this thread's operations go to a stream of their own.
char *lecture5_graph_begin(int device, Recording **out) {
  return guarded([&] {
    auto recording = std::make_unique<Recording>(device);
    recording->aside.emplace(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, recording->device.index()).unwrap());
    c10::cuda::device_synchronize();
    *out = recording.release();
  });
}

// From here to lecture5_graph_end they are recorded, and not computed.
char *lecture5_graph_record(Recording *recording) {
  return guarded([&] { recording->graph.capture_begin(); });
}

char *lecture5_graph_end(Recording *recording) {
  char *const failed = guarded([&] { recording->graph.capture_end(); });
  char *const other = guarded([&] { c10::cuda::device_synchronize(); });
  recording->aside.reset();
  if (!failed) return other;
  free(other);
  return failed;
}

char *lecture5_graph_replay(Recording *recording) {
  return guarded([&] {
    const c10::DeviceGuard guard(recording->device);
    recording->graph.replay();
  });
}

void lecture5_graph_drop(Recording *recording) {
  guarded([&] {
    const c10::DeviceGuard guard(recording->device);
    c10::cuda::device_synchronize();
  });
  delete recording;
}

}  // extern "C"

#else

struct Recording;

extern "C" {

bool lecture5_graphs() { return false; }
char *lecture5_graph_begin(int, Recording **) { return strdup("built without CUDA's headers"); }
char *lecture5_graph_record(Recording *) { return nullptr; }
char *lecture5_graph_end(Recording *) { return nullptr; }
char *lecture5_graph_replay(Recording *) { return nullptr; }
void lecture5_graph_drop(Recording *) {}

}  // extern "C"

#endif
