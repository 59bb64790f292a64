#pragma once
#include "status.hpp"

namespace lamina {

// Products of reflections in compact form, Q = H_0 H_1 ... = I - V T V^T (Schreiber & Van Loan 1989, "A storage-
// efficient WY representation"), H_j = I - beta_j u_j u_j^T. The u_j are ROWS of v, zero before `lead + j`; T is upper
// triangular (count, count) with the beta_j on its diagonal.
struct Reflections {
  double* v;
  long ld, count, length;  // rows of v and their length
  double* t;
  long lead = 0;
};

// x (from x[0]) becomes u, x -> (alpha, 0, ..., 0). As makeReflector in reference/reflector.ts.
struct Reflector {
  double alpha, beta;
};
Reflector make_reflector(double* x, long length);

// Fills T off its diagonal. false: no memory.
bool couple_all(const Reflections& q);

// vectors (count, length) = rows of (Q R)^T, as qrOfRows in reference/householder-qr.ts has it: triangle (core, count)
// with core = min(count, length), t (core, core), and u_j in the first `core` rows of v, which is (count, ld).
struct QrF64 {
  long count, length, ld;
  const double* vectors;
  double* v;
  double* triangle;
  double* t;
};
Status qr_of_rows(const QrF64& qr);

// out (rows, length) = rows x of `coordinates` (rows, core) as Q x.
Status apply_q(const Reflections& q, const double* coordinates, long rows, double* out);

}  // namespace lamina
