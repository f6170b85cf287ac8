//! k-center of embeddings that are worked on part by part: picks of each part, then picks among those.
//!
//! Malkomes, Kusner, Chen, Weinberger and Moseley, "Fast distributed k-center clustering with outliers
//! on massive data", NIPS 2015: the covering radius is at most four times the best possible. How large
//! it is in fact is measured over all rows.

use std::cell::Cell;
use std::ops::{ControlFlow, Range};

use super::{
    Centers, Proceed, Progress, Request, checked_rows, covering_radii, k_center_greedy, wanted_picks,
};
use crate::embeddings::Embeddings;
use crate::{Error, Result, error};

/// As [`k_center_greedy`] of each of `n_partitions` runs of rows, and then of the rows that were picked
/// there. Only one part, and the rows picked, are worked on at a time. The radii are those over all rows.
///
/// On a break of `proceed` nothing is returned.
///
/// # Errors
/// Those of [`k_center_greedy`], and [`Error::Choice`] for 0 partitions.
pub fn partitioned_k_center_greedy(
    embeddings: Embeddings<'_>,
    n_partitions: usize,
    request: &Request<'_>,
    proceed: &mut Proceed<'_>,
) -> Result<Centers> {
    if n_partitions == 0 {
        return Err(Error::choice("partitions", "0", "a positive number, or None for one"));
    }
    let budget = request.check()?;
    embeddings.check_columns("embeddings")?;
    let initial_rows = checked_rows(request.initial_rows, "embeddings", embeddings.n_rows())?;
    wanted_picks(budget, embeddings.n_rows(), initial_rows.len())?;
    let parts =
        Parts { embeddings, request, initial_rows, ranges: ranges(embeddings.n_rows(), n_partitions) };
    let is_over = Cell::new(false);
    let mut proceed = |progress: Progress| {
        let answer = proceed(progress);
        is_over.set(answer.is_break());
        answer
    };
    error::or_nothing(parts.pick(&is_over, &mut proceed).and_then(|centers| {
        let centers = parts.with_measured_radii(centers, &mut || proceed(Progress::NONE))?;
        unless(&is_over, centers)
    }))
}

/// What a step returned, unless it was told to stop meanwhile and has returned a part.
fn unless<T>(is_over: &Cell<bool>, found: T) -> Result<T> {
    if is_over.get() { Err(Error::Interrupted) } else { Ok(found) }
}

/// Runs of rows of almost equal length.
fn ranges(n_rows: usize, n_partitions: usize) -> Vec<Range<usize>> {
    let n_partitions = n_partitions.min(n_rows).max(1);
    let first = |part: usize| part * (n_rows / n_partitions) + part.min(n_rows % n_partitions);
    (0..n_partitions).map(|part| first(part)..first(part + 1)).collect()
}

struct Parts<'e, 'r> {
    embeddings: Embeddings<'e>,
    request: &'r Request<'r>,
    initial_rows: Vec<usize>,
    ranges: Vec<Range<usize>>,
}

impl Parts<'_, '_> {
    /// Picks among the picks of all parts. Their radii are those over these picks alone.
    fn pick(&self, is_over: &Cell<bool>, proceed: &mut Proceed<'_>) -> Result<Centers> {
        let mut union = self.initial_rows.clone();
        for range in &self.ranges {
            let initial_rows: Vec<i64> =
                self.initial_rows.iter().filter_map(|&row| local(row, range)).collect();
            let request = Request { initial_rows: &initial_rows, stop_radius: None, ..*self.request };
            let part = self.embeddings.range(range.clone());
            let centers = k_center_greedy(part, &request, &mut |_| proceed(Progress::NONE))?;
            let centers = unless(is_over, centers)?;
            union.extend(centers.rows.iter().map(|&row| range.start + row as usize));
        }
        // So that ties go to the lowest row of all.
        union.sort_unstable();
        let initial_rows: Vec<i64> = self
            .initial_rows
            .iter()
            .filter_map(|row| union.binary_search(row).ok())
            .map(|at| at as i64)
            .collect();
        let request = Request { initial_rows: &initial_rows, stop_radius: None, ..*self.request };
        let points = self.embeddings.gathered(&union)?;
        let centers = unless(is_over, k_center_greedy(points.view(), &request, proceed)?)?;
        Ok(Centers { rows: centers.rows.iter().map(|&at| union[at as usize] as i64).collect(), ..centers })
    }

    /// The same picks with their radii over all rows, up to the one that covers as far as was asked.
    fn with_measured_radii(
        &self,
        mut centers: Centers,
        keep_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Centers> {
        let rows = self.initial_rows.iter().copied().chain(centers.rows.iter().map(|&row| row as usize));
        let points = self.embeddings.gathered(&rows.collect::<Vec<_>>())?;
        let Request { metric, n_threads, stop_radius, .. } = *self.request;
        let mut radii = vec![0_f32; points.view().n_rows()];
        for range in &self.ranges {
            let part = self.embeddings.range(range.clone());
            let of_part = covering_radii(part, points.view(), metric, n_threads, keep_on)?;
            for (radius, of_part) in radii.iter_mut().zip(of_part) {
                *radius = radius.max(of_part);
            }
        }
        let before = self.initial_rows.len();
        let reaches = |radius: f32| stop_radius.is_some_and(|stop_radius| f64::from(radius) <= stop_radius);
        let end = radii.iter().skip(before.saturating_sub(1)).position(|&radius| reaches(radius));
        if let Some(end) = end {
            centers.rows.truncate(end + usize::from(before == 0));
        }
        centers.radii = radii[before..][..centers.rows.len()].to_vec();
        Ok(centers)
    }
}

/// The number of a row within a run of rows that holds it.
fn local(row: usize, range: &Range<usize>) -> Option<i64> {
    range.contains(&row).then(|| (row - range.start) as i64)
}
