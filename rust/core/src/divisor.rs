//! The divisor method of Webster and Sainte-Laguë without dealing seat by seat.
//!
//! Each further seat goes to the task of the highest priority `w / (2n + 1)`, where `n` counts the
//! rows that it has already; ties go to the lower task number. A task's priorities never rise from
//! one seat to the next, so the seats dealt are the first of all seats in the order
//! (priority descending, task ascending): a threshold on the priority decides nearly all of them,
//! and a partial selection among the few around it decides the rest. Priorities are compared as
//! the floats that the seat-by-seat definition would compare, so the result is exactly its.

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

    /// Bound on the relative error of [`Scale::divisor_at`] against exact comparison of priorities.
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

/// Tasks that compete for seats: task `t` has `held[t]` rows and can take `room[t]` more. Those of
/// weight zero must have no room.
pub struct Contest<'a> {
    pub weights: &'a [f64],
    pub held: &'a [u64],
    pub room: &'a [u64],
}

impl Contest<'_> {
    /// Seats of each task when `n_seats` are dealt, fewer than there is room for.
    pub fn deal<S: Scale>(&self, n_seats: u64) -> Vec<u64> {
        let bracket = Bracket::around::<S>(self, n_seats);
        let n_open = n_seats - bracket.n_above as u64;
        let n_between = bracket.n_below - bracket.n_above;
        let mut seats = Vec::with_capacity(self.weights.len());
        if bracket.is_tight() {
            self.deal_tied::<S>(&bracket, n_open, &mut seats);
        } else {
            self.deal_between::<S>(&bracket, n_open as usize, n_between as usize, &mut seats);
        }
        seats
    }

    /// All seats between the thresholds have the same priority: the lower task takes its own first.
    fn deal_tied<S: Scale>(&self, bracket: &Bracket, mut n_open: u64, seats: &mut Vec<u64>) {
        for task in 0..self.weights.len() {
            let sure = self.seats_reaching::<S>(task, bracket.above);
            let tied = (self.seats_reaching::<S>(task, bracket.below) - sure).min(n_open);
            n_open -= tied;
            seats.push(sure + tied);
        }
    }

    /// The seats between the thresholds are few: the best `n_open` of them are selected.
    fn deal_between<S: Scale>(
        &self,
        bracket: &Bracket,
        n_open: usize,
        n_between: usize,
        seats: &mut Vec<u64>,
    ) {
        let mut between = Vec::with_capacity(n_between);
        for task in 0..self.weights.len() {
            let sure = self.seats_reaching::<S>(task, bracket.above);
            let reached = self.seats_reaching::<S>(task, bracket.below);
            between.extend((sure..reached).map(|seat| {
                let priority = S::priority(self.weights[task], self.held[task] + seat);
                (!ordered_bits(priority), task)
            }));
            seats.push(sure);
        }
        if n_open < between.len() {
            between.select_nth_unstable(n_open);
        }
        for &(_, task) in &between[..n_open] {
            seats[task] += 1;
        }
    }

    /// How many seats of a task have a priority of at least the threshold.
    #[inline]
    fn seats_reaching<S: Scale>(&self, task: usize, threshold: f64) -> u64 {
        self.reach::<S>(task, threshold).0
    }

    /// … and the divisor at which it falls to the threshold.
    #[inline]
    fn reach<S: Scale>(&self, task: usize, threshold: f64) -> (u64, f64) {
        let (weight, held, room) = (self.weights[task], self.held[task], self.room[task]);
        if room == 0 {
            return (0, 0.0);
        }
        let divisor = S::divisor_at(weight, threshold);
        let last = (divisor - 1.0) * 0.5;
        let whole = last.floor();
        let error = divisor * S::divisor_error(weight, threshold) + 1e-12;
        let n_seats = (whole as i64).saturating_add(1).saturating_sub_unsigned(held).max(0) as u64;
        let n_seats = n_seats.min(room);
        let is_sure = last - whole > error && last - whole < 1.0 - error;
        if is_sure { (n_seats, divisor) } else { (self.search::<S>(task, threshold, n_seats), divisor) }
    }

    /// [`Self::seats_reaching`] by comparing priorities, from a guess that is nearly right.
    fn search<S: Scale>(&self, task: usize, threshold: f64, guess: u64) -> u64 {
        let (weight, held, room) = (self.weights[task], self.held[task], self.room[task]);
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
            low = low.max((high + 1).saturating_sub(step));
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

    /// Seats that reach the threshold, and how fast their number grows with the divisors: the sum of
    /// half the divisors of the tasks that are neither empty nor full.
    fn tally<S: Scale>(&self, threshold: f64) -> (u128, f64) {
        let (mut n_seats, mut slope) = (0, 0.0);
        for task in 0..self.weights.len() {
            let (reached, divisor) = self.reach::<S>(task, threshold);
            n_seats += u128::from(reached);
            slope += if reached > 0 && reached < self.room[task] { 0.5 * divisor } else { 0.0 };
        }
        (n_seats, slope)
    }

    /// The threshold if no task had a limit.
    fn unlimited_threshold<S: Scale>(&self, n_seats: u64) -> f64 {
        let competing = || (0..self.weights.len()).filter(|&task| self.room[task] > 0);
        let largest = competing().map(|task| self.weights[task]).fold(f64::NEG_INFINITY, f64::max);
        let divisors: f64 = competing().map(|task| S::divisor_at(self.weights[task], largest)).sum();
        let held: f64 = competing().map(|task| self.held[task] as f64).sum();
        S::lowered(largest, 2.0 * (n_seats as f64 + held) / divisors)
    }
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
        let total = contest.room.iter().map(|&room| u128::from(room)).sum();
        let mut bracket = Self { above: f64::INFINITY, n_above: 0, below: S::LOWEST, n_below: total };
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
        ordered_bits(self.above) - ordered_bits(self.below) <= 1
    }
}
