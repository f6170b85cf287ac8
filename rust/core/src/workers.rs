//! Blocks of rows on several threads, with results in block order.

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{Error, Result};

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
    /// [`Error::Choice`] if `n_threads` is 0 or the system refuses to start that many.
    pub fn new(n_threads: Option<usize>, n_blocks: usize) -> Result<Self> {
        const ALLOWED: &str = "a positive number of threads, or None for one a core";
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

/// As many as rayon's own pool would have, so that one variable rules all kernels.
fn default_threads() -> usize {
    let set = std::env::var("RAYON_NUM_THREADS").ok().and_then(|number| number.parse().ok());
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    set.filter(|&number| number > 0).unwrap_or_else(cores)
}
