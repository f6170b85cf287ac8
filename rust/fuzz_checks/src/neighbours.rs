//! Nearest neighbours against all distances, sorted, to the bit.

use std::ops::ControlFlow;

use tasksel_core::embeddings::Embeddings;
use tasksel_core::k_center::Metric;
use tasksel_core::neighbours::{Neighbours, nearest_neighbours};

use crate::input::Input;
use crate::points::{Points, Strided, n_columns, scale, squared_distance};

/// Finds what the bytes describe.
///
/// # Panics
/// If rows or distances are not those of the definition, or anything panics.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let columns = n_columns(&mut input);
    let base = Points::make(&mut input, columns);
    let other_columns = if input.seldom() { n_columns(&mut input) } else { columns };
    let others = input.any::<bool>().then(|| Points::make(&mut input, other_columns));
    let queries = others.as_ref().unwrap_or(&base);
    let k = if input.seldom() { input.any() } else { input.below(base.rows.len() + 3) as i64 };
    let k = if input.any() { k.min(5) } else { k };
    let metric = input.pick(&[Metric::Euclidean, Metric::Cosine]);
    let exclude_self = input.any();
    let n_threads = input.pick(&[Some(1), Some(2), Some(5), None]);
    let (of_base, of_queries) = (Strided::of(&base, input.below(4)), Strided::of(queries, input.below(4)));
    let (base_view, query_view) = (of_base.view(), of_queries.view());
    let Some(base_rows) = Embeddings::new(&base_view) else { panic!("rows of adjacent values are refused") };
    // Rows of the base itself are told by where they lie in memory.
    let query_rows = if others.is_some() { Embeddings::new(&query_view) } else { Some(base_rows) };
    let Some(query_rows) = query_rows else { panic!("rows of adjacent values are refused") };
    let go_on = &mut || ControlFlow::Continue(());
    let found = nearest_neighbours(query_rows, base_rows, k, metric, exclude_self, n_threads, go_on);
    let of = (k, metric, exclude_self, n_threads, queries, &base);
    let Some(expected) = nearest(queries, &base, k, metric, exclude_self) else {
        assert!(found.is_err(), "not refused: {of:?}");
        return;
    };
    let found = found.unwrap_or_else(|error| panic!("refused with '{error}': {of:?}"));
    assert_eq!(found.n_neighbours, expected.n_neighbours, "{of:?}");
    assert_eq!(found.rows, expected.rows, "{of:?}");
    let bits =
        |found: &Neighbours| found.distances.iter().map(|distance| distance.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&found), bits(&expected), "{of:?}");
}

/// `None` if it must be refused.
pub(crate) fn nearest(
    queries: &Points,
    base: &Points,
    k: i64,
    metric: Metric,
    exclude_self: bool,
) -> Option<Neighbours> {
    let fits =
        queries.n_columns == base.n_columns && (!exclude_self || queries.rows.len() == base.rows.len());
    let k = usize::try_from(k).ok().filter(|_| fits)?;
    let (queries, base) = (queries.prepared(metric)?, base.prepared(metric)?);
    let scale = scale(&[&queries, &base])?;
    let (queries, base) = (queries.times(scale), base.times(scale));
    let n_neighbours = k.min(base.rows.len().saturating_sub(usize::from(exclude_self)));
    let mut found = Neighbours { n_neighbours, ..Neighbours::default() };
    for (number, query) in queries.rows.iter().enumerate() {
        let others = base.rows.iter().enumerate().filter(|&(row, _)| !(exclude_self && row == number));
        let mut distances: Vec<(f32, usize)> =
            others.map(|(row, values)| (squared_distance(query, values), row)).collect();
        // A stable sort: ties go to the lowest row.
        distances.sort_by(|left, right| left.0.total_cmp(&right.0));
        for (squared, row) in distances.into_iter().take(n_neighbours) {
            found.rows.push(row as i64);
            found.distances.push((f64::from(squared).sqrt() / scale) as f32);
        }
    }
    Some(found)
}
