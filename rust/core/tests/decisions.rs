//! Exact values, refusals and large inputs of the kernels that decide what is bought.
#![allow(missing_docs, reason = "a test")]

use proptest::collection::vec;
use proptest::prelude::*;
use tasksel_core::Error;
use tasksel_core::allocation::{Rounding, Tasks, allocate};
use tasksel_core::random::SplitMix64;
use tasksel_core::round_robin::{TaskOrder, TaskWeights, round_robin, weighted_round_robin};

const ROUNDINGS: [Rounding; 3] = [Rounding::Webster, Rounding::LargestRemainder, Rounding::Paper];

fn linear<'a>(weights: &'a [f64], available: &'a [i64]) -> Tasks<'a> {
    Tasks { weights, log_weights: false, available, labelled: None }
}

fn said<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn roundings_are_named() {
    for (name, rounding) in ["webster", "largest-remainder", "paper"].into_iter().zip(ROUNDINGS) {
        assert_eq!(Rounding::from_name(name), Ok(rounding));
    }
    let allowed = "'webster', 'largest-remainder', 'paper'";
    assert_eq!(said(Rounding::from_name("Paper")), format!("rounding: 'Paper'; allowed: {allowed}"));
}

#[test]
fn allocation_refuses_with_the_place() {
    fn webster(tasks: Tasks<'_>, budget: i64, base: i64) -> String {
        said(allocate(tasks, budget, base, Rounding::Webster))
    }
    let (weights, available) = ([1.0, 2.0, 3.0], [4, 5, 6]);
    let tasks = linear(&weights, &available);
    assert_eq!(webster(tasks, -1, 0), "budget: -1; allowed: an integer of at least 0");
    assert_eq!(webster(tasks, 3, -2), "base: -2; allowed: an integer of at least 0");
    let counts = "allowed: one count of at least 0 for each weight";
    assert_eq!(
        webster(linear(&weights, &[1, 2]), 1, 1),
        format!("available: 2 counts for 3 weights; {counts}")
    );
    assert_eq!(webster(linear(&weights, &[0, 2, -7]), 1, 1), format!("available: -7 at task 2; {counts}"));
    let labelled = Tasks { labelled: Some(&[3, -1, -2]), ..tasks };
    assert_eq!(webster(labelled, 1, 1), format!("labelled: -1 at task 1; {counts}"));
    let too_many = Tasks { labelled: Some(&[3, 1, 2, 4]), ..tasks };
    assert_eq!(webster(too_many, 1, 1), format!("labelled: 4 counts for 3 weights; {counts}"));
    for (bad, word) in
        [(-0.5, "-0.5"), (f64::NAN, "NaN"), (f64::INFINITY, "inf"), (f64::NEG_INFINITY, "-inf")]
    {
        let sentence = format!("weights: {word} at task 1; allowed: finite weights of at least 0");
        assert_eq!(webster(linear(&[0.0, bad, -1.0], &available), 1, 1), sentence);
    }
    for (bad, word) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let logs = [f64::NEG_INFINITY, -0.5, bad];
        let tasks = Tasks { log_weights: true, ..linear(&logs, &available) };
        let allowed = "allowed: finite logs of weights, -inf for a weight of 0";
        assert_eq!(webster(tasks, 1, 1), format!("weights: {word} at task 2; {allowed}"));
    }
}

#[test]
fn roundings_differ_as_they_are_defined_to() {
    let quotas = |weights: &[f64], budget, rounding| {
        let available = vec![100; weights.len()];
        allocate(linear(weights, &available), budget, 0, rounding).unwrap()
    };
    // Shares 1.8, 3.6, 12.6: floors 1, 3, 12; two rows are left over.
    let weights = [1.0, 2.0, 7.0];
    assert_eq!(quotas(&weights, 18, Rounding::LargestRemainder), [2, 4, 12]);
    assert_eq!(quotas(&weights, 18, Rounding::Paper), [2, 4, 12]);
    // Shares 1.2, 1.2, 9.6: remainders favour the last, turns the first, and so do equal remainders.
    let weights = [1.0, 1.0, 8.0];
    assert_eq!(quotas(&weights, 12, Rounding::LargestRemainder), [1, 1, 10]);
    assert_eq!(quotas(&weights, 12, Rounding::Paper), [2, 1, 9]);
    assert_eq!(quotas(&[1.0, 1.0, 1.0], 4, Rounding::LargestRemainder), [2, 1, 1]);
    // Of 2n + 1: a third row at 2.5 times the weight.
    assert_eq!(quotas(&[1.0, 2.6], 3, Rounding::Webster), [1, 2]);
    assert_eq!(quotas(&[1.0, 5.1], 3, Rounding::Webster), [0, 3]);
}

/// A power of two changes no order, and nothing is lost of weights that are nearly no floats any more.
#[test]
fn weights_count_whatever_their_unit() {
    let available = [10, 1 << 45, 1 << 45, 1 << 45];
    let quotas = |factor: f64, rounding| {
        let weights = [1.0, 1.0, 2.0, 5.0].map(|weight| weight * factor);
        allocate(linear(&weights, &available), 8_000_000_000_010, 0, rounding).unwrap()
    };
    for rounding in ROUNDINGS {
        let expected = quotas(1.0, rounding);
        for n_halvings in [1, 850, 895, 899, 900, 901, 902, 905, 960, 1022, 1040, 1074] {
            let factor = 2_f64.powi(-n_halvings / 2) * 2_f64.powi(-n_halvings + n_halvings / 2);
            assert_eq!(quotas(factor, rounding), expected, "2^-{n_halvings}");
        }
        assert_eq!(quotas(2_f64.powi(1020), rounding), expected);
    }
    // A large weight beside a small one holds the scale where nothing overflows.
    for large in [1e-5, 1.0, 1e250, 1e308] {
        let given = allocate(linear(&[large, 1e-320, 2e-320], &[10, 99, 99]), 40, 0, Rounding::Webster);
        assert_eq!(given, Ok(vec![10, 10, 20]), "{large}");
    }
    let weights = [2_f64.powi(800), 1.5e-323, 2.5e-323]; // the last are three and five of the smallest float
    let given = allocate(linear(&weights, &available[..3]), 8_000_000_000_010, 0, Rounding::Webster);
    assert_eq!(given, Ok(vec![10, 3_000_000_000_000, 5_000_000_000_000]));
}

/// So many equal priorities that thresholds stand on them, and weights of which a float keeps no small part.
#[test]
fn equal_weights_share_alike_and_the_lower_tasks_have_what_is_over() {
    let n_tasks = 200;
    for n_rows in [3_u32, 2_000, 1_000_003] {
        let available = vec![2 * i64::from(n_rows); n_tasks];
        let budget = i64::from(n_rows) * n_tasks as i64 + 77;
        let expected: Vec<i64> = (0..n_tasks).map(|task| i64::from(n_rows) + i64::from(task < 77)).collect();
        let logs = [-1e9, -1e7, -12_345.678, -700.1, -0.3, 31.7, 2e6].map(|weight| (weight, true));
        for (weight, log_weights) in logs.into_iter().chain([(0.1, false), (3e-250, false), (7e300, false)]) {
            let weights = vec![weight; n_tasks];
            let tasks = Tasks { log_weights, ..linear(&weights, &available) };
            assert_eq!(allocate(tasks, budget, 0, Rounding::Webster).unwrap(), expected, "{weight} {n_rows}");
        }
    }
    // So many rows that hundreds of a task have one priority: the lower task has all of its own first.
    for (weight, log_weights) in [(-1e9, true), (-1e7, true), (1.0, false)] {
        let n_rows = if log_weights { 1 << 32 } else { 1 << 56 };
        let available = [2 * n_rows; 3];
        let weights = [weight; 3];
        let tasks = Tasks { log_weights, labelled: Some(&[0, 5, 0]), ..linear(&weights, &available) };
        for budget in [3 * n_rows - 7, 3 * n_rows, 3 * n_rows + 1_000_001] {
            let quotas = allocate(tasks, budget, 0, Rounding::Webster).unwrap();
            assert_eq!(quotas.iter().sum::<i64>(), budget);
            assert!(is_best(tasks, &quotas, 0), "{weight} {quotas:?}");
        }
    }
    // Zero and minus zero are one.
    let tasks = Tasks { log_weights: true, ..linear(&[-0.0, 0.0], &[1, 1]) };
    assert_eq!(allocate(tasks, 1, 0, Rounding::Webster), Ok(vec![1, 0]));
}

/// Sums of more rows than a float tells apart are known to many rows alone. What is missing, or too much, then goes
/// to all tasks alike, and none gets more than it has or less than nothing.
#[test]
fn remainders_of_very_many_rows_keep_shares_limits_and_the_sum() {
    let mut random = SplitMix64::stream(5, 0);
    for round in 0..400 {
        let n_tasks = 2 + random.below(5) as usize;
        let weights: Vec<f64> = (0..n_tasks).map(|_| random.unit() * 10.0_f64.powi(round % 17)).collect();
        let bits: Vec<u64> = (0..n_tasks).map(|_| [4, 59, 60][random.below(3) as usize]).collect();
        let available: Vec<i64> = bits.iter().map(|bits| random.below(1 << bits) as i64).collect();
        let total: i64 = available.iter().sum();
        let budget = (total as f64 * random.unit()) as i64;
        let logs: Vec<f64> = weights.iter().map(|weight| weight.ln()).collect();
        for log_weights in [false, true] {
            let weights = if log_weights { &logs } else { &weights };
            let tasks = Tasks { log_weights, ..linear(weights, &available) };
            let quotas = allocate(tasks, budget, 0, Rounding::LargestRemainder).unwrap();
            assert_eq!(quotas.iter().sum::<i64>(), budget);
            assert!(quotas.iter().zip(&available).all(|(quota, available)| (0..=*available).contains(quota)));
        }
        let quotas = allocate(linear(&weights, &available), budget, 0, Rounding::LargestRemainder).unwrap();
        let error = 4.0 + budget as f64 * 4e-12;
        let at = |task: usize| quotas[task] as f64;
        for (one, other) in (0..n_tasks).flat_map(|one| (0..n_tasks).map(move |other| (one, other))) {
            // A task with room left has no smaller share for its weight than any other one.
            let least = (at(other) - error) * weights[one] / weights[other];
            let is_full = at(one) + error >= available[one] as f64;
            assert!(is_full || at(one) + error >= least, "{round}: {one} {other}");
        }
    }
}

/// Weights so far apart that the shares of the smallest jump from one float to the next.
#[test]
fn where_no_float_is_the_threshold_the_shares_around_it_are_mixed() {
    let quotas = |weights: &[f64], log_weights, budget| {
        let tasks = Tasks { log_weights, ..linear(weights, &[10, 300, 100]) };
        allocate(tasks, budget, 0, Rounding::LargestRemainder).unwrap()
    };
    // 20 and 40 times the smallest float: 10 and 20 rows at twice that float, 20 and 40 at that float.
    assert_eq!(quotas(&[1e308, 1e-322, 2e-322], false, 55), [10, 15, 30]);
    // One and two rows at the smallest float, and below it all that there are: 37 of 397 of the way.
    assert_eq!(quotas(&[1e308, 5e-324, 1e-323], false, 50), [10, 29, 11]);
    // None at the float above the least, and all at the least itself.
    assert_eq!(quotas(&[1.0, f64::MIN, f64::MIN], true, 50), [10, 30, 10]);
    assert_eq!(quotas(&[0.0, -1e20, -1e20], true, 50), [10, 30, 10]);
}

/// Rows that the base takes, one at a time to the task that holds the fewest below it.
fn dealt_base(available: &[i64], labelled: &[i64], budget: i64, base: i64) -> Vec<i64> {
    let mut dealt = vec![0; available.len()];
    for _ in 0..budget {
        let open = |task: &usize| dealt[*task] < available[*task] && labelled[*task] + dealt[*task] < base;
        let Some(task) = (0..dealt.len()).filter(open).min_by_key(|&task| labelled[task] + dealt[task])
        else {
            break;
        };
        dealt[task] += 1;
    }
    dealt
}

/// One row a task a turn until `n_left` are dealt or all are full.
fn take_turns(
    quotas: &mut [i64],
    available: &[i64],
    mut n_left: i64,
    is_open: impl Fn(usize) -> bool,
) -> i64 {
    loop {
        let before = n_left;
        let open: Vec<usize> = (0..quotas.len()).filter(|&task| is_open(task)).collect();
        for task in open {
            if n_left > 0 && quotas[task] < available[task] {
                quotas[task] += 1;
                n_left -= 1;
            }
        }
        if n_left == before {
            return n_left;
        }
    }
}

/// The paper's rounding by its definition: base, clamped floors of the rest's shares, turns. Weights are such
/// that halving all of them rounds nothing.
fn papers(weights: &[f64], available: &[i64], labelled: &[i64], budget: i64, base: i64) -> Vec<i64> {
    let mut quotas = dealt_base(available, labelled, budget, base);
    let n_rest = budget - quotas.iter().sum::<i64>();
    let mut n_left = n_rest;
    let sum: f64 = weights.iter().sum();
    for (task, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
        let floor = (n_rest as f64 * (weight / sum)).floor() as i64;
        let given = floor.min(available[task] - quotas[task]).min(n_left);
        quotas[task] += given;
        n_left -= given;
    }
    n_left = take_turns(&mut quotas, available, n_left, |task| weights[task] > 0.0);
    take_turns(&mut quotas, available, n_left, |_| true);
    quotas
}

/// Priority of a task's next row when it has `n`.
fn priority(weight: f64, log_weights: bool, n: i64) -> f64 {
    let divisor = 2.0 * n as f64 + 1.0;
    if log_weights { weight - divisor.ln() } else { weight / divisor }
}

/// Whether no row given by weight could go to another task of higher priority, or of the same and a
/// lower number.
fn is_best(tasks: Tasks<'_>, quotas: &[i64], base: i64) -> bool {
    let zero = if tasks.log_weights { f64::NEG_INFINITY } else { 0.0 };
    let labelled = tasks.labelled.unwrap();
    let weighted = || (0..quotas.len()).filter(|&task| tasks.weights[task] > zero);
    let at = |task: usize, n: i64| priority(tasks.weights[task], tasks.log_weights, n);
    let last_given = weighted()
        .filter(|&task| quotas[task] > (base - labelled[task]).clamp(0, tasks.available[task]))
        .map(|task| (at(task, labelled[task] + quotas[task] - 1), task));
    // The worst given is that of the lowest priority and, among these, of the highest number.
    let worst = last_given.reduce(|worst, seat| if seat.0 <= worst.0 { seat } else { worst });
    let next = weighted()
        .filter(|&task| quotas[task] < tasks.available[task])
        .map(|task| (at(task, labelled[task] + quotas[task]), task));
    let best = next.reduce(|best, seat| if seat.0 > best.0 { seat } else { best });
    match (worst, best) {
        (Some(worst), Some(best)) => worst.0 > best.0 || (worst.0 >= best.0 && worst.1 <= best.1),
        _ => true,
    }
}

/// Counts of any size, up to where the sum of all still is a number of 64 bits.
fn count() -> impl Strategy<Value = i64> {
    (0..54_u32, any::<u64>()).prop_map(|(n_bits, random)| (random & ((1 << n_bits) - 1)) as i64)
}

fn positive_weight() -> impl Strategy<Value = f64> {
    prop_oneof![
        3 => prop::sample::select(vec![0.0, 1.0, 2.0, 3.0, 0.1, 1e-280, 1e300]),
        2 => 1e-3..1e3_f64,
        1 => (-600.0..600.0_f64).prop_map(f64::exp),
    ]
}

proptest! {
    #[test]
    fn the_papers_rounding_is_its_definition(
        (weights, available, labelled) in (1..20_usize).prop_flat_map(|n| {
            (vec(prop::sample::select(vec![0.0, 0.5, 1.0, 2.0, 8.0]), n), vec(0..30_i64, n), vec(0..6_i64, n))
        }),
        budget in 0..300_i64, base in 0..6_i64,
    ) {
        let tasks = Tasks { labelled: Some(&labelled), ..linear(&weights, &available) };
        let quotas = allocate(tasks, budget, base, Rounding::Paper).unwrap();
        let has_room = budget < available.iter().sum();
        let weighted = |task: &usize| weights[*task] > 0.0;
        let room: i64 = (0..weights.len()).filter(weighted).map(|task| available[task]).sum();
        // Turns among weightless tasks are counted from the base, as the kernel deals them.
        prop_assume!(has_room && (budget <= room || base == 0));
        prop_assert_eq!(quotas, papers(&weights, &available, &labelled, budget, base));
    }

    #[test]
    fn webster_gives_no_row_that_another_task_deserved_more(
        (weights, available, labelled) in (1..200_usize).prop_flat_map(|n| {
            (vec(positive_weight(), n), vec(count(), n), vec(count(), n))
        }),
        share in 0.0..1.0_f64, base in count(), log_weights: bool,
    ) {
        let weights: Vec<f64> = weights.into_iter().map(|w| if log_weights { w.ln() } else { w }).collect();
        let budget = (available.iter().sum::<i64>() as f64 * share) as i64;
        let tasks = Tasks { weights: &weights, log_weights, available: &available, labelled: Some(&labelled) };
        for base in [0, base] {
            let quotas = allocate(tasks, budget, base, Rounding::Webster).unwrap();
            prop_assert_eq!(quotas.iter().sum::<i64>(), budget);
            prop_assert!(quotas.iter().zip(&available).all(|(quota, available)| (0..=*available).contains(quota)));
            let need: i64 = (0..quotas.len()).map(|task| (base - labelled[task]).clamp(0, available[task])).sum();
            prop_assert!(need > budget || is_best(tasks, &quotas, base));
        }
    }

    #[test]
    fn largest_remainders_round_shares_that_keep_the_limits(
        (weights, available, labelled) in (1..30_usize).prop_flat_map(|n| {
            (vec(1e-2..1e2_f64, n), vec(0..60_i64, n), vec(0..12_i64, n))
        }),
        share in 0.0..1.0_f64, base in 0..4_i64, log_weights: bool,
    ) {
        let given: Vec<f64> = weights.iter().map(|w| if log_weights { w.ln() } else { *w }).collect();
        let budget = (available.iter().sum::<i64>() as f64 * share) as i64;
        let tasks = Tasks { weights: &given, log_weights, available: &available, labelled: Some(&labelled) };
        let quotas = allocate(tasks, budget, base, Rounding::LargestRemainder).unwrap();
        let dealt = dealt_base(&available, &labelled, budget, base);
        let n_left = budget - dealt.iter().sum::<i64>();
        let shares_at = |level: f64| -> Vec<f64> {
            let share = |task: usize| weights[task] * level - (labelled[task] + dealt[task]) as f64;
            (0..weights.len()).map(|task| share(task).clamp(0.0, (available[task] - dealt[task]) as f64)).collect()
        };
        // λ by bisection on what the shares sum up to.
        let (mut low, mut high) = (0.0, 1e6);
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if shares_at(middle).iter().sum::<f64>() < n_left as f64 { low = middle } else { high = middle }
        }
        let shares = shares_at(high);
        let mut rounded: [Vec<f64>; 2] = [vec![], vec![]];
        for (task, share) in shares.iter().enumerate() {
            let seats = (quotas[task] - dealt[task]) as f64;
            prop_assert!((seats - share).abs() < 1.0 + 1e-9, "task {task}: {seats} of {share}");
            let room = (available[task] - dealt[task]) as f64;
            if (share - share.round()).abs() > 1e-9 && *share < room {
                rounded[usize::from(seats > *share)].push(share.fract());
            }
        }
        let least_up = rounded[1].iter().copied().fold(f64::INFINITY, f64::min);
        let most_down = rounded[0].iter().copied().fold(f64::NEG_INFINITY, f64::max);
        prop_assert!(least_up >= most_down - 1e-9, "{least_up} was rounded up and {most_down} down");
    }

    #[test]
    fn turns_are_the_definition_of_turns(
        (task, shares, n_tasks) in (1..9_usize).prop_flat_map(|n| {
            (vec(0..n as i64, 0..60), vec(0.0..1.0_f64, n), Just(n))
        }),
        ties in vec(prop::sample::select(vec![-0.0, 0.0, 1.0, -2.5, f64::INFINITY, f64::NEG_INFINITY]), 60),
        seed: u64,
    ) {
        let rows_of = |number: usize| -> Vec<i64> {
            (0..task.len() as i64).filter(|&row| task[row as usize] == number as i64).collect()
        };
        let quotas: Vec<i64> =
            (0..n_tasks).map(|t| (rows_of(t).len() as f64 * shares[t] * 1.2) as i64).zip(0..).map(
                |(quota, t)| quota.min(rows_of(t).len() as i64)
            ).collect();
        let priority = &ties[..task.len()];
        for order in [TaskOrder::Random(seed), TaskOrder::Priority(priority)] {
            let ordered: Vec<Vec<i64>> = (0..n_tasks).map(|number| {
                let mut rows = rows_of(number);
                match order {
                    TaskOrder::Random(seed) => {
                        let n_drawn = rows.len();
                        SplitMix64::stream(seed, number as u64).shuffle_prefix(&mut rows, n_drawn);
                    }
                    TaskOrder::Priority(priority) => rows.sort_by(|&left, &right| {
                        priority[right as usize].partial_cmp(&priority[left as usize]).unwrap()
                    }),
                }
                rows
            }).collect();
            let turn = |turn: usize| {
                let open = ordered.iter().zip(&quotas).filter(move |(_, quota)| turn < **quota as usize);
                open.map(move |(rows, _)| rows[turn])
            };
            let expected: Vec<i64> = (0..60).flat_map(turn).collect();
            prop_assert_eq!(round_robin(&task, &quotas, order).unwrap(), expected);
        }
    }
}

#[test]
fn round_robin_refuses_with_the_place() {
    let turns = |task: &[i64], quotas: &[i64], order| said(round_robin(task, quotas, order));
    let random = TaskOrder::Random(0);
    let quotas = "allowed: from 0 to the number of rows of the task";
    assert_eq!(
        turns(&[0, 1, 1], &[1, 3], random),
        format!("quotas: 3 for task 1, which has 2 rows; {quotas}")
    );
    assert_eq!(
        turns(&[0, 1, 1], &[-1, 3], random),
        format!("quotas: -1 for task 0, which has 1 rows; {quotas}")
    );
    let numbers = "allowed: task numbers from 0 to the number of tasks - 1";
    assert_eq!(turns(&[0, 2, 1, -1], &[0, 0], random), format!("task: 2 at row 1, with 2 tasks; {numbers}"));
    assert_eq!(turns(&[0, -1, 5], &[0, 0], random), format!("task: -1 at row 1, with 2 tasks; {numbers}"));
    let allowed = "allowed: one number a row, not NaN";
    let by = |priority: &[f64]| said(round_robin(&[0, 0], &[1], TaskOrder::Priority(priority)));
    assert_eq!(by(&[1.0]), format!("priority: 1 numbers for 2 rows; {allowed}"));
    assert_eq!(by(&[1.0, f64::NAN]), format!("priority: NaN at row 1; {allowed}"));
    assert_eq!(
        round_robin(&[0, 0], &[2], TaskOrder::Priority(&[f64::NEG_INFINITY, f64::INFINITY])),
        Ok(vec![1, 0])
    );
}

/// Enough seats for the radix sort, of which each key is there twice.
#[test]
fn tasks_of_equal_weight_take_turns_however_many_rows_they_have() {
    let task: Vec<i64> = (0..6000).map(|row| row / 3000).collect();
    let alternating: Vec<i64> = (0..3000).flat_map(|row| [row, 3000 + row]).collect();
    let descending: Vec<f64> = (0..6000).map(|row| -f64::from(row)).collect();
    for base in [0, 3000] {
        let ranked = TaskWeights { weights: &[0.7, 0.7], log_weights: false, base, labelled: None };
        let ranking = weighted_round_robin(&task, ranked, None, TaskOrder::Priority(&descending)).unwrap();
        assert_eq!(ranking, alternating, "{base}");
    }
}

#[test]
fn a_ranking_by_subnormal_weights_has_their_proportions_all_along() {
    let task: Vec<i64> = (0..160).map(|row| i64::from(row >= 80)).collect();
    let weights = [1.5e-323, 2.5e-323]; // three and five of the smallest float
    let ranked = TaskWeights { weights: &weights, log_weights: false, base: 0, labelled: None };
    let ranking = weighted_round_robin(&task, ranked, None, TaskOrder::Random(1)).unwrap();
    for budget in 0..160 {
        let quotas = allocate(linear(&[3.0, 5.0], &[80, 80]), budget, 0, Rounding::Webster).unwrap();
        let of_second = ranking[..budget as usize].iter().filter(|row| **row >= 80).count();
        assert_eq!(of_second as i64, quotas[1]);
    }
}

/// Enough seats for the radix sort, and tasks for several blocks.
#[test]
fn prefixes_of_a_long_ranking_are_allocations() {
    let n_tasks = 150;
    let mut random = SplitMix64::stream(3, 0);
    let task: Vec<i64> = (0..9000).map(|_| random.below(n_tasks) as i64).collect();
    let mut available = vec![0; n_tasks as usize];
    for &task in &task {
        available[task as usize] += 1;
    }
    let labelled: Vec<i64> = (0..n_tasks).map(|_| random.below(9) as i64).collect();
    let priority: Vec<f64> = (0..task.len()).map(|_| random.unit() - 0.5).collect();
    for log_weights in [false, true] {
        let mut weights: Vec<f64> = (0..n_tasks).map(|_| random.unit() * 40.0 - 20.0).collect();
        if !log_weights {
            weights = weights.into_iter().map(f64::exp).collect();
        }
        weights[7] = if log_weights { f64::NEG_INFINITY } else { 0.0 };
        let ranked = TaskWeights { weights: &weights, log_weights, base: 5, labelled: Some(&labelled) };
        let ranking = weighted_round_robin(&task, ranked, None, TaskOrder::Priority(&priority)).unwrap();
        let tasks =
            Tasks { weights: &weights, log_weights, available: &available, labelled: Some(&labelled) };
        let mut quotas = vec![0; n_tasks as usize];
        let mut last = vec![f64::INFINITY; n_tasks as usize];
        for (budget, &row) in ranking.iter().enumerate() {
            if budget % 97 == 0 {
                assert_eq!(quotas, allocate(tasks, budget as i64, 5, Rounding::Webster).unwrap(), "{budget}");
            }
            let number = task[row as usize] as usize;
            assert!(priority[row as usize] <= last[number]);
            last[number] = priority[row as usize];
            quotas[number] += 1;
        }
        assert_eq!(quotas, available);
        let some = weighted_round_robin(&task, ranked, Some(4321), TaskOrder::Priority(&priority)).unwrap();
        assert_eq!(some, ranking[..4321]);
    }
}
