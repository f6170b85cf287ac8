//! Farthest-first traversal by its definition: one pass over all rows for each center, in the
//! arithmetic that the kernels promise to have the bits of.

use tasksel_core::k_center::{Centers, Metric};

use crate::points::{Points, scale, squared_distance};

/// A traversal that is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Rows to pick.
    pub budget: i64,
    /// Rows that are centers already.
    pub initial_rows: Vec<i64>,
    /// How far apart two rows are.
    pub metric: Metric,
    /// Where to stop.
    pub stop_radius: Option<f64>,
}

/// Squared distance of each row to its nearest center; `None` for the centers themselves.
struct Nearest {
    squared: Vec<Option<f32>>,
    scale: f64,
}

impl Nearest {
    fn new(n_rows: usize, scale: f64) -> Self {
        Self { squared: vec![Some(f32::INFINITY); n_rows], scale }
    }

    fn add_center(&mut self, points: &Points, center: &[f32]) {
        for (row, squared) in points.rows.iter().zip(&mut self.squared) {
            *squared = squared.map(|squared| squared.min(squared_distance(row, center)));
        }
    }

    /// The farthest row, the lowest of those equally far, with its squared distance.
    fn farthest(&self) -> Option<(usize, f32)> {
        let others = self.squared.iter().enumerate().filter_map(|(row, squared)| Some((row, (*squared)?)));
        others.reduce(|farthest, other| if other.1 > farthest.1 { other } else { farthest })
    }

    fn radius(&self) -> f32 {
        (f64::from(self.farthest().map_or(0.0, |(_, squared)| squared)).sqrt() / self.scale) as f32
    }
}

/// The initial rows without repeats; `None` if one does not exist.
pub fn distinct(initial_rows: &[i64], n_rows: usize) -> Option<Vec<usize>> {
    let mut rows = Vec::new();
    for &row in initial_rows {
        let row = usize::try_from(row).ok().filter(|&row| row < n_rows)?;
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    Some(rows)
}

fn is_allowed(wanted: &Wanted) -> bool {
    wanted.budget >= 0 && wanted.stop_radius.is_none_or(|radius| radius.is_finite() && radius >= 0.0)
}

/// Centers and their radii; `None` if the request must be refused.
pub fn traverse(points: &Points, wanted: &Wanted) -> Option<Centers> {
    let initial_rows = distinct(&wanted.initial_rows, points.rows.len())?;
    let points = points.prepared(wanted.metric).filter(|_| is_allowed(wanted))?;
    let scale = scale(&[&points])?;
    let is_covered = |radius: f32| wanted.stop_radius.is_some_and(|stop| f64::from(radius) <= stop);
    let mut next_row = if initial_rows.is_empty() { points.nearest_to_mean() } else { None };
    let points = points.times(scale);
    let mut nearest = Nearest::new(points.rows.len(), scale);
    let mut centers = Centers::default();
    for &row in &initial_rows {
        nearest.squared[row] = None;
        nearest.add_center(&points, &points.rows[row]);
    }
    if next_row.is_none() && is_covered(nearest.radius()) {
        return Some(centers);
    }
    while (centers.rows.len() as i64) < wanted.budget {
        let Some(row) = next_row.take().or_else(|| nearest.farthest().map(|(row, _)| row)) else { break };
        nearest.squared[row] = None;
        nearest.add_center(&points, &points.rows[row]);
        centers.rows.push(row as i64);
        centers.radii.push(nearest.radius());
        if is_covered(nearest.radius()) {
            break;
        }
    }
    Some(centers)
}

/// The covering curve of centers; `None` if it must be refused.
pub fn cover(points: &Points, centers: &Points, metric: Metric) -> Option<Vec<f32>> {
    if centers.n_columns != points.n_columns {
        return None;
    }
    let (points, centers) = (points.prepared(metric)?, centers.prepared(metric)?);
    let scale = scale(&[&points, &centers])?;
    let (points, centers) = (points.times(scale), centers.times(scale));
    let mut nearest = Nearest::new(points.rows.len(), scale);
    let radius = |center: &Vec<f32>| {
        nearest.add_center(&points, center);
        nearest.radius()
    };
    Some(centers.rows.iter().map(radius).collect())
}

/// Picks of each run of rows, then picks among these; radii over all rows. `None` if it must be refused.
pub fn traverse_parts(points: &Points, n_parts: usize, wanted: &Wanted) -> Option<Centers> {
    let n_rows = points.rows.len();
    let initial_rows =
        distinct(&wanted.initial_rows, n_rows).filter(|_| is_allowed(wanted) && n_parts > 0)?;
    let endless = Wanted { stop_radius: None, ..wanted.clone() };
    let parts = parts(n_rows, n_parts);
    let mut union = initial_rows.clone();
    for part in &parts {
        let inside = initial_rows.iter().filter(|row| part.contains(row));
        let initial_rows = inside.map(|row| (row - part.start) as i64).collect();
        let picked = traverse(&points.gathered(part.clone()), &Wanted { initial_rows, ..endless.clone() })?;
        union.extend(picked.rows.into_iter().map(|row| part.start + row as usize));
    }
    union.sort_unstable();
    let place = |row: &usize| union.iter().position(|other| other == row).map(|place| place as i64);
    let initial = initial_rows.iter().filter_map(place).collect();
    let picked =
        traverse(&points.gathered(union.iter().copied()), &Wanted { initial_rows: initial, ..endless })?;
    let picked: Vec<usize> = picked.rows.into_iter().map(|place| union[place as usize]).collect();
    let centers = points.gathered(initial_rows.iter().chain(&picked).copied());
    let mut radii = vec![0_f32; centers.rows.len()];
    for part in parts {
        let of_part = cover(&points.gathered(part), &centers, wanted.metric)?;
        radii.iter_mut().zip(of_part).for_each(|(radius, of_part)| *radius = radius.max(of_part));
    }
    let is_covered = |radius: f32| wanted.stop_radius.is_some_and(|stop| f64::from(radius) <= stop);
    let mut found = Centers::default();
    if initial_rows.last().is_some_and(|_| is_covered(radii[initial_rows.len() - 1])) {
        return Some(found);
    }
    for (row, &radius) in picked.into_iter().zip(&radii[initial_rows.len()..]) {
        found.rows.push(row as i64);
        found.radii.push(radius);
        if is_covered(radius) {
            break;
        }
    }
    Some(found)
}

/// Runs of rows of almost equal length, the longer ones first.
fn parts(n_rows: usize, n_parts: usize) -> Vec<std::ops::Range<usize>> {
    let n_parts = n_parts.min(n_rows).max(1);
    let mut start = 0;
    let part = |part: usize| {
        let end = start + n_rows / n_parts + usize::from(part < n_rows % n_parts);
        std::mem::replace(&mut start, end)..end
    };
    (0..n_parts).map(part).collect()
}
