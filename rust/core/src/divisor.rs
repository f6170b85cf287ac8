//! The divisor method of Webster and Sainte-Laguë without dealing seat by seat.
//!
//! Each further seat goes to the task of the highest priority `w / (2n + 1)`, where `n` counts the
//! rows that it has already; ties go to the lower task number. A task's priorities never rise from
//! one seat to the next, so the seats dealt are the first of all seats in the order
//! (priority descending, task ascending): a threshold on the priority decides nearly all of them,
//! and a partial selection among the few around it decides the rest. Priorities are compared as
//! the floats that the seat-by-seat definition would compare, so the result is exactly its.

use std::borrow::Cow;

use crate::simd::vectorized;

/// Tasks that are looked at together: enough for a loop that vectorises.
const CHUNK: usize = 64;

/// How weights are given.
pub trait Scale {
    /// A threshold that every seat of a task of positive weight reaches.
    const LOWEST: f64;

    /// Whether tasks of this weight come only after all others.
    fn is_zero(weight: f64) -> bool;

    /// Priority of a task's next seat when it has `n` rows; never rises with `n`.
    fn priority(weight: f64, n: u64) -> f64;

    /// About the `2n + 1` at which the priority falls to the threshold.
    fn divisor_at(weight: f64, threshold: f64) -> f64;

    /// [`Scale::divisor_at`] of each weight.
    fn divisors_at(weights: &[f64; CHUNK], threshold: f64) -> [f64; CHUNK] {
        weights.map(|weight| Self::divisor_at(weight, threshold))
    }

    /// Bound on the relative error of [`Scale::divisors_at`] against exact comparison of priorities.
    fn divisor_error(weight: f64, threshold: f64) -> f64;

    /// The threshold at which divisors are `factor` times those at `threshold`.
    fn lowered(threshold: f64, factor: f64) -> f64;
}

/// Weights as they are.
pub struct Linear;

impl Scale for Linear {
    const LOWEST: f64 = 0.0;

    fn is_zero(weight: f64) -> bool {
        weight <= 0.0
    }

    fn priority(weight: f64, n: u64) -> f64 {
        weight / divisor(n)
    }

    fn divisor_at(weight: f64, threshold: f64) -> f64 {
        weight / threshold
    }

    fn divisors_at(weights: &[f64; CHUNK], threshold: f64) -> [f64; CHUNK] {
        let reciprocal = 1.0 / threshold;
        weights.map(|weight| weight * reciprocal)
    }

    fn divisor_error(_weight: f64, threshold: f64) -> f64 {
        // Priorities near the smallest float are rounded to few bits.
        if threshold > 1e-290 { 1e-15 } else { f64::INFINITY }
    }

    fn lowered(threshold: f64, factor: f64) -> f64 {
        threshold / factor
    }
}

/// Natural logs of weights.
pub struct Log;

impl Scale for Log {
    const LOWEST: f64 = f64::MIN;

    fn is_zero(weight: f64) -> bool {
        weight <= f64::NEG_INFINITY
    }

    fn priority(weight: f64, n: u64) -> f64 {
        // The sum with 0 turns -0 into 0, so that equal priorities have equal bits.
        weight - divisor(n).ln() + 0.0
    }

    fn divisor_at(weight: f64, threshold: f64) -> f64 {
        (weight - threshold).exp()
    }

    fn divisor_error(weight: f64, threshold: f64) -> f64 {
        1e-15 * (1000.0 + weight.abs() + threshold.abs())
    }

    fn lowered(threshold: f64, factor: f64) -> f64 {
        threshold - factor.ln()
    }
}

fn divisor(n: u64) -> f64 {
    2.0 * n as f64 + 1.0
}

/// Order-preserving bits of a float that is not NaN.
pub fn ordered_bits(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

fn from_ordered_bits(bits: u64) -> f64 {
    f64::from_bits(if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits })
}

/// The float halfway between two others in the order of floats.
pub fn middle(below: f64, above: f64) -> f64 {
    let (below, above) = (ordered_bits(below), ordered_bits(above));
    from_ordered_bits(below + (above - below) / 2)
}

/// Whether no float lies between these two.
pub fn are_adjacent(below: f64, above: f64) -> bool {
    ordered_bits(above) - ordered_bits(below) <= 1
}

/// The weights, times a power of two if some are so small that the priorities of their later seats
/// would be subnormal and lose their bits: probabilities of long answers are. That changes no order.
pub fn raised(weights: &[f64]) -> Cow<'_, [f64]> {
    // 2^-900: a priority is a weight divided by at most 2^64.
    const SMALL: f64 = 1.2e-271;
    const HIGHEST_EXPONENT: i32 = 900;
    let least_positive = |least, &weight| if weight > 0.0 && weight < least { weight } else { least };
    if weights.iter().fold(f64::INFINITY, least_positive) >= SMALL {
        return Cow::Borrowed(weights);
    }
    let largest = weights.iter().copied().fold(0.0, f64::max);
    let n_doublings = (HIGHEST_EXPONENT - largest.log2().floor() as i32).max(0);
    // In two steps, since 2^1974 is no float.
    let (half, rest) = (2f64.powi(n_doublings / 2), 2f64.powi(n_doublings - n_doublings / 2));
    Cow::Owned(weights.iter().map(|weight| weight * half * rest).collect())
}

/// Sum that cannot overflow: high and low halves apart, which unlike u128 vectorises.
pub fn total(counts: &[u64]) -> u128 {
    let halves = |(high, low): (u64, u64), &count: &u64| (high + (count >> 32), low + (count & 0xFFFF_FFFF));
    let (high, low) = counts.iter().fold((0, 0), halves);
    (u128::from(high) << 32) + u128::from(low)
}

/// Tasks that compete for seats: task `t` has `held[t]` rows and can take `room[t]` more. Those of
/// weight zero must have no room.
pub struct Contest<'a> {
    weights: &'a [f64],
    held: &'a [u64],
    room: &'a [u64],
    /// Whether some counts are too large for arithmetic on floats.
    are_large: bool,
}

impl<'a> Contest<'a> {
    /// Arrays of one entry a task.
    pub fn new(weights: &'a [f64], held: &'a [u64], room: &'a [u64]) -> Self {
        let bits = held.iter().chain(room).fold(0, |bits, count| bits | count);
        Self { weights, held, room, are_large: bits >= 1 << 50 }
    }

    /// Seats of each task when `n_seats` are dealt, fewer than there is room for.
    pub fn deal<S: Scale>(&self, n_seats: u64) -> Vec<u64> {
        let bracket = Bracket::around::<S>(self, n_seats);
        let n_open = n_seats - bracket.n_above as u64;
        if bracket.is_tight() {
            self.deal_tied::<S>(&bracket, n_open)
        } else {
            self.deal_between::<S>(&bracket, n_open as usize)
        }
    }

    /// All seats between the thresholds have the same priority: the lower task takes its own first.
    fn deal_tied<S: Scale>(&self, bracket: &Bracket, mut n_open: u64) -> Vec<u64> {
        let mut seats = self.seats_reaching::<S>(bracket.above);
        for (sure, reached) in seats.iter_mut().zip(self.seats_reaching::<S>(bracket.below)) {
            let tied = (reached - *sure).min(n_open);
            n_open -= tied;
            *sure += tied;
        }
        seats
    }

    /// The seats between the thresholds are few: the best `n_open` of them are selected.
    fn deal_between<S: Scale>(&self, bracket: &Bracket, n_open: usize) -> Vec<u64> {
        let mut seats = self.seats_reaching::<S>(bracket.above);
        let mut between = Vec::with_capacity((bracket.n_below - bracket.n_above) as usize);
        let mut task = 0;
        self.for_each_chunk::<S>(bracket.below, |reached, _| {
            for &reached in reached {
                between.extend((seats[task]..reached).map(|seat| {
                    let priority = S::priority(self.weights[task], self.held[task] + seat);
                    (!ordered_bits(priority), task)
                }));
                task += 1;
            }
        });
        if n_open < between.len() {
            between.select_nth_unstable(n_open);
        }
        for &(_, task) in &between[..n_open] {
            seats[task] += 1;
        }
        seats
    }

    /// How many seats of each task have a priority of at least the threshold.
    fn seats_reaching<S: Scale>(&self, threshold: f64) -> Vec<u64> {
        let mut seats = Vec::with_capacity(self.weights.len());
        self.for_each_chunk::<S>(threshold, |reached, _| seats.extend_from_slice(reached));
        seats
    }

    /// Their number, and how fast it grows with the divisors: the sum of half the divisors of the
    /// tasks that are neither empty nor full.
    fn tally<S: Scale>(&self, threshold: f64) -> (u128, f64) {
        let (mut n_seats, mut divisors) = (0, [0.0; CHUNK]);
        self.for_each_chunk::<S>(threshold, |reached, active| {
            n_seats += total(reached);
            for (sum, divisor) in divisors.iter_mut().zip(active) {
                *sum += divisor;
            }
        });
        (n_seats, 0.5 * divisors.iter().sum::<f64>())
    }

    /// Gives the seats of each task that reach the threshold, and the divisors of those tasks that
    /// are neither empty nor full (0 for the others), chunk by chunk.
    fn for_each_chunk<S: Scale>(&self, threshold: f64, mut take: impl FnMut(&[u64], &[f64; CHUNK])) {
        let (weights, rest) = self.weights.as_chunks::<CHUNK>();
        let (held, rest_held) = self.held.as_chunks::<CHUNK>();
        let (room, rest_room) = self.room.as_chunks::<CHUNK>();
        vectorized(
            #[inline(always)]
            || {
                for ((weights, held), room) in weights.iter().zip(held).zip(room) {
                    let (reached, active) = reach::<S>(weights, held, room, threshold, self.are_large);
                    take(&reached, &active);
                }
            },
        );
        let padded = |rest: &[u64]| std::array::from_fn(|lane| rest.get(lane).copied().unwrap_or(0));
        let weights = std::array::from_fn(|lane| rest.get(lane).copied().unwrap_or(1.0));
        let (reached, active) =
            reach::<S>(&weights, &padded(rest_held), &padded(rest_room), threshold, self.are_large);
        take(&reached[..rest.len()], &active);
    }

    /// The threshold if no task had a limit.
    fn unlimited_threshold<S: Scale>(&self, n_seats: u64) -> f64 {
        let competing = |place: usize| self.room[place] > 0;
        let largest = (0..self.weights.len())
            .map(|task| if competing(task) { self.weights[task] } else { f64::NEG_INFINITY })
            .fold(f64::NEG_INFINITY, |most, weight| if weight > most { weight } else { most });
        let (mut divisors, mut held) = ([0.0; 8], [0.0; 8]);
        for task in 0..self.weights.len() {
            let divisor = S::divisor_at(self.weights[task], largest);
            divisors[task % 8] += if competing(task) { divisor } else { 0.0 };
            held[task % 8] += if competing(task) { self.held[task] as f64 } else { 0.0 };
        }
        let (divisors, held) = (divisors.iter().sum::<f64>(), held.iter().sum::<f64>());
        S::lowered(largest, 2.0 * (n_seats as f64 + held) / divisors)
    }
}

/// Seats of some tasks that reach the threshold, and the divisors of those tasks that are neither
/// empty nor full (0 for the others).
#[inline(always)]
#[allow(clippy::inline_always, reason = "must be compiled into the caller, with its features")]
fn reach<S: Scale>(
    weights: &[f64; CHUNK],
    held: &[u64; CHUNK],
    room: &[u64; CHUNK],
    threshold: f64,
    are_large: bool,
) -> ([u64; CHUNK], [f64; CHUNK]) {
    // Adding it rounds to an integer that then stands in the low bits: integers below 2^51 become
    // floats and back without a branch, so the loop vectorises.
    const ROUNDER: f64 = (1_u64 << 52) as f64;
    const LARGEST: f64 = (1_u64 << 50) as f64;
    let float = |count: u64| f64::from_bits(count | ROUNDER.to_bits()) - ROUNDER;
    let divisors = S::divisors_at(weights, threshold);
    let (mut reached, mut active, mut unsure) = ([0; CHUNK], [0.0; CHUNK], [0_u64; CHUNK]);
    for lane in 0..CHUNK {
        let divisor = if divisors[lane] < LARGEST { divisors[lane] } else { LARGEST };
        // The number of n >= 0 with 2n + 1 <= divisor is half the divisor rounded to the nearest.
        let rows = (0.5 * divisor + ROUNDER) - ROUNDER;
        let error = divisor * S::divisor_error(weights[lane], threshold) + 1e-12;
        // Written so that a NaN is unsure.
        unsure[lane] = 1 - u64::from((0.5 * divisor - rows).abs() < 0.5 - error);
        let room = float(room[lane]);
        let seats = rows - float(held[lane]);
        let seats = if seats > 0.0 { seats } else { 0.0 };
        let seats = if seats < room { seats } else { room };
        reached[lane] = (seats + ROUNDER).to_bits() ^ ROUNDER.to_bits();
        active[lane] = if seats > 0.0 && seats < room { divisor } else { 0.0 };
    }
    if are_large || unsure.iter().fold(0, |any, lane| any | lane) > 0 {
        for lane in (0..CHUNK).filter(|&lane| are_large || unsure[lane] > 0) {
            let guess = ((0.5 * divisors[lane]) as u64).saturating_sub(held[lane]).min(room[lane]);
            reached[lane] = search::<S>(weights[lane], held[lane], room[lane], threshold, guess);
        }
    }
    (reached, active)
}

/// [`reach`] of one task by comparing priorities, from a guess that is nearly right.
fn search<S: Scale>(weight: f64, held: u64, room: u64, threshold: f64, guess: u64) -> u64 {
    let reaches = |seat: u64| S::priority(weight, held + seat) >= threshold;
    // Invariant: seats below `low` reach the threshold, seats from `high` on do not.
    let (mut low, mut high) = (0, room);
    let mut step = 1;
    if guess < room && reaches(guess) {
        low = guess + 1;
        while high - low >= step && reaches(low + step - 1) {
            low += step;
            step *= 2;
        }
        high = high.min(low + step - 1);
    } else {
        high = guess;
        while high - low >= step && !reaches(high - step) {
            high -= step;
            step *= 2;
        }
        low = (high + 1).saturating_sub(step);
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if reaches(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// Two thresholds: at most the seats wanted reach the upper one, at least those the lower one.
struct Bracket {
    above: f64,
    n_above: u128,
    below: f64,
    n_below: u128,
}

impl Bracket {
    /// Narrows by Newton's method on the exact count, which is nearly linear in the divisors, and by
    /// halving the interval of floats where that leads out of the bracket or nowhere.
    fn around<S: Scale>(contest: &Contest<'_>, n_seats: u64) -> Self {
        let n_tasks = contest.weights.len();
        let wanted = u128::from(n_seats);
        let n_below = total(contest.room);
        let mut bracket = Self { above: f64::INFINITY, n_above: 0, below: S::LOWEST, n_below };
        // Selecting among this many seats costs less than another pass over the tasks.
        let enough = n_tasks as u128 / 4 + 64;
        // Aims beyond the seats wanted, so that the next threshold lands on the other side.
        let mut slack = (n_tasks as f64).sqrt() + 4.0;
        let mut threshold = contest.unlimited_threshold::<S>(n_seats);
        let mut n_steps = 0;
        while bracket.n_below - bracket.n_above > enough && !bracket.is_tight() {
            if !(threshold > bracket.below && threshold < bracket.above) || n_steps % 8 == 7 {
                threshold = middle(bracket.below, bracket.above);
            }
            let (reached, slope) = contest.tally::<S>(threshold);
            let missing = wanted as f64 - reached as f64;
            let aim = if reached <= wanted {
                (bracket.above, bracket.n_above) = (threshold, reached);
                missing + slack
            } else {
                (bracket.below, bracket.n_below) = (threshold, reached);
                missing - slack
            };
            slack *= 2.0;
            n_steps += 1;
            threshold = S::lowered(threshold, (slope + aim) / slope);
        }
        bracket
    }

    /// Whether no float lies between the thresholds.
    fn is_tight(&self) -> bool {
        are_adjacent(self.below, self.above)
    }
}
