//! Picks against turns that are taken one by one, and rankings against seats that are dealt one by one.

use tasksel_core::allocation::{Rounding, Tasks};
use tasksel_core::random::SplitMix64;
use tasksel_core::round_robin::{TaskOrder, TaskWeights, round_robin, weighted_round_robin};

use crate::input::{Counts, Input, Weights, special_or_any};
use crate::seats::{Case, deal};

/// Picks what the bytes describe.
///
/// # Panics
/// If the rows are not those of the definition, or anything else panics.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let is_weighted = input.any();
    // More than 64 tasks are put in order by several threads.
    let n_tasks = if input.seldom() { 60 + input.below(80) } else { input.below(9) };
    let n_rows = if input.seldom() { input.below(600) } else { input.below(60) };
    let is_hostile = input.seldom();
    let task = input.several(n_rows, |input| {
        let task = if n_tasks > 0 { input.below(n_tasks) as i64 } else { 0 };
        if is_hostile && input.seldom() { input.any() } else { task }
    });
    let seed = input.any();
    let has_priority = input.any::<bool>();
    let n_priorities = n_rows + usize::from(input.seldom());
    let priority = has_priority.then(|| input.several(n_priorities, |input| priority(input, is_hostile)));
    let pool = Pool { task: &task, n_tasks, seed, priority: priority.as_deref() };
    if is_weighted { check_weighted(&pool, &mut input) } else { check_turns(&pool, &mut input) }
}

/// Few values, so that there are ties; NaN, which is refused, only where that is asked for.
fn priority(input: &mut Input<'_>, is_hostile: bool) -> f64 {
    let value = if input.any() { special_or_any(input) } else { f64::from(input.any::<u8>() % 4) };
    if value.is_nan() && !is_hostile { -0.0 } else { value }
}

/// Rows, their tasks and their order.
#[derive(Debug)]
struct Pool<'a> {
    task: &'a [i64],
    n_tasks: usize,
    seed: u64,
    priority: Option<&'a [f64]>,
}

impl<'a> Pool<'a> {
    fn order(&self) -> TaskOrder<'a> {
        self.priority.map_or(TaskOrder::Random(self.seed), TaskOrder::Priority)
    }

    fn is_allowed(&self) -> bool {
        let is_task = |task: &i64| usize::try_from(*task).is_ok_and(|task| task < self.n_tasks);
        let is_priority = |priority: &[f64]| {
            priority.len() == self.task.len() && priority.iter().all(|value| !value.is_nan())
        };
        self.task.iter().all(is_task) && self.priority.is_none_or(is_priority)
    }

    /// The rows of each task in ascending order.
    fn groups(&self) -> Vec<Vec<i64>> {
        let rows = |task| (0..self.task.len()).filter(move |&row| self.task[row] == task);
        (0..self.n_tasks as i64).map(|task| rows(task).map(|row| row as i64).collect()).collect()
    }

    /// The rows of each task in the order asked for.
    fn ordered_groups(&self) -> Vec<Vec<i64>> {
        let mut groups = self.groups();
        for (task, rows) in groups.iter_mut().enumerate() {
            if let Some(priority) = self.priority {
                // A stable sort: ties go to the lower row, and -0 is no lower than 0.
                let of = |row: i64| priority[row as usize];
                rows.sort_by(|&left, &right| {
                    of(right).partial_cmp(&of(left)).unwrap_or(std::cmp::Ordering::Equal)
                });
            } else {
                let mut random = SplitMix64::stream(self.seed, task as u64);
                for place in 0..rows.len() {
                    let other = place + random.below((rows.len() - place) as u64) as usize;
                    rows.swap(place, other);
                }
            }
        }
        groups
    }
}

fn check_turns(pool: &Pool<'_>, input: &mut Input<'_>) {
    let is_hostile = input.seldom();
    let sizes: Vec<usize> = pool.groups().iter().map(Vec::len).collect();
    let quotas: Vec<i64> = sizes
        .iter()
        .map(|&size| if is_hostile && input.seldom() { input.any() } else { input.below(size + 1) as i64 })
        .collect();
    let picked = round_robin(pool.task, &quotas, pool.order());
    let fits = |(&quota, &size): (&i64, &usize)| usize::try_from(quota).is_ok_and(|quota| quota <= size);
    if !(pool.is_allowed() && quotas.iter().zip(&sizes).all(fits)) {
        assert!(picked.is_err(), "not refused: {quotas:?} of {pool:?}");
        return;
    }
    let picked = picked.unwrap_or_else(|error| panic!("refused with '{error}': {quotas:?} of {pool:?}"));
    let mut expected = Vec::new();
    let groups = pool.ordered_groups();
    for turn in 0..pool.task.len() {
        let has_turn = |(_, quota): &(&Vec<i64>, &i64)| turn < **quota as usize;
        expected.extend(groups.iter().zip(&quotas).filter(has_turn).map(|(rows, _)| rows[turn]));
    }
    assert_eq!(picked, expected, "{quotas:?} of {pool:?}");
}

fn check_weighted(pool: &Pool<'_>, input: &mut Input<'_>) {
    let log_weights = input.any();
    let kind = Weights::choose(input);
    let weights = input.several(pool.n_tasks, |input| kind.weight(input, log_weights));
    let base = Counts::choose(input).count(input);
    let (has_labels, counts) = (input.any::<bool>(), Counts::choose(input));
    let labelled = has_labels.then(|| input.several(pool.n_tasks, |input| counts.count(input)));
    let budget = input.any::<bool>().then(|| Counts::choose(input).count(input));
    let ranked = TaskWeights { weights: &weights, log_weights, base, labelled: labelled.as_deref() };
    let ranking = weighted_round_robin(pool.task, ranked, budget, pool.order());
    let available: Vec<i64> = pool.groups().iter().map(|rows| rows.len() as i64).collect();
    let tasks =
        Tasks { weights: &weights, log_weights, available: &available, labelled: labelled.as_deref() };
    let all = pool.task.len() as i64;
    let case = Case::new(tasks, budget.unwrap_or(all), base, Rounding::Webster);
    if !(pool.is_allowed() && case.is_allowed()) {
        assert!(ranking.is_err(), "not refused: {case:?} of {pool:?}");
        return;
    }
    let ranking = ranking.unwrap_or_else(|error| panic!("refused with '{error}': {case:?} of {pool:?}"));
    let mut groups: Vec<_> = pool.ordered_groups().into_iter().map(Vec::into_iter).collect();
    let expected: Vec<i64> = deal(&case).into_iter().filter_map(|task| groups[task].next()).collect();
    assert_eq!(ranking, expected, "{case:?} of {pool:?}");
}
