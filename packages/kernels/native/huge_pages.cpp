#include "huge_pages.hpp"

#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace lamina {

size_t prefer_huge_pages(void* data, size_t bytes) {
  const uintptr_t start = reinterpret_cast<uintptr_t>(data);
  const uintptr_t from = (start + kHugePage - 1) / kHugePage * kHugePage;
#if defined(__linux__)
  const uintptr_t to = (start + bytes) / kHugePage * kHugePage;
  if (from < to) madvise(reinterpret_cast<void*>(from), to - from, MADV_HUGEPAGE);
#else
  (void)bytes;
#endif
  return from - start;
}

}  // namespace lamina
