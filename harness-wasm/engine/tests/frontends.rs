//! Every front end against what transformers' processors make of the same pictures and sounds.

use std::fs;
use std::path::PathBuf;

use webmatrix_engine::backend::Backend;
use webmatrix_engine::backend::cpu::{Cpu, Kernels};
use webmatrix_engine::frontend::{Picture, Preprocessor};
use webmatrix_engine::models::Config;
use webmatrix_engine::tensor::{DType, NamedTensors, Tensor, read_safetensors};

/// A front end's fixture.
struct Fixture {
    name: String,
    preprocessor: Preprocessor,
    inputs: NamedTensors,
    expected: NamedTensors,
}

impl Fixture {
    fn all() -> Vec<Self> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/frontends");
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert!(!names.is_empty());
        names.into_iter().map(Self::read).collect()
    }

    fn read(name: String) -> Self {
        let folder =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/frontends").join(&name);
        let read = |file: &str| fs::read(folder.join(file)).unwrap();
        let tensors = |file: &str| read_safetensors(file, &read(file)).unwrap();
        let config = Config::parse("preprocessor_config.json", &read("preprocessor_config.json")).unwrap();
        let mut expected = tensors("expected.safetensors");
        expected.remove("pil_pixel_values");
        let preprocessor = match Preprocessor::read(&config).unwrap() {
            // Whether there is a mask is a choice of the call.
            Preprocessor::LogMel(front) => {
                Preprocessor::LogMel(front.masked(expected.contains_key("attention_mask")))
            }
            other => other,
        };
        Self { name, preprocessor, inputs: tensors("inputs.safetensors"), expected }
    }

    /// `image_0`, `image_1` ...
    fn pictures(&self) -> Vec<Picture> {
        self.inputs.values().flat_map(pictures).collect()
    }

    /// `audio_0`, `audio_1` ...
    fn sounds(&self) -> Vec<&[f32]> {
        self.inputs.values().map(Tensor::as_f32).collect()
    }

    fn is_spectrum(&self) -> bool {
        matches!(self.preprocessor, Preprocessor::LogMel(_))
    }

    fn run<B: Backend>(&self, backend: &mut B) -> NamedTensors {
        match &self.preprocessor {
            Preprocessor::Images(front) => front.images(&self.pictures()),
            Preprocessor::Tiles(front) => front.images(&self.pictures()),
            Preprocessor::Videos(front) => front.videos(&[&self.pictures()]),
            Preprocessor::Waveform(front) => front.values(&self.sounds()),
            Preprocessor::LogMel(front) => pollster::block_on(front.features(backend, &self.sounds())),
        }
        .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// How far it is off at worst.
    #[expect(clippy::print_stderr, reason = "how close each is, for who asks with --nocapture")]
    fn check<B: Backend>(&self, backend: &mut B) {
        let made = self.run(backend);
        assert!(made.keys().eq(self.expected.keys()), "{}: gives {:?}", self.name, made.keys());
        for (name, expected) in &self.expected {
            let made = &made[name];
            assert_eq!(made.shape(), expected.shape(), "{}: {name}", self.name);
            if expected.dtype() == DType::I32 {
                assert_eq!(made, expected, "{}: {name}", self.name);
                continue;
            }
            let bound = bound(name, expected);
            let pairs = made.as_f32().iter().zip(expected.as_f32());
            // A NaN is worse than any bound.
            let error = |(y, e): (&f32, &f32)| (f64::from(*y) - f64::from(*e)).abs();
            let worst = pairs.map(error).fold(0.0, |worst, error| if error <= worst { worst } else { error });
            eprintln!("{} on {}: {name} off by {worst:.1e}, of {bound:.1e}", self.name, backend.name());
            assert!(worst <= bound, "{}: {name} is off by {worst:e}", self.name);
        }
    }
}

/// Pictures `[height, width, 3]`, or frames of them.
fn pictures(tensor: &Tensor) -> Vec<Picture> {
    let &[.., height, width, 3] = tensor.shape() else { panic!("{:?} is no picture", tensor.shape()) };
    let bytes: Vec<u8> = tensor.as_i32().iter().map(|&level| u8::try_from(level).unwrap()).collect();
    let one = |bytes: &[u8]| Picture::new([height, width], bytes.to_vec()).unwrap();
    bytes.chunks_exact(height * width * 3).map(one).collect()
}

/// Pixels are the same bit for bit; numpy adds samples up in another order; spectra are compared in units of their
/// standard deviation, which for decibels is the order of 10.
fn bound(name: &str, expected: &Tensor) -> f64 {
    match name {
        "pixel_values" => 0.0,
        "input_values" => 2e-6,
        _ => {
            let values = expected.as_f32();
            let mean = |f: &dyn Fn(f64) -> f64| {
                values.iter().map(|&v| f(f64::from(v))).sum::<f64>() / values.len() as f64
            };
            let centre = mean(&|v| v);
            1e-4 * mean(&|v| (v - centre).powi(2)).sqrt().max(1.0)
        }
    }
}

#[test]
fn oracle_agrees_with_transformers() {
    Fixture::all().iter().for_each(|fixture| fixture.check(&mut Cpu::new(Kernels::Oracle)));
}

#[test]
fn simd_agrees_with_transformers() {
    let spectra = Fixture::all().into_iter().filter(Fixture::is_spectrum);
    spectra.for_each(|fixture| fixture.check(&mut Cpu::new(Kernels::Simd)));
}

#[cfg(feature = "native-gpu")]
#[test]
fn wgsl_agrees_with_transformers() {
    use webmatrix_engine::backend::webgpu::{NativeDevice, WebGpu};
    let mut backend = WebGpu::new(pollster::block_on(NativeDevice::create()).unwrap());
    let spectra = Fixture::all().into_iter().filter(Fixture::is_spectrum);
    spectra.for_each(|fixture| fixture.check(&mut backend));
}
