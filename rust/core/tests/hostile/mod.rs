//! Points that tell kernels apart if anything does.

use ndarray::Array2;

pub const KINDS: [&str; 10] = [
    "without structure",
    "few distinct rows",
    "one row again and again",
    "far from the origin",
    "tiny, squares vanish",
    "subnormal",
    "huge, squares overflow",
    "columns of all magnitudes",
    "whole numbers, zeros of both signs",
    "an outlier",
];

/// Numbers between -1 and 1 without structure.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / 8_388_608.0 - 1.0
    }
}

pub fn points(kind: &str, n_rows: usize, n_columns: usize, seed: u64) -> Array2<f32> {
    let mut numbers = Numbers(seed);
    let mut points = Array2::from_shape_simple_fn((n_rows, n_columns), || numbers.next() + numbers.next());
    match kind {
        "without structure" => {}
        "few distinct rows" => {
            let distinct = points.clone();
            for (row, mut values) in points.rows_mut().into_iter().enumerate() {
                values.assign(&distinct.row((row * row + 3) % n_rows.min(7)));
            }
        }
        "one row again and again" => points.fill(0.1),
        "far from the origin" => points.mapv_inplace(|value| 1e4 + value * 1e-2),
        "tiny, squares vanish" => points.mapv_inplace(|value| value * 1e-30),
        "subnormal" => points.mapv_inplace(|value| value * 1e-42),
        "huge, squares overflow" => points.mapv_inplace(|value| value * 1e30),
        "columns of all magnitudes" => {
            for (column, mut values) in points.columns_mut().into_iter().enumerate() {
                values.mapv_inplace(|value| value * 10_f32.powi(column as i32 % 12 - 6));
            }
        }
        "whole numbers, zeros of both signs" => points.mapv_inplace(f32::round),
        "an outlier" => points.row_mut(n_rows / 2).fill(1e6),
        _ => unreachable!("{kind} is no kind"),
    }
    points
}
