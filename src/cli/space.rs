//! `mnas space`: the search space as people and scripts see it.

use serde_json::{Value, json};

use super::output::{Output, table};
use super::{Ending, Error, input};
use crate::network::Network;
use crate::space::{BlockChoices, Space, SpaceError};

/// Arguments of `mnas space`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    /// A preset (mnasnet, mnasnet-small, demo) or a space file.
    #[arg(long, global = true, default_value = "mnasnet", value_name = "NAME|FILE")]
    space: String,
    /// Seed of what is sampled.
    #[arg(long, global = true, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// The blocks and their choices.
    Show,
    /// The exact number of networks.
    Size,
    /// Draw networks uniformly.
    Sample {
        /// How many.
        #[arg(value_name = "N")]
        count: usize,
    },
    /// The tokens of an architecture.
    Encode {
        /// Architecture line or reference network.
        #[arg(value_name = "ARCH")]
        architecture: String,
    },
    /// The architecture of tokens, as in `0,2,1,…`.
    Decode {
        /// Numbers separated by commas or blanks.
        #[arg(value_name = "TOKENS", required = true, num_args = 1..)]
        tokens: Vec<String>,
    },
}

/// Shows, counts, samples or translates.
pub fn run(arguments: &Arguments, out: Output) -> Result<Ending, Error> {
    let space = Space::named(&arguments.space)?;
    match &arguments.verb {
        Verb::Show => show(&space, out),
        Verb::Size => {
            let value = Sized { space: &space.name, size: exact(&space)?, tokens: space.token_sizes() };
            out.print(&value, || space.size().to_string())
        }
        Verb::Sample { count } => sample(&space, *count, arguments.seed, out),
        Verb::Encode { architecture } => {
            let named = input::architecture(architecture)?;
            let tokens = space.encode(&named.architecture).map_err(SpaceError::from)?;
            one(&space, &tokens, out, words(&tokens))
        }
        Verb::Decode { tokens } => {
            let tokens = read_tokens(tokens)?;
            let line = space.decode(&tokens).map_err(SpaceError::from)?.to_string();
            one(&space, &tokens, out, line)
        }
    }?;
    Ok(Ending::Done)
}

/// What `size` and `show` print as JSON. (A plain `Value` would round the size to 53 bits.)
#[derive(serde::Serialize)]
struct Sized<Space> {
    space: Space,
    size: Box<serde_json::value::RawValue>,
    tokens: Vec<usize>,
}

/// The size as a JSON number with all its digits.
fn exact(space: &Space) -> Result<Box<serde_json::value::RawValue>, Error> {
    Ok(serde_json::value::RawValue::from_string(space.size().to_string())?)
}

fn show(space: &Space, out: Output) -> Result<(), Error> {
    let value = Sized { space, size: exact(space)?, tokens: space.token_sizes() };
    let list = |items: Vec<String>| items.join(" ");
    let row = |(index, block): (usize, &BlockChoices)| {
        let serialised = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        vec![
            format!("block {}", index + 1),
            block.stride.to_string(),
            list(block.operators.iter().map(|&choice| String::from(choice)).collect()),
            list(block.expansions.iter().map(usize::to_string).collect()),
            list(block.kernels.iter().map(usize::to_string).collect()),
            list(block.squeeze_ratios.iter().map(f64::to_string).collect()),
            list(block.skips.iter().map(|skip| serialised(json!(skip))).collect()),
            list(block.filters.iter().map(usize::to_string).collect()),
            list(block.layers.iter().map(usize::to_string).collect()),
        ]
    };
    let rows: Vec<_> = space.blocks.iter().enumerate().map(row).collect();
    out.print(&value, || {
        format!(
            "{}: input {}, stem {}, head {}, {} classes; {} tokens, {} networks\n\n{}",
            space.name,
            space.input_size,
            space.stem,
            space.head,
            space.classes,
            space.token_sizes().len(),
            space.size(),
            table(&["", "stride", "op", "expansion", "kernel", "se_ratio", "skip", "filters", "layers"], &rows),
        )
    })
}

fn sample(space: &Space, count: usize, seed: u64, out: Output) -> Result<(), Error> {
    let random = &mut crate::seeded(seed);
    let mut drawn = Vec::new();
    for _ in 0..count {
        let tokens = space.sample(random);
        let line = space.decode(&tokens).map_err(SpaceError::from)?.to_string();
        drawn.push((tokens, line));
    }
    let values: Vec<Value> =
        drawn.iter().map(|(tokens, line)| json!({ "tokens": tokens, "architecture": line })).collect();
    out.print(&values, || drawn.iter().map(|(_, line)| format!("{line}\n")).collect())
}

fn one(space: &Space, tokens: &[usize], out: Output, text: String) -> Result<(), Error> {
    let architecture = space.decode(tokens).map_err(SpaceError::from)?;
    let network = Network::expand(&architecture)?;
    let value = json!({
        "tokens": tokens, "architecture": architecture.to_string(),
        "params": network.parameters(), "madds": network.madds(),
    });
    out.print(&value, || text)
}

fn words(tokens: &[usize]) -> String {
    tokens.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

fn read_tokens(words: &[String]) -> Result<Vec<usize>, Error> {
    let numbers = words.iter().flat_map(|word| word.split([',', ' '])).filter(|word| !word.is_empty());
    let read = |(index, word): (usize, &str)| {
        word.parse().map_err(|_| Error::new(format!("token {} must be a whole number, found '{word}'", index + 1)))
    };
    numbers.enumerate().map(read).collect()
}
