//! The inner loop of greedy k-center: squared distances of a block of rows to one center, fused
//! with the minimum over centers and the arg-max over rows.
//!
//! Every path gives the same bits. The order of additions is fixed: value `j` of a row is summed in
//! lane `j % 64`, and the lanes are then added as a tree, the upper half to the lower one until one is
//! left. Multiply and add stay two rounded operations on every path: a fused one would have to be
//! emulated in software where the hardware has none, and a pass over more rows than fit into the
//! cache waits for memory, not for arithmetic. Written with intrinsics because the compiler kept the
//! lanes of the portable source on the stack, at twice the time for rows in the cache.
#![allow(unsafe_code, reason = "loads of whole registers, and functions that need an instruction set")]

#[cfg(target_arch = "x86_64")]
#[allow(clippy::wildcard_imports, reason = "thirty intrinsics, each with a prefix of its own")]
use std::arch::x86_64::*;

use crate::embeddings::Embeddings;
#[cfg(target_arch = "x86_64")]
use crate::instruction_sets::{Level, allows};

/// Four registers of AVX-512, eight of AVX2: enough independent additions to hide their latency.
const LANES: usize = 64;

/// Values of a row are asked for this many ahead of their use, past its end in the next rows. The
/// hardware's own prefetch stops at each page: 20,000 x 384 went from 116 to 66 ns a row, and 512 to
/// 4,096 were alike.
#[cfg(target_arch = "x86_64")]
const PREFETCH_AHEAD: usize = 1024;

/// The row that is farthest from its nearest center.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Farthest {
    /// Its number.
    pub row: usize,
    /// Its squared distance.
    pub squared_distance: f32,
}

impl Farthest {
    /// What any row is farther than.
    pub const NONE: Self = Self { row: 0, squared_distance: f32::NEG_INFINITY };

    /// The farther of an earlier and a later candidate; the earlier one if they are equally far.
    #[must_use]
    pub fn or_later(self, later: Self) -> Self {
        if later.squared_distance > self.squared_distance { later } else { self }
    }
}

/// An instruction set that this machine has: the field is private, so that holding a value proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstructionSet(Path);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl InstructionSet {
    /// All that this machine has and may use, the fastest last.
    #[must_use]
    pub fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut, reason = "nothing to add"))]
        let mut paths = vec![Path::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if allows(Level::Avx2) && std::arch::is_x86_feature_detected!("avx2") {
                paths.push(Path::Avx2);
            }
            if allows(Level::Avx512) && std::arch::is_x86_feature_detected!("avx512f") {
                paths.push(Path::Avx512);
            }
        }
        paths.into_iter().map(Self).collect()
    }

    /// The fastest of them.
    #[must_use]
    pub fn best() -> Self {
        Self::available().pop().unwrap_or(Self(Path::Portable))
    }

    /// What every machine has.
    #[must_use]
    pub fn portable() -> Self {
        Self(Path::Portable)
    }

    /// Squared distance of two rows, with the bits that [`Self::cover`] gives.
    #[must_use]
    pub fn squared_distance(self, x: &[f32], y: &[f32]) -> f32 {
        match self.0 {
            Path::Portable => squared_distance(x, y),
            // SAFETY: `available` is the only maker of this value and has seen AVX2 on this machine.
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => unsafe { squared_distance_avx2::<false>(x, y) },
            // SAFETY: as above, with AVX-512F.
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => unsafe { squared_distance_avx512::<false>(x, y) },
        }
    }

    /// Lowers `nearest` (squared distance of each of `rows` to its nearest center) by one more
    /// center, and returns the row that is now the farthest, the lowest of those equally far.
    ///
    /// A row whose entry is negative stays as it is and loses to every row whose entry is not.
    #[must_use]
    pub fn cover(self, rows: Embeddings<'_>, center: &[f32], nearest: &mut [f32]) -> Farthest {
        match self.0 {
            Path::Portable => cover(rows, center, nearest, squared_distance),
            // SAFETY: `available` is the only maker of this value and has seen AVX2 on this machine.
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => unsafe { cover_avx2(rows, center, nearest) },
            // SAFETY: as above, with AVX-512F.
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => unsafe { cover_avx512(rows, center, nearest) },
        }
    }
}

/// Asks for the values of a row that is used soon: rows in no order come at the latency of memory.
pub fn prefetch_row(row: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in row.chunks(16) {
        // SAFETY: every x86-64 processor has SSE, and the hint reads nothing.
        unsafe { prefetch(line.as_ptr()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}

/// Inlined into a function for each instruction set, so that `squared_distance` can be too.
#[inline(always)]
#[allow(clippy::inline_always, reason = "a call would leave the instruction set of the caller")]
fn cover(
    rows: Embeddings<'_>,
    center: &[f32],
    nearest: &mut [f32],
    squared_distance: impl Fn(&[f32], &[f32]) -> f32,
) -> Farthest {
    let mut farthest = Farthest::NONE;
    for (row, (values, nearest)) in rows.rows().zip(nearest).enumerate() {
        *nearest = nearest.min(squared_distance(values, center));
        farthest = farthest.or_later(Farthest { row, squared_distance: *nearest });
    }
    farthest
}

fn squared_distance(x: &[f32], y: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    for (x, y) in x.chunks(LANES).zip(y.chunks(LANES)) {
        for (lane, (x, y)) in lanes.iter_mut().zip(x.iter().zip(y)) {
            let difference = x - y;
            *lane += difference * difference;
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn cover_avx512(rows: Embeddings<'_>, center: &[f32], nearest: &mut [f32]) -> Farthest {
    cover(rows, center, nearest, |x, y| squared_distance_avx512::<true>(x, y))
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
fn squared_distance_avx512<const IN_ORDER: bool>(x: &[f32], y: &[f32]) -> f32 {
    const WIDTH: usize = 16;
    let mut sums = [_mm512_setzero_ps(); LANES / WIDTH];
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in x.iter().zip(y) {
        for (group, sum) in sums.iter_mut().enumerate() {
            let first = group * WIDTH;
            if IN_ORDER {
                prefetch(x.as_ptr().wrapping_add(first + PREFETCH_AHEAD));
            }
            // SAFETY: `first + WIDTH <= LANES`, the length of both arrays.
            let (x, y) =
                unsafe { (_mm512_loadu_ps(x.as_ptr().add(first)), _mm512_loadu_ps(y.as_ptr().add(first))) };
            let difference = _mm512_sub_ps(x, y);
            *sum = _mm512_add_ps(*sum, _mm512_mul_ps(difference, difference));
        }
    }
    let n_rest = x_rest.len().min(y_rest.len());
    if n_rest > 0 {
        for (group, sum) in sums.iter_mut().enumerate() {
            let first = group * WIDTH;
            let mask = !(u32::MAX << n_rest.saturating_sub(first).min(WIDTH)) as u16;
            // SAFETY: only lanes in the mask are read, and they are below `n_rest`, in both slices.
            let (x, y) = unsafe {
                (
                    _mm512_maskz_loadu_ps(mask, x_rest.as_ptr().wrapping_add(first)),
                    _mm512_maskz_loadu_ps(mask, y_rest.as_ptr().wrapping_add(first)),
                )
            };
            let difference = _mm512_sub_ps(x, y);
            *sum = _mm512_add_ps(*sum, _mm512_mul_ps(difference, difference));
        }
    }
    let sum = _mm512_add_ps(_mm512_add_ps(sums[0], sums[2]), _mm512_add_ps(sums[1], sums[3]));
    let upper = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(sum)));
    sum_of_8(_mm256_add_ps(_mm512_castps512_ps256(sum), upper))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn cover_avx2(rows: Embeddings<'_>, center: &[f32], nearest: &mut [f32]) -> Farthest {
    cover(rows, center, nearest, |x, y| squared_distance_avx2::<true>(x, y))
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn squared_distance_avx2<const IN_ORDER: bool>(x: &[f32], y: &[f32]) -> f32 {
    const WIDTH: usize = 8;
    let mut sums = [_mm256_setzero_ps(); LANES / WIDTH];
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in x.iter().zip(y) {
        for (group, sum) in sums.iter_mut().enumerate() {
            let first = group * WIDTH;
            if IN_ORDER {
                prefetch(x.as_ptr().wrapping_add(first + PREFETCH_AHEAD));
            }
            // SAFETY: `first + WIDTH <= LANES`, the length of both arrays.
            let (x, y) =
                unsafe { (_mm256_loadu_ps(x.as_ptr().add(first)), _mm256_loadu_ps(y.as_ptr().add(first))) };
            let difference = _mm256_sub_ps(x, y);
            *sum = _mm256_add_ps(*sum, _mm256_mul_ps(difference, difference));
        }
    }
    let n_rest = x_rest.len().min(y_rest.len());
    if n_rest > 0 {
        let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        for (group, sum) in sums.iter_mut().enumerate() {
            let first = group * WIDTH;
            let n_lanes = _mm256_set1_epi32(n_rest.saturating_sub(first).min(WIDTH) as i32);
            let mask = _mm256_cmpgt_epi32(n_lanes, lane);
            // SAFETY: only lanes in the mask are read, and they are below `n_rest`, in both slices.
            let (x, y) = unsafe {
                (
                    _mm256_maskload_ps(x_rest.as_ptr().wrapping_add(first), mask),
                    _mm256_maskload_ps(y_rest.as_ptr().wrapping_add(first), mask),
                )
            };
            let difference = _mm256_sub_ps(x, y);
            *sum = _mm256_add_ps(*sum, _mm256_mul_ps(difference, difference));
        }
    }
    for half in [4, 2, 1] {
        for group in 0..half {
            sums[group] = _mm256_add_ps(sums[group], sums[group + half]);
        }
    }
    sum_of_8(sums[0])
}

/// Asks for a cache line; twice for each with registers of half a line, which costs nothing.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse")]
#[allow(unused_unsafe, reason = "the intrinsic is a safe function since a later compiler than ours needs")]
fn prefetch(values: *const f32) {
    // SAFETY: a hint, which reads nothing and never faults, whatever the address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(values.cast()) }
}

/// The last three levels of the tree.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx")]
fn sum_of_8(lanes: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps::<1>(lanes));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;

    /// A center, rows of the same length and their distances before.
    fn blocks() -> impl Strategy<Value = (Vec<f32>, Array2<f32>, Vec<f32>)> {
        (1..300_usize, 1..6_usize).prop_flat_map(|(n_columns, n_rows)| {
            let values = prop::collection::vec(-1e6..1e6_f32, n_rows * n_columns);
            let center = prop::collection::vec(-1e6..1e6_f32, n_columns);
            let nearest = prop::collection::vec(prop_oneof![Just(f32::INFINITY), -1.0..1e15_f32], n_rows);
            (center, values, nearest).prop_map(move |(center, values, nearest)| {
                (
                    center,
                    Array2::from_shape_fn((n_rows, n_columns), |(i, j)| values[i * n_columns + j]),
                    nearest,
                )
            })
        })
    }

    proptest! {
        #[test]
        fn every_instruction_set_gives_the_same_bits((center, rows, before) in blocks()) {
            let rows = Embeddings::new(&rows.view()).unwrap();
            let mut expected = before.clone();
            let farthest = InstructionSet(Path::Portable).cover(rows, &center, &mut expected);
            for set in InstructionSet::available() {
                let mut nearest = before.clone();
                prop_assert_eq!(set.cover(rows, &center, &mut nearest), farthest, "{:?}", set);
                let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&nearest), bits(&expected), "{:?}", set);
            }
        }

        #[test]
        fn sums_are_within_rounding_of_float64((x, rows, _) in blocks()) {
            let y = rows.row(0).to_vec();
            let exact: f64 = x.iter().zip(&y).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum();
            prop_assert!((f64::from(squared_distance(&x, &y)) - exact).abs() <= 2e-6 * exact);
        }
    }

    #[test]
    fn the_lowest_of_equally_far_rows_wins() {
        let rows = ndarray::array![[1.0_f32], [-3.0], [3.0], [2.0]];
        let rows = Embeddings::new(&rows.view()).unwrap();
        for set in InstructionSet::available() {
            let farthest = set.cover(rows, &[0.0], &mut [f32::INFINITY; 4]);
            assert_eq!(farthest, Farthest { row: 1, squared_distance: 9.0 });
        }
    }
}
