//! Rows as 8-bit codes, and the proof by which most distances need not be taken.
//!
//! With a center point m and a scale s, row x has the code q = round((x - m) / s), between -127 and
//! 127, and leaves out the error e = |x - (m + s q)|, its true one: also of values that were cut off.
//! The triangle inequality gives, for a row x and a center c,
//!
//! ```text
//! |x - c|  >=  s √I - e_x - e_c        with I = |q_x - q_c|², a whole number and therefore exact
//! ```
//!
//! The squared distance that float32 arithmetic gives is at least `(1 - u)^n (|x - c|² - d 2^-150)`
//! with u = 2^-24: a difference and its square round three times, the sum `ceil(d / 64) + 6` times in a
//! row (see `simd::distance`), n = `ceil(d / 64) + 9` in all, no term is negative, and only a square
//! below 2^-126 loses more, at most 2^-150. A row at squared distance v > 0 from its nearest center
//! therefore stays there if
//!
//! ```text
//! s √I  >=  (1 + n u) √v + √(d 2^-149) + e_x + e_c
//! ```
//!
//! for then `|x - c|² >= (1 + n u)² v + d 2^-149`, and `(1 + n u)² (1 - u)^n >= 1` as long as n u < 1/2,
//! which [`MAX_COLUMNS`](crate::simd::products::MAX_COLUMNS) keeps. Errors are rounded up, and the right side, in float64, is widened by
//! far more than its own rounding. With v = 0 no distance is smaller.

pub mod fine;
pub mod grid;

use self::grid::{Code, Grid};
use crate::Result;
use crate::embeddings::{Embeddings, Survey};
use crate::simd::products::{BLOCK, CenterBlock, Line, ProductKernel, fill_lines, lines_of};
use crate::workers::{KeepOn, Workers, zeros_watched};

/// The largest code. -128 is left out: its magnitude is no signed byte.
const LARGEST_CODE: f64 = 127.0;
/// Wider than the rounding of a dozen float64 operations and of sums over a row.
const WIDENED: f64 = 1.0 + 1e-9;

/// Rows as codes, and centers in blocks.
pub struct Quantized {
    grid: Grid,
    n_columns: usize,
    codes: Vec<i8>,
    /// What is known of each row besides its codes.
    rows: Vec<Code>,
    blocks: Vec<CenterBlock>,
    /// The largest error of a center.
    center_error: f32,
    /// The codes of the newest center.
    newest: Vec<i8>,
}

impl Quantized {
    /// Codes of all rows on a grid that reaches over the surveyed rows, times `factor`.
    ///
    /// `Ok(None)` if there is no kernel, a row is too long for exact sums, all rows are alike, or there is no memory: the
    /// traversal then goes without.
    ///
    /// # Errors
    /// [`Error::Interrupted`](crate::Error::Interrupted).
    pub fn new(
        embeddings: Embeddings<'_>,
        survey: &Survey,
        factor: f64,
        kernel: Option<ProductKernel>,
        workers: &Workers,
        keep_on: &mut KeepOn<'_>,
    ) -> Result<Option<Self>> {
        let (n_rows, n_columns) = (embeddings.n_rows(), embeddings.n_columns());
        let (center, reach) = survey.center_and_reach(factor);
        let Some(grid) = kernel.and_then(|kernel| Grid::new(center, reach, kernel)) else {
            return Ok(None);
        };
        let Some(n_codes) = n_rows.checked_mul(n_columns) else { return Ok(None) };
        let Some(mut codes) = zeros_watched(n_codes, keep_on)? else { return Ok(None) };
        let rows_per_block = embeddings.rows_per_block();
        let len = rows_per_block * n_columns;
        let blocks = workers.map_chunks_mut_watched(&mut codes, len, len, keep_on, |block, codes| {
            let rows =
                embeddings.block(block, rows_per_block).1.rows().zip(codes.chunks_exact_mut(n_columns));
            rows.map(|(row, codes)| grid.encode(row, codes)).collect::<Vec<_>>()
        })?;
        let (rows, newest) = (blocks.concat(), vec![0; n_columns]);
        Ok(Some(Self { grid, n_columns, codes, rows, blocks: Vec::new(), center_error: 0.0, newest }))
    }

    /// The kernel that multiplies the codes.
    pub fn kernel(&self) -> ProductKernel {
        self.grid.kernel()
    }

    /// Lines of a coded row.
    pub fn n_lines(&self) -> usize {
        lines_of(self.n_columns)
    }

    /// Copies the codes of a row into `lines`.
    pub fn stage(&self, row: usize, lines: &mut [Line]) {
        fill_lines(lines, &self.codes[row * self.n_columns..][..self.n_columns]);
    }

    /// The centers so far, [`BLOCK`] in each but the last.
    pub fn blocks(&self) -> &[CenterBlock] {
        &self.blocks
    }

    /// Adds a center. Whether bars made before are too low for it and must be made again.
    pub fn push_center(&mut self, values: &[f32]) -> bool {
        let error = self.grid.encode(values, &mut self.newest).error;
        if self.blocks.last().is_none_or(|block| block.n_centers() == BLOCK) {
            self.blocks.push(CenterBlock::empty(self.n_columns));
        }
        if let Some(block) = self.blocks.last_mut() {
            block.push(self.grid.kernel(), &self.newest, start(&self.newest));
        }
        let is_larger = error > self.center_error;
        self.center_error = self.center_error.max(error);
        is_larger
    }

    /// Sums of staged rows with the newest center, comparable with their bars.
    pub fn sums_with_newest(&self, staged: &[Line], out: &mut Vec<i32>) {
        let kernel = self.grid.kernel();
        kernel.with_one(staged, &kernel.center_lines(&self.newest), out);
        let start = start(&self.newest);
        for sum in out {
            *sum += start;
        }
    }

    /// The bar of a row at squared distance `nearest` from its nearest center: no center whose sum
    /// with the row is at or below the bar is nearer.
    pub fn bar(&self, row: usize, nearest: f32) -> i32 {
        self.grid.bar(self.rows[row], self.center_error, nearest)
    }
}

/// Minus half the squared norm, rounded towards a larger sum.
fn start(codes: &[i8]) -> i32 {
    let squared_norm: i32 = codes.iter().map(|&code| i32::from(code) * i32::from(code)).sum();
    -(squared_norm / 2)
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;
    use crate::embeddings;
    use crate::simd::distance::InstructionSet;
    use crate::simd::products::{Products, TILE};

    /// Rows of one length, far from the origin or not, all of one size or of very different sizes.
    fn points() -> impl Strategy<Value = Array2<f32>> {
        let sizes = (-20..20_i32, prop_oneof![Just(0.0_f32), Just(100.0)], 0..12_i32);
        (2..40_usize, 1..140_usize, sizes).prop_flat_map(|(n_rows, n_columns, (exponent, offset, spread))| {
            let value = (-1.0..1.0_f32, -spread..=0).prop_map(|(value, power)| value * 2f32.powi(power));
            prop::collection::vec(value, n_rows * n_columns).prop_map(move |values| {
                let at = |(i, j)| (values[i * n_columns + j] + offset) * 2f32.powi(exponent);
                Array2::from_shape_fn((n_rows, n_columns), at)
            })
        })
    }

    proptest! {
        /// Whatever bar a row has, a center under it must not be nearer in float32.
        #[test]
        fn a_pair_under_the_bar_is_never_nearer(points in points(), closeness in 0.9..1.1_f32) {
            let points = Embeddings::new(&points.view()).unwrap();
            let workers = Workers::new(Some(1), 1).unwrap();
            let survey = embeddings::survey(points, &workers, &mut || ControlFlow::Continue(())).unwrap();
            let distance = InstructionSet::best();
            for kernel in ProductKernel::available() {
                let keep_on = &mut || ControlFlow::Continue(());
                let Some(mut quantized) =
                    Quantized::new(points, &survey, 1.0, Some(kernel), &workers, keep_on).unwrap()
                else {
                    continue;
                };
                let n_centers = points.n_rows().min(BLOCK);
                for center in 0..n_centers {
                    quantized.push_center(points.row(center));
                }
                let n_lines = quantized.n_lines();
                let mut staged = vec![Line([0; 64]); TILE * n_lines];
                let (mut products, mut sums) = (Products::UNSET, Vec::new());
                for row in 0..points.n_rows() {
                    quantized.stage(row, &mut staged[..n_lines]);
                    kernel.with_block(&staged, 1, &quantized.blocks()[0], &mut products);
                    for center in 0..n_centers {
                        let squared_distance = distance.squared_distance(points.row(row), points.row(center));
                        // A nearest distance just above and below that to this center.
                        let nearest = squared_distance * closeness;
                        let sum = products.0[0][center];
                        let is_nearer = squared_distance < nearest;
                        prop_assert!(!is_nearer || sum > quantized.bar(row, nearest));
                        let just_above = squared_distance.next_up();
                        prop_assert!(sum > quantized.bar(row, just_above));
                        if center == n_centers - 1 {
                            quantized.sums_with_newest(&staged[..n_lines], &mut sums);
                            prop_assert_eq!(sums[0], sum);
                        }
                    }
                }
            }
        }
    }
}
