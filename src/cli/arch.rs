//! `mnas arch`: counts and the layer table.

use serde_json::{Value, json};

use super::input::{self, Named};
use super::output::{Output, table};
use super::{Ending, Error};

/// Arguments of `mnas arch`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Architecture lines, reference networks, or - for lines from stdin.
    #[arg(required = true, value_name = "ARCH")]
    architectures: Vec<String>,
}

/// Prints counts and layers.
pub fn run(arguments: &Arguments, out: Output) -> Result<Ending, Error> {
    let all = input::architectures(&arguments.architectures)?;
    let values: Vec<Value> = all.iter().map(describe).collect();
    out.print(&values, || all.iter().map(text).collect::<Vec<_>>().join("\n"))?;
    Ok(Ending::Done)
}

fn describe(named: &Named) -> Value {
    let network = &named.network;
    let layers = network.layers.iter().map(|layer| {
        let cost = network.cost(layer);
        let (kernel, stride) = layer.kind.window();
        json!({
            "name": layer.name, "kind": layer.kind.name(), "kernel": kernel, "stride": stride,
            "activation": layer.kind.activation(), "input": network.input_of(layer), "output": layer.output,
            "params": cost.parameters, "madds": cost.madds,
        })
    });
    let layers: Vec<Value> = layers.collect();
    json!({
        "name": named.name, "architecture": named.architecture.to_string(), "input_size": named.architecture.input_size,
        "params": network.parameters(), "madds": network.madds(),
        "peak_activation_bytes": network.peak_activation_bytes(), "digest": network.digest(), "layers": layers,
    })
}

fn text(named: &Named) -> String {
    let network = &named.network;
    let rows: Vec<Vec<String>> = network
        .layers
        .iter()
        .map(|layer| {
            let cost = network.cost(layer);
            let (kernel, stride) = layer.kind.window();
            let shape = |s: crate::network::Shape| format!("{}x{}x{}", s.height, s.width, s.channels);
            let window = if kernel > 1 || stride > 1 { format!("{kernel}x{kernel}/{stride}") } else { String::new() };
            vec![
                layer.name.to_string(),
                layer.kind.name().to_owned(),
                window,
                shape(network.input_of(layer)),
                shape(layer.output),
                cost.parameters.to_string(),
                cost.madds.to_string(),
            ]
        })
        .collect();
    format!(
        "{}\n{}\nparameters {:.3}M, multiply-adds {:.2}M, peak activation memory {:.2} MB (fp32)\n\n{}",
        named.name,
        named.architecture,
        network.parameters() as f64 / 1e6,
        network.madds() as f64 / 1e6,
        network.peak_activation_bytes() as f64 / 1e6,
        table(&["layer", "kind", "window", "input", "output", "params", "madds"], &rows),
    )
}
