//! The oracle as a program that speaks the protocol of [`mnas::external`]: this benchmark, started again by the search
//! with other arguments.

use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;

use mnas::device::{Device, Model};
use mnas::space::Architecture;
use mnas::train::{Accuracy, Request};
use serde_json::{Value, json};

use super::Problem;
use super::oracle::{Noise, Oracle, OracleAccuracy, OracleDevice};

/// First argument of such a program.
pub const ANSWER: &str = "--answer";

/// The command that answers for `accuracy` or `device`.
pub fn command(program: &Path, what: &str, noise: Noise, seed: u64) -> Vec<String> {
    let words =
        [ANSWER.to_owned(), what.to_owned(), noise.accuracy.to_string(), noise.latency.to_string(), seed.to_string()];
    std::iter::once(program.display().to_string()).chain(words).collect()
}

/// Answers every line of stdin until it ends.
pub fn answer(words: &[String], oracle: Arc<Oracle>) -> Result<(), Problem> {
    let [what, accuracy, latency, seed] = words else { return Err("expected WHAT ACCURACY LATENCY SEED".into()) };
    let (noise, seed) = (Noise { accuracy: accuracy.parse()?, latency: latency.parse()? }, seed.parse()?);
    let trainer = OracleAccuracy { oracle: oracle.clone(), noise, seed };
    let mut device = OracleDevice::new(oracle, noise, seed);
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let architecture: Architecture = request["architecture"].as_str().ok_or("no architecture")?.parse()?;
        let id = &request["id"];
        let answer = match what.as_str() {
            "accuracy" => match trainer.evaluate(&Request { id: 0, architecture, seed: 0 }) {
                Ok(accuracy) => json!({ "id": id, "accuracy": accuracy }),
                Err(error) => json!({ "id": id, "error": error.to_string() }),
            },
            _ => {
                let name = architecture.to_string();
                let model = Model { name, architecture: Some(architecture), network: None, bytes: Vec::new() };
                // The references at the end are of another space: any latency will do.
                let ms = device.time(&model).map_or(vec![1.0], |timing| timing.wall_ms);
                json!({ "id": id, "latency_ms": ms })
            }
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}
