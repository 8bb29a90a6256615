//! Phones as devices: the real adb server, real adbds and the real runner with the real LiteRT, in private namespaces.
//!
//! | what goes wrong | what is said and done |
//! |---|---|
//! | the processor is hot, and cools down | waited, then timed; the wait is told |
//! | it stays hot; Android's thermal status; a warm, an empty battery; charging where it must not | not timed; phone, sensor and limit named |
//! | clocks drop during a load | the load does not count, is repeated, and that is told |
//! | /data/local/tmp is full | own models make room; else an error that names the phone |
//! | adbd is killed during a load | found again, this load repeated, the other phone untouched |
//! | the adb server is killed during a load | the same |
//! | the phone does not come back | an error that names it |
//! | another session has it | an error that names that process |
//! | a session was killed with -9 | the next one switches fixed-performance mode off |
//! | the runner prints garbage, half lines, another model's report, times of zero, or crashes | an error that shows it; nothing is timed |
//! | runner or library are missing | what to build and where to put it |
//! | the phone does not trust this computer | listed as that; what to do |
//! | no fixed-performance mode | timed all the same, and told |

mod built_runner;
#[path = "phone/stories/circumstances.rs"]
mod circumstances;
#[path = "phone/stories/commands.rs"]
mod commands;
mod device_contract;
#[path = "phone/stories/doctor.rs"]
mod doctor;
#[path = "adb/mod.rs"]
mod lab;
#[path = "phone/stories/links.rs"]
mod links;
#[path = "phone/phones.rs"]
mod phones;
#[path = "phone/stories/profiles.rs"]
mod profiles;
#[path = "phone/stories/runners.rs"]
mod runners;
