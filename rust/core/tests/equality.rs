//! Every kernel gives the same bits on every instruction set of the machine and for any number of threads,
//! whatever the data are like. What is compared with is the portable path on one thread.
#![allow(missing_docs, reason = "a test")]

mod hostile;

use std::ops::ControlFlow;

use ndarray::{Array2, ArrayView1, s};
use proptest::collection::vec;
use proptest::prelude::*;
use tasksel_core::Result;
use tasksel_core::allocation::{Rounding, Tasks, allocate};
use tasksel_core::confidence::{
    ConfidenceMetric, TaskMean, inverse_confidence_log_weights, inverse_confidence_weights, log_confidence,
    task_log_confidence,
};
use tasksel_core::embeddings::Embeddings;
use tasksel_core::facility_location::{Picks, facility_location};
use tasksel_core::graph_cut::graph_cut;
use tasksel_core::instruction_sets::{Level, available, with_bound};
use tasksel_core::k_center::{
    Centers, Metric, PLAIN, Request, covering_radii, k_center_greedy, k_center_greedy_by, lazy_ways,
    partitioned_k_center_greedy,
};
use tasksel_core::k_means::{KMeans, Settings, k_means};
use tasksel_core::neighbours::balls::ball_counts;
use tasksel_core::neighbours::{Neighbours, nearest_neighbours};
use tasksel_core::round_robin::{TaskOrder, TaskWeights, round_robin, weighted_round_robin};
use tasksel_core::similarity_graph::{NeighbourLists, Points};
use tasksel_core::workers::with_default_threads;

use self::hostile::{KINDS, points};

const THREADS: [usize; 3] = [2, 3, 7];
const METRICS: [Metric; 2] = [Metric::Euclidean, Metric::Cosine];

/// What a kernel said, to the bit, and which it was.
type Said = (String, std::result::Result<Vec<u64>, String>);

fn said<T>(name: impl Into<String>, result: Result<T>, bits: impl Fn(&T) -> Vec<u64>) -> Said {
    (name.into(), result.map(|found| bits(&found)).map_err(|error| error.to_string()))
}

fn of_i64(values: &[i64]) -> impl Iterator<Item = u64> + '_ {
    values.iter().map(|&value| value as u64)
}

fn of_f32(values: &[f32]) -> impl Iterator<Item = u64> + '_ {
    values.iter().map(|value| u64::from(value.to_bits()))
}

fn of_f64(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn of_centers(centers: &Centers) -> Vec<u64> {
    of_i64(&centers.rows).chain(of_f32(&centers.radii)).collect()
}

fn of_neighbours(found: &Neighbours) -> Vec<u64> {
    of_i64(&found.rows).chain(of_f32(&found.distances)).collect()
}

fn of_picks(picks: &Picks) -> Vec<u64> {
    of_i64(&picks.rows).chain(of_f64(&picks.gains)).collect()
}

fn of_clusters(found: &KMeans) -> Vec<u64> {
    let figures = [found.inertia.to_bits(), found.n_iterations as u64];
    of_f32(&found.centers).chain(of_i64(&found.labels)).chain(figures).collect()
}

fn go_on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// k-center in every form.
fn centers_of(points: &Array2<f32>, n_threads: usize, metrics: &[Metric], initial: &[&[i64]]) -> Vec<Said> {
    let rows = Embeddings::new(&points.view()).unwrap();
    let mut all = Vec::new();
    for &metric in metrics {
        for initial_rows in initial {
            let request =
                Request { budget: 30, initial_rows, metric, stop_radius: None, n_threads: Some(n_threads) };
            let name = format!("k-center {metric:?} {initial_rows:?}");
            for way in lazy_ways().into_iter().chain([PLAIN]) {
                let found = k_center_greedy_by(way, rows, &request, &mut |_| go_on());
                all.push(said(&name, found, of_centers));
            }
            all.push(said(&name, k_center_greedy(rows, &request, &mut |_| go_on()), of_centers));
            // All ways agree; how many there are depends on the level.
            all.dedup();
            assert_eq!(all.iter().filter(|said| said.0 == name).count(), 1, "{name}");
            let parts = partitioned_k_center_greedy(rows, 3, &request, &mut |_| go_on());
            all.push(said(format!("{name} in parts"), parts, of_centers));
        }
        let some = rows.range(0..rows.n_rows().min(9));
        let radii = covering_radii(rows, some, metric, Some(n_threads), &mut go_on);
        all.push(said(format!("covering radii {metric:?}"), radii, |radii| of_f32(radii).collect()));
    }
    all
}

/// Nearest rows, and rows within balls.
fn neighbours_of(points: &Array2<f32>, n_threads: usize) -> Vec<Said> {
    let rows = Embeddings::new(&points.view()).unwrap();
    let mut all = Vec::new();
    for metric in METRICS {
        let n_threads = Some(n_threads);
        let found = nearest_neighbours(rows, rows, 5, metric, true, n_threads, &mut go_on);
        let radii = found.as_ref().map_or_else(
            |_| vec![1.0; rows.n_rows()],
            |found| found.distances.chunks(found.n_neighbours.max(1)).map(|row| row[row.len() - 1]).collect(),
        );
        let radii = if radii.len() == rows.n_rows() { radii } else { vec![1.0; rows.n_rows()] };
        all.push(said(format!("neighbours {metric:?}"), found, of_neighbours));
        let others = rows.range(0..rows.n_rows().div_ceil(2));
        let found = nearest_neighbours(others, rows, 3, metric, false, n_threads, &mut go_on);
        all.push(said(format!("neighbours of half {metric:?}"), found, of_neighbours));
        let counts = ball_counts(others, rows, &radii, metric, n_threads, &mut go_on);
        all.push(said(format!("balls {metric:?}"), counts, |counts| of_i64(counts).collect()));
    }
    all
}

fn clusters_of(points: &Array2<f32>, n_threads: usize) -> Vec<Said> {
    let rows = Embeddings::new(&points.view()).unwrap();
    let settings = |batch_size| Settings {
        n_clusters: rows.n_rows().min(6) as i64,
        seed: 3,
        n_init: 2,
        max_iterations: 6,
        tolerance: 0.0,
        batch_size,
        n_threads: Some(n_threads),
    };
    let start = rows.range(0..rows.n_rows().min(6));
    vec![
        said("k-means", k_means(rows, None, settings(None), &mut go_on), of_clusters),
        said("mini-batches", k_means(rows, None, settings(Some(40)), &mut go_on), of_clusters),
        said("k-means from rows", k_means(rows, Some(start), settings(None), &mut go_on), of_clusters),
    ]
}

/// Facility location and graph cut on all pairs, on the nearest rows, and on lists.
fn picks_of(points: &Array2<f32>, n_threads: usize) -> Vec<Said> {
    let rows = Embeddings::new(&points.view()).unwrap();
    let (n_rows, n_threads) = (rows.n_rows() as i64, Some(n_threads));
    let neighbours = Array2::from_shape_fn((n_rows as usize, 3), |(row, place)| {
        let neighbour = (row as i64 * 7 + place as i64) % n_rows;
        if (place as i64) < n_rows { neighbour } else { -1 }
    });
    let similarities = Array2::from_shape_fn(neighbours.dim(), |at| points[(at.0, 0)] % 3.0 + at.1 as f32);
    let lists = NeighbourLists::new(&neighbours.view(), &similarities.view()).unwrap();
    let mut all = Vec::new();
    let mut sources = vec![("lists".to_owned(), Points::Lists(lists))];
    for metric in METRICS {
        for n_neighbours in [None, Some(4)] {
            let name = format!("{metric:?} {n_neighbours:?}");
            sources.push((name, Points::Embeddings { embeddings: rows, metric, n_neighbours }));
        }
    }
    for (name, points) in sources {
        let picks = facility_location(points, 25, &[n_rows - 1], n_threads, &mut go_on);
        all.push(said(format!("facility location {name}"), picks, of_picks));
        let picks = graph_cut(points, 25, 0.4, &[n_rows - 1], n_threads, &mut go_on);
        all.push(said(format!("graph cut {name}"), picks, of_picks));
    }
    all
}

/// From tokens to a ranking: each step takes what the one before gave.
fn ranking_of(tokens: &[f32], offsets: &[i64], task: &[i64], n_tasks: usize, seed: u64) -> Vec<Said> {
    let mut all = Vec::new();
    let wide: Vec<f64> = tokens.iter().rev().map(|&token| f64::from(token)).collect();
    for (name, metric) in ConfidenceMetric::ALL {
        let logs = log_confidence(&ArrayView1::from(tokens), offsets, metric);
        all.push(said(format!("{name} of float32"), logs, |logs| of_f64(logs)));
        let reversed = ArrayView1::from(&wide);
        let logs = log_confidence(&reversed.slice(s![..;-1]), offsets, metric);
        all.push(said(format!("{name} of strided float64"), logs, |logs| of_f64(logs)));
    }
    let logs = log_confidence(&ArrayView1::from(tokens), offsets, ConfidenceMetric::Product).unwrap();
    let mut sizes = vec![0; n_tasks];
    for &task in task {
        sizes[task as usize] += 1;
    }
    for mean in [TaskMean::Arithmetic, TaskMean::Geometric] {
        let of_tasks = task_log_confidence(&logs, task, n_tasks, mean).unwrap();
        all.push((format!("tasks by {mean:?}"), Ok(of_f64(&of_tasks))));
        let weights = inverse_confidence_weights(&of_tasks, 0.7, Some(50.0)).unwrap();
        let log_weights = inverse_confidence_log_weights(&of_tasks, 0.7, Some(50.0)).unwrap();
        all.push(("weights".to_owned(), Ok(of_f64(&weights))));
        all.push(("log weights".to_owned(), Ok(of_f64(&log_weights))));
        for (weights, log_weights) in [(&weights, false), (&log_weights, true)] {
            for rounding in [Rounding::Webster, Rounding::LargestRemainder, Rounding::Paper] {
                let tasks = Tasks { weights, log_weights, available: &sizes, labelled: None };
                let quotas = allocate(tasks, task.len() as i64 / 2, 2, rounding);
                all.push(said(format!("quotas by {rounding:?}"), quotas, |quotas| of_i64(quotas).collect()));
            }
            let ranked = TaskWeights { weights, log_weights, base: 2, labelled: None };
            let ranking = weighted_round_robin(task, ranked, None, TaskOrder::Random(seed));
            all.push(said("ranking", ranking, |rows| of_i64(rows).collect()));
        }
    }
    let priority: Vec<f64> = logs.iter().map(|&log| if log.is_nan() { 0.0 } else { log }).collect();
    for order in [TaskOrder::Random(seed), TaskOrder::Priority(&priority)] {
        all.push(said("turns", round_robin(task, &sizes, order), |rows| of_i64(rows).collect()));
    }
    all
}

/// Compares what is said on every level, and on the highest for every number of threads, with what the
/// portable path says on one thread.
fn all_agree(n_threads: &[usize], context: &str, run: impl Fn(usize) -> Vec<Said>) {
    let expected = with_bound(Level::Portable, || run(1));
    let levels = available();
    let highest = levels.iter().rev().take(1).flat_map(|&level| n_threads.iter().map(move |&n| (level, n)));
    // The lower levels share the numbers of threads among them.
    let lower = levels.iter().rev().skip(1).zip(n_threads.iter().cycle()).map(|(&level, &n)| (level, n));
    for (level, n_threads) in highest.chain(lower) {
        let found = with_bound(level, || run(n_threads));
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{context} on {} with {n_threads} threads", level.name());
        }
        assert_eq!(found.len(), expected.len());
    }
}

/// Tokens with every value that logprobs may have, examples of all lengths, and tasks without examples.
fn scored() -> impl Strategy<Value = (Vec<f32>, Vec<i64>, Vec<i64>)> {
    let odd =
        prop::sample::select(vec![0.0, -0.0, -1e-40, -f32::MIN_POSITIVE, -1e30, 9e-4, f32::NEG_INFINITY]);
    // Of all magnitudes: in float64 the sum of a few float32 of one magnitude is exact in any order.
    let small = (0.1..1.0_f32, -12..2_i32).prop_map(|(value, power)| -value * 10_f32.powi(power));
    let token = prop_oneof![4 => -30.0..0.0_f32, 4 => small, 1 => odd];
    (0..4000_usize, prop_oneof![0..30_usize, 3000..4000_usize]).prop_flat_map(move |(n_tokens, n_rows)| {
        let bounds = vec(0..=n_tokens as i64, n_rows).prop_map(move |mut offsets| {
            offsets.sort_unstable();
            offsets.insert(0, 0);
            offsets
        });
        (vec(token.clone(), n_tokens), bounds, vec(0..300_i64, n_rows))
    })
}

proptest! {
    // Each case is dozens of calls on every path.
    #![proptest_config(ProptestConfig { cases: (ProptestConfig::default().cases / 16).max(1), ..ProptestConfig::default() })]

    #[test]
    fn points_of_any_kind(kind in 0..KINDS.len(), n_rows in 1..300_usize, column in 0..7_usize, seed: u64) {
        let n_columns = [1, 2, 15, 63, 64, 65, 129][column];
        let points = points(KINDS[kind], n_rows, n_columns, seed);
        let context = format!("{} {n_rows} x {n_columns}", KINDS[kind]);
        all_agree(&[1, 3], &context, |n_threads| {
            let last = n_rows as i64 - 1;
            [
                centers_of(&points, n_threads, &METRICS, &[&[], &[last, 0, last]]),
                neighbours_of(&points, n_threads),
                clusters_of(&points, n_threads),
                picks_of(&points, n_threads),
            ]
            .concat()
        });
    }

    #[test]
    fn answers_of_any_kind((tokens, offsets, task) in scored(), seed: u64) {
        all_agree(&THREADS, "answers", |n_threads| {
            with_default_threads(n_threads, || ranking_of(&tokens, &offsets, &task, 300, seed))
        });
    }
}

/// Enough rows that every kernel has work for several threads: 65,536 values are one block.
#[test]
fn many_rows() {
    let kinds =
        ["without structure", "few distinct rows", "columns of all magnitudes", "huge, squares overflow"];
    for (kind, n_columns) in kinds.iter().zip([1, 63, 64, 65]) {
        let many = points(kind, 150_000 / n_columns, n_columns, 1);
        all_agree(&THREADS, kind, |n_threads| centers_of(&many, n_threads, &METRICS[..1], &[&[]]));
        let some = points(kind, 2100, n_columns, 2);
        all_agree(&THREADS, kind, |n_threads| clusters_of(&some, n_threads));
        let few = points(kind, 460, 65, 3);
        all_agree(&THREADS, kind, |n_threads| {
            [neighbours_of(&few, n_threads), picks_of(&few, n_threads)].concat()
        });
    }
}

/// The longest rows whose 8-bit products are taken, every code at an end of its range, and one longer.
#[test]
fn the_largest_sums_of_codes() {
    for n_columns in [24_000, 24_001] {
        let points = Array2::from_shape_fn((136, n_columns), |(row, column)| match row % 8 {
            0 => 1.0,
            1 => -1.0,
            2 => 1.0 - 2.0 * ((column % 2) as f32),
            3 => 2.0 * ((column % 2) as f32) - 1.0,
            _ if column % (row + 2) == 0 => -1.0,
            even if even % 2 == 0 => 1.0,
            _ => -1.0 + 2.0 * f32::from(u8::from(column * 2 < n_columns)),
        });
        all_agree(&[1], &format!("{n_columns} columns"), |n_threads| {
            let rows = Embeddings::new(&points.view()).unwrap();
            let metric = Metric::Euclidean;
            let request = Request {
                budget: 20,
                initial_rows: &[],
                metric,
                stop_radius: None,
                n_threads: Some(n_threads),
            };
            let found = nearest_neighbours(rows, rows, 3, metric, true, Some(n_threads), &mut go_on);
            let centers = k_center_greedy(rows, &request, &mut |_| go_on());
            let mut all = clusters_of(&points, n_threads);
            all.truncate(1);
            all.extend([said("k-center", centers, of_centers), said("neighbours", found, of_neighbours)]);
            all
        });
    }
}
