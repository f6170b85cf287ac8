//! Two matrices between whose rows distances are taken.

use super::{Copied, Embeddings, Survey};
use crate::k_center::Metric;
use crate::quantization::grid::Grid;
use crate::simd::products::ProductKernel;
use crate::workers::{KeepOn, Workers};
use crate::{Error, Result};

/// Two matrices on the way to distances between them. Those that are one are treated once.
pub struct Pair {
    first: Option<Copied>,
    second: Option<Copied>,
    is_one: bool,
    /// Of both, before they are scaled.
    pub survey: Survey,
    /// The copies are this times the caller's.
    pub scale: f64,
}

impl Pair {
    /// Checks both, normalises them if the metric wants it, and brings extreme magnitudes into the
    /// range of float32. Errors name the first, the second, or both by `names`.
    ///
    /// # Errors
    /// [`Error::Array`] for values that are not finite, zero vectors (cosine), distances over the range
    /// of float32, or no memory for a copy; [`Error::Interrupted`].
    pub fn prepare(
        names: [&'static str; 3],
        first: Embeddings<'_>,
        second: Embeddings<'_>,
        metric: Metric,
        workers: &Workers,
        keep_on: &mut KeepOn<'_>,
    ) -> Result<Self> {
        let is_one = first.is_same_as(&second);
        let of = |argument: &'static str| move |error: Error| error.of_argument(argument);
        let (copy, survey) = surveyed(second, metric, workers, keep_on).map_err(of(names[1]))?;
        let mut pair = Self { first: None, second: copy, is_one, survey, scale: 1.0 };
        if !is_one {
            let (copy, survey) = surveyed(first, metric, workers, keep_on).map_err(of(names[0]))?;
            pair.first = copy;
            pair.survey = pair.survey.merge(&survey);
        }
        let Some(scale) = pair.survey.scale().map_err(of(names[2]))? else {
            return Ok(pair);
        };
        let (first, second) = pair.views(first, second);
        let scaled = |embeddings, keep_on: &mut KeepOn<'_>, name| {
            super::scaled(embeddings, scale, workers, keep_on).map(Some).map_err(of(name))
        };
        let second = scaled(second, keep_on, names[1])?;
        let first = if is_one { None } else { scaled(first, keep_on, names[0])? };
        Ok(Self { first, second, scale, ..pair })
    }

    /// What distances are taken of: the copies where there are any.
    #[must_use]
    pub fn views<'b, 'q: 'b, 'r: 'b>(
        &'b self,
        first: Embeddings<'q>,
        second: Embeddings<'r>,
    ) -> (Embeddings<'b>, Embeddings<'b>) {
        let second = second.or_copy(self.second.as_ref());
        (if self.is_one { second } else { first.or_copy(self.first.as_ref()) }, second)
    }

    /// A grid for the codes of both; `None` if codes cannot tell the rows apart.
    #[must_use]
    pub fn grid(&self, kernel: ProductKernel) -> Option<Grid> {
        let (center, reach) = self.survey.center_and_reach(self.scale);
        Grid::new(center, reach, kernel)
    }
}

/// A normalised copy if the metric wants one, and the survey of what distances are taken of.
fn surveyed(
    embeddings: Embeddings<'_>,
    metric: Metric,
    workers: &Workers,
    keep_on: &mut KeepOn<'_>,
) -> Result<(Option<Copied>, Survey)> {
    let cosine = (metric == Metric::Cosine).then_some(embeddings);
    let copy = cosine.map(|embeddings| super::normalized(embeddings, workers, keep_on)).transpose()?;
    let survey = super::survey(embeddings.or_copy(copy.as_ref()), workers, keep_on)?;
    Ok((copy, survey))
}
