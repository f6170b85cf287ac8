//! Vectorised arithmetic in a fixed order. The loops are plain Rust over 16 lanes, compiled twice:
//! for the baseline of the target and for AVX2, chosen at run time. Both do the same IEEE
//! operations in the same order (Rust never fuses a multiply and an add), so results are equal to
//! the bit on every instruction set and for any number of threads.

use std::fmt::{Debug, Display};

pub mod distance;

/// Lanes of a sum. Element `i` of a run goes to lane `i % 16`; the last `r = n % 16` elements go to
/// the last `r` lanes; the lanes are then added pairwise, 8 + 8, 4 + 4, 2 + 2, 1 + 1.
const N_LANES: usize = 16;

/// float32 or float64.
pub trait Real: Copy + PartialOrd + Send + Sync + Debug + Display + Into<f64> {
    /// 0, which pads a short run.
    const ZERO: Self;

    /// The nearest value of this type.
    fn from_f64(value: f64) -> Self;
}

impl Real for f32 {
    const ZERO: Self = 0.0;

    fn from_f64(value: f64) -> Self {
        value as Self
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;

    fn from_f64(value: f64) -> Self {
        value
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
    #[inline]
    #[allow(clippy::needless_bitwise_bool, reason = "a branch would keep the loop from vectorising")]
    pub fn take(&self, value: T) -> bool {
        // Not `!(value < …)`: a NaN must fail.
        (value >= self.lowest_taken) & (value <= self.highest_taken)
    }

    #[inline]
    pub fn clip(&self, value: T) -> T {
        let value = if value > self.floor { value } else { self.floor };
        if value < self.ceiling { value } else { self.ceiling }
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
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        #[allow(unsafe_code, reason = "a function compiled for AVX2 can only be called so")]
        // SAFETY: AVX2 was detected on the line above; the function itself is safe Rust.
        return unsafe { reduce_runs_avx2(values, ends, limits, reduction, out) };
    }
    reduce_runs_inline(values, ends, limits, reduction, out)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn reduce_runs_avx2<T: Real>(
    values: &[T],
    ends: &[i64],
    limits: Limits<T>,
    reduction: Reduction,
    out: &mut [f64],
) -> bool {
    reduce_runs_inline(values, ends, limits, reduction, out)
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "must be compiled into the caller, with its features")]
fn reduce_runs_inline<T: Real>(
    values: &[T],
    ends: &[i64],
    limits: Limits<T>,
    reduction: Reduction,
    out: &mut [f64],
) -> bool {
    let mut all_taken = true;
    for (bounds, reduced) in ends.windows(2).zip(out) {
        let run = &values[(bounds[0] - ends[0]) as usize..(bounds[1] - ends[0]) as usize];
        let (value, is_taken) = match reduction {
            Reduction::Sum => {
                let (lanes, is_taken) = fold_lanes(run, limits, 0.0, |lane, value| lane + value);
                (add_pairwise(lanes), is_taken)
            }
            Reduction::Minimum => {
                let least = |lane: f64, value: f64| if value < lane { value } else { lane };
                let ceiling = limits.ceiling.into();
                let (lanes, is_taken) = fold_lanes(run, limits, ceiling, least);
                (lanes.into_iter().fold(ceiling, least), is_taken)
            }
        };
        *reduced = value;
        all_taken &= is_taken;
    }
    all_taken
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "must be compiled into the caller, with its features")]
fn fold_lanes<T: Real>(
    run: &[T],
    limits: Limits<T>,
    initial: f64,
    fold: impl Fn(f64, f64) -> f64,
) -> ([f64; N_LANES], bool) {
    let mut lanes = [initial; N_LANES];
    let mut n_refused = [0_u32; N_LANES];
    let mut take = |chunk: &[T; N_LANES]| {
        for lane in 0..N_LANES {
            n_refused[lane] |= u32::from(!limits.take(chunk[lane]));
            lanes[lane] = fold(lanes[lane], limits.clip(chunk[lane]).into());
        }
    };
    let (chunks, tail) = run.as_chunks::<N_LANES>();
    for chunk in chunks {
        take(chunk);
    }
    if !tail.is_empty() {
        // The pad must change nothing: 0 for a sum, the ceiling for a minimum.
        let mut padded = [T::from_f64(initial); N_LANES];
        let first = N_LANES - tail.len();
        if let Some(window) = run.last_chunk::<N_LANES>() {
            for lane in 0..N_LANES {
                padded[lane] = if lane >= first { window[lane] } else { padded[lane] };
            }
        } else {
            padded[first..].copy_from_slice(tail);
        }
        take(&padded);
    }
    (lanes, n_refused.iter().all(|&refused| refused == 0))
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "must be compiled into the caller, with its features")]
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

/// Replaces each value, which must be at most 0 and not NaN, by its exponential.
///
/// Within one unit in the last place; below e^-708 the result is 0. Our own so that the same input
/// gives the same bytes whatever libm the platform has, and because it vectorises.
pub fn exponentiate_nonpositive(values: &mut [f64]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        #[allow(unsafe_code, reason = "a function compiled for AVX2 can only be called so")]
        // SAFETY: AVX2 was detected on the line above; the function itself is safe Rust.
        return unsafe { exponentiate_nonpositive_avx2(values) };
    }
    exponentiate_nonpositive_inline(values);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn exponentiate_nonpositive_avx2(values: &mut [f64]) {
    exponentiate_nonpositive_inline(values);
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

    const LOGPROBS: Limits<f64> = Limits {
        lowest_taken: f64::NEG_INFINITY,
        highest_taken: 1e-3,
        floor: f64::NEG_INFINITY,
        ceiling: 0.0,
    };

    fn both(values: &[f64], reduction: Reduction) -> (f64, f64, bool) {
        let ends = [0, values.len() as i64];
        let (mut dispatched, mut portable) = ([f64::NAN], [f64::NAN]);
        let taken = reduce_runs(values, &ends, LOGPROBS, reduction, &mut dispatched);
        let taken_too = reduce_runs_inline(values, &ends, LOGPROBS, reduction, &mut portable);
        assert_eq!(taken, taken_too);
        (dispatched[0], portable[0], taken)
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        for n in 0..200_u32 {
            let values: Vec<f64> = (0..n).map(|i| -f64::from((i * 7919) % 1009) / 97.0).collect();
            let (dispatched, portable, _) = both(&values, Reduction::Sum);
            assert_eq!(dispatched.to_bits(), portable.to_bits());
            assert!((dispatched - values.iter().sum::<f64>()).abs() <= 1e-12 * dispatched.abs());
            let (dispatched, portable, _) = both(&values, Reduction::Minimum);
            assert_eq!(dispatched.to_bits(), portable.to_bits());
            assert_eq!(dispatched.to_bits(), values.iter().copied().fold(0.0, f64::min).to_bits());
        }
    }

    #[test]
    fn a_refused_value_is_seen_at_every_place() {
        for n in 1..60 {
            for place in 0..n {
                for refused in [f64::NAN, f64::INFINITY, 0.5] {
                    let mut values = vec![-1.0; n];
                    values[place] = refused;
                    assert!(!both(&values, Reduction::Sum).2);
                    assert!(!both(&values, Reduction::Minimum).2);
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
