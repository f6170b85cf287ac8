//! Binding of `tasksel_core::k_means`.

use numpy::{IntoPyArray, PyArray1, PyArray2};
use pyo3::prelude::*;
use tasksel_core::k_means::{self as kernels, Settings};

use crate::array::{count, embeddings_of, matrix, row_contiguous, seed as read_seed, thread_count};
use crate::signals::interruptible;

/// Centers, labels, inertia and number of iterations.
type Clusters<'py> = (Bound<'py, PyArray2<f32>>, Bound<'py, PyArray1<i64>>, f64, i64);

/// Cluster points around centers, each the mean of the points that it is nearest to.
///
/// Assignments are exact, and the result depends neither on the number of threads nor on the
/// processor; of everything that is random, the seed decides.
///
/// Parameters
/// ----------
/// points : ndarray of float32, shape (n, d)
///     One row a point, finite, ``n >= 1`` and ``d >= 1``. Borrowed without a copy if the values of
///     each row are adjacent; other layouts, and half precision, are copied once.
/// n_clusters : int
///     Number of centers, from 1 to ``n``.
/// initial_centers : ndarray of float32, shape (n_clusters, d), optional
///     Where the centers start; one run is made. Without them greedy k-means++ draws rows of
///     ``points`` [1]_.
/// seed : int
///     Seed of all random choices (SplitMix64).
/// n_init : int
///     Number of runs from different starts; the first of least inertia is returned.
/// max_iterations : int
///     Most iterations, 0 or more; with 0 the points are assigned to the initial centers.
/// tolerance : float
///     Iterations end when the squared movements of all centers in one iteration add up to no more
///     than this times the mean variance of a column, as in scikit-learn, or no point moves.
/// batch_size : int, optional
///     With it, each iteration takes so many rows, drawn with replacement, and moves each center to the
///     mean of all rows that it ever got [2]_; k-means++ draws from a sample of three rows for each row
///     of a batch or cluster, and all points are assigned at the end. Without it, Lloyd's iteration.
/// n_threads : int, optional
///     Number of threads; by default ``RAYON_NUM_THREADS``, else one a core.
///
/// Returns
/// -------
/// centers : ndarray of float32, shape (n_clusters, d)
///     The centers.
/// labels : ndarray of int64, shape (n,)
///     The nearest center of each point, the lowest of those at the same squared distance in float32.
/// inertia : float
///     Sum of the squared distances of all points to their centers.
/// n_iterations : int
///     Iterations done.
///
/// Raises
/// ------
/// ArrayError
///     ``points`` or ``initial_centers`` is not a two-dimensional float32 array, has no columns, holds
///     NaN or infinity or has distances over the range of float32; ``initial_centers`` has another
///     shape.
/// BudgetError
///     ``n_clusters`` is 0 or over ``n``; a count is negative, 0 where it must not be, or no integer.
/// ConfigError
///     ``tolerance`` is negative or not finite; a seed that is negative or no integer; ``n_threads`` is
///     not positive.
///
/// Notes
/// -----
/// A cluster that loses all its points takes the point that is farthest from its center (the lowest
/// row of those; never the only point of a cluster). If every point lies on a center, as happens with
/// more clusters than distinct points, some clusters stay empty: no label names them, and their
/// centers repeat others.
///
/// Most distances are never taken: a point whose center cannot have changed by how far centers moved
/// is left alone [3]_, and of the others, exact integer products of 8-bit codes leave few centers to
/// compare. Sums are in float64. Memory besides the result is half of ``points`` for codes of two
/// levels and about 60 bytes a point.
///
/// References
/// ----------
/// .. [1] D. Arthur and S. Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
/// .. [2] D. Sculley, "Web-scale k-means clustering", WWW 2010, algorithm 1.
/// .. [3] G. Hamerly, "Making k-means even faster", SDM 2010.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from tasksel_core import k_means
/// >>> points = np.array([[0, 0], [0, 2], [9, 0], [9, 2], [9, 4]], dtype=np.float32)
/// >>> centers, labels, inertia, n_iterations = k_means(points, 2, initial_centers=points[[0, 4]])
/// >>> centers.tolist()
/// [[0.0, 1.0], [9.0, 2.0]]
/// >>> labels.tolist(), inertia
/// ([0, 0, 1, 1, 1], 10.0)
#[pyfunction]
#[pyo3(
    signature = (points, n_clusters, *, initial_centers=None, seed=None, n_init=None, max_iterations=None, tolerance=1e-4, batch_size=None, n_threads=None),
    text_signature = "(points, n_clusters, *, initial_centers=None, seed=0, n_init=1, max_iterations=100, tolerance=1e-4, batch_size=None, n_threads=None)"
)]
#[allow(clippy::too_many_arguments, reason = "the keyword arguments of the Python function")]
fn k_means<'py>(
    py: Python<'py>,
    points: &Bound<'py, PyAny>,
    n_clusters: &Bound<'py, PyAny>,
    initial_centers: Option<&Bound<'py, PyAny>>,
    seed: Option<&Bound<'py, PyAny>>,
    n_init: Option<&Bound<'py, PyAny>>,
    max_iterations: Option<&Bound<'py, PyAny>>,
    tolerance: f64,
    batch_size: Option<&Bound<'py, PyAny>>,
    n_threads: Option<i64>,
) -> PyResult<Clusters<'py>> {
    let settings = Settings {
        n_clusters: count("n_clusters", n_clusters)?,
        seed: seed.map_or(Ok(0), read_seed)?,
        n_init: n_init.map_or(Ok(1), |value| count("n_init", value))?,
        max_iterations: max_iterations.map_or(Ok(100), |value| count("max_iterations", value))?,
        tolerance,
        batch_size: batch_size.map(|value| count("batch_size", value)).transpose()?,
        n_threads: n_threads.map(thread_count).transpose()?,
    };
    let points = row_contiguous("points", points)?;
    let initial_centers =
        initial_centers.map(|centers| row_contiguous("initial_centers", centers)).transpose()?;
    let points = embeddings_of("points", &points)?;
    let centers =
        initial_centers.as_ref().map(|centers| embeddings_of("initial_centers", centers)).transpose()?;
    let found = interruptible(py, |keep_on| kernels::k_means(points, centers, settings, keep_on))?;
    let centers = matrix((found.centers.len() / points.n_columns(), points.n_columns()), found.centers)?;
    let labels = found.labels.into_pyarray(py);
    Ok((centers.into_pyarray(py), labels, found.inertia, found.n_iterations))
}

/// Adds this topic's functions to the extension module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(k_means, module)?)
}
