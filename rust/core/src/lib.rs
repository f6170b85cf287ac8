//! Pure algorithms of tasksel: arrays and scalars in, arrays out. Nothing here knows of Python,
//! strings, frames, files or settings.

pub mod allocation;
pub mod confidence;
pub mod error;
pub mod k_center;
pub mod random;
pub mod round_robin;
mod simd;

pub use error::{Error, Result};
