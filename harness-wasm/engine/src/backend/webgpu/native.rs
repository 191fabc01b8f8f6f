//! The device through wgpu, on the host.

use std::cell::RefCell;
use std::sync::mpsc;

use crate::backend::webgpu::device::{Binding, Device, Limits, Usage, Work};
use crate::backend::webgpu::kernels::{Extension, Tuning};
use crate::error::{Error, Result};

/// A device of the host's own GPU, or of a software one.
#[derive(Debug)]
pub struct NativeDevice {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    scopes: RefCell<Vec<wgpu::ErrorScopeGuard>>,
    tuning: Tuning,
}

impl NativeDevice {
    /// The first adapter that wgpu finds, with all of its limits and nothing beyond core WebGPU.
    ///
    /// # Errors
    /// If there is none, in wgpu's words.
    pub async fn create() -> Result<Self> {
        Self::with(Tuning::default()).await
    }

    /// As [`Self::create`], for kernels so made.
    ///
    /// # Errors
    /// If there is no adapter, or it lacks one of them.
    pub async fn with(tuning: Tuning) -> Result<Self> {
        let refuse = |reason: String| Error::Unsupported { backend: Self::NAME, reason };
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = instance.request_adapter(&options).await.map_err(|error| refuse(error.to_string()))?;
        let mut required_features = wgpu::Features::empty();
        for extension in &tuning.extensions {
            let feature = match extension {
                // Of naga's language.
                Extension::Dp4a => continue,
                Extension::ShaderF16 => wgpu::Features::SHADER_F16,
                Extension::Subgroups => wgpu::Features::SUBGROUP,
            };
            if !adapter.features().contains(feature) {
                return Err(refuse(format!("the adapter has no {}", extension.name())));
            }
            required_features |= feature;
        }
        let descriptor = wgpu::DeviceDescriptor {
            required_features,
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let (device, queue) =
            adapter.request_device(&descriptor).await.map_err(|error| refuse(error.to_string()))?;
        Ok(Self { device, queue, info: adapter.get_info(), scopes: RefCell::default(), tuning })
    }

    /// What wgpu says of the adapter.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.info
    }

    /// Whether the adapter is the processor in disguise.
    pub fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }
}

impl Device for NativeDevice {
    type Buffer = wgpu::Buffer;
    type Pipeline = wgpu::ComputePipeline;
    type Asked = wgpu::ComputePipeline;
    type Group = wgpu::BindGroup;

    const NAME: &'static str = "native-gpu";

    fn limits(&self) -> Limits {
        let limits = self.device.limits();
        Limits {
            storage_binding: limits.max_storage_buffer_binding_size,
            buffer: limits.max_buffer_size,
            workgroups: limits.max_compute_workgroups_per_dimension,
            uniform_alignment: limits.min_uniform_buffer_offset_alignment,
        }
    }

    fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    fn enable(&self, extension: Extension) -> &'static str {
        match extension {
            Extension::Dp4a | Extension::ShaderF16 => extension.enable(),
            // naga 30 knows the operations, and not the line.
            Extension::Subgroups => "",
        }
    }

    fn buffer(&self, label: &str, size: u64, usage: Usage) -> wgpu::Buffer {
        use wgpu::BufferUsages as Flags;
        let kind = match usage {
            Usage::Storage => Flags::STORAGE | Flags::COPY_SRC,
            Usage::Uniform => Flags::UNIFORM,
        };
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage: kind | Flags::COPY_DST,
            mapped_at_creation: false,
        })
    }

    fn write(&self, buffer: &wgpu::Buffer, bytes: &[u8]) {
        self.queue.write_buffer(buffer, 0, bytes);
    }

    // wgpu makes pipelines before it gives them back.
    fn ask(
        &self,
        label: &str,
        wgsl: &str,
        constants: &[(&'static str, f64)],
    ) -> Result<wgpu::ComputePipeline> {
        self.at_once(label, wgsl, constants)
    }

    async fn asked(&self, asked: wgpu::ComputePipeline) -> Result<wgpu::ComputePipeline> {
        Ok(asked)
    }

    fn at_once(
        &self,
        label: &str,
        wgsl: &str,
        constants: &[(&'static str, f64)],
    ) -> Result<wgpu::ComputePipeline> {
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(label),
            source: wgpu::ShaderSource::Wgsl(wgsl.into()),
        });
        Ok(self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(label),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions { constants, ..Default::default() },
            cache: None,
        }))
    }

    fn group(
        &self,
        pipeline: &wgpu::ComputePipeline,
        bindings: &[Binding<'_, wgpu::Buffer>],
    ) -> wgpu::BindGroup {
        let entries: Vec<_> = bindings
            .iter()
            .enumerate()
            .map(|(at, binding)| wgpu::BindGroupEntry {
                binding: at as u32,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: binding.buffer,
                    offset: binding.offset,
                    size: std::num::NonZeroU64::new(binding.size),
                }),
            })
            .collect();
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        })
    }

    fn submit(&self, work: &[Work<Self>]) {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for batch in work.chunk_by(|a, b| matches!((a, b), (Work::Dispatch { .. }, Work::Dispatch { .. }))) {
            if let [Work::Copy { from, to, size }] = batch {
                encoder.copy_buffer_to_buffer(from, 0, to, 0, *size);
                continue;
            }
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for item in batch {
                if let Work::Dispatch { pipeline, group, workgroups: [x, y, z] } = item {
                    pass.set_pipeline(pipeline);
                    pass.set_bind_group(0, group, &[]);
                    pass.dispatch_workgroups(*x, *y, *z);
                }
            }
        }
        self.queue.submit([encoder.finish()]);
    }

    async fn read(&self, buffer: &wgpu::Buffer, size: u64) -> Result<Vec<u8>> {
        let fault = |reason: String| Error::Device { backend: Self::NAME, reason };
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("read back"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, size);
        self.queue.submit([encoder.finish()]);
        let (sender, receiver) = mpsc::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver is gone only if this function already returned.
            let _ = sender.send(result);
        });
        self.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|error| fault(error.to_string()))?;
        match receiver.recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(fault(error.to_string())),
            Err(error) => return Err(fault(error.to_string())),
        }
        let view = staging.get_mapped_range(..).map_err(|error| fault(error.to_string()))?;
        Ok(view.to_vec())
    }

    fn begin_scope(&self) {
        let mut scopes = self.scopes.borrow_mut();
        scopes.push(self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory));
        scopes.push(self.device.push_error_scope(wgpu::ErrorFilter::Validation));
    }

    async fn end_scope(&self) -> Result<()> {
        let mut first = Ok(());
        for _ in 0..2 {
            let scope = self.scopes.borrow_mut().pop();
            let Some(scope) = scope else { break };
            match scope.pop().await {
                None => {}
                Some(wgpu::Error::OutOfMemory { source }) => {
                    first = first.and(Err(Error::OutOfMemory(source.to_string())))
                }
                Some(error) => {
                    first = first.and(Err(Error::Device { backend: Self::NAME, reason: error.to_string() }));
                }
            }
        }
        first
    }

    fn destroy(&self, buffer: &wgpu::Buffer) {
        buffer.destroy();
    }
}
