//! Facility location against a greedy that takes every gain anew before each pick, to the bit.

use std::fmt::Debug;
use std::ops::ControlFlow;

use ndarray::Array2;
use tasksel_core::embeddings::Embeddings;
use tasksel_core::facility_location::{Picks, facility_location};
use tasksel_core::k_center::Metric;
use tasksel_core::similarity_graph::{NeighbourLists, Points as Similar};

use crate::farthest_first::distinct;
use crate::input::{Input, special_or_any};
use crate::k_center::initial_rows;
use crate::neighbours::nearest;
use crate::points::{Points, Strided, n_columns, scale, squared_distance};

/// Lanes of the sum over all rows, where all pairs are taken; over the edges of lists there is one.
const LANES: usize = 8;
/// With more rows than this the reference has no time for all picks.
const MANY_ROWS: usize = 40;
const LARGEST_BUDGET: usize = 20;

/// Picks from what the bytes describe.
///
/// # Panics
/// If rows or gains are not those of the definition, or anything panics.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    if input.any() { check_lists(&mut input) } else { check_rows(&mut input) }
}

fn check_lists(input: &mut Input<'_>) {
    let (neighbours, similarities) = lists(input);
    let of = (&neighbours, &similarities);
    let (neighbours_view, similarities_view) = (neighbours.view(), similarities.view());
    let lists = NeighbourLists::new(&neighbours_view, &similarities_view);
    if neighbours.dim() != similarities.dim() {
        assert!(lists.is_err(), "not refused: {of:?}");
        return;
    }
    let lists = lists.unwrap_or_else(|error| panic!("refused with '{error}': {of:?}"));
    let pairs = Pairs::of_lists(&neighbours, &similarities);
    Case::choose(input, neighbours.nrows()).check(Similar::Lists(lists), pairs.as_ref(), &of);
}

fn check_rows(input: &mut Input<'_>) {
    let columns = n_columns(input);
    let points = Points::make(input, columns);
    let metric = input.pick(&[Metric::Euclidean, Metric::Cosine]);
    let n_neighbours = input.pick(&[None, None, Some(1), Some(2), Some(7), Some(usize::MAX)]);
    let n_neighbours = if input.seldom() { Some(0) } else { n_neighbours };
    let array = Strided::of(&points, input.below(4));
    let view = array.view();
    let Some(embeddings) = Embeddings::new(&view) else { panic!("rows of adjacent values are refused") };
    let pairs = match n_neighbours {
        Some(0) => None,
        Some(n_neighbours) if n_neighbours < points.rows.len() => {
            Pairs::of_nearest(&points, metric, n_neighbours)
        }
        _ => Pairs::of_all(&points, metric),
    };
    let similar = Similar::Embeddings { embeddings, metric, n_neighbours };
    let of = (metric, n_neighbours, &points);
    Case::choose(input, points.rows.len()).check(similar, pairs.as_ref(), &of);
}

/// Lists of different neighbours in any order, but for a seldom place, and similarities of one kind.
fn lists(input: &mut Input<'_>) -> (Array2<i64>, Array2<f32>) {
    let (n_rows, k) = (input.below(30), input.below(9));
    let mut neighbours = Array2::from_elem((n_rows, k), -1);
    for mut list in neighbours.rows_mut() {
        let (chosen, is_falling): (u32, bool) = (input.any(), input.any());
        let mut rows: Vec<i64> = (0..n_rows as i64).filter(|row| chosen >> row & 1 == 1).collect();
        if is_falling {
            rows.reverse();
        }
        list.iter_mut().zip(rows).for_each(|(place, row)| *place = row);
        if k > 0 && input.seldom() {
            list[input.below(k)] = i64::from(input.any::<i8>());
        }
    }
    let (kind, n_more) = (input.below(4), usize::from(input.seldom()));
    let similarities = Array2::from_shape_simple_fn((n_rows, k + n_more), || match kind {
        // Eighths, whose sums are often equal.
        0 => f32::from(input.any::<i8>() % 9) / 8.0,
        1 => f32::from(input.any::<u16>()) / 65536.0,
        2 => Some(input.any::<f32>()).filter(|value| value.is_finite()).unwrap_or(1.0),
        _ => special_or_any(input) as f32,
    });
    (neighbours, similarities)
}

/// Similarities of every row, by the row that they are taken to: 0 where there are none.
struct Pairs {
    columns: Vec<Vec<f32>>,
    n_lanes: usize,
}

impl Pairs {
    fn none(n_rows: usize, n_lanes: usize) -> Self {
        Self { columns: vec![vec![0.0; n_rows]; n_rows], n_lanes }
    }

    /// `None` if the lists must be refused.
    fn of_lists(neighbours: &Array2<i64>, similarities: &Array2<f32>) -> Option<Self> {
        let n_rows = neighbours.nrows();
        let mut pairs = Self::none(n_rows, 1);
        for (row, (list, similarities)) in neighbours.outer_iter().zip(similarities.outer_iter()).enumerate()
        {
            let mut seen = Vec::new();
            for (&neighbour, &similarity) in list.iter().zip(similarities).filter(|place| *place.0 != -1) {
                let column = usize::try_from(neighbour).ok().filter(|&column| column < n_rows)?;
                if seen.contains(&column) || !similarity.is_finite() {
                    return None;
                }
                seen.push(column);
                pairs.columns[column][row] = similarity;
            }
        }
        Some(pairs)
    }

    /// Of all rows; `None` if they must be refused.
    fn of_all(points: &Points, metric: Metric) -> Option<Self> {
        let points = points.prepared(metric)?;
        let scale = if metric == Metric::Cosine { 1.0 } else { scale(&[&points])? };
        let points = points.times(scale);
        let mut pairs = Self::none(points.rows.len(), LANES);
        for (column, left) in points.rows.iter().enumerate() {
            for (row, right) in points.rows.iter().enumerate() {
                let squared = f64::from(squared_distance(left, right));
                pairs.columns[column][row] = similarity(metric, squared, points.n_columns, scale);
            }
        }
        Some(pairs)
    }

    /// Of each row to those nearest to it, itself the first of them; `None` if they must be refused.
    fn of_nearest(points: &Points, metric: Metric, n_neighbours: usize) -> Option<Self> {
        let found = nearest(points, points, n_neighbours as i64 - 1, metric, true)?;
        let mut pairs = Self::none(points.rows.len(), 1);
        for row in 0..points.rows.len() {
            pairs.columns[row][row] = 1.0;
            for place in row * found.n_neighbours..(row + 1) * found.n_neighbours {
                let squared = f64::from(found.distances[place]).powi(2);
                let similarity = similarity(metric, squared, points.n_columns, 1.0);
                pairs.columns[found.rows[place] as usize][row] = similarity;
            }
        }
        Some(pairs)
    }

    /// By how much a row raises the sum of what is best for each.
    fn gain(&self, row: usize, best: &[f64]) -> f64 {
        let mut lanes = vec![0.0; self.n_lanes];
        for (place, (&similarity, best)) in self.columns[row].iter().zip(best).enumerate() {
            lanes[place % self.n_lanes] += (f64::from(similarity) - best).max(0.0);
        }
        lanes.iter().sum()
    }
}

/// Of two rows at this distance, which was taken at `scale` times theirs.
fn similarity(metric: Metric, squared: f64, n_columns: usize, scale: f64) -> f32 {
    let similarity = match metric {
        Metric::Cosine => (1.0 - squared / 2.0).max(0.0),
        Metric::Euclidean => (-squared.sqrt() * (n_columns as f64 * scale).recip()).exp(),
    };
    similarity as f32
}

/// What is asked for.
#[derive(Debug)]
struct Case {
    budget: i64,
    initial_rows: Vec<i64>,
    n_threads: Option<usize>,
    /// The call of the caller's function that asks to stop.
    stop_at: Option<usize>,
}

impl Case {
    fn choose(input: &mut Input<'_>, n_rows: usize) -> Self {
        let is_hostile = input.seldom();
        let most = if n_rows > MANY_ROWS { LARGEST_BUDGET } else { n_rows + 2 };
        Self {
            budget: if is_hostile { i64::from(input.any::<i8>()) } else { input.below(most + 1) as i64 },
            initial_rows: initial_rows(input, n_rows, is_hostile),
            n_threads: input.pick(&[Some(usize::from(!is_hostile)), Some(2), Some(5), None]),
            stop_at: input.any::<bool>().then(|| input.below(12)),
        }
    }

    fn check(&self, similar: Similar<'_>, pairs: Option<&Pairs>, of: &impl Debug) {
        let mut n_calls = 0;
        let mut keep_on = || {
            n_calls += 1;
            if Some(n_calls - 1) == self.stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let found = facility_location(similar, self.budget, &self.initial_rows, self.n_threads, &mut keep_on);
        let is_stopped = self.stop_at.is_some_and(|call| call < n_calls);
        let Some(expected) = pairs.and_then(|pairs| self.pick(pairs)) else {
            // Stopped, perhaps, before the mistake was seen.
            let is_nothing = is_stopped && found == Ok(Picks::default());
            assert!(found.is_err() || is_nothing, "not refused: {self:?} of {of:?}");
            return;
        };
        let found = found.unwrap_or_else(|error| panic!("refused with '{error}': {self:?} of {of:?}"));
        let n_picked = if is_stopped { found.rows.len() } else { expected.rows.len() };
        assert_eq!(found.rows[..], expected.rows[..n_picked], "{self:?} of {of:?}");
        let bits = |gains: &[f64]| gains.iter().map(|gain| gain.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found.gains), bits(&expected.gains[..n_picked]), "{self:?} of {of:?}");
    }

    /// The row of the largest gain again and again, the lowest of those that gain as much. `None` if it
    /// must be refused.
    fn pick(&self, pairs: &Pairs) -> Option<Picks> {
        let n_rows = pairs.columns.len();
        let initial_rows = distinct(&self.initial_rows, n_rows)?;
        let budget = usize::try_from(self.budget).ok().filter(|_| self.n_threads != Some(0))?;
        let mut best = vec![0.0_f64; n_rows];
        let mut is_left = vec![true; n_rows];
        let take = |row: usize, best: &mut [f64], is_left: &mut [bool]| {
            is_left[row] = false;
            for (best, &similarity) in best.iter_mut().zip(&pairs.columns[row]) {
                *best = best.max(f64::from(similarity));
            }
        };
        for row in initial_rows {
            take(row, &mut best, &mut is_left);
        }
        let mut picks = Picks::default();
        while picks.rows.len() < budget {
            let left = (0..n_rows).filter(|&row| is_left[row]).map(|row| (row, pairs.gain(row, &best)));
            let next = left.reduce(|first, other| if other.1 > first.1 { other } else { first });
            let Some((row, gain)) = next else { break };
            take(row, &mut best, &mut is_left);
            picks.rows.push(row as i64);
            picks.gains.push(gain);
        }
        Some(picks)
    }
}
