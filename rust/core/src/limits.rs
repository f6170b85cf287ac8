//! Sizes that numbers can hold: checked by arithmetic before memory is taken or work begun.

use crate::{Error, Result};

/// Rows, where their numbers are kept in 32 bits.
pub const MAX_ROWS: usize = u32::MAX as usize;

/// Refuses more rows of `argument` than 32 bits can number.
///
/// # Errors
/// [`Error::Array`].
pub fn check_rows(argument: &'static str, n_rows: usize) -> Result<()> {
    if n_rows <= MAX_ROWS {
        return Ok(());
    }
    Err(Error::array(argument, format!("{n_rows} rows"), "at most 4,294,967,295 rows"))
}

/// Refuses more tasks than 32 bits can number.
///
/// # Errors
/// [`Error::Array`].
pub fn check_tasks(argument: &'static str, n_tasks: usize) -> Result<()> {
    if n_tasks <= MAX_ROWS {
        return Ok(());
    }
    Err(Error::array(argument, format!("{n_tasks} tasks"), "at most 4,294,967,295 tasks"))
}

/// An empty list with room for `lengths[0] * lengths[1] * …` values; `None` if that is more than there
/// is memory, or than a number can say.
#[must_use]
pub fn reserved<T>(lengths: &[usize]) -> Option<Vec<T>> {
    let len = lengths.iter().try_fold(1_usize, |product, &length| product.checked_mul(length))?;
    let mut values = Vec::new();
    values.try_reserve_exact(len).ok()?;
    Some(values)
}

/// Units of work that one thread may do between two questions whether to go on, at least one, if a unit is
/// `lengths[0] * lengths[1] * …` values.
#[must_use]
pub fn units_per_slice(n_values: usize, lengths: &[usize]) -> usize {
    let unit = lengths.iter().fold(1_usize, |product, &length| product.saturating_mul(length.max(1)));
    (n_values / unit).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_past_32_bits_are_refused() {
        for n_rows in [0, 1, 1_000_000_000, 1 << 31, MAX_ROWS] {
            assert_eq!(check_rows("base", n_rows), Ok(()));
        }
        for n_rows in [MAX_ROWS + 1, MAX_ROWS + 2, 1 << 40, usize::MAX] {
            let sentence = format!("base: {n_rows} rows; allowed: at most 4,294,967,295 rows");
            assert_eq!(check_rows("base", n_rows).unwrap_err().to_string(), sentence);
        }
    }

    #[test]
    fn what_no_number_can_say_is_not_reserved() {
        assert_eq!(reserved::<u64>(&[3, 5, 2]).map(|values| values.capacity()), Some(30));
        assert_eq!(reserved::<u64>(&[]).map(|values| values.capacity()), Some(1));
        assert_eq!(reserved::<u64>(&[1 << 40, 0]).map(|values| values.len()), Some(0));
        // Products of 2^64 and more, and bytes past the largest address.
        for lengths in [&[1 << 32, 1 << 32][..], &[1 << 33, 1 << 33], &[1 << 31, 1 << 30], &[usize::MAX]] {
            assert!(reserved::<u64>(lengths).is_none(), "{lengths:?}");
        }
    }

    #[test]
    fn slices_are_never_empty_and_never_wrap() {
        assert_eq!(units_per_slice(1 << 31, &[1 << 10, 1 << 10]), 1 << 11);
        assert_eq!(units_per_slice(1 << 31, &[0, 7]), (1 << 31) / 7);
        // 2^64 wraps to 0 and 2^64 + 2^31 to 2^31.
        for lengths in [&[1 << 31, 1 << 33][..], &[1 << 31, (1 << 33) + 1], &[usize::MAX, usize::MAX]] {
            assert_eq!(units_per_slice(1 << 31, lengths), 1, "{lengths:?}");
        }
    }
}
