#pragma once
#include <cstddef>

namespace lamina {

// Puts the first `bytes` of an open file into `memory` (`length` bytes of a SharedArrayBuffer), page by page as they
// are touched and shared with whoever else has the file open. Writes never reach the file. Returns where the file
// begins inside `memory`, or -1 where this cannot be done safely: read the file then. `length` is at least `bytes` and
// two pages.
long map_file(int fd, size_t bytes, char* memory, size_t length);

}  // namespace lamina
