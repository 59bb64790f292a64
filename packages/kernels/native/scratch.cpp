#include "scratch.hpp"

#include <cstdlib>
#include <new>

#include "huge_pages.hpp"

namespace lamina {
namespace {

struct Slot {
  void* data = nullptr;
  size_t bytes = 0;

  // Large memory begins where a huge page does.
  std::align_val_t alignment() const { return std::align_val_t(bytes < kHugePage ? 64 : kHugePage); }
  void free() {
    ::operator delete(data, alignment(), std::nothrow);
    data = nullptr;
    bytes = 0;
  }
};

struct Slots {
  Slot slot[static_cast<int>(Scratch::count)];
  ~Slots() {
    for (Slot& s : slot) s.free();
  }
};

thread_local Slots slots;

}  // namespace

void* scratch(Scratch purpose, size_t bytes) {
  Slot& slot = slots.slot[static_cast<int>(purpose)];
  if (slot.data && slot.bytes >= bytes) return slot.data;
  slot.free();
  slot.bytes = (bytes + 4095) / 4096 * 4096 + 4096;
  slot.data = ::operator new(slot.bytes, slot.alignment(), std::nothrow);
  if (!slot.data) slot.bytes = 0;
  else prefer_huge_pages(slot.data, slot.bytes);
  return slot.data;
}

}  // namespace lamina
