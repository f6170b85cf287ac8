//! Properties of the kernels on arbitrary inputs, against definitions that deal one row at a time.
#![allow(missing_docs, reason = "a test")]

use ndarray::ArrayView1;
use proptest::collection::vec;
use proptest::prelude::*;
use tasksel_core::allocation::{Rounding, Tasks, allocate};
use tasksel_core::confidence::{
    ConfidenceMetric, TaskMean, inverse_confidence_weights, log_confidence, task_log_confidence,
};
use tasksel_core::round_robin::{TaskOrder, TaskWeights, round_robin, weighted_round_robin};
use tasksel_core::workers::with_default_threads;

fn weight() -> impl Strategy<Value = f64> {
    prop_oneof![
        3 => prop::sample::select(vec![0.0, 1.0, 2.0, 3.0, 0.1]),
        2 => 0.0..1e3_f64,
        1 => 0.0..1e308_f64,
        1 => prop::sample::select(vec![5e-324, 1e-320, 1e-300]),
    ]
}

fn task_columns() -> impl Strategy<Value = (Vec<f64>, Vec<i64>, Vec<i64>)> {
    (1..40_usize).prop_flat_map(|n| (vec(weight(), n), vec(0..60_i64, n), vec(0..12_i64, n)))
}

/// Times a power of two where the smallest weights are so small that their priorities would lose bits.
fn raised(weights: &[f64]) -> Vec<f64> {
    let largest = weights.iter().copied().fold(0.0, f64::max);
    let is_small = weights.iter().any(|&weight| weight > 0.0 && weight < 1.2e-271);
    let n_doublings = if is_small { (900 - largest.log2().floor() as i32).max(0) } else { 0 };
    (0..n_doublings).fold(weights.to_vec(), |raised, _| raised.iter().map(|weight| 2.0 * weight).collect())
}

/// The definition: one row at a time.
fn dealt(weights: &[f64], available: &[i64], labelled: &[i64], budget: i64, base: i64) -> Vec<i64> {
    let weights = &raised(weights);
    let mut quotas = vec![0; weights.len()];
    for _ in 0..budget {
        let open = |task: &usize| quotas[*task] < available[*task];
        let held = |task: usize| labelled[task] + quotas[task];
        let basic = (0..weights.len()).filter(open).filter(|&task| held(task) < base);
        let fewest = |tasks: &mut dyn Iterator<Item = usize>| tasks.min_by_key(|&task| held(task));
        let priority = |task: usize| weights[task] / (2.0 * held(task) as f64 + 1.0);
        let weighted = (0..weights.len()).filter(open).filter(|&task| weights[task] > 0.0);
        let best = weighted.reduce(|best, task| if priority(task) > priority(best) { task } else { best });
        let next = fewest(&mut { basic }).or(best).or_else(|| fewest(&mut (0..weights.len()).filter(open)));
        match next {
            Some(task) => quotas[task] += 1,
            None => break,
        }
    }
    quotas
}

proptest! {
    #[test]
    fn webster_equals_dealing_row_by_row(
        (weights, available, labelled) in task_columns(), budget in 0..1500_i64, base in 0..9_i64,
    ) {
        let tasks = Tasks {
            weights: &weights, log_weights: false, available: &available, labelled: Some(&labelled),
        };
        let quotas = allocate(tasks, budget, base, Rounding::Webster).unwrap();
        prop_assert_eq!(quotas, dealt(&weights, &available, &labelled, budget, base));
    }

    #[test]
    fn every_rounding_keeps_the_bounds_and_the_sum(
        (weights, available, labelled) in task_columns(), budget in 0..2500_i64, base in 0..9_i64,
        rounding in prop::sample::select(vec![Rounding::Webster, Rounding::LargestRemainder, Rounding::Paper]),
        log_weights: bool,
    ) {
        let tasks = Tasks { weights: &weights, log_weights, available: &available, labelled: Some(&labelled) };
        let quotas = allocate(tasks, budget, base, rounding).unwrap();
        prop_assert_eq!(quotas.iter().sum::<i64>(), budget.min(available.iter().sum()));
        let need = |task: usize| (base - labelled[task]).clamp(0, available[task]);
        let has_base = budget >= (0..weights.len()).map(need).sum();
        for (task, &quota) in quotas.iter().enumerate() {
            prop_assert!(quota <= available[task]);
            prop_assert!(!has_base || quota >= need(task));
            prop_assert!(quota >= 0);
        }
    }

    #[test]
    fn every_prefix_of_the_ranking_is_an_allocation(
        (weights, labelled, task) in (1..12_usize).prop_flat_map(|n| {
            (vec(weight(), n), vec(0..9_i64, n), vec(0..n as i64, 0..80))
        }),
        base in 0..7_i64, seed: u64, log_weights: bool,
    ) {
        let ranked = TaskWeights { weights: &weights, log_weights, base, labelled: Some(&labelled) };
        let ranking = weighted_round_robin(&task, ranked, None, TaskOrder::Random(seed)).unwrap();
        let mut available = vec![0; weights.len()];
        for &task in &task {
            available[task as usize] += 1;
        }
        let tasks = Tasks { weights: &weights, log_weights, available: &available, labelled: Some(&labelled) };
        let mut quotas = vec![0; weights.len()];
        for (budget, &row) in ranking.iter().enumerate() {
            let allocated = allocate(tasks, budget as i64, base, Rounding::Webster).unwrap();
            prop_assert_eq!(&quotas, &allocated);
            quotas[task[row as usize] as usize] += 1;
        }
        let mut rows = ranking;
        rows.sort_unstable();
        prop_assert!(rows.into_iter().eq(0..task.len() as i64));
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits(
        tokens in vec(-50.0..0.0_f32, 0..20_000), task in vec(0..7_i64, 0..4000), seed: u64,
    ) {
        let all = || {
            let offsets: Vec<i64> =
                (0..=task.len()).map(|row| (row * tokens.len() / task.len().max(1)) as i64).collect();
            let values = ArrayView1::from(&tokens);
            let logs = log_confidence(&values, &offsets, ConfidenceMetric::Product).unwrap();
            let of_tasks = task_log_confidence(&logs, &task, 7, TaskMean::Arithmetic).unwrap();
            let weights = inverse_confidence_weights(&of_tasks, 1.0, Some(10.0)).unwrap();
            let ranked = TaskWeights { weights: &weights, log_weights: false, base: 2, labelled: None };
            let ranking = weighted_round_robin(&task, ranked, None, TaskOrder::Random(seed)).unwrap();
            let mut quotas = vec![0; 7];
            for &task in &task {
                quotas[task as usize] += 1;
            }
            let turns = round_robin(&task, &quotas, TaskOrder::Random(seed)).unwrap();
            let bits: Vec<u64> = logs.iter().chain(&of_tasks).map(|log| log.to_bits()).collect();
            (bits, ranking, turns)
        };
        prop_assert_eq!(with_default_threads(1, all), with_default_threads(4, all));
    }
}
