//! Farthest-first traversal in lazy levels, with the same picks and the same bits as the definition.
//!
//! A stored squared distance is the least over the centers that its row has *seen*, so it is an upper
//! bound. A *level* takes the rows with the largest bounds, down to a bound τ, and shows them the
//! centers that they have not seen, each until its bound is below τ. The rows that stay at or over τ
//! then have their true distance, every other row is below τ, and so the greedy picks are made among
//! the few that stayed until the farthest of them is below τ too. A row whose bound is below the last
//! τ was never shown the centers in between. Rows are independent in a level, so their order and the
//! number of threads do not matter.
//!
//! Which pairs of a row and a center need an exact distance at all is decided on 8-bit codes
//! ([`Quantized`]).

use std::cmp::Ordering;
use std::ops::{ControlFlow, Range};

use super::{CENTER, KeepOn, Traversal};
use crate::embeddings::Embeddings;
use crate::limits;
use crate::quantization::Quantized;
use crate::simd::distance::{Farthest, InstructionSet, prefetch_row};
use crate::simd::products::{BLOCK, Line, Products, TILE};
use crate::workers::Workers;

/// Bounds that are looked at to choose a level.
const SAMPLE: usize = 4096;
/// Values that one thread may multiply between two calls of `keep_on`.
const VALUES_PER_SLICE: usize = 1 << 30;
/// Rows of a group: their codes, and those of the centers that are shown together, stay in the
/// second-level cache.
const MAX_GROUP_ROWS: usize = 512;
const GROUPS_PER_THREAD: usize = 4;
/// Blocks of centers whose sums with a tile are kept (32 KiB) while the nearest is looked for.
const BLOCKS_PER_WINDOW: usize = 8;
/// Rows of a level whose values are asked for ahead of their use.
const PREFETCH_ROWS: usize = 4;

/// State of one traversal.
pub struct LazyTraversal<'a> {
    embeddings: Embeddings<'a>,
    /// What centers are rows of.
    center_points: Embeddings<'a>,
    /// Whether that is the embeddings themselves.
    picks_rows: bool,
    workers: &'a Workers,
    distance: InstructionSet,
    quantized: Option<Quantized>,
    /// Rows of `center_points`.
    centers: Vec<usize>,
    /// Whether the first center is in all bounds.
    is_covered: bool,
    /// Upper bound of the squared distance of each row to its nearest center, or [`CENTER`].
    upper: Vec<f32>,
    /// The first so many centers are in the bound of the row.
    seen: Vec<u32>,
    level: Level,
    /// Rows of a level before centers are shown to them.
    level_rows: usize,
    /// Scratch of a pass over the level.
    sums: Vec<i32>,
}

/// The rows among which picks are made. All have seen all centers.
struct Level {
    floor: f32,
    /// A row at the floor itself counts only below this one: the next was left out.
    end_of_ties: usize,
    rows: Vec<usize>,
    nearest: Vec<f32>,
    bars: Vec<i32>,
    staged: Vec<Line>,
}

impl Level {
    const EMPTY: Self = Self {
        floor: f32::INFINITY,
        end_of_ties: 0,
        rows: Vec::new(),
        nearest: Vec::new(),
        bars: Vec::new(),
        staged: Vec::new(),
    };

    /// The farthest row, unless one outside may be as far.
    fn farthest(&self) -> Option<Farthest> {
        let mut farthest = Farthest { row: usize::MAX, squared_distance: f32::NEG_INFINITY };
        for (&row, &squared_distance) in self.rows.iter().zip(&self.nearest) {
            farthest = match squared_distance.total_cmp(&farthest.squared_distance) {
                Ordering::Greater => Farthest { row, squared_distance },
                Ordering::Equal if row < farthest.row => Farthest { row, squared_distance },
                _ => farthest,
            };
        }
        let is_first = match farthest.squared_distance.total_cmp(&self.floor) {
            Ordering::Greater => true,
            Ordering::Equal => farthest.row < self.end_of_ties,
            Ordering::Less => false,
        };
        is_first.then_some(farthest)
    }

    /// Takes out row number `slot`; the last comes into its place.
    fn remove(&mut self, slot: usize) {
        let (last, n_lines) = (self.rows.len() - 1, self.staged.len() / self.rows.len());
        self.rows.swap_remove(slot);
        self.nearest.swap_remove(slot);
        self.bars.swap_remove(slot);
        self.staged.copy_within(last * n_lines.., slot * n_lines);
        self.staged.truncate(last * n_lines);
    }
}

/// Rows that may be over a floor.
struct Candidates {
    floor: f32,
    end_of_ties: usize,
    rows: Vec<usize>,
}

/// A row's place in the list of candidates, its bound, and how many centers are in it.
type Caught = (usize, f32, u32);

impl<'a> LazyTraversal<'a> {
    /// A traversal whose centers are rows of the embeddings.
    pub fn new(embeddings: Embeddings<'a>, quantized: Option<Quantized>, workers: &'a Workers) -> Self {
        Self { picks_rows: true, ..Self::with_centers_of(embeddings, embeddings, quantized, workers) }
    }

    /// A traversal whose centers are rows of other points, and which has no centers among its own.
    pub fn with_centers_of(
        center_points: Embeddings<'a>,
        embeddings: Embeddings<'a>,
        quantized: Option<Quantized>,
        workers: &'a Workers,
    ) -> Self {
        let n_rows = embeddings.n_rows();
        Self {
            embeddings,
            center_points,
            picks_rows: false,
            workers,
            distance: InstructionSet::best(),
            quantized,
            centers: Vec::new(),
            is_covered: false,
            upper: vec![f32::INFINITY; n_rows],
            seen: vec![0; n_rows],
            level: Level::EMPTY,
            level_rows: level_rows(n_rows),
            sums: Vec::new(),
        }
    }

    #[cfg(test)]
    pub fn with_level_rows(self, level_rows: usize) -> Self {
        Self { level_rows, ..self }
    }

    /// The same with distances of that instruction set.
    pub fn with_distance(self, distance: InstructionSet) -> Self {
        Self { distance, ..self }
    }

    fn exact(&self, row: usize, center: usize) -> f32 {
        self.distance.squared_distance(self.embeddings.row(row), self.center_points.row(self.centers[center]))
    }

    fn prefetch(&self, row: usize) {
        prefetch_row(self.embeddings.row(row));
    }

    fn prefetch_center(&self, center: usize) {
        prefetch_row(self.center_points.row(self.centers[center]));
    }

    /// Bounds from the first center: every row needs it, so this is one plain pass.
    fn cover_all(&mut self, keep_on: &mut KeepOn<'_>) -> ControlFlow<()> {
        let Some(&row) = self.centers.first().filter(|_| !self.is_covered) else {
            return ControlFlow::Continue(());
        };
        let (embeddings, distance) = (self.embeddings, self.distance);
        let (center, len) = (self.center_points.row(row), embeddings.rows_per_block());
        let n_values = len * embeddings.n_columns();
        let cover = |block, upper: &mut [f32]| {
            let _ = distance.cover(embeddings.block(block, len).1, center, upper);
        };
        if self.workers.map_chunks_mut_watched(&mut self.upper, len, n_values, keep_on, cover).is_err() {
            return ControlFlow::Break(());
        }
        self.seen.fill(1);
        self.is_covered = true;
        ControlFlow::Continue(())
    }

    /// Shows the newest center to the rows of the level.
    fn cover_level(&mut self, center_row: usize, bars_are_low: bool) {
        let mut level = std::mem::replace(&mut self.level, Level::EMPTY);
        let mut sums = std::mem::take(&mut self.sums);
        if let Some(quantized) = &self.quantized {
            if bars_are_low {
                let rows = level.rows.iter().zip(&level.nearest);
                level.bars = rows.map(|(&row, &nearest)| quantized.bar(row, nearest)).collect();
            }
            quantized.sums_with_newest(&level.staged, &mut sums);
        }
        let (newest, n_centers) = (self.centers.len() - 1, self.centers.len() as u32);
        let picks_rows = self.picks_rows;
        let is_center = |row: usize| picks_rows && row == center_row;
        let is_under = |slot: usize| sums.get(slot).is_some_and(|&sum| sum <= level.bars[slot]);
        let slots = (0..level.rows.len()).rev();
        let nearer: Vec<usize> =
            slots.filter(|&slot| is_center(level.rows[slot]) || !is_under(slot)).collect();
        for (number, &slot) in nearer.iter().enumerate() {
            if let Some(&ahead) = nearer.get(number + PREFETCH_ROWS) {
                self.prefetch(level.rows[ahead]);
            }
            let row = level.rows[slot];
            if is_center(row) {
                level.remove(slot);
                continue;
            }
            let squared_distance = self.exact(row, newest);
            if squared_distance >= level.nearest[slot] {
                continue;
            }
            if squared_distance < level.floor {
                (self.upper[row], self.seen[row]) = (squared_distance, n_centers);
                level.remove(slot);
                continue;
            }
            level.nearest[slot] = squared_distance;
            if let Some(quantized) = &self.quantized {
                level.bars[slot] = quantized.bar(row, squared_distance);
            }
        }
        (self.level, self.sums) = (level, sums);
    }

    fn leave_level(&mut self) {
        let level = std::mem::replace(&mut self.level, Level::EMPTY);
        for (row, nearest) in level.rows.into_iter().zip(level.nearest) {
            (self.upper[row], self.seen[row]) = (nearest, self.centers.len() as u32);
        }
    }

    /// The rows with the largest bounds that are over 0, about `level_rows` of them.
    fn candidates(&self) -> Candidates {
        let stride = self.upper.len().div_ceil(SAMPLE).max(1);
        let mut sample: Vec<f32> = self.upper.iter().step_by(stride).copied().filter(|&u| u > 0.0).collect();
        let rank = (self.level_rows / stride).min(sample.len().saturating_sub(1));
        // Without a bound over 0 in the sample, all bounds over 0 are few enough.
        let floor = match sample.len() {
            0 => f32::from_bits(1),
            _ => *sample.select_nth_unstable_by(rank, |x, y| y.total_cmp(x)).1,
        };
        let rows = self.rows_from(floor);
        if rows.len() <= 2 * self.level_rows {
            return Candidates { floor, end_of_ties: usize::MAX, rows };
        }
        self.narrowed(&rows)
    }

    fn rows_from(&self, floor: f32) -> Vec<usize> {
        const ROWS_PER_BLOCK: usize = 1 << 16;
        let blocks = self.workers.map(self.upper.len().div_ceil(ROWS_PER_BLOCK), |block| {
            let first = block * ROWS_PER_BLOCK;
            let upper = &self.upper[first..self.upper.len().min(first + ROWS_PER_BLOCK)];
            let rows = upper.iter().enumerate().filter(|&(_, &upper)| upper >= floor);
            rows.map(|(offset, _)| first + offset).collect::<Vec<_>>()
        });
        blocks.concat()
    }

    /// Where the sample misled, or many rows are equally far: the `level_rows` farthest, and of those
    /// at the floor itself the lowest.
    fn narrowed(&self, rows: &[usize]) -> Candidates {
        let mut bounds: Vec<f32> = rows.iter().map(|&row| self.upper[row]).collect();
        let floor = *bounds.select_nth_unstable_by(self.level_rows, |x, y| y.total_cmp(x)).1;
        let (mut n_ties, mut end_of_ties) = (0, usize::MAX);
        let mut kept = Vec::new();
        for &row in rows {
            match self.upper[row].total_cmp(&floor) {
                Ordering::Less => continue,
                Ordering::Equal if n_ties == self.level_rows => {
                    end_of_ties = end_of_ties.min(row);
                    continue;
                }
                Ordering::Equal => n_ties += 1,
                Ordering::Greater => {}
            }
            kept.push(row);
        }
        Candidates { floor, end_of_ties, rows: kept }
    }

    /// Finds the next rows to pick among.
    fn enter_level(&mut self, keep_on: &mut KeepOn<'_>) -> ControlFlow<()> {
        let candidates = self.candidates();
        self.catch_up(&candidates, keep_on)?;
        let Candidates { floor, end_of_ties, mut rows } = candidates;
        rows.retain(|&row| self.upper[row] >= floor);
        let nearest: Vec<f32> = rows.iter().map(|&row| self.upper[row]).collect();
        let mut level = Level { floor, end_of_ties, nearest, ..Level::EMPTY };
        if let Some(quantized) = &self.quantized {
            let n_lines = quantized.n_lines();
            level.staged = vec![Line([0; 64]); rows.len() * n_lines];
            for (&row, lines) in rows.iter().zip(level.staged.chunks_exact_mut(n_lines)) {
                quantized.stage(row, lines);
            }
            let rows = rows.iter().zip(&level.nearest);
            level.bars = rows.map(|(&row, &nearest)| quantized.bar(row, nearest)).collect();
        } else {
            level.bars = vec![0; rows.len()];
        }
        level.rows = rows;
        self.level = level;
        ControlFlow::Continue(())
    }

    /// Shows to each candidate the centers that it has not seen, until its bound is below the floor.
    fn catch_up(&mut self, candidates: &Candidates, keep_on: &mut KeepOn<'_>) -> ControlFlow<()> {
        // Rows of a group go together, so those that begin at the same block of centers should.
        let mut order: Vec<(u32, usize)> = candidates.rows.iter().map(|&row| (self.seen[row], row)).collect();
        order.sort_unstable();
        let n_threads = self.workers.n_threads();
        let group_rows = order.len().div_ceil(GROUPS_PER_THREAD * n_threads).clamp(TILE, MAX_GROUP_ROWS);
        let oldest = order.first().map_or(0, |&(seen, _)| seen as usize);
        let group = [self.centers.len() - oldest + BLOCK, group_rows, self.embeddings.n_columns()];
        let groups_per_slice = limits::units_per_slice(VALUES_PER_SLICE, &group) * n_threads;
        for (number, slice) in order.chunks(groups_per_slice * group_rows).enumerate() {
            if number > 0 {
                keep_on()?;
            }
            let groups = self.workers.map(slice.len().div_ceil(group_rows), |group| {
                let rows = &slice[group * group_rows..slice.len().min((group + 1) * group_rows)];
                match &self.quantized {
                    Some(quantized) => Group::new(self, quantized, candidates.floor).catch_up(rows),
                    None => {
                        rows.iter().map(|&(_, row)| self.catch_up_exactly(row, candidates.floor)).collect()
                    }
                }
            });
            for (row, upper, seen) in groups.into_iter().flatten() {
                (self.upper[row], self.seen[row]) = (upper, seen);
            }
        }
        ControlFlow::Continue(())
    }

    fn catch_up_exactly(&self, row: usize, floor: f32) -> Caught {
        let (mut upper, mut seen) = (self.upper[row], self.seen[row] as usize);
        while seen < self.centers.len() && upper >= floor {
            upper = upper.min(self.exact(row, seen));
            seen += 1;
        }
        (row, upper, seen as u32)
    }
}

impl Traversal for LazyTraversal<'_> {
    fn add_center(&mut self, row: usize) {
        if self.picks_rows {
            self.upper[row] = CENTER;
        }
        self.centers.push(row);
        let bars_are_low = self
            .quantized
            .as_mut()
            .is_some_and(|quantized| quantized.push_center(self.center_points.row(row)));
        self.cover_level(row, bars_are_low);
    }

    fn farthest(&mut self, keep_on: &mut KeepOn<'_>) -> ControlFlow<(), Farthest> {
        self.cover_all(keep_on)?;
        loop {
            if let Some(farthest) = self.level.farthest() {
                return ControlFlow::Continue(farthest);
            }
            self.leave_level();
            if !self.upper.iter().any(|&upper| upper > 0.0) {
                let left = self.upper.iter().position(|&upper| upper >= 0.0);
                let at_zero = |row| Farthest { row, squared_distance: 0.0 };
                return ControlFlow::Continue(left.map_or(Farthest::NONE, at_zero));
            }
            self.enter_level(keep_on)?;
            keep_on()?;
        }
    }

    fn is_center(&self, row: usize) -> bool {
        self.upper[row] < 0.0
    }
}

/// Rows that are shown the same blocks of centers. A row joins at the first block that it has not
/// seen and leaves once its bound is below the floor.
struct Group<'t, 'a> {
    traversal: &'t LazyTraversal<'a>,
    quantized: &'t Quantized,
    floor: f32,
    n_lines: usize,
    rows: Vec<Caught>,
    bars: Vec<i32>,
    /// The codes of the rows, in whole tiles.
    staged: Vec<Line>,
    /// Sums of a tile with the blocks of a window.
    products: Vec<Products>,
    done: Vec<Caught>,
}

/// The center of a window that is nearest to a row by its codes.
#[derive(Clone, Copy)]
struct Nearest {
    center: usize,
}

impl<'t, 'a> Group<'t, 'a> {
    fn new(traversal: &'t LazyTraversal<'a>, quantized: &'t Quantized, floor: f32) -> Self {
        let (n_lines, rows, bars) = (quantized.n_lines(), Vec::new(), Vec::new());
        let (staged, done, products) = (Vec::new(), Vec::new(), vec![Products::UNSET; BLOCKS_PER_WINDOW]);
        Self { traversal, quantized, floor, n_lines, rows, bars, staged, products, done }
    }

    /// `rows` in order of the centers that they have seen.
    fn catch_up(mut self, rows: &[(u32, usize)]) -> Vec<Caught> {
        let mut waiting = rows.iter().peekable();
        let n_blocks = self.quantized.blocks().len();
        let first = rows.first().map_or(0, |&(seen, _)| seen as usize / BLOCK);
        for number in (first..n_blocks).step_by(BLOCKS_PER_WINDOW) {
            let window = number..n_blocks.min(number + BLOCKS_PER_WINDOW);
            while let Some(&(seen, row)) = waiting.next_if(|&&(seen, _)| (seen as usize) < window.end * BLOCK)
            {
                self.join(row, seen);
            }
            for tile in (0..self.rows.len()).step_by(TILE) {
                self.show(tile, window.clone());
            }
            for slot in (0..self.rows.len()).rev() {
                if self.rows[slot].1 < self.floor {
                    self.remove(slot);
                }
            }
        }
        self.done.append(&mut self.rows);
        // Those that have seen every center already.
        self.done.extend(waiting.map(|&(seen, row)| (row, self.traversal.upper[row], seen)));
        self.done
    }

    fn join(&mut self, row: usize, seen: u32) {
        let upper = self.traversal.upper[row];
        let first = self.rows.len() * self.n_lines;
        if first == self.staged.len() {
            self.staged.resize(first + TILE * self.n_lines, Line([0; 64]));
            self.bars.resize(self.rows.len() + TILE, i32::MAX);
        }
        self.quantized.stage(row, &mut self.staged[first..][..self.n_lines]);
        self.bars[self.rows.len()] = self.quantized.bar(row, upper);
        self.rows.push((row, upper, seen));
    }

    /// Shows a window of blocks to the tile that begins at row number `tile`.
    ///
    /// First the center nearest by its codes, whose distance lowers the bound for all others: taken in
    /// order of the centers, each that came nearer than those before it cost an exact distance.
    fn show(&mut self, tile: usize, window: Range<usize>) {
        let n_rows = TILE.min(self.rows.len() - tile);
        let (blocks, kernel) = (&self.quantized.blocks()[window.clone()], self.quantized.kernel());
        kernel.with_blocks(&self.staged[tile * self.n_lines..], n_rows, blocks, &mut self.products);
        let nearest = self.nearest_by_codes(tile, n_rows, &window);
        for (slot, nearest) in nearest.iter().enumerate().take(n_rows) {
            if let Some(nearest) = nearest {
                self.take_exact(tile + slot, nearest.center);
                if self.rows[tile + slot].1 < self.floor {
                    // It leaves without having seen the rest of the window.
                    self.bars[tile + slot] = i32::MAX;
                }
            }
        }
        for (number, block) in window.clone().enumerate() {
            let above = kernel.above(&self.products[number], &self.bars[tile..tile + TILE], n_rows);
            for slot in 0..n_rows {
                let mut above = above[slot] & self.unseen(tile + slot, block);
                while above != 0 {
                    let lane = above.trailing_zeros() as usize;
                    above &= above - 1;
                    let center = block * BLOCK + lane;
                    let is_taken = nearest[slot].is_some_and(|nearest| nearest.center == center);
                    if !is_taken && self.products[number].0[slot][lane] > self.bars[tile + slot] {
                        self.take_exact(tile + slot, center);
                    }
                }
            }
        }
        let n_shown = (window.end * BLOCK).min(self.traversal.centers.len()) as u32;
        for slot in tile..tile + n_rows {
            if self.bars[slot] < i32::MAX || self.rows[slot].1 >= self.floor {
                self.rows[slot].2 = self.rows[slot].2.max(n_shown);
            }
        }
    }

    /// For each row of the tile the center of the window with the largest sum, if it is over the bar.
    fn nearest_by_codes(&self, tile: usize, n_rows: usize, window: &Range<usize>) -> [Option<Nearest>; TILE] {
        let mut nearest = [None; TILE];
        let mut bars = [i32::MAX; TILE];
        bars.copy_from_slice(&self.bars[tile..tile + TILE]);
        for (number, block) in window.clone().enumerate() {
            let products = &self.products[number];
            let above = self.quantized.kernel().above(products, &bars, n_rows);
            for slot in 0..n_rows {
                let mut above = above[slot] & self.unseen(tile + slot, block);
                while above != 0 {
                    let lane = above.trailing_zeros() as usize;
                    above &= above - 1;
                    let sum = products.0[slot][lane];
                    if sum > bars[slot] {
                        (bars[slot], nearest[slot]) = (sum, Some(Nearest { center: block * BLOCK + lane }));
                    }
                }
            }
        }
        for (slot, nearest) in nearest.iter().enumerate() {
            if let Some(nearest) = nearest {
                self.traversal.prefetch(self.rows[tile + slot].0);
                self.traversal.prefetch_center(nearest.center);
            }
        }
        nearest
    }

    /// The centers of a block that a row has not seen, one bit each.
    fn unseen(&self, slot: usize, block: usize) -> u32 {
        let n_centers = self.quantized.blocks()[block].n_centers();
        let n_seen = (self.rows[slot].2 as usize).saturating_sub(block * BLOCK).min(BLOCK);
        u32::MAX >> (BLOCK - n_centers) & u32::MAX.checked_shl(n_seen as u32).unwrap_or(0)
    }

    /// Lowers the bound of a row, and with it the bar, to its exact distance to one center.
    fn take_exact(&mut self, slot: usize, center: usize) {
        let (row, upper, _) = self.rows[slot];
        let squared_distance = self.traversal.exact(row, center);
        if squared_distance < upper {
            self.rows[slot].1 = squared_distance;
            self.bars[slot] = self.quantized.bar(row, squared_distance);
        }
    }

    /// Takes out row number `slot`; the last comes into its place.
    fn remove(&mut self, slot: usize) {
        let last = self.rows.len() - 1;
        self.done.push(self.rows.swap_remove(slot));
        self.bars[slot] = self.bars[last];
        self.staged.copy_within(last * self.n_lines..(last + 1) * self.n_lines, slot * self.n_lines);
    }
}

/// More rows in a level cost more at each pick, fewer make more levels, each with a pass over all
/// bounds. Not tuned: 400 to 2,000 rows were alike within the noise of the machine at 50,000.
fn level_rows(n_rows: usize) -> usize {
    (n_rows / 256 + 768).min(8192)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::super::Task;
    use super::super::plain::PlainTraversal;
    use super::*;
    use crate::embeddings;
    use crate::k_center::Centers;
    use crate::simd::products::ProductKernel;

    /// Values between -1 and 1 without structure.
    struct Values(u64);

    impl Values {
        fn next(&mut self) -> f32 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 40) as f32 / 8_388_608.0 - 1.0
        }

        fn below(&mut self, n: usize) -> usize {
            ((self.next() + 1.0) * 0.5 * n as f32) as usize % n
        }

        fn array(&mut self, n_rows: usize, n_columns: usize) -> Array2<f32> {
            Array2::from_shape_simple_fn((n_rows, n_columns), || self.next() + self.next() + self.next())
        }
    }

    const N_ROWS: usize = 900;

    fn rows_of(distinct: &Array2<f32>, values: &mut Values) -> Array2<f32> {
        let rows: Vec<usize> = (0..N_ROWS).map(|_| values.below(distinct.nrows())).collect();
        Array2::from_shape_fn((N_ROWS, distinct.ncols()), |(i, j)| distinct[(rows[i], j)])
    }

    fn shapes() -> Vec<(&'static str, Array2<f32>)> {
        let mut values = Values(1);
        let gaussian = values.array(N_ROWS, 70);
        let centers = values.array(12, 130) * 9.0;
        let clustered = rows_of(&centers, &mut values) + values.array(N_ROWS, 130) * 0.1;
        let low_rank = values.array(N_ROWS, 3).dot(&values.array(3, 96));
        let distinct = values.array(300, 20);
        let mut outlier = values.array(N_ROWS, 16);
        outlier.row_mut(17).fill(500.0);
        outlier.column_mut(3).mapv_inplace(|value| value * 40.0);
        let whole = values.array(N_ROWS, 5).mapv(f32::round);
        vec![
            ("gaussian", gaussian),
            ("clustered", clustered),
            ("low rank", low_rank),
            ("duplicated", rows_of(&distinct, &mut values)),
            ("constant", Array2::from_elem((N_ROWS, 5), 0.1)),
            ("offset by 100", values.array(N_ROWS, 64) * 0.01 + 100.0),
            ("one dimension", values.array(N_ROWS, 1)),
            ("an outlier", outlier),
            ("whole numbers, many ties", whole),
            ("orthogonal, all alike", Array2::eye(N_ROWS)),
        ]
    }

    fn centers(traversal: &mut impl Traversal, initial_rows: &[usize]) -> Centers {
        let first_row = initial_rows.is_empty().then_some(5);
        let task =
            Task { n_rows: N_ROWS, first_row, initial_rows, wanted: 600, stop_radius: None, scale: 1.0 };
        task.run(traversal, &mut |_| ControlFlow::Continue(()))
    }

    #[test]
    fn every_path_picks_what_the_definition_picks() {
        let pools = [1, 2, 3].map(|n_threads| Workers::new(Some(n_threads), 100).unwrap());
        for (name, points) in shapes() {
            let points = Embeddings::new(&points.view()).unwrap();
            let keep_on = &mut || ControlFlow::Continue(());
            let survey = embeddings::survey(points, &pools[0], keep_on).unwrap();
            for initial_rows in [&[][..], &[3, 800, 41, 5]] {
                let plain = centers(&mut PlainTraversal::new(points, &pools[0]), initial_rows);
                let kernels = ProductKernel::available().into_iter().map(Some).chain([None]);
                for (number, kernel) in kernels.enumerate() {
                    // Small levels, so that there are many; the last are as large as in use.
                    for level_rows in [7, 60, 800] {
                        let workers = &pools[(number + level_rows) % 3];
                        let quantized =
                            Quantized::new(points, &survey, 1.0, kernel, workers, keep_on).unwrap();
                        let distances = InstructionSet::available();
                        let mut lazy = LazyTraversal::new(points, quantized, workers)
                            .with_level_rows(level_rows)
                            .with_distance(distances[number % distances.len()]);
                        let found = centers(&mut lazy, initial_rows);
                        assert_eq!(found, plain, "{name} {initial_rows:?} {kernel:?} {level_rows}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_break_inside_a_level_leaves_the_picks_before_it() {
        let workers = Workers::new(Some(1), 1).unwrap();
        let points = Values(2).array(3000, 8);
        let points = Embeddings::new(&points.view()).unwrap();
        let task = Task {
            n_rows: 3000,
            first_row: Some(0),
            initial_rows: &[],
            wanted: 50,
            stop_radius: None,
            scale: 1.0,
        };
        let all = task.run(&mut PlainTraversal::new(points, &workers), &mut |_| ControlFlow::Continue(()));
        for n_calls in 0..60 {
            let mut calls = 0;
            let mut lazy = LazyTraversal::new(points, None, &workers).with_level_rows(100);
            let some = task.run(&mut lazy, &mut |_| {
                calls += 1;
                if calls <= n_calls { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            assert_eq!(some.rows[..], all.rows[..some.rows.len()]);
            assert_eq!(some.radii[..], all.radii[..some.rows.len()]);
        }
    }
}
