//! Blocks of rows on several threads, with results in block order.

use std::cell::Cell;
use std::ops::ControlFlow;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{Error, Result, instruction_sets};

/// Values that are worked on between two questions whether to go on: some hundredths of a second in
/// memory, and under one where they come from a disk.
const VALUES_PER_SLICE: usize = 1 << 24;

/// Asked on the calling thread now and then; a break ends the work.
pub type KeepOn<'a> = dyn FnMut() -> ControlFlow<()> + 'a;

/// The threads of one call.
///
/// A pool of its own, and not rayon's global one: that one does not survive a `fork`, which Python's
/// `multiprocessing` and data loaders do. One thread means the calling thread and no pool at all.
pub struct Workers {
    pool: Option<ThreadPool>,
}

impl Workers {
    /// `n_threads` threads (`None`: `RAYON_NUM_THREADS`, else one a core), but never more than there
    /// are blocks of work.
    ///
    /// # Errors
    /// [`Error::Choice`] if `n_threads` is 0 or the system refuses to start that many, and for a
    /// `TASKSEL_MAX_ISA` that names no instruction set: nearly every kernel begins here.
    pub fn new(n_threads: Option<usize>, n_blocks: usize) -> Result<Self> {
        const ALLOWED: &str = "a positive number of threads, or None for one a core";
        instruction_sets::check_environment()?;
        if n_threads == Some(0) {
            return Err(Error::choice("n_threads", "0", ALLOWED));
        }
        let wanted = n_threads.unwrap_or_else(default_threads).min(n_blocks);
        if wanted <= 1 {
            return Ok(Self { pool: None });
        }
        let pool = ThreadPoolBuilder::new().num_threads(wanted).build().map_err(|error| {
            Error::choice("n_threads", format!("{wanted} threads cannot be started ({error})"), ALLOWED)
        })?;
        Ok(Self { pool: Some(pool) })
    }

    /// Number of threads.
    pub fn n_threads(&self) -> usize {
        self.pool.as_ref().map_or(1, ThreadPool::current_num_threads)
    }

    /// `work(block)` for every block, in block order whatever thread did it.
    pub fn map<T: Send>(&self, n_blocks: usize, work: impl Fn(usize) -> T + Send + Sync) -> Vec<T> {
        match &self.pool {
            None => (0..n_blocks).map(work).collect(),
            Some(pool) => pool.install(|| (0..n_blocks).into_par_iter().map(work).collect()),
        }
    }

    /// As [`Self::map`], with questions whether to go on.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if not.
    pub fn map_watched<T: Send>(
        &self,
        n_blocks: usize,
        values_per_block: usize,
        keep_on: &mut KeepOn<'_>,
        work: impl Fn(usize) -> T + Send + Sync,
    ) -> Result<Vec<T>> {
        let mut results = Vec::with_capacity(n_blocks);
        let n_slice = self.blocks_per_slice(values_per_block);
        for first in (0..n_blocks).step_by(n_slice) {
            if keep_on().is_break() {
                return Err(Error::Interrupted);
            }
            results.extend(self.map(n_slice.min(n_blocks - first), |block| work(first + block)));
        }
        Ok(results)
    }

    /// As [`Self::map_chunks_mut`], with questions whether to go on.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if not.
    pub fn map_chunks_mut_watched<V: Send, T: Send>(
        &self,
        values: &mut [V],
        block_len: usize,
        values_per_block: usize,
        keep_on: &mut KeepOn<'_>,
        work: impl Fn(usize, &mut [V]) -> T + Send + Sync,
    ) -> Result<Vec<T>> {
        let mut results = Vec::with_capacity(values.len().div_ceil(block_len.max(1)));
        let n_slice = self.blocks_per_slice(values_per_block);
        for (number, slice) in values.chunks_mut(n_slice * block_len).enumerate() {
            if keep_on().is_break() {
                return Err(Error::Interrupted);
            }
            results.extend(
                self.map_chunks_mut(slice, block_len, |block, chunk| work(number * n_slice + block, chunk)),
            );
        }
        Ok(results)
    }

    fn blocks_per_slice(&self, values_per_block: usize) -> usize {
        (VALUES_PER_SLICE / values_per_block.max(1)).max(1) * self.n_threads()
    }

    /// `work(block, chunk)` for every chunk of `block_len` values, in block order.
    pub fn map_chunks_mut<V: Send, T: Send>(
        &self,
        values: &mut [V],
        block_len: usize,
        work: impl Fn(usize, &mut [V]) -> T + Send + Sync,
    ) -> Vec<T> {
        let work = |(block, chunk): (usize, &mut [V])| work(block, chunk);
        match &self.pool {
            None => values.chunks_mut(block_len).enumerate().map(work).collect(),
            Some(pool) => pool.install(|| values.par_chunks_mut(block_len).enumerate().map(work).collect()),
        }
    }
}

/// Zeros, whose memory is touched slice by slice with questions whether to go on; `None` if there is no
/// memory.
///
/// # Errors
/// [`Error::Interrupted`].
pub fn zeros_watched<T: Clone + Default>(len: usize, keep_on: &mut KeepOn<'_>) -> Result<Option<Vec<T>>> {
    let mut values = Vec::new();
    if values.try_reserve_exact(len).is_err() {
        return Ok(None);
    }
    while values.len() < len {
        if keep_on().is_break() {
            return Err(Error::Interrupted);
        }
        values.resize(len.min(values.len() + VALUES_PER_SLICE), T::default());
    }
    Ok(Some(values))
}

thread_local! {
    static DEFAULT_THREADS: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Calls `run` with `n_threads` in every kernel that it calls from this thread without a number of
/// threads: some have no argument for it, and tests must compare them all.
pub fn with_default_threads<R>(n_threads: usize, run: impl FnOnce() -> R) -> R {
    let before = DEFAULT_THREADS.replace(Some(n_threads));
    let result = run();
    DEFAULT_THREADS.set(before);
    result
}

/// As many as rayon's own pool would have, so that one variable rules all kernels.
fn default_threads() -> usize {
    if let Some(n_threads) = DEFAULT_THREADS.get() {
        return n_threads.max(1);
    }
    let set = std::env::var("RAYON_NUM_THREADS").ok().and_then(|number| number.parse().ok());
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    set.filter(|&number| number > 0).unwrap_or_else(cores)
}
