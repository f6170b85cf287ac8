//! Bytes as the choices of which an input is made: counts, weights, task numbers.

use arbitrary::{Arbitrary, Unstructured};

/// Choices that are read from bytes; once they are used up, every choice is its first.
pub struct Input<'a> {
    bytes: Unstructured<'a>,
}

impl<'a> Input<'a> {
    /// The choices that these bytes make.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: Unstructured::new(bytes) }
    }

    /// Any value of a type.
    pub fn any<T: Arbitrary<'a> + Default>(&mut self) -> T {
        self.bytes.arbitrary().unwrap_or_default()
    }

    /// A number below `end`, which must not be 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.bytes.int_in_range(0..=end - 1).unwrap_or_default()
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Whether something happens that happens to one input in sixteen.
    pub fn seldom(&mut self) -> bool {
        self.below(16) == 15
    }

    /// `n` values, each made by `make`.
    pub fn several<T>(&mut self, n: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..n).map(|_| make(self)).collect()
    }
}

/// How large the counts of an input are.
#[derive(Clone, Copy, Debug)]
pub enum Counts {
    /// So few that a reference can deal them row by row.
    Few,
    /// Beyond what float32 can count.
    Many,
    /// Up to the largest integer.
    Huge,
    /// Any integer, negative ones included.
    Any,
}

impl Counts {
    /// A size of counts.
    pub fn choose(input: &mut Input<'_>) -> Self {
        input.pick(&[Self::Few, Self::Few, Self::Few, Self::Many, Self::Huge, Self::Any])
    }

    /// A count of that size.
    pub fn count(self, input: &mut Input<'_>) -> i64 {
        match self {
            Self::Few => input.below(40) as i64,
            Self::Many => i64::from(input.any::<u32>()),
            Self::Huge => {
                let shift = input.below(64);
                (input.any::<u64>() >> 1 >> shift) as i64
            }
            Self::Any => input.any(),
        }
    }
}

/// What the weights of an input are like.
#[derive(Clone, Copy, Debug)]
pub enum Weights {
    /// Small whole numbers, so that there are ties.
    Whole,
    /// Between 0 and 1, of few bits.
    Fractions,
    /// Powers of two over the whole range of floats, subnormal ones included.
    Powers,
    /// Any float that is neither NaN nor infinite, of the sign that is allowed.
    Finite,
    /// Any float at all.
    Any,
}

impl Weights {
    /// A kind of weights.
    pub fn choose(input: &mut Input<'_>) -> Self {
        input.pick(&[Self::Whole, Self::Fractions, Self::Powers, Self::Finite, Self::Whole, Self::Any])
    }

    /// A weight of that kind, or its log.
    pub fn weight(self, input: &mut Input<'_>, log_weights: bool) -> f64 {
        match self {
            Self::Whole if log_weights => f64::from(input.any::<u8>() / 8).ln(),
            Self::Whole => f64::from(input.any::<u8>() / 8),
            Self::Fractions if log_weights => -f64::from(input.any::<u16>()) / 64.0,
            Self::Fractions => f64::from(input.any::<u16>()) / 65536.0,
            Self::Powers => {
                let power = 2f64.powi(i32::from(input.any::<u16>() % 2098) - 1074);
                if log_weights { power.ln() } else { power }
            }
            Self::Finite => {
                let weight = input.any::<f64>();
                let weight = if weight.is_finite() { weight } else { 1.0 };
                if log_weights { weight } else { weight.abs() }
            }
            Self::Any => special_or_any(input),
        }
    }
}

/// Any float, the special ones often.
pub fn special_or_any(input: &mut Input<'_>) -> f64 {
    const SPECIAL: [f64; 12] = [
        0.0,
        -0.0,
        1.0,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        5e-324,
        -5e-324,
        -1.0,
    ];
    let choice = input.below(SPECIAL.len() + 4);
    SPECIAL.get(choice).copied().unwrap_or_else(|| input.any())
}
