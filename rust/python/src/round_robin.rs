//! Binding of `tasksel_core::round_robin`.

use numpy::{IntoPyArray, Ix1, PyArray1, PyReadonlyArray1, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use tasksel_core::limits;
use tasksel_core::round_robin::{self as kernels, TaskOrder, TaskWeights};

use crate::allocation::{COUNTS, DEFAULT_BASE, WEIGHTS};
use crate::array::{borrow_or_convert, count, elements, seed as read_seed};
use crate::error::CoreFailure;

const ROW_TASKS: &str = "an integer array of shape (n_rows,)";
const PRIORITY: &str = "a float64 array of shape (n_rows,)";

/// Pick rows turn by turn: in each turn every task whose quota is not met gives one row.
///
/// Parameters
/// ----------
/// task : int64 array of shape (n_rows,)
///     Task number of each row, from 0 to ``len(quotas) - 1``. Other integer dtypes are converted.
/// quotas : int64 array of shape (n_tasks,)
///     Rows to pick from each task, at most as many as it has.
/// priority : float64 array of shape (n_rows,), optional
///     Inside a task, rows of higher priority come first, ties by lower row. Without it the order
///     inside a task is random.
/// seed : int
///     Seed of that random order. It depends on the seed, the task's number and the task's rows
///     alone: other tasks, quotas, threads and platforms do not change it, and a larger quota only
///     extends it (SplitMix64, Lemire's bounded integers, forward Fisher-Yates).
///
/// Returns
/// -------
/// int64 array of shape (sum(quotas),)
///     Row numbers in the order of picking: turn after turn, inside a turn by task number.
///
/// Raises
/// ------
/// ArrayError
///     A task number out of range, a quota that is negative or above what the task has, a priority
///     that is NaN, arrays of the wrong length or dtype.
/// ConfigError
///     A seed that is negative or no integer.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from tasksel_core import round_robin
/// >>> task = np.array([0, 0, 0, 1, 1, 2])
/// >>> round_robin(task, np.array([3, 1, 1]), priority=np.array([0.1, 0.3, 0.2, 0.5, 0.6, 0.0]))
/// array([1, 4, 5, 2, 0])
#[pyfunction]
#[pyo3(
    signature = (task, quotas, *, priority = None, seed = None),
    text_signature = "(task, quotas, *, priority=None, seed=0)"
)]
fn round_robin<'py>(
    py: Python<'py>,
    task: &Bound<'py, PyAny>,
    quotas: &Bound<'py, PyAny>,
    priority: Option<&Bound<'py, PyAny>>,
    seed: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let seed = seed.map_or(Ok(0), read_seed)?;
    let task = borrow_tasks(task)?;
    let quotas = borrow_or_convert::<i64, Ix1>("quotas", quotas, COUNTS)?;
    let priority = borrow_priority(priority)?;
    let (task, quotas) = (elements("task", &task)?, elements("quotas", &quotas)?);
    let priority = priority.as_ref().map(|priority| elements("priority", priority)).transpose()?;
    let order = priority.as_deref().map_or(TaskOrder::Random(seed), TaskOrder::Priority);
    let rows = py.detach(|| kernels::round_robin(&task, &quotas, order));
    Ok(rows.map_err(CoreFailure::from)?.into_pyarray(py))
}

/// Rank rows so that every prefix holds the quotas that ``allocate`` gives for its length.
///
/// Parameters
/// ----------
/// task : int64 array of shape (n_rows,)
///     Task number of each row, from 0 to ``len(weights) - 1``. Other integer dtypes are converted.
/// weights : float64 array of shape (n_tasks,)
///     At least 0, in any unit.
/// base : int
///     Rows that every task gets first, one row a task a turn.
/// priority : float64 array of shape (n_rows,), optional
///     Inside a task, rows of higher priority come first, ties by lower row. Without it the order
///     inside a task is random.
/// seed : int
///     Seed of that random order, as in ``round_robin``.
/// budget : int, optional
///     Length of the ranking; all rows by default.
/// labelled : int64 array of shape (n_tasks,), optional
///     Rows of each task that are labelled already and not among ``task``, as in ``allocate``.
/// log_weights : bool
///     ``weights`` are natural logs, -inf for zero.
///
/// Returns
/// -------
/// int64 array of shape (min(budget, n_rows),)
///     Row numbers. For every ``B``, the first ``B`` of them hold
///     ``allocate(weights, rows of each task, B, base=base)`` rows of each task: label as far as the
///     money goes, top up later.
///
/// Raises
/// ------
/// ArrayError
///     A task number out of range, weights that are negative, NaN or infinite, a priority that is
///     NaN, arrays of the wrong length or dtype.
/// BudgetError
///     A budget or base that is negative or no integer.
/// ConfigError
///     A seed that is negative or no integer.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from tasksel_core import weighted_round_robin
/// >>> task = np.array([0, 0, 0, 0, 1, 1, 1, 1])
/// >>> ranking = weighted_round_robin(task, np.array([3.0, 1.0]), base=1, priority=-np.arange(8.0))
/// >>> ranking
/// array([0, 4, 1, 2, 3, 5, 6, 7])
#[pyfunction]
#[pyo3(
    signature = (task, weights, *, base = None, priority = None, seed = None, budget = None, labelled = None, log_weights = false),
    text_signature = "(task, weights, *, base=5, priority=None, seed=0, budget=None, labelled=None, log_weights=False)"
)]
#[allow(clippy::too_many_arguments, reason = "the keyword arguments of the Python function")]
fn weighted_round_robin<'py>(
    py: Python<'py>,
    task: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    base: Option<&Bound<'py, PyAny>>,
    priority: Option<&Bound<'py, PyAny>>,
    seed: Option<&Bound<'py, PyAny>>,
    budget: Option<&Bound<'py, PyAny>>,
    labelled: Option<&Bound<'py, PyAny>>,
    log_weights: bool,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let seed = seed.map_or(Ok(0), read_seed)?;
    let base = base.map_or(Ok(DEFAULT_BASE), |base| count("base", base))?;
    let budget = budget.map(|budget| count("budget", budget)).transpose()?;
    let task = borrow_tasks(task)?;
    let weights = borrow_or_convert::<f64, Ix1>("weights", weights, WEIGHTS)?;
    let labelled =
        labelled.map(|counts| borrow_or_convert::<i64, Ix1>("labelled", counts, COUNTS)).transpose()?;
    let priority = borrow_priority(priority)?;
    limits::check_tasks("weights", weights.len()).map_err(CoreFailure::from)?;
    let (task, weights) = (elements("task", &task)?, elements("weights", &weights)?);
    let labelled = labelled.as_ref().map(|counts| elements("labelled", counts)).transpose()?;
    let priority = priority.as_ref().map(|priority| elements("priority", priority)).transpose()?;
    let order = priority.as_deref().map_or(TaskOrder::Random(seed), TaskOrder::Priority);
    let weights = TaskWeights { weights: &weights, log_weights, base, labelled: labelled.as_deref() };
    let rows = py.detach(|| kernels::weighted_round_robin(&task, weights, budget, order));
    Ok(rows.map_err(CoreFailure::from)?.into_pyarray(py))
}

/// Too many rows are refused before they are converted or gathered.
fn borrow_tasks<'py>(task: &Bound<'py, PyAny>) -> PyResult<PyReadonlyArray1<'py, i64>> {
    if let Ok(array) = task.cast::<PyUntypedArray>() {
        limits::check_rows("task", array.len()).map_err(CoreFailure::from)?;
    }
    borrow_or_convert("task", task, ROW_TASKS)
}

fn borrow_priority<'py>(
    priority: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<PyReadonlyArray1<'py, f64>>> {
    priority.map(|priority| borrow_or_convert::<f64, Ix1>("priority", priority, PRIORITY)).transpose()
}

/// Adds this topic's functions to the extension module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(round_robin, module)?)?;
    module.add_function(wrap_pyfunction!(weighted_round_robin, module)?)
}
