//! Greedy k-center (farthest-first traversal).
//!
//! Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical Computer
//! Science 38 (1985): the covering radius is at most twice the best possible. As a core-set for
//! active learning: Sener and Savarese, "Active learning for convolutional neural networks: a
//! core-set approach", ICLR 2018 (arXiv 1708.00489), algorithm 1.

use std::ops::ControlFlow;

use crate::embeddings::{self, Embeddings};
use crate::simd::distance::{Farthest, InstructionSet};
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
    let traversal = Traversal::new(embeddings, scale.unwrap_or(1.0), &workers);
    Ok(traversal.run(first_row, &initial_rows, wanted, proceed))
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

/// State of one farthest-first traversal.
struct Traversal<'a> {
    embeddings: Embeddings<'a>,
    /// The embeddings are this times the caller's.
    scale: f64,
    workers: &'a Workers,
    instruction_set: InstructionSet,
    /// Squared distance of each row to its nearest center, or [`CENTER`].
    nearest: Vec<f32>,
}

impl<'a> Traversal<'a> {
    fn new(embeddings: Embeddings<'a>, scale: f64, workers: &'a Workers) -> Self {
        let nearest = vec![f32::INFINITY; embeddings.n_rows()];
        Self { embeddings, scale, workers, instruction_set: InstructionSet::best(), nearest }
    }

    /// Adds all initial rows, then picks; `first_row` is the first pick if there are no initial rows.
    fn run(
        mut self,
        first_row: Option<usize>,
        initial_rows: &[usize],
        wanted: usize,
        proceed: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Centers {
        let mut centers = Centers::default();
        let mut next_row = first_row.unwrap_or_default();
        for &row in initial_rows {
            next_row = self.add_center(row).row;
            if proceed().is_break() {
                return centers;
            }
        }
        while centers.rows.len() < wanted {
            let farthest = self.add_center(next_row);
            centers.rows.push(next_row as i64);
            centers.radii.push(self.radius(farthest));
            next_row = farthest.row;
            if proceed().is_break() {
                break;
            }
        }
        centers
    }

    /// One pass over all rows: new nearest distances, and the row that is then the farthest.
    fn add_center(&mut self, row: usize) -> Farthest {
        self.nearest[row] = CENTER;
        let (embeddings, instruction_set) = (self.embeddings, self.instruction_set);
        let (center, rows_per_block) = (embeddings.row(row), embeddings.rows_per_block());
        let blocks = self.workers.map_chunks_mut(&mut self.nearest, rows_per_block, |block, nearest| {
            let (first, rows) = embeddings.block(block, rows_per_block);
            let farthest = instruction_set.cover(rows, center, nearest);
            Farthest { row: first + farthest.row, ..farthest }
        });
        blocks.into_iter().fold(Farthest::NONE, Farthest::or_later)
    }

    /// Distance in the caller's units; 0 once every row is a center.
    fn radius(&self, farthest: Farthest) -> f32 {
        (f64::from(farthest.squared_distance.max(0.0)).sqrt() / self.scale) as f32
    }
}
