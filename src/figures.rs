//! Numbers for people.

/// A share as `97.53 %`.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// A loss as `0.1235`; one of 100,000 or more, or below 0.0001, as `2.16e9`.
pub fn number(x: f64) -> String {
    match x.abs() {
        0.0 | 1e-4..99_999.999_95 => format!("{x:.4}"),
        _ => format!("{x:.2e}"),
    }
}

/// A value in somebody's units with five digits: `0.012346`, `23.457`, `23457`, `123457`; one of 10 million or more, or below
/// 0.0001, as `2.16e9`.
pub fn measure(x: f64) -> String {
    match x.abs() {
        0.0 => "0".to_owned(),
        size @ 1e-4..1e7 => {
            // of the rounded value: 9.99999 is 10.000
            let rounded: f64 = format!("{size:.4e}").parse().unwrap_or(size);
            let digits = (4 - rounded.log10().floor() as i32).clamp(0, 8) as usize;
            format!("{x:.digits$}")
        }
        _ => format!("{x:.2e}"),
    }
}

/// The mean; NaN of none.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The sample standard deviation, with `n - 1` in the denominator; NaN of fewer than two.
pub fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    (squares / (values.len() as f64 - 1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_are_those_of_samples() {
        let values = [1.0, 2.0, 3.0, 6.0];
        assert_eq!((mean(&values), deviation(&values)), (3.0, (14.0f64 / 3.0).sqrt()));
        assert!(deviation(&[1.0]).is_nan() && mean(&[]).is_nan());
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(percent(0.975_349), "97.53 %");
        let losses =
            [0.123_45, 0.0, 20_316.834, 99_999.999_99, 2_162_786_580.773, 3.2e-7, f64::NAN];
        let shown = ["0.1235", "0.0000", "20316.8340", "1.00e5", "2.16e9", "3.20e-7", "NaN"];
        assert_eq!(losses.map(number), shown);
        let values =
            [0.012_345_67, -23.456_78, 9.999_99, 23_456.7, 1_234_567.8, 1e-9, 2.16e9, f64::NAN];
        let shown =
            ["0.012346", "-23.457", "10.000", "23457", "1234568", "1.00e-9", "2.16e9", "NaN"];
        assert_eq!(values.map(measure), shown);
    }
}
