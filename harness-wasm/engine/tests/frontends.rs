//! Every front end against what transformers' processors make of the same pictures and sounds.

use std::fs;
use std::path::{Path, PathBuf};

use webmatrix_engine::backend::Backend;
use webmatrix_engine::backend::cpu::{Cpu, Kernels};
use webmatrix_engine::frontend::{Picture, Preprocessor};
use webmatrix_engine::models::{Config, model};
use webmatrix_engine::run::{Options, Runner};
use webmatrix_engine::tensor::{DType, NamedTensors, Tensor, read_safetensors};
use webmatrix_engine::weights::Weights;

/// A front end's fixture.
struct Fixture {
    name: String,
    preprocessor: Preprocessor,
    inputs: NamedTensors,
    expected: NamedTensors,
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
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

    fn check<B: Backend>(&self, backend: &mut B) {
        let made = self.run(backend);
        assert!(made.keys().eq(self.expected.keys()), "{}: gives {:?}", self.name, made.keys());
        made.iter().for_each(|(name, made)| self.compare(backend.name(), name, made));
    }

    #[expect(clippy::print_stderr, reason = "how close each is, for who asks with --nocapture")]
    fn compare(&self, place: &str, name: &str, made: &Tensor) {
        let expected = &self.expected[name];
        assert_eq!(made.shape(), expected.shape(), "{}: {name}", self.name);
        if expected.dtype() == DType::I32 {
            assert_eq!(made, expected, "{}: {name}", self.name);
            return;
        }
        let bound = bound(name, expected);
        let pairs = made.as_f32().iter().zip(expected.as_f32());
        // A NaN is worse than any bound.
        let error = |(y, e): (&f32, &f32)| (f64::from(*y) - f64::from(*e)).abs();
        let worst = pairs.map(error).fold(0.0, |worst, error| if error <= worst { worst } else { error });
        eprintln!("{} {place}: {name} off by {worst:.1e}, of {bound:.1e}", self.name);
        assert!(worst <= bound, "{} {place}: {name} is off by {worst:e}", self.name);
    }
}

/// A model's own front end is this one, with the settings of the `preprocessor_config.json` beside its config.
#[test]
fn models_take_the_settings_of_their_preprocessor() {
    for (front_end, class, folder) in [
        ("whisper-80", "whisper", "variants/whisper-scaled"),
        ("whisper-128", "whisper", "variants/whisper-mels-128"),
        ("clap-as-on-hub", "clap", "goldens/clap"),
    ] {
        let fixture = Fixture::read(front_end.to_owned());
        let folder = fixtures().join(folder);
        let read = |folder: &Path, file: &str| fs::read(folder.join(file)).unwrap();
        let config = |folder: &Path, file: &str| Config::parse(file, &read(folder, file)).unwrap();
        let preprocessor = config(&fixtures().join("frontends").join(front_end), "preprocessor_config.json");
        let model = model(class, &config(&folder, "config.json").with_preprocessor(preprocessor)).unwrap();
        let shards = vec![("model.safetensors".to_owned(), read(&folder, "model.safetensors"))];
        let weights = Weights::of_shards(shards).unwrap();
        let mut inputs = NamedTensors::from([("audio".to_owned(), fixture.inputs["audio_0"].clone())]);
        if class == "clap" {
            inputs.insert("input_ids".to_owned(), Tensor::i32([1, 2], vec![0, 2]));
        }
        let mut runner = Runner::new(&*model, &weights, Cpu::new(Kernels::Simd), Options::default());
        let made = pollster::block_on(runner.infer(&inputs)).unwrap();
        fixture.compare("in its model", "input_features", &made["input_features"]);
    }
}

#[test]
fn settings_that_do_not_fit_the_model_are_refused() {
    let fixture = |folder: &str, file: &str| {
        Config::parse(file, &fs::read(fixtures().join(folder).join(file)).unwrap()).unwrap()
    };
    for (class, folder, front_end, field) in [
        ("whisper", "variants/whisper-scaled", "whisper-128", "feature_size"),
        ("whisper", "goldens/whisper", "whisper-80", "chunk_length"),
        ("clap", "goldens/clap", "clap-repeat", "feature_size"),
        ("clap", "goldens/clap", "whisper-80", "feature_extractor_type"),
        ("whisper", "goldens/whisper", "vit", "image_processor_type"),
    ] {
        let preprocessor = fixture(&format!("frontends/{front_end}"), "preprocessor_config.json");
        let config = fixture(folder, "config.json").with_preprocessor(preprocessor);
        let error = model(class, &config).unwrap_err().to_string();
        assert!(error.starts_with(&format!("config field {field} = ")), "{folder} with {front_end}: {error}");
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
