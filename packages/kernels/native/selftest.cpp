// A program that runs the kernels of every instruction set this machine has against the portable ones and against sums
// in double. Not part of the addon: scripts/test-neon.mjs builds it for processors that only an emulator has here.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

#include "attention.hpp"
#include "eigen.hpp"
#include "householder.hpp"
#include "isa.hpp"
#include "linear.hpp"
#include "lm_head.hpp"
#include "pool.hpp"
#include "product_f64.hpp"

using namespace lamina;

namespace {

int failures = 0;

void expect(bool ok, const char* isa, const char* what, long a = 0, long b = 0) {
  if (ok) return;
  failures++;
  std::printf("FAILED %s: %s (%ld, %ld)\n", isa, what, a, b);
}

uint32_t state = 1;
uint32_t random_bits() { return state = state * 1664525u + 1013904223u; }
float random_float() { return static_cast<float>(random_bits() >> 8) / 8388608.0f - 1.0f; }
std::vector<float> floats(long count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = random_float();
  return values;
}
// Half floats between 2^-8 and 2^-4, of both signs.
std::vector<uint16_t> halves(long count) {
  std::vector<uint16_t> values(static_cast<size_t>(count));
  for (uint16_t& value : values)
    value = static_cast<uint16_t>((random_bits() >> 16 & 0x83ff) | (7 + (random_bits() >> 20) % 5) << 10);
  return values;
}
std::vector<uint8_t> bytes(long count, uint32_t below) {
  std::vector<uint8_t> values(static_cast<size_t>(count));
  for (uint8_t& value : values) value = static_cast<uint8_t>((random_bits() >> 12) % below);
  return values;
}

// A random weight of any format and the memory it lies in.
struct Weight {
  std::vector<float> dense, groups, offset = {0.5f};
  std::vector<uint16_t> wide, scales, mins, super_scales, super_mins;
  std::vector<uint8_t> codes, small_scales, small_mins;
  WeightView view;

  Weight(Format format, long rows, long cols) {
    const RowLayout row = row_layout(format, cols);
    view.format = format;
    view.rows = rows;
    view.cols = cols;
    const bool nf4 = format == Format::nf4, packed = format == Format::q4 || format == Format::q4k || nf4;
    if (format == Format::f32) view.codes = (dense = floats(rows * cols)).data();
    else if (row.code_bytes == 2) view.codes = (wide = halves(rows * cols)).data();
    else view.codes = (codes = bytes(rows * row.codes, packed || format == Format::q8 ? 256 : 32)).data();
    if (row.scale_bytes == 1) {
      view.scales = (small_scales = bytes(rows * row.scales, 64)).data();
      view.mins = row.mins ? (small_mins = bytes(rows * row.mins, 64)).data() : nullptr;
    } else {
      view.scales = (scales = halves(rows * row.scales)).data();
      view.mins = (mins = halves(rows * row.mins)).data();
    }
    view.super_scales = (super_scales = halves(rows * row.super_scales)).data();
    view.super_mins = (super_mins = halves(rows * row.super_mins)).data();
    if (nf4) view.super_scales = (groups = floats((rows * view.nf4_blocks() + kNf4Group - 1) / kNf4Group)).data();
    if (nf4) view.offset = offset.data();
  }
};

constexpr Format kFormats[] = {Format::f32, Format::bf16, Format::q8,  Format::q4,  Format::f16,
                               Format::q5,  Format::q4k,  Format::q5k, Format::q6k, Format::nf4};

long cols_for(Format format, long cols) {
  const bool superblocks = format == Format::q4k || format == Format::q5k || format == Format::q6k;
  return superblocks ? (cols + kSuperBlock - 1) / kSuperBlock * kSuperBlock : cols;
}

std::vector<float> unpacked(const char* name, const WeightView& w) {
  set_isa(name);
  std::vector<float> values(static_cast<size_t>(w.rows * w.cols));
  for (long row = 0; row < w.rows; row++) isa().kernels->row(w, row, values.data() + row * w.cols);
  return values;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// |got - want| within a bound for sums of `terms` products: terms * 2^-24 of the sum of their sizes.
bool close(double got, double want, double sizes, long terms) {
  return std::fabs(got - want) <= static_cast<double>(terms + 4) * std::ldexp(1.0, -24) * sizes + 1e-30;
}

void check_linear(const char* name, Format format, long tokens, long in, long out) {
  in = cols_for(format, in);
  const Weight weight(format, out, in);
  const std::vector<float> w = unpacked("portable", weight.view), x = floats(tokens * in), dy = floats(tokens * out);
  expect(same_bits(unpacked(name, weight.view), w), name, "rows differ from the portable ones, format", (long)format,
         in);
  Linear op;
  op.weight = weight.view;
  op.tokens = tokens;
  std::vector<float> y(static_cast<size_t>(tokens * out)), dx(static_cast<size_t>(tokens * in));
  set_isa(name);
  expect(linear_forward(op, x.data(), nullptr, y.data()) == Status::ok, name, "linear_forward");
  expect(linear_backward(op, dy.data(), x.data(), nullptr, dx.data(), nullptr, nullptr) == Status::ok, name,
         "linear_backward");
  bool forward = true, backward = true;
  for (long t = 0; t < tokens; t++) {
    for (long m = 0; m < out; m++) {
      double sum = 0, sizes = 0;
      for (long n = 0; n < in; n++) {
        const double term = static_cast<double>(x[t * in + n]) * w[m * in + n];
        sum += term, sizes += std::fabs(term);
      }
      forward = forward && close(y[t * out + m], sum, sizes, in);
    }
    for (long n = 0; n < in; n++) {
      double sum = 0, sizes = 0;
      for (long m = 0; m < out; m++) {
        const double term = static_cast<double>(dy[t * out + m]) * w[m * in + n];
        sum += term, sizes += std::fabs(term);
      }
      backward = backward && close(dx[t * in + n], sum, sizes, out);
    }
  }
  expect(forward, name, "forward product, format and width", (long)format, in);
  expect(backward, name, "backward product, format and width", (long)format, in);
}

struct Everything {
  std::vector<float> values;

  // Each other op once, over sizes that no vector divides.
  explicit Everything(const char* name) {
    set_isa(name);
    state = 99;
    const KernelSet& k = *isa().kernels;
    const long rows = 7, d = 37;
    const std::vector<float> x = floats(rows * d), g = floats(rows * d), weight = floats(d);
    std::vector<float> y(x.size()), z(x.size());
    k.rms_norm(x.data(), weight.data(), 1e-5f, y.data(), rows, d), keep(y);
    k.rms_norm_grad(g.data(), x.data(), weight.data(), 1e-5f, x.data(), y.data(), rows, d), keep(y);
    k.layer_norm(x.data(), weight.data(), g.data(), 1e-5f, y.data(), rows, d), keep(y);
    k.layer_norm_grad(g.data(), x.data(), weight.data(), 1e-5f, x.data(), y.data(), rows, d), keep(y);
    for (const bool tanh : {false, true}) {
      k.gelu(x.data(), y.data(), rows * d, tanh), keep(y);
      k.gelu_grad(g.data(), x.data(), y.data(), rows * d, tanh), keep(y);
    }
    k.swiglu(x.data(), g.data(), y.data(), rows * d), keep(y);
    k.swiglu_grad(x.data(), g.data(), weight.size() ? x.data() : nullptr, y.data(), z.data(), rows * d), keep(y),
        keep(z);
    std::vector<uint32_t> kept(x.size());
    k.halve(x.data(), kept.data(), rows * d), k.unhalve(kept.data(), y.data(), rows * d), keep(y);
    k.swiglu_keep(x.data(), g.data(), y.data(), kept.data(), rows * d), keep(y);
    k.swiglu_of_kept(kept.data(), y.data(), rows * d), keep(y);
    k.swiglu_grad_of_kept(g.data(), kept.data(), y.data(), z.data(), rows * d), keep(y), keep(z);
    attend(rows * 5);
    std::vector<float> p = x, m(x.size()), v(x.size());
    k.adamw(p.data(), g.data(), m.data(), v.data(), rows * d, {0.999f, 0.9f, 0.999f, 0.1f, 1.1f, 1e-8f, 0.5f});
    keep(p);
    lora(19, d, 23, 5);
    head(9, d, 300);
  }

  void keep(const std::vector<float>& more) { values.insert(values.end(), more.begin(), more.end()); }

  void attend(long tokens) {
    const AttentionShape shape{tokens, 4, 2, 12, 0.3f};
    const int32_t offsets[] = {0, 3, static_cast<int32_t>(tokens)};
    const std::vector<float> q = floats(tokens * 48), k = floats(tokens * 24), v = floats(tokens * 24);
    std::vector<float> y(q.size()), dq(q.size()), dk(k.size()), dv(v.size());
    attention_forward(shape, offsets, 2, false, q.data(), k.data(), v.data(), y.data());
    attention_backward(shape, offsets, 2, false, y.data(), q.data(), k.data(), v.data(), dq.data(), dk.data(),
                       dv.data());
    keep(y), keep(dq), keep(dk), keep(dv);
  }

  void lora(long tokens, long in, long out, long rank) {
    const std::vector<float> w = floats(out * in), a = floats(rank * in), b = floats(out * rank),
                             x = floats(tokens * in), dy = floats(tokens * out);
    std::vector<float> y(dy.size()), dx(x.size()), da(a.size()), db(b.size());
    Linear op;
    op.weight = dense_view(w.data(), out, in);
    op.lora = {rank, a.data(), b.data()};
    op.scale = 1.5f;
    op.dropout = 0.25;
    op.tokens = tokens;
    linear_forward(op, x.data(), nullptr, y.data());
    linear_backward(op, dy.data(), x.data(), nullptr, dx.data(), da.data(), db.data());
    keep(y), keep(dx), keep(da), keep(db);
  }

  void head(long tokens, long in, long vocabulary) {
    const std::vector<float> w = floats(vocabulary * in), x = floats(tokens * in);
    std::vector<int32_t> targets(static_cast<size_t>(tokens), 3);
    std::vector<float> scores(2), dx(x.size());
    lm_head(dense_view(w.data(), vocabulary, in), x.data(), targets.data(), tokens, Precision::f32, scores.data(),
            dx.data());
    keep(scores), keep(dx);
  }
};

// Other lanes sum in another order: within 1e-4 of the largest value of about 1, far below what a wrong lane gives.
void check_everything(const char* name) {
  const std::vector<float> want = Everything("portable").values, got = Everything(name).values;
  expect(want.size() == got.size(), name, "number of values", (long)want.size(), (long)got.size());
  for (size_t i = 0; i < want.size(); i++)
    if (!(std::fabs(got[i] - want[i]) <= 1e-4f * (1.0f + std::fabs(want[i])))) {
      expect(false, name, "an op differs from the portable one at value", (long)i);
      return;
    }
}

// f64: vectors (count, length) come back from their QR, and A v = lambda v for their Gram matrix, to 8 roundings for
// each of count * length terms.
void check_f64(const char* name, long count, long length) {
  set_isa(name);
  const long core = count < length ? count : length, ld = spread(length);
  std::vector<double> vectors(static_cast<size_t>(count * length)), v(static_cast<size_t>(count * ld)),
      triangle(static_cast<size_t>(core * count)), t(static_cast<size_t>(core * core)), back(vectors.size()),
      coordinates(triangle.size()), gram(static_cast<size_t>(count * count)), values(static_cast<size_t>(count)),
      rows(gram.size());
  double energy = 0;
  for (double& value : vectors) value = random_float(), energy += value * value;
  expect(qr_of_rows({count, length, ld, vectors.data(), v.data(), triangle.data(), t.data()}) == Status::ok, name,
         "qr_of_rows");
  for (long i = 0; i < count; i++)
    for (long j = 0; j < core; j++) coordinates[i * core + j] = triangle[j * count + i];
  expect(apply_q({v.data(), ld, core, length, t.data()}, coordinates.data(), count, back.data()) == Status::ok, name,
         "apply_q");
  const double unit = 8.0 * static_cast<double>(count * length) * std::ldexp(1.0, -53);
  double error = 0;
  for (size_t i = 0; i < back.size(); i++) error += (back[i] - vectors[i]) * (back[i] - vectors[i]);
  expect(std::sqrt(error) <= unit * std::sqrt(energy), name, "QR of doubles", count, length);
  expect(row_dots({vectors.data(), length, count, vectors.data(), length, count, length, gram.data(), count}), name,
         "row_dots");
  expect(symmetric_eigen(count, gram.data(), values.data(), rows.data()) == Status::ok, name, "symmetric_eigen");
  double worst = 0;
  for (long k = 0; k < count; k++)
    for (long i = 0; i < count; i++) {
      double sum = -values[k] * rows[k * count + i];
      for (long j = 0; j < count; j++) sum += gram[i * count + j] * rows[k * count + j];
      worst = std::fmax(worst, std::fabs(sum));
    }
  expect(worst <= unit * energy, name, "eigenvectors", count, length);
}

}  // namespace

int main() {
  int count = 0;
  const char* const* names = usable_isas(count);
  for (int i = 0; i < count; i++) {
    const long shapes[][3] = {{1, 1, 1}, {13, 15, 33}, {5, 33, 17}, {26, 70, 100}, {3, 130, 31}, {12, 300, 8}};
    for (const Format format : kFormats)
      for (const auto& shape : shapes) check_linear(names[i], format, shape[0], shape[1], shape[2]);
    check_everything(names[i]);
    for (const auto& shape : {std::pair<long, long>{1, 1}, {3, 50}, {37, 600}, {40, 9}})
      check_f64(names[i], shape.first, shape.second);
    std::printf("%s: checked\n", names[i]);
  }
  std::printf(failures ? "%d failures\n" : "all equal\n", failures);
  return failures ? 1 : 0;
}
