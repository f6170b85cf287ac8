//! Rows of numbers as an input chooses them, how they may lie in memory, and the arithmetic of distances
//! that the kernels promise to have the bits of.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};
use tasksel_core::k_center::Metric;
use tasksel_core::random::SplitMix64;

use crate::input::{Input, special_or_any};

/// Lanes of a sum: value `j` of a row goes to lane `j % LANES`, and the upper half of the lanes is added
/// to the lower one until one is left.
const LANES: usize = 64;

/// Values of the rows whose columns are added up in one run.
const VALUES_PER_RUN: usize = 1 << 16;

/// Around the sizes of registers, of lanes, and of blocks of values that threads share.
const WIDTHS: [usize; 20] = [1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 200, 384, 1500, 0];

/// A number of columns.
pub fn n_columns(input: &mut Input<'_>) -> usize {
    input.pick(&WIDTHS)
}

/// Where the values of some rows come from.
struct Values {
    kind: usize,
    random: SplitMix64,
    offset: f64,
    magnitude: f64,
}

impl Values {
    fn choose(input: &mut Input<'_>) -> Self {
        let random = SplitMix64::stream(input.any::<u32>().into(), 0);
        let kind = input.below(6);
        let offset = input.pick(&[0.0, 0.0, 1.0, 1e4, 1e7, -3e30, 1e38]);
        let exponent = input.pick(&[0, 0, 1, 0, 20, -20, 60, -60, 100, -100, 126, -126, -149]);
        Self { kind, random, offset, magnitude: 2f64.powi(exponent) }
    }

    fn next(&mut self, input: &mut Input<'_>) -> f32 {
        let value = match self.kind {
            // A few small whole numbers, whose distances are often equal.
            0 => f64::from(input.any::<i8>() % 5),
            1 => f64::from(input.any::<i8>()),
            // The same without bytes for each.
            2 => self.random.below(3) as f64,
            // Values without structure.
            3 => self.random.unit(),
            4 => self.random.unit() - 0.5,
            _ => special_or_any(input),
        };
        (value * self.magnitude + self.offset) as f32
    }
}

/// Rows of numbers with a fixed number of columns.
#[derive(Clone, Debug)]
pub struct Points {
    /// The rows.
    pub rows: Vec<Vec<f32>>,
    /// Values of a row.
    pub n_columns: usize,
}

impl Points {
    /// Rows of a kind that the input chooses.
    pub fn make(input: &mut Input<'_>, n_columns: usize) -> Self {
        let n_rows = match input.below(8) {
            7 if n_columns <= 64 => input.below(300),
            // Blocks of values that threads share.
            6 if n_columns >= 1000 => input.below(100),
            _ => input.below(40),
        };
        let n_distinct = if input.any() { 1 + input.below(n_rows.max(1)) } else { n_rows.max(1) };
        let mut values = Values::choose(input);
        let mut rows: Vec<Vec<f32>> = Vec::new();
        for row in 0..n_rows {
            let repeated = (row >= n_distinct).then(|| rows[row % n_distinct].clone());
            rows.push(repeated.unwrap_or_else(|| (0..n_columns).map(|_| values.next(input)).collect()));
        }
        Self { rows, n_columns }
    }

    /// Some of the rows.
    pub fn gathered(&self, rows: impl IntoIterator<Item = usize>) -> Self {
        Self { rows: rows.into_iter().map(|row| self.rows[row].clone()).collect(), n_columns: self.n_columns }
    }

    /// Rows between which distances are taken, or `None` if they must be refused.
    pub fn prepared(&self, metric: Metric) -> Option<Self> {
        if self.n_columns == 0 || self.rows.iter().flatten().any(|value| !value.is_finite()) {
            return None;
        }
        match metric {
            Metric::Euclidean => Some(self.clone()),
            Metric::Cosine => {
                let rows = self.rows.iter().map(|row| normalized(row)).collect::<Option<_>>()?;
                Some(Self { rows, ..*self })
            }
        }
    }

    /// The rows times a factor.
    pub fn times(self, factor: f64) -> Self {
        let scaled = |value: f32| (f64::from(value) * factor) as f32;
        let rows = self.rows.into_iter().map(|row| row.into_iter().map(scaled).collect());
        Self { rows: rows.collect(), n_columns: self.n_columns }
    }

    /// The row nearest to the mean, the lowest of those at the same distance.
    pub fn nearest_to_mean(&self) -> Option<usize> {
        let mut mean = vec![0.0; self.n_columns];
        // Columns are added up in runs of rows of 256 KiB, and then the runs, whatever thread takes which.
        let rows_per_run = (VALUES_PER_RUN / self.n_columns.max(1)).max(1);
        for run in self.rows.chunks(rows_per_run) {
            for (column, mean) in mean.iter_mut().enumerate() {
                *mean += run.iter().map(|row| f64::from(row[column])).sum::<f64>();
            }
        }
        for sum in &mut mean {
            *sum /= self.rows.len() as f64;
        }
        let distance = |row: &Vec<f32>| -> f64 {
            row.iter().zip(&mean).map(|(&value, mean)| (f64::from(value) - mean).powi(2)).sum()
        };
        (0..self.rows.len())
            .min_by(|&left, &right| distance(&self.rows[left]).total_cmp(&distance(&self.rows[right])))
    }
}

fn normalized(row: &[f32]) -> Option<Vec<f32>> {
    let norm = row.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt();
    let scaled = |&value: &f32| (f64::from(value) * norm.recip()) as f32;
    (norm > 0.0).then(|| row.iter().map(scaled).collect())
}

/// The power of two by which values are multiplied before distances are taken, where squares could
/// leave the range of float32; `None` if distances themselves do.
pub fn scale(all: &[&Points]) -> Option<f64> {
    let n_columns = all.iter().map(|points| points.n_columns).max().unwrap_or_default();
    let (mut squares, mut magnitude) = (0.0, 0.0_f64);
    for column in 0..n_columns {
        let values = all.iter().flat_map(|points| &points.rows).map(|row| f64::from(row[column]));
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            magnitude = magnitude.max(value.abs());
            (low.min(value), high.max(value))
        });
        if low > high {
            return Some(1.0);
        }
        squares += (high - low) * (high - low);
    }
    let diagonal: f64 = squares.sqrt();
    if diagonal > f64::from(f32::MAX) {
        return None;
    }
    if diagonal == 0.0 || (2f64.powi(-30)..=2f64.powi(62)).contains(&diagonal) {
        return Some(1.0);
    }
    // Powers of two at or below both; not so far up that the largest value itself would overflow.
    let exponent = |value: f64| ((value.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    Some(2f64.powi((-exponent(diagonal)).min(126 - exponent(magnitude))))
}

/// In float32, in the order of additions that every kernel keeps.
pub fn squared_distance(left: &[f32], right: &[f32]) -> f32 {
    let mut lanes = [0_f32; LANES];
    for (column, (left, right)) in left.iter().zip(right).enumerate() {
        let difference = left - right;
        lanes[column % LANES] += difference * difference;
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
    }
    lanes[0]
}

/// The same rows in memory in one of several ways.
pub struct Strided {
    array: Array2<f32>,
    way: usize,
    n_columns: usize,
}

impl Strided {
    /// In the way of this number.
    pub fn of(points: &Points, way: usize) -> Self {
        let (n_rows, n_columns) = (points.rows.len(), points.n_columns);
        // Values that must not be read.
        let mut array = Array2::from_elem(
            if way == 0 { (n_rows, n_columns) } else { (2 * n_rows, n_columns + 3) },
            f32::NAN,
        );
        let mut strided = Self { array: Array2::default((0, 0)), way, n_columns };
        for (mut out, row) in strided.slice_mut(&mut array).rows_mut().into_iter().zip(&points.rows) {
            out.iter_mut().zip(row).for_each(|(out, &value)| *out = value);
        }
        strided.array = array;
        strided
    }

    fn slice_mut<'a>(&self, array: &'a mut Array2<f32>) -> ArrayViewMut2<'a, f32> {
        match self.way {
            0 => array.view_mut(),
            1 => array.slice_mut(s![..;2, ..self.n_columns]),
            2 => array.slice_mut(s![..;-2, 1..=self.n_columns]),
            _ => {
                let n_rows = array.nrows() / 2;
                array.slice_mut(s![..n_rows;-1, 2..self.n_columns + 2])
            }
        }
    }

    /// The rows.
    pub fn view(&self) -> ArrayView2<'_, f32> {
        match self.way {
            0 => self.array.view(),
            1 => self.array.slice(s![..;2, ..self.n_columns]),
            2 => self.array.slice(s![..;-2, 1..=self.n_columns]),
            _ => self.array.slice(s![..self.array.nrows() / 2;-1, 2..self.n_columns + 2]),
        }
    }
}
