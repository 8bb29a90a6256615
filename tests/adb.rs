//! The link to phones, against the real adb server: real adbds in a private namespace, and stand-ins for the rest.
//!
//! Every fault must give the right error, about the right phone, and lose or double nothing:
//!
//! | fault | played by | error |
//! |---|---|---|
//! | no server, and no program to start one | nothing | `Start` |
//! | no server elsewhere | nothing | `Refused` |
//! | a variable that says nonsense | nothing | `Address` |
//! | something else than adb listens | pretender | `Protocol` |
//! | a server that says nothing | pretender | `TimedOut` of the server |
//! | a server that hangs up | pretender | `Lost` of the server |
//! | a list without states | pretender | `Protocol` |
//! | no phone | adb | `NoPhone` |
//! | several phones, none named | adb, adbd | `Several` |
//! | another serial number | adb, adbd | `Unknown` |
//! | nothing at that address of the network | adb | `Remote` |
//! | a key not accepted yet, then accepted | stand-in | `Unauthorized`, then none |
//! | adbd killed while nothing runs | adbd | `Offline` or `Unknown`, then none |
//! | adbd killed during a command | adbd | `Lost` |
//! | adbd killed during a push | adbd | `Lost`, no half file |
//! | the server killed during a command | adb | `Lost` |
//! | the server killed during a push | adb | `Lost`, no half file |
//! | adbd stops moving | adbd | `TimedOut`, `Leftovers::Unknown` |
//! | a command that never ends | adbd | `TimedOut`, ended with its children |
//! | a command that never stops talking | adbd | `TooMuch`, ended |
//! | a full disk | adbd | `NoSpace`, nothing left |
//! | no hashes on the phone | adbd | none: sent every time |
//! | an adbd from before the second stat | stand-in | none |
//! | a folder that is not there, a file that is not there | adbd | `Remote` |
//! | the same size, other bytes | adbd | none: sent again |
//! | a stall before and within the output | stand-in | `TimedOut` |
//! | a cable pulled after any number of bytes | stand-in, pretender | `Lost` |
//! | an end without an exit code | stand-in | `Lost` |
//! | no shell protocol | stand-in | none, with the exit code |
//! | no shell protocol, and no marker at the end | stand-in | `Lost` |
//! | packets of no kind, exit codes of two bytes | stand-in | `Protocol` |
//! | a packet of 4 GiB | stand-in | `TooMuch` |
//! | a file in too large pieces, a file that is none | stand-in | `Protocol` |
//! | a file cut short on its way to the phone | stand-in | `Lost` |
//! | a file that arrives damaged | stand-in | `Protocol` |
//! | random bytes instead of any answer | pretender | any, but no success |

#[path = "adb/stories/commands.rs"]
mod commands;
#[path = "adb/stories/files.rs"]
mod files;
#[path = "adb/mod.rs"]
mod lab;
#[path = "adb/stories/lies.rs"]
mod lies;
#[path = "adb/stories/lost.rs"]
mod lost;
#[path = "adb/pretender.rs"]
mod pretender;
#[path = "adb/stories/servers.rs"]
mod servers;

/// What no healthy call comes near.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(20);

/// What a call gets that cannot succeed.
const SHORT: std::time::Duration = std::time::Duration::from_millis(300);
