//! Ending what a call that was given up left running on the phone.
//!
//! adbd ends at most the direct child of a connection that closes, and a reused process number must not be hit. So every
//! command carries a variable of its own in its environment, which its children inherit and `/proc/PID/environ` shows; a
//! process that has it belongs to that call, whatever its number.

use super::Command;

/// Names the call a process belongs to.
pub(super) const VARIABLE: &str = "MNAS_CALL";

/// Ends every process whose environment has a line that begins with `$1`, but for those of this very call, and prints
/// how many those were.
const END: &str = r#"
n=0
for f in $(grep -lsz "^$1" /proc/[0-9]*/environ); do
  grep -qsxz "MNAS_CALL=$MNAS_CALL" "$f" && continue
  p=${f#/proc/}
  kill -9 "${p%/environ}" 2>/dev/null && n=$((n + 1))
done
echo $n"#;

/// Ends the processes of one call.
pub(super) fn of_call(token: &str) -> Command {
    Command::script(END).word(format!("{VARIABLE}={token}"))
}

/// Ends the processes of every call to the phone with that serial number, whoever made it.
pub(super) fn of_all_calls(serial: &str) -> Command {
    Command::script(END).word(format!("{VARIABLE}={}", super::phone_part(serial)))
}
