//! From tokens of a search space to a .tflite file: `cargo run --release --example decode_and_export [TOKENS]`.

use std::error::Error;

use mnas::network::{Network, Weights};
use mnas::space::Space;

/// Decodes tokens given as `1,0,2,…`, or a random sequence, and writes the network with random weights.
pub fn main() -> Result<(), Box<dyn Error>> {
    let space = Space::preset("demo")?;
    let tokens = match std::env::args().nth(1).filter(|argument| argument.contains(',')) {
        Some(tokens) => tokens.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>()?,
        None => space.sample(&mut mnas::seeded(7)),
    };
    let architecture = space.decode(&tokens)?;
    println!("{tokens:?}\n{architecture}");

    let network = Network::expand(&architecture)?;
    println!("{} parameters, {} multiply-adds", network.parameters(), network.madds());

    let weights = Weights::random(&network, &mut mnas::seeded(1));
    let bytes = mnas::tflite::write(&network, &weights)?;
    let path = std::env::temp_dir().join("mnas-example.tflite");
    mnas::files::write_atomically(&path, &bytes)?;
    println!("{} bytes in {}, to be timed with `mnas bench`", bytes.len(), path.display());
    Ok(())
}
