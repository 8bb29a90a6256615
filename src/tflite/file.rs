//! The parts of a .tflite file: buffers, tensors, operators and their codes, assembled into one flatbuffer.
//!
//! Buffer 0 is the empty one that every activation points at. A weight's bytes start at a multiple of 16 from the
//! start of the file, as the schema's `force_align: 16` demands, so that a runtime can use them where they are mapped.

use flatbuffers::{FlatBufferBuilder, Push, PushAlignment, UnionWIPOffset, Vector, WIPOffset};
use tract_tflite::tflite::{
    Buffer, BufferArgs, Metadata, MetadataArgs, Model, ModelArgs, Operator, OperatorArgs, OperatorCode,
    OperatorCodeArgs, SubGraph, SubGraphArgs, Tensor, TensorArgs, TensorType,
};

use super::operators::Registration;

/// Version of the schema.
const SCHEMA_VERSION: u32 = 3;
/// Marks a file as TensorFlow Lite's.
const IDENTIFIER: &str = "TFL3";
/// Name and length of the metadata that says which runtime is old enough.
const MIN_RUNTIME_VERSION: (&str, usize) = ("min_runtime_version", 16);

/// Weights start at multiples of this many bytes.
const ALIGNMENT: usize = 16;
/// Bytes of one weight.
const VALUE: usize = 4;
/// Weights are copied so many bytes at a time.
const BLOCK: usize = 1024;

/// Position of a tensor in the file's list.
pub(super) type TensorIndex = i32;

/// A file in the making.
pub(super) struct FileBuilder {
    builder: FlatBufferBuilder<'static>,
    description: WIPOffset<&'static str>,
    buffers: Vec<WIPOffset<Buffer<'static>>>,
    tensors: Vec<WIPOffset<Tensor<'static>>>,
    operators: Vec<WIPOffset<Operator<'static>>>,
    codes: Vec<&'static Registration>,
}

impl FileBuilder {
    /// `weight_bytes` is a hint that spares copies.
    pub fn new(weight_bytes: usize) -> Self {
        let mut builder = FlatBufferBuilder::with_capacity(weight_bytes + weight_bytes / 16 + (64 << 10));
        let description = builder.create_string(concat!("mnas ", env!("CARGO_PKG_VERSION")));
        let empty = Buffer::create(&mut builder, &BufferArgs { data: None });
        Self {
            builder,
            description,
            buffers: vec![empty],
            tensors: Vec::new(),
            operators: Vec::new(),
            codes: Vec::new(),
        }
    }

    /// What the option tables of operators are created in.
    pub fn builder(&mut self) -> &mut FlatBufferBuilder<'static> {
        &mut self.builder
    }

    /// A tensor that an operator computes, or the image.
    pub fn activation(&mut self, name: &str, shape: &[i32]) -> TensorIndex {
        self.tensor(name, shape, TensorType::FLOAT32, 0)
    }

    /// A tensor of weights.
    pub fn weights(&mut self, name: &str, shape: &[i32], values: &[f32]) -> TensorIndex {
        let buffer = self.buffer(values, f32::to_le_bytes);
        self.tensor(name, shape, TensorType::FLOAT32, buffer)
    }

    /// A vector of integers, such as a shape.
    pub fn integers(&mut self, name: &str, values: &[i32]) -> TensorIndex {
        let buffer = self.buffer(values, i32::to_le_bytes);
        self.tensor(name, &[values.len() as i32], TensorType::INT32, buffer)
    }

    /// Appends an operator; `options` is of the registration's options type.
    pub fn operator(
        &mut self,
        registration: &'static Registration,
        inputs: &[TensorIndex],
        output: TensorIndex,
        options: Option<WIPOffset<UnionWIPOffset>>,
    ) {
        let code = self.code(registration);
        let args = OperatorArgs {
            opcode_index: code,
            inputs: Some(self.builder.create_vector(inputs)),
            outputs: Some(self.builder.create_vector(&[output])),
            builtin_options_type: registration.options,
            builtin_options: options,
            ..Default::default()
        };
        self.operators.push(Operator::create(&mut self.builder, &args));
    }

    /// The whole file.
    pub fn finish(mut self, input: TensorIndex, output: TensorIndex) -> Vec<u8> {
        let metadata = self.min_runtime_version();
        let subgraph = self.subgraph(input, output);
        let codes: Vec<_> =
            self.codes.iter().map(|code| OperatorCode::create(&mut self.builder, &code.operator_code())).collect();
        let args = ModelArgs {
            version: SCHEMA_VERSION,
            operator_codes: Some(self.builder.create_vector(&codes)),
            subgraphs: Some(self.builder.create_vector(&[subgraph])),
            description: Some(self.description),
            buffers: Some(self.builder.create_vector(&self.buffers)),
            metadata: Some(self.builder.create_vector(&[metadata])),
            ..Default::default()
        };
        let model = Model::create(&mut self.builder, &args);
        self.builder.finish(model, Some(IDENTIFIER));
        let (mut bytes, start) = self.builder.collapse();
        bytes.drain(..start);
        bytes
    }

    fn code(&mut self, registration: &'static Registration) -> u32 {
        let known = self.codes.iter().position(|code| code.code == registration.code);
        known.unwrap_or_else(|| {
            self.codes.push(registration);
            self.codes.len() - 1
        }) as u32
    }

    fn tensor(&mut self, name: &str, shape: &[i32], type_: TensorType, buffer: u32) -> TensorIndex {
        let args = TensorArgs {
            shape: Some(self.builder.create_vector(shape)),
            type_,
            buffer,
            name: Some(self.builder.create_string(name)),
            ..Default::default()
        };
        self.tensors.push(Tensor::create(&mut self.builder, &args));
        self.tensors.len() as i32 - 1
    }

    /// A buffer of 4-byte values; returns its index.
    fn buffer<T: Copy>(&mut self, values: &[T], bytes: impl Fn(T) -> [u8; VALUE]) -> u32 {
        let data = self.aligned(values, bytes);
        self.buffers.push(Buffer::create(&mut self.builder, &BufferArgs { data: Some(data) }));
        self.buffers.len() as u32 - 1
    }

    /// A byte vector whose first byte is aligned. Flatbuffers are written back to front: first the values that fill no
    /// whole block, padded to aligned chunks, then the blocks, then the true length before them.
    fn aligned<T: Copy>(&mut self, values: &[T], bytes: impl Fn(T) -> [u8; VALUE]) -> WIPOffset<Vector<'static, u8>> {
        let padded = (VALUE * values.len()).next_multiple_of(ALIGNMENT);
        self.builder.start_vector::<AlignedBlock<ALIGNMENT>>(padded / ALIGNMENT);
        let blocks = values.chunks_exact(BLOCK / VALUE);
        for values in blocks.remainder().chunks(ALIGNMENT / VALUE).rev() {
            self.builder.push(AlignedBlock::<ALIGNMENT>::of(values, &bytes));
        }
        for values in blocks.rev() {
            self.builder.push(AlignedBlock::<BLOCK>::of(values, &bytes));
        }
        self.builder.end_vector::<u8>(VALUE * values.len())
    }

    fn subgraph(&mut self, input: TensorIndex, output: TensorIndex) -> WIPOffset<SubGraph<'static>> {
        let args = SubGraphArgs {
            tensors: Some(self.builder.create_vector(&self.tensors)),
            inputs: Some(self.builder.create_vector(&[input])),
            outputs: Some(self.builder.create_vector(&[output])),
            operators: Some(self.builder.create_vector(&self.operators)),
            name: Some(self.builder.create_string("main")),
        };
        SubGraph::create(&mut self.builder, &args)
    }

    /// The newest runtime that any operator needs, as text padded with NULs.
    fn min_runtime_version(&mut self) -> WIPOffset<Metadata<'static>> {
        let (name, length) = MIN_RUNTIME_VERSION;
        let version = self.codes.iter().map(|code| code.since).max().unwrap_or_default();
        let mut text = version.to_string().into_bytes();
        text.resize(length, 0);
        let words: Vec<[u8; VALUE]> = text.chunks_exact(VALUE).map(|b| [b[0], b[1], b[2], b[3]]).collect();
        let buffer = self.buffer(&words, |word| word);
        let name = self.builder.create_string(name);
        Metadata::create(&mut self.builder, &MetadataArgs { name: Some(name), buffer })
    }
}

impl Registration {
    /// Old readers look at the one-byte code, which ends at 127.
    fn operator_code(&self) -> OperatorCodeArgs<'static> {
        OperatorCodeArgs {
            deprecated_builtin_code: self.code.0.min(127) as i8,
            builtin_code: self.code,
            version: 1,
            custom_code: None,
        }
    }
}

/// Bytes pushed as one item; its alignment is what aligns a buffer.
#[derive(Clone, Copy)]
struct AlignedBlock<const BYTES: usize>([u8; BYTES]);

impl<const BYTES: usize> AlignedBlock<BYTES> {
    /// The values' bytes, followed by zeros.
    fn of<T: Copy>(values: &[T], bytes: impl Fn(T) -> [u8; VALUE]) -> Self {
        let mut block = [0; BYTES];
        for (place, &value) in block.chunks_exact_mut(VALUE).zip(values) {
            place.copy_from_slice(&bytes(value));
        }
        Self(block)
    }
}

impl<const BYTES: usize> Push for AlignedBlock<BYTES> {
    type Output = Self;

    unsafe fn push(&self, destination: &mut [u8], _written: usize) {
        destination.copy_from_slice(&self.0);
    }

    fn alignment() -> PushAlignment {
        PushAlignment::new(ALIGNMENT)
    }
}
