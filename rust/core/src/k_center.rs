//! Greedy k-center (farthest-first traversal).
//!
//! Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical Computer
//! Science 38 (1985): the covering radius is at most twice the best possible. As a core-set for
//! active learning: Sener and Savarese, "Active learning for convolutional neural networks: a
//! core-set approach", ICLR 2018 (arXiv 1708.00489), algorithm 1.

mod covering;
mod lazy;
mod partitioned;
mod plain;

use std::ops::ControlFlow;

pub use self::covering::covering_radii;
use self::lazy::LazyTraversal;
pub use self::partitioned::partitioned_k_center_greedy;
use self::plain::PlainTraversal;
use crate::embeddings::{self, Embeddings};
use crate::quantization::Quantized;
use crate::simd::distance::{Farthest, InstructionSet};
use crate::simd::products::ProductKernel;
use crate::workers::{KeepOn, Workers};
use crate::{Error, Result, error, limits};

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

impl Centers {
    fn progress(&self) -> Progress {
        let radius = self.radii.last().copied();
        radius.map_or(Progress::NONE, |radius| Progress { n_picked: self.rows.len(), radius })
    }
}

/// What a traversal is asked for besides the embeddings.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Rows to pick. More than are left picks them all.
    pub budget: i64,
    /// Rows that are centers already and are not returned; without any, the first pick is the row
    /// nearest to the mean.
    pub initial_rows: &'a [i64],
    /// How far apart two rows are.
    pub metric: Metric,
    /// Nothing more is picked once the covering radius is at most this.
    pub stop_radius: Option<f64>,
    /// `None`: one a core. The picks are the same for any number.
    pub n_threads: Option<usize>,
}

impl Request<'_> {
    fn check(&self) -> Result<usize> {
        let is_distance = |radius: f64| radius.is_finite() && radius >= 0.0;
        if let Some(radius) = self.stop_radius.filter(|&radius| !is_distance(radius)) {
            return Err(Error::choice("stop_radius", radius.to_string(), "a distance, 0 or more, or None"));
        }
        let was = || Error::budget("budget", self.budget.to_string(), "0 or more rows");
        usize::try_from(self.budget).map_err(|_| was())
    }
}

/// How far a traversal has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Rows picked so far.
    pub n_picked: usize,
    /// Covering radius with them; infinite until it is known.
    pub radius: f32,
}

impl Progress {
    /// Before the first pick.
    pub const NONE: Self = Self { n_picked: 0, radius: f32::INFINITY };
}

/// Called on the calling thread now and then; a break ends the traversal.
pub type Proceed<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// Picks rows, each the farthest from all centers before it; ties go to the lowest row. The same rows
/// come for any number of threads and any instruction set.
///
/// On a break of `proceed` the picks made so far are returned, which are those that a smaller budget
/// gives.
///
/// # Errors
/// [`Error::Budget`] for a negative budget, [`Error::Array`] for embeddings without columns, with a
/// value that is not finite, with distances that float32 cannot hold, or (cosine) with a zero
/// vector, and for an initial row that does not exist; [`Error::Choice`] for 0 threads or a stop
/// radius that is no distance.
pub fn k_center_greedy(
    embeddings: Embeddings<'_>,
    request: &Request<'_>,
    proceed: &mut Proceed<'_>,
) -> Result<Centers> {
    error::or_nothing(traverse(embeddings, request, Way::best(), proceed))
}

/// The names of the ways that this machine can go, the fastest first; the last is open to every machine.
#[must_use]
pub fn lazy_ways() -> Vec<&'static str> {
    let kernels = ProductKernel::available();
    kernels.iter().rev().map(|kernel| kernel.name()).chain([PORTABLE]).collect()
}

/// The same picks by one of [`lazy_ways`], or by the definition ([`PLAIN`]): what tests and benches compare
/// with, and what slower machines have.
///
/// # Errors
/// As [`k_center_greedy`], and [`Error::Choice`] for a way that this machine cannot go.
pub fn k_center_greedy_by(
    way: &str,
    embeddings: Embeddings<'_>,
    request: &Request<'_>,
    proceed: &mut Proceed<'_>,
) -> Result<Centers> {
    let way = match way {
        PLAIN => Way::Plain,
        PORTABLE => Way::Lazy(None, InstructionSet::portable()),
        _ => match ProductKernel::available().into_iter().find(|kernel| kernel.name() == way) {
            None => return Err(Error::choice("way", way, "one that this machine can go")),
            kernel => Way::Lazy(kernel, InstructionSet::best()),
        },
    };
    error::or_nothing(traverse(embeddings, request, way, proceed))
}

/// The way of the definition: one pass over all rows for each center.
pub const PLAIN: &str = "plain";
/// The way without codes and without wide registers.
const PORTABLE: &str = "portable";

/// How the picks are found, which does not change them.
#[derive(Clone, Copy)]
enum Way {
    Plain,
    Lazy(Option<ProductKernel>, InstructionSet),
}

impl Way {
    fn best() -> Self {
        Self::Lazy(ProductKernel::best(), InstructionSet::best())
    }
}

fn traverse(
    embeddings: Embeddings<'_>,
    request: &Request<'_>,
    way: Way,
    proceed: &mut Proceed<'_>,
) -> Result<Centers> {
    let budget = request.check()?;
    embeddings.check_columns("embeddings")?;
    let initial_rows = checked_rows(request.initial_rows, "embeddings", embeddings.n_rows())?;
    let wanted = wanted_picks(budget, embeddings.n_rows(), initial_rows.len())?;
    let workers = Workers::new(request.n_threads, embeddings.n_blocks())?;
    let keep_on: &mut KeepOn<'_> = &mut || proceed(Progress::NONE);
    let cosine = (request.metric == Metric::Cosine).then_some(embeddings);
    let normalized =
        cosine.map(|embeddings| embeddings::normalized(embeddings, &workers, keep_on)).transpose()?;
    let embeddings = embeddings.or_copy(normalized.as_ref());
    let survey = embeddings::survey(embeddings, &workers, keep_on)?;
    let scale = survey.scale()?;
    if wanted == 0 {
        return Ok(Centers::default());
    }
    let first_row = if initial_rows.is_empty() {
        embeddings::nearest_row(embeddings, &survey.mean(), &workers, keep_on)?
    } else {
        None
    };
    let scaled = scale.map(|scale| embeddings::scaled(embeddings, scale, &workers, keep_on)).transpose()?;
    let embeddings = embeddings.or_copy(scaled.as_ref());
    let (n_rows, scale, stop_radius) = (embeddings.n_rows(), scale.unwrap_or(1.0), request.stop_radius);
    let task = Task { n_rows, first_row, initial_rows: &initial_rows, wanted, stop_radius, scale };
    let Way::Lazy(kernel, distance) = way else {
        return Ok(task.run(&mut PlainTraversal::new(embeddings, &workers), proceed));
    };
    let quantized = Quantized::new(embeddings, &survey, scale, kernel, &workers, keep_on)?;
    let traversal = LazyTraversal::new(embeddings, quantized, &workers);
    Ok(task.run(&mut traversal.with_distance(distance), proceed))
}

/// Rows to pick of those that are left. Each row remembers in 32 bits how many centers it has seen.
fn wanted_picks(budget: usize, n_rows: usize, n_initial: usize) -> Result<usize> {
    let wanted = budget.min(n_rows - n_initial);
    if wanted <= limits::MAX_ROWS - n_initial.min(limits::MAX_ROWS) {
        return Ok(wanted);
    }
    let was = format!("{wanted} rows, besides {n_initial} that are centers already");
    Err(Error::budget("budget", was, "at most 4,294,967,295 centers in all"))
}

/// Row numbers without repeats, in the order of first mention, of a matrix that is called `owner`.
///
/// # Errors
/// [`Error::Array`] for a row that does not exist.
pub(crate) fn checked_rows(initial_rows: &[i64], owner: &str, n_rows: usize) -> Result<Vec<usize>> {
    let mut seen = vec![false; if initial_rows.is_empty() { 0 } else { n_rows }];
    let mut unique = Vec::new();
    for (entry, &number) in initial_rows.iter().enumerate() {
        let row = usize::try_from(number).ok().filter(|&row| row < n_rows).ok_or_else(|| {
            let was = format!("entry {entry} is {number}, and {owner} has {n_rows} rows");
            Error::array("initial_rows", was, "numbers of its rows, counted from 0")
        })?;
        if !std::mem::replace(&mut seen[row], true) {
            unique.push(row);
        }
    }
    Ok(unique)
}

/// A farthest-first traversal that is told its centers.
trait Traversal {
    /// Makes a row a center.
    fn add_center(&mut self, row: usize);

    /// The row that is farthest from its nearest center, the lowest of those equally far;
    /// [`Farthest::NONE`] once every row is a center.
    fn farthest(&mut self, keep_on: &mut KeepOn<'_>) -> ControlFlow<(), Farthest>;

    /// Whether a row is a center.
    fn is_center(&self, row: usize) -> bool;
}

/// What the traversal starts from and ends with.
struct Task<'a> {
    n_rows: usize,
    first_row: Option<usize>,
    initial_rows: &'a [usize],
    wanted: usize,
    stop_radius: Option<f64>,
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
            proceed(Progress::NONE)?;
        }
        let mut next_row = if let Some(row) = self.first_row {
            row
        } else {
            let farthest = traversal.farthest(&mut || proceed(Progress::NONE))?;
            if self.is_covered(self.radius(farthest)) {
                return ControlFlow::Continue(());
            }
            farthest.row
        };
        while centers.rows.len() < self.wanted {
            traversal.add_center(next_row);
            let progress = centers.progress();
            let farthest = traversal.farthest(&mut || proceed(progress))?;
            centers.rows.push(next_row as i64);
            centers.radii.push(self.radius(farthest));
            if self.is_covered(self.radius(farthest)) {
                break;
            }
            if farthest.squared_distance <= 0.0 {
                self.pick_the_rest(traversal, centers);
            }
            next_row = farthest.row;
            proceed(centers.progress())?;
        }
        ControlFlow::Continue(())
    }

    fn is_covered(&self, radius: f32) -> bool {
        self.stop_radius.is_some_and(|stop_radius| f64::from(radius) <= stop_radius)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_centers_than_32_bits_can_count_are_refused() {
        let most = limits::MAX_ROWS;
        assert_eq!(wanted_picks(usize::MAX, most, 0), Ok(most));
        assert_eq!(wanted_picks(usize::MAX, most, 7), Ok(most - 7));
        assert_eq!(wanted_picks(5, 1 << 40, 7), Ok(5));
        for (n_rows, n_initial) in
            [(most + 1, 0), (1 << 40, 0), (most + 8, 7), (1 << 40, most), (1 << 40, most + 1)]
        {
            let refused = wanted_picks(i64::MAX as usize, n_rows, n_initial).unwrap_err().to_string();
            assert!(refused.ends_with("at most 4,294,967,295 centers in all"), "{refused}");
        }
    }
}
