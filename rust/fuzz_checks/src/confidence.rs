//! Confidences and weights against sums that are taken one value after the other.

use ndarray::{Array1, s};
use tasksel_core::confidence::{
    ConfidenceMetric, Real, TaskMean, inverse_confidence_log_weights, inverse_confidence_weights,
    log_confidence, task_log_confidence,
};

use crate::input::{Input, special_or_any};

/// How far rounding may push a value out of the range of its metric.
const TOLERANCE: f64 = 1e-3;

/// Computes what the bytes describe.
///
/// # Panics
/// If a result is not that of the definition, up to rounding, or anything panics.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.below(4) {
        0 => check_examples::<f32>(&mut input, |value| value as f32),
        1 => check_examples::<f64>(&mut input, |value| value),
        2 => check_tasks(&mut input),
        _ => check_weights(&mut input),
    }
}

/// Whether two numbers are the same up to rounding; NaN is NaN's like.
fn is_close(found: f64, expected: f64) -> bool {
    let error = (found - expected).abs();
    found.to_bits() == expected.to_bits()
        || found.is_nan() && expected.is_nan()
        || error <= 1e-9 * (1e-3 + expected.abs())
        // A sum next to the largest float overflows in one order and not in another.
        || found.abs() > f64::MAX * 0.999 && expected.abs() > f64::MAX * 0.999 && (found > 0.0) == (expected > 0.0)
}

fn assert_all_close(found: &[f64], expected: &[f64], of: &dyn std::fmt::Debug) {
    let is_alike = found.len() == expected.len()
        && found.iter().zip(expected).all(|(&found, &expected)| is_close(found, expected));
    assert!(is_alike, "{found:?} is not {expected:?}: {of:?}");
}

/// Logprobs of several sizes, and any float where that is wanted.
fn logprob(input: &mut Input<'_>, is_hostile: bool) -> f64 {
    match input.below(if is_hostile { 6 } else { 4 }) {
        0 => -f64::from(input.any::<u8>()) / 16.0,
        1 => -f64::from(input.any::<u32>()) / 1e6,
        2 => input.pick(&[0.0, -0.0, 9e-4, f64::NEG_INFINITY, -1e300, -5e-324, -1500.0, -1e-30]),
        3 => -f64::from(input.any::<u16>()).exp2().min(1e308),
        _ => special_or_any(input),
    }
}

fn token_value(input: &mut Input<'_>, metric: ConfidenceMetric, is_hostile: bool) -> f64 {
    if is_hostile && input.seldom() {
        return special_or_any(input);
    }
    match metric {
        ConfidenceMetric::Entropy => -logprob(input, false).max(-1e38),
        ConfidenceMetric::Margin | ConfidenceMetric::MinMargin => match input.below(4) {
            0 => input.pick(&[0.0, 1.0, 1.0009, -9e-4, 5e-324, 1e-40]),
            _ => f64::from(input.any::<u16>()) / 65535.0,
        },
        _ => logprob(input, false),
    }
}

fn check_examples<T: Real + Default>(input: &mut Input<'_>, cast: impl Fn(f64) -> T) {
    let (_, metric) = input.pick(&ConfidenceMetric::ALL);
    let is_hostile = input.seldom();
    let n_values = if input.seldom() { input.below(3000) } else { input.below(80) };
    let values: Vec<T> = input.several(n_values, |input| cast(token_value(input, metric, is_hostile)));
    let offsets = offsets(input, n_values);
    let step = input.pick(&[1_isize, 2, -1, -3]);
    let mut spread = Array1::from_elem(n_values * step.unsigned_abs(), T::default());
    let mut view = spread.slice_mut(s![..;step]);
    view.iter_mut().zip(&values).for_each(|(out, &value)| *out = value);
    let found = log_confidence(&spread.slice(s![..;step]), &offsets, metric);
    let of = (metric, &offsets, &values);
    match expected_examples(&values, &offsets, metric) {
        None => assert!(found.is_err(), "not refused: {of:?}"),
        Some(expected) => {
            let found = found.unwrap_or_else(|error| panic!("refused with '{error}': {of:?}"));
            assert_all_close(&found, &expected, &of);
        }
    }
}

/// Positions that describe runs of values, or any.
fn offsets(input: &mut Input<'_>, n_values: usize) -> Vec<i64> {
    let n_offsets = if input.seldom() { 0 } else { 1 + input.below(20) };
    if input.seldom() {
        return input.several(n_offsets, |input| {
            let any = input.any::<bool>();
            if any { input.any() } else { input.below(n_values + 2) as i64 }
        });
    }
    let mut offsets = input.several(n_offsets, |input| input.below(n_values + 1) as i64);
    offsets.sort_unstable();
    offsets
}

/// `None` if the input must be refused.
fn expected_examples<T: Real>(values: &[T], offsets: &[i64], metric: ConfidenceMetric) -> Option<Vec<f64>> {
    use ConfidenceMetric as M;
    let is_position = |&offset: &i64| usize::try_from(offset).is_ok_and(|offset| offset <= values.len());
    if offsets.is_empty() || !offsets.is_sorted() || !offsets.iter().all(is_position) {
        return None;
    }
    let (lowest, highest) = match metric {
        M::Entropy => (0.0, f64::from(f32::MAX)),
        M::Margin | M::MinMargin => (0.0, 1.0),
        M::Product | M::LengthNormalized | M::MinToken => (f64::NEG_INFINITY, 0.0),
    };
    let (least_taken, most_taken) = (T::from_f64(lowest - TOLERANCE), T::from_f64(highest + TOLERANCE));
    let of_example = |bounds: &[i64]| {
        let run = &values[bounds[0] as usize..bounds[1] as usize];
        if !run.iter().all(|value| *value >= least_taken && *value <= most_taken) {
            return None;
        }
        let n_tokens = run.len() as f64;
        let clipped = || run.iter().map(|&value| Into::<f64>::into(value).clamp(lowest, highest));
        let (sum, least) = (clipped().sum::<f64>(), clipped().fold(highest, f64::min));
        Some(match metric {
            _ if run.is_empty() => f64::NAN,
            M::Product => sum,
            M::LengthNormalized => sum / n_tokens,
            M::MinToken => least,
            M::Entropy => -sum / n_tokens,
            M::Margin => (sum / n_tokens).ln(),
            M::MinMargin => least.ln(),
        })
    };
    offsets.windows(2).map(of_example).collect()
}

fn check_tasks(input: &mut Input<'_>) {
    let mean = input.pick(&[TaskMean::Arithmetic, TaskMean::Geometric]);
    let is_hostile = input.seldom();
    let (n_tasks, n_rows) =
        (input.below(9), if input.seldom() { input.below(3000) } else { input.below(60) });
    let values = input.several(n_rows, |input| {
        let is_missing = input.seldom();
        if is_missing { f64::NAN } else { logprob(input, is_hostile) }
    });
    let n_numbers = n_rows + usize::from(is_hostile && input.seldom());
    let task: Vec<i64> = input.several(n_numbers, |input| {
        if is_hostile && input.seldom() { input.any() } else { input.below(n_tasks.max(1)) as i64 }
    });
    let found = task_log_confidence(&values, &task, n_tasks, mean);
    let of = (mean, n_tasks, &task, &values);
    let is_task = |task: &i64| usize::try_from(*task).is_ok_and(|task| task < n_tasks);
    let is_refused =
        n_numbers != n_rows || !task.iter().all(is_task) || values.iter().any(|&value| value > TOLERANCE);
    if is_refused {
        assert!(found.is_err(), "not refused: {of:?}");
        return;
    }
    let found = found.unwrap_or_else(|error| panic!("refused with '{error}': {of:?}"));
    let expected = |number: usize| {
        let rows =
            || values.iter().zip(&task).filter(|(value, task)| **task == number as i64 && !value.is_nan());
        let logs: Vec<f64> = rows().map(|(value, _)| value.min(0.0)).collect();
        mean_log(&logs, mean)
    };
    assert_all_close(&found, &(0..n_tasks).map(expected).collect::<Vec<_>>(), &of);
}

fn mean_log(logs: &[f64], mean: TaskMean) -> f64 {
    let n_logs = logs.len() as f64;
    let peak = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match mean {
        _ if logs.is_empty() => f64::NAN,
        TaskMean::Geometric => logs.iter().sum::<f64>() / n_logs,
        TaskMean::Arithmetic if peak == f64::NEG_INFINITY => peak,
        TaskMean::Arithmetic => peak + (logs.iter().map(|log| (log - peak).exp()).sum::<f64>() / n_logs).ln(),
    }
}

fn check_weights(input: &mut Input<'_>) {
    let is_hostile = input.seldom();
    let n_tasks = input.below(12);
    let values = input.several(n_tasks, |input| {
        let is_missing = input.seldom();
        if is_missing { f64::NAN } else { logprob(input, is_hostile) }
    });
    let alpha =
        if is_hostile { special_or_any(input) } else { input.pick(&[1.0, 0.0, 0.5, 2.0, 1e-300, 1e9]) };
    let max_ratio = match input.below(6) {
        0 => Some(10.0),
        1 => Some(1.0),
        2 => Some(1.0 + f64::from(input.any::<u16>())),
        3 if is_hostile => Some(special_or_any(input)),
        _ => None,
    };
    let (weights, logs) = (
        inverse_confidence_weights(&values, alpha, max_ratio),
        inverse_confidence_log_weights(&values, alpha, max_ratio),
    );
    let of = (alpha, max_ratio, &values);
    let is_allowed = (0.0..f64::INFINITY).contains(&alpha)
        && max_ratio.is_none_or(|ratio| ratio >= 1.0)
        && values.iter().all(|&value| value != f64::INFINITY);
    if !is_allowed {
        assert!(weights.is_err() && logs.is_err(), "not refused: {of:?}");
        return;
    }
    let weights = weights.unwrap_or_else(|error| panic!("refused with '{error}': {of:?}"));
    let logs = logs.unwrap_or_else(|error| panic!("refused with '{error}': {of:?}"));
    let expected = expected_weights(&values, alpha, max_ratio.unwrap_or(f64::INFINITY));
    assert_all_close(&weights, &expected, &of);
    let of_logs: Vec<f64> = logs.iter().map(|log| log.exp()).collect();
    assert_all_close(&of_logs, &expected, &of);
    check_order(&values, &weights, alpha, max_ratio, &of);
}

/// Weights sum to 1, a less confident task has no smaller one, and no ratio is above the cap.
fn check_order(
    values: &[f64],
    weights: &[f64],
    alpha: f64,
    max_ratio: Option<f64>,
    of: &dyn std::fmt::Debug,
) {
    let sum: f64 = weights.iter().sum();
    assert!(weights.is_empty() || (sum - 1.0).abs() < 1e-12, "sum {sum}: {of:?}");
    assert!(weights.iter().all(|weight| (0.0..=1.0).contains(weight)), "{weights:?}: {of:?}");
    for (left, &less) in values.iter().enumerate() {
        for (right, &more) in values.iter().enumerate() {
            let is_ordered =
                less >= more || less.is_nan() || more.is_nan() || weights[left] >= weights[right];
            assert!(is_ordered, "tasks {left} and {right} of {weights:?} with alpha {alpha}: {of:?}");
            // Not multiplied by infinity, since 0 times that is NaN.
            let cap = max_ratio.unwrap_or(f64::MAX).min(f64::MAX);
            let is_capped = weights[left] <= weights[right] * cap * (1.0 + 1e-12) + 1e-300 || cap >= f64::MAX;
            assert!(is_capped, "ratio of {left} and {right} of {weights:?}: {of:?}");
        }
    }
}

fn expected_weights(values: &[f64], alpha: f64, max_ratio: f64) -> Vec<f64> {
    const LARGEST: f64 = 1e290;
    let log_weight = |&value: &f64| match value {
        _ if value.is_nan() => f64::NAN,
        _ if alpha == 0.0 => 0.0,
        f64::NEG_INFINITY => f64::INFINITY,
        _ => (-alpha * value).clamp(-LARGEST, LARGEST),
    };
    let logs: Vec<f64> = values.iter().map(log_weight).collect();
    let least = logs.iter().copied().filter(|log| log.is_finite()).fold(f64::INFINITY, f64::min);
    // Only tasks of confidence 0 or without any: all are equal.
    if least.is_infinite() {
        return vec![1.0 / logs.len() as f64; logs.len()];
    }
    let capped: Vec<f64> =
        logs.iter().map(|log| if log.is_nan() { *log } else { (log - least).min(max_ratio.ln()) }).collect();
    let finite: Vec<f64> = capped.iter().copied().filter(|log| log.is_finite()).collect();
    let mean = finite.iter().map(|log| log / finite.len() as f64).sum::<f64>();
    let filled: Vec<f64> = capped.iter().map(|log| if log.is_nan() { mean } else { *log }).collect();
    let most = filled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let scaled: Vec<f64> =
        filled.iter().map(|log| if *log < most { (log - most).exp() } else { 1.0 }).collect();
    let total: f64 = scaled.iter().sum();
    scaled.iter().map(|weight| weight / total).collect()
}
