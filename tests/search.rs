//! A search from file to report, with a made-up device and trainer where reality would not repeat itself.

#[path = "search/bench.rs"]
mod bench;
#[path = "search/stories/budgets.rs"]
mod budgets;
#[path = "search/stories/children.rs"]
mod children;
#[path = "search/stories/devices.rs"]
mod devices;
#[path = "search/stories/findings.rs"]
mod findings;
#[path = "search/stories/limits.rs"]
mod limits;
#[path = "search/stories/programs.rs"]
mod programs;
#[path = "search/stories/refusals.rs"]
mod refusals;
#[path = "search/stories/resuming.rs"]
mod resuming;
