//! Which rows are similar to which: between all rows of a small pool, to the nearest rows of a large
//! one, or as a caller gives it.

mod all_pairs;
mod columns;

use ndarray::ArrayView2;

pub use self::all_pairs::AllPairs;
pub use self::columns::{Columns, Edge, NeighbourLists};
use crate::embeddings::Embeddings;
use crate::k_center::{Metric, checked_rows};
use crate::neighbours::{Neighbours, nearest_neighbours};
use crate::workers::{KeepOn, Workers};
use crate::{Error, Result, error};

/// Up to as many rows all pairs are taken: 64 MiB of float32.
pub const MAX_DENSE_ROWS: usize = 4096;
/// Rows in a neighbour list of a larger pool.
pub const DEFAULT_NEIGHBOURS: usize = 64;
/// Edges of a block of columns that one thread takes at a time.
const BLOCK_EDGES: usize = 1 << 16;

/// Where similarities come from.
#[derive(Clone, Copy, Debug)]
pub enum Points<'a> {
    /// From the distances of embeddings.
    Embeddings {
        /// One row an example.
        embeddings: Embeddings<'a>,
        /// How a distance becomes a similarity.
        metric: Metric,
        /// Length of the neighbour lists, each row itself included; `None` takes all pairs up to
        /// [`MAX_DENSE_ROWS`] rows and [`DEFAULT_NEIGHBOURS`] above.
        n_neighbours: Option<usize>,
    },
    /// As given: row `i` is similar to `neighbours[i, p]` by `similarities[i, p]`.
    Lists(NeighbourLists<'a>),
}

impl Points<'_> {
    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        match self {
            Self::Embeddings { embeddings, .. } => embeddings.n_rows(),
            Self::Lists(lists) => lists.n_rows(),
        }
    }

    /// Threads for the work that these points are.
    ///
    /// # Errors
    /// As [`Workers::new`].
    pub fn workers(&self, n_threads: Option<usize>) -> Result<Workers> {
        let n_blocks = match self {
            // Every pair is a pass over the columns, far more work than the values themselves.
            Self::Embeddings { embeddings, .. } => {
                let n_rows = embeddings.n_rows();
                n_rows.saturating_mul(n_rows).saturating_mul(embeddings.n_columns()) >> 22
            }
            Self::Lists(lists) => lists.n_places().div_ceil(BLOCK_EDGES),
        };
        Workers::new(n_threads, n_blocks)
    }

    /// Rows that are selected already: without repeats, in the order of first mention.
    ///
    /// # Errors
    /// [`Error::Array`] for a row that does not exist.
    pub fn checked_rows(&self, initial_rows: &[i64]) -> Result<Vec<usize>> {
        checked_rows(initial_rows, "points", self.n_rows())
    }
}

/// Similarities by column.
#[derive(Clone, Debug)]
pub enum SimilarityGraph {
    /// Of all pairs.
    Dense(AllPairs),
    /// Of those in the neighbour lists; all others are 0.
    Sparse(Columns),
}

impl SimilarityGraph {
    /// The graph of these points; `None` after a break.
    ///
    /// # Errors
    /// [`Error::Array`] for embeddings without columns, with a value that is not finite, with
    /// distances that float32 cannot hold, or (cosine) with a zero vector; for lists with a row that
    /// does not exist, with a similarity that is not finite, or with a neighbour twice.
    /// [`Error::Choice`] for 0 neighbours.
    pub fn new(points: Points<'_>, workers: &Workers, keep_on: &mut KeepOn<'_>) -> Result<Option<Self>> {
        let (embeddings, metric, n_neighbours) = match points {
            Points::Lists(lists) => return Ok(Some(Self::Sparse(Columns::of(lists)?))),
            Points::Embeddings { embeddings, metric, n_neighbours } => (embeddings, metric, n_neighbours),
        };
        if n_neighbours == Some(0) {
            return Err(Error::choice("n_neighbours", "0", "a positive number, or None for the default"));
        }
        embeddings.check_columns("points")?;
        let n_rows = embeddings.n_rows();
        if n_neighbours.unwrap_or(n_rows) >= n_rows && n_rows <= MAX_DENSE_ROWS {
            let pairs = AllPairs::of(embeddings, metric, workers, keep_on).map_err(of_points);
            return Ok(error::or_nothing(pairs)?.map(Self::Dense));
        }
        let n_neighbours = n_neighbours.unwrap_or(DEFAULT_NEIGHBOURS).min(n_rows);
        let similarity = Similarity::new(metric, embeddings.n_columns(), 1.0);
        let found = others(embeddings, n_neighbours - 1, metric, workers, keep_on).map_err(of_points)?;
        found.map(|found| nearest_columns(n_rows, found, similarity).map(Self::Sparse)).transpose()
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        match self {
            Self::Dense(pairs) => pairs.n_rows(),
            Self::Sparse(columns) => columns.n_columns(),
        }
    }

    /// `value(column)` of every column, in order.
    pub fn map_columns<T: Send>(
        &self,
        workers: &Workers,
        value: impl Fn(usize) -> T + Send + Sync,
    ) -> Vec<T> {
        let n_rows = self.n_rows();
        let n_edges = match self {
            Self::Dense(_) => n_rows * n_rows,
            Self::Sparse(columns) => columns.n_edges(),
        };
        let block_columns = (n_rows * BLOCK_EDGES / n_edges.max(1)).max(1);
        let blocks = workers.map(n_rows.div_ceil(block_columns), |block| {
            let first = block * block_columns;
            (first..(first + block_columns).min(n_rows)).map(&value).collect::<Vec<_>>()
        });
        blocks.into_iter().flatten().collect()
    }
}

/// A matrix is called `embeddings`, `queries` or `base` by those who look into it, and the number of
/// neighbours `k`.
fn of_points(error: Error) -> Error {
    match error {
        Error::Array { .. } => error.of_argument("points"),
        Error::Budget { .. } => error.of_argument("n_neighbours"),
        other => other,
    }
}

/// The rows nearest to each row but itself; `None` after a break.
fn others(
    embeddings: Embeddings<'_>,
    n_others: usize,
    metric: Metric,
    workers: &Workers,
    keep_on: &mut KeepOn<'_>,
) -> Result<Option<Neighbours>> {
    let mut is_broken = false;
    let mut watched = || {
        let flow = keep_on();
        is_broken |= flow.is_break();
        flow
    };
    let (k, n_threads) = (n_others as i64, Some(workers.n_threads()));
    let found = nearest_neighbours(embeddings, embeddings, k, metric, true, n_threads, &mut watched)?;
    Ok(Some(found).filter(|_| !is_broken))
}

/// Edges to the rows that were found, and of each row to itself.
fn nearest_columns(n_rows: usize, mut found: Neighbours, similarity: Similarity) -> Result<Columns> {
    for value in &mut found.distances {
        *value = similarity.at(f64::from(*value).powi(2));
    }
    let shape = (n_rows, found.n_neighbours);
    let mismatch = |_| Error::array("points", "neighbours of another shape", "rows of one length");
    let neighbours = ArrayView2::from_shape(shape, &found.rows).map_err(mismatch)?;
    let similarities = ArrayView2::from_shape(shape, &found.distances).map_err(mismatch)?;
    Columns::of(NeighbourLists::new(&neighbours, &similarities)?.with_own(similarity.at(0.0)))
}

/// How a squared distance becomes a similarity.
#[derive(Clone, Copy, Debug)]
enum Similarity {
    /// Cosine of the angle, from the distance of normalised rows, and 0 if it is obtuse.
    Cosine,
    /// Falls exponentially with the distance.
    Exponential { rate: f64 },
}

impl Similarity {
    /// For rows of `n_columns` values that are `scale` times the caller's.
    fn new(metric: Metric, n_columns: usize, scale: f64) -> Self {
        match metric {
            Metric::Cosine => Self::Cosine,
            // The kernel of submodlib.
            Metric::Euclidean => Self::Exponential { rate: (n_columns as f64 * scale).recip() },
        }
    }

    fn at(self, squared_distance: f64) -> f32 {
        match self {
            Self::Cosine => (1.0 - squared_distance / 2.0).max(0.0) as f32,
            Self::Exponential { rate } => (-squared_distance.sqrt() * rate).exp() as f32,
        }
    }
}
