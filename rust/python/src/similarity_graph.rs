//! Binding of `tasksel_core::similarity_graph`: embeddings or a neighbour graph from Python.

use std::ops::ControlFlow;

use numpy::ndarray::Ix2;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use tasksel_core::Error;
use tasksel_core::facility_location::Picks;
use tasksel_core::k_center::Metric;
use tasksel_core::similarity_graph::{NeighbourLists, Points};

use crate::array::{
    borrow, borrow_or_convert, count, embeddings_of, is_half_precision, row_contiguous, thread_count,
};
use crate::error::CoreFailure;
use crate::k_center::row_numbers;
use crate::signals::interruptible;

const POINTS: &str = "a float32 array of shape (n, d), or a tuple of neighbours (int64) and similarities \
                      (float32), both of shape (n, k); convert another dtype with .astype(np.float32)";
const NEIGHBOUR_COUNT: &str = "a positive number of neighbours of embeddings, or None for the default";

/// Row numbers and gains, one a pick.
pub type RowsAndGains<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<f64>>);

/// The arguments that every selection on similarities has.
pub struct Arguments<'a, 'py> {
    pub points: &'a Bound<'py, PyAny>,
    pub budget: &'a Bound<'py, PyAny>,
    pub n_neighbours: Option<i64>,
    pub metric: &'a str,
    pub initial_rows: Option<&'a Bound<'py, PyAny>>,
    pub n_threads: Option<i64>,
}

impl<'py> Arguments<'_, 'py> {
    /// Checks, borrows, detaches, calls `select(points, budget, initial_rows, n_threads, proceed)` and
    /// wraps what it picks.
    pub fn select(
        &self,
        select: impl FnOnce(
            Points<'_>,
            i64,
            &[i64],
            Option<usize>,
            &mut dyn FnMut() -> ControlFlow<()>,
        ) -> tasksel_core::Result<Picks>
        + Send,
    ) -> PyResult<RowsAndGains<'py>> {
        let py = self.points.py();
        let budget = count("budget", self.budget)?;
        let initial_rows = self.initial_rows.map_or_else(|| Ok(Vec::new()), row_numbers)?;
        let metric = Metric::from_name(self.metric).map_err(CoreFailure::from)?;
        let n_threads = self.n_threads.map(thread_count).transpose()?;
        let borrowed = Borrowed::new(self.points, self.n_neighbours)?;
        let points = borrowed.points(metric)?;
        let picks = interruptible(py, |keep_on| select(points, budget, &initial_rows, n_threads, keep_on))?;
        Ok((picks.rows.into_pyarray(py), picks.gains.into_pyarray(py)))
    }
}

/// The arrays of `points`.
enum Borrowed<'py> {
    Embeddings(PyReadonlyArray2<'py, f32>, Option<usize>),
    Lists(PyReadonlyArray2<'py, i64>, PyReadonlyArray2<'py, f32>),
}

impl<'py> Borrowed<'py> {
    fn new(points: &Bound<'py, PyAny>, n_neighbours: Option<i64>) -> PyResult<Self> {
        let refuse = |was: String| failure(Error::choice("n_neighbours", was, NEIGHBOUR_COUNT));
        let Ok(lists) = points.cast::<PyTuple>() else {
            let positive =
                |n: i64| usize::try_from(n).ok().filter(|&n| n > 0).ok_or_else(|| refuse(n.to_string()));
            return Ok(Self::Embeddings(embeddings(points)?, n_neighbours.map(positive).transpose()?));
        };
        if let Some(n_neighbours) = n_neighbours {
            return Err(refuse(format!("{n_neighbours} for points that are a neighbour graph")));
        }
        if lists.len() != 2 {
            return Err(failure(Error::array("points", format!("a tuple of {}", lists.len()), POINTS)));
        }
        let neighbours = borrow_or_convert::<i64, Ix2>("points", &lists.get_item(0)?, POINTS)?;
        Ok(Self::Lists(neighbours, borrow("points", &lists.get_item(1)?, POINTS)?))
    }

    fn points(&self, metric: Metric) -> PyResult<Points<'_>> {
        match self {
            Self::Embeddings(array, n_neighbours) => {
                let embeddings = embeddings_of("points", array)?;
                Ok(Points::Embeddings { embeddings, metric, n_neighbours: *n_neighbours })
            }
            Self::Lists(neighbours, similarities) => {
                let lists = NeighbourLists::new(&neighbours.as_array(), &similarities.as_array());
                Ok(Points::Lists(lists.map_err(CoreFailure::from)?))
            }
        }
    }
}

/// Borrows embeddings; what is neither an array nor a tuple is told that both are allowed.
fn embeddings<'py>(points: &Bound<'py, PyAny>) -> PyResult<PyReadonlyArray2<'py, f32>> {
    if !is_half_precision(points)? {
        borrow::<f32, Ix2>("points", points, POINTS)?;
    }
    row_contiguous("points", points)
}

fn failure(error: Error) -> PyErr {
    CoreFailure::from(error).into()
}
