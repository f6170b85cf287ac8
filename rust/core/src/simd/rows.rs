//! Passes over the values of a row, compiled for the baseline of the target, for AVX2 and for
//! AVX-512. Results that decide a pick have the same bits on every path: sums of columns are taken
//! value by value. Those with sums over a row are only ever compared with a margin for rounding.
#![allow(unsafe_code, reason = "a function compiled for an instruction set can only be called so")]

#[cfg(target_arch = "x86_64")]
use crate::instruction_sets::{Level, allows};

/// Lanes of a sum over a row.
const LANES: usize = 16;

/// Compiles an inlined function for each instruction set and calls the best one.
macro_rules! dispatched {
    ($(#[$doc:meta])* $name:ident = $inline:ident($($argument:ident: $kind:ty),*) $(-> $result:ty)?) => {
        $(#[$doc])*
        pub fn $name($($argument: $kind),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512($($argument: $kind),*) $(-> $result)? {
                    $inline($($argument),*)
                }
                #[target_feature(enable = "avx2")]
                fn avx2($($argument: $kind),*) $(-> $result)? {
                    $inline($($argument),*)
                }
                if allows(Level::Avx512)
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                {
                    // SAFETY: the features (AVX-512F is part of each) were detected just above; the
                    // function itself is safe.
                    return unsafe { avx512($($argument),*) };
                }
                if allows(Level::Avx2) && is_x86_feature_detected!("avx2") {
                    // SAFETY: as above.
                    return unsafe { avx2($($argument),*) };
                }
            }
            $inline($($argument),*)
        }
    };
}

dispatched! {
    /// Adds a row to the sums of the columns, and lowers and raises their ends. Whether all of its
    /// values are finite; if not, the columns are spoilt.
    add_to_columns = add_to_columns_inline(row: &[f32], sums: &mut [f64], low: &mut [f32], high: &mut [f32]) -> bool
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "must be compiled into the caller, with its features")]
fn add_to_columns_inline(row: &[f32], sums: &mut [f64], low: &mut [f32], high: &mut [f32]) -> bool {
    let n = row.len();
    let (sums, low, high) = (&mut sums[..n], &mut low[..n], &mut high[..n]);
    let mut n_broken = 0_u32;
    for column in 0..n {
        let value = row[column];
        n_broken += u32::from(!value.is_finite());
        sums[column] += f64::from(value);
        low[column] = if value < low[column] { value } else { low[column] };
        high[column] = if value > high[column] { value } else { high[column] };
    }
    n_broken == 0
}

dispatched! {
    /// Squared distance in float64 of a row to a point, within n 2^-52 of exact relative to itself.
    squared_distance_to_point = squared_distance_to_point_inline(row: &[f32], point: &[f64]) -> f64
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "must be compiled into the caller, with its features")]
fn squared_distance_to_point_inline(row: &[f32], point: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    let ((row, row_rest), (point, point_rest)) = (row.as_chunks::<LANES>(), point.as_chunks::<LANES>());
    for (row, point) in row.iter().zip(point) {
        for lane in 0..LANES {
            let difference = f64::from(row[lane]) - point[lane];
            lanes[lane] += difference * difference;
        }
    }
    let rest = row_rest.iter().zip(point_rest).map(|(&value, point)| (f64::from(value) - point).powi(2));
    lanes.iter().sum::<f64>() + rest.sum::<f64>()
}

/// What quantising one row gave, all within n 2^-52 of exact; the counts are whole numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct RowCodes {
    /// Squared length of what the codes leave out.
    pub squared_error: f64,
    /// Sum of the squared codes.
    pub squared_norm: f64,
    /// Sum of the codes.
    pub sum: f64,
}

dispatched! {
    /// Writes `round((value - center) / scale)`, between -127 and 127, into `codes`.
    quantize = quantize_inline(row: &[f32], center: &[f64], scale: f64, codes: &mut [i8]) -> RowCodes
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "must be compiled into the caller, with its features")]
fn quantize_inline(row: &[f32], center: &[f64], scale: f64, codes: &mut [i8]) -> RowCodes {
    /// Adding 1.5 · 2^52 rounds to an integer that then stands in the low bits of the sum.
    const ROUNDER: f64 = 6_755_399_441_055_744.0;
    let per_scale = scale.recip();
    let one = |value: f32, center: f64| {
        let centered = f64::from(value) - center;
        let steps = centered * per_scale;
        let steps = if steps < 127.0 { steps } else { 127.0 };
        let steps = if steps > -127.0 { steps } else { -127.0 };
        let rounded = steps + ROUNDER;
        let code = rounded - ROUNDER;
        (rounded.to_bits() as i8, code, centered - code * scale)
    };
    let (mut errors, mut norms, mut sums) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    let n_whole = row.len() / LANES * LANES;
    let (row_chunks, row_rest) = row.as_chunks::<LANES>();
    let (center_chunks, center_rest) = center.as_chunks::<LANES>();
    let (codes_chunks, codes_rest) = codes[..row.len()].split_at_mut(n_whole);
    for ((row, center), codes) in
        row_chunks.iter().zip(center_chunks).zip(codes_chunks.as_chunks_mut::<LANES>().0)
    {
        for lane in 0..LANES {
            let (bits, code, left_out) = one(row[lane], center[lane]);
            codes[lane] = bits;
            errors[lane] += left_out * left_out;
            norms[lane] += code * code;
            sums[lane] += code;
        }
    }
    for (lane, ((&value, &center), out)) in row_rest.iter().zip(center_rest).zip(codes_rest).enumerate() {
        let (bits, code, left_out) = one(value, center);
        *out = bits;
        errors[lane] += left_out * left_out;
        norms[lane] += code * code;
        sums[lane] += code;
    }
    RowCodes { squared_error: errors.iter().sum(), squared_norm: norms.iter().sum(), sum: sums.iter().sum() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row_and_point() -> impl Strategy<Value = (Vec<f32>, Vec<f64>)> {
        (1..100_usize).prop_flat_map(|n| {
            (prop::collection::vec(-1e3..1e3_f32, n), prop::collection::vec(-1e3..1e3_f64, n))
        })
    }

    proptest! {
        #[test]
        #[allow(clippy::float_cmp, reason = "codes are whole numbers, and their sums exact")]
        fn codes_and_what_they_leave_out_follow_the_definition((row, center) in row_and_point()) {
            let scale = 9.7;
            let mut codes = vec![0; row.len()];
            let found = quantize(&row, &center, scale, &mut codes);
            let (mut squared_error, mut squared_norm, mut sum) = (0.0, 0.0, 0.0);
            for ((&value, &center), &code) in row.iter().zip(&center).zip(&codes) {
                let centered = f64::from(value) - center;
                prop_assert_eq!(f64::from(code), (centered * scale.recip()).clamp(-127.0, 127.0).round_ties_even());
                squared_error += (centered - f64::from(code) * scale).powi(2);
                squared_norm += f64::from(code).powi(2);
                sum += f64::from(code);
            }
            prop_assert!((found.squared_error - squared_error).abs() <= 1e-12 * squared_error);
            prop_assert_eq!((found.squared_norm, found.sum), (squared_norm, sum));
        }

        #[test]
        fn distances_to_a_point_are_within_rounding((row, point) in row_and_point()) {
            let exact: f64 = row.iter().zip(&point).map(|(&x, y)| (f64::from(x) - y).powi(2)).sum();
            prop_assert!((squared_distance_to_point(&row, &point) - exact).abs() <= 1e-13 * exact);
        }
    }
}
