//! Pure algorithms of tasksel: arrays and scalars in, arrays out. Nothing here knows of Python,
//! strings, frames, files or settings.

pub mod allocation;
pub mod confidence;
mod divisor;
pub mod embeddings;
pub mod error;
pub mod facility_location;
pub mod graph_cut;
pub mod instruction_sets;
pub mod k_center;
pub mod k_means;
pub mod limits;
pub mod neighbours;
mod quantization;
pub mod random;
pub mod round_robin;
mod simd;
pub mod similarity_graph;
pub mod workers;

pub use error::{Error, Result};
