//! What the fuzz targets check. Each module turns any bytes into the input of a kernel, and compares
//! the result with a naive reference where there is one, and with what must hold everywhere. Input
//! that is not allowed must be refused with an error; nothing may panic.
//!
//! `fuzz/` runs these checks under libFuzzer; `tests/seeds.rs` runs them on every committed seed and
//! found case, with nothing but a stable compiler.

pub mod allocation;
pub mod confidence;
pub mod facility_location;
mod farthest_first;
pub mod input;
pub mod k_center;
pub mod k_means;
pub mod neighbours;
mod points;
pub mod round_robin;
mod seats;

/// A check of some bytes; it panics if a promise does not hold.
pub type Check = fn(&[u8]);

/// Every target by name, which is that of its file in `fuzz/targets` and its folder in `fuzz/seeds`.
pub const TARGETS: [(&str, Check); 7] = [
    ("allocation", allocation::check),
    ("confidence", confidence::check),
    ("facility_location", facility_location::check),
    ("k_center", k_center::check),
    ("k_means", k_means::check),
    ("neighbours", neighbours::check),
    ("round_robin", round_robin::check),
];
