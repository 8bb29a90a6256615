//! Reading what a .tflite file declares: its inputs, outputs and operators, for checks and for `mnas bench`.
//!
//! Every offset is verified and every index checked, so a summary of a file means that readers which trust its
//! indices, as tract does, will not run outside of it.

use std::collections::BTreeMap;

use serde::Serialize;
use tract_tflite::tflite::{Model, SubGraph, model_buffer_has_identifier, root_as_model};

use super::TfliteError;

/// A tensor as the file declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TensorSummary {
    /// Its name, empty if it has none.
    pub name: String,
    /// `FLOAT32`, `INT8`, … as the schema names it.
    pub element: String,
    /// Its dimensions; -1 does not occur, an unknown dimension is declared as 1.
    pub shape: Vec<i32>,
}

/// What a .tflite file declares of its first subgraph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileSummary {
    /// Length of the file.
    pub bytes: usize,
    /// Bytes of all buffers: the weights, mostly.
    pub buffer_bytes: usize,
    /// What the network reads.
    pub inputs: Vec<TensorSummary>,
    /// What the network computes.
    pub outputs: Vec<TensorSummary>,
    /// The operators in execution order, as the schema names them (`CONV_2D`, …).
    pub operators: Vec<String>,
    /// The oldest TensorFlow Lite that runs it, where the file says so.
    pub min_runtime_version: Option<String>,
}

impl FileSummary {
    /// How often each operator occurs.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for operator in &self.operators {
            *counts.entry(operator.clone()).or_default() += 1;
        }
        counts
    }
}

/// Verifies a .tflite file and summarises it.
///
/// # Errors
/// [`TfliteError::Malformed`] for anything but a complete file with at least one subgraph and indices that exist.
pub fn read(bytes: &[u8]) -> Result<FileSummary, TfliteError> {
    summarise(bytes).map_err(|problem| TfliteError::Malformed { bytes: bytes.len(), problem })
}

fn summarise(bytes: &[u8]) -> Result<FileSummary, String> {
    // The identifier lies in bytes 4 to 7, and its reader does not check the length.
    if bytes.len() < 8 || !model_buffer_has_identifier(bytes) {
        return Err("bytes 4 to 7 must be 'TFL3'".into());
    }
    let model = root_as_model(bytes).map_err(|error| first_line(&error.to_string()))?;
    let subgraphs = model.subgraphs().ok_or("it has no subgraph")?;
    let graph = subgraphs.iter().next().ok_or("it has no subgraph")?;
    check_buffers(&model, &graph)?;
    let buffers = model.buffers().into_iter().flatten();
    Ok(FileSummary {
        bytes: bytes.len(),
        buffer_bytes: buffers.filter_map(|buffer| buffer.data()).map(|data| data.len()).sum(),
        inputs: tensors(&graph, graph.inputs().map(|list| list.iter().collect()))?,
        outputs: tensors(&graph, graph.outputs().map(|list| list.iter().collect()))?,
        operators: operators(&model, &graph)?,
        min_runtime_version: min_runtime_version(&model),
    })
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
}

/// Every tensor's buffer must exist.
fn check_buffers(model: &Model, graph: &SubGraph) -> Result<(), String> {
    let buffers = model.buffers().map_or(0, |buffers| buffers.len());
    match graph.tensors().into_iter().flatten().find(|tensor| tensor.buffer() as usize >= buffers) {
        Some(tensor) => {
            let name = tensor.name().unwrap_or_default();
            Err(format!("tensor '{name}' has buffer {}, but there are {buffers}", tensor.buffer()))
        }
        None => Ok(()),
    }
}

fn tensors(graph: &SubGraph, indices: Option<Vec<i32>>) -> Result<Vec<TensorSummary>, String> {
    let indices = indices.ok_or("its subgraph lacks inputs or outputs")?;
    indices.into_iter().map(|index| tensor(graph, index)).collect()
}

fn tensor(graph: &SubGraph, index: i32) -> Result<TensorSummary, String> {
    let tensors = graph.tensors().ok_or("its subgraph lacks tensors")?;
    if index < 0 || index as usize >= tensors.len() {
        return Err(format!("tensor {index} is used, but there are {}", tensors.len()));
    }
    let tensor = tensors.get(index as usize);
    Ok(TensorSummary {
        name: tensor.name().unwrap_or_default().to_owned(),
        element: tensor.type_().variant_name().unwrap_or("UNKNOWN").to_owned(),
        shape: tensor.shape().map_or_else(Vec::new, |shape| shape.iter().collect()),
    })
}

/// Names of the operators, all of whose tensors exist; -1 stands for an optional input that is left out.
fn operators(model: &Model, graph: &SubGraph) -> Result<Vec<String>, String> {
    let codes = model.operator_codes().ok_or("it has no operator codes")?;
    let mut names = Vec::new();
    for operator in graph.operators().into_iter().flatten() {
        let index = operator.opcode_index() as usize;
        if index >= codes.len() {
            return Err(format!("operator code {index} is used, but there are {}", codes.len()));
        }
        let uses = [operator.inputs(), operator.outputs()].into_iter().flatten().flatten();
        for used in uses.filter(|&used| used != -1) {
            tensor(graph, used)?;
        }
        let code = codes.get(index);
        // Files from before 2020 have only the one-byte code.
        let builtin = code.builtin_code().0.max(i32::from(code.deprecated_builtin_code()));
        let name = tract_tflite::tflite::BuiltinOperator(builtin).variant_name();
        names.push(name.map_or_else(|| format!("OPERATOR_{builtin}"), str::to_owned));
    }
    Ok(names)
}

fn min_runtime_version(model: &Model) -> Option<String> {
    let entry = model.metadata()?.iter().find(|entry| entry.name() == Some("min_runtime_version"))?;
    let buffers = model.buffers()?;
    let index = entry.buffer() as usize;
    let data = (index < buffers.len()).then(|| buffers.get(index).data()).flatten()?;
    let text: Vec<u8> = data.iter().take_while(|&byte| byte != 0).collect();
    String::from_utf8(text).ok()
}
