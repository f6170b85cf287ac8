//! The covering curve of centers that are given, however they were chosen.

use super::lazy::LazyTraversal;
use super::{Metric, Traversal};
use crate::embeddings::Embeddings;
use crate::embeddings::pair::Pair;
use crate::quantization::Quantized;
use crate::simd::products::ProductKernel;
use crate::workers::{KeepOn, Workers};
use crate::{Error, Result, error, limits};

/// The largest distance of any point to its nearest center after the first center, the first two, and
/// so on; 0 without points.
///
/// `keep_on` is asked on the calling thread now and then; once it breaks, nothing is returned.
///
/// # Errors
/// [`Error::Array`] if shapes do not fit each other, values are not finite, a row is zero (cosine) or
/// distances leave the range of float32; [`Error::Choice`] for 0 threads.
pub fn covering_radii(
    points: Embeddings<'_>,
    centers: Embeddings<'_>,
    metric: Metric,
    n_threads: Option<usize>,
    keep_on: &mut KeepOn<'_>,
) -> Result<Vec<f32>> {
    error::or_nothing(cover(points, centers, metric, n_threads, keep_on))
}

fn cover(
    points: Embeddings<'_>,
    centers: Embeddings<'_>,
    metric: Metric,
    n_threads: Option<usize>,
    keep_on: &mut KeepOn<'_>,
) -> Result<Vec<f32>> {
    points.check_columns("points")?;
    if centers.n_columns() != points.n_columns() {
        let was = format!("{} columns, and points has {}", centers.n_columns(), points.n_columns());
        return Err(Error::array("centers", was, "as many columns as points"));
    }
    limits::check_rows("centers", centers.n_rows())?;
    let workers = Workers::new(n_threads, points.n_blocks())?;
    let names = ["centers", "points", "points and centers"];
    let pair = Pair::prepare(names, centers, points, metric, &workers, keep_on)?;
    let (centers, points) = pair.views(centers, points);
    let mut radii = vec![0.0; centers.n_rows()];
    if points.n_rows() == 0 || radii.is_empty() {
        return Ok(radii);
    }
    let kernel = ProductKernel::best();
    let quantized = Quantized::new(points, &pair.survey, pair.scale, kernel, &workers, keep_on)?;
    let mut traversal = LazyTraversal::with_centers_of(centers, points, quantized, &workers);
    for (center, radius) in radii.iter_mut().enumerate() {
        traversal.add_center(center);
        let farthest = traversal.farthest(keep_on).continue_value().ok_or(Error::Interrupted)?;
        if farthest.squared_distance <= 0.0 {
            break;
        }
        *radius = (f64::from(farthest.squared_distance).sqrt() / pair.scale) as f32;
        keep_on().continue_value().ok_or(Error::Interrupted)?;
    }
    Ok(radii)
}
