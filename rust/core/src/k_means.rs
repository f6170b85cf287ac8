//! k-means: Lloyd's iteration with exact assignments (Lloyd, "Least squares quantization in PCM", IEEE
//! Transactions on Information Theory 28, 1982), and the mini-batch form for many points (Sculley,
//! "Web-scale k-means clustering", WWW 2010, algorithm 1).

mod assignment;
mod seeding;
mod space;

use ndarray::{Array2, ArrayView2};

use self::assignment::{Move, NONE, Place, Targets, assign};
use self::space::Space;
use crate::embeddings::{self, Copied, Embeddings, Survey};
use crate::quantization::fine::FineGrid;
use crate::random::SplitMix64;
use crate::simd::products::ProductKernel;
use crate::simd::{rows, vectorized};
use crate::workers::{KeepOn, Workers};
use crate::{Error, Result, error};

/// Points whose squared distances are added in one run.
const ROWS_PER_SUM: usize = 1024;
/// Sampled rows for the seeds of mini-batches, for each row of a batch and for each cluster.
const SEED_SAMPLE: usize = 3;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Number of centers, at most one a point.
    pub n_clusters: i64,
    /// Of all random choices.
    pub seed: u64,
    /// Runs from different seeds; the one of least inertia is kept.
    pub n_init: i64,
    /// Assignments, each followed by new centers.
    pub max_iterations: i64,
    /// Iterations end when the squared movements of all centers add up to no more than this times the
    /// mean variance of a column.
    pub tolerance: f64,
    /// Points of a mini-batch; `None` for Lloyd's iteration.
    pub batch_size: Option<i64>,
    /// Number of threads.
    pub n_threads: Option<usize>,
}

/// Centers and the assignment of all points to them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KMeans {
    /// One center after the other.
    pub centers: Vec<f32>,
    /// Nearest center of each point, ties to the lowest.
    pub labels: Vec<i64>,
    /// Sum of squared distances to the nearest centers.
    pub inertia: f64,
    /// Iterations done.
    pub n_iterations: i64,
}

/// Clusters `points` around `n_clusters` centers.
///
/// Without `initial_centers` greedy k-means++ draws them. A cluster that loses all its points goes to
/// the point that is farthest from its center; if every point lies on a center, it stays empty.
/// `proceed` is called on the calling thread now and then; once it breaks, nothing is returned.
///
/// # Errors
/// [`Error::Array`] if there are no columns, values are not finite or distances leave the range of
/// float32, or `initial_centers` has another shape; [`Error::Budget`] for a number of clusters that is
/// 0 or over that of the points, and other counts out of range; [`Error::Choice`] for `tolerance` and
/// `n_threads`.
pub fn k_means(
    points: Embeddings<'_>,
    initial_centers: Option<Embeddings<'_>>,
    settings: Settings,
    proceed: &mut KeepOn<'_>,
) -> Result<KMeans> {
    error::or_nothing(cluster(points, initial_centers, settings, proceed))
}

fn cluster(
    points: Embeddings<'_>,
    initial_centers: Option<Embeddings<'_>>,
    settings: Settings,
    proceed: &mut KeepOn<'_>,
) -> Result<KMeans> {
    let counts = Counts::check(points, initial_centers, &settings)?;
    let workers = Workers::new(settings.n_threads, points.n_rows().div_ceil(ROWS_PER_SUM))?;
    let survey =
        embeddings::survey(points, &workers, proceed).map_err(|error| error.of_argument("points"))?;
    let mut mean = survey.mean();
    let survey = match initial_centers {
        Some(centers) => {
            let of_centers = |error: Error| error.of_argument("initial_centers");
            embeddings::survey(centers, &workers, proceed).map_err(of_centers)?.merge(&survey)
        }
        None => survey,
    };
    let scale = survey.scale().map_err(|error| error.of_argument("points"))?;
    let points_copy = scaled(points, scale, &workers, proceed)?;
    let centers_copy =
        initial_centers.map(|centers| scaled(centers, scale, &workers, proceed)).transpose()?.flatten();
    let points = points.or_copy(points_copy.as_ref());
    let initial_centers = initial_centers.map(|centers| centers.or_copy(centers_copy.as_ref()));
    let scale = scale.unwrap_or(1.0);
    for mean in &mut mean {
        *mean *= scale;
    }
    let grid = grid_of(&survey, scale);
    let task = Task { points, grid: grid.as_ref(), workers: &workers, mean: &mean, counts, settings };
    let mut found = task.best(initial_centers, proceed).unwrap_or_default();
    for value in &mut found.centers {
        *value = (f64::from(*value) / scale) as f32;
    }
    found.inertia /= scale * scale;
    Ok(found)
}

fn scaled(
    rows: Embeddings<'_>,
    scale: Option<f64>,
    workers: &Workers,
    proceed: &mut KeepOn<'_>,
) -> Result<Option<Copied>> {
    let of_points = |error: Error| error.of_argument("points");
    scale.map(|scale| embeddings::scaled(rows, scale, workers, proceed)).transpose().map_err(of_points)
}

fn grid_of(survey: &Survey, scale: f64) -> Option<FineGrid> {
    let (center, reach) = survey.center_and_reach(scale);
    FineGrid::new(center, reach, ProductKernel::best()?)
}

/// The counts among the settings, checked.
#[derive(Clone, Copy)]
struct Counts {
    n_clusters: usize,
    n_init: u64,
    max_iterations: i64,
    batch_size: Option<usize>,
}

impl Counts {
    fn check(points: Embeddings<'_>, initial: Option<Embeddings<'_>>, settings: &Settings) -> Result<Self> {
        let (n_rows, n_columns) = (points.n_rows(), points.n_columns());
        if n_columns == 0 {
            return Err(Error::array("points", format!("shape ({n_rows}, 0)"), "at least one column"));
        }
        let n_clusters = settings.n_clusters;
        if n_clusters > i64::from(u32::MAX - 1) && n_clusters <= n_rows as i64 {
            return Err(Error::budget("n_clusters", n_clusters.to_string(), "at most 4,294,967,294"));
        }
        if n_clusters < 1 || n_clusters > n_rows as i64 {
            let was = format!("{n_clusters}, and points has {n_rows} rows");
            return Err(Error::budget("n_clusters", was, "from 1 to the number of rows"));
        }
        let shape = (n_clusters as usize, n_columns);
        let found = initial.map(|centers| (centers.n_rows(), centers.n_columns()));
        if let Some(found) = found.filter(|&found| found != shape) {
            let was = format!("shape {found:?}, and {shape:?} is wanted");
            return Err(Error::array("initial_centers", was, "one row a cluster, as many columns as points"));
        }
        if !(settings.tolerance >= 0.0 && settings.tolerance < f64::INFINITY) {
            let was = settings.tolerance.to_string();
            return Err(Error::choice("tolerance", was, "a finite number of at least 0"));
        }
        let positive = |argument, count: i64| {
            let allowed = "an integer of at least 1";
            if count >= 1 { Ok(count) } else { Err(Error::budget(argument, count.to_string(), allowed)) }
        };
        let batch_size = settings.batch_size.map(|size| positive("batch_size", size)).transpose()?;
        Ok(Self {
            n_clusters: n_clusters as usize,
            n_init: positive("n_init", settings.n_init)? as u64,
            max_iterations: settings.max_iterations.max(0),
            batch_size: batch_size.map(|size| n_rows.min(size as usize)),
        })
    }
}

/// What all runs have in common.
struct Task<'a> {
    points: Embeddings<'a>,
    grid: Option<&'a FineGrid>,
    workers: &'a Workers,
    /// Mean of the points.
    mean: &'a [f64],
    counts: Counts,
    settings: Settings,
}

impl Task<'_> {
    /// The run of least inertia, the first of those; one run if it is told where to start.
    fn best(&self, initial: Option<Embeddings<'_>>, proceed: &mut KeepOn<'_>) -> Option<KMeans> {
        let space = Space::new(self.points, self.grid, self.workers);
        let n_runs = if initial.is_some() { 1 } else { self.counts.n_init };
        let stop = self.settings.tolerance * self.mean_variance();
        let mut best: Option<KMeans> = None;
        for run in 0..n_runs {
            let mut random = SplitMix64::stream(self.settings.seed, run);
            let centers = match initial {
                Some(centers) => gathered(centers, 0..centers.n_rows()),
                None => self.seeds(&space, &mut random, proceed)?,
            };
            let mut state = State::new(centers, self.points.n_rows());
            let n_iterations = match self.counts.batch_size {
                Some(size) => self.run_batches(&space, &mut state, size, stop, &mut random, proceed)?,
                None => self.run_lloyd(&space, &mut state, stop, proceed)?,
            };
            let inertia = self.inertia(&space, &state);
            if best.as_ref().is_none_or(|best| inertia < best.inertia) {
                best = Some(state.into_result(inertia, n_iterations));
            }
        }
        best
    }

    fn seeds(
        &self,
        space: &Space<'_>,
        random: &mut SplitMix64,
        proceed: &mut KeepOn<'_>,
    ) -> Option<Array2<f32>> {
        let (n_rows, n_clusters) = (self.points.n_rows(), self.counts.n_clusters);
        let most = |size: usize| SEED_SAMPLE.saturating_mul(size.max(n_clusters));
        let n_sampled = self.counts.batch_size.map_or(n_rows, most);
        if n_sampled >= n_rows {
            let rows = seeding::seed_rows(space, n_clusters, random, self.workers, proceed)?;
            return Some(gathered(self.points, rows));
        }
        let sample = self.sample(n_sampled, random);
        let sample = Embeddings::new(&sample.view())?;
        let space = Space::new(sample, self.grid, self.workers);
        let rows = seeding::seed_rows(&space, n_clusters, random, self.workers, proceed)?;
        Some(gathered(sample, rows))
    }

    /// Rows drawn with replacement.
    fn sample(&self, n_sampled: usize, random: &mut SplitMix64) -> Array2<f32> {
        let n_rows = self.points.n_rows() as u64;
        let rows: Vec<usize> = (0..n_sampled).map(|_| random.below(n_rows) as usize).collect();
        gathered(self.points, rows)
    }

    /// Number of iterations; `None` after a break.
    fn run_lloyd(
        &self,
        space: &Space<'_>,
        state: &mut State,
        stop: f64,
        proceed: &mut KeepOn<'_>,
    ) -> Option<i64> {
        for iteration in 1..=self.counts.max_iterations {
            let mut moves = state.assign(space, self.workers, proceed)?;
            if moves.is_empty() {
                return Some(iteration);
            }
            state.tally(&moves);
            state.refill(space, &mut moves);
            state.add_up(self.points, &moves, self.workers);
            if state.move_centers() <= stop {
                state.assign(space, self.workers, proceed)?;
                return Some(iteration);
            }
        }
        state.assign(space, self.workers, proceed)?;
        Some(self.counts.max_iterations)
    }

    /// As [`Self::run_lloyd`]. A center is the mean of all points that any batch gave to it.
    fn run_batches(
        &self,
        space: &Space<'_>,
        state: &mut State,
        size: usize,
        stop: f64,
        random: &mut SplitMix64,
        proceed: &mut KeepOn<'_>,
    ) -> Option<i64> {
        let mut n_done = 0;
        while n_done < self.counts.max_iterations {
            n_done += 1;
            let batch = self.sample(size, random);
            let batch = Embeddings::new(&batch.view())?;
            let space = Space::new(batch, self.grid, self.workers);
            state.places = vec![Place::UNKNOWN; size];
            let moves = state.assign(&space, self.workers, proceed)?;
            state.tally(&moves);
            state.add_up(batch, &moves, self.workers);
            if state.move_centers() <= stop {
                break;
            }
        }
        state.places = vec![Place::UNKNOWN; self.points.n_rows()];
        state.assign(space, self.workers, proceed)?;
        Some(n_done)
    }

    fn sum(&self, of_point: impl Fn(usize) -> f64 + Send + Sync) -> f64 {
        let n_rows = self.points.n_rows();
        let sums = self.workers.map(n_rows.div_ceil(ROWS_PER_SUM), |block| {
            let first = block * ROWS_PER_SUM;
            (first..n_rows.min(first + ROWS_PER_SUM)).map(&of_point).sum::<f64>()
        });
        sums.into_iter().sum()
    }

    /// Mean over the columns of their variance.
    fn mean_variance(&self) -> f64 {
        let (n_rows, n_columns) = (self.points.n_rows(), self.points.n_columns());
        let squares = self.sum(|point| rows::squared_distance_to_point(self.points.row(point), self.mean));
        squares / n_rows as f64 / n_columns as f64
    }

    fn inertia(&self, space: &Space<'_>, state: &State) -> f64 {
        self.sum(|point| f64::from(state.squared_distance(space, point)))
    }
}

fn gathered(rows: Embeddings<'_>, numbers: impl IntoIterator<Item = usize>) -> Array2<f32> {
    let values: Vec<f32> = numbers.into_iter().flat_map(|row| rows.row(row).iter().copied()).collect();
    let n_columns = rows.n_columns();
    Array2::from_shape_vec((values.len() / n_columns, n_columns), values).unwrap_or_default()
}

/// Centers, and what they are the means of.
struct State {
    centers: Array2<f32>,
    /// How far each center went with its last step.
    movements: Vec<f32>,
    /// Sums of the points of each cluster, one row a cluster.
    sums: Vec<f64>,
    counts: Vec<u64>,
    places: Vec<Place>,
}

impl State {
    fn new(centers: Array2<f32>, n_points: usize) -> Self {
        let (n_clusters, n_columns) = centers.dim();
        Self {
            centers,
            movements: vec![0.0; n_clusters],
            sums: vec![0.0; n_clusters * n_columns],
            counts: vec![0; n_clusters],
            places: vec![Place::UNKNOWN; n_points],
        }
    }

    fn center(&self, center: u32) -> &[f32] {
        self.centers.row(center as usize).to_slice().unwrap_or_default()
    }

    fn squared_distance(&self, space: &Space<'_>, point: usize) -> f32 {
        space.squared_distance(point, self.center(self.places[point].center))
    }

    fn assign(
        &mut self,
        space: &Space<'_>,
        workers: &Workers,
        proceed: &mut KeepOn<'_>,
    ) -> Option<Vec<Move>> {
        let view: ArrayView2<'_, f32> = self.centers.view();
        let grid = space.coded.as_ref().map(|coded| coded.grid);
        let targets = Targets::new(Embeddings::new(&view)?, &self.movements, grid);
        assign(space, &targets, &mut self.places, workers, proceed)
    }

    fn tally(&mut self, moves: &[Move]) {
        for &Move { from, to, .. } in moves {
            self.counts[to as usize] += 1;
            if from != NONE {
                self.counts[from as usize] -= 1;
            }
        }
    }

    /// Gives every empty cluster the point that is farthest from its center, the lowest of those, from
    /// a cluster that has others.
    fn refill(&mut self, space: &Space<'_>, moves: &mut Vec<Move>) {
        let empty: Vec<usize> = (0..self.counts.len()).filter(|&center| self.counts[center] == 0).collect();
        if empty.is_empty() {
            return;
        }
        let distances = (0..self.places.len()).map(|point| (self.squared_distance(space, point), point));
        let mut farthest: Vec<(f32, usize)> = distances.filter(|&(distance, _)| distance > 0.0).collect();
        farthest.sort_unstable_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
        let mut farthest = farthest.into_iter().map(|(_, point)| point);
        for center in empty {
            let has_others = |&point: &usize| self.counts[self.places[point].center as usize] > 1;
            let Some(point) = farthest.find(has_others) else { return };
            let (from, to) = (self.places[point].center, center as u32);
            self.places[point].set(to);
            self.counts[from as usize] -= 1;
            self.counts[center] += 1;
            moves.push(Move { point, from, to });
        }
    }

    /// Moves points between the sums, in the order of `moves` for each cluster.
    fn add_up(&mut self, points: Embeddings<'_>, moves: &[Move], workers: &Workers) {
        let n_columns = points.n_columns();
        let clusters_per_task = self.counts.len().div_ceil(workers.n_threads());
        workers.map_chunks_mut(&mut self.sums, clusters_per_task * n_columns, |task, sums| {
            let first = task * clusters_per_task;
            let mut change = |cluster: u32, point: usize, sign: f64| {
                // Of no cluster: far past the end.
                let start = (cluster as usize).wrapping_sub(first).saturating_mul(n_columns);
                if let Some(sums) = sums.get_mut(start..start.saturating_add(n_columns)) {
                    add_row(sums, points.row(point), sign);
                }
            };
            for &Move { point, from, to } in moves {
                if from != NONE {
                    change(from, point, -1.0);
                }
                change(to, point, 1.0);
            }
        });
    }

    /// Moves every center to the mean of its points, and adds up the squared movements.
    fn move_centers(&mut self) -> f64 {
        let n_columns = self.centers.ncols();
        let mut total = 0.0;
        for (cluster, mut center) in self.centers.rows_mut().into_iter().enumerate() {
            self.movements[cluster] = 0.0;
            if self.counts[cluster] == 0 {
                continue;
            }
            let (sums, count) = (&self.sums[cluster * n_columns..][..n_columns], self.counts[cluster] as f64);
            let mut squared = 0.0;
            for (value, sum) in center.iter_mut().zip(sums) {
                let mean = (sum / count) as f32;
                squared += (f64::from(mean) - f64::from(*value)).powi(2);
                *value = mean;
            }
            self.movements[cluster] = ((squared.sqrt() * (1.0 + 1e-9)) as f32).next_up();
            if squared == 0.0 {
                self.movements[cluster] = 0.0;
            }
            total += squared;
        }
        total
    }

    fn into_result(self, inertia: f64, n_iterations: i64) -> KMeans {
        let labels = self.places.iter().map(|place| i64::from(place.center)).collect();
        KMeans { centers: self.centers.into_raw_vec_and_offset().0, labels, inertia, n_iterations }
    }
}

fn add_row(sums: &mut [f64], row: &[f32], sign: f64) {
    vectorized(
        #[inline(always)]
        || {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += sign * f64::from(value);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use proptest::prelude::*;

    use super::*;

    /// Points with many repeats or none.
    fn points() -> impl Strategy<Value = Array2<f32>> {
        let shape = (1..300_usize, prop_oneof![1..5_usize, 60..70_usize], 0..3_i32);
        shape.prop_flat_map(|(n_rows, n_columns, decimals)| {
            prop::collection::vec(-4000..4000_i16, n_rows * n_columns).prop_map(move |values| {
                let step = 10_f32.powi(decimals);
                let at = |(i, j)| (f32::from(values[i * n_columns + j]) * step / 4000.0).round() / step;
                Array2::from_shape_fn((n_rows, n_columns), at)
            })
        })
    }

    proptest! {
        #[test]
        fn every_kernel_clusters_as_distances_alone_do(
            points in points(),
            n_clusters in 1..80_i64,
            seed: u64,
            batch_size in prop_oneof![Just(None), Just(Some(50))],
        ) {
            let points = Embeddings::new(&points.view()).unwrap();
            let settings = Settings {
                n_clusters: n_clusters.min(points.n_rows() as i64),
                seed,
                n_init: 2,
                max_iterations: 12,
                tolerance: 0.0,
                batch_size,
                n_threads: Some(1),
            };
            let workers = Workers::new(Some(1), 1).unwrap();
            let survey = embeddings::survey(points, &workers, &mut || ControlFlow::Continue(())).unwrap();
            let (mean, counts) = (survey.mean(), Counts::check(points, None, &settings).unwrap());
            let run = |grid: Option<&FineGrid>| {
                let points = points.or_copy(None);
                let task = Task { points, grid, workers: &workers, mean: &mean, counts, settings };
                task.best(None, &mut || ControlFlow::Continue(()))
            };
            let expected = run(None);
            prop_assert!(expected.is_some());
            for kernel in ProductKernel::available() {
                if let Some(grid) = FineGrid::new(survey.mean(), survey.largest_deviation(), kernel) {
                    prop_assert_eq!(&run(Some(&grid)), &expected, "{:?}", kernel);
                }
            }
        }
    }
}
