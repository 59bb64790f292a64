#include "segments.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <new>

#if !defined(_WIN32)
#include <dlfcn.h>
#endif

#include "pool.hpp"

namespace lamina {
namespace {

// OpenSSL's public interface (evp.h), by name: the addon is not linked to any one build of it.
constexpr int kGetTag = 0x10, kSetTag = 0x11;
struct Evp {
  void* (*ctx_new)();
  void (*ctx_free)(void*);
  int (*ctx_ctrl)(void*, int, int, void*);
  const void* (*chacha20_poly1305)();
  int (*encrypt_init)(void*, const void*, void*, const uint8_t*, const uint8_t*);
  int (*encrypt_update)(void*, uint8_t*, int*, const uint8_t*, int);
  int (*encrypt_final)(void*, uint8_t*, int*);
  int (*decrypt_init)(void*, const void*, void*, const uint8_t*, const uint8_t*);
  int (*decrypt_update)(void*, uint8_t*, int*, const uint8_t*, int);
  int (*decrypt_final)(void*, uint8_t*, int*);
  bool complete;
};

template <typename Function>
bool find(Function& function, const char* name) {
#if defined(_WIN32)
  (void)name;
  function = nullptr;
#else
  function = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
#endif
  return function != nullptr;
}

const Evp& evp() {
  static const Evp found = [] {
    Evp e{};
    e.complete = find(e.ctx_new, "EVP_CIPHER_CTX_new") && find(e.ctx_free, "EVP_CIPHER_CTX_free") &&
                 find(e.ctx_ctrl, "EVP_CIPHER_CTX_ctrl") && find(e.chacha20_poly1305, "EVP_chacha20_poly1305") &&
                 find(e.encrypt_init, "EVP_EncryptInit_ex") && find(e.encrypt_update, "EVP_EncryptUpdate") &&
                 find(e.encrypt_final, "EVP_EncryptFinal_ex") && find(e.decrypt_init, "EVP_DecryptInit_ex") &&
                 find(e.decrypt_update, "EVP_DecryptUpdate") && find(e.decrypt_final, "EVP_DecryptFinal_ex");
    return e;
  }();
  return found;
}

// What one task has for all its segments.
struct Context {
  void* const ctx = evp().ctx_new();
  std::unique_ptr<uint8_t[]> room;
  ~Context() { evp().ctx_free(ctx); }
};

struct Nonce {
  uint8_t bytes[12] = {};
  Nonce(size_t index, bool last) {
    for (int i = 10; i >= 3; i--, index >>= 8) bytes[i] = static_cast<uint8_t>(index);
    bytes[11] = last ? 1 : 0;
  }
};

// Segments of one task: below, handing out a task costs more than it brings.
constexpr size_t kTaskSegments = 8;

// Calls `one` with what its task has (`begin` made the cipher ready), nonce, offset and length of every segment's
// plaintext, and its number, by all threads; false where one call was.
template <typename Begin, typename One>
bool each_segment(const Segments& s, size_t bytes, const Begin& begin, const One& one) {
  const size_t count = std::max<size_t>(1, (bytes + s.segment - 1) / s.segment);
  std::atomic<bool> good{true};
  parallel(static_cast<long>((count + kTaskSegments - 1) / kTaskSegments), [&](long task, int) {
    Context context;
    bool all = context.ctx && begin(context.ctx);
    const size_t first = static_cast<size_t>(task) * kTaskSegments;
    for (size_t i = first; all && good && i < std::min(first + kTaskSegments, count); i++) {
      const size_t at = i * s.segment;
      const int length = static_cast<int>(std::min(s.segment, bytes - at));
      all = one(context, Nonce(i, i == count - 1).bytes, at, length, i);
    }
    if (!all) good = false;
  });
  return good;
}

// Magnitudes of f32 are ordered as their bits are, NaN above infinity.
float peak_of(const uint8_t* bytes, size_t count) {
  int32_t largest = 0;
  for (size_t i = 0; i + 4 <= count; i += 4) {
    int32_t word;
    memcpy(&word, bytes + i, sizeof word);
    largest = std::max(largest, word & 0x7fffffff);
  }
  float peak;
  memcpy(&peak, &largest, sizeof peak);
  return peak;
}

// A plaintext in pieces, read by segment.
class Pieces {
 public:
  explicit Pieces(const std::vector<Piece>& pieces) : pieces_(pieces) {
    starts_.reserve(pieces.size());
    for (const Piece& piece : pieces) {
      starts_.push_back(bytes_);
      bytes_ += piece.bytes;
    }
  }

  size_t bytes() const { return bytes_; }

  // `length` bytes from `at` on, above 0: where they lie in one piece, or put together in `room`; null without room.
  const uint8_t* at(size_t at, size_t length, std::unique_ptr<uint8_t[]>& room, size_t room_bytes) const {
    size_t i = static_cast<size_t>(std::upper_bound(starts_.begin(), starts_.end(), at) - starts_.begin()) - 1;
    size_t from = at - starts_[i];
    if (from + length <= pieces_[i].bytes) return pieces_[i].data + from;
    if (!room) room.reset(new (std::nothrow) uint8_t[room_bytes]);
    if (!room) return nullptr;
    for (size_t done = 0; done < length; i++, from = 0) {
      const size_t some = std::min(length - done, pieces_[i].bytes - from);
      memcpy(room.get() + done, pieces_[i].data + from, some);
      done += some;
    }
    return room.get();
  }

 private:
  const std::vector<Piece>& pieces_;
  std::vector<size_t> starts_;
  size_t bytes_ = 0;
};

}  // namespace

bool segments_available() { return evp().complete; }

bool seal_segments(const Segments& s, const std::vector<Piece>& plaintext, uint8_t* out) {
  const Evp& e = evp();
  const Pieces pieces(plaintext);
  const auto begin = [&](void* ctx) { return e.encrypt_init(ctx, e.chacha20_poly1305(), nullptr, s.key, nullptr); };
  return each_segment(s, pieces.bytes(), begin, [&](Context& c, const uint8_t* nonce, size_t at, int length, size_t i) {
    void* const ctx = c.ctx;
    const uint8_t* const from = length == 0 ? out : pieces.at(at, static_cast<size_t>(length), c.room, s.segment);
    uint8_t* const to = out + at + i * kSegmentTag;
    int done = 0;
    return from && e.encrypt_init(ctx, nullptr, nullptr, nullptr, nonce) &&
           e.encrypt_update(ctx, nullptr, &done, s.aad, static_cast<int>(s.aad_bytes)) &&
           (length == 0 || e.encrypt_update(ctx, to, &done, from, length)) &&
           e.encrypt_final(ctx, to + length, &done) &&
           e.ctx_ctrl(ctx, kGetTag, static_cast<int>(kSegmentTag), to + length);
  });
}

bool open_segments(const Segments& s, const uint8_t* sealed, uint8_t* out, size_t bytes, float* peaks) {
  const Evp& e = evp();
  const auto begin = [&](void* ctx) { return e.decrypt_init(ctx, e.chacha20_poly1305(), nullptr, s.key, nullptr); };
  const bool opened =
      each_segment(s, bytes, begin, [&](Context& c, const uint8_t* nonce, size_t at, int length, size_t i) {
        void* const ctx = c.ctx;
        const uint8_t* const from = sealed + at + i * kSegmentTag;
        int done = 0;
        const bool good =
            e.decrypt_init(ctx, nullptr, nullptr, nullptr, nonce) &&
            e.ctx_ctrl(ctx, kSetTag, static_cast<int>(kSegmentTag), const_cast<uint8_t*>(from + length)) &&
            e.decrypt_update(ctx, nullptr, &done, s.aad, static_cast<int>(s.aad_bytes)) &&
            (length == 0 || e.decrypt_update(ctx, out + at, &done, from, length)) &&
            e.decrypt_final(ctx, out + at + length, &done);
        if (good && peaks) peaks[i] = peak_of(out + at, static_cast<size_t>(length));
        return good;
      });
  if (!opened) memset(out, 0, bytes);
  return opened;
}

}  // namespace lamina
