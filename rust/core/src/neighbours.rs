//! Exact nearest neighbours.
//!
//! Every query keeps its best rows as keys, the bits of the squared distance before the row number:
//! distances are not negative, so whole numbers order them, and ties go to the lowest row. Where the
//! processor multiplies codes, [`filter`] leaves few pairs whose distance is taken.

pub mod balls;
mod filter;

use std::ops::{ControlFlow, Range};

use self::filter::CodedBase;
use crate::embeddings::Embeddings;
use crate::embeddings::pair::Pair;
use crate::k_center::Metric;
use crate::simd::distance::InstructionSet;
use crate::simd::products::{ProductKernel, TILE};
use crate::workers::{KeepOn, Workers};
use crate::{Error, Result, error, limits};

const QUERIES: &str = "queries";
const BASE: &str = "base";
const BOTH: &str = "queries and base";
/// Values that one thread may multiply between two calls of `proceed`.
const VALUES_PER_SLICE: usize = 1 << 31;
/// Queries of a group: their codes, and those of the rows that are shown together, stay in the
/// second-level cache.
const MAX_GROUP_ROWS: usize = 512;
/// Neighbours of the queries of a group: about 32 MiB while they are looked for.
const MAX_GROUP_KEYS: usize = 1 << 21;
const GROUPS_PER_THREAD: usize = 4;
/// Coding a row costs as much as some distances, so it must serve more queries than that.
const MIN_CODED_QUERIES: usize = 8;
/// Codes tell apart little where a query wants more than one row in so many.
const MIN_ROWS_PER_NEIGHBOUR: usize = 4;

/// The nearest rows of each query, nearest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Neighbours {
    /// Number of rows for each query.
    pub n_neighbours: usize,
    /// Rows, `n_neighbours` a query.
    pub rows: Vec<i64>,
    /// Their distances.
    pub distances: Vec<f32>,
}

/// Finds the `k` rows of `base` that are nearest to each query, by squared distance in float32, ties
/// to the lowest row; all rows if there are fewer.
///
/// With `exclude_self` row i of `base` is no neighbour of query i. `proceed` is called on the calling
/// thread now and then; once it breaks, nothing is found.
///
/// # Errors
/// [`Error::Array`] if there are no columns, the shapes do not fit each other, values are not finite,
/// a row is zero (cosine) or distances leave the range of float32; [`Error::Budget`] if `k` is
/// negative; [`Error::Choice`] for `n_threads`.
pub fn nearest_neighbours(
    queries: Embeddings<'_>,
    base: Embeddings<'_>,
    k: i64,
    metric: Metric,
    exclude_self: bool,
    n_threads: Option<usize>,
    proceed: &mut KeepOn<'_>,
) -> Result<Neighbours> {
    error::or_nothing(find(queries, base, k, metric, exclude_self, n_threads, proceed))
}

fn find(
    queries: Embeddings<'_>,
    base: Embeddings<'_>,
    k: i64,
    metric: Metric,
    exclude_self: bool,
    n_threads: Option<usize>,
    proceed: &mut KeepOn<'_>,
) -> Result<Neighbours> {
    let k = usize::try_from(k).map_err(|_| Error::budget("k", k.to_string(), "0 or more rows"))?;
    check_shapes(queries, base, exclude_self)?;
    let n_neighbours = k.min(base.n_rows().saturating_sub(usize::from(exclude_self)));
    let lengths = [queries.n_rows(), n_neighbours];
    // Before all work, since what is found may be far larger than what is given.
    let (keys, distances) = limits::reserved(&lengths).zip(limits::reserved(&lengths)).ok_or_else(|| {
        let was = format!("{k}, and there is no memory for {} x {n_neighbours} neighbours", lengths[0]);
        Error::budget("k", was, "so few that the neighbours of all queries fit into memory")
    })?;
    let workers = Workers::new(n_threads, queries.n_rows().div_ceil(TILE).max(base.n_blocks()))?;
    let pair = Pair::prepare([QUERIES, BASE, BOTH], queries, base, metric, &workers, proceed)?;
    let (queries, base) = pair.views(queries, base);
    let is_worth_codes = queries.n_rows() >= MIN_CODED_QUERIES
        && base.n_rows() / MIN_ROWS_PER_NEIGHBOUR >= n_neighbours.max(TILE);
    let kernel = ProductKernel::best().filter(|_| is_worth_codes && n_neighbours > 0);
    let coded = kernel.and_then(|kernel| pair.grid(kernel)).map(|grid| CodedBase::new(grid, base, &workers));
    let search =
        Search { queries, base, n_neighbours, exclude_self, coded, distance: InstructionSet::best() };
    let keys = search.run(keys, &workers, proceed);
    Ok(keys.map_or_else(Neighbours::default, |keys| in_units(pair.scale, n_neighbours, keys, distances)))
}

fn check_shapes(queries: Embeddings<'_>, base: Embeddings<'_>, exclude_self: bool) -> Result<()> {
    let ((n_queries, n_columns), (n_rows, n_wanted)) =
        ((queries.n_rows(), queries.n_columns()), (base.n_rows(), base.n_columns()));
    base.check_columns(BASE)?;
    if n_columns != n_wanted {
        let was = format!("shape ({n_queries}, {n_columns}), and base has shape ({n_rows}, {n_wanted})");
        return Err(Error::array(QUERIES, was, "as many columns as base"));
    }
    if exclude_self && n_queries != n_rows {
        let was = format!("{n_queries} rows, and base has {n_rows}");
        return Err(Error::array(QUERIES, was, "the rows of base, with exclude_self=True"));
    }
    limits::check_rows(BASE, n_rows)
}

/// Rows, and distances in the caller's units.
fn in_units(scale: f64, n_neighbours: usize, keys: Vec<u64>, mut distances: Vec<f32>) -> Neighbours {
    let distance = |&key| (f64::from(squared_distance_of(key)).sqrt() / scale) as f32;
    distances.extend(keys.iter().map(distance));
    let rows = keys.into_iter().map(|key| row_of(key) as i64).collect();
    Neighbours { n_neighbours, rows, distances }
}

/// A squared distance and a row as one number, which orders by both.
fn key_of(squared_distance: f32, row: usize) -> u64 {
    u64::from(squared_distance.to_bits()) << 32 | row as u64
}

fn squared_distance_of(key: u64) -> f32 {
    f32::from_bits((key >> 32) as u32)
}

fn row_of(key: u64) -> u64 {
    key & u64::from(u32::MAX)
}

/// The keys of the best rows that a query has met. Up to twice as many as are wanted are collected
/// before the rest is dropped, so that a key costs the same however many are wanted.
struct Best {
    keys: Vec<u64>,
    n_wanted: usize,
    /// No key from here on is wanted.
    end: u64,
}

impl Best {
    fn new(n_wanted: usize) -> Self {
        Self { keys: Vec::new(), n_wanted, end: u64::MAX }
    }

    fn offer(&mut self, key: u64) {
        if key < self.end {
            self.keys.push(key);
            if self.keys.len() >= 2 * self.n_wanted {
                self.narrow();
            }
        }
    }

    fn narrow(&mut self) {
        if self.keys.len() >= self.n_wanted {
            let (_, &mut worst, _) = self.keys.select_nth_unstable(self.n_wanted - 1);
            self.keys.truncate(self.n_wanted);
            self.end = worst;
        }
    }

    /// The squared distance that a row must not exceed; `None` while any row is taken.
    fn bound(&mut self) -> Option<f32> {
        self.narrow();
        (self.end < u64::MAX).then(|| squared_distance_of(self.end))
    }

    fn write(mut self, out: &mut [u64]) {
        self.narrow();
        self.keys.sort_unstable();
        out.copy_from_slice(&self.keys);
    }
}

/// What is looked for where.
struct Search<'a> {
    queries: Embeddings<'a>,
    base: Embeddings<'a>,
    n_neighbours: usize,
    exclude_self: bool,
    coded: Option<CodedBase>,
    distance: InstructionSet,
}

impl Search<'_> {
    /// Adds the keys of every query, best first; `None` after a break.
    fn run(
        &self,
        mut keys: Vec<u64>,
        workers: &Workers,
        proceed: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Option<Vec<u64>> {
        let (n_queries, k) = (self.queries.n_rows(), self.n_neighbours);
        if n_queries == 0 || k == 0 {
            return Some(keys);
        }
        let n_threads = workers.n_threads();
        let (n_rows, n_columns) = (self.base.n_rows(), self.base.n_columns());
        let most = limits::units_per_slice(VALUES_PER_SLICE, &[n_rows, n_columns]);
        let most = most.min(MAX_GROUP_KEYS / k).clamp(1, MAX_GROUP_ROWS);
        let most = most.next_multiple_of(TILE);
        let group_rows = n_queries.div_ceil(GROUPS_PER_THREAD * n_threads).next_multiple_of(TILE).min(most);
        let groups_per_slice =
            limits::units_per_slice(VALUES_PER_SLICE, &[n_rows, n_columns, group_rows]) * n_threads;
        for first in (0..n_queries).step_by(groups_per_slice * group_rows) {
            if proceed().is_break() {
                return None;
            }
            keys.resize(n_queries.min(first + groups_per_slice * group_rows) * k, 0);
            workers.map_chunks_mut(&mut keys[first * k..], group_rows * k, |group, keys| {
                let first = first + group * group_rows;
                let queries = first..first + keys.len() / k;
                match &self.coded {
                    Some(coded) => filter::search(self, coded, queries, keys),
                    None => self.search_all(queries, keys),
                }
            });
        }
        Some(keys)
    }

    /// Every distance, a block of rows at a time for all queries of the group.
    fn search_all(&self, queries: Range<usize>, keys: &mut [u64]) {
        let mut best: Vec<Best> = queries.clone().map(|_| Best::new(self.n_neighbours)).collect();
        let rows_per_block = self.base.rows_per_block();
        for block in 0..self.base.n_blocks() {
            let (first, rows) = self.base.block(block, rows_per_block);
            for (query, best) in queries.clone().zip(&mut best) {
                for row in (first..first + rows.n_rows()).filter(|&row| !self.is_excluded(query, row)) {
                    best.offer(self.key(query, row));
                }
            }
        }
        for (best, keys) in best.into_iter().zip(keys.chunks_exact_mut(self.n_neighbours)) {
            best.write(keys);
        }
    }

    fn is_excluded(&self, query: usize, row: usize) -> bool {
        self.exclude_self && query == row
    }

    fn key(&self, query: usize, row: usize) -> u64 {
        key_of(self.distance.squared_distance(self.queries.row(query), self.base.row(row)), row)
    }
}
