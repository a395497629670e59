//! Numbers that lie so close together, far from 0, that 32 bits hardly tell them apart.

use crate::data::table;

/// Fewer steps from the least to the largest value of a column leave too few digits of their differences.
const FEW_STEPS: f64 = 1000.0;

/// See [`table::LARGEST_EXACT`].
const LARGEST_EXACT: f64 = table::LARGEST_EXACT as f64;

/// What to say of a column of numbers from `least` to `largest` as they were rounded; `is_whole` says whether all of them are whole.
pub(super) fn notice(
    name: &str,
    (least, largest): (f64, f64),
    is_whole: impl FnOnce() -> bool,
) -> Option<String> {
    let size = least.abs().max(largest.abs());
    let range = largest - least;
    if !(size.is_finite() && size > 0.0) || (size < LARGEST_EXACT && range == 0.0) {
        return None;
    }
    let step = 2f64.powi(size.log2().floor() as i32 - 23);
    if range / step >= FEW_STEPS || size < LARGEST_EXACT && is_whole() {
        return None;
    }
    let found = match range {
        0.0 => format!("one value, {least:e}, which may stand for several"),
        _ => format!("values from {least:e} to {largest:e}"),
    };
    Some(format!(
        "`{name}` has {found}: 32-bit numbers of that size are {step} apart; subtract a constant from the column in the file, \
         so that its digits are kept"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_lose_their_digits_are_named() {
        let seen = |range, is_whole| notice("t", range, || is_whole);
        // seconds since 1970 within a day, an hour that has become one value, fractions far from 0
        let day = seen((1_700_000_000.0, 1_700_086_400.0), true).unwrap();
        assert!(day.contains("`t` has values from 1.7e9 to 1.7000864e9: "), "{day}");
        assert!(day.contains("are 128 apart; subtract a constant"), "{day}");
        assert!(seen((1_700_000_000.0, 1_700_000_000.0), true).unwrap().contains("one value"));
        assert!(seen((-2_000_000.5, -2_000_000.0), false).is_some());
        for (range, is_whole) in [
            ((1_600_000_000.0, 1_700_000_000.0), true), // years
            ((1_000_000.0, 1_000_005.0), true),         // exact
            ((36.5, 37.5), false),
            ((7.25, 7.25), false),
            ((0.0, 0.0), true),
            ((f64::INFINITY, f64::NEG_INFINITY), true), // no value
        ] {
            assert_eq!(seen(range, is_whole), None, "{range:?}");
        }
    }
}
