//! How far kernels go: the instruction sets of the machine, up to a bound.
//!
//! Every path gives the same results, so the bound changes speed alone. `TASKSEL_MAX_ISA` sets it for a
//! process: for a machine whose wider registers are broken, throttled or emulated, and for tests of the
//! paths that this machine would not take by itself.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

#[cfg(target_arch = "x86_64")]
use crate::simd::products::ProductKernel;
use crate::{Error, Result};

/// The environment variable with the name of the highest [`Level`] to use; read once a process.
pub const VARIABLE: &str = "TASKSEL_MAX_ISA";

const ALLOWED: &str = "'portable', 'avx2', 'avx512' or 'amx', or nothing for all that the machine has";

/// What a kernel may be compiled for, each level with those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What every machine of the target has; no products of codes.
    Portable,
    /// AVX2.
    Avx2,
    /// AVX-512, and VNNI where products of codes are taken.
    Avx512,
    /// The matrix unit.
    Amx,
}

impl Level {
    /// Every level, the lowest first.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Avx2, Self::Avx512, Self::Amx];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Amx => "amx",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    fn is_here(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return match self {
            Self::Portable => true,
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            Self::Avx512 => is_x86_feature_detected!("avx512f"),
            Self::Amx => ProductKernel::available().iter().any(|kernel| kernel.name() == self.name()),
        };
        #[cfg(not(target_arch = "x86_64"))]
        return self == Self::Portable;
    }
}

/// The levels of this machine that are used, the lowest first.
#[must_use]
pub fn available() -> Vec<Level> {
    Level::ALL.into_iter().filter(|&level| allows(level) && level.is_here()).collect()
}

/// Calls `run` with nothing above `level` in the whole process, for tests and benches. Two callers wait
/// for each other.
pub fn with_bound<R>(level: Level, run: impl FnOnce() -> R) -> R {
    /// Lifts the bound, also when `run` panics.
    struct Lifted;
    impl Drop for Lifted {
        fn drop(&mut self) {
            BOUND.store(UNBOUND, Ordering::Relaxed);
        }
    }
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let _lifted = Lifted;
    BOUND.store(level as usize, Ordering::Relaxed);
    run()
}

const UNBOUND: usize = Level::Amx as usize;
/// What [`with_bound`] allows. Every kernel asks before it starts, and any answer is right at any time.
static BOUND: AtomicUsize = AtomicUsize::new(UNBOUND);

/// Whether kernels of this level may be used, if the machine has it.
pub(crate) fn allows(level: Level) -> bool {
    let allowed = environment().as_ref().map_or(Level::Portable, |&level| level);
    level <= allowed && level as usize <= BOUND.load(Ordering::Relaxed)
}

/// Whether the environment names a level; where it does not, the portable path is taken until somebody
/// is told.
///
/// # Errors
/// [`Error::Choice`] if not.
pub(crate) fn check_environment() -> Result<()> {
    environment().as_ref().map(drop).map_err(|was| Error::choice(VARIABLE, was.clone(), ALLOWED))
}

fn environment() -> &'static std::result::Result<Level, String> {
    static ENVIRONMENT: OnceLock<std::result::Result<Level, String>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let set = std::env::var_os(VARIABLE).unwrap_or_default();
        let name = set.to_string_lossy();
        if name.is_empty() { Ok(Level::Amx) } else { Level::from_name(&name).ok_or(format!("'{name}'")) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::distance::InstructionSet;

    #[test]
    fn nothing_above_the_bound_is_used() {
        for level in Level::ALL {
            with_bound(level, || {
                assert!(available().iter().all(|&used| used <= level));
                let names = ["avx2", "avx512-vnni", "amx"];
                let allowed = &names[..level as usize];
                assert!(ProductKernel::available().iter().all(|kernel| allowed.contains(&kernel.name())));
                assert!(InstructionSet::available().len() <= level as usize + 1);
            });
        }
    }

    #[test]
    #[ignore = "fails where TASKSEL_MAX_ISA is not set to a level of the machine, as scripts/sanitize_kernels.py does"]
    fn the_highest_level_is_the_one_asked_for() {
        let asked_for = std::env::var(VARIABLE).unwrap();
        assert_eq!(available().pop().map(Level::name), Some(&*asked_for));
    }

    #[test]
    fn a_panic_under_a_bound_lifts_it() {
        let panicked = std::panic::catch_unwind(|| with_bound(Level::Portable, || panic!("on purpose")));
        assert!(panicked.is_err());
        assert_eq!(with_bound(Level::Amx, available), with_bound(Level::Amx, available));
        assert!(allows(Level::Portable));
    }

    #[test]
    fn every_level_has_a_name_of_its_own() {
        for level in Level::ALL {
            assert_eq!(Level::from_name(level.name()), Some(level));
        }
        assert_eq!(Level::from_name("AVX2"), None);
    }
}
