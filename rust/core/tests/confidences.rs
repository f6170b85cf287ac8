//! Exact values and refusals of confidences and of the weights that follow from them.
#![allow(missing_docs, reason = "a test")]

use ndarray::ArrayView1;
use tasksel_core::Error;
use tasksel_core::confidence::{
    ConfidenceMetric, TaskMean, inverse_confidence_log_weights, inverse_confidence_weights, log_confidence,
    task_log_confidence,
};
use tasksel_core::random::SplitMix64;

use ConfidenceMetric::{Entropy, LengthNormalized, Margin, MinMargin, MinToken, Product};

const LOGPROBS: &str = "natural logs of probabilities: at most 0, -inf for probability 0";

fn said<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().to_string()
}

fn of(values: &[f64], offsets: &[i64], metric: ConfidenceMetric) -> Result<Vec<f64>, Error> {
    log_confidence(&ArrayView1::from(values), offsets, metric)
}

fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let is_close = (found - expected).abs() <= 1e-12 * expected.abs();
        assert!(
            is_close || found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan()),
            "{found} is not {expected}"
        );
    }
}

#[test]
fn metrics_and_means_are_named() {
    let names = ["product", "length-normalized", "min-token", "entropy", "margin", "min-margin"];
    for (name, metric) in
        names.into_iter().zip([Product, LengthNormalized, MinToken, Entropy, Margin, MinMargin])
    {
        assert_eq!(ConfidenceMetric::from_name(name), Ok(metric));
    }
    let allowed = "'product', 'length-normalized', 'min-token', 'entropy', 'margin', 'min-margin'";
    assert_eq!(said(ConfidenceMetric::from_name("sum")), format!("metric: 'sum'; allowed: {allowed}"));
    assert_eq!(TaskMean::from_name("arithmetic"), Ok(TaskMean::Arithmetic));
    assert_eq!(TaskMean::from_name("geometric"), Ok(TaskMean::Geometric));
    assert_eq!(said(TaskMean::from_name("")), "mean: ''; allowed: 'arithmetic', 'geometric'");
}

#[test]
fn metrics_are_their_definitions() {
    let offsets = [0, 3, 3, 4];
    let logs = [-0.5, -2.0, -0.25, -3.0];
    let third = 1.0 / 3.0;
    for (metric, first, last) in
        [(Product, -2.75, -3.0), (LengthNormalized, -2.75 * third, -3.0), (MinToken, -2.0, -3.0)]
    {
        assert_close(&of(&logs, &offsets, metric).unwrap(), &[first, f64::NAN, last]);
    }
    let shares: [f64; 4] = [0.5, 0.75, 0.25, 0.0];
    for (metric, first, last) in [
        (Entropy, -0.5, 0.0),
        (Margin, 0.5_f64.ln(), f64::NEG_INFINITY),
        (MinMargin, 0.25_f64.ln(), f64::NEG_INFINITY),
    ] {
        assert_close(&of(&shares, &offsets, metric).unwrap(), &[first, f64::NAN, last]);
    }
    // No metric gives minus zero, whose bits are others than those of zero.
    for metric in [Product, LengthNormalized, MinToken, Entropy] {
        assert_eq!(of(&[0.0, -0.0], &[0, 2], metric).unwrap()[0].to_bits(), 0);
    }
}

#[test]
fn rounding_is_taken_and_more_refused() {
    for metric in [Product, LengthNormalized, MinToken] {
        assert_eq!(of(&[0.000_9, -1.0], &[0, 1, 2], metric), Ok(vec![0.0, -1.0]));
        assert_eq!(of(&[f64::NEG_INFINITY], &[0, 1], metric), Ok(vec![f64::NEG_INFINITY]));
        assert_eq!(
            said(of(&[-1.0, -1.0, 0.002], &[0, 1, 1, 3], metric)),
            format!("token_logprobs: 0.002 at position 2 (example 2); allowed: {LOGPROBS}")
        );
    }
    let entropies = "entropies in nats, at least 0 and finite";
    assert_eq!(of(&[-0.000_9, 12.5], &[0, 1, 2], Entropy), Ok(vec![0.0, -12.5]));
    for bad in [-0.002, f64::INFINITY] {
        let sentence = format!("token_logprobs: {bad} at position 0 (example 0); allowed: {entropies}");
        assert_eq!(said(of(&[bad], &[0, 1], Entropy)), sentence);
    }
    let margins = "margins between two probabilities, from 0 to 1";
    for metric in [Margin, MinMargin] {
        assert_eq!(of(&[1.000_9, -0.000_9], &[0, 1, 2], metric), Ok(vec![0.0, f64::NEG_INFINITY]));
        for bad in [-0.002, 1.002, f64::NAN] {
            let sentence = format!("token_logprobs: {bad} at position 1 (example 0); allowed: {margins}");
            assert_eq!(said(of(&[0.5, bad], &[0, 2], metric)), sentence);
        }
    }
}

#[test]
fn offsets_are_checked() {
    let refused = |offsets: &[i64]| said(of(&[-1.0, -1.0, -1.0], offsets, Product));
    let allowed = "allowed: n + 1 non-decreasing positions in token_logprobs, from 0 to its length";
    assert_eq!(refused(&[]), format!("offsets: empty; {allowed}"));
    assert_eq!(refused(&[-1, 2]), format!("offsets: starts at -1; {allowed}"));
    assert_eq!(refused(&[0, 1, 1, 3, 2]), format!("offsets: falls from 3 to 2 at 4; {allowed}"));
    let beyond = format!("offsets: ends at 4, beyond the 3 values of token_logprobs; {allowed}");
    assert_eq!(refused(&[0, 4]), beyond);
    assert_eq!(of(&[-1.0, -2.0, -4.0], &[1, 2, 3], Product), Ok(vec![-2.0, -4.0]));
    assert_eq!(of(&[-1.0], &[0], Product), Ok(vec![]));
    // What lies outside of the runs is not looked at, and places are counted from the array's start.
    assert_eq!(of(&[9.0, -2.0, 9.0], &[1, 2], Product), Ok(vec![-2.0]));
    assert!(said(of(&[9.0, -2.0, 9.0], &[1, 2, 3], Product)).contains("9 at position 2 (example 1)"));
}

#[test]
fn blocks_of_examples_are_read_where_they_stand() {
    let mut random = SplitMix64::stream(1, 0);
    let lengths: Vec<i64> = (0..5000).map(|_| random.below(4) as i64).collect();
    let mut offsets = vec![2];
    for length in &lengths {
        offsets.push(offsets[offsets.len() - 1] + length);
    }
    let n_tokens = offsets[offsets.len() - 1] as usize;
    // Multiples of 1/8: their sums are exact in any order.
    let tokens: Vec<f64> = (0..n_tokens).map(|_| random.below(90) as f64 / -8.0).collect();
    let expected: Vec<f64> = offsets
        .windows(2)
        .map(|ends| tokens[ends[0] as usize..ends[1] as usize].iter().sum::<f64>() + 0.0)
        .zip(&lengths)
        .map(|(sum, &length)| if length == 0 { f64::NAN } else { sum })
        .collect();
    assert_close(&of(&tokens, &offsets, Product).unwrap(), &expected);
    let backwards: Vec<f64> = tokens.iter().rev().copied().collect();
    let strided = ArrayView1::from(&backwards);
    assert_close(&log_confidence(&strided.slice(ndarray::s![..;-1]), &offsets, Product).unwrap(), &expected);
}

#[test]
fn a_task_has_the_mean_of_its_examples() {
    let logs = [0.5_f64.ln(), f64::NAN, 0.25_f64.ln(), f64::NEG_INFINITY, 0.0, f64::NAN, f64::NEG_INFINITY];
    let task = [0, 0, 0, 1, 1, 2, 3];
    let found = task_log_confidence(&logs, &task, 5, TaskMean::Arithmetic).unwrap();
    assert_close(&found, &[0.375_f64.ln(), 0.5_f64.ln(), f64::NAN, f64::NEG_INFINITY, f64::NAN]);
    let found = task_log_confidence(&logs, &task, 5, TaskMean::Geometric).unwrap();
    let halves = 0.5 * (0.5_f64.ln() + 0.25_f64.ln());
    assert_close(&found, &[halves, f64::NEG_INFINITY, f64::NAN, f64::NEG_INFINITY, f64::NAN]);
    // Far below what a probability can hold, and above 1 by rounding.
    for mean in [TaskMean::Arithmetic, TaskMean::Geometric] {
        assert_eq!(task_log_confidence(&[1e-3], &[0], 1, mean), Ok(vec![0.0]));
        assert_close(&task_log_confidence(&[-1500.0, -1500.0], &[0, 0], 1, mean).unwrap(), &[-1500.0]);
        assert_eq!(task_log_confidence(&[0.000_9, 0.000_5], &[0, 0], 1, mean), Ok(vec![0.0]));
    }
    let expected = -1500.0 + f64::midpoint(1.0, (-2.0_f64).exp()).ln();
    let found = task_log_confidence(&[-1502.0, -1500.0], &[0, 0], 1, TaskMean::Arithmetic).unwrap();
    assert_close(&found, &[expected]);
}

#[test]
fn many_rows_have_the_mean_of_few() {
    let n_rows = (1 << 16) * 2 + 777;
    let mut random = SplitMix64::stream(2, 0);
    // Probabilities whose sums are exact.
    let shares: Vec<f64> = (0..n_rows).map(|_| 0.5_f64.powi(random.below(4) as i32)).collect();
    let logs: Vec<f64> = shares.iter().map(|share| share.ln()).collect();
    // What few rows at the start say of a task is not what all say.
    let task: Vec<i64> = (0..n_rows).map(|row| i64::from(random.below(n_rows) < row)).collect();
    let found = task_log_confidence(&logs, &task, 2, TaskMean::Arithmetic).unwrap();
    for (number, found) in (0..).zip(found) {
        let of_task =
            || shares.iter().zip(&task).filter(move |(_, task)| **task == number).map(|(share, _)| *share);
        let mean = of_task().sum::<f64>() / of_task().count() as f64;
        assert!((found - mean.ln()).abs() < 1e-12);
    }
}

#[test]
fn tasks_are_checked() {
    let numbers = "allowed: task numbers from 0 to the number of tasks - 1";
    let allowed = "allowed: natural logs of probabilities: at most 0, -inf for probability 0, NaN for an example \
                   without confidence";
    for mean in [TaskMean::Arithmetic, TaskMean::Geometric] {
        let refused = |logs: &[f64], task: &[i64]| said(task_log_confidence(logs, task, 2, mean));
        let lengths = "task: 1 task numbers for 2 log-confidences; allowed: one task number a row";
        assert_eq!(refused(&[-1.0, -1.0], &[0]), lengths);
        assert_eq!(
            refused(&[-1.0, -1.0, 0.0], &[1, 2, -1]),
            format!("task: 2 at row 1, with 2 tasks; {numbers}")
        );
        assert_eq!(refused(&[-1.0, -1.0], &[0, -1]), format!("task: -1 at row 1, with 2 tasks; {numbers}"));
        for bad in ["0.002", "inf"] {
            let sentence = refused(&[-1.0, bad.parse().unwrap(), 3.0], &[0, 1, 1]);
            assert!(sentence.contains(&format!("{bad} at row 1")), "{sentence}");
            assert!(sentence.ends_with(allowed), "{sentence}");
        }
    }
}

#[test]
fn weights_are_inverse_confidences() {
    let half = 0.5_f64.ln();
    let logs = [0.0, half, 2.0 * half];
    let weights = |alpha, max_ratio| inverse_confidence_weights(&logs, alpha, max_ratio).unwrap();
    assert_close(&weights(1.0, None), &[1.0 / 7.0, 2.0 / 7.0, 4.0 / 7.0]);
    assert_close(&weights(2.0, None), &[1.0 / 21.0, 4.0 / 21.0, 16.0 / 21.0]);
    assert_close(&weights(1.0, Some(3.0)), &[1.0 / 6.0, 2.0 / 6.0, 3.0 / 6.0]);
    assert_close(&weights(1.0, Some(1.0)), &[1.0 / 3.0; 3]);
    assert_close(&weights(0.0, None), &[1.0 / 3.0; 3]);
    // The cap counts from the most confident task, however confident that is.
    let lower = logs.map(|log| log - 5.0);
    let capped = inverse_confidence_weights(&lower, 1.0, Some(3.0)).unwrap();
    assert!(capped.iter().zip([1.0, 2.0, 3.0]).all(|(weight, sixths)| (weight - sixths / 6.0).abs() < 1e-14));
    let log_weights = inverse_confidence_log_weights(&logs, 1.0, None).unwrap();
    assert_close(&log_weights, &[(1.0_f64 / 7.0).ln(), (2.0_f64 / 7.0).ln(), (4.0_f64 / 7.0).ln()]);
    // Held in logs where the weights themselves underflow.
    let apart = inverse_confidence_log_weights(&[0.0, -1500.0], 1.0, None).unwrap();
    assert_close(&apart, &[-1500.0, 0.0]);
}

#[test]
fn tasks_without_confidence_get_the_geometric_mean() {
    let quarter = 0.25_f64.ln();
    let weights = |logs: &[f64], max_ratio| inverse_confidence_weights(logs, 1.0, max_ratio).unwrap();
    assert_close(&weights(&[0.0, f64::NAN, quarter], None), &[1.0 / 7.0, 2.0 / 7.0, 4.0 / 7.0]);
    assert_close(&weights(&[quarter, f64::NAN, 0.0, f64::NAN], Some(1.0)), &[0.25; 4]);
    assert_close(&weights(&[f64::NAN, f64::NAN], None), &[0.5; 2]);
    // Confidence zero is the limit, alone and beside others.
    let zero = f64::NEG_INFINITY;
    assert_close(&weights(&[zero, -1.0, zero], None), &[0.5, 0.0, 0.5]);
    assert_close(&weights(&[zero, zero], Some(2.0)), &[0.5; 2]);
    assert_close(&weights(&[zero, f64::NAN], None), &[0.5; 2]);
    assert_close(&weights(&[zero, f64::NAN, 0.0], Some(4.0)), &[4.0 / 7.0, 2.0 / 7.0, 1.0 / 7.0]);
    // Infinite even where alpha is far below 1, and nothing at all at alpha 0.
    let flat = inverse_confidence_weights(&[zero, 0.0, f64::NAN], 0.0, None).unwrap();
    assert_close(&flat, &[1.0 / 3.0; 3]);
    // The largest and the least that a float can hold still have a mean between them.
    let far = inverse_confidence_log_weights(&[-f64::MAX, f64::NAN, 0.0], 2.0, None).unwrap();
    assert_close(&far, &[0.0, -5e289, -1e290]);
    let far = inverse_confidence_log_weights(&[f64::MAX, f64::NAN, 0.0], 2.0, None).unwrap();
    assert_close(&far, &[-1e290, -5e289, 0.0]);
}

#[test]
fn weights_refuse_with_the_place() {
    let refused = |logs: &[f64], alpha, max_ratio| {
        let sentence = said(inverse_confidence_weights(logs, alpha, max_ratio));
        assert_eq!(sentence, said(inverse_confidence_log_weights(logs, alpha, max_ratio)));
        sentence
    };
    for alpha in [-0.5, f64::NAN, f64::INFINITY] {
        assert_eq!(
            refused(&[0.0], alpha, None),
            format!("alpha: {alpha}; allowed: a finite number of at least 0")
        );
    }
    for ratio in [0.5, f64::NAN, -1.0] {
        let sentence = format!("max_ratio: {ratio}; allowed: None or a number of at least 1");
        assert_eq!(refused(&[0.0], 1.0, Some(ratio)), sentence);
    }
    let sentence = "task_log_confidence: inf at task 1; allowed: finite values, -inf or NaN";
    assert_eq!(refused(&[-1.0, f64::INFINITY], 1.0, None), sentence);
    assert_close(
        &inverse_confidence_weights(&[0.0, -1.0], 1.0, Some(f64::INFINITY)).unwrap(),
        &inverse_confidence_weights(&[0.0, -1.0], 1.0, None).unwrap(),
    );
}
