//! Timing networks on the devices inside the loop: sessions beside networks of known latency, and the watch over what
//! they show.

pub mod anchors;
pub(super) mod session;
pub mod watch;
