#include "scratch.hpp"

#include <cstdlib>
#include <new>

namespace lamina {
namespace {

struct Slot {
  void* data = nullptr;
  size_t bytes = 0;
};

struct Slots {
  Slot slot[static_cast<int>(Scratch::count)];
  ~Slots() {
    for (Slot& s : slot) ::operator delete(s.data, std::align_val_t(64), std::nothrow);
  }
};

thread_local Slots slots;

}  // namespace

void* scratch(Scratch purpose, size_t bytes) {
  Slot& slot = slots.slot[static_cast<int>(purpose)];
  if (slot.data && slot.bytes >= bytes) return slot.data;
  ::operator delete(slot.data, std::align_val_t(64), std::nothrow);
  const size_t rounded = (bytes + 4095) / 4096 * 4096 + 4096;
  slot.data = ::operator new(rounded, std::align_val_t(64), std::nothrow);
  slot.bytes = slot.data ? rounded : 0;
  return slot.data;
}

}  // namespace lamina
