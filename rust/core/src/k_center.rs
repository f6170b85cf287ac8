//! Greedy k-center (farthest-first traversal).
//!
//! Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical Computer
//! Science 38 (1985): the covering radius is at most twice the best possible. As a core-set for
//! active learning: Sener and Savarese, "Active learning for convolutional neural networks: a
//! core-set approach", ICLR 2018 (arXiv 1708.00489), algorithm 1.

mod lazy;
mod plain;

use std::ops::ControlFlow;

use self::lazy::LazyTraversal;
use self::plain::PlainTraversal;
use crate::embeddings::{self, Embeddings};
use crate::quantization::Quantized;
use crate::simd::distance::Farthest;
use crate::simd::products::ProductKernel;
use crate::workers::Workers;
use crate::{Error, Result};

/// In place of a row's squared distance: the row is a center. Below every distance, so neither a
/// minimum nor an arg-max needs a branch for it, and it is never picked, repeats or not.
const CENTER: f32 = -1.0;

/// How far apart two rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Euclidean distance.
    Euclidean,
    /// Euclidean distance of the normalised rows, monotone in the angle between them.
    Cosine,
}

impl Metric {
    /// The metric of that name.
    ///
    /// # Errors
    /// [`Error::Choice`] if there is none.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "euclidean" => Ok(Self::Euclidean),
            "cosine" => Ok(Self::Cosine),
            _ => Err(Error::choice("metric", format!("'{name}'"), "'euclidean' or 'cosine'")),
        }
    }
}

/// Centers in the order in which they were picked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Centers {
    /// Row of each.
    pub rows: Vec<i64>,
    /// Largest distance of any row to its nearest center once that center was added.
    pub radii: Vec<f32>,
}

/// Picks `budget` rows, each the farthest from all centers before it; ties go to the lowest row.
///
/// `initial_rows` are centers already and are not returned; without any, the first pick is the row
/// nearest to the mean. A budget over the rows that are left picks them all. The same rows come for
/// any `n_threads` (`None`: one a core) and any instruction set.
///
/// `proceed` is called on the calling thread after each center; on a break the picks made so far
/// are returned, which are those that a smaller budget gives.
///
/// # Errors
/// [`Error::Budget`] for a negative budget, [`Error::Array`] for embeddings without columns, with a
/// value that is not finite, with distances that float32 cannot hold, or (cosine) with a zero
/// vector, and for an initial row that does not exist; [`Error::Choice`] for 0 threads.
pub fn k_center_greedy(
    embeddings: Embeddings<'_>,
    budget: i64,
    initial_rows: &[i64],
    metric: Metric,
    n_threads: Option<usize>,
    proceed: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Centers> {
    traverse(embeddings, budget, initial_rows, metric, n_threads, false, proceed)
}

/// The same picks by the definition, one pass over all rows for each center: what tests and benches
/// compare [`k_center_greedy`] with.
///
/// # Errors
/// As [`k_center_greedy`].
pub fn plain_k_center_greedy(
    embeddings: Embeddings<'_>,
    budget: i64,
    initial_rows: &[i64],
    metric: Metric,
    n_threads: Option<usize>,
    proceed: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Centers> {
    traverse(embeddings, budget, initial_rows, metric, n_threads, true, proceed)
}

fn traverse(
    embeddings: Embeddings<'_>,
    budget: i64,
    initial_rows: &[i64],
    metric: Metric,
    n_threads: Option<usize>,
    is_plain: bool,
    proceed: &mut Proceed<'_>,
) -> Result<Centers> {
    let budget =
        usize::try_from(budget).map_err(|_| Error::budget("budget", budget.to_string(), "0 or more rows"))?;
    check_columns(embeddings)?;
    let initial_rows = checked_rows(initial_rows, embeddings.n_rows())?;
    let workers = Workers::new(n_threads, embeddings.n_rows().div_ceil(embeddings.rows_per_block()))?;
    let cosine = (metric == Metric::Cosine).then_some(embeddings);
    let normalized = cosine.map(|embeddings| embeddings::normalized(embeddings, &workers)).transpose()?;
    let embeddings = embeddings.or_copy(normalized.as_ref());
    let survey = embeddings::survey(embeddings, &workers)?;
    let scale = survey.scale()?;
    let wanted = budget.min(embeddings.n_rows() - initial_rows.len());
    if wanted == 0 {
        return Ok(Centers::default());
    }
    let first_row = if initial_rows.is_empty() {
        embeddings::nearest_row(embeddings, &survey.mean(), &workers)
    } else {
        None
    };
    let scaled = scale.map(|scale| embeddings::scaled(embeddings, scale, &workers)).transpose()?;
    let embeddings = embeddings.or_copy(scaled.as_ref());
    let (n_rows, scale) = (embeddings.n_rows(), scale.unwrap_or(1.0));
    let task = Task { n_rows, first_row, initial_rows: &initial_rows, wanted, scale };
    if is_plain {
        return Ok(task.run(&mut PlainTraversal::new(embeddings, &workers), proceed));
    }
    let quantized =
        ProductKernel::best().and_then(|kernel| Quantized::new(embeddings, &survey, scale, kernel, &workers));
    Ok(task.run(&mut LazyTraversal::new(embeddings, quantized, &workers), proceed))
}

fn check_columns(embeddings: Embeddings<'_>) -> Result<()> {
    if embeddings.n_columns() > 0 {
        return Ok(());
    }
    let was = format!("shape ({}, 0)", embeddings.n_rows());
    Err(Error::array("embeddings", was, "at least one column"))
}

/// Row numbers without repeats, in the order of first mention.
fn checked_rows(initial_rows: &[i64], n_rows: usize) -> Result<Vec<usize>> {
    let mut seen = vec![false; if initial_rows.is_empty() { 0 } else { n_rows }];
    let mut unique = Vec::new();
    for (entry, &number) in initial_rows.iter().enumerate() {
        let row = usize::try_from(number).ok().filter(|&row| row < n_rows).ok_or_else(|| {
            let was = format!("entry {entry} is {number}, and embeddings has {n_rows} rows");
            Error::array("initial_rows", was, "numbers of rows of embeddings, counted from 0")
        })?;
        if !std::mem::replace(&mut seen[row], true) {
            unique.push(row);
        }
    }
    Ok(unique)
}

/// Called on the calling thread now and then; a break ends the traversal.
type Proceed<'a> = dyn FnMut() -> ControlFlow<()> + 'a;

/// A farthest-first traversal that is told its centers.
trait Traversal {
    /// Makes a row a center.
    fn add_center(&mut self, row: usize);

    /// The row that is farthest from its nearest center, the lowest of those equally far;
    /// [`Farthest::NONE`] once every row is a center.
    fn farthest(&mut self, proceed: &mut Proceed<'_>) -> ControlFlow<(), Farthest>;

    /// Whether a row is a center.
    fn is_center(&self, row: usize) -> bool;
}

/// What the traversal starts from and ends with.
struct Task<'a> {
    n_rows: usize,
    first_row: Option<usize>,
    initial_rows: &'a [usize],
    wanted: usize,
    /// The embeddings are this times the caller's.
    scale: f64,
}

impl Task<'_> {
    fn run(&self, traversal: &mut impl Traversal, proceed: &mut Proceed<'_>) -> Centers {
        let mut centers = Centers::default();
        // A break leaves the picks made so far behind.
        let _ = self.pick(traversal, &mut centers, proceed);
        centers
    }

    /// Adds all initial rows, then picks. A pick stands once its radius is known, which is the
    /// distance of the next.
    fn pick(
        &self,
        traversal: &mut impl Traversal,
        centers: &mut Centers,
        proceed: &mut Proceed<'_>,
    ) -> ControlFlow<()> {
        for &row in self.initial_rows {
            traversal.add_center(row);
            proceed()?;
        }
        let mut next_row = match self.first_row {
            Some(row) => row,
            None => traversal.farthest(proceed)?.row,
        };
        while centers.rows.len() < self.wanted {
            traversal.add_center(next_row);
            let farthest = traversal.farthest(proceed)?;
            centers.rows.push(next_row as i64);
            centers.radii.push(self.radius(farthest));
            if farthest.squared_distance <= 0.0 {
                self.pick_the_rest(traversal, centers);
            }
            next_row = farthest.row;
            proceed()?;
        }
        ControlFlow::Continue(())
    }

    /// Every row left lies on a center: they come in order.
    fn pick_the_rest(&self, traversal: &impl Traversal, centers: &mut Centers) {
        let left = (0..self.n_rows).filter(|&row| !traversal.is_center(row));
        centers.rows.extend(left.take(self.wanted - centers.rows.len()).map(|row| row as i64));
        centers.radii.resize(centers.rows.len(), 0.0);
    }

    /// Distance in the caller's units; 0 once every row is a center.
    fn radius(&self, farthest: Farthest) -> f32 {
        (f64::from(farthest.squared_distance.max(0.0)).sqrt() / self.scale) as f32
    }
}
