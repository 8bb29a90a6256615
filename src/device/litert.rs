//! LiteRT through its C API, loaded at run time.
//!
//! The library is `libLiteRt.so`, as the Python wheel `ai-edge-litert` carries it. Statuses are an `int` of which 0 is
//! success; handles are pointers. The declarations follow `litert/c/*.h` of google-ai-edge/LiteRT at 2.3.0. Before
//! 2.1.6 `LiteRtCreateModelFromBuffer` had no environment argument, and nothing in the library tells its version, so
//! [`PROBE`], a function that came with 2.1.6, is asked for first.

use std::ffi::{c_char, c_int, c_void};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::DeviceError;

type Handle = *mut c_void;
type Status = c_int;

/// Exported since 2.1.6 and not before (compared in the wheels of 2.1.5 and 2.1.6).
const PROBE: &str = "LiteRtCreateModelFromFd";
/// The folder `make setup` links, when this is run from a checkout.
const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.deps/litert/libLiteRt.so");
/// File name of the library, and its folder in the cache.
const NAME: &str = "libLiteRt.so";
const CACHED: &str = "litert-2.3.0/libLiteRt.so";

/// An option of the environment: its tag, then a tagged value.
#[repr(C)]
struct EnvironmentOption {
    tag: c_int,
    kind: c_int,
    padding: c_int,
    value: i64,
}

/// Value type of [`EnvironmentOption`]: an integer.
const INTEGER: c_int = 2;
/// Which accelerators to register by themselves; 1 is the processor.
const AUTO_REGISTER_ACCELERATORS: c_int = 24;
/// Least severity that is logged; 3 is an error.
const LEAST_LOG_SEVERITY: c_int = 25;
/// The processor among hardware accelerators.
const CPU: c_int = 1;

/// Element type and shape of a tensor.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct RankedTensorType {
    element: c_int,
    /// The low seven bits are the rank.
    bits: u32,
    dimensions: [i32; 8],
    strides: [u32; 8],
}

/// Element type f32.
const FLOAT32: c_int = 1;
/// Lock modes of a tensor buffer.
const READ: c_int = 0;
const WRITE: c_int = 1;

macro_rules! functions {
    ($($field:ident = $symbol:literal ( $($argument:ty),* ) $(-> $result:ty)?;)*) => {
        struct Functions { $($field: unsafe extern "C" fn($($argument),*) $(-> $result)?,)* }

        impl Functions {
            /// # Safety
            /// The library must be LiteRT 2.1.6 or newer, whose functions have these types.
            unsafe fn load(library: &libloading::Library) -> Result<Self, &'static str> {
                Ok(Self { $($field: {
                    // SAFETY: the caller vouches for the types; the library is never unloaded.
                    *unsafe { library.get(concat!($symbol, "\0").as_bytes()) }.map_err(|_| $symbol)?
                },)* })
            }
        }
    };
}

functions! {
    create_environment = "LiteRtCreateEnvironment"(c_int, *const EnvironmentOption, *mut Handle) -> Status;
    create_model = "LiteRtCreateModelFromBuffer"(Handle, *const c_void, usize, *mut Handle) -> Status;
    destroy_model = "LiteRtDestroyModel"(Handle);
    create_options = "LiteRtCreateOptions"(*mut Handle) -> Status;
    destroy_options = "LiteRtDestroyOptions"(Handle);
    set_accelerators = "LiteRtSetOptionsHardwareAccelerators"(Handle, c_int) -> Status;
    create_opaque = "LiteRtCreateOpaqueOptions"(*const c_char, *mut c_void, unsafe extern "C" fn(*mut c_void), *mut Handle) -> Status;
    add_opaque = "LiteRtAddOpaqueOptions"(Handle, Handle) -> Status;
    compile = "LiteRtCreateCompiledModel"(Handle, Handle, Handle, *mut Handle) -> Status;
    destroy_compiled = "LiteRtDestroyCompiledModel"(Handle);
    signature = "LiteRtGetModelSignature"(Handle, usize, *mut Handle) -> Status;
    input_count = "LiteRtGetNumSignatureInputs"(Handle, *mut usize) -> Status;
    output_count = "LiteRtGetNumSignatureOutputs"(Handle, *mut usize) -> Status;
    input_tensor = "LiteRtGetSignatureInputTensorByIndex"(Handle, usize, *mut Handle) -> Status;
    output_tensor = "LiteRtGetSignatureOutputTensorByIndex"(Handle, usize, *mut Handle) -> Status;
    tensor_type = "LiteRtGetRankedTensorType"(Handle, *mut RankedTensorType) -> Status;
    input_requirements = "LiteRtGetCompiledModelInputBufferRequirements"(Handle, usize, usize, *mut Handle) -> Status;
    output_requirements = "LiteRtGetCompiledModelOutputBufferRequirements"(Handle, usize, usize, *mut Handle) -> Status;
    create_buffer = "LiteRtCreateManagedTensorBufferFromRequirements"(Handle, *const RankedTensorType, Handle, *mut Handle) -> Status;
    destroy_buffer = "LiteRtDestroyTensorBuffer"(Handle);
    buffer_size = "LiteRtGetTensorBufferPackedSize"(Handle, *mut usize) -> Status;
    lock = "LiteRtLockTensorBuffer"(Handle, *mut *mut c_void, c_int) -> Status;
    unlock = "LiteRtUnlockTensorBuffer"(Handle) -> Status;
    run = "LiteRtRunCompiledModel"(Handle, usize, usize, *const Handle, usize, *const Handle) -> Status;
}

/// The loaded library with one environment; it lives as long as the process.
pub struct Runtime {
    functions: Functions,
    environment: Handle,
    /// The file it came from.
    path: PathBuf,
    /// blake3 of that file.
    hash: String,
}

// SAFETY: the environment is set up once and read afterwards; LiteRT's handles belong to no particular thread.
unsafe impl Send for Runtime {}
// SAFETY: as above; models are made and used through `Loaded`, which stays on its thread.
unsafe impl Sync for Runtime {}

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
    /// The library of this process, loaded at the first call and shared from then on.
    ///
    /// It is looked for at `LITERT_LIBRARY` and nowhere else if that is set; otherwise beside the executable, in the
    /// checkout's `.deps/litert`, in the cache (`MNAS_CACHE`, by default `~/.cache/mnas`), then where the system's
    /// loader looks.
    ///
    /// # Errors
    /// [`DeviceError::Library`], naming every place and what to do.
    pub fn shared() -> Result<&'static Self, DeviceError> {
        static SHARED: Mutex<Option<&'static Runtime>> = Mutex::new(None);
        let mut shared: MutexGuard<'_, _> = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = *shared {
            return Ok(runtime);
        }
        let runtime = match std::env::var_os("LITERT_LIBRARY").filter(|path| !path.is_empty()) {
            Some(path) => Self::open(Path::new(&path))?,
            None => Self::search()?,
        };
        *shared = Some(runtime);
        Ok(runtime)
    }

    fn search() -> Result<&'static Self, DeviceError> {
        let places = places();
        match places.iter().find(|place| place.is_file()) {
            Some(place) => Self::open(place),
            // SAFETY: LiteRT's initialisers have no precondition.
            None => match unsafe { libloading::Library::new(NAME) } {
                Ok(library) => Self::from_library(library, Path::new(NAME)),
                Err(_) => Err(missing(&places)),
            },
        }
    }

    /// Loads one particular library, for the life of the process.
    ///
    /// # Errors
    /// [`DeviceError::Library`] if it is no shared library, not LiteRT or too old.
    pub fn open(path: &Path) -> Result<&'static Self, DeviceError> {
        // SAFETY: LiteRT's initialisers have no precondition; another library is the user's explicit choice.
        let library = unsafe { libloading::Library::new(path) }.map_err(|error| {
            DeviceError::Library(format!("LiteRT cannot be loaded from {}: {error}. {ADVICE}", path.display()))
        })?;
        Self::from_library(library, path)
    }

    fn from_library(library: libloading::Library, path: &Path) -> Result<&'static Self, DeviceError> {
        let unusable = |symbol: &str| {
            DeviceError::Library(format!(
                "{} is not LiteRT 2.1.6 or newer: it lacks the function {symbol}. {ADVICE}",
                path.display()
            ))
        };
        // SAFETY: the symbol is only asked for, never called.
        if unsafe { library.get::<*const c_void>(PROBE.as_bytes()) }.is_err() {
            return Err(unusable(PROBE));
        }
        // SAFETY: the probe says that this is LiteRT 2.1.6 or newer.
        let functions = unsafe { Functions::load(&library) }.map_err(unusable)?;
        // The functions must stay: XNNPACK's threads may outlive every handle.
        std::mem::forget(library);
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let hash = fs_err::read(&path).map_or_else(|_| "unknown".into(), |bytes| blake3::hash(&bytes).to_string());
        let environment = create_environment(&functions)?;
        Ok(Box::leak(Box::new(Self { functions, environment, path, hash })))
    }

    /// `LiteRT`, its version where the folder of the library tells it, and the start of the library's hash.
    pub fn version(&self) -> String {
        let folder = self.path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let version = folder.as_deref().and_then(|name| name.strip_prefix("litert-")).unwrap_or("2.1.6 or newer");
        format!("LiteRT {version} ({NAME} blake3 {})", self.hash.get(..12).unwrap_or(&self.hash))
    }

    /// blake3 of the library's file, in hexadecimal digits.
    pub fn hash(&self) -> &str {
        &self.hash
    }

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

const ADVICE: &str = "Run `make setup`, or set LITERT_LIBRARY to the libLiteRt.so of LiteRT 2.1.6 or newer";

/// Where the library may lie, in the order of the search.
fn places() -> Vec<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(NAME)));
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("MNAS_CACHE").or_else(|| {
        let caches = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
        Some(caches.join("mnas"))
    });
    [beside, Some(CHECKOUT.into()), cache.map(|cache| cache.join(CACHED))].into_iter().flatten().collect()
}

fn missing(places: &[PathBuf]) -> DeviceError {
    let tried: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    DeviceError::Library(format!("LiteRT is not there: tried {} and the system's loader. {ADVICE}", tried.join(", ")))
}

fn create_environment(functions: &Functions) -> Result<Handle, DeviceError> {
    let option = |tag, value| EnvironmentOption { tag, kind: INTEGER, padding: 0, value };
    let options = [option(AUTO_REGISTER_ACCELERATORS, i64::from(CPU)), option(LEAST_LOG_SEVERITY, 3)];
    let mut environment = null_mut();
    // SAFETY: the array lives through the call, which copies it.
    let status = unsafe { (functions.create_environment)(options.len() as c_int, options.as_ptr(), &mut environment) };
    check("creating the environment", status).map_err(DeviceError::Library)?;
    Ok(environment)
}

fn check(step: &str, status: Status) -> Result<(), String> {
    let meaning = match status {
        0 => return Ok(()),
        1 => "invalid argument",
        2 => "out of memory",
        3 => "runtime failure",
        5 => "unsupported",
        6 => "not found",
        500 => "file error",
        501 => "invalid flatbuffer",
        504 => "compilation failed",
        _ => "see LiteRtStatus in litert_common.h",
    };
    Err(format!("LiteRT failed at {step}: status {status} ({meaning})"))
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
