//! Numbers as people read them.

/// `5.11 ms`.
pub(super) fn ms(value: f64) -> String {
    format!("{value:.2} ms")
}

/// A fraction as `71.3 %`.
pub(super) fn percent(fraction: f64) -> String {
    format!("{:.1} %", 100.0 * fraction)
}

/// `311.6 M`.
pub(super) fn millions(count: usize) -> String {
    let millions = count as f64 / 1e6;
    if millions < 10.0 { format!("{millions:.2} M") } else { format!("{millions:.1} M") }
}

/// `48 s`, `5 min 12 s`, `3 h 07 min`.
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    match seconds.round() as u64 {
        whole @ 0..60 => format!("{whole} s"),
        whole @ 60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        whole => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A value, or a dash where there is none.
pub(super) fn or_dash<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), show)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_into_the_next_unit() {
        let shown = [0.04, 9.96, 59.6, 312.0, 3599.7, 11_220.0].map(duration);
        assert_eq!(shown, ["0.0 s", "10 s", "1 min 00 s", "5 min 12 s", "1 h 00 min", "3 h 07 min"]);
    }
}
