//! Does a browser have a backend at all? Only its own probe may say no.

use webmatrix_wire::{Backend, Capability, ProbeReport};

/// Why the backend cannot be had, in the browser's words; none if it can, or if the probe did not try.
pub fn unsupported(backend: Backend, probe: &ProbeReport) -> Option<String> {
    match backend {
        Backend::WebGpu => refusal("WebGPU", &probe.webgpu),
        Backend::WebNn => refusal("WebNN", &probe.webnn),
        Backend::Wasm | Backend::NativeCpu | Backend::NativeGpu => None,
    }
}

fn refusal<T>(interface: &str, tried: &[Capability<T>]) -> Option<String> {
    if tried.is_empty() || tried.iter().any(|capability| capability.usable) {
        return None;
    }
    let mut words: Vec<String> = Vec::new();
    for capability in tried {
        let word = match &capability.error {
            Some(error) => error.clone(),
            None if capability.present => "present, but does not work".to_owned(),
            None => "the interface is absent".to_owned(),
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    Some(format!("{interface}: {}", words.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(present: bool, usable: bool, error: Option<&str>) -> Capability<()> {
        Capability {
            name: "x".into(),
            present,
            usable,
            error: error.map(str::to_owned),
            ms: 1.0,
            facts: None,
        }
    }

    #[test]
    fn only_a_complete_refusal_counts() {
        assert_eq!(refusal("X", &[] as &[Capability<()>]), None);
        assert_eq!(refusal("X", &[tried(true, false, Some("no")), tried(true, true, None)]), None);
        let refused = [
            tried(true, false, Some("NotSupportedError: no")),
            tried(true, false, Some("NotSupportedError: no")),
        ];
        assert_eq!(refusal("X", &refused).as_deref(), Some("X: NotSupportedError: no"));
        assert_eq!(refusal("X", &[tried(false, false, None)]).as_deref(), Some("X: the interface is absent"));
    }
}
