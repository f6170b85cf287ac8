//! Ctrl-C while a kernel runs without the GIL.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::error::CoreFailure;

/// Often enough that Ctrl-C feels immediate, seldom enough that taking the GIL costs nothing.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(100);

/// Runs a kernel without the GIL, and Python's signal handlers meanwhile.
pub fn interruptible<T: Send>(
    py: Python<'_>,
    kernel: impl FnOnce(&mut dyn FnMut() -> ControlFlow<()>) -> tasksel_core::Result<T> + Send,
) -> PyResult<T> {
    let mut signals = SignalCheck::new();
    let found = py.detach(|| kernel(&mut || signals.proceed())).map_err(CoreFailure::from)?;
    signals.raised?;
    Ok(found)
}

/// Runs Python's signal handlers now and then while the GIL is released.
pub struct SignalCheck {
    last: Instant,
    /// What a handler raised.
    pub raised: PyResult<()>,
}

impl SignalCheck {
    pub fn new() -> Self {
        Self { last: Instant::now(), raised: Ok(()) }
    }

    /// Breaks once a handler has raised, as the one for Ctrl-C does, and from then on.
    pub fn proceed(&mut self) -> ControlFlow<()> {
        self.proceed_and(|_| Ok(()))
    }

    /// As [`Self::proceed`]; each time that handlers have run, `report` is called too, and what it
    /// raises counts as well.
    pub fn proceed_and(&mut self, report: impl FnOnce(Python<'_>) -> PyResult<()>) -> ControlFlow<()> {
        if self.raised.is_err() {
            return ControlFlow::Break(());
        }
        if self.last.elapsed() < SIGNAL_INTERVAL {
            return ControlFlow::Continue(());
        }
        self.last = Instant::now();
        self.raised = Python::attach(|py| py.check_signals().and_then(|()| report(py)));
        if self.raised.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}
