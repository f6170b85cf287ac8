//! Allocation by its definition: rows are dealt one at a time.
//!
//! For counts that are too large for that, the same definition is checked by exchange: rows are dealt
//! in an order, so the last row that a task got comes in that order before the next that any other
//! task would get.

use tasksel_core::allocation::{Rounding, Tasks};

/// About 2^-900: a weight below it is divided at the cost of bits.
const SMALL: f64 = 1.2e-271;

/// What an allocation is asked for.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    /// The tasks.
    pub tasks: Tasks<'a>,
    /// Rows to deal.
    pub budget: i64,
    /// Rows that every task gets first.
    pub base: i64,
    /// How fractions are settled.
    pub rounding: Rounding,
    /// Weights by which priorities are compared.
    compared: Vec<f64>,
}

impl<'a> Case<'a> {
    /// The parts of a case.
    pub fn new(tasks: Tasks<'a>, budget: i64, base: i64, rounding: Rounding) -> Self {
        let compared = if tasks.log_weights { tasks.weights.to_vec() } else { raised(tasks.weights) };
        Self { tasks, budget, base, rounding, compared }
    }

    /// Number of tasks.
    pub fn n_tasks(&self) -> usize {
        self.tasks.weights.len()
    }

    /// Whether it must be answered; it must be refused if not.
    pub fn is_allowed(&self) -> bool {
        let counts =
            |counts: &[i64]| counts.len() == self.n_tasks() && counts.iter().all(|&count| count >= 0);
        let weight = |&weight: &f64| {
            weight < f64::INFINITY && (weight >= 0.0 || self.tasks.log_weights && !weight.is_nan())
        };
        self.budget >= 0
            && self.base >= 0
            && counts(self.tasks.available)
            && self.tasks.labelled.is_none_or(counts)
            && self.tasks.weights.iter().all(weight)
    }

    /// Rows of a task that can be labelled.
    pub fn available(&self, task: usize) -> u64 {
        self.tasks.available[task] as u64
    }

    /// Rows of a task that are labelled.
    pub fn labelled(&self, task: usize) -> u64 {
        self.tasks.labelled.map_or(0, |labelled| labelled[task] as u64)
    }

    /// Rows that the base gives to a task if the budget reaches.
    pub fn need(&self, task: usize) -> u64 {
        (self.base as u64).saturating_sub(self.labelled(task)).min(self.available(task))
    }

    /// Whether a task comes only after all others are full.
    pub fn is_weightless(&self, task: usize) -> bool {
        let weight = self.tasks.weights[task];
        if self.tasks.log_weights { weight.is_infinite() } else { weight == 0.0 }
    }

    /// Webster's priority of the next row of a task that has `n`.
    pub fn priority(&self, task: usize, n: u64) -> f64 {
        let (weight, divisor) = (self.compared[task], 2.0 * n as f64 + 1.0);
        if self.tasks.log_weights { weight - divisor.ln() } else { weight / divisor }
    }

    /// Whether weights differ by more than 2^1800: floats then do not hold the shares of the smallest ones.
    pub fn has_unlike_weights(&self) -> bool {
        !self.tasks.log_weights && self.compared.iter().any(|&weight| weight > 0.0 && weight < SMALL)
    }

    /// Weight of a task in proportion to the largest.
    pub fn share(&self, task: usize) -> f64 {
        let largest = |weights: &[f64]| weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (weight, largest) = (self.tasks.weights[task], largest(self.tasks.weights));
        if self.tasks.log_weights { (weight - largest).exp() } else { weight / largest }
    }
}

/// Weights times the power of two that brings the largest near the end of the range of floats, if any of
/// them is so small that dividing it would cost bits.
fn raised(weights: &[f64]) -> Vec<f64> {
    let smallest = weights.iter().copied().filter(|&weight| weight > 0.0).fold(f64::INFINITY, f64::min);
    let largest = weights.iter().copied().fold(0.0, f64::max);
    let n_doublings = if smallest < SMALL { 900 - largest.log2().floor() as i32 } else { 0 };
    weights.iter().map(|&weight| (0..n_doublings).fold(weight, |weight, _| 2.0 * weight)).collect()
}

/// The task of each row in the order in which rows are dealt; for counts so few that this comes to an
/// end. Not for largest remainders, which are no such order.
pub fn deal(case: &Case<'_>) -> Vec<usize> {
    let mut seats = Seats { case, quotas: vec![0; case.n_tasks()], order: Vec::new() };
    let has_base = |seats: &Seats<'_, '_>, task: usize| seats.quotas[task] < case.need(task);
    seats.deal(|seats| {
        seats.open().filter(|&task| has_base(seats, task)).min_by_key(|&task| seats.held(task))
    });
    if case.rounding == Rounding::Paper {
        let floors = floors(case, &seats.quotas, seats.n_left());
        let ends: Vec<u64> = seats.quotas.iter().zip(floors).map(|(quota, floor)| quota + floor).collect();
        seats.deal(|seats| seats.open().find(|&task| seats.quotas[task] < ends[task]));
    }
    let dealt = seats.quotas.clone();
    let turn = |seats: &Seats<'_, '_>, task: usize| seats.quotas[task] - dealt[task];
    let weighted =
        |seats: &Seats<'_, '_>| seats.open().filter(|&task| !case.is_weightless(task)).collect::<Vec<_>>();
    if case.rounding == Rounding::Paper {
        seats.deal(|seats| weighted(seats).into_iter().min_by_key(|&task| turn(seats, task)));
        let dealt = seats.quotas.clone();
        seats.deal(|seats| seats.open().min_by_key(|&task| seats.quotas[task] - dealt[task]));
    } else {
        // The first of several equal ones.
        let priority = |seats: &Seats<'_, '_>, task: &usize| seats.priority(*task);
        seats.deal(|seats| {
            let tasks = weighted(seats).into_iter().rev();
            tasks.max_by(|left, right| priority(seats, left).total_cmp(&priority(seats, right)))
        });
        seats.deal(|seats| seats.open().min_by_key(|&task| seats.held(task)));
    }
    seats.order
}

/// Rows dealt so far.
struct Seats<'c, 'a> {
    case: &'c Case<'a>,
    quotas: Vec<u64>,
    order: Vec<usize>,
}

impl Seats<'_, '_> {
    /// Deals rows as long as there are any, each to the task that `next` names.
    fn deal(&mut self, next: impl Fn(&Self) -> Option<usize>) {
        while self.n_left() > 0
            && let Some(task) = next(self)
        {
            self.quotas[task] += 1;
            self.order.push(task);
        }
    }

    fn n_left(&self) -> u64 {
        self.case.budget as u64 - self.order.len() as u64
    }

    fn held(&self, task: usize) -> u64 {
        self.case.labelled(task) + self.quotas[task]
    }

    fn priority(&self, task: usize) -> f64 {
        // The sum with 0 turns -0 into 0, which is no lower.
        self.case.priority(task, self.held(task)) + 0.0
    }

    fn open(&self) -> impl DoubleEndedIterator<Item = usize> {
        (0..self.quotas.len()).filter(|&task| self.quotas[task] < self.case.available(task))
    }
}

/// The paper's floors of the proportional shares of `n_left` rows, clamped to what is available beyond
/// `quotas`; nothing if all tasks with a weight can be filled.
pub fn floors(case: &Case<'_>, quotas: &[u64], n_left: u64) -> Vec<u64> {
    let room = |task: usize| if case.is_weightless(task) { 0 } else { case.available(task) - quotas[task] };
    let all = 0..case.n_tasks();
    if all.clone().map(|task| u128::from(room(task))).sum::<u128>() <= u128::from(n_left) {
        return vec![0; case.n_tasks()];
    }
    let sum: f64 = all.clone().map(|task| case.share(task)).sum();
    let mut unclaimed = n_left;
    let floor = |task: usize| {
        let floor = (n_left as f64 * (case.share(task) / sum)).floor() as u64;
        let given = floor.min(room(task)).min(unclaimed);
        unclaimed -= given;
        given
    };
    all.map(floor).collect()
}
