#pragma once
#include <cstddef>

namespace lamina {

constexpr size_t kHugePage = 2 << 20;

// Asks for the whole huge pages inside this memory, before it is touched: products walk over rows kilobytes apart, and
// every small page is a miss of the address cache, in a virtual machine a dear one. Returns how far the first of them
// is from the start. Where the system has none, nothing happens.
size_t prefer_huge_pages(void* data, size_t bytes);

}  // namespace lamina
