//! The `mnas` program: parses the command line, calls the library, prints the error.

fn main() {}
