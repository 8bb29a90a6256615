//! The one check of whole numbers against their range.

use crate::search::error::OptionError;

pub(super) fn within(place: &str, value: usize, least: usize, most: usize) -> Result<(), OptionError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(OptionError::new(place, format!("must be from {least} to {most}, found {value}")))
}
