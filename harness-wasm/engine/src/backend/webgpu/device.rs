//! The dozen calls of WebGPU that the engine needs, so that the same code drives a browser's device
//! and wgpu's.

use super::kernels::{Extension, Tuning};
use crate::error::Result;

/// Limits that decide what fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `maxStorageBufferBindingSize`, in bytes.
    pub storage_binding: u64,
    /// `maxBufferSize`, in bytes.
    pub buffer: u64,
    /// `maxComputeWorkgroupsPerDimension`.
    pub workgroups: u32,
    /// `minUniformBufferOffsetAlignment`, in bytes.
    pub uniform_alignment: u32,
}

/// What a buffer is for. Storage buffers can also be written from, and copied to and from, the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Operands of kernels.
    Storage,
    /// Parameters of kernels.
    Uniform,
}

/// One entry of a bind group, in binding order.
#[derive(Debug)]
pub struct Binding<'b, B> {
    /// The buffer.
    pub buffer: &'b B,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

/// Something for the queue.
#[derive(Debug)]
pub enum Work<D: Device> {
    /// Runs a kernel.
    Dispatch {
        /// Compiled kernel.
        pipeline: D::Pipeline,
        /// Its operands.
        group: D::Group,
        /// Workgroups by dimension.
        workgroups: [u32; 3],
    },
    /// Copies a whole buffer.
    Copy {
        /// From the start of this one.
        from: D::Buffer,
        /// To the start of that one.
        to: D::Buffer,
        /// Bytes.
        size: u64,
    },
}

/// A WebGPU device.
#[expect(
    async_fn_in_trait,
    reason = "futures here are driven on one thread, in a page or by a blocking host"
)]
pub trait Device: Sized {
    /// A buffer handle.
    type Buffer: Clone;
    /// A compute pipeline handle.
    type Pipeline: Clone;
    /// A compute pipeline that is being made.
    type Asked;
    /// A bind group handle.
    type Group;

    /// The backend's name on the wire.
    const NAME: &'static str;

    /// Its limits.
    fn limits(&self) -> Limits;

    /// What kernels are made for. It was given what they use beyond core WebGPU.
    fn tuning(&self) -> &Tuning;

    /// What a shader that uses one of them begins with.
    fn enable(&self, extension: Extension) -> &'static str {
        extension.enable()
    }

    /// A zeroed buffer of `size` bytes.
    fn buffer(&self, label: &str, size: u64, usage: Usage) -> Self::Buffer;

    /// Writes to the start of a buffer, in queue order.
    fn write(&self, buffer: &Self::Buffer, bytes: &[u8]);

    /// Asks for a pipeline of the entry point `main` of a shader with these override constants, which is made while others
    /// are, and while buffers are written.
    ///
    /// # Errors
    /// If it cannot even be asked for.
    fn ask(&self, label: &str, wgsl: &str, constants: &[(&'static str, f64)]) -> Result<Self::Asked>;

    /// Waits for a pipeline that was asked for.
    ///
    /// # Errors
    /// In the compiler's words.
    async fn asked(&self, asked: Self::Asked) -> Result<Self::Pipeline>;

    /// A pipeline as [`Self::ask`]'s, at once: whoever uses it waits until it is made, and errors go to the scope.
    ///
    /// # Errors
    /// If it cannot even be asked for.
    fn at_once(&self, label: &str, wgsl: &str, constants: &[(&'static str, f64)]) -> Result<Self::Pipeline>;

    /// Binds buffers to group 0 of a pipeline.
    fn group(&self, pipeline: &Self::Pipeline, bindings: &[Binding<'_, Self::Buffer>]) -> Self::Group;

    /// Submits work, in order; neighbouring dispatches share a compute pass.
    fn submit(&self, work: &[Work<Self>]);

    /// Reads the first `size` bytes of a buffer, after everything submitted before.
    ///
    /// # Errors
    /// If the device is lost.
    async fn read(&self, buffer: &Self::Buffer, size: u64) -> Result<Vec<u8>>;

    /// Opens a scope that catches validation and out-of-memory errors until [`Self::end_scope`].
    fn begin_scope(&self);

    /// Closes the scope.
    ///
    /// # Errors
    /// The first error caught.
    async fn end_scope(&self) -> Result<()>;

    /// Frees a buffer's memory now rather than whenever its handle is collected.
    fn destroy(&self, buffer: &Self::Buffer);
}
