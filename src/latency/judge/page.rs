//! A validation as its page shows it ([`crate::report::calibration`]).

use super::validation::{Pair, Validation};
use crate::latency::metrics::Metrics;
use crate::report::calibration::{CalibrationPage, Errors, PredictedNetwork};

/// The data of the page.
pub fn page(validation: &Validation) -> CalibrationPage {
    CalibrationPage {
        subject: subject(validation),
        networks: validation.networks,
        held_out: validation.validation,
        cross_validated: validation.cross_validated,
        level: validation.level,
        half_width: validation.half_width,
        coverage: validation.coverage,
        noise: validation.noise,
        predictor: errors(&validation.metrics),
        by_madds: errors(&validation.by_madds),
        by_counts: errors(&validation.by_counts),
        parts: validation.candidates.iter().map(|part| (part.kind.name().to_owned(), part.mape)).collect(),
        curve: validation.curve.iter().map(|point| (point.networks, point.mape)).collect(),
        networks_judged: validation.pairs.iter().map(network).collect(),
        provenance: provenance(validation),
        environments: validation.environments.clone(),
    }
}

fn errors(metrics: &Metrics) -> Errors {
    let Metrics { mape, within_5, within_10, kendall, spearman, .. } = *metrics;
    Errors { mape, within_5, within_10, kendall, spearman }
}

fn network(pair: &Pair) -> PredictedNetwork {
    PredictedNetwork {
        architecture: pair.architecture.clone(),
        measured_ms: pair.measured_ms,
        predicted_ms: pair.predicted.latency_ms,
        low_ms: pair.predicted.low_ms,
        high_ms: pair.predicted.high_ms,
        by_madds_ms: pair.by_madds_ms,
    }
}

fn subject(validation: &Validation) -> String {
    let provenance = &validation.provenance;
    match &provenance.device {
        Some(device) => {
            format!("{} · {} · {} thread(s) · {}", device.model, device.runtime, device.threads, provenance.source)
        }
        None => provenance.source.clone(),
    }
}

fn provenance(validation: &Validation) -> Vec<(String, String)> {
    let provenance = &validation.provenance;
    let mut rows = vec![
        ("measured", provenance.source.clone()),
        ("fitted", provenance.date.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()),
        ("mnas", provenance.mnas_version.clone()),
        ("digest of the data", provenance.data_hash.clone()),
    ];
    if let Some(device) = &provenance.device {
        rows.push(("device", format!("{} ({}): {}", device.id, device.kind, device.model)));
        rows.push(("runtime", format!("{}, {} thread(s)", device.runtime, device.threads)));
        rows.push(("clock", format!("{:?}, fastest run of all loads", device.clock)));
    }
    let scales = validation.scales.iter().filter(|_| validation.scales.len() > 1);
    rows.extend(scales.map(|entry| ("source", format!("{}: × {:.3}", entry.source, entry.scale))));
    rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
