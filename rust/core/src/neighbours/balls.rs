//! In how many balls a point lies.
//!
//! Whether row c may be nearer to a point than its radius is one comparison of a sum of codes with a
//! number that depends on c alone, half the squared number of steps that the radius and the errors
//! span. It is part of what the sums of c start from, so that every ball has a bar of its own.

use std::ops::Range;

use super::{BASE, BOTH, QUERIES, check_shapes};
use crate::embeddings::Embeddings;
use crate::embeddings::pair::Pair;
use crate::k_center::Metric;
use crate::quantization::grid::Grid;
use crate::simd::distance::InstructionSet;
use crate::simd::products::{BLOCK, CenterBlock, Line, ProductKernel, Products, TILE, fill_lines, lines_of};
use crate::workers::{KeepOn, Workers};
use crate::{Error, Result, error, limits};

/// Values that one thread may multiply between two calls of `proceed`.
const VALUES_PER_SLICE: usize = 1 << 31;
/// Points that meet the same balls while these are in the second-level cache.
const GROUP_ROWS: usize = 256;
/// Balls that they meet before the next: 192 KiB of codes for 384 columns.
const BLOCKS_PER_WINDOW: usize = 16;
/// Coding a ball costs as much as some distances, so it must serve more points than that.
const MIN_CODED_POINTS: usize = 8;

/// Counts, for every query, the rows of `base` that are nearer than their radius.
///
/// The distances are those of [`super::nearest_neighbours`] to the bit. `proceed` is called on the
/// calling thread now and then; once it breaks, nothing is returned.
///
/// # Errors
/// As [`super::nearest_neighbours`], and [`Error::Array`] if there is not one radius for each row of
/// `base`, or one is NaN.
pub fn ball_counts(
    queries: Embeddings<'_>,
    base: Embeddings<'_>,
    radii: &[f32],
    metric: Metric,
    n_threads: Option<usize>,
    proceed: &mut KeepOn<'_>,
) -> Result<Vec<i64>> {
    error::or_nothing(count(queries, base, radii, metric, n_threads, proceed))
}

fn count(
    queries: Embeddings<'_>,
    base: Embeddings<'_>,
    radii: &[f32],
    metric: Metric,
    n_threads: Option<usize>,
    proceed: &mut KeepOn<'_>,
) -> Result<Vec<i64>> {
    check_shapes(queries, base, false)?;
    check_radii(radii, base.n_rows())?;
    let workers = Workers::new(n_threads, queries.n_rows().div_ceil(TILE).max(base.n_blocks()))?;
    let pair = Pair::prepare([QUERIES, BASE, BOTH], queries, base, metric, &workers, proceed)?;
    let (queries, base) = pair.views(queries, base);
    let kernel = ProductKernel::best().filter(|_| queries.n_rows() >= MIN_CODED_POINTS);
    let grid = kernel.and_then(|kernel| pair.grid(kernel));
    let balls = Balls { queries, base, radii, scale: pair.scale, distance: InstructionSet::best() };
    Ok(balls.count(grid.as_ref(), &workers, proceed))
}

fn check_radii(radii: &[f32], n_rows: usize) -> Result<()> {
    const ALLOWED: &str = "one number for each row of base";
    if radii.len() != n_rows {
        let was = format!("{} numbers, and base has {n_rows} rows", radii.len());
        return Err(Error::array("radii", was, ALLOWED));
    }
    match radii.iter().position(|radius| radius.is_nan()) {
        Some(entry) => Err(Error::array("radii", format!("entry {entry} is NaN"), ALLOWED)),
        None => Ok(()),
    }
}

/// Balls around rows, and the points that may lie in them.
struct Balls<'a> {
    queries: Embeddings<'a>,
    base: Embeddings<'a>,
    radii: &'a [f32],
    /// The rows are this times the caller's.
    scale: f64,
    distance: InstructionSet,
}

impl Balls<'_> {
    fn holds(&self, row: usize, query: usize) -> bool {
        let squared_distance = self.distance.squared_distance(self.queries.row(query), self.base.row(row));
        let distance = (f64::from(squared_distance).sqrt() / self.scale) as f32;
        distance < self.radii[row]
    }

    fn count(&self, grid: Option<&Grid>, workers: &Workers, proceed: &mut KeepOn<'_>) -> Vec<i64> {
        let mut counts = vec![0; self.queries.n_rows()];
        let coded = grid.map(|grid| (grid, self.encode(grid, workers)));
        let group = [GROUP_ROWS, self.base.n_rows(), self.base.n_columns()];
        let groups_per_slice = limits::units_per_slice(VALUES_PER_SLICE, &group) * workers.n_threads();
        for (slice, counts) in counts.chunks_mut(groups_per_slice * GROUP_ROWS).enumerate() {
            if proceed().is_break() {
                return Vec::new();
            }
            workers.map_chunks_mut(counts, GROUP_ROWS, |group, counts| {
                let first = (slice * groups_per_slice + group) * GROUP_ROWS;
                match &coded {
                    Some((grid, blocks)) => self.count_coded(grid, blocks, first, counts),
                    None => self.count_all(first..first + counts.len(), counts),
                }
            });
        }
        counts
    }

    fn count_all(&self, queries: Range<usize>, counts: &mut [i64]) {
        let rows_per_block = self.base.rows_per_block();
        for block in 0..self.base.n_blocks() {
            let (first, rows) = self.base.block(block, rows_per_block);
            for (query, count) in queries.clone().zip(&mut *counts) {
                let held = (first..first + rows.n_rows()).filter(|&row| self.holds(row, query));
                *count += held.count() as i64;
            }
        }
    }

    /// All rows in blocks, whose sums start where those of points outside end up at or below the bar.
    fn encode(&self, grid: &Grid, workers: &Workers) -> Vec<CenterBlock> {
        let mut codes = vec![0; self.base.n_columns()];
        let errors = self.queries.rows().map(|row| grid.encode(row, &mut codes).error);
        let query_error = errors.fold(0.0, f32::max);
        workers.map(self.base.n_rows().div_ceil(BLOCK), |block| {
            let (first, rows) = self.base.block(block, BLOCK);
            // A distance from the next number on is not rounded to less than the radius.
            let radii = self.radii[first..].iter().map(|radius| f64::from(radius.next_up()) * self.scale);
            grid.encode_balls(rows.rows().zip(radii), query_error)
        })
    }

    fn count_coded(&self, grid: &Grid, blocks: &[CenterBlock], first: usize, counts: &mut [i64]) {
        let n_lines = lines_of(self.queries.n_columns());
        let mut staged = vec![Line([0; 64]); counts.len().next_multiple_of(TILE) * n_lines];
        let mut codes = vec![0; self.queries.n_columns()];
        let mut bars = Vec::with_capacity(counts.len());
        for (query, lines) in (first..first + counts.len()).zip(staged.chunks_exact_mut(n_lines)) {
            // A sum is over half the weight if twice the sum is over the weight.
            bars.push(grid.encode(self.queries.row(query), &mut codes).weight.div_euclid(2));
            fill_lines(lines, &codes);
        }
        let mut products = Products::UNSET;
        for (window, blocks) in blocks.chunks(BLOCKS_PER_WINDOW).enumerate() {
            for (tile, counts) in counts.chunks_mut(TILE).enumerate() {
                let tile = tile * TILE;
                for (number, block) in blocks.iter().enumerate() {
                    let first_row = (window * BLOCKS_PER_WINDOW + number) * BLOCK;
                    let is_lane = u32::MAX >> (BLOCK - block.n_centers());
                    grid.kernel().with_block(&staged[tile * n_lines..], counts.len(), block, &mut products);
                    let above = grid.kernel().above(&products, &bars[tile..][..counts.len()], counts.len());
                    for (slot, (count, above)) in counts.iter_mut().zip(above).enumerate() {
                        let mut above = above & is_lane;
                        while above != 0 {
                            let row = first_row + above.trailing_zeros() as usize;
                            above &= above - 1;
                            *count += i64::from(self.holds(row, first + tile + slot));
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;

    /// Rows with many repeats or none, far from the origin or not, and radii of all sizes.
    fn balls() -> impl Strategy<Value = (Array2<f32>, Array2<f32>, Vec<f32>)> {
        let shape = (1..80_usize, 1..120_usize, prop_oneof![1..5_usize, 60..70_usize], 0..3_i32, -1..2_i8);
        shape.prop_flat_map(|(n_queries, n_rows, n_columns, decimals, offset)| {
            let values = prop::collection::vec(-4000..4000_i16, (n_queries + n_rows) * n_columns);
            let radius = prop_oneof![-1.0..20.0_f32, Just(0.0), Just(1.0), Just(f32::INFINITY)];
            (values, prop::collection::vec(radius, n_rows)).prop_map(move |(values, radii)| {
                let step = 10_f32.powi(decimals);
                let at = |index: usize| {
                    (f32::from(values[index]) * step / 4000.0).round() / step + f32::from(offset) * 50.0
                };
                let queries = Array2::from_shape_fn((n_queries, n_columns), |(i, j)| at(i * n_columns + j));
                let base =
                    Array2::from_shape_fn((n_rows, n_columns), |(i, j)| at((n_queries + i) * n_columns + j));
                (queries, base, radii)
            })
        })
    }

    proptest! {
        #[test]
        fn every_kernel_counts_what_all_distances_count((queries, base, radii) in balls()) {
            let workers = Workers::new(Some(1), 1).unwrap();
            let (queries, base) = (queries.view(), base.view());
            let (queries, base) = (Embeddings::new(&queries).unwrap(), Embeddings::new(&base).unwrap());
            let mut proceed = || ControlFlow::Continue(());
            let names = [QUERIES, BASE, BOTH];
            let pair =
                Pair::prepare(names, queries, base, Metric::Euclidean, &workers, &mut proceed).unwrap();
            let distance = InstructionSet::best();
            let balls = Balls { queries, base: base.or_copy(None), radii: &radii, scale: 1.0, distance };
            let expected = balls.count(None, &workers, &mut proceed);
            for kernel in ProductKernel::available() {
                let Some(grid) = pair.grid(kernel) else { continue };
                prop_assert_eq!(&balls.count(Some(&grid), &workers, &mut proceed), &expected, "{:?}", kernel);
            }
        }
    }
}
