#include "map_file.hpp"

#include <cstdint>
#include <cstring>

#if defined(__linux__)
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace lamina {

#if defined(__linux__) && defined(__GLIBC__)

namespace {

// Whether `memory` is a chunk that glibc's malloc mapped for it alone: then nothing else lies in its pages, and free()
// gives all of them back with munmap, ours included. Such a chunk begins with its page, and its header (the 16 bytes
// before the memory: an alignment of 0, then the size with bit 1 for "mapped" and no other) says so. Another allocator
// that puts memory 16 bytes behind a page's beginning, and just these two words before it, is not to be expected.
bool is_own_mapping(const char* memory, size_t length, size_t page) {
  constexpr size_t kHeader = 2 * sizeof(size_t), kMapped = 2;
  if (reinterpret_cast<uintptr_t>(memory) % page != kHeader) return false;
  size_t header[2];
  memcpy(header, memory - kHeader, kHeader);
  const size_t size = header[1] & ~size_t{7};
  return header[0] == 0 && (header[1] & 7) == kMapped && size % page == 0 && size >= length + kHeader &&
         size - length - kHeader < page;
}

}  // namespace

long map_file(int fd, size_t bytes, char* memory, size_t length) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  if (bytes == 0 || bytes > length || length - bytes < 2 * page || !is_own_mapping(memory, length, page)) return -1;
  struct stat file;
  if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode) || static_cast<size_t>(file.st_size) < bytes) return -1;
  const size_t start = page - reinterpret_cast<uintptr_t>(memory) % page;
  void* mapped = mmap(memory + start, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd, 0);
  return mapped == MAP_FAILED ? -1 : static_cast<long>(start);
}

#else

long map_file(int, size_t, char*, size_t) { return -1; }

#endif

}  // namespace lamina
