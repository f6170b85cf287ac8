//! Binding of `tasksel_core::k_center`.
#![allow(clippy::doc_markdown, reason = "a docstring for Python is numpydoc, not Markdown")]

use numpy::ndarray::Ix1;
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use tasksel_core::k_center::{self, Centers, Metric, Proceed, Progress, Request};

use crate::array::{
    borrow_or_convert, count, elements, embeddings_of, positive, row_contiguous, thread_count,
};
use crate::error::CoreFailure;
use crate::signals::{SignalCheck, interruptible};

const INITIAL_ROWS: &str = "an int64 array of shape (m,)";

/// Row numbers and covering radii, one a pick.
type Picks<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<f32>>);

/// Pick rows by farthest-first traversal: each is the row farthest from all centers before it.
///
/// The first ``b`` picks are the picks for budget ``b``, and their covering radius is at most twice
/// the smallest that any ``b`` centers reach [1]_. The result does not depend on the number of
/// threads or on the processor.
///
/// Parameters
/// ----------
/// embeddings : ndarray of float32, shape (n, d)
///     One row an example, finite, ``d >= 1``. Borrowed without a copy if the values of each row are
///     adjacent (C order, also with a step over rows or columns cut off), a memory-mapped ``.npy``
///     included; other layouts, such as Fortran order, are copied once, and so are float16 and the
///     bfloat16 of ``ml_dtypes``, to float32. Another dtype is refused.
/// budget : int
///     Number of rows to pick, 0 or more. Over the rows that are left, all of them are picked.
/// initial_rows : ndarray of int64, shape (m,), optional
///     Rows that are centers already, for instance those labelled before; they are not returned.
///     Repeats are allowed. Without any, the first pick is the row nearest to the mean of all rows.
/// metric : {"euclidean", "cosine"}
///     "cosine" is the Euclidean distance of the normalised rows, ``sqrt(2 - 2 cos)``; it takes
///     memory for a normalised copy.
/// stop_radius : float, optional
///     Distance, 0 or more. Picking ends with the first pick after which every row lies within it of
///     a center, and before any pick if the initial rows reach so far. By default only the budget ends it.
/// partitions : int, optional
///     Pick from each of so many runs of rows, one after the other, and then among what was picked
///     there [3]_. Only one run and the picks of all are held in memory besides the embeddings, which
///     may be a memory-mapped file larger than it: runs are read in order, where the exact traversal
///     reads at random. The covering radius is at most four times the best possible, and is measured
///     over all rows.
/// progress : callable, optional
///     Called about ten times a second as ``progress(n_picked, radius)``; the radius is infinite
///     until the first pick stands. What it raises ends the call.
/// n_threads : int, optional
///     Number of threads; by default ``RAYON_NUM_THREADS``, else one a core.
///
/// Returns
/// -------
/// rows : ndarray of int64, shape (k,)
///     Picked rows in order, ``k = min(budget, rows left)`` unless `stop_radius` ended it earlier; no row twice, even when vectors repeat.
///     Of rows equally far, the lowest is picked.
/// radii : ndarray of float32, shape (k,)
///     Covering radius after each pick: the largest distance of any row to its nearest center,
///     initial ones included. Never increases: the covering curve, over all rows with `partitions` too.
///
/// Raises
/// ------
/// ArrayError
///     ``embeddings`` is not a two-dimensional array of such a dtype, has no columns, holds NaN or infinity,
///     holds a zero vector ("cosine") or has distances over the range of float32; ``initial_rows``
///     is not a one-dimensional array of integers or names a row that does not exist.
/// BudgetError
///     ``budget`` is negative or no integer.
/// ConfigError
///     ``metric`` is unknown, ``stop_radius`` is no distance, or ``partitions`` or ``n_threads`` is
///     not positive.
///
/// Notes
/// -----
/// Distances are sums of squared differences in float32, added in a fixed order. The form
/// ``|x|^2 + |y|^2 - 2 x.y`` is not used: it cancels, and picks wrongly, when the data lie far from
/// the origin. If squares would overflow or underflow (distances over about 4e18, or all below
/// about 1e-9), a copy multiplied by a power of two is used.
///
/// Most distances are never taken: a row's distance is brought up to date only when it may be the
/// largest, and then only to centers that 8-bit codes cannot prove to be farther than the nearest.
/// The picks and radii are those of one pass over all rows for each center, to the bit. Memory besides
/// the embeddings is a quarter of their size for the codes, as much of the centers, and about 16 n
/// bytes; processors without AVX2 do without codes. Ctrl-C interrupts
/// between picks, and between parts of a long catch-up.
///
/// References
/// ----------
/// .. [1] T. F. Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical
///    Computer Science 38, 1985.
/// .. [2] O. Sener and S. Savarese, "Active learning for convolutional neural networks: a core-set
///    approach", ICLR 2018, arXiv:1708.00489, algorithm 1.
/// .. [3] G. Malkomes, M. J. Kusner, W. Chen, K. Q. Weinberger and B. Moseley, "Fast distributed
///    k-center clustering with outliers on massive data", NIPS 2015.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from tasksel_core import k_center_greedy
/// >>> points = np.array([[0, 0], [1, 0], [8, 0], [9, 0], [0, 7]], dtype=np.float32)
/// >>> rows, radii = k_center_greedy(points, 3)
/// >>> rows.tolist(), radii.tolist()
/// ([1, 3, 4], [8.0, 7.071067810058594, 1.0])
/// >>> k_center_greedy(points, 2, initial_rows=np.array([0]))[0].tolist()
/// [3, 4]
#[pyfunction]
#[pyo3(signature = (
    embeddings, budget, *, initial_rows=None, metric="euclidean", stop_radius=None, partitions=None,
    progress=None, n_threads=None
))]
#[allow(clippy::too_many_arguments, reason = "keyword arguments in Python")]
fn k_center_greedy<'py>(
    py: Python<'py>,
    embeddings: &Bound<'py, PyAny>,
    budget: &Bound<'py, PyAny>,
    initial_rows: Option<&Bound<'py, PyAny>>,
    metric: &str,
    stop_radius: Option<f64>,
    partitions: Option<i64>,
    progress: Option<&Bound<'py, PyAny>>,
    n_threads: Option<i64>,
) -> PyResult<Picks<'py>> {
    let array = row_contiguous("embeddings", embeddings)?;
    let initial_rows = initial_rows.map_or_else(|| Ok(Vec::new()), row_numbers)?;
    let request = request(budget, &initial_rows, metric, stop_radius, n_threads)?;
    let partitions = partitions.map(|partitions| positive("partitions", partitions)).transpose()?;
    let embeddings = embeddings_of("embeddings", &array)?;
    watched(py, progress, |proceed| match partitions {
        Some(partitions) => k_center::partitioned_k_center_greedy(embeddings, partitions, &request, proceed),
        None => k_center::k_center_greedy(embeddings, &request, proceed),
    })
}

fn request<'a>(
    budget: &Bound<'_, PyAny>,
    initial_rows: &'a [i64],
    metric: &str,
    stop_radius: Option<f64>,
    n_threads: Option<i64>,
) -> PyResult<Request<'a>> {
    let budget = count("budget", budget)?;
    let metric = Metric::from_name(metric).map_err(CoreFailure::from)?;
    let n_threads = n_threads.map(thread_count).transpose()?;
    Ok(Request { budget, initial_rows, metric, stop_radius, n_threads })
}

/// The same picks by one of ``_k_center_ways()``, or by the definition with "plain", one pass over all rows
/// for each center. Not part of the interface: tests and benches compare ``k_center_greedy`` with it.
#[pyfunction]
#[pyo3(signature = (way, embeddings, budget, *, initial_rows=None, metric="euclidean", n_threads=None))]
fn _k_center_greedy_by<'py>(
    py: Python<'py>,
    way: &str,
    embeddings: &Bound<'py, PyAny>,
    budget: &Bound<'py, PyAny>,
    initial_rows: Option<&Bound<'py, PyAny>>,
    metric: &str,
    n_threads: Option<i64>,
) -> PyResult<Picks<'py>> {
    let array = row_contiguous("embeddings", embeddings)?;
    let initial_rows = initial_rows.map_or_else(|| Ok(Vec::new()), row_numbers)?;
    let request = request(budget, &initial_rows, metric, None, n_threads)?;
    let embeddings = embeddings_of("embeddings", &array)?;
    watched(py, None, |proceed| k_center::k_center_greedy_by(way, embeddings, &request, proceed))
}

/// What the processor offers ``k_center_greedy``, the fastest first, which it takes.
#[pyfunction]
fn _k_center_ways() -> Vec<&'static str> {
    k_center::lazy_ways()
}

/// Runs a traversal without the GIL; Python's signals are handled and progress is told meanwhile.
fn watched<'py>(
    py: Python<'py>,
    progress: Option<&Bound<'py, PyAny>>,
    traverse: impl FnOnce(&mut Proceed<'_>) -> tasksel_core::Result<Centers> + Send,
) -> PyResult<Picks<'py>> {
    let mut signals = SignalCheck::new();
    let progress = progress.map(|tell| tell.clone().unbind());
    let mut proceed = |now: Progress| {
        signals.proceed_and(|py| match &progress {
            Some(tell) => tell.call1(py, (now.n_picked, now.radius)).map(drop),
            None => Ok(()),
        })
    };
    let centers = py.detach(|| traverse(&mut proceed)).map_err(CoreFailure::from)?;
    signals.raised?;
    Ok((centers.rows.into_pyarray(py), centers.radii.into_pyarray(py)))
}

/// Measure how far centers reach, however they were chosen: the covering curve of a selection.
///
/// Parameters
/// ----------
/// points : ndarray of float32, shape (n, d)
///     What is to be covered, as the embeddings of `k_center_greedy`.
/// centers : ndarray of float32, shape (k, d)
///     In the order in which they were chosen.
/// metric : {"euclidean", "cosine"}
///     As in `k_center_greedy`.
/// n_threads : int, optional
///     Number of threads; by default ``RAYON_NUM_THREADS``, else one a core.
///
/// Returns
/// -------
/// radii : ndarray of float32, shape (k,)
///     Entry i: the largest distance of any point to the nearest of the first i + 1 centers. Never
///     increases; 0 if there are no points.
///
/// Raises
/// ------
/// ArrayError
///     An array is not a two-dimensional float array, they differ in columns, or a value is as
///     `k_center_greedy` does not take it.
/// ConfigError
///     ``metric`` is unknown or ``n_threads`` is not positive.
///
/// Notes
/// -----
/// Exact, and found as `k_center_greedy` finds its picks: a point's distance is brought up to date
/// only when it may be the largest.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from tasksel_core import covering_radii
/// >>> points = np.array([[0, 0], [1, 0], [8, 0], [9, 0], [0, 7]], dtype=np.float32)
/// >>> covering_radii(points, points[[1, 3, 4]]).tolist()
/// [8.0, 7.071067810058594, 1.0]
#[pyfunction]
#[pyo3(signature = (points, centers, *, metric="euclidean", n_threads=None))]
fn covering_radii<'py>(
    py: Python<'py>,
    points: &Bound<'py, PyAny>,
    centers: &Bound<'py, PyAny>,
    metric: &str,
    n_threads: Option<i64>,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let (points, centers) = (row_contiguous("points", points)?, row_contiguous("centers", centers)?);
    let (points, centers) = (embeddings_of("points", &points)?, embeddings_of("centers", &centers)?);
    let metric = Metric::from_name(metric).map_err(CoreFailure::from)?;
    let n_threads = n_threads.map(thread_count).transpose()?;
    let radii =
        interruptible(py, |keep_on| k_center::covering_radii(points, centers, metric, n_threads, keep_on))?;
    Ok(radii.into_pyarray(py))
}

/// The numbers of rows that are selected already.
pub fn row_numbers(initial_rows: &Bound<'_, PyAny>) -> PyResult<Vec<i64>> {
    let rows = borrow_or_convert::<i64, Ix1>("initial_rows", initial_rows, INITIAL_ROWS)?;
    Ok(elements("initial_rows", &rows)?.into_owned())
}

/// Adds this topic's functions to the extension module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(k_center_greedy, module)?)?;
    module.add_function(wrap_pyfunction!(covering_radii, module)?)?;
    module.add_function(wrap_pyfunction!(_k_center_greedy_by, module)?)?;
    module.add_function(wrap_pyfunction!(_k_center_ways, module)?)
}
