//! tract as a second reader of .tflite files: what verified outputs are compared with, and the host's fallback.
//!
//! Pure Rust and always there, but about three times slower than LiteRT, so its times stand for nothing else.

use std::sync::Arc;

use tract_tflite::prelude::*;

/// The name under which timings are reported.
pub(super) const VERSION: &str = "tract-tflite 0.23";

/// A model of one f32 input and one f32 output, ready to run.
pub struct TractModel {
    plan: Arc<TypedRunnableModel>,
    shape: Vec<usize>,
    input: Tensor,
    output: Vec<f32>,
}

impl TractModel {
    /// Reads and optimises a .tflite model.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub fn load(bytes: &[u8]) -> Result<Self, String> {
        crate::tflite::read(bytes).map_err(|error| error.to_string())?;
        Self::plan(bytes).map_err(|error| format!("tract cannot use it: {}", error.root_cause()))
    }

    fn plan(bytes: &[u8]) -> TractResult<Self> {
        let model = tract_tflite::tflite().model_for_read(&mut std::io::Cursor::new(bytes))?;
        let shape = model.input_fact(0)?.shape.as_concrete().map(<[usize]>::to_vec).unwrap_or_default();
        let plan = model.into_optimized()?.into_runnable()?;
        let input = Tensor::zero::<f32>(&shape)?;
        Ok(Self { plan, shape, input, output: Vec::new() })
    }

    /// Fills the input with values from `next`.
    ///
    /// # Errors
    /// tract's message.
    pub fn fill(&mut self, mut next: impl FnMut() -> f32) -> Result<(), String> {
        let values: Vec<f32> = (0..self.shape.iter().product()).map(|_| next()).collect();
        self.set_input(&values)
    }

    /// Sets the input.
    ///
    /// # Errors
    /// If the number of values is not the model's.
    pub fn set_input(&mut self, values: &[f32]) -> Result<(), String> {
        self.input = Tensor::from_shape(&self.shape, values).map_err(|error| error.to_string())?;
        Ok(())
    }

    /// Runs the model once.
    ///
    /// # Errors
    /// tract's message.
    pub fn run(&mut self) -> Result<(), String> {
        self.output = self.run_plan().map_err(|error| format!("tract failed: {}", error.root_cause()))?;
        Ok(())
    }

    fn run_plan(&self) -> TractResult<Vec<f32>> {
        let outputs = self.plan.run(tvec!(self.input.clone().into()))?;
        Ok(outputs[0].try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
    }

    /// The output of the last run.
    ///
    /// # Errors
    /// None; the signature is that of the other runtime.
    pub fn output(&self) -> Result<Vec<f32>, String> {
        Ok(self.output.clone())
    }
}

/// tract's output for one input: the check on what a device computed.
///
/// # Errors
/// Why the model cannot be used.
pub fn infer(bytes: &[u8], input: &[f32]) -> Result<Vec<f32>, String> {
    let mut model = TractModel::load(bytes)?;
    model.set_input(input)?;
    model.run()?;
    model.output()
}
