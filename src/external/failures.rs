//! When failures are no longer the networks' but the program's: too many different ones in a row.

/// Different networks in a row that the program gave no usable answer for, after which it is taken to be broken.
pub const UNANSWERED_IN_A_ROW: usize = 5;

/// Different networks in a row that failed in whatever way, after which it is taken to be broken: more, since a program
/// that answers with an error knows what it says, and may refuse many a network.
pub const FAILED_IN_A_ROW: usize = 20;

/// Reasons that a message lists.
const LISTED_REASONS: usize = 5;

/// The failures since the last success.
#[derive(Debug, Default)]
pub struct Failures {
    in_a_row: Vec<Failure>,
}

/// A network that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its name.
    pub network: String,
    /// Why, in one line.
    pub reason: String,
    /// Whether the program itself said so.
    pub answered: bool,
}

impl Failures {
    /// A network did not fail.
    pub fn success(&mut self) {
        self.in_a_row.clear();
    }

    /// A network failed. `Some` if with it there are too many, in words; the counting then begins anew.
    pub fn add(&mut self, failure: Failure) -> Option<String> {
        self.in_a_row.retain(|earlier| earlier.network != failure.network);
        self.in_a_row.push(failure);
        let unanswered = self.in_a_row.iter().filter(|failure| !failure.answered).count();
        if unanswered < UNANSWERED_IN_A_ROW && self.in_a_row.len() < FAILED_IN_A_ROW {
            return None;
        }
        let failures = std::mem::take(&mut self.in_a_row);
        let last = &failures[failures.len().saturating_sub(LISTED_REASONS)..];
        let mut reasons: Vec<&str> = Vec::new();
        for Failure { reason, .. } in last {
            if !reasons.contains(&reason.as_str()) {
                reasons.push(reason);
            }
        }
        Some(format!(
            "{} different networks in a row failed, so it is taken to be the program and not the networks. The last \
             reasons:\n  {}",
            failures.len(),
            reasons.join("\n  "),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(network: usize, reason: &str, answered: bool) -> Failure {
        Failure { network: network.to_string(), reason: reason.to_owned(), answered }
    }

    #[test]
    fn only_different_networks_with_no_success_between_them_are_too_many() {
        let mut failures = Failures::default();
        for network in 0..UNANSWERED_IN_A_ROW - 1 {
            assert_eq!(failures.add(failure(network, "gone", false)), None);
            assert_eq!(failures.add(failure(network, "gone", false)), None, "the same network counts once");
        }
        failures.success();
        for network in 0..UNANSWERED_IN_A_ROW - 1 {
            assert_eq!(failures.add(failure(network, "gone", false)), None);
        }
        let message = failures.add(failure(99, "out of memory", false)).unwrap();
        assert!(
            message.starts_with("5 different networks in a row failed") && message.ends_with("gone\n  out of memory")
        );
        assert_eq!(failures.add(failure(100, "gone", false)), None, "whoever goes on begins to count anew");
    }

    #[test]
    fn a_program_may_refuse_more_networks_than_it_may_leave_without_an_answer() {
        let mut failures = Failures::default();
        for network in 1..FAILED_IN_A_ROW {
            assert_eq!(failures.add(failure(network, "no such kernel", true)), None);
        }
        let message = failures.add(failure(0, "no such kernel", true)).unwrap();
        assert!(message.starts_with("20 different") && message.matches("no such kernel").count() == 1, "{message}");
    }
}
