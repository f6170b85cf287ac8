//! Fixed-order vector arithmetic.
