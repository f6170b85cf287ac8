//! A borrowed matrix of embeddings, and what is done with it before distances are taken: refuse
//! values that are not finite, normalise rows, bring extreme magnitudes into float32's range.

pub mod pair;

use std::ops::{ControlFlow, Range, RangeInclusive};

use ndarray::{Array2, ArrayView2, Axis, s};

use crate::simd::rows;
use crate::workers::{KeepOn, Workers, zeros_watched};
use crate::{Error, Result};

/// About 256 KiB of float32, so that a block stays in the second-level cache and a pass over a
/// small pool is still spread over the threads.
const BLOCK_VALUES: usize = 1 << 16;
/// Blocks of a survey hold one float64 sum a column each; this bounds their memory.
const MAX_SURVEY_BLOCKS: usize = 256;
/// 2^-30 to 2^62. Where the diagonal of the bounding box lies in there, no square of a distance
/// overflows float32 (2^124 < 2^128) and none above 2^-33 of the diagonal becomes subnormal.
const PLAIN_DIAGONAL: RangeInclusive<f64> = 9.313_225_746_154_785e-10..=4.611_686_018_427_388e18;

/// Over the rounding of two float64 sums of up to 10^6 squares.
const NEAREST_MARGIN: f64 = 1.0 + 1e-9;

/// Rows of float32 whose values lie next to each other; the rows themselves may lie anywhere
/// (a larger, negative or zero stride).
#[derive(Clone, Copy, Debug)]
pub struct Embeddings<'a> {
    view: ArrayView2<'a, f32>,
}

impl<'a> Embeddings<'a> {
    /// Borrows `view`, or `None` if its rows are not contiguous: the caller then decides on a copy.
    #[must_use]
    pub fn new(view: &ArrayView2<'a, f32>) -> Option<Self> {
        let contiguous = view.is_empty() || view.ncols() == 1 || view.strides()[1] == 1;
        contiguous.then_some(Self { view: *view })
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.view.nrows()
    }

    /// Number of values in a row.
    #[must_use]
    pub fn n_columns(&self) -> usize {
        self.view.ncols()
    }

    /// The values of one row.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    #[inline]
    pub fn row(&self, row: usize) -> &'a [f32] {
        self.view.index_axis_move(Axis(0), row).to_slice().unwrap_or_default()
    }

    /// All rows in order.
    #[inline]
    pub fn rows(self) -> impl Iterator<Item = &'a [f32]> {
        (0..self.n_rows()).map(move |row| self.row(row))
    }

    /// The copy if there is one, else these.
    #[must_use]
    pub fn or_copy<'b>(self, copy: Option<&'b Copied>) -> Embeddings<'b>
    where
        'a: 'b,
    {
        match copy {
            Some(copy) => copy.view(),
            None => Embeddings { view: self.view.reborrow() },
        }
    }

    /// The rows of block `block`, with the number of the first.
    #[must_use]
    pub fn block(self, block: usize, rows_per_block: usize) -> (usize, Self) {
        let first = block * rows_per_block;
        (first, self.range(first..(first + rows_per_block).min(self.n_rows())))
    }

    /// Some rows that follow each other.
    ///
    /// # Panics
    /// If there are not so many.
    #[must_use]
    pub fn range(self, rows: Range<usize>) -> Self {
        Self { view: self.view.slice_move(s![rows, ..]) }
    }

    /// A copy of some rows, in that order.
    ///
    /// # Errors
    /// [`Error::Array`] if there is no memory for it.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn gathered(self, rows: &[usize]) -> Result<Copied> {
        let shape = (rows.len(), self.n_columns());
        let mut copied = Copied::zeros(shape, "partial", &mut || ControlFlow::Continue(()))?;
        for (&row, out) in rows.iter().zip(copied.values_mut().chunks_exact_mut(self.n_columns().max(1))) {
            out.copy_from_slice(self.row(row));
        }
        Ok(copied)
    }

    /// Whether both are the same values in memory.
    #[must_use]
    pub fn is_same_as(&self, other: &Embeddings<'_>) -> bool {
        self.view.as_ptr() == other.view.as_ptr()
            && self.view.shape() == other.view.shape()
            && self.view.strides() == other.view.strides()
    }

    /// Rows in a block of a pass over all rows.
    #[must_use]
    pub fn rows_per_block(&self) -> usize {
        (BLOCK_VALUES / self.n_columns().max(1)).max(1)
    }

    /// Blocks of a pass over all rows: more threads than that have nothing to do.
    #[must_use]
    pub fn n_blocks(&self) -> usize {
        self.n_rows().div_ceil(self.rows_per_block())
    }

    /// Refuses rows without values, in the name of `argument`.
    ///
    /// # Errors
    /// [`Error::Array`].
    pub fn check_columns(&self, argument: &'static str) -> Result<()> {
        if self.n_columns() > 0 {
            return Ok(());
        }
        let was = format!("shape ({}, 0)", self.n_rows());
        Err(Error::array(argument, was, "at least one column"))
    }

    fn rows_per_survey_block(&self) -> usize {
        self.rows_per_block().max(self.n_rows().div_ceil(MAX_SURVEY_BLOCKS))
    }

    fn survey_blocks(&self) -> usize {
        self.n_rows().div_ceil(self.rows_per_survey_block())
    }
}

/// An owned copy of embeddings after a change of every value.
pub struct Copied {
    array: Array2<f32>,
}

impl Copied {
    /// Zeros; `purpose` says what the copy is for if memory is short.
    fn zeros(shape: (usize, usize), purpose: &str, keep_on: &mut KeepOn<'_>) -> Result<Self> {
        let no_memory = || {
            let was = format!("no memory for the {purpose} copy of {} x {} float32", shape.0, shape.1);
            Error::array("embeddings", was, "a matrix of which a copy fits into memory")
        };
        let len = shape.0.checked_mul(shape.1).ok_or_else(no_memory)?;
        let values = zeros_watched(len, keep_on)?.ok_or_else(no_memory)?;
        Ok(Self { array: Array2::from_shape_vec(shape, values).map_err(|_| no_memory())? })
    }

    /// The copy as embeddings.
    #[must_use]
    pub fn view(&self) -> Embeddings<'_> {
        Embeddings { view: self.array.view() }
    }

    fn values_mut(&mut self) -> &mut [f32] {
        self.array.as_slice_mut().unwrap_or_default()
    }
}

/// Sum, smallest and largest value of every column.
pub struct Survey {
    sums: Vec<f64>,
    low: Vec<f32>,
    high: Vec<f32>,
    n_rows: usize,
}

impl Survey {
    fn empty(n_columns: usize) -> Self {
        Self {
            sums: vec![0.0; n_columns],
            low: vec![f32::INFINITY; n_columns],
            high: vec![f32::NEG_INFINITY; n_columns],
            n_rows: 0,
        }
    }

    /// Whether all values of the row are finite; if not, the survey is spoilt.
    fn add(&mut self, row: &[f32]) -> bool {
        self.n_rows += 1;
        rows::add_to_columns(row, &mut self.sums, &mut self.low, &mut self.high)
    }

    /// The survey of these rows and of others.
    #[must_use]
    pub fn merge(mut self, other: &Self) -> Self {
        self.n_rows += other.n_rows;
        for column in 0..self.sums.len() {
            self.sums[column] += other.sums[column];
            self.low[column] = self.low[column].min(other.low[column]);
            self.high[column] = self.high[column].max(other.high[column]);
        }
        self
    }

    /// The mean row, in float64.
    #[must_use]
    pub fn mean(&self) -> Vec<f64> {
        self.sums.iter().map(|sum| sum / self.n_rows as f64).collect()
    }

    /// Diagonal of the bounding box: no two rows lie farther apart.
    fn diagonal(&self) -> f64 {
        let sides = self.low.iter().zip(&self.high).map(|(&low, &high)| f64::from(high) - f64::from(low));
        sides.map(|side| side * side).sum::<f64>().sqrt()
    }

    /// Largest distance of a value to the mean of its column.
    #[must_use]
    pub fn largest_deviation(&self) -> f64 {
        let ends = self.low.iter().zip(&self.high).zip(self.mean());
        let far = ends.map(|((&low, &high), mean)| (f64::from(high) - mean).max(mean - f64::from(low)));
        far.fold(0.0, f64::max)
    }

    /// The mean row and the largest deviation of the surveyed rows times `factor`: a grid of codes around
    /// the one reaches over all rows by the other.
    #[must_use]
    pub fn center_and_reach(&self, factor: f64) -> (Vec<f64>, f64) {
        (self.mean().into_iter().map(|mean| mean * factor).collect(), self.largest_deviation() * factor)
    }

    fn largest_magnitude(&self) -> f64 {
        let ends = self.low.iter().chain(&self.high);
        ends.fold(0.0, |largest, &value| largest.max(f64::from(value).abs()))
    }

    /// The power of two by which the values must be multiplied before distances are taken; `None`
    /// if no squared distance can leave the range of float32 as they are.
    ///
    /// # Errors
    /// [`Error::Array`] if distances themselves do not fit into float32.
    pub fn scale(&self) -> Result<Option<f64>> {
        let diagonal = self.diagonal();
        if self.n_rows == 0 || diagonal == 0.0 || PLAIN_DIAGONAL.contains(&diagonal) {
            return Ok(None);
        }
        if diagonal > f64::from(f32::MAX) {
            let was = format!("its values span a box with a diagonal of {diagonal:.3e}");
            return Err(Error::array(
                "embeddings",
                was,
                "values whose distances fit into float32 (below 3.4e38)",
            ));
        }
        // Not so far up that the largest value itself would overflow.
        let to_unit = -exponent(diagonal);
        Ok(Some(2f64.powi(to_unit.min(126 - exponent(self.largest_magnitude())))))
    }
}

/// Exponent of the power of two at or below a positive normal number.
fn exponent(value: f64) -> i32 {
    ((value.to_bits() >> 52) & 0x7ff) as i32 - 1023
}

/// Surveys all columns, and checks on the way that every value is finite.
///
/// # Errors
/// [`Error::Array`] with the first row that holds NaN or infinity; [`Error::Interrupted`].
pub fn survey(embeddings: Embeddings<'_>, workers: &Workers, keep_on: &mut KeepOn<'_>) -> Result<Survey> {
    let rows_per_block = embeddings.rows_per_survey_block();
    let values_per_block = rows_per_block * embeddings.n_columns();
    let blocks = workers.map_watched(embeddings.survey_blocks(), values_per_block, keep_on, |block| {
        let (first, rows) = embeddings.block(block, rows_per_block);
        let mut survey = Survey::empty(rows.n_columns());
        for (offset, row) in rows.rows().enumerate() {
            if !survey.add(row) {
                check_finite(row, first + offset)?;
            }
        }
        Ok(survey)
    })?;
    let empty = Survey::empty(embeddings.n_columns());
    blocks.into_iter().try_fold(empty, |all, block| Ok(all.merge(&block?)))
}

fn check_finite(values: &[f32], row: usize) -> Result<()> {
    // A fold without early exit is vectorised; the column is looked for only when something is wrong.
    if values.iter().fold(true, |finite, value| finite & value.is_finite()) {
        return Ok(());
    }
    let column = values.iter().position(|value| !value.is_finite()).unwrap_or_default();
    let was = format!("row {row} holds {} in column {column}", values[column]);
    Err(Error::array("embeddings", was, "finite values"))
}

/// Every row divided by its Euclidean norm, which is taken in float64.
///
/// # Errors
/// [`Error::Array`] with the first row that is a zero vector or holds NaN or infinity.
pub fn normalized(embeddings: Embeddings<'_>, workers: &Workers, keep_on: &mut KeepOn<'_>) -> Result<Copied> {
    rewritten(embeddings, workers, keep_on, "normalised", |values, row| {
        check_finite(values, row)?;
        let norm = squares(values).sqrt();
        if norm > 0.0 {
            return Ok(norm.recip());
        }
        let was = format!("row {row} is a zero vector, which has no direction");
        Err(Error::array("embeddings", was, "vectors other than zero with the cosine metric"))
    })
}

/// Every value multiplied by a power of two.
///
/// # Errors
/// [`Error::Array`] if there is no memory for the copy.
pub fn scaled(
    embeddings: Embeddings<'_>,
    scale: f64,
    workers: &Workers,
    keep_on: &mut KeepOn<'_>,
) -> Result<Copied> {
    rewritten(embeddings, workers, keep_on, "scaled", |_, _| Ok(scale))
}

fn rewritten(
    embeddings: Embeddings<'_>,
    workers: &Workers,
    keep_on: &mut KeepOn<'_>,
    purpose: &str,
    factor: impl Fn(&[f32], usize) -> Result<f64> + Send + Sync,
) -> Result<Copied> {
    let mut copied = Copied::zeros((embeddings.n_rows(), embeddings.n_columns()), purpose, keep_on)?;
    let (rows_per_block, n_columns) = (embeddings.rows_per_block(), embeddings.n_columns());
    let len = rows_per_block * n_columns;
    let blocks = workers.map_chunks_mut_watched(copied.values_mut(), len, len, keep_on, |block, out| {
        let (first, rows) = embeddings.block(block, rows_per_block);
        for (offset, (values, out)) in rows.rows().zip(out.chunks_exact_mut(n_columns)).enumerate() {
            let factor = factor(values, first + offset)?;
            for (out, &value) in out.iter_mut().zip(values) {
                *out = (f64::from(value) * factor) as f32;
            }
        }
        Ok(())
    })?;
    blocks.into_iter().collect::<Result<()>>()?;
    Ok(copied)
}

/// Sum of squares in float64.
fn squares(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value) * f64::from(value)).sum()
}

/// The row nearest to `point` in float64, the lowest of those at the same distance; `None` without rows.
///
/// # Errors
/// [`Error::Interrupted`].
pub fn nearest_row(
    embeddings: Embeddings<'_>,
    point: &[f64],
    workers: &Workers,
    keep_on: &mut KeepOn<'_>,
) -> Result<Option<usize>> {
    let rows_per_block = embeddings.rows_per_survey_block();
    let values_per_block = rows_per_block * embeddings.n_columns();
    let blocks = workers.map_watched(embeddings.survey_blocks(), values_per_block, keep_on, |block| {
        let (first, embeddings) = embeddings.block(block, rows_per_block);
        let (mut best, mut least) = ((f64::INFINITY, first), f64::INFINITY);
        for (offset, row) in embeddings.rows().enumerate() {
            // Added one by one, every addition waits for the one before; a sum in lanes does not, but
            // rounds apart. Both are within n 2^-52 of exact, so no row over the margin can be the nearest.
            let about = rows::squared_distance_to_point(row, point);
            least = least.min(about);
            if about > least * NEAREST_MARGIN {
                continue;
            }
            let distance = squared_distance_f64(row, point);
            best = if distance < best.0 { (distance, first + offset) } else { best };
        }
        best
    })?;
    let nearest = blocks.into_iter().reduce(|best, block| if block.0 < best.0 { block } else { best });
    Ok(nearest.map(|(_, row)| row))
}

fn squared_distance_f64(values: &[f32], point: &[f64]) -> f64 {
    values.iter().zip(point).map(|(&value, point)| (f64::from(value) - point).powi(2)).sum()
}
