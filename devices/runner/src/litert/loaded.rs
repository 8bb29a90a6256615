//! One load of a model: compiled for the processor, with buffers for its inputs and outputs.

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::ptr::null_mut;

use super::functions::{CPU, FLOAT32, Functions, Handle, READ, RankedTensorType, Status, WRITE, check};
use super::library::Runtime;

/// Which kernels compute the operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kernels {
    /// XNNPACK's, what applications get by default.
    #[default]
    Xnnpack,
    /// The interpreter's own.
    Builtin,
}

impl Runtime {
    /// Compiles a model for the processor.
    ///
    /// # Errors
    /// The step that failed and LiteRT's status, to be completed with the model's name.
    pub fn load<'bytes>(
        &'static self,
        bytes: &'bytes [u8],
        threads: usize,
        kernels: Kernels,
    ) -> Result<Loaded<'bytes>, String> {
        let mut loaded = Loaded {
            runtime: self,
            model: null_mut(),
            compiled: null_mut(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            bytes: PhantomData,
        };
        loaded.compile(bytes, threads, kernels)?;
        loaded.create_buffers()?;
        Ok(loaded)
    }
}

/// One fresh load of a model with its input and output buffers. It keeps pointers into the model's bytes.
pub struct Loaded<'bytes> {
    runtime: &'static Runtime,
    model: Handle,
    compiled: Handle,
    inputs: Vec<Buffer>,
    outputs: Vec<Buffer>,
    bytes: PhantomData<&'bytes [u8]>,
}

struct Buffer {
    handle: Handle,
    element: c_int,
    bytes: usize,
}

impl Loaded<'_> {
    fn compile(&mut self, bytes: &[u8], threads: usize, kernels: Kernels) -> Result<(), String> {
        let (functions, environment) = (&self.runtime.functions, self.runtime.environment);
        let mut options = null_mut();
        // SAFETY: `bytes` outlives self by its lifetime parameter; handles are those just made. The options are
        // destroyed on every path once they exist; the opaque ones belong to them after `add_opaque`.
        unsafe {
            check("reading the model", {
                (functions.create_model)(environment, bytes.as_ptr().cast(), bytes.len(), &mut self.model)
            })?;
            check("creating options", (functions.create_options)(&mut options))?;
            let compiled = set_options(functions, options, threads, kernels).and_then(|()| {
                let status = (functions.compile)(environment, self.model, options, &mut self.compiled);
                check("compiling the model", status)
            });
            (functions.destroy_options)(options);
            compiled
        }
    }

    fn create_buffers(&mut self) -> Result<(), String> {
        let functions = &self.runtime.functions;
        let (mut signature, mut inputs, mut outputs) = (null_mut(), 0, 0);
        // SAFETY: the model is alive; every pointer is to a local.
        unsafe {
            check("finding the signature", (functions.signature)(self.model, 0, &mut signature))?;
            check("counting inputs", (functions.input_count)(signature, &mut inputs))?;
            check("counting outputs", (functions.output_count)(signature, &mut outputs))?;
        }
        for index in 0..inputs {
            let buffer = self.buffer(signature, index, functions.input_tensor, functions.input_requirements)?;
            self.inputs.push(buffer);
        }
        for index in 0..outputs {
            let buffer = self.buffer(signature, index, functions.output_tensor, functions.output_requirements)?;
            self.outputs.push(buffer);
        }
        Ok(())
    }

    fn buffer(
        &self,
        signature: Handle,
        index: usize,
        tensor: unsafe extern "C" fn(Handle, usize, *mut Handle) -> Status,
        requirements: unsafe extern "C" fn(Handle, usize, usize, *mut Handle) -> Status,
    ) -> Result<Buffer, String> {
        let functions = &self.runtime.functions;
        let (mut handle, mut of, mut needs) = (null_mut(), null_mut(), null_mut());
        let (mut kind, mut bytes) = (RankedTensorType::default(), 0);
        // SAFETY: the model and compiled model are alive; every pointer is to a local.
        unsafe {
            check("finding a tensor", tensor(signature, index, &mut of))?;
            check("reading a tensor's type", (functions.tensor_type)(of, &mut kind))?;
            check("asking for buffer requirements", requirements(self.compiled, 0, index, &mut needs))?;
            check("creating a buffer", (functions.create_buffer)(self.runtime.environment, &kind, needs, &mut handle))?;
            check("asking for a buffer's size", (functions.buffer_size)(handle, &mut bytes))?;
        }
        Ok(Buffer { handle, element: kind.element, bytes })
    }

    /// Fills every input: f32 ones with values from `next`, others with zeros.
    ///
    /// # Errors
    /// LiteRT's status.
    pub fn fill(&mut self, mut next: impl FnMut() -> f32) -> Result<(), String> {
        for input in &self.inputs {
            self.locked(input, WRITE, |bytes| match input.element {
                FLOAT32 => bytes.chunks_exact_mut(4).for_each(|place| place.copy_from_slice(&next().to_ne_bytes())),
                _ => bytes.fill(0),
            })?;
        }
        Ok(())
    }

    /// Sets the only input, which must be f32 and of that length.
    ///
    /// # Errors
    /// What is wrong with the model's inputs, or LiteRT's status.
    pub fn set_input(&mut self, values: &[f32]) -> Result<(), String> {
        match self.inputs.as_slice() {
            [input] if input.element == FLOAT32 && input.bytes == 4 * values.len() => {}
            [input] => return Err(format!("its input has {} bytes, not {} of f32", input.bytes, 4 * values.len())),
            inputs => return Err(format!("it has {} inputs, expected one", inputs.len())),
        }
        let mut values = values.iter().copied();
        self.fill(|| values.next().unwrap_or_default())
    }

    /// The only output, which must be f32.
    ///
    /// # Errors
    /// What is wrong with the model's outputs, or LiteRT's status.
    pub fn output(&self) -> Result<Vec<f32>, String> {
        let [output] = self.outputs.as_slice() else {
            return Err(format!("it has {} outputs, expected one", self.outputs.len()));
        };
        if output.element != FLOAT32 {
            return Err("its output is not f32".into());
        }
        let mut values = Vec::new();
        self.locked(output, READ, |bytes| {
            values = bytes.chunks_exact(4).map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect();
        })?;
        Ok(values)
    }

    /// Runs the model once.
    ///
    /// # Errors
    /// LiteRT's status.
    pub fn run(&mut self) -> Result<(), String> {
        let handles = |buffers: &[Buffer]| buffers.iter().map(|buffer| buffer.handle).collect::<Vec<_>>();
        let (inputs, outputs) = (handles(&self.inputs), handles(&self.outputs));
        // SAFETY: all handles are alive, and the counts are those of the arrays.
        let status = unsafe {
            let run = self.runtime.functions.run;
            run(self.compiled, 0, inputs.len(), inputs.as_ptr(), outputs.len(), outputs.as_ptr())
        };
        check("running the model", status)
    }

    fn locked(&self, buffer: &Buffer, mode: c_int, work: impl FnOnce(&mut [u8])) -> Result<(), String> {
        let mut address = null_mut();
        // SAFETY: between lock and unlock the address is valid for the buffer's size and nobody else uses it.
        unsafe {
            check("locking a buffer", (self.runtime.functions.lock)(buffer.handle, &mut address, mode))?;
            work(std::slice::from_raw_parts_mut(address.cast(), buffer.bytes));
            check("unlocking a buffer", (self.runtime.functions.unlock)(buffer.handle))
        }
    }
}

impl Drop for Loaded<'_> {
    fn drop(&mut self) {
        let functions = &self.runtime.functions;
        // SAFETY: each handle is destroyed once, users before what they use; null ones were never made.
        unsafe {
            for buffer in self.inputs.iter().chain(&self.outputs) {
                (functions.destroy_buffer)(buffer.handle);
            }
            if !self.compiled.is_null() {
                (functions.destroy_compiled)(self.compiled);
            }
            if !self.model.is_null() {
                (functions.destroy_model)(self.model);
            }
        }
    }
}

/// Processor only, so many threads, these kernels: LiteRT takes the latter two as TOML text.
///
/// # Safety
/// `options` must be alive.
unsafe fn set_options(functions: &Functions, options: Handle, threads: usize, kernels: Kernels) -> Result<(), String> {
    let mode = match kernels {
        Kernels::Xnnpack => "delegate",
        Kernels::Builtin => "builtin",
    };
    let text = format!("num_threads = {threads}\nkernel_mode = \"{mode}\"\n\0");
    let mut opaque = null_mut();
    // SAFETY: the text is NUL-terminated and owned by the opaque options, which free it with `free_text`.
    unsafe {
        check("choosing the processor", (functions.set_accelerators)(options, CPU))?;
        let payload = libc::strdup(text.as_ptr().cast()).cast();
        let status = (functions.create_opaque)(c"xnnpack".as_ptr(), payload, free_text, &mut opaque);
        check("creating processor options", status)?;
        check("adding processor options", (functions.add_opaque)(options, opaque))
    }
}

/// # Safety
/// `text` must come from `strdup`.
unsafe extern "C" fn free_text(text: *mut c_void) {
    // SAFETY: as the caller promises.
    unsafe { libc::free(text) }
}
