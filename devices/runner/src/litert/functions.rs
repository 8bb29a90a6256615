//! LiteRT's C functions as this program calls them, from `litert/c/*.h` of google-ai-edge/LiteRT at 2.3.0.

use std::ffi::{c_char, c_int, c_void};

/// A pointer to something of LiteRT's.
pub(super) type Handle = *mut c_void;
/// 0 is success.
pub(super) type Status = c_int;

/// An option of the environment.
#[repr(C)]
pub(super) struct EnvironmentOption {
    pub tag: c_int,
    pub value: Value,
}

/// A value that says its type; 16 bytes, so that an option has 24.
#[repr(C)]
pub(super) struct Value {
    pub kind: c_int,
    pub integer: i64,
}

const _: () = assert!(size_of::<EnvironmentOption>() == 24 && std::mem::offset_of!(EnvironmentOption, value) == 8);

/// The kind of an integer [`Value`].
pub(super) const INTEGER: c_int = 2;
/// Which accelerators to register by themselves; 1 is the processor.
pub(super) const AUTO_REGISTER_ACCELERATORS: c_int = 24;
/// Least severity that is logged; 3 is an error.
pub(super) const LEAST_LOG_SEVERITY: c_int = 25;
/// The processor among hardware accelerators.
pub(super) const CPU: c_int = 1;

/// Element type and shape of a tensor.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct RankedTensorType {
    pub element: c_int,
    /// The low seven bits are the rank.
    pub bits: u32,
    pub dimensions: [i32; 8],
    pub strides: [u32; 8],
}

/// Element type f32.
pub(super) const FLOAT32: c_int = 1;
/// Lock modes of a tensor buffer.
pub(super) const READ: c_int = 0;
pub(super) const WRITE: c_int = 1;

macro_rules! functions {
    ($($field:ident = $symbol:literal ( $($argument:ty),* ) $(-> $result:ty)?;)*) => {
        /// The functions by short names.
        pub(super) struct Functions { $(pub $field: unsafe extern "C" fn($($argument),*) $(-> $result)?,)* }

        impl Functions {
            /// # Safety
            /// The library must be LiteRT 2.1.6 or newer, whose functions have these types.
            pub unsafe fn load(library: &libloading::Library) -> Result<Self, &'static str> {
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

/// What a status means, with the step that returned it; nothing for success.
pub(super) fn check(step: &str, status: Status) -> Result<(), String> {
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
