//! Binding of `tasksel_core::neighbours`.

use numpy::ndarray::Ix1;
use numpy::{IntoPyArray, PyArray1, PyArray2};
use pyo3::prelude::*;
use tasksel_core::k_center::Metric;
use tasksel_core::neighbours::{self, balls};

use crate::array::{borrow, count, elements, embeddings_of, matrix, row_contiguous, thread_count};
use crate::error::CoreFailure;
use crate::signals::interruptible;

const RADII: &str = "a float32 array of shape (n,), one number for each row of base";

/// Rows and distances, one row a query.
type Found<'py> = (Bound<'py, PyArray2<i64>>, Bound<'py, PyArray2<f32>>);

/// Find the rows of a matrix that are nearest to each query, exactly.
///
/// The result does not depend on the number of threads or on the processor.
///
/// Parameters
/// ----------
/// queries : ndarray of float32, shape (n_queries, d)
///     One row a query, finite, ``d >= 1``. Borrowed without a copy if the values of each row are
///     adjacent; other layouts, such as Fortran order, and half precision are copied once to
///     float32. Another dtype is refused.
/// base : ndarray of float32, shape (n, d)
///     The rows that are looked among, likewise. It may be ``queries`` itself.
/// k : int
///     Number of neighbours, 0 or more. Over the rows that there are, all of them are given.
/// metric : {"euclidean", "cosine"}
///     "cosine" is the Euclidean distance of the normalised rows, ``sqrt(2 - 2 cos)``; it takes
///     memory for normalised copies.
/// exclude_self : bool
///     Row i of ``base`` is no neighbour of query i; both must have the same number of rows. Other
///     rows that hold the same vector stay.
/// n_threads : int, optional
///     Number of threads; by default ``RAYON_NUM_THREADS``, else one a core.
///
/// Returns
/// -------
/// rows : ndarray of int64, shape (n_queries, m)
///     Rows of ``base``, the nearest first; ``m = min(k, n)``, with ``exclude_self``
///     ``min(k, n - 1)``. Of rows at the same squared distance in float32, the lowest comes first.
/// distances : ndarray of float32, shape (n_queries, m)
///     Their distances, which never decrease along a row.
///
/// Raises
/// ------
/// ArrayError
///     ``queries`` or ``base`` is not a two-dimensional float32 array, has no columns or other columns
///     than the other, holds NaN or infinity, holds a zero vector ("cosine") or has distances over the
///     range of float32; ``exclude_self`` with matrices of different length.
/// BudgetError
///     ``k`` is negative or no integer.
/// ConfigError
///     ``metric`` is unknown or ``n_threads`` is not positive.
///
/// Notes
/// -----
/// Distances are those of ``k_center_greedy`` to the bit: sums of squared differences in float32,
/// added in a fixed order, of a copy multiplied by a power of two where squares would leave float32's
/// range. Most are never taken: exact integer products of 8-bit codes bound a distance from both
/// sides, which leaves few candidates beside the neighbours themselves.
///
/// There is no ``n_queries`` x ``n`` matrix. Memory besides the result is a quarter of ``base`` for
/// its codes, and some megabytes a thread; processors without AVX2 do without codes.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from tasksel_core import nearest_neighbours
/// >>> points = np.array([[0, 0], [3, 4], [0, 1], [0, 0]], dtype=np.float32)
/// >>> rows, distances = nearest_neighbours(points, points, 2, exclude_self=True)
/// >>> rows.tolist()
/// [[3, 2], [2, 0], [0, 3], [0, 2]]
/// >>> distances[1].tolist()
/// [4.242640495300293, 5.0]
#[pyfunction]
#[pyo3(signature = (queries, base, k, *, metric="euclidean", exclude_self=false, n_threads=None))]
fn nearest_neighbours<'py>(
    py: Python<'py>,
    queries: &Bound<'py, PyAny>,
    base: &Bound<'py, PyAny>,
    k: &Bound<'py, PyAny>,
    metric: &str,
    exclude_self: bool,
    n_threads: Option<i64>,
) -> PyResult<Found<'py>> {
    let is_one = queries.is(base);
    let base = row_contiguous("base", base)?;
    // Where both are one array that had to be copied, one copy is enough.
    let other = (!is_one).then(|| row_contiguous("queries", queries)).transpose()?;
    let queries = embeddings_of("queries", other.as_ref().unwrap_or(&base))?;
    let base = embeddings_of("base", &base)?;
    let (k, metric) = (count("k", k)?, Metric::from_name(metric).map_err(CoreFailure::from)?);
    let n_threads = n_threads.map(thread_count).transpose()?;
    let found = interruptible(py, |keep_on| {
        neighbours::nearest_neighbours(queries, base, k, metric, exclude_self, n_threads, keep_on)
    })?;
    let shape = (queries.n_rows(), found.n_neighbours);
    Ok((matrix(shape, found.rows)?.into_pyarray(py), matrix(shape, found.distances)?.into_pyarray(py)))
}

/// Count the balls in which each query lies.
///
/// Row j of ``base`` is the center of a ball of radius ``radii[j]``; a query lies in it if it is nearer
/// than that. With the distances to k-th neighbours as radii this is what precision, recall and density
/// of two sets are made of [1]_ [2]_.
///
/// Parameters
/// ----------
/// queries : ndarray of float32, shape (n_queries, d)
///     One row a query, finite, ``d >= 1``. Borrowed without a copy if the values of each row are
///     adjacent; other layouts, and half precision, are copied once.
/// base : ndarray of float32, shape (n, d)
///     Centers of the balls, likewise. It may be ``queries`` itself.
/// radii : ndarray of float32, shape (n,)
///     Radius of each ball. One of 0 or less holds nothing.
/// metric : {"euclidean", "cosine"}
///     As in ``nearest_neighbours``.
/// n_threads : int, optional
///     Number of threads; by default ``RAYON_NUM_THREADS``, else one a core.
///
/// Returns
/// -------
/// ndarray of int64, shape (n_queries,)
///     Number of balls that hold each query. The distances that are compared are those of
///     ``nearest_neighbours`` to the bit, so a row at the radius itself never counts.
///
/// Raises
/// ------
/// ArrayError
///     ``queries`` or ``base`` is not a two-dimensional float32 array, has no columns or other columns
///     than the other, holds NaN or infinity, holds a zero vector ("cosine") or has distances over the
///     range of float32; ``radii`` is not a float32 array of one number a row of ``base`` or holds NaN.
/// ConfigError
///     ``metric`` is unknown or ``n_threads`` is not positive.
///
/// References
/// ----------
/// .. [1] T. Kynkäänniemi, T. Karras, S. Laine, J. Lehtinen and T. Aila, "Improved precision and recall
///    metric for assessing generative models", NeurIPS 2019, arXiv:1904.06991.
/// .. [2] M. F. Naeem, S. J. Oh, Y. Uh, Y. Choi and J. Yoo, "Reliable fidelity and diversity metrics for
///    generative models", ICML 2020, arXiv:2002.09797.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from tasksel_core import ball_counts, nearest_neighbours
/// >>> real = np.array([[0, 0], [1, 0], [0, 1], [8, 8]], dtype=np.float32)
/// >>> made = np.array([[0.5, 0.5], [4, 4], [20, 20]], dtype=np.float32)
/// >>> radii = nearest_neighbours(real, real, 1, exclude_self=True)[1][:, -1]
/// >>> held = ball_counts(made, real, radii)
/// >>> held.tolist(), round(float((held > 0).mean()), 2)
/// ([4, 1, 0], 0.67)
#[pyfunction]
#[pyo3(signature = (queries, base, radii, *, metric="euclidean", n_threads=None))]
fn ball_counts<'py>(
    py: Python<'py>,
    queries: &Bound<'py, PyAny>,
    base: &Bound<'py, PyAny>,
    radii: &Bound<'py, PyAny>,
    metric: &str,
    n_threads: Option<i64>,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let is_one = queries.is(base);
    let base = row_contiguous("base", base)?;
    let other = (!is_one).then(|| row_contiguous("queries", queries)).transpose()?;
    let queries = embeddings_of("queries", other.as_ref().unwrap_or(&base))?;
    let base = embeddings_of("base", &base)?;
    let radii = borrow::<f32, Ix1>("radii", radii, RADII)?;
    let (radii, metric) = (elements("radii", &radii)?, Metric::from_name(metric).map_err(CoreFailure::from)?);
    let n_threads = n_threads.map(thread_count).transpose()?;
    let counts =
        interruptible(py, |keep_on| balls::ball_counts(queries, base, &radii, metric, n_threads, keep_on))?;
    Ok(counts.into_pyarray(py))
}

/// Adds this topic's functions to the extension module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(nearest_neighbours, module)?)?;
    module.add_function(wrap_pyfunction!(ball_counts, module)?)
}
