//! Picks and radii against the definition, to the bit, in every way that this machine can go.

use std::ops::ControlFlow;

use tasksel_core::embeddings::Embeddings;
use tasksel_core::k_center::{
    Centers, Metric, PLAIN, Proceed, Request, covering_radii, k_center_greedy, k_center_greedy_by, lazy_ways,
    partitioned_k_center_greedy,
};

use crate::farthest_first::{Wanted, cover, traverse, traverse_parts};
use crate::input::{Input, special_or_any};
use crate::points::{Points, Strided, n_columns};

/// Traverses what the bytes describe.
///
/// # Panics
/// If picks or radii are not those of the definition, or anything else panics.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let n_columns = n_columns(&mut input);
    let points = Points::make(&mut input, n_columns);
    let n_rows = points.rows.len();
    let is_hostile = input.seldom();
    let wanted = Wanted {
        budget: if is_hostile { input.any() } else { input.below(n_rows + 3) as i64 },
        initial_rows: initial_rows(&mut input, n_rows, is_hostile),
        metric: input.pick(&[Metric::Euclidean, Metric::Cosine]),
        stop_radius: stop_radius(&mut input, is_hostile),
    };
    let n_threads = input.pick(&[Some(1), Some(2), Some(3), Some(7), None]);
    let array = Strided::of(&points, input.below(4));
    let view = array.view();
    let Some(embeddings) = Embeddings::new(&view) else { panic!("rows of adjacent values are refused") };
    let request = Request {
        budget: wanted.budget,
        initial_rows: &wanted.initial_rows,
        metric: wanted.metric,
        stop_radius: wanted.stop_radius,
        n_threads,
    };
    let case = Case { points: &points, wanted: &wanted, n_threads };
    match input.below(4) {
        0 => case.check_parts(embeddings, &request, input.below(6)),
        1 => case.check_cover(embeddings, &mut input),
        2 => case.check_break(embeddings, &request, input.below(12)),
        _ => case.check_ways(embeddings, &request),
    }
}

/// Rows that are there, repeats among them, or any numbers.
pub(crate) fn initial_rows(input: &mut Input<'_>, n_rows: usize, is_hostile: bool) -> Vec<i64> {
    let n_initial = input.pick(&[0, 0, 1, 2, 5]);
    if is_hostile {
        return input.several(n_initial, Input::any);
    }
    input.several(if n_rows > 0 { n_initial } else { 0 }, |input| input.below(n_rows) as i64)
}

fn stop_radius(input: &mut Input<'_>, is_hostile: bool) -> Option<f64> {
    match input.below(4) {
        0 if is_hostile => Some(special_or_any(input)),
        0 => Some(f64::from(input.any::<u8>()) / 4.0),
        1 => Some(f64::from(input.any::<f32>().abs()).min(f64::MAX)),
        _ => None,
    }
}

struct Case<'a> {
    points: &'a Points,
    wanted: &'a Wanted,
    n_threads: Option<usize>,
}

impl Case<'_> {
    fn check_ways(&self, embeddings: Embeddings<'_>, request: &Request<'_>) {
        let expected = traverse(self.points, self.wanted);
        self.compare("best", k_center_greedy(embeddings, request, &mut on), expected.as_ref());
        for way in lazy_ways().into_iter().chain([PLAIN]) {
            self.compare(way, k_center_greedy_by(way, embeddings, request, &mut on), expected.as_ref());
        }
        let none = Request { n_threads: Some(0), ..*request };
        assert!(k_center_greedy(embeddings, &none, &mut on).is_err(), "0 threads are not refused");
    }

    fn check_parts(&self, embeddings: Embeddings<'_>, request: &Request<'_>, n_parts: usize) {
        let centers = partitioned_k_center_greedy(embeddings, n_parts, request, &mut on);
        let expected = traverse_parts(self.points, n_parts, self.wanted);
        self.compare(&format!("{n_parts} parts"), centers, expected.as_ref());
    }

    fn check_cover(&self, embeddings: Embeddings<'_>, input: &mut Input<'_>) {
        let n_columns = if input.seldom() { n_columns(input) } else { self.points.n_columns };
        let others = input.any::<bool>().then(|| Points::make(input, n_columns));
        let centers = others.as_ref().unwrap_or(self.points);
        let array = Strided::of(centers, 0);
        let view = array.view();
        // Rows of the points themselves are told by where they lie in memory.
        let centers_view =
            if others.is_some() { Embeddings::new(&view) } else { Some(embeddings.or_copy(None)) };
        let Some(centers_view) = centers_view else { panic!("rows of adjacent values are refused") };
        let metric = self.wanted.metric;
        let radii = covering_radii(embeddings, centers_view, metric, self.n_threads, &mut || {
            ControlFlow::Continue(())
        });
        let radii = radii.map(|radii| Centers { rows: Vec::new(), radii });
        let expected = cover(self.points, centers, metric).map(|radii| Centers { rows: Vec::new(), radii });
        self.compare(&format!("radii of {centers:?}"), radii, expected.as_ref());
    }

    /// A traversal that is told to stop returns the beginning of what it would have returned.
    fn check_break(&self, embeddings: Embeddings<'_>, request: &Request<'_>, n_calls: usize) {
        let mut n_left = n_calls;
        let proceed: &mut Proceed<'_> = &mut |_| {
            n_left = n_left.saturating_sub(1);
            if n_left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let Ok(some) = k_center_greedy(embeddings, request, proceed) else { return };
        let Some(all) = traverse(self.points, self.wanted) else {
            // It was stopped before the mistake was seen.
            assert_eq!(some, Centers::default(), "{self:?}");
            return;
        };
        let n_picked = some.rows.len().min(all.rows.len());
        let begun = Centers { rows: all.rows[..n_picked].to_vec(), radii: all.radii[..n_picked].to_vec() };
        self.compare("broken off", Ok(some), Some(&begun));
    }

    fn compare(&self, way: &str, found: tasksel_core::Result<Centers>, expected: Option<&Centers>) {
        let Some(expected) = expected else {
            assert!(found.is_err(), "{way}: not refused: {self:?}");
            return;
        };
        let found = found.unwrap_or_else(|error| panic!("{way}: refused with '{error}': {self:?}"));
        assert_eq!(found.rows, expected.rows, "{way}: {self:?}");
        let bits =
            |centers: &Centers| centers.radii.iter().map(|radius| radius.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found), bits(expected), "{way}: {found:?} and {expected:?} of {self:?}");
    }
}

impl std::fmt::Debug for Case<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?}, {:?} threads, of {:?}", self.wanted, self.n_threads, self.points)
    }
}

fn on(_progress: tasksel_core::k_center::Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
