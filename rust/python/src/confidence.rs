//! Binding of `tasksel_core::confidence`.

use numpy::{IntoPyArray, Ix1, PyArray1, PyArrayDyn};
use pyo3::prelude::*;
use tasksel_core::confidence::{self, ConfidenceMetric, TaskMean};

use crate::array::{borrow, borrow_or_convert, elements, task_count};
use crate::error::CoreFailure;

const TOKENS: &str = "a float32 or float64 array of shape (n_tokens,)";
const OFFSETS: &str = "an integer array of shape (n_examples + 1,)";
const EXAMPLES: &str = "a float64 array of shape (n_examples,)";
const EXAMPLE_TASKS: &str = "an integer array of shape (n_examples,)";
const TASKS: &str = "a float64 array of shape (n_tasks,)";

/// Log-confidence of each example from the values of its tokens.
///
/// Parameters
/// ----------
/// token_logprobs : float32 or float64 array of shape (n_tokens,)
///     Natural-log probabilities of the tokens that the model generated, all examples after one
///     another; -inf (probability 0) is legal. For ``metric="entropy"`` the entropies of the
///     tokens' distributions in nats, for ``metric="margin"`` and ``"min-margin"`` the differences of
///     the two largest probabilities. Strided arrays work; nothing is copied. Values that rounding pushed up to
///     1e-3 beyond their range count as its end.
/// offsets : int64 array of shape (n_examples + 1,)
///     Example ``i`` has the tokens ``offsets[i]`` to ``offsets[i + 1]`` (the layout of an Arrow
///     list, also of a sliced one).
/// metric : str
///     - ``"product"``: log of the product of token probabilities, the sum of logs.
///     - ``"length-normalized"``: log of their geometric mean, the mean of logs.
///     - ``"min-token"``: the least confident token.
///     - ``"entropy"``: minus the mean entropy.
///     - ``"margin"``: log of the mean margin.
///     - ``"min-margin"``: log of the smallest margin.
///
/// Returns
/// -------
/// float64 array of shape (n_examples,)
///     Higher is surer; NaN for an example without tokens, which has no confidence. Sums are taken
///     in float64 in a fixed order: the same bits on any number of threads and any processor.
///
/// Raises
/// ------
/// ArrayError
///     An array of another dtype or shape, offsets that fall or point outside, or a value that
///     cannot be (NaN, +inf, a positive logprob); the message names the first one.
/// ConfigError
///     An unknown metric.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from tasksel_core import log_confidence
/// >>> token_logprobs = np.log(np.array([0.5, 0.5, 0.9], dtype=np.float32))
/// >>> np.exp(log_confidence(token_logprobs, np.array([0, 2, 2, 3]))).round(6)
/// array([0.25,  nan, 0.9 ])
/// >>> np.exp(log_confidence(token_logprobs, np.array([0, 2, 3]), metric="length-normalized")).round(6)
/// array([0.5, 0.9])
#[pyfunction]
#[pyo3(signature = (token_logprobs, offsets, *, metric = "product"))]
fn log_confidence<'py>(
    py: Python<'py>,
    token_logprobs: &Bound<'py, PyAny>,
    offsets: &Bound<'py, PyAny>,
    metric: &str,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let metric = ConfidenceMetric::from_name(metric).map_err(CoreFailure::from)?;
    let offsets = borrow_or_convert::<i64, Ix1>("offsets", offsets, OFFSETS)?;
    let offsets = elements("offsets", &offsets)?;
    let log_confidence = if token_logprobs.cast::<PyArrayDyn<f32>>().is_ok() {
        let values = borrow::<f32, Ix1>("token_logprobs", token_logprobs, TOKENS)?;
        let values = values.as_array();
        py.detach(|| confidence::log_confidence(&values, &offsets, metric))
    } else {
        let values = borrow::<f64, Ix1>("token_logprobs", token_logprobs, TOKENS)?;
        let values = values.as_array();
        py.detach(|| confidence::log_confidence(&values, &offsets, metric))
    };
    Ok(log_confidence.map_err(CoreFailure::from)?.into_pyarray(py))
}

/// Log-confidence of each task: the mean over its examples.
///
/// Parameters
/// ----------
/// log_confidence : float64 array of shape (n_examples,)
///     Natural logs, at most 0. -inf is a confidence of zero and counts; NaN is no confidence and
///     is left out.
/// task : int64 array of shape (n_examples,)
///     Task number of each example, from 0 to ``n_tasks - 1``. Other integer dtypes are converted.
/// n_tasks : int
///     Number of tasks.
/// mean : str
///     ``"arithmetic"``: of the confidences (log-sum-exp, so that nothing underflows);
///     ``"geometric"``: of their logs, where one example of confidence zero decides.
///
/// Returns
/// -------
/// float64 array of shape (n_tasks,)
///     NaN for a task without any example that has a confidence.
///
/// Raises
/// ------
/// ArrayError
///     Arrays of different length, a task number out of range, or a log-confidence above 0.
/// ConfigError
///     An unknown mean.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from tasksel_core import task_log_confidence
/// >>> log_confidence = np.array([-1500.0, -1500.0, np.nan, np.log(0.2), np.log(0.4)])
/// >>> means = task_log_confidence(log_confidence, np.array([0, 0, 1, 2, 2]), 3)
/// >>> means.tolist()[:2]
/// [-1500.0, nan]
/// >>> np.exp(means[2]).round(6).item()
/// 0.3
#[pyfunction]
#[pyo3(signature = (log_confidence, task, n_tasks, *, mean = "arithmetic"))]
fn task_log_confidence<'py>(
    py: Python<'py>,
    log_confidence: &Bound<'py, PyAny>,
    task: &Bound<'py, PyAny>,
    n_tasks: &Bound<'py, PyAny>,
    mean: &str,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let mean = TaskMean::from_name(mean).map_err(CoreFailure::from)?;
    let n_tasks = task_count(n_tasks)?;
    let log_confidence = borrow_or_convert::<f64, Ix1>("log_confidence", log_confidence, EXAMPLES)?;
    let task = borrow_or_convert::<i64, Ix1>("task", task, EXAMPLE_TASKS)?;
    let (log_confidence, task) = (elements("log_confidence", &log_confidence)?, elements("task", &task)?);
    let means = py.detach(|| confidence::task_log_confidence(&log_confidence, &task, n_tasks, mean));
    Ok(means.map_err(CoreFailure::from)?.into_pyarray(py))
}

/// Weights of tasks, largest where the model is least confident; they sum to 1.
///
/// Parameters
/// ----------
/// task_log_confidence : float64 array of shape (n_tasks,)
///     Natural logs; -inf is a confidence of zero, NaN no confidence.
/// alpha : float
///     ``log w = -alpha * log C``: 1 is the paper's rule, 0 makes every task equal.
/// max_ratio : float, optional
///     Caps each weight at this many times the smallest, the most confident task's.
/// log : bool
///     Return natural logs of the weights, with a log-sum-exp of 0. Products of long answers differ
///     by factors of e^1500, of which plain weights keep only the largest.
///
/// Returns
/// -------
/// float64 array of shape (n_tasks,)
///     A task without confidence gets the geometric mean of the others' weights after the cap.
///     Tasks of confidence zero are the limit: uncapped, they share everything equally. If no other
///     task has a confidence above zero, tasks without one are equal to them.
///
/// Raises
/// ------
/// ArrayError
///     A log-confidence of +inf, another dtype or shape.
/// ConfigError
///     ``alpha`` negative or not finite, ``max_ratio`` below 1.
///
/// References
/// ----------
/// Arabelly, Nemade, Nowak and Zhang (2025), "Improving Task Diversity in Label Efficient
/// Supervised Finetuning of LLMs", arXiv:2507.21482, Weighted Task Diversity.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from tasksel_core import inverse_confidence_weights
/// >>> log_confidence = np.log(np.array([0.5, 0.25, 0.125, np.nan]))
/// >>> inverse_confidence_weights(log_confidence)
/// array([0.11111111, 0.22222222, 0.44444444, 0.22222222])
/// >>> inverse_confidence_weights(log_confidence[:3], max_ratio=2.0)
/// array([0.2, 0.4, 0.4])
#[pyfunction]
#[pyo3(signature = (task_log_confidence, *, alpha = 1.0, max_ratio = None, log = false))]
fn inverse_confidence_weights<'py>(
    py: Python<'py>,
    task_log_confidence: &Bound<'py, PyAny>,
    alpha: f64,
    max_ratio: Option<f64>,
    log: bool,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let values = borrow_or_convert::<f64, Ix1>("task_log_confidence", task_log_confidence, TASKS)?;
    let values = elements("task_log_confidence", &values)?;
    let kernel =
        if log { confidence::inverse_confidence_log_weights } else { confidence::inverse_confidence_weights };
    let weights = py.detach(|| kernel(&values, alpha, max_ratio));
    Ok(weights.map_err(CoreFailure::from)?.into_pyarray(py))
}

/// Adds this topic's functions to the extension module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(log_confidence, module)?)?;
    module.add_function(wrap_pyfunction!(task_log_confidence, module)?)?;
    module.add_function(wrap_pyfunction!(inverse_confidence_weights, module)?)
}
