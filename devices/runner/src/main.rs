//! The small program that runs on the phone.

fn main() {}
