//! Binding of `tasksel_core::allocation`.

use numpy::{IntoPyArray, Ix1, PyArray1};
use pyo3::prelude::*;
use tasksel_core::allocation::{self, Rounding, Tasks};

use crate::array::{borrow_or_convert, count, elements};
use crate::error::CoreFailure;

pub const WEIGHTS: &str = "a float64 array of shape (n_tasks,)";
/// Rows that every task gets first unless the caller says otherwise, the paper's.
pub const DEFAULT_BASE: i64 = 5;
pub const COUNTS: &str = "an integer array of shape (n_tasks,)";

/// Divide a budget of rows among tasks by weight.
///
/// First the base: rows are dealt one at a time to the task with the fewest rows (labelled ones
/// included) among those below ``base``, ties to the lower task number. Then the rest by weight.
///
/// Parameters
/// ----------
/// weights : float64 array of shape (n_tasks,)
///     At least 0, in any unit. Tasks of weight zero come only after all others are full, and then
///     share evenly.
/// available : int64 array of shape (n_tasks,)
///     Rows of each task that can still be labelled.
/// budget : int
///     Rows to give out; a budget beyond what is available gives all of it.
/// base : int
///     Rows that every task gets first, if it has them.
/// labelled : int64 array of shape (n_tasks,), optional
///     Rows of each task that are labelled already and no part of ``available``. They count towards
///     base and share: allocating a budget in two rounds gives what one round would have given.
/// rounding : str
///     - ``"webster"``: each further row goes to the task with the largest
///       ``weight / (2 * n + 1)``, where ``n`` counts its rows so far, labelled ones included; ties
///       to the lower task number (the divisor method of Webster and Sainte-Lague with minimum
///       requirements). House-monotone: a larger budget takes no row from any task.
///     - ``"largest-remainder"``: proportional shares within ``base`` and ``available``, floors, then
///       the largest remainders, ties to the lower task number. Not house-monotone.
///     - ``"paper"``: the rest after the base is cut by weight and floored, clamped to what is
///       available, and what that leaves over is dealt one row a task a turn in task order. Here
///       ``labelled`` counts towards the base only. Not house-monotone.
/// log_weights : bool
///     ``weights`` are natural logs, -inf for zero; the priority is then
///     ``log_weight - log(2 * n + 1)``.
///
/// Returns
/// -------
/// int64 array of shape (n_tasks,)
///     Quotas that sum to ``min(budget, available.sum())``.
///
/// Raises
/// ------
/// ArrayError
///     Arrays of different length, negative counts, weights that are negative, NaN or infinite.
/// BudgetError
///     A budget or base that is negative or no integer.
/// ConfigError
///     An unknown rounding.
///
/// References
/// ----------
/// Arabelly, Nemade, Nowak and Zhang (2025), arXiv:2507.21482, Weighted Task Diversity.
///
/// Balinski and Young (2001), "Fair Representation", 2nd ed., on divisor methods, minimum
/// requirements and house monotonicity.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from tasksel_core import allocate
/// >>> weights, available = np.array([0.6, 0.3, 0.1]), np.array([1000, 40, 1000])
/// >>> allocate(weights, available, 100)
/// array([60, 30, 10])
/// >>> allocate(weights, available, 200)
/// array([137,  40,  23])
/// >>> first = allocate(weights, available, 100)
/// >>> first + allocate(weights, available - first, 100, labelled=first)
/// array([137,  40,  23])
#[pyfunction]
#[pyo3(signature = (weights, available, budget, *, base = None, labelled = None, rounding = "webster", log_weights = false), text_signature = "(weights, available, budget, *, base=5, labelled=None, rounding=\"webster\", log_weights=False)")]
#[allow(clippy::too_many_arguments, reason = "the keyword arguments of the Python function")]
fn allocate<'py>(
    py: Python<'py>,
    weights: &Bound<'py, PyAny>,
    available: &Bound<'py, PyAny>,
    budget: &Bound<'py, PyAny>,
    base: Option<&Bound<'py, PyAny>>,
    labelled: Option<&Bound<'py, PyAny>>,
    rounding: &str,
    log_weights: bool,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let rounding = Rounding::from_name(rounding).map_err(CoreFailure::from)?;
    let (budget, base) =
        (count("budget", budget)?, base.map_or(Ok(DEFAULT_BASE), |base| count("base", base))?);
    let weights = borrow_or_convert::<f64, Ix1>("weights", weights, WEIGHTS)?;
    let available = borrow_or_convert::<i64, Ix1>("available", available, COUNTS)?;
    let labelled =
        labelled.map(|counts| borrow_or_convert::<i64, Ix1>("labelled", counts, COUNTS)).transpose()?;
    let (weights, available) = (elements("weights", &weights)?, elements("available", &available)?);
    let labelled = labelled.as_ref().map(|counts| elements("labelled", counts)).transpose()?;
    let tasks =
        Tasks { weights: &weights, log_weights, available: &available, labelled: labelled.as_deref() };
    let quotas = py.detach(|| allocation::allocate(tasks, budget, base, rounding));
    Ok(quotas.map_err(CoreFailure::from)?.into_pyarray(py))
}

/// Adds this topic's functions to the extension module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(allocate, module)?)
}
