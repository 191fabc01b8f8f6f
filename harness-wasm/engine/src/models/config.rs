//! `config.json`, read field by field with errors that name the field.

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::ops::Unary;

/// A parsed `config.json`.
#[derive(Clone, Debug)]
pub struct Config {
    file: String,
    fields: Map<String, Value>,
    preprocessor: Option<Box<Config>>,
}

impl Config {
    /// Parses a config; `file` names it in errors.
    ///
    /// # Errors
    /// If it is not a JSON object.
    pub fn parse(file: &str, text: &[u8]) -> Result<Self> {
        match serde_json::from_slice(text) {
            Ok(Value::Object(fields)) => Ok(Self { file: file.to_owned(), fields, preprocessor: None }),
            Ok(_) => Err(Error::Data { file: file.to_owned(), reason: "not a JSON object".into() }),
            Err(error) => Err(Error::Data { file: file.to_owned(), reason: format!("not JSON: {error}") }),
        }
    }

    /// The `config.json` of a checkpoint, with the `preprocessor_config.json` beside it, where there is one.
    ///
    /// # Errors
    /// If either is not a JSON object.
    pub fn of_files(config: &[u8], preprocessor: Option<&[u8]>) -> Result<Self> {
        let config = Self::parse("config.json", config)?;
        match preprocessor {
            Some(text) => Ok(config.with_preprocessor(Self::parse("preprocessor_config.json", text)?)),
            None => Ok(config),
        }
    }

    /// The same config, with the `preprocessor_config.json` that lies beside it.
    #[must_use]
    pub fn with_preprocessor(self, preprocessor: Self) -> Self {
        Self { preprocessor: Some(Box::new(preprocessor)), ..self }
    }

    /// The `preprocessor_config.json` beside it, if there is one.
    pub(crate) fn preprocessor(&self) -> Option<&Self> {
        self.preprocessor.as_deref()
    }

    /// `model_type`.
    pub fn model_type(&self) -> Option<&str> {
        self.fields.get("model_type")?.as_str()
    }

    /// The field, if it is there and not null.
    pub(crate) fn get(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    fn required(&self, field: &str) -> Result<&Value> {
        self.get(field).ok_or_else(|| Error::Data {
            file: self.file.clone(),
            reason: format!("field {field} is missing"),
        })
    }

    /// A positive whole number below 2^31: larger ones are hostile, and would overflow sizes.
    pub(crate) fn size(&self, field: &str) -> Result<usize> {
        as_size(field, self.required(field)?)
    }

    /// As [`Self::size`], with a default.
    pub(crate) fn size_or(&self, field: &str, default: usize) -> Result<usize> {
        self.get(field).map_or(Ok(default), |value| as_size(field, value))
    }

    /// A whole number that may be 0, with a default.
    pub(crate) fn count_or(&self, field: &str, default: usize) -> Result<usize> {
        match self.get(field) {
            Some(value) if value.as_u64() == Some(0) => Ok(0),
            _ => self.size_or(field, default),
        }
    }

    /// A size given once for both axes or as `[height, width]`.
    pub(crate) fn size_pair(&self, field: &str) -> Result<[usize; 2]> {
        match self.required(field)? {
            Value::Array(both) => match &both[..] {
                [height, width] => Ok([as_size(field, height)?, as_size(field, width)?]),
                _ => Err(Error::config(field, Value::Array(both.clone()), "must hold height and width")),
            },
            one => as_size(field, one).map(|size| [size, size]),
        }
    }

    /// As [`Self::size_pair`], with a default for both.
    pub(crate) fn size_pair_or(&self, field: &str, default: usize) -> Result<[usize; 2]> {
        if self.get(field).is_some() { self.size_pair(field) } else { Ok([default; 2]) }
    }

    /// A list of sizes, with a default.
    pub(crate) fn sizes_or(&self, field: &str, default: &[usize]) -> Result<Vec<usize>> {
        match self.get(field) {
            None => Ok(default.to_vec()),
            Some(Value::Array(sizes)) => sizes.iter().map(|size| as_size(field, size)).collect(),
            Some(other) => Err(Error::config(field, other, "must be a list of sizes")),
        }
    }

    /// `num_labels`, which the label table implies wherever one is written; two is Hugging Face's default.
    pub(crate) fn labels(&self) -> Result<usize> {
        match self.get("id2label") {
            Some(Value::Object(labels)) => Ok(labels.len()),
            Some(other) => Err(Error::config("id2label", other, "must be an object")),
            None => self.size_or("num_labels", 2),
        }
    }

    /// A finite number, if there is one.
    pub(crate) fn number(&self, field: &str) -> Result<Option<f64>> {
        self.get(field).map(|value| as_number(field, value)).transpose()
    }

    /// A finite number, with a default.
    pub(crate) fn number_or(&self, field: &str, default: f64) -> Result<f64> {
        self.get(field).map_or(Ok(default), |value| as_number(field, value))
    }

    /// A list of finite numbers.
    pub(crate) fn numbers(&self, field: &str) -> Result<Vec<f64>> {
        match self.required(field)? {
            Value::Array(numbers) => numbers.iter().map(|number| as_number(field, number)).collect(),
            other => Err(Error::config(field, other, "must be a list of numbers")),
        }
    }

    /// Token ids: none, one or a list. Negative ones, which stand for none, are left out.
    pub(crate) fn token_ids(&self, field: &str) -> Result<Vec<i32>> {
        let id = |value: &Value| {
            value
                .as_i64()
                .and_then(|id| i32::try_from(id).ok())
                .ok_or_else(|| Error::config(field, value, "must be a token id or a list of them"))
        };
        let ids = match self.get(field) {
            None => Vec::new(),
            Some(Value::Array(ids)) => ids.iter().map(id).collect::<Result<_>>()?,
            Some(one) => vec![id(one)?],
        };
        Ok(ids.into_iter().filter(|id| *id >= 0).collect())
    }

    /// A truth value, with a default.
    pub(crate) fn flag_or(&self, field: &str, default: bool) -> Result<bool> {
        match self.get(field) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(Error::config(field, other, "must be true or false")),
        }
    }

    /// A nested object, over the defaults that its class has for fields left out.
    pub(crate) fn part_over(&self, field: &str, defaults: &str) -> Result<Self> {
        let mut part = Self::parse(field, defaults.as_bytes())?;
        if let Some(written) = self.object(field)? {
            part.file = written.file;
            part.fields.extend(written.fields.into_iter().filter(|(_, value)| !value.is_null()));
        }
        Ok(part)
    }

    /// Refuses any value but `only`, which is also the default.
    pub(crate) fn require_text(&self, field: &str, only: &str) -> Result<()> {
        match self.get(field) {
            None => Ok(()),
            Some(Value::String(text)) if text == only => Ok(()),
            Some(other) => Err(Error::config(field, other, format!("only {only:?} is implemented"))),
        }
    }

    /// Refuses any value but `only`, which is also the default.
    pub(crate) fn require_flag(&self, field: &str, only: bool) -> Result<()> {
        if self.flag_or(field, only)? == only {
            Ok(())
        } else {
            Err(Error::config(field, !only, format!("only {only} is implemented")))
        }
    }

    /// A nested object.
    pub(crate) fn object(&self, field: &str) -> Result<Option<Self>> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::Object(fields)) => {
                let file = format!("{}: {field}", self.file);
                Ok(Some(Self { file, fields: fields.clone(), preprocessor: None }))
            }
            Some(other) => Err(Error::config(field, other, "must be an object")),
        }
    }

    /// A nested object; an empty one if there is none.
    pub(crate) fn object_or_empty(&self, field: &str) -> Result<Self> {
        let file = format!("{}: {field}", self.file);
        let empty = || Self { file, fields: Map::new(), preprocessor: None };
        Ok(self.object(field)?.unwrap_or_else(empty))
    }

    /// The same config, with what is not written in it taken from `defaults`, an object. A null counts as written:
    /// it is how a config says that there is none of something.
    pub(crate) fn with_defaults(mut self, defaults: Value) -> Self {
        if let Value::Object(defaults) = defaults {
            for (field, value) in defaults {
                self.fields.entry(field).or_insert(value);
            }
        }
        self
    }

    /// A text field, with a default.
    pub(crate) fn text_or<'c>(&'c self, field: &str, default: &'c str) -> Result<&'c str> {
        match self.get(field) {
            None => Ok(default),
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(Error::config(field, other, "must be text")),
        }
    }

    /// An activation by Hugging Face's name.
    pub(crate) fn activation(&self, field: &str, default: &str) -> Result<Unary> {
        Self::activation_named(field, self.text_or(field, default)?)
    }

    /// The activation of that name, which `field` implies.
    pub(crate) fn activation_named(field: &str, name: &str) -> Result<Unary> {
        match name {
            "gelu" | "gelu_python" => Ok(Unary::Gelu),
            // One formula, whose constants differ in their tenth digit.
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_python_tanh" | "gelu_accurate" | "gelu_fast" => {
                Ok(Unary::GeluTanh)
            }
            "quick_gelu" => Ok(Unary::QuickGelu),
            "relu" => Ok(Unary::Relu),
            "sigmoid" => Ok(Unary::Sigmoid),
            "silu" | "swish" => Ok(Unary::Silu),
            "tanh" => Ok(Unary::Tanh),
            other => Err(Error::config(field, other, "this activation is not implemented")),
        }
    }
}

fn as_size(field: &str, value: &Value) -> Result<usize> {
    match value.as_u64() {
        Some(size @ 1..=0x7fff_ffff) => Ok(size as usize),
        _ => Err(Error::config(field, value, "must be a positive whole number")),
    }
}

fn as_number(field: &str, value: &Value) -> Result<f64> {
    value.as_f64().filter(|n| n.is_finite()).ok_or_else(|| Error::config(field, value, "must be a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_fields_are_named() {
        let config = Config::parse("config.json", br#"{"a": -1, "b": "celu", "c": [1], "d": 1e400}"#);
        // 1e400 is not a number JSON parsers agree on; serde_json refuses it outright.
        assert!(config.is_err());
        let config = Config::parse("config.json", br#"{"a": -1, "b": "celu", "c": [1], "d": {}}"#).unwrap();
        for error in [
            config.size("a").unwrap_err(),
            config.activation("b", "gelu").unwrap_err(),
            config.size_pair("c").unwrap_err(),
            config.flag_or("d", true).unwrap_err(),
        ] {
            assert!(error.to_string().starts_with("config field "), "{error}");
        }
        let filled = Config::parse("config.json", br#"{"a": null, "b": 2}"#).unwrap();
        let filled = filled.with_defaults(serde_json::json!({"a": 1, "b": 1, "c": 1}));
        assert_eq!(
            ["a", "b", "c"].map(|field| filled.get(field).and_then(Value::as_u64)),
            [None, Some(2), Some(1)]
        );
        assert_eq!(config.size("zz").unwrap_err().to_string(), "config.json: field zz is missing");
    }
}
