//! Nearest centers of all points, most of them without a distance.
//!
//! A point keeps an upper bound of the distance to its center and a lower bound of that to any other,
//! which a moving center can shrink by no more than its movement (Hamerly, "Making k-means even faster",
//! SDM 2010). Where they no longer decide, codes of two levels give new bounds; where these do not either,
//! the distances of the centers that may be nearest do. What float32 arithmetic finds, ties to the lowest center,
//! is found in every case: bounds decide only with a margin for its rounding.

use std::ops::ControlFlow;

use super::space::{CodedPoints, Space};
use crate::embeddings::Embeddings;
use crate::limits;
use crate::quantization::fine::{FineCenters, FineGrid, Sums};
use crate::quantization::grid::Grid;
use crate::simd::products::{BLOCK, Line, Products, TILE};
use crate::workers::Workers;

/// Points that one thread takes at a time.
const ROWS_PER_BLOCK: usize = 1024;
/// Values that one thread may multiply between two calls of `proceed`.
const VALUES_PER_SLICE: usize = 1 << 31;
/// Of a point that has no center yet.
pub const NONE: u32 = u32::MAX;

/// The center of a point, and what is known of its distances.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub center: u32,
    /// Not below the distance to its center.
    upper: f32,
    /// Not above the distance to any other.
    lower: f32,
}

impl Place {
    /// Before the first assignment.
    pub const UNKNOWN: Self = Self { center: NONE, upper: f32::INFINITY, lower: 0.0 };

    /// Gives a point a center by decree.
    pub fn set(&mut self, center: u32) {
        *self = Self { center, ..Self::UNKNOWN };
    }
}

/// A point that went from one center to another.
#[derive(Clone, Copy, Debug)]
pub struct Move {
    pub point: usize,
    pub from: u32,
    pub to: u32,
}

/// Centers as points are assigned to them.
pub struct Targets<'a> {
    rows: Embeddings<'a>,
    coded: Option<FineCenters>,
    /// How far each is from where it was at the last assignment.
    movements: &'a [f32],
    /// The center that moved farthest, how far it did, and how far any other.
    farthest: (u32, f32, f32),
    rounding: f64,
    underflow: f64,
}

impl<'a> Targets<'a> {
    pub fn new(rows: Embeddings<'a>, movements: &'a [f32], grid: Option<&FineGrid>) -> Self {
        let coded = grid.map(|grid| FineCenters::new(grid, rows.rows()));
        let mut farthest = (NONE, 0.0, 0.0);
        for (center, &movement) in movements.iter().enumerate() {
            if movement > farthest.1 {
                farthest = (center as u32, movement, farthest.1);
            } else if movement > farthest.2 {
                farthest.2 = movement;
            }
        }
        let (rounding, underflow) = Grid::float32(rows.n_columns());
        Self { rows, coded, movements, farthest, rounding, underflow }
    }

    /// Bounds after the centers have moved.
    fn moved(&self, place: Place) -> Place {
        if place.center == NONE {
            return place;
        }
        let of_others = if place.center == self.farthest.0 { self.farthest.2 } else { self.farthest.1 };
        Place {
            upper: (place.upper + self.movements[place.center as usize]).next_up(),
            lower: (place.lower - of_others).next_down(),
            ..place
        }
    }

    /// Whether float32 arithmetic must find every other center farther.
    fn is_certain(&self, place: Place) -> bool {
        self.reach(f64::from(place.upper)) < f64::from(place.lower)
    }

    /// What is farther than this is so in float32 too, if a center within `upper` is compared with it.
    fn reach(&self, upper: f64) -> f64 {
        (upper + self.underflow) * (1.0 + 4.0 * self.rounding) + 2.0 * self.underflow
    }

    /// Not below the distance whose square float32 arithmetic gave.
    fn upper(&self, squared_distance: f32) -> f32 {
        let distance = f64::from(squared_distance).sqrt();
        ((distance * (1.0 + 2.0 * self.rounding) + self.underflow) as f32).next_up()
    }

    /// Not above it.
    fn lower(&self, squared_distance: f32) -> f32 {
        let distance = f64::from(squared_distance).sqrt();
        ((distance * (1.0 - 2.0 * self.rounding) - self.underflow) as f32).next_down()
    }
}

/// Assigns every point to its nearest center; the points that moved, in order of their rows, or `None`
/// after a break.
pub fn assign(
    space: &Space<'_>,
    targets: &Targets<'_>,
    places: &mut [Place],
    workers: &Workers,
    proceed: &mut dyn FnMut() -> ControlFlow<()>,
) -> Option<Vec<Move>> {
    let block = [ROWS_PER_BLOCK, targets.rows.n_rows(), targets.rows.n_columns()];
    let blocks_per_slice = limits::units_per_slice(VALUES_PER_SLICE, &block) * workers.n_threads();
    let mut moves = Vec::new();
    for (slice, places) in places.chunks_mut(blocks_per_slice * ROWS_PER_BLOCK).enumerate() {
        if proceed().is_break() {
            return None;
        }
        let parts = workers.map_chunks_mut(places, ROWS_PER_BLOCK, |block, places| {
            let first = (slice * blocks_per_slice + block) * ROWS_PER_BLOCK;
            let before: Vec<u32> = places.iter().map(|place| place.center).collect();
            match space.coded.as_ref().zip(targets.coded.as_ref()) {
                Some((coded, centers)) => Tiles::new(space, coded, targets, centers).assign(first, places),
                None => assign_exactly(space, targets, first, places),
            }
            let pairs = before.into_iter().zip(places.iter().map(|place| place.center)).enumerate();
            pairs
                .filter(|(_, (from, to))| from != to)
                .map(|(offset, (from, to))| Move { point: first + offset, from, to })
                .collect::<Vec<_>>()
        });
        moves.extend(parts.into_iter().flatten());
    }
    Some(moves)
}

fn assign_exactly(space: &Space<'_>, targets: &Targets<'_>, first: usize, places: &mut [Place]) {
    for (offset, place) in places.iter_mut().enumerate() {
        *place = targets.moved(*place);
        if targets.is_certain(*place) {
            continue;
        }
        let mut two = Two::EMPTY;
        for (center, row) in targets.rows.rows().enumerate() {
            two.offer(center as u32, space.squared_distance(first + offset, row));
        }
        *place = two.place(targets);
    }
}

/// The nearest center so far, and the squared distance of the next.
struct Two {
    center: u32,
    nearest: f32,
    next: f32,
}

impl Two {
    const EMPTY: Self = Self { center: NONE, nearest: f32::INFINITY, next: f32::INFINITY };

    /// In any order of the centers: ties go to the lowest.
    fn offer(&mut self, center: u32, squared_distance: f32) {
        if (squared_distance, center) < (self.nearest, self.center) {
            self.next = self.nearest;
            (self.nearest, self.center) = (squared_distance, center);
        } else {
            self.next = self.next.min(squared_distance);
        }
    }

    fn place(&self, targets: &Targets<'_>) -> Place {
        let lower = if self.next < f32::INFINITY { targets.lower(self.next) } else { f32::INFINITY };
        Place { center: self.center, upper: targets.upper(self.nearest), lower }
    }
}

/// Points whose bounds do not decide, collected to whole tiles.
struct Tiles<'t, 'a, 'b> {
    space: &'t Space<'a>,
    coded: &'t CodedPoints<'a>,
    targets: &'t Targets<'b>,
    centers: &'t FineCenters,
    /// Both levels of points that do not stand in a row.
    staged: [Vec<Line>; 2],
    /// Sums of the tile with every block of centers.
    sums: Vec<Sums>,
    /// Scores of one point.
    scores: Vec<[f32; BLOCK]>,
}

impl Tiles<'_, '_, '_> {
    fn assign(mut self, first: usize, places: &mut [Place]) {
        let mut waiting = Vec::with_capacity(TILE);
        for offset in 0..places.len() {
            places[offset] = self.targets.moved(places[offset]);
            if !self.targets.is_certain(places[offset]) {
                waiting.push(offset);
            }
            if waiting.len() == TILE {
                self.decide(first, &waiting, places);
                waiting.clear();
            }
        }
        if !waiting.is_empty() {
            self.decide(first, &waiting, places);
        }
    }

    fn decide(&mut self, first: usize, waiting: &[usize], places: &mut [Place]) {
        self.multiply(first, waiting);
        for (slot, &offset) in waiting.iter().enumerate() {
            places[offset] = self.place(slot, first + offset, places[offset]);
        }
    }

    fn place(&mut self, slot: usize, point: usize, before: Place) -> Place {
        let (grid, centers, code) = (self.coded.grid, self.centers, self.coded.fine_codes[point]);
        let (best, next) = centers.score(code, &self.sums, slot, &mut self.scores);
        let upper = centers.upper_bound(grid, code, best);
        let by_codes = Place {
            center: self.center_of(best, before.center),
            upper: (upper as f32).next_up(),
            lower: (centers.lower_bound(grid, code, next) as f32).next_down(),
        };
        if self.targets.is_certain(by_codes) {
            return by_codes;
        }
        let least = centers.score_at(grid, code, self.targets.reach(upper));
        let mut two = Two::EMPTY;
        let scores = self.scores.as_flattened().iter().enumerate();
        for (center, _) in scores.filter(|&(_, &score)| score >= least) {
            let row = self.targets.rows.row(center);
            two.offer(center as u32, self.space.squared_distance(point, row));
        }
        let place = two.place(self.targets);
        // All others are farther than this.
        let lower = (centers.lower_bound(grid, code, least) as f32).next_down();
        Place { lower: place.lower.min(lower), ..place }
    }

    /// A center with this score, which is one of the scores.
    #[allow(clippy::float_cmp, reason = "the very value is looked for")]
    fn center_of(&self, best: f32, likely: u32) -> u32 {
        let scores = self.scores.as_flattened();
        if scores.get(likely as usize) == Some(&best) {
            return likely;
        }
        scores.iter().position(|&score| score == best).unwrap_or_default() as u32
    }

    fn multiply(&mut self, first: usize, waiting: &[usize]) {
        let (n_lines, kernel) = (self.coded.n_lines, self.coded.grid.coarse().kernel());
        let in_a_row = waiting.len() == TILE && waiting[TILE - 1] - waiting[0] == TILE - 1;
        let [coarse, fine] = if in_a_row {
            self.coded.lines(first + waiting[0], TILE)
        } else {
            for (slot, &offset) in waiting.iter().enumerate() {
                for (staged, lines) in self.staged.iter_mut().zip(self.coded.lines(first + offset, 1)) {
                    staged[slot * n_lines..][..n_lines].copy_from_slice(lines);
                }
            }
            self.staged.each_ref().map(Vec::as_slice)
        };
        let blocks = self.centers.coarse.iter().zip(&self.centers.fine);
        for ((coarse_block, fine_block), sums) in blocks.zip(&mut self.sums) {
            kernel.with_block(coarse, waiting.len(), coarse_block, &mut sums[0]);
            kernel.with_block(coarse, waiting.len(), fine_block, &mut sums[1]);
            kernel.with_block(fine, waiting.len(), coarse_block, &mut sums[2]);
        }
    }
}

impl<'t, 'a, 'b> Tiles<'t, 'a, 'b> {
    fn new(
        space: &'t Space<'a>,
        coded: &'t CodedPoints<'a>,
        targets: &'t Targets<'b>,
        centers: &'t FineCenters,
    ) -> Self {
        let (n_blocks, n_lines) = (centers.coarse.len(), TILE * coded.n_lines);
        Self {
            space,
            coded,
            targets,
            centers,
            staged: [vec![Line([0; 64]); n_lines], vec![Line([0; 64]); n_lines]],
            sums: vec![[const { Products::UNSET }; 3]; n_blocks],
            scores: vec![[f32::NEG_INFINITY; BLOCK]; n_blocks],
        }
    }
}
