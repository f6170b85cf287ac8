//! Weights, availability and a budget become one integer quota per task.

use crate::divisor::{Contest, Linear, Log, Scale, are_adjacent, middle, raised, total};
use crate::{Error, Result};

/// How fractions of a row are settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Divisor method of Webster and Sainte-Laguë with minimum requirements; house-monotone.
    Webster,
    /// Proportional shares within the limits, floors, then the largest remainders.
    LargestRemainder,
    /// The paper's clamp-then-round-robin.
    Paper,
}

impl Rounding {
    /// The rounding of this name.
    ///
    /// # Errors
    /// [`Error::Choice`] with the names allowed.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "webster" => Ok(Self::Webster),
            "largest-remainder" => Ok(Self::LargestRemainder),
            "paper" => Ok(Self::Paper),
            _ => {
                let allowed = "'webster', 'largest-remainder', 'paper'";
                Err(Error::choice("rounding", format!("'{name}'"), allowed))
            }
        }
    }
}

/// The tasks among which a budget is divided, one entry a task in each array.
#[derive(Debug, Clone, Copy)]
pub struct Tasks<'a> {
    /// Weights, at least 0, in any unit; or their natural logs.
    pub weights: &'a [f64],
    /// Whether `weights` are natural logs.
    pub log_weights: bool,
    /// Rows that can still be labelled.
    pub available: &'a [i64],
    /// Rows that are labelled already, not part of `available`; none when absent.
    pub labelled: Option<&'a [i64]>,
}

/// Quota of each task: `min(base, available) <= quota <= available` (fewer only when the budget
/// does not reach), with the sum `min(budget, Σ available)`.
///
/// The base is dealt first: each row to the task with the fewest rows, labelled ones included, that
/// is still below `base`; ties to the lower task. The rest is divided by weight; tasks of weight
/// zero come after all others are full.
///
/// # Errors
/// [`Error::Array`] for arrays of different length, negative counts, weights that are negative, NaN
/// or +inf; [`Error::Budget`] for a negative budget or base.
pub fn allocate(tasks: Tasks<'_>, budget: i64, base: i64, rounding: Rounding) -> Result<Vec<i64>> {
    check(tasks, budget, base)?;
    let quotas = if tasks.log_weights {
        Division::of::<Log>(tasks, budget, base).divide::<Log>(rounding)
    } else {
        let weights = &raised(tasks.weights);
        Division::of::<Linear>(Tasks { weights, ..tasks }, budget, base).divide::<Linear>(rounding)
    };
    Ok(quotas.into_iter().map(|quota| quota as i64).collect())
}

fn check(tasks: Tasks<'_>, budget: i64, base: i64) -> Result<()> {
    let n_tasks = tasks.weights.len();
    for (argument, value) in [("budget", budget), ("base", base)] {
        if value < 0 {
            return Err(Error::budget(argument, value.to_string(), "an integer of at least 0"));
        }
    }
    check_counts("available", tasks.available, n_tasks)?;
    if let Some(labelled) = tasks.labelled {
        check_counts("labelled", labelled, n_tasks)?;
    }
    check_weights(tasks.weights, tasks.log_weights)
}

fn check_counts(argument: &'static str, counts: &[i64], n_tasks: usize) -> Result<()> {
    let allowed = "one count of at least 0 for each weight";
    if counts.len() != n_tasks {
        let was = format!("{} counts for {n_tasks} weights", counts.len());
        return Err(Error::array(argument, was, allowed));
    }
    // All signs at once, without a branch for each.
    if counts.iter().fold(0, |signs, count| signs | count) >= 0 {
        return Ok(());
    }
    let task = counts.iter().position(|&count| count < 0).unwrap_or(0);
    Err(Error::array(argument, format!("{} at task {task}", counts[task]), allowed))
}

fn check_weights(weights: &[f64], log_weights: bool) -> Result<()> {
    if log_weights {
        let allowed = "finite logs of weights, -inf for a weight of 0";
        check_each_weight(weights, allowed, |weight| weight < f64::INFINITY)
    } else {
        let allowed = "finite weights of at least 0";
        check_each_weight(weights, allowed, |weight| (0.0..f64::INFINITY).contains(&weight))
    }
}

fn check_each_weight(weights: &[f64], allowed: &'static str, is_weight: impl Fn(f64) -> bool) -> Result<()> {
    if weights.iter().fold(true, |all, &weight| all & is_weight(weight)) {
        return Ok(());
    }
    let task = weights.iter().position(|&weight| !is_weight(weight)).unwrap_or(0);
    Err(Error::array("weights", format!("{} at task {task}", weights[task]), allowed))
}

/// What is left to divide after the base.
struct Division<'a> {
    weights: &'a [f64],
    /// Rows that each task has: labelled and dealt.
    held: Vec<u64>,
    /// Rows dealt so far.
    quotas: Vec<u64>,
    available: &'a [i64],
    /// Rows that each task can still take; none for a task of weight zero, whose turn comes last.
    room: Vec<u64>,
    n_left: u64,
}

impl<'a> Division<'a> {
    fn of<S: Scale>(tasks: Tasks<'a>, budget: i64, base: i64) -> Self {
        let labelled = |task: usize| tasks.labelled.map_or(0, |labelled| labelled[task] as u64);
        let mut held: Vec<u64> = (0..tasks.weights.len()).map(labelled).collect();
        let need = held.iter().zip(tasks.available);
        let need: Vec<u64> = need
            .map(|(&held, &available)| (base as u64).saturating_sub(held).min(available as u64))
            .collect();
        let quotas = level(&held, need, budget as u64);
        let mut room = Vec::with_capacity(held.len());
        for (task, held) in held.iter_mut().enumerate() {
            *held += quotas[task];
            let is_last = S::is_zero(tasks.weights[task]);
            room.push(if is_last { 0 } else { tasks.available[task] as u64 - quotas[task] });
        }
        let n_left = budget as u64 - quotas.iter().sum::<u64>();
        Self { weights: tasks.weights, available: tasks.available, held, quotas, room, n_left }
    }

    fn divide<S: Scale>(mut self, rounding: Rounding) -> Vec<u64> {
        let total = total(&self.room);
        if total <= u128::from(self.n_left) {
            self.n_left -= total as u64;
            add(&mut self.quotas, &self.room);
            let open = self.available.iter().zip(&self.quotas);
            let room = open.map(|(&available, &quota)| available as u64 - quota).collect();
            let rest = match rounding {
                Rounding::Paper => take_turns(room, self.n_left),
                _ => level(&self.held, room, self.n_left),
            };
            add(&mut self.quotas, &rest);
        } else if self.n_left > 0 {
            let seats = match rounding {
                Rounding::Webster => {
                    Contest::new(self.weights, &self.held, &self.room).deal::<S>(self.n_left)
                }
                Rounding::LargestRemainder => self.largest_remainders::<S>(),
                Rounding::Paper => self.clamped_floors::<S>(),
            };
            add(&mut self.quotas, &seats);
        }
        self.quotas
    }

    /// The paper's: floors of the rest's proportional shares, clamped, then one row a task a turn.
    fn clamped_floors<S: Scale>(&self) -> Vec<u64> {
        let open = |task: &usize| !S::is_zero(self.weights[*task]);
        let largest = (0..self.weights.len())
            .filter(open)
            .map(|task| self.weights[task])
            .fold(f64::NEG_INFINITY, f64::max);
        let shares: Vec<f64> = self.weights.iter().map(|&weight| S::divisor_at(weight, largest)).collect();
        let sum: f64 = shares.iter().sum();
        let mut n_left = self.n_left;
        let mut seats = Vec::with_capacity(shares.len());
        for (share, &room) in shares.iter().zip(&self.room) {
            let floor = (self.n_left as f64 * (share / sum)).floor() as u64;
            let given = floor.min(room).min(n_left);
            n_left -= given;
            seats.push(given);
        }
        let still_open: Vec<u64> = self.room.iter().zip(&seats).map(|(room, given)| room - given).collect();
        add(&mut seats, &take_turns(still_open, n_left));
        seats
    }

    /// Shares within the limits, floored; then the largest remainders, ties to the lower task.
    fn largest_remainders<S: Scale>(&self) -> Vec<u64> {
        let shares = self.shares::<S>();
        let mut seats: Vec<u64> =
            shares.iter().zip(&self.room).map(|(share, &room)| (share.floor() as u64).min(room)).collect();
        let mut missing = i128::from(self.n_left) - total(&seats) as i128;
        while missing != 0 {
            let mut candidates: Vec<(f64, usize)> = (0..seats.len())
                .filter(|&task| if missing > 0 { seats[task] < self.room[task] } else { seats[task] > 0 })
                .map(|task| (shares[task] - seats[task] as f64, task))
                .collect();
            candidates.sort_by(|left, right| right.0.total_cmp(&left.0));
            // Sums of more than 2^53 rows are known no better than to many rows: then each task gives or
            // takes as many at once. Else it is one row for each of the first tasks.
            let each = missing.unsigned_abs() / candidates.len().max(1) as u128;
            let each = |limit: u64| u128::from(limit).min(each.max(1));
            if missing > 0 {
                for &(_, task) in &candidates {
                    let given = each(self.room[task] - seats[task]).min(missing as u128) as u64;
                    seats[task] += given;
                    missing -= i128::from(given);
                }
            } else {
                for &(_, task) in candidates.iter().rev() {
                    let taken = each(seats[task]).min(missing.unsigned_abs()) as u64;
                    seats[task] -= taken;
                    missing += i128::from(taken);
                }
            }
        }
        seats
    }

    /// Real shares of the rows left: `clamp(w / λ − held, 0, room)` with λ such that they sum up to
    /// them. Where no float is such a λ, since weights differ by more than floats can tell apart, the
    /// shares at the two around it are mixed.
    fn shares<S: Scale>(&self) -> Vec<f64> {
        let (below, above) = self.thresholds::<S>();
        let mut shares = self.shares_at::<S>(above);
        if below < above {
            let more = if below > S::LOWEST { self.shares_at::<S>(below) } else { self.rooms() };
            let (reached, exceeded) = (shares.iter().sum::<f64>(), more.iter().sum::<f64>());
            let part = ((self.n_left as f64 - reached) / (exceeded - reached)).clamp(0.0, 1.0);
            for (share, more) in shares.iter_mut().zip(more) {
                *share += (more - *share) * part;
            }
        }
        shares
    }

    fn rooms(&self) -> Vec<f64> {
        self.room.iter().map(|&room| room as f64).collect()
    }

    fn shares_at<S: Scale>(&self, threshold: f64) -> Vec<f64> {
        let share = |task: usize| S::divisor_at(self.weights[task], threshold) - self.held[task] as f64;
        let held_back = |task: usize| if self.room[task] == 0 { 0.0 } else { share(task) };
        (0..self.weights.len()).map(|task| held_back(task).clamp(0.0, self.room[task] as f64)).collect()
    }

    /// The λ of [`Self::shares`] twice, or the two floats around it. Newton's method, exact once it
    /// knows which tasks are at a limit, inside a bracket.
    fn thresholds<S: Scale>(&self) -> (f64, f64) {
        let n_left = self.n_left as f64;
        let competing = || (0..self.weights.len()).filter(|&task| self.room[task] > 0);
        let largest = competing().map(|task| self.weights[task]).fold(f64::NEG_INFINITY, f64::max);
        let (mut below, mut above, mut threshold) = (S::LOWEST, f64::INFINITY, largest);
        let mut n_steps = 0;
        while !are_adjacent(below, above) {
            let (mut reached, mut slope) = (0.0, 0.0);
            for task in competing() {
                let divisor = S::divisor_at(self.weights[task], threshold);
                let (share, room) = (divisor - self.held[task] as f64, self.room[task] as f64);
                reached += share.clamp(0.0, room);
                slope += if share > 0.0 && share < room { divisor } else { 0.0 };
            }
            let missing = n_left - reached;
            *if missing >= 0.0 { &mut above } else { &mut below } = threshold;
            let mut next = S::lowered(threshold, (slope + missing) / slope);
            // Sums over many tasks are known no better than to some units of 1e-16 each.
            let enough = if next.to_bits() == threshold.to_bits() { 1e-12 } else { 1e-14 };
            if missing.abs() <= enough * n_left {
                return (threshold, threshold);
            }
            if !(next > below && next < above) || n_steps % 8 == 7 {
                next = middle(below, above);
            }
            threshold = next;
            n_steps += 1;
        }
        (below, above)
    }
}

/// Deals rows one at a time to the task that holds the fewest and has room, ties to the lower task.
fn level(held: &[u64], room: Vec<u64>, n_rows: u64) -> Vec<u64> {
    if total(&room) <= u128::from(n_rows) {
        return room;
    }
    let given_at =
        |level: u64| held.iter().zip(&room).map(move |(&held, &room)| level.saturating_sub(held).min(room));
    let rows_at = |level: u64| given_at(level).map(u128::from).sum::<u128>();
    // The highest level that the rows reach: at `low` they suffice, at `high` they do not.
    let (mut low, mut high) = (0, held.iter().zip(&room).map(|(held, room)| held + room).max().unwrap_or(0));
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if rows_at(middle) <= u128::from(n_rows) {
            low = middle;
        } else {
            high = middle;
        }
    }
    let mut n_left = n_rows - rows_at(low) as u64;
    let mut given: Vec<u64> = given_at(low).collect();
    for task in 0..held.len() {
        if n_left > 0 && held[task] <= low && given[task] < room[task] {
            given[task] += 1;
            n_left -= 1;
        }
    }
    given
}

/// One row a task a turn, in task order.
fn take_turns(room: Vec<u64>, n_rows: u64) -> Vec<u64> {
    level(&vec![0; room.len()], room, n_rows)
}

fn add(counts: &mut [u64], more: &[u64]) {
    for (count, more) in counts.iter_mut().zip(more) {
        *count += more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotas(weights: &[f64], log_weights: bool, budget: i64, rounding: Rounding) -> Vec<i64> {
        let available = vec![1_000_000_000_000_000; weights.len()];
        let available = [&[10], &available[1..]].concat();
        allocate(Tasks { weights, log_weights, available: &available, labelled: None }, budget, 0, rounding)
            .unwrap()
    }

    #[test]
    fn weights_that_are_subnormal_keep_their_proportions() {
        for rounding in [Rounding::Webster, Rounding::LargestRemainder] {
            let given = quotas(&[1.0, 1e-320, 2e-320], false, 30_000_000_010, rounding);
            // 1e-320 is 2024 and 2e-320 is 4048 times the smallest float: exactly one to two.
            assert_eq!(given, [10, 10_000_000_000, 20_000_000_000]);
            // The smallest of all, and a weight of zero beside it.
            assert_eq!(quotas(&[5e-324, 5e-324, 0.0], false, 21, rounding), [10, 11, 0]);
        }
    }

    #[test]
    fn remainders_of_very_many_rows_come_to_an_end() {
        for (weights, log_weights) in [([0.3, 0.1, 0.2], false), ([-1e7, -1e7 - 0.5, -1e7 - 1.0], true)] {
            let available = [i64::MAX, i64::MAX, i64::MAX / 2];
            let tasks = Tasks { weights: &weights, log_weights, available: &available, labelled: None };
            let given = allocate(tasks, i64::MAX, 0, Rounding::LargestRemainder).unwrap();
            assert_eq!(given.iter().map(|&quota| i128::from(quota)).sum::<i128>(), i128::from(i64::MAX));
        }
    }

    #[test]
    fn remainders_come_to_an_end_where_no_float_is_the_threshold() {
        let cases: [(&[f64], bool); 3] = [
            (&[1e308, 5e-324, 1e-323], false),
            (&[0.0, -1e20, -1e20], true),
            (&[1.0, f64::MIN, f64::MIN], true),
        ];
        for (weights, log_weights) in cases {
            for budget in [11, 1_000_000_007, 1_000_000_000_000_000] {
                let given = quotas(weights, log_weights, budget, Rounding::LargestRemainder);
                assert_eq!(given.iter().sum::<i64>(), budget);
                assert_eq!(given[0], 10);
            }
        }
    }
}
