#pragma once
#include "status.hpp"

namespace lamina {

// Eigenvalues of the symmetric `matrix` (size, size) in falling order and their orthonormal eigenvectors as rows of
// `vectors` (size, size). As symmetricEigen in reference/symmetric-eigen.ts: Householder's tridiagonal form, then
// implicit QL. `no_convergence` after 60 steps for one eigenvalue.
Status symmetric_eigen(long size, const double* matrix, double* values, double* vectors);

}  // namespace lamina
