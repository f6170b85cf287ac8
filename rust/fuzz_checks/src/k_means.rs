//! k-means: assignments against all distances, and what holds of every clustering.

use std::ops::ControlFlow;

use tasksel_core::embeddings::Embeddings;
use tasksel_core::k_center::Metric;
use tasksel_core::k_means::{KMeans, Settings, k_means};

use crate::input::{Input, special_or_any};
use crate::points::{Points, Strided, n_columns, scale, squared_distance};

/// Clusters what the bytes describe.
///
/// # Panics
/// If a point is not with its nearest center, or anything panics.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let columns = n_columns(&mut input);
    let points = Points::make(&mut input, columns);
    let n_rows = points.rows.len();
    let is_hostile = input.seldom();
    let settings = Settings {
        n_clusters: if is_hostile { input.any() } else { 1 + input.below(n_rows.clamp(1, 20)) as i64 },
        seed: input.any(),
        n_init: if is_hostile { i64::from(input.any::<i8>() % 4) } else { 1 + input.below(2) as i64 },
        max_iterations: input.below(8) as i64 - i64::from(is_hostile),
        tolerance: if is_hostile { special_or_any(&mut input) } else { input.pick(&[0.0, 1e-4, 1.0]) },
        batch_size: input.any::<bool>().then(|| 1 + input.below(30) as i64 - i64::from(is_hostile)),
        n_threads: input.pick(&[Some(1), Some(2), Some(5), None]),
    };
    let array = Strided::of(&points, input.below(4));
    let view = array.view();
    let Some(rows) = Embeddings::new(&view) else { panic!("rows of adjacent values are refused") };
    let found = k_means(rows, None, settings, &mut || ControlFlow::Continue(()));
    if !is_allowed(&points, &settings) {
        assert!(found.is_err(), "not refused: {settings:?} of {points:?}");
        return;
    }
    let found = found.unwrap_or_else(|error| panic!("refused with '{error}': {settings:?} of {points:?}"));
    check_counts(&found, &points, &settings);
    let alone =
        k_means(rows, None, Settings { n_threads: Some(1), ..settings }, &mut || ControlFlow::Continue(()));
    assert_eq!(alone.as_ref(), Ok(&found), "threads: {settings:?} of {points:?}");
    check_assignment(&points, rows, &found, settings);
}

fn is_allowed(points: &Points, settings: &Settings) -> bool {
    let n_clusters = usize::try_from(settings.n_clusters).unwrap_or_default();
    let is_prepared = points.prepared(Metric::Euclidean);
    (1..=points.rows.len()).contains(&n_clusters)
        && is_prepared.is_some_and(|points| scale(&[&points]).is_some())
        && settings.n_init >= 1
        && (0.0..f64::INFINITY).contains(&settings.tolerance)
        && settings.batch_size.is_none_or(|size| size >= 1)
}

fn check_counts(found: &KMeans, points: &Points, settings: &Settings) {
    let n_clusters = settings.n_clusters as usize;
    assert_eq!(found.centers.len(), n_clusters * points.n_columns);
    assert_eq!(found.labels.len(), points.rows.len());
    assert!(
        found.labels.iter().all(|&label| (0..settings.n_clusters).contains(&label)),
        "{found:?} of {points:?}"
    );
    assert!(found.centers.iter().all(|value| value.is_finite()), "{found:?} of {points:?}");
    assert!((0..=settings.max_iterations.max(0)).contains(&found.n_iterations), "{found:?} of {points:?}");
    assert!(found.inertia >= 0.0, "{found:?} of {points:?}");
}

/// From these centers and without a step every point goes to the nearest, the lowest of those equally near.
fn check_assignment(points: &Points, rows: Embeddings<'_>, found: &KMeans, settings: Settings) {
    let of_centers = found.centers.chunks(points.n_columns).map(<[f32]>::to_vec).collect();
    let centers = Points { rows: of_centers, n_columns: points.n_columns };
    let Some(scale) = scale(&[points, &centers]) else { return };
    let array = Strided::of(&centers, 0);
    let view = array.view();
    let settings = Settings { max_iterations: 0, batch_size: None, ..settings };
    let assigned =
        k_means(rows.or_copy(None), Embeddings::new(&view), settings, &mut || ControlFlow::Continue(()));
    let assigned =
        assigned.unwrap_or_else(|error| panic!("refused with '{error}': {centers:?} of {points:?}"));
    let (points, centers) = (points.clone().times(scale), centers.times(scale));
    let mut inertia = 0.0;
    for (point, &label) in points.rows.iter().zip(&assigned.labels) {
        let distances = centers.rows.iter().map(|center| squared_distance(point, center)).enumerate();
        let nearest = distances.reduce(|best, next| if next.1 < best.1 { next } else { best });
        let Some((center, squared)) = nearest else { panic!("no centers: {centers:?}") };
        assert_eq!(label, center as i64, "{point:?} among {centers:?}");
        inertia += f64::from(squared);
    }
    let inertia = inertia / (scale * scale);
    let is_close = (assigned.inertia - inertia).abs() <= 1e-9 * inertia;
    assert!(is_close, "inertia {} is not {inertia}: {centers:?} of {points:?}", assigned.inertia);
}
