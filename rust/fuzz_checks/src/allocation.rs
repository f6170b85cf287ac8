//! Quotas against the definition: row by row where there are few, by exchange for any number.

use tasksel_core::allocation::{Rounding, Tasks, allocate};

use crate::input::{Counts, Input, Weights};
use crate::seats::{Case, deal, floors};

/// Rows times tasks up to which the reference deals rows one by one.
const FEW_STEPS: i128 = 1 << 15;

/// Allocates what the bytes describe.
///
/// # Panics
/// If the quotas are not those of the definition, or anything else panics.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let rounding = input.pick(&[Rounding::Webster, Rounding::LargestRemainder, Rounding::Paper]);
    let log_weights = input.any();
    let (kind, counts) = (Weights::choose(&mut input), Counts::choose(&mut input));
    let n_tasks = if input.seldom() { input.below(300) } else { input.below(17) };
    let has_labels = input.any::<bool>();
    let (budget, base) = (counts.count(&mut input), Counts::choose(&mut input).count(&mut input));
    let budget = budget.saturating_mul(input.pick(&[1, 1, 3, 10]));
    let is_misshaped = input.seldom();
    let weights = input.several(n_tasks, |input| kind.weight(input, log_weights));
    let available = input.several(n_tasks + usize::from(is_misshaped), |input| counts.count(input));
    let labelled = has_labels.then(|| input.several(n_tasks, |input| counts.count(input)));
    let tasks =
        Tasks { weights: &weights, log_weights, available: &available, labelled: labelled.as_deref() };
    let case = Case::new(tasks, budget, base, rounding);
    let quotas = allocate(tasks, budget, base, rounding);
    if !case.is_allowed() {
        assert!(quotas.is_err(), "not refused: {case:?}");
        return;
    }
    let quotas = quotas.unwrap_or_else(|error| panic!("refused with '{error}': {case:?}"));
    check_bounds(&case, &quotas);
    Dealt::of(&case, &quotas).check();
    check_next_budget(&case, &quotas, Counts::choose(&mut input).count(&mut input));
    let n_rows: i128 = quotas.iter().map(|&quota| i128::from(quota)).sum();
    if rounding != Rounding::LargestRemainder && n_rows * n_tasks as i128 <= FEW_STEPS {
        let mut expected = vec![0; n_tasks];
        for task in deal(&case) {
            expected[task] += 1;
        }
        assert_eq!(quotas, expected, "{case:?}");
    }
}

/// `min(base, available) <= quota <= available`, and the sum `min(budget, Σ available)`.
fn check_bounds(case: &Case<'_>, quotas: &[i64]) {
    let wide = |counts: &[i64]| counts.iter().map(|&count| i128::from(count)).sum::<i128>();
    assert_eq!(
        wide(quotas),
        i128::from(case.budget).min(wide(case.tasks.available)),
        "sum {quotas:?} of {case:?}"
    );
    assert!(quotas.iter().all(|&quota| quota >= 0), "{quotas:?} of {case:?}");
    let mut pairs = quotas.iter().zip(case.tasks.available);
    assert!(pairs.all(|(quota, available)| quota <= available), "{quotas:?} of {case:?}");
}

/// A larger budget takes no row from any task, where that is promised.
fn check_next_budget(case: &Case<'_>, quotas: &[i64], step: i64) {
    if case.rounding != Rounding::Webster {
        return;
    }
    for budget in [case.budget.saturating_add(1), case.budget.saturating_add(step.max(0))] {
        let more = allocate(case.tasks, budget, case.base, case.rounding).unwrap_or_default();
        let is_monotone =
            more.len() == quotas.len() && more.iter().zip(quotas).all(|(more, quota)| more >= quota);
        assert!(is_monotone, "{more:?} with {budget}, but {quotas:?} of {case:?}");
    }
}

/// Rows by what they were dealt for.
struct Dealt<'c, 'a> {
    case: &'c Case<'a>,
    basic: Vec<u64>,
    rest: Vec<u64>,
}

impl<'c, 'a> Dealt<'c, 'a> {
    fn of(case: &'c Case<'a>, quotas: &[i64]) -> Self {
        let basic: Vec<u64> =
            quotas.iter().enumerate().map(|(task, &quota)| case.need(task).min(quota as u64)).collect();
        let rest = quotas.iter().zip(&basic).map(|(&quota, basic)| quota as u64 - basic).collect();
        Self { case, basic, rest }
    }

    fn check(&self) {
        let all = || 0..self.case.n_tasks();
        let labelled = |task: usize| self.case.labelled(task);
        let is_base_open = all().any(|task| self.basic[task] < self.case.need(task));
        assert!(
            !is_base_open || self.rest.iter().all(|&rest| rest == 0),
            "rows before the base: {:?}",
            self.case
        );
        self.exchange("base", &|task| (self.basic[task], self.case.need(task)), &|task, n| {
            labelled(task) + n
        });
        let is_weightless = |task: usize| self.case.is_weightless(task);
        let is_weight_open = all().any(|task| !is_weightless(task) && self.rest[task] < self.room(task));
        let has_weightless = all().any(|task| is_weightless(task) && self.rest[task] > 0);
        assert!(!(is_weight_open && has_weightless), "rows for weight zero: {:?}", self.case);
        let weightless =
            |task: usize| if is_weightless(task) { (self.rest[task], self.room(task)) } else { (0, 0) };
        match self.case.rounding {
            Rounding::Paper => self.exchange("weight zero", &weightless, &|_, n| n),
            _ => self.exchange("weight zero", &weightless, &|task, n| labelled(task) + self.basic[task] + n),
        }
        if is_weight_open && !is_base_open {
            self.check_weighted();
        }
    }

    fn check_weighted(&self) {
        let is_weightless = |task: usize| self.case.is_weightless(task);
        let weighted =
            |task: usize| if is_weightless(task) { (0, 0) } else { (self.rest[task], self.room(task)) };
        match self.case.rounding {
            Rounding::Webster => self.exchange("Webster", &weighted, &|task, n| {
                let priority = self.case.priority(task, self.case.labelled(task) + self.basic[task] + n);
                Descending(priority)
            }),
            Rounding::Paper => {
                let floors = floors(self.case, &self.basic, self.rest.iter().sum());
                let turns = |task: usize| {
                    let (given, room) = weighted(task);
                    assert!(given >= floors[task], "task {task} has less than its share: {:?}", self.case);
                    (given - floors[task], room - floors[task])
                };
                self.exchange("turns", &turns, &|_, n| n);
            }
            Rounding::LargestRemainder => self.check_remainders(&weighted),
        }
    }

    /// Rows that are left of a task after the base.
    fn room(&self, task: usize) -> u64 {
        self.case.available(task) - self.basic[task]
    }

    /// Rows are dealt in the order of (key, task): with `given` and `room` of each task, the last row of
    /// any task comes before the next of any other. Keys of a task never fall.
    fn exchange<K: PartialOrd + std::fmt::Debug>(
        &self,
        phase: &str,
        given_and_room: &dyn Fn(usize) -> (u64, u64),
        key: &dyn Fn(usize, u64) -> K,
    ) {
        let all = 0..self.case.n_tasks();
        let given = all.clone().filter(|&task| given_and_room(task).0 > 0);
        let last = given.map(|task| (key(task, given_and_room(task).0 - 1), task));
        let open = all.filter(|&task| given_and_room(task).0 < given_and_room(task).1);
        let next = open.map(|task| (key(task, given_and_room(task).0), task));
        let before = |left: &(K, usize), right: &(K, usize)| {
            left.partial_cmp(right).is_some_and(std::cmp::Ordering::is_lt)
        };
        let last = last.reduce(|left, right| if before(&left, &right) { right } else { left });
        let next = next.reduce(|left, right| if before(&left, &right) { left } else { right });
        let (Some(last), Some(next)) = (last, next) else { return };
        assert!(
            last.1 == next.1 || before(&last, &next),
            "{phase}: {last:?} was dealt before {next:?}: {:?}",
            self.case
        );
    }

    /// No task has a row for a smaller remainder than another one's that has none.
    fn check_remainders(&self, given_and_room: &dyn Fn(usize) -> (u64, u64)) {
        if self.case.has_unlike_weights() {
            return;
        }
        let n_left: u64 = self.rest.iter().sum();
        let shares = self.shares(n_left);
        let all = 0..self.case.n_tasks();
        let largest = all.clone().map(|task| self.case.labelled(task) + self.basic[task]).max().unwrap_or(0);
        let farthest =
            self.case.tasks.weights.iter().filter(|weight| weight.is_finite()).map(|weight| weight.abs());
        // Shares of logs that are far from 0 are known no better than those.
        let precision =
            1e-11 + if self.case.tasks.log_weights { 1e-14 * farthest.fold(0.0, f64::max) } else { 0.0 };
        let tolerance = 1e-6 + precision * (n_left as f64 + largest as f64);
        let remainder = |task: usize| shares[task] - given_and_room(task).0 as f64;
        let given = all.clone().filter(|&task| given_and_room(task).0 > 0);
        let least = given.map(|task| remainder(task) + 1.0).fold(f64::INFINITY, f64::min);
        let open = all.filter(|&task| given_and_room(task).0 < given_and_room(task).1);
        let most = open.map(remainder).fold(f64::NEG_INFINITY, f64::max);
        assert!(least >= most - tolerance, "remainders {least} and {most} of {shares:?}: {:?}", self.case);
    }

    /// Real shares `clamp(w / λ − held, 0, room)` with the sum `n_left`, by halving an interval of log λ.
    fn shares(&self, n_left: u64) -> Vec<f64> {
        let log_weight = |task: usize| {
            let weight = self.case.tasks.weights[task];
            if self.case.tasks.log_weights { weight } else { weight.ln() }
        };
        let competing: Vec<usize> = (0..self.case.n_tasks())
            .filter(|&task| !self.case.is_weightless(task) && self.room(task) > 0)
            .collect();
        let logs = || competing.iter().map(|&task| log_weight(task));
        let largest = logs().fold(f64::NEG_INFINITY, f64::max);
        let at = |log_threshold: f64| {
            let mut shares = vec![0.0; self.case.n_tasks()];
            for &task in &competing {
                let held = (self.case.labelled(task) + self.basic[task]) as f64;
                let divisor = (log_weight(task) - largest - log_threshold).exp();
                shares[task] = (divisor - held).clamp(0.0, self.room(task) as f64);
            }
            shares
        };
        let (mut low, mut high) = (logs().fold(f64::INFINITY, f64::min) - largest - 50.0, 1.0);
        for _ in 0..200 {
            let middle = low + (high - low) / 2.0;
            *if at(middle).iter().sum::<f64>() >= n_left as f64 { &mut low } else { &mut high } = middle;
        }
        at(low)
    }
}

/// Ordered from the largest; equal if neither is larger, like 0 and -0.
#[derive(Debug, PartialEq)]
struct Descending(f64);

impl PartialOrd for Descending {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        other.0.partial_cmp(&self.0)
    }
}
