// Exceptions of libtorch as messages, for the functions that Rust calls.
#pragma once

#include <c10/util/Exception.h>

#include <cstring>
#include <exception>

// Runs `body`: NULL, or the message of its exception, which the caller frees.
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
