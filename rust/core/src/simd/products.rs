//! Dot products of 8-bit rows, many at a time: the inner loop of the filter in front of exact
//! distances.
//!
//! A tile of up to [`TILE`] points is multiplied with a block of [`BLOCK`] centers, so that what is
//! loaded of either is used many times. Integers are exact, so every path gives the same products.
//! There is no portable path: the traversal does without the filter on other processors.
#![allow(unsafe_code, reason = "loads of whole registers, and functions that need an instruction set")]

#[cfg(target_arch = "x86_64")]
#[allow(clippy::wildcard_imports, reason = "thirty intrinsics, each with a prefix of its own")]
use std::arch::x86_64::*;

#[cfg(target_arch = "x86_64")]
use crate::instruction_sets::{Level, allows};

#[cfg(all(any(test, feature = "emulated-amx"), target_arch = "x86_64", target_os = "linux"))]
mod emulated_tiles;

/// Points in a tile: two tile registers of AMX, four passes of eight points for AVX-512.
pub const TILE: usize = 32;
/// Centers in a block: two tile registers of AMX, two registers of AVX-512.
pub const BLOCK: usize = 32;
/// Largest length of a row whose products cannot overflow: d * 127 * 255, and half a squared norm
/// of d * 127 * 127, stay below 2^30.
pub const MAX_COLUMNS: usize = 24_000;

/// Bytes in a line of the cache, in a register of AVX-512 and in a row of a tile register.
const LINE: usize = 64;
/// Values of one center that stand next to each other in a block: what one lane multiplies.
const GROUP: usize = 4;
/// Groups in a line of a row.
const GROUPS: usize = LINE / GROUP;
/// Lines of a block for one line of a row.
const LINES_PER_STEP: usize = BLOCK * GROUP / LINE * GROUPS;

/// 64 bytes on a border of 64.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Line(pub [i8; LINE]);

/// Lines that hold a row of `n_columns` codes; the rest of the last is 0.
#[must_use]
pub fn lines_of(n_columns: usize) -> usize {
    n_columns.div_ceil(LINE)
}

/// Copies `codes` to the front of `lines` and clears the rest.
pub fn fill_lines(lines: &mut [Line], codes: &[i8]) {
    let (whole, rest) = codes.as_chunks::<LINE>();
    let (whole_lines, rest_lines) = lines.split_at_mut(whole.len());
    for (line, codes) in whole_lines.iter_mut().zip(whole) {
        line.0 = *codes;
    }
    if let Some((line, empty)) = rest_lines.split_first_mut() {
        line.0[..rest.len()].copy_from_slice(rest);
        line.0[rest.len()..].fill(0);
        empty.fill(Line([0; LINE]));
    }
}

/// Up to [`BLOCK`] centers, in the order in which the kernels read them: values `4 g .. 4 g + 4` of
/// centers 0 to 15 in one line, of centers 16 to 31 in the line that stands 16 further, `g` rising.
#[derive(Debug)]
pub struct CenterBlock {
    lines: Vec<Line>,
    /// What the sum of each center starts from.
    starts: Starts,
    n_centers: usize,
}

#[derive(Debug)]
#[repr(C, align(64))]
struct Starts([i32; BLOCK]);

/// Sums of a tile with a block: one row a point, one column a center.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Products(pub [[i32; BLOCK]; TILE]);

impl Products {
    /// Before the first sums.
    pub const UNSET: Self = Self([[0; BLOCK]; TILE]);
}

/// A kernel that this machine has: the field is private, so that holding a value proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProductKernel(Path);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "no path is made there"))]
enum Path {
    Avx2,
    Avx512Vnni,
    Amx,
}

#[cfg_attr(
    not(target_arch = "x86_64"),
    allow(unused_variables, unused_mut, clippy::unused_self, reason = "no value of this type exists there")
)]
impl ProductKernel {
    /// All that this machine has and may use, the fastest last.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut paths = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if allows(Level::Avx2) && is_x86_feature_detected!("avx2") {
                paths.push(Path::Avx2);
            }
            let has_vnni = is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vnni");
            if allows(Level::Avx512) && has_vnni {
                paths.push(Path::Avx512Vnni);
                if allows(Level::Amx) && amx::is_permitted() {
                    paths.push(Path::Amx);
                }
            }
        }
        paths.into_iter().map(Self).collect()
    }

    /// The fastest of them.
    #[must_use]
    pub fn best() -> Option<Self> {
        Self::available().pop()
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Path::Avx2 => "avx2",
            Path::Avx512Vnni => "avx512-vnni",
            Path::Amx => "amx",
        }
    }

    /// What is added to every code of a center: the kernels of AVX-512 and AMX multiply signed by
    /// unsigned bytes.
    #[must_use]
    pub fn bias(self) -> i32 {
        match self.0 {
            Path::Avx2 => 0,
            Path::Avx512Vnni | Path::Amx => 128,
        }
    }

    fn biased(self, code: i8) -> i8 {
        code.wrapping_add(self.bias() as i8)
    }

    /// A copy of `codes` in lines, biased, as [`Self::with_one`] wants its center.
    #[must_use]
    pub fn center_lines(self, codes: &[i8]) -> Vec<Line> {
        let mut lines = vec![Line([0; LINE]); lines_of(codes.len())];
        for (line, codes) in lines.iter_mut().zip(codes.chunks(LINE)) {
            for (out, &code) in line.0.iter_mut().zip(codes) {
                *out = self.biased(code);
            }
        }
        lines
    }

    /// Sums of `n_points` points (rounded up to what the kernel does at once) with the centers of each
    /// block: `start + Σ point · (center + bias)` in row `point` and column `center` of its `out`.
    ///
    /// # Panics
    /// If `points` holds less than [`TILE`] rows of the length of the centers.
    pub fn with_blocks(self, points: &[Line], n_points: usize, blocks: &[CenterBlock], out: &mut [Products]) {
        let n_lines = blocks.first().map_or(0, CenterBlock::n_lines);
        let are_whole =
            points.len() >= TILE * n_lines && n_points <= TILE && (n_lines > 0 || blocks.is_empty());
        assert!(are_whole && blocks.iter().all(|block| block.n_lines() == n_lines), "a tile is full rows");
        #[cfg(target_arch = "x86_64")]
        match self.0 {
            // SAFETY: `available` is the only maker of this value and has seen the features; the
            // assertion above holds, and a block always has whole steps.
            Path::Avx2 => unsafe { with_blocks_avx2(points, n_points, n_lines, blocks, out) },
            // SAFETY: as above.
            Path::Avx512Vnni => unsafe { with_blocks_vnni(points, n_points, n_lines, blocks, out) },
            // SAFETY: as above, and the system has granted the use of the tile registers.
            Path::Amx => unsafe { amx::with_blocks(points, n_points, n_lines, blocks, out) },
        }
    }

    /// [`Self::with_blocks`] with one block.
    ///
    /// # Panics
    /// As [`Self::with_blocks`].
    pub fn with_block(self, points: &[Line], n_points: usize, block: &CenterBlock, out: &mut Products) {
        self.with_blocks(points, n_points, std::slice::from_ref(block), std::slice::from_mut(out));
    }

    /// Bit `center` of entry `point` is set where the sum is greater than the bar of the point.
    #[must_use]
    pub fn above(self, products: &Products, bars: &[i32], n_points: usize) -> [u32; TILE] {
        let mut masks = [0; TILE];
        #[cfg(target_arch = "x86_64")]
        match self.0 {
            // SAFETY: `available` is the only maker of this value and has seen AVX2.
            Path::Avx2 => unsafe { above_avx2(products, bars, n_points, &mut masks) },
            // SAFETY: as above, with AVX-512F.
            Path::Avx512Vnni | Path::Amx => unsafe { above_avx512(products, bars, n_points, &mut masks) },
        }
        masks
    }

    /// Appends to `out` the sum `Σ point · (center + bias)` for every row of `center.len()` lines.
    pub fn with_one(self, points: &[Line], center: &[Line], out: &mut Vec<i32>) {
        out.clear();
        #[cfg(target_arch = "x86_64")]
        match self.0 {
            // SAFETY: `available` is the only maker of this value and has seen AVX2.
            Path::Avx2 => unsafe { with_one_avx2(points, center, out) },
            // SAFETY: as above, with AVX-512BW and VNNI.
            Path::Avx512Vnni | Path::Amx => unsafe { with_one_vnni(points, center, out) },
        }
    }
}

impl CenterBlock {
    /// A block without centers, for rows of `n_columns`.
    #[must_use]
    pub fn empty(n_columns: usize) -> Self {
        let lines = vec![Line([0; LINE]); lines_of(n_columns) * LINES_PER_STEP];
        Self { lines, starts: Starts([0; BLOCK]), n_centers: 0 }
    }

    /// Lines of a row that the block can be multiplied with.
    fn n_lines(&self) -> usize {
        self.lines.len() / LINES_PER_STEP
    }

    /// Number of centers in it.
    #[must_use]
    pub fn n_centers(&self) -> usize {
        self.n_centers
    }

    /// Adds a center, whose sums start from `start`.
    ///
    /// # Panics
    /// If the block is full.
    pub fn push(&mut self, kernel: ProductKernel, codes: &[i8], start: i32) {
        let (half, lane) = (self.n_centers / GROUPS, self.n_centers % GROUPS);
        for (group, codes) in codes.chunks(GROUP).enumerate() {
            let number = (group / GROUPS * 2 + half) * GROUPS + group % GROUPS;
            let values = &mut self.lines[number].0[lane * GROUP..];
            for (value, &code) in values.iter_mut().zip(codes) {
                *value = kernel.biased(code);
            }
        }
        self.starts.0[self.n_centers] = start;
        self.n_centers += 1;
    }
}

/// # Safety
/// `points` holds [`TILE`] rows of `n_lines`, each block holds `n_lines` steps.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn with_blocks_vnni(
    points: &[Line],
    n_points: usize,
    n_lines: usize,
    blocks: &[CenterBlock],
    out: &mut [Products],
) {
    for (block, out) in blocks.iter().zip(out) {
        // SAFETY: the caller's promise.
        unsafe { with_block_vnni(points, n_points, n_lines, block, out) }
    }
}

/// # Safety
/// `points` holds [`TILE`] rows of `n_lines`, `block` holds `n_lines` steps.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn with_block_vnni(
    points: &[Line],
    n_points: usize,
    n_lines: usize,
    block: &CenterBlock,
    out: &mut Products,
) {
    // Sixteen sums of eight points with two registers of centers, so that each broadcast is used
    // twice and each register of centers eight times.
    const POINTS: usize = 8;
    let starts = block.starts.0.as_ptr();
    for first in (0..n_points).step_by(POINTS) {
        // SAFETY: 32 starts are two registers; point `first + 7` is below `TILE`, so its lines are in
        // `points`; line `(2 step + 1) * 16 + group` is below `n_lines * LINES_PER_STEP`; rows of
        // `out` hold two registers. The struct's alignment is 64, and only whole registers are used.
        unsafe {
            let start = [_mm512_load_si512(starts.cast()), _mm512_load_si512(starts.add(GROUPS).cast())];
            let mut sums = [start; POINTS];
            let tile = points.as_ptr().add(first * n_lines);
            for step in 0..n_lines {
                let centers = block.lines.as_ptr().add(step * LINES_PER_STEP);
                for group in 0..GROUPS {
                    let low = _mm512_load_si512(centers.add(group).cast());
                    let high = _mm512_load_si512(centers.add(GROUPS + group).cast());
                    for (point, sums) in sums.iter_mut().enumerate() {
                        let codes: *const i32 = tile.add(point * n_lines + step).cast();
                        let codes = _mm512_set1_epi32(codes.add(group).read());
                        sums[0] = _mm512_dpbusd_epi32(sums[0], low, codes);
                        sums[1] = _mm512_dpbusd_epi32(sums[1], high, codes);
                    }
                }
            }
            for (point, sums) in sums.iter().enumerate() {
                let row = out.0[first + point].as_mut_ptr();
                _mm512_store_si512(row.cast(), sums[0]);
                _mm512_store_si512(row.add(GROUPS).cast(), sums[1]);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn above_avx512(products: &Products, bars: &[i32], n_points: usize, masks: &mut [u32; TILE]) {
    for (mask, (row, &bar)) in masks.iter_mut().zip(products.0.iter().zip(bars)).take(n_points) {
        let bar = _mm512_set1_epi32(bar);
        // SAFETY: a row holds two registers.
        let (low, high) = unsafe {
            (_mm512_loadu_si512(row.as_ptr().cast()), _mm512_loadu_si512(row.as_ptr().add(GROUPS).cast()))
        };
        let (low, high) = (_mm512_cmpgt_epi32_mask(low, bar), _mm512_cmpgt_epi32_mask(high, bar));
        *mask = u32::from(low) | u32::from(high) << GROUPS;
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn with_one_vnni(points: &[Line], center: &[Line], out: &mut Vec<i32>) {
    out.extend(points.chunks_exact(center.len()).map(|row| {
        let mut sum = _mm512_setzero_si512();
        for (line, center) in row.iter().zip(center) {
            // SAFETY: a line is one register, on its border.
            let (line, center) = unsafe {
                (_mm512_load_si512((&raw const *line).cast()), _mm512_load_si512((&raw const *center).cast()))
            };
            sum = _mm512_dpbusd_epi32(sum, center, line);
        }
        _mm512_reduce_add_epi32(sum)
    }));
}

/// # Safety
/// `points` holds [`TILE`] rows of `n_lines`, each block holds `n_lines` steps.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn with_blocks_avx2(
    points: &[Line],
    n_points: usize,
    n_lines: usize,
    blocks: &[CenterBlock],
    out: &mut [Products],
) {
    for (block, out) in blocks.iter().zip(out) {
        // SAFETY: the caller's promise.
        unsafe { with_block_avx2(points, n_points, n_lines, block, out) }
    }
}

/// # Safety
/// `points` holds [`TILE`] rows of `n_lines`, `block` holds `n_lines` steps.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn with_block_avx2(
    points: &[Line],
    n_points: usize,
    n_lines: usize,
    block: &CenterBlock,
    out: &mut Products,
) {
    // Two points with four registers of centers: eight sums, and as many registers for the rest.
    const POINTS: usize = 2;
    const WIDTH: usize = 8;
    let starts: *const __m256i = block.starts.0.as_ptr().cast();
    for first in (0..n_points).step_by(POINTS) {
        // SAFETY: as in `with_block_vnni`, with four registers of half the width.
        unsafe {
            let start: [_; BLOCK / WIDTH] = std::array::from_fn(|part| _mm256_load_si256(starts.add(part)));
            let mut sums = [start; POINTS];
            let tile = points.as_ptr().add(first * n_lines);
            for step in 0..n_lines {
                let centers: *const __m256i = block.lines.as_ptr().add(step * LINES_PER_STEP).cast();
                for group in 0..GROUPS {
                    let centers: [_; BLOCK / WIDTH] = std::array::from_fn(|part| {
                        let line = part / 2 * GROUPS + group;
                        _mm256_load_si256(centers.add(line * 2 + part % 2))
                    });
                    for (point, sums) in sums.iter_mut().enumerate() {
                        let codes: *const i32 = tile.add(point * n_lines + step).cast();
                        let codes = _mm256_set1_epi32(codes.add(group).read());
                        for (sum, center) in sums.iter_mut().zip(centers) {
                            *sum = _mm256_add_epi32(*sum, products_avx2(codes, center));
                        }
                    }
                }
            }
            for (point, sums) in sums.iter().enumerate() {
                let row: *mut __m256i = out.0[first + point].as_mut_ptr().cast();
                for (part, &sum) in sums.iter().enumerate() {
                    _mm256_store_si256(row.add(part), sum);
                }
            }
        }
    }
}

/// Sums of four products of signed bytes each. The multiplication of unsigned by signed bytes adds
/// pairs in 16 bits and saturates; with the sign moved to the second factor a pair is at most
/// 2 * 127 * 127 = 32,258, which fits. No code is -128, whose magnitude would be 128.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn products_avx2(x: __m256i, y: __m256i) -> __m256i {
    let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(y, x));
    _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn above_avx2(products: &Products, bars: &[i32], n_points: usize, masks: &mut [u32; TILE]) {
    const WIDTH: usize = 8;
    for (mask, (row, &bar)) in masks.iter_mut().zip(products.0.iter().zip(bars)).take(n_points) {
        let bar = _mm256_set1_epi32(bar);
        for part in 0..BLOCK / WIDTH {
            // SAFETY: a row holds four registers.
            let sums = unsafe { _mm256_loadu_si256(row.as_ptr().add(part * WIDTH).cast()) };
            let above = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(sums, bar)));
            *mask |= (above as u32) << (part * WIDTH);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_one_avx2(points: &[Line], center: &[Line], out: &mut Vec<i32>) {
    out.extend(points.chunks_exact(center.len()).map(|row| {
        let mut sums = [_mm256_setzero_si256(); 2];
        for (line, center) in row.iter().zip(center) {
            let (line, center): (*const __m256i, *const __m256i) =
                ((&raw const *line).cast(), (&raw const *center).cast());
            for (half, sum) in sums.iter_mut().enumerate() {
                // SAFETY: a line is two registers, on a border of 64.
                let (x, y) =
                    unsafe { (_mm256_load_si256(line.add(half)), _mm256_load_si256(center.add(half))) };
                *sum = _mm256_add_epi32(*sum, products_avx2(x, y));
            }
        }
        let eight = _mm256_add_epi32(sums[0], sums[1]);
        let four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256::<1>(eight));
        let two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
        _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<1>(two)))
    }));
}

/// The matrix unit of Xeons since 2023: 16 x 64 by 64 x 16 bytes in one instruction. In assembly
/// because its intrinsics are not stable.
#[cfg(target_arch = "x86_64")]
mod amx {
    use std::arch::asm;
    use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
    use std::sync::OnceLock;

    use super::{BLOCK, CenterBlock, GROUPS, LINE, LINES_PER_STEP, Line, Products};

    /// Rows of a tile register.
    const ROWS: usize = 16;

    /// Whether the processor has tiles of bytes and the system lets this process use them.
    ///
    /// The permission is asked for once and holds for the process; its one effect on others is that
    /// alternative signal stacks must be large enough for the registers.
    pub fn is_permitted() -> bool {
        static PERMITTED: OnceLock<bool> = OnceLock::new();
        *PERMITTED.get_or_init(|| (has_tiles() && ask_for_tiles()) || are_emulated())
    }

    /// In builds for that alone; other tests do without, as programs do.
    fn are_emulated() -> bool {
        #[cfg(all(feature = "emulated-amx", target_os = "linux"))]
        return super::emulated_tiles::begin();
        #[cfg(not(all(feature = "emulated-amx", target_os = "linux")))]
        return false;
    }

    #[allow(
        unused_unsafe,
        reason = "the intrinsics are safe functions since a later compiler than ours needs"
    )]
    fn has_tiles() -> bool {
        const TILES_OF_BYTES: u32 = 0b11 << 24;
        const TILE_STATES: u64 = 0b11 << 17;
        // SAFETY: every x86-64 processor has `cpuid`; leaf 7 is asked for only if it exists.
        let has =
            unsafe { __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & TILES_OF_BYTES == TILES_OF_BYTES };
        // SAFETY: AVX-512 has been detected, so the system uses XSAVE.
        has && is_x86_feature_detected!("xsave") && unsafe { tile_states() } & TILE_STATES == TILE_STATES
    }

    #[target_feature(enable = "xsave")]
    fn tile_states() -> u64 {
        // SAFETY: register 0 exists wherever XSAVE does.
        unsafe { _xgetbv(0) }
    }

    #[cfg(target_os = "linux")]
    fn ask_for_tiles() -> bool {
        const ARCH_PRCTL: i64 = 158;
        const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
        const XFEATURE_XTILEDATA: u64 = 18;
        let result: i64;
        // SAFETY: a system call that touches no memory of ours; a kernel without it says so.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") ARCH_PRCTL => result,
                in("rdi") ARCH_REQ_XCOMP_PERM,
                in("rsi") XFEATURE_XTILEDATA,
                out("rcx") _,
                out("r11") _,
                options(nostack),
            );
        }
        result == 0
    }

    #[cfg(not(target_os = "linux"))]
    fn ask_for_tiles() -> bool {
        false
    }

    /// Palette 1, eight tiles of 16 rows of 64 bytes.
    #[repr(C, align(64))]
    struct Configuration([u8; 64]);

    static ALL_TILES_WHOLE: Configuration = {
        let mut bytes = [0; 64];
        bytes[0] = 1;
        let mut tile = 0;
        while tile < 8 {
            bytes[16 + 2 * tile] = LINE as u8;
            bytes[48 + tile] = ROWS as u8;
            tile += 1;
        }
        Configuration(bytes)
    };

    /// # Safety
    /// [`is_permitted`], `points` holds [`super::TILE`] rows of `n_lines`, and each block `n_lines` steps.
    pub unsafe fn with_blocks(
        points: &[Line],
        n_points: usize,
        n_lines: usize,
        blocks: &[CenterBlock],
        out: &mut [Products],
    ) {
        // SAFETY: the tile registers are configured first and released last, so no state is left;
        // nothing in between uses them but `with_block`, to which the caller's promise goes on.
        unsafe {
            asm!(
                "ldtilecfg [{configuration}]",
                configuration = in(reg) &raw const ALL_TILES_WHOLE,
                options(nostack, readonly),
            );
            for (block, out) in blocks.iter().zip(out) {
                with_block(points, n_points, n_lines, block, out);
            }
            asm!("tilerelease", options(nostack, nomem));
        }
    }

    /// # Safety
    /// As [`with_blocks`], between the configuration and the release of the tile registers.
    #[inline]
    unsafe fn with_block(
        points: &[Line],
        n_points: usize,
        n_lines: usize,
        block: &CenterBlock,
        out: &mut Products,
    ) {
        let starts = block.starts.0.as_ptr();
        let (upper, lower) = (points.as_ptr(), points.as_ptr().wrapping_add(ROWS * n_lines));
        let (out_upper, out_lower) = (out.0.as_mut_ptr(), out.0[ROWS..].as_mut_ptr());
        let centers = block.lines.as_ptr();
        // SAFETY: per step the upper and lower 16 rows of `points` (line `step` of each, a row apart)
        // and 2 KiB of centers are read, `n_lines` times; 16 rows of one start line are the same line
        // with stride 0; 16 rows of 64 bytes, a row of `out` apart, are written to each quarter of
        // `out`. The tile registers are configured.
        unsafe {
            if n_points > ROWS {
                asm!(
                    "tileloadd tmm0, [{starts} + {zero}]",
                    "tileloadd tmm1, [{starts} + {zero} + 64]",
                    "tileloadd tmm2, [{starts} + {zero}]",
                    "tileloadd tmm3, [{starts} + {zero} + 64]",
                    "2:",
                    "tileloadd tmm4, [{upper} + {row}]",
                    "tileloadd tmm6, [{centers} + {line}]",
                    "tileloadd tmm7, [{centers} + {line} + 1024]",
                    "tdpbsud tmm0, tmm4, tmm6",
                    "tileloadd tmm5, [{lower} + {row}]",
                    "tdpbsud tmm1, tmm4, tmm7",
                    "tdpbsud tmm2, tmm5, tmm6",
                    "tdpbsud tmm3, tmm5, tmm7",
                    "add {upper}, 64",
                    "add {lower}, 64",
                    "add {centers}, 2048",
                    "dec {steps}",
                    "jnz 2b",
                    "tilestored [{out_upper} + {out_row}], tmm0",
                    "tilestored [{out_upper} + {out_row} + 64], tmm1",
                    "tilestored [{out_lower} + {out_row}], tmm2",
                    "tilestored [{out_lower} + {out_row} + 64], tmm3",
                    starts = in(reg) starts,
                    zero = in(reg) 0_usize,
                    upper = inout(reg) upper => _,
                    lower = inout(reg) lower => _,
                    centers = inout(reg) centers => _,
                    row = in(reg) n_lines * LINE,
                    line = in(reg) LINE,
                    steps = inout(reg) n_lines => _,
                    out_upper = in(reg) out_upper,
                    out_lower = in(reg) out_lower,
                    out_row = in(reg) BLOCK * size_of::<i32>(),
                    options(nostack),
                );
            } else {
                asm!(
                    "tileloadd tmm0, [{starts} + {zero}]",
                    "tileloadd tmm1, [{starts} + {zero} + 64]",
                    "2:",
                    "tileloadd tmm4, [{upper} + {row}]",
                    "tileloadd tmm6, [{centers} + {line}]",
                    "tileloadd tmm7, [{centers} + {line} + 1024]",
                    "tdpbsud tmm0, tmm4, tmm6",
                    "tdpbsud tmm1, tmm4, tmm7",
                    "add {upper}, 64",
                    "add {centers}, 2048",
                    "dec {steps}",
                    "jnz 2b",
                    "tilestored [{out_upper} + {out_row}], tmm0",
                    "tilestored [{out_upper} + {out_row} + 64], tmm1",
                    starts = in(reg) starts,
                    zero = in(reg) 0_usize,
                    upper = inout(reg) upper => _,
                    centers = inout(reg) centers => _,
                    row = in(reg) n_lines * LINE,
                    line = in(reg) LINE,
                    steps = inout(reg) n_lines => _,
                    out_upper = in(reg) out_upper,
                    out_row = in(reg) BLOCK * size_of::<i32>(),
                    options(nostack),
                );
            }
        }
        const { assert!(LINES_PER_STEP * LINE == 2048 && GROUPS == ROWS) };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Codes of 32 points and of 1 to 32 centers, extremes included.
    fn codes() -> impl Strategy<Value = (usize, Vec<Vec<i8>>, Vec<Vec<i8>>)> {
        (prop_oneof![1..70_usize, 120..200_usize], 1..=BLOCK, 1..=TILE).prop_flat_map(
            |(n_columns, n_centers, n_points)| {
                let code = prop_oneof![Just(127_i8), Just(-127_i8), -127..=127_i8];
                let row = prop::collection::vec(code, n_columns);
                let points = prop::collection::vec(row.clone(), n_points);
                (Just(n_columns), points, prop::collection::vec(row, n_centers))
            },
        )
    }

    fn sum(point: &[i8], center: &[i8], bias: i32) -> i32 {
        point.iter().zip(center).map(|(&x, &y)| i32::from(x) * (i32::from(y) + bias)).sum()
    }

    /// All of the machine, and the matrix unit in software where it has none: what goes with it is AVX-512.
    fn kernels() -> Vec<ProductKernel> {
        let mut kernels = ProductKernel::available();
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if allows(Level::Amx) && kernels.last() == Some(&ProductKernel(Path::Avx512Vnni)) {
            assert!(emulated_tiles::begin());
            kernels.push(ProductKernel(Path::Amx));
        }
        kernels
    }

    fn check_sums(points: &[Vec<i8>], centers: &[Vec<i8>]) {
        let n_columns = centers[0].len();
        let n_lines = lines_of(n_columns);
        let mut tile = vec![Line([1; LINE]); TILE * n_lines];
        for (lines, codes) in tile.chunks_mut(n_lines).zip(points) {
            fill_lines(lines, codes);
        }
        for kernel in kernels() {
            let mut block = CenterBlock::empty(n_columns);
            for (start, codes) in centers.iter().enumerate() {
                block.push(kernel, codes, -(start as i32));
            }
            assert_eq!(block.n_centers(), centers.len());
            let mut products = Products::UNSET;
            kernel.with_block(&tile, points.len(), &block, &mut products);
            let mut ones = Vec::new();
            for (column, center) in centers.iter().enumerate() {
                kernel.with_one(&tile[..points.len() * n_lines], &kernel.center_lines(center), &mut ones);
                for (row, point) in points.iter().enumerate() {
                    let expected = sum(point, center, kernel.bias());
                    assert_eq!(products.0[row][column], expected - column as i32, "{kernel:?}");
                    assert_eq!(ones[row], expected, "{kernel:?}");
                }
            }
            let bars: [i32; TILE] = std::array::from_fn(|row| products.0[row][0]);
            let above = kernel.above(&products, &bars, points.len());
            for row in 0..points.len() {
                for column in 0..BLOCK {
                    let is_above = products.0[row][column] > bars[row];
                    assert_eq!(above[row] >> column & 1 == 1, is_above, "{kernel:?}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_kernel_gives_the_sums_of_the_definition((_, points, centers) in codes()) {
            check_sums(&points, &centers);
        }
    }

    #[test]
    fn the_longest_rows_do_not_overflow() {
        let rows: Vec<Vec<i8>> = [127, -127].map(|code| vec![code; MAX_COLUMNS]).into();
        check_sums(&rows, &rows);
        let (columns, code) = (MAX_COLUMNS as i64, 127_i64);
        // A product with the bias, half a squared norm, and a squared distance of codes that a ball adds.
        let most = columns * code * (code + 128) + columns * code * code / 2 + 2 * code * code * columns + 4;
        assert!(columns * code * (code + 128) < 1 << 30 && most < i64::from(i32::MAX));
        // Both crossed sums of two levels.
        assert!(2 * columns * code * (code + 128) < i64::from(i32::MAX));
    }
}
