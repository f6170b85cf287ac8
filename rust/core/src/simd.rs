//! Vectorised arithmetic in a fixed order. AVX2 and a portable fallback, chosen at run time, do the
//! same IEEE operations in the same order (Rust never fuses a multiply and an add), so results are
//! equal to the bit on every instruction set and for any number of threads.

use std::fmt::{Debug, Display};

#[cfg(target_arch = "x86_64")]
use crate::instruction_sets::{Level, allows};

pub mod distance;
pub mod products;
pub mod rows;

/// Lanes of a sum. Element `i` of a run goes to lane `i % 16`; the last `r = n % 16` elements go to
/// the last `r` lanes; the lanes are then added pairwise, 8 + 8, 4 + 4, 2 + 2, 1 + 1.
const N_LANES: usize = 16;
#[cfg(target_arch = "x86_64")]
const PREFETCH_BYTES: usize = 4096;

/// float32 or float64.
pub trait Real: Copy + PartialOrd + Send + Sync + Debug + Display + Into<f64> {
    /// 0, which pads a short run.
    const ZERO: Self;

    /// The nearest value of this type.
    fn from_f64(value: f64) -> Self;

    /// Sums each run and says whether every value was one of those taken.
    fn sum_runs(values: &[Self], ends: &[i64], limits: Limits<Self>, out: &mut [f64]) -> bool;
}

impl Real for f32 {
    const ZERO: Self = 0.0;

    fn from_f64(value: f64) -> Self {
        value as Self
    }

    fn sum_runs(values: &[Self], ends: &[i64], limits: Limits<Self>, out: &mut [f64]) -> bool {
        #[cfg(target_arch = "x86_64")]
        if allows(Level::Avx2) && is_x86_feature_detected!("avx2") {
            #[allow(unsafe_code, reason = "a function compiled for AVX2 can only be called so")]
            // SAFETY: AVX2 was detected on the line above; the function itself is safe Rust.
            return unsafe { sum_runs_avx2(values, ends, limits, out) };
        }
        sum_runs_portable(values, ends, limits, out)
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;

    fn from_f64(value: f64) -> Self {
        value
    }

    fn sum_runs(values: &[Self], ends: &[i64], limits: Limits<Self>, out: &mut [f64]) -> bool {
        sum_runs_portable(values, ends, limits, out)
    }
}

/// Which values are taken, and the interval that those just outside (by rounding) are moved into.
/// 0 must lie in both.
#[derive(Debug, Clone, Copy)]
pub struct Limits<T> {
    pub lowest_taken: T,
    pub highest_taken: T,
    pub floor: T,
    pub ceiling: T,
}

impl<T: Real> Limits<T> {
    pub fn take(&self, value: T) -> bool {
        value >= self.lowest_taken && value <= self.highest_taken
    }

    /// A NaN stays one.
    fn clip(&self, value: T) -> T {
        let value = if value < self.floor { self.floor } else { value };
        if value > self.ceiling { self.ceiling } else { value }
    }
}

/// What is computed of each run of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    Sum,
    Minimum,
}

/// Reduces the runs `values[ends[i] - start .. ends[i + 1] - start]` with `start = ends[0]`, and
/// says whether every value was one of those taken. An empty run gives 0 as its sum and the
/// ceiling as its minimum.
pub fn reduce_runs<T: Real>(
    values: &[T],
    ends: &[i64],
    limits: Limits<T>,
    reduction: Reduction,
    out: &mut [f64],
) -> bool {
    match reduction {
        Reduction::Sum => T::sum_runs(values, ends, limits, out),
        Reduction::Minimum => minimum_of_runs(values, ends, limits, out),
    }
}

fn runs<'a, T>(values: &'a [T], ends: &'a [i64]) -> impl Iterator<Item = &'a [T]> {
    ends.windows(2).map(|bounds| &values[(bounds[0] - ends[0]) as usize..(bounds[1] - ends[0]) as usize])
}

fn minimum_of_runs<T: Real>(values: &[T], ends: &[i64], limits: Limits<T>, out: &mut [f64]) -> bool {
    let mut all_taken = true;
    for (run, reduced) in runs(values, ends).zip(out) {
        let mut least = limits.ceiling;
        for &value in run {
            least = if value < least { value } else { least };
            all_taken &= limits.take(value);
        }
        *reduced = limits.clip(least).into();
    }
    all_taken
}

fn sum_runs_portable<T: Real>(values: &[T], ends: &[i64], limits: Limits<T>, out: &mut [f64]) -> bool {
    let mut all_taken = true;
    for (run, sum) in runs(values, ends).zip(out) {
        let mut lanes = [0.0; N_LANES];
        let (chunks, tail) = run.as_chunks::<N_LANES>();
        let mut padded = [T::ZERO; N_LANES];
        padded[N_LANES - tail.len()..].copy_from_slice(tail);
        for chunk in chunks.iter().chain([&padded]) {
            for (lane, &value) in lanes.iter_mut().zip(chunk) {
                *lane += limits.clip(value).into();
                all_taken &= limits.take(value);
            }
        }
        *sum = add_pairwise(lanes);
    }
    all_taken
}

/// As [`sum_runs_portable`]; what is refused shows without a test for each value: a NaN in the sum,
/// the rest in the extremes of each lane, which are looked at once for all runs.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn sum_runs_avx2(values: &[f32], ends: &[i64], limits: Limits<f32>, out: &mut [f64]) -> bool {
    #[allow(clippy::wildcard_imports, reason = "two dozen intrinsics that their prefix tells apart")]
    use std::arch::x86_64::*;

    let (floor, ceiling) = (_mm256_set1_ps(limits.floor), _mm256_set1_ps(limits.ceiling));
    let (mut lowest, mut highest) = (ceiling, floor);
    let mut is_any_nan = false;
    for (run, sum) in runs(values, ends).zip(out) {
        let mut lanes = [_mm256_setzero_pd(); 4];
        let mut add = |half: usize, values: __m256| {
            // The second operand is returned when one is NaN: extremes pass over it, the sum keeps it.
            lowest = _mm256_min_ps(values, lowest);
            highest = _mm256_max_ps(values, highest);
            let clipped = _mm256_min_ps(ceiling, _mm256_max_ps(floor, values));
            let (left, right) = (_mm256_castps256_ps128(clipped), _mm256_extractf128_ps::<1>(clipped));
            lanes[2 * half] = _mm256_add_pd(lanes[2 * half], _mm256_cvtps_pd(left));
            lanes[2 * half + 1] = _mm256_add_pd(lanes[2 * half + 1], _mm256_cvtps_pd(right));
        };
        let (chunks, tail) = run.as_chunks::<N_LANES>();
        for chunk in chunks {
            // A page ahead, where the hardware's own prefetching stops: a quarter less time for values
            // that are not in the cache.
            let ahead = chunk.as_ptr().cast::<i8>().wrapping_add(PREFETCH_BYTES);
            #[allow(unsafe_code, unused_unsafe, reason = "older compilers call this intrinsic unsafe")]
            // SAFETY: a prefetch is a hint that reads nothing into the program; any address is allowed.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(ahead);
            }
            add(0, load(chunk, 0));
            add(1, load(chunk, 1));
        }
        if let (Some(window), false) = (run.last_chunk::<N_LANES>(), tail.is_empty()) {
            // The last 16 values with those summed already put to 0.
            let n_summed = _mm256_set1_epi32((N_LANES - tail.len()) as i32);
            let places = _mm256_setr_epi32(1, 2, 3, 4, 5, 6, 7, 8);
            let left = _mm256_castsi256_ps(_mm256_cmpgt_epi32(places, n_summed));
            let places = _mm256_add_epi32(places, _mm256_set1_epi32(8));
            let right = _mm256_castsi256_ps(_mm256_cmpgt_epi32(places, n_summed));
            add(0, _mm256_and_ps(load(window, 0), left));
            add(1, _mm256_and_ps(load(window, 1), right));
        } else if !tail.is_empty() {
            let mut padded = [0.0; N_LANES];
            padded[N_LANES - tail.len()..].copy_from_slice(tail);
            add(0, load(&padded, 0));
            add(1, load(&padded, 1));
        }
        let eight = [_mm256_add_pd(lanes[0], lanes[2]), _mm256_add_pd(lanes[1], lanes[3])];
        let four = _mm256_add_pd(eight[0], eight[1]);
        let two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd::<1>(four));
        *sum = _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
        is_any_nan |= sum.is_nan();
    }
    let is_low = _mm256_cmp_ps::<_CMP_LT_OQ>(lowest, _mm256_set1_ps(limits.lowest_taken));
    let is_high = _mm256_cmp_ps::<_CMP_GT_OQ>(highest, _mm256_set1_ps(limits.highest_taken));
    !is_any_nan && _mm256_movemask_ps(_mm256_or_ps(is_low, is_high)) == 0
}

/// Half of a chunk; the eight scalar loads become one.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn load(chunk: &[f32; N_LANES], half: usize) -> std::arch::x86_64::__m256 {
    let v = &chunk[8 * half..8 * half + 8];
    std::arch::x86_64::_mm256_setr_ps(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7])
}

fn add_pairwise(mut lanes: [f64; N_LANES]) -> f64 {
    let mut half = N_LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Runs a loop compiled for AVX2 where there is AVX2. It must be inlined for that to have an effect.
#[inline]
pub fn vectorized<R>(run: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn with_avx2<R>(run: impl FnOnce() -> R) -> R {
            run()
        }
        if allows(Level::Avx2) && is_x86_feature_detected!("avx2") {
            #[allow(unsafe_code, reason = "a function compiled for AVX2 can only be called so")]
            // SAFETY: AVX2 was detected on the line above; the function itself is safe Rust.
            return unsafe { with_avx2(run) };
        }
    }
    run()
}

/// Replaces each value, which must be at most 0 and not NaN, by its exponential.
///
/// Within one unit in the last place; below e^-708 the result is 0. Our own so that the same input
/// gives the same bytes whatever libm the platform has, and because it vectorises.
pub fn exponentiate_nonpositive(values: &mut [f64]) {
    vectorized(
        #[inline(always)]
        || exponentiate_nonpositive_inline(values),
    );
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "must be compiled into the caller, with its features")]
fn exponentiate_nonpositive_inline(values: &mut [f64]) {
    // Adding 1.5 · 2^52 rounds to an integer that then stands in the low bits of the sum.
    const ROUNDER: f64 = 6_755_399_441_055_744.0;
    // ln 2 in two parts: the first has 32 trailing zero bits, so its multiples are exact (fdlibm).
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const LOWEST: f64 = -708.0;
    // 1/13!, …, 1/2!, 1, 1: the first term left out is below 5e-18 on |r| <= ln(2) / 2.
    const INVERSE_FACTORIALS: [f64; 14] = [
        1.0 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        1.0 / 2.0,
        1.0,
        1.0,
    ];
    for value in values {
        let x = if *value > LOWEST { *value } else { LOWEST };
        let rounded = x * std::f64::consts::LOG2_E + ROUNDER;
        let power = rounded - ROUNDER;
        let rest = (x - power * LN_2_HIGH) - power * LN_2_LOW;
        let series = INVERSE_FACTORIALS.iter().fold(0.0, |sum, factor| sum * rest + factor);
        let exponent = rounded.to_bits().wrapping_sub(ROUNDER.to_bits()).wrapping_add(1023);
        let exponential = series * f64::from_bits(exponent << 52);
        *value = if *value > LOWEST { exponential } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGPROBS: Limits<f32> = Limits {
        lowest_taken: f32::NEG_INFINITY,
        highest_taken: 1e-3,
        floor: f32::NEG_INFINITY,
        ceiling: 0.0,
    };
    const MARGINS: Limits<f32> =
        Limits { lowest_taken: -1e-3, highest_taken: 1.001, floor: 0.0, ceiling: 1.0 };

    fn sum(values: &[f32], limits: Limits<f32>) -> (f64, bool) {
        let ends = [0, values.len() as i64];
        let (mut dispatched, mut portable) = ([f64::NAN], [f64::NAN]);
        let taken = reduce_runs(values, &ends, limits, Reduction::Sum, &mut dispatched);
        assert_eq!(taken, sum_runs_portable(values, &ends, limits, &mut portable));
        if taken {
            assert_eq!(dispatched[0].to_bits(), portable[0].to_bits());
        }
        (dispatched[0], taken)
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        for n in 0..200_u16 {
            let values: Vec<f32> = (0..n).map(|i| -f32::from((i * 79) % 1009) / 97.0).collect();
            let (total, taken) = sum(&values, LOGPROBS);
            let naive: f64 = values.iter().copied().map(f64::from).sum();
            assert!(taken && (total - naive).abs() <= 1e-12 * naive.abs());
            let wide: Vec<f64> = values.iter().copied().map(f64::from).collect();
            let mut of_wide = [f64::NAN];
            let limits = Limits { lowest_taken: -1e9, highest_taken: 0.0, floor: -1e9, ceiling: 0.0 };
            assert!(reduce_runs(&wide, &[0, i64::from(n)], limits, Reduction::Sum, &mut of_wide));
            assert_eq!(of_wide[0].to_bits(), total.to_bits());
        }
    }

    #[test]
    fn what_rounding_pushed_out_is_clipped() {
        for n in 1..60 {
            assert_eq!(sum(&vec![9e-4; n], LOGPROBS), (0.0, true));
            assert_eq!(sum(&vec![1.0009; n], MARGINS), (n as f64, true));
            assert_eq!(sum(&vec![-9e-4; n], MARGINS), (0.0, true));
            assert_eq!(sum(&vec![f32::NEG_INFINITY; n], LOGPROBS), (f64::NEG_INFINITY, true));
        }
    }

    #[test]
    fn a_refused_value_is_seen_at_every_place() {
        for n in 1..60 {
            for place in 0..n {
                for (limits, refused) in [
                    (LOGPROBS, f32::NAN),
                    (LOGPROBS, f32::INFINITY),
                    (LOGPROBS, 0.5),
                    (MARGINS, f32::NAN),
                    (MARGINS, f32::NEG_INFINITY),
                    (MARGINS, -0.01),
                    (MARGINS, 1.01),
                ] {
                    let mut values = vec![limits.ceiling; n];
                    values[place] = refused;
                    assert!(!sum(&values, limits).1);
                    let ends = [0, n as i64];
                    assert!(!reduce_runs(&values, &ends, limits, Reduction::Minimum, &mut [0.0]));
                }
            }
        }
    }

    #[test]
    fn the_exponential_is_within_two_units_in_the_last_place_of_libm() {
        let inputs: Vec<f64> = (0..200_000).map(|i| -f64::from(i) * 0.003_539).collect();
        let (mut dispatched, mut portable) = (inputs.clone(), inputs.clone());
        exponentiate_nonpositive(&mut dispatched);
        exponentiate_nonpositive_inline(&mut portable);
        for ((input, ours), portable) in inputs.iter().zip(dispatched).zip(portable) {
            assert_eq!(ours.to_bits(), portable.to_bits());
            let libm = if *input > -708.0 { input.exp() } else { 0.0 };
            assert!((ours - libm).abs() <= 2.0 * f64::EPSILON * libm, "{input}: {ours} {libm}");
        }
        let mut edges = [0.0, f64::NEG_INFINITY, -708.1, -1e300];
        exponentiate_nonpositive(&mut edges);
        assert_eq!(edges.map(f64::to_bits), [1.0, 0.0, 0.0, 0.0_f64].map(f64::to_bits));
    }
}
