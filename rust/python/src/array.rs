//! How arguments cross the border: arrays are borrowed, integers read, and what does not fit is
//! refused with one sentence that names the argument.

use std::borrow::Cow;

use numpy::ndarray::{Array2, Dimension, Ix2};
use numpy::{
    Element, PyArray, PyArrayDescrMethods, PyArrayMethods, PyReadonlyArray, PyReadonlyArray1,
    PyReadonlyArray2, PyUntypedArray, PyUntypedArrayMethods, dtype,
};
use pyo3::exceptions::{PyOverflowError, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use tasksel_core::embeddings::Embeddings;
use tasksel_core::{Error, limits};

use crate::error::CoreFailure;

const EMBEDDINGS: &str = "a float32, float16 or bfloat16 array of shape (n, d); convert another dtype with \
                          .astype(np.float32)";

/// Borrows an array of exactly this dtype and number of dimensions; strided and read-only arrays
/// work, nothing is copied.
///
/// `allowed` completes the sentence "…; allowed: …", for example "a float32 array of shape (n, d)".
pub fn borrow<'py, T: Element, D: Dimension>(
    argument: &'static str,
    value: &Bound<'py, PyAny>,
    allowed: &'static str,
) -> PyResult<PyReadonlyArray<'py, T, D>> {
    let refuse = |was: String| PyErr::from(CoreFailure::from(Error::array(argument, was, allowed)));
    let untyped = untyped(argument, value, allowed)?;
    if D::NDIM.is_some_and(|ndim| ndim != untyped.ndim()) {
        return Err(refuse(format!("an array of shape {}", shape_text(untyped))));
    }
    let typed = value
        .cast::<PyArray<T, D>>()
        .map_err(|_| refuse(format!("an array of dtype {}", untyped.dtype())))?;
    // A field of a packed record array: `as_array` would round the distance between its elements.
    let torn = untyped
        .strides()
        .iter()
        .zip(untyped.shape())
        .any(|(stride, &len)| len > 1 && stride % size_of::<T>() as isize != 0);
    if torn || !untyped.is_aligned() {
        return Err(refuse(
            "an array whose elements are not aligned in memory (pass numpy.ascontiguousarray of it)"
                .to_owned(),
        ));
    }
    typed.try_readonly().map_err(|_| refuse("an array that another call is writing to".to_owned()))
}

/// Like [`borrow`], but for arrays of one number a task or row: another dtype is converted when
/// numpy calls that safe (int32 to int64, float32 or int64 to float64).
pub fn borrow_or_convert<'py, T: Element, D: Dimension>(
    argument: &'static str,
    value: &Bound<'py, PyAny>,
    allowed: &'static str,
) -> PyResult<PyReadonlyArray<'py, T, D>> {
    let py = value.py();
    let source = untyped(argument, value, allowed)?.dtype();
    let wanted = dtype::<T>(py);
    if source.is_equiv_to(&wanted) {
        return borrow(argument, value, allowed);
    }
    let is_safe = py
        .import(intern!(py, "numpy"))?
        .call_method1(intern!(py, "can_cast"), (&source, &wanted, "safe"))?
        .extract::<bool>()?;
    if !is_safe {
        let was = format!("an array of dtype {source}");
        return Err(CoreFailure::from(Error::array(argument, was, allowed)).into());
    }
    borrow(argument, &value.call_method1(intern!(py, "astype"), (wanted,))?, allowed)
}

/// The elements in order: borrowed where they are adjacent, gathered where they are strided. A length
/// alone costs no memory (`numpy.broadcast_to`), its copy does.
pub fn elements<'a, T: Element + Copy>(
    argument: &'static str,
    array: &'a PyReadonlyArray1<'_, T>,
) -> PyResult<Cow<'a, [T]>> {
    if let Ok(adjacent) = array.as_slice() {
        return Ok(Cow::Borrowed(adjacent));
    }
    let mut gathered = limits::reserved(&[array.len()]).ok_or_else(|| {
        let was = format!("{} elements apart in memory, and there is no memory for a copy", array.len());
        CoreFailure::from(Error::array(
            argument,
            was,
            "a contiguous array, or one that fits into memory twice",
        ))
    })?;
    gathered.extend(array.as_array().iter().copied());
    Ok(Cow::Owned(gathered))
}

/// Borrows a matrix whose rows are contiguous, or a float32 copy of one whose are not or that has half
/// the precision.
pub fn row_contiguous<'py>(
    argument: &'static str,
    value: &Bound<'py, PyAny>,
) -> PyResult<PyReadonlyArray2<'py, f32>> {
    if is_half_precision(value)? {
        let copy = value.call_method1(intern!(value.py(), "astype"), (dtype::<f32>(value.py()),))?;
        return borrow(argument, &copy, EMBEDDINGS);
    }
    let array = borrow::<f32, Ix2>(argument, value, EMBEDDINGS)?;
    if Embeddings::new(&array.as_array()).is_some() {
        return Ok(array);
    }
    borrow(argument, &array.call_method0("copy")?, EMBEDDINGS)
}

/// Whether an array holds float16, or the bfloat16 that `ml_dtypes` adds to numpy.
pub fn is_half_precision(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let Ok(array) = value.cast::<PyUntypedArray>() else { return Ok(false) };
    let name = array.dtype().getattr(intern!(value.py(), "name"))?;
    Ok(matches!(name.extract::<&str>(), Ok("float16" | "bfloat16")))
}

/// The rows of such a matrix.
pub fn embeddings_of<'a>(
    argument: &'static str,
    array: &'a PyReadonlyArray2<'_, f32>,
) -> PyResult<Embeddings<'a>> {
    Embeddings::new(&array.as_array()).ok_or_else(|| {
        CoreFailure::from(Error::array(argument, "rows apart in memory after a copy", EMBEDDINGS)).into()
    })
}

/// Values that a kernel gave in order of the rows, as a matrix.
pub fn matrix<T>(shape: (usize, usize), values: Vec<T>) -> PyResult<Array2<T>> {
    Array2::from_shape_vec(shape, values).map_err(|error| PyRuntimeError::new_err(error.to_string()))
}

/// A number of threads.
pub fn thread_count(n_threads: i64) -> PyResult<usize> {
    positive("n_threads", n_threads)
}

/// A number of threads or parts.
pub fn positive(argument: &'static str, number: i64) -> PyResult<usize> {
    let positive = usize::try_from(number).ok().filter(|&number| number > 0);
    positive.ok_or_else(|| {
        let allowed = "a positive number, or None for the default";
        CoreFailure::from(Error::choice(argument, number.to_string(), allowed)).into()
    })
}

/// A count of rows. Anything past the int64 range is as good as its end.
pub fn count(argument: &'static str, value: &Bound<'_, PyAny>) -> PyResult<i64> {
    let allowed = "an integer of at least 0";
    let refuse = |was: String| PyErr::from(CoreFailure::from(Error::budget(argument, was, allowed)));
    match value.extract::<i64>() {
        Ok(count) if count >= 0 => Ok(count),
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) && value.gt(0)? => Ok(i64::MAX),
        _ => Err(refuse(value.repr()?.to_string())),
    }
}

/// A number of tasks, for each of which memory is taken.
pub fn task_count(value: &Bound<'_, PyAny>) -> PyResult<usize> {
    let n_tasks = count("n_tasks", value)?;
    if n_tasks > i64::from(u32::MAX) {
        let was = n_tasks.to_string();
        return Err(CoreFailure::from(Error::budget("n_tasks", was, "at most 4,294,967,295")).into());
    }
    Ok(n_tasks as usize)
}

/// A seed of the random order.
pub fn seed(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    value.extract::<u64>().or_else(|_| {
        let was = value.repr()?.to_string();
        Err(CoreFailure::from(Error::choice("seed", was, "an integer from 0 to 2**64 - 1")).into())
    })
}

fn untyped<'a, 'py>(
    argument: &'static str,
    value: &'a Bound<'py, PyAny>,
    allowed: &'static str,
) -> PyResult<&'a Bound<'py, PyUntypedArray>> {
    value.cast::<PyUntypedArray>().map_err(|_| {
        let was = value.get_type().name().map_or_else(|_| "an object".to_owned(), |name| format!("a {name}"));
        CoreFailure::from(Error::array(argument, format!("{was}, not a numpy array"), allowed)).into()
    })
}

fn shape_text(array: &Bound<'_, PyUntypedArray>) -> String {
    match array.shape() {
        [length] => format!("({length},)"),
        shape => format!("({})", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}
