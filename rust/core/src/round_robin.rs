//! Take turns across tasks: which rows are picked, and in which order.

use crate::allocation::{self, Rounding, Tasks};
use crate::confidence::check_tasks;
use crate::divisor::{Linear, Log, Scale, ordered_bits, raised};
use crate::random::SplitMix64;
use crate::workers::Workers;
use crate::{Error, Result, limits};

/// Tasks whose rows one thread orders at a time.
const BLOCK_TASKS: usize = 64;

/// The order of rows inside a task.
#[derive(Debug, Clone, Copy)]
pub enum TaskOrder<'a> {
    /// Random, from the stream of the task's number under this seed.
    Random(u64),
    /// By a priority a row, higher first, ties to the lower row.
    Priority(&'a [f64]),
}

/// Rows picked turn by turn: in each turn every task whose quota is not met gives one row, tasks in
/// ascending number.
///
/// # Errors
/// [`Error::Array`] for task numbers out of range, quotas that are negative or beyond the task's
/// rows, priorities that are NaN or too few.
pub fn round_robin(task: &[i64], quotas: &[i64], order: TaskOrder<'_>) -> Result<Vec<i64>> {
    let groups = Groups::of(task, quotas.len())?;
    check_quotas(quotas, &groups)?;
    let quotas: Vec<usize> = quotas.iter().map(|&quota| quota as usize).collect();
    let groups = groups.in_order(&quotas, order)?;
    let mut picked = Vec::with_capacity(quotas.iter().sum());
    // Next place and end of each task that still gives rows; those that are done drop out as each
    // turn is dealt, without a branch.
    let places = groups.starts.iter().zip(&quotas);
    let mut open: Vec<(usize, usize)> =
        places.map(|(&start, &quota)| (start, start + quota)).filter(|(start, end)| start < end).collect();
    while !open.is_empty() {
        let mut n_open = 0;
        for turn in 0..open.len() {
            let (place, end) = open[turn];
            picked.push(i64::from(groups.rows[place]));
            open[n_open] = (place + 1, end);
            n_open += usize::from(place + 1 < end);
        }
        open.truncate(n_open);
    }
    Ok(picked)
}

fn check_quotas(quotas: &[i64], groups: &Groups) -> Result<()> {
    for (task, &quota) in quotas.iter().enumerate() {
        let size = groups.size(task);
        if quota < 0 || quota as u64 > size as u64 {
            let was = format!("{quota} for task {task}, which has {size} rows");
            return Err(Error::array("quotas", was, "from 0 to the number of rows of the task"));
        }
    }
    Ok(())
}

/// How the ranking of [`weighted_round_robin`] weighs tasks.
#[derive(Debug, Clone, Copy)]
pub struct TaskWeights<'a> {
    /// One weight a task, or its natural log.
    pub weights: &'a [f64],
    /// Whether `weights` are natural logs.
    pub log_weights: bool,
    /// Rows of each task that every task gets before weights matter.
    pub base: i64,
    /// Rows labelled already in each task, which are not among the rows ranked.
    pub labelled: Option<&'a [i64]>,
}

/// A ranking of rows whose every prefix of length `B` holds exactly the quotas that
/// [`allocation::allocate`] gives for the budget `B`.
///
/// # Errors
/// As [`allocation::allocate`] and [`round_robin`].
pub fn weighted_round_robin(
    task: &[i64],
    weights: TaskWeights<'_>,
    budget: Option<i64>,
    order: TaskOrder<'_>,
) -> Result<Vec<i64>> {
    let TaskWeights { weights, log_weights, base, labelled } = weights;
    limits::check_tasks("weights", weights.len())?;
    let groups = Groups::of(task, weights.len())?;
    let available: Vec<i64> = (0..weights.len()).map(|task| groups.size(task) as i64).collect();
    let tasks = Tasks { weights, log_weights, available: &available, labelled };
    let budget = budget.unwrap_or(task.len() as i64);
    let quotas = allocation::allocate(tasks, budget, base, Rounding::Webster)?;
    let quotas: Vec<usize> = quotas.iter().map(|&quota| quota as usize).collect();
    let groups = groups.in_order(&quotas, order)?;
    let seats = if log_weights {
        seat_order::<Log>(tasks, base as u64, &quotas)
    } else {
        let weights = &raised(weights);
        seat_order::<Linear>(Tasks { weights, ..tasks }, base as u64, &quotas)
    };
    let mut next = groups.starts;
    let give = |task: u32| {
        let place = &mut next[task as usize];
        *place += 1;
        i64::from(groups.rows[*place - 1])
    };
    Ok(seats.into_iter().map(give).collect())
}

/// The task of each seat in the order in which seats are dealt.
fn seat_order<S: Scale>(tasks: Tasks<'_>, base: u64, quotas: &[usize]) -> Vec<u32> {
    let (mut basic, mut weighted, mut weightless) = (Vec::new(), Vec::new(), Vec::new());
    for (task, (&quota, &weight)) in quotas.iter().zip(tasks.weights).enumerate() {
        let labelled = tasks.labelled.map_or(0, |labelled| labelled[task] as u64);
        let held = labelled..labelled + quota as u64;
        let n_basic = base.saturating_sub(labelled).min(quota as u64);
        basic.extend(held.clone().take(n_basic as usize).map(|n| (n, task as u32)));
        let rest = held.skip(n_basic as usize);
        if S::is_zero(weight) {
            weightless.extend(rest.map(|n| (n, task as u32)));
        } else {
            weighted.extend(rest.map(|n| (!ordered_bits(S::priority(weight, n)), task as u32)));
        }
    }
    let parts = [basic, weighted, weightless].into_iter().map(sort_by_key);
    parts.flatten().map(|(_, task)| task).collect()
}

/// Stable radix sort; equal keys keep the order of tasks in which they were made.
fn sort_by_key(mut seats: Vec<(u64, u32)>) -> Vec<(u64, u32)> {
    const DIGIT_BITS: u32 = 11;
    if seats.len() < 1 << DIGIT_BITS {
        seats.sort_by_key(|&(key, _)| key);
        return seats;
    }
    let varying = seats.iter().fold(0, |bits, &(key, _)| bits | (key ^ seats[0].0));
    let mut sorted = seats.clone();
    for shift in (0..u64::BITS).step_by(DIGIT_BITS as usize) {
        let digit = |key: u64| (key >> shift) as usize & ((1 << DIGIT_BITS) - 1);
        if digit(varying) == 0 {
            continue;
        }
        let mut places = [0_usize; 1 << DIGIT_BITS];
        for &(key, _) in &seats {
            places[digit(key)] += 1;
        }
        let mut start = 0;
        for place in &mut places {
            (*place, start) = (start, start + *place);
        }
        for &seat in &seats {
            let place = &mut places[digit(seat.0)];
            sorted[*place] = seat;
            *place += 1;
        }
        std::mem::swap(&mut seats, &mut sorted);
    }
    seats
}

/// Rows by task: task `t` has `rows[starts[t]..starts[t + 1]]`.
struct Groups {
    starts: Vec<usize>,
    rows: Vec<u32>,
}

impl Groups {
    /// Counting sort, rows ascending in each task.
    fn of(task: &[i64], n_tasks: usize) -> Result<Self> {
        limits::check_rows("task", task.len())?;
        // The count of task `t` goes to `t + 2`, so that after summing up the start of `t` stands at
        // `t + 1`; while rows are placed it moves to the end of `t`, which is where `t + 1` starts.
        let mut starts = vec![0; n_tasks + 2];
        let (_, counts) = starts.split_at_mut(2);
        for &task in task {
            // A negative number is a huge one when read without its sign.
            match counts.get_mut(task as usize) {
                Some(count) => *count += 1,
                None => break,
            }
        }
        if counts.iter().sum::<usize>() < task.len() {
            check_tasks(task, n_tasks)?;
        }
        for place in 2..starts.len() {
            starts[place] += starts[place - 1];
        }
        let mut rows = vec![0; task.len()];
        for (row, &task) in task.iter().enumerate() {
            let place = &mut starts[task as usize + 1];
            rows[*place] = row as u32;
            *place += 1;
        }
        starts.truncate(n_tasks + 1);
        Ok(Self { starts, rows })
    }

    fn size(&self, task: usize) -> usize {
        self.starts[task + 1] - self.starts[task]
    }

    /// Brings the rows that each task's quota takes to its front, in the order asked for.
    fn in_order(mut self, quotas: &[usize], order: TaskOrder<'_>) -> Result<Self> {
        if let TaskOrder::Priority(priority) = order {
            check_priority(priority, self.rows.len())?;
        }
        let mut rest = self.rows.as_mut_slice();
        let mut groups = Vec::with_capacity(quotas.len());
        for task in 0..quotas.len() {
            let (group, behind) = rest.split_at_mut(self.starts[task + 1] - self.starts[task]);
            groups.push(group);
            rest = behind;
        }
        let workers = Workers::new(None, groups.len().div_ceil(BLOCK_TASKS))?;
        workers.map_chunks_mut(&mut groups, BLOCK_TASKS, |block, groups| {
            let first = block * BLOCK_TASKS;
            for (task, group) in (first..).zip(groups) {
                match order {
                    TaskOrder::Random(seed) => {
                        SplitMix64::stream(seed, task as u64).shuffle_prefix(group, quotas[task]);
                    }
                    TaskOrder::Priority(priority) => highest_first(group, quotas[task], priority),
                }
            }
        });
        Ok(self)
    }
}

fn check_priority(priority: &[f64], n_rows: usize) -> Result<()> {
    let allowed = "one number a row, not NaN";
    if priority.len() != n_rows {
        return Err(Error::array(
            "priority",
            format!("{} numbers for {n_rows} rows", priority.len()),
            allowed,
        ));
    }
    match priority.iter().position(|value| value.is_nan()) {
        Some(row) => Err(Error::array("priority", format!("NaN at row {row}"), allowed)),
        None => Ok(()),
    }
}

fn highest_first(rows: &mut [u32], quota: usize, priority: &[f64]) {
    // The sum with 0 turns -0 into 0, which is no lower.
    let key = |&row: &u32| (!ordered_bits(priority[row as usize] + 0.0), row);
    let mut keys: Vec<(u64, u32)> = rows.iter().map(key).collect();
    if quota < keys.len() {
        keys.select_nth_unstable(quota);
    }
    keys[..quota].sort_unstable();
    for (row, (_, sorted)) in rows[..quota].iter_mut().zip(keys) {
        *row = sorted;
    }
}
