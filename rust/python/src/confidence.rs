//! Binding of `tasksel_core::confidence`.

use pyo3::prelude::*;

/// Adds this topic's functions to the extension module.
pub fn register(_module: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
