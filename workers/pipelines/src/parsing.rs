//! Values of options, from their texts: what several steps read in the same way.

/// A share, 0 to 1.
///
/// # Errors
/// What was expected.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "expected a share such as 0.01")?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("the share must be from 0 to 1".into()) }
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn shares_are_checked() {
        assert_eq!(share("0.5"), Ok(0.5));
        assert!(share("1.1").is_err() && share("NaN").is_err());
    }
}
