#include "verifiers/code/embedded_sources.h"

asm(".section .rodata\n"
    ".balign 16\n"
    "ponder_native_begin:\n"
    ".incbin \"" PONDER_NATIVE
    "\"\n"
    "ponder_native_end:\n"
    ".previous\n");

extern "C" {
extern const char ponder_native_begin[];
extern const char ponder_native_end[];
}

namespace ponder {

std::string_view EmbeddedNative() {
  return {ponder_native_begin, static_cast<size_t>(ponder_native_end - ponder_native_begin)};
}

}  // namespace ponder
