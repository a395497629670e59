//! Reads and writes models as safetensors: `layers.{i}.weight` (n_out, n_in) and `layers.{i}.bias` (n_out), `i` from 0; of an ensemble
//! `members.{k}.layers.{i}.weight` and so on.
//!
//! One metadata key holds the rest of the model (activations, input scaling, labels, split) as JSON with sorted keys. Files
//! hold no time, path or machine, so equal models have equal bytes. Files without that key are those of other programs; see
//! `state_dict`.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};

use super::layout::{INPUT_SCALES, member_prefix};
use super::mistaken::require_safetensors;
use super::network::{is_one, one};
use super::spec::MAX_MEMBERS;
use super::state_dict::{Linears, append_values, shown_names};
use super::{Activation, Layout, Metadata, Model, Norm, Spec};
use crate::checksum;
use crate::error::{Error, Result};
use crate::files;
use crate::memory::{require_memory, too_large, try_reserve};
use crate::task::Regression;

/// The metadata key of densely. Keys of other programs are ignored.
const METADATA_KEY: &str = "densely";
/// The metadata key of a checkpoint, which is no model.
pub(crate) const CHECKPOINT_KEY: &str = "densely-checkpoint";
/// Increased whenever an older densely would misread a newer file. Files of version 1 have no checksum.
const FORMAT_VERSION: u32 = 7;
/// What an ensemble is written as: version 7 has added nothing to it.
const ENSEMBLES_VERSION: u32 = 6;
/// What a network with norms is written as: version 6 has added nothing to it.
const NORMS_VERSION: u32 = 5;
/// What a model without norms is written as: version 5 has added nothing to it.
const COMPONENTS_VERSION: u32 = 4;
/// What a model of a table without principal components, or of a regression, is written as: version 4 has added nothing to these.
const TABLES_VERSION: u32 = 3;
/// What a model that tells images or arrays apart is written as: version 3 has added regressions and tables, and nothing to these.
const CLASSES_VERSION: u32 = 2;

/// The JSON under [`METADATA_KEY`].
#[derive(Serialize, Deserialize)]
struct Header {
    format_version: u32,
    activations: Vec<Activation>,
    #[serde(default, skip_serializing_if = "is_none")]
    norm: Norm,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    members: usize,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    input_scales: bool,
    #[serde(flatten)]
    metadata: Metadata,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde asks
fn is_none(norm: &Norm) -> bool {
    *norm == Norm::None
}

impl Model {
    /// The bytes of the model's file: equal for equal models.
    ///
    /// # Errors
    /// If the model cannot be serialised.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.bytes_with(&self.params)
    }

    /// The bytes of this model with other parameters.
    ///
    /// # Panics
    /// If the length of `params` is not that of the layout.
    pub(crate) fn bytes_with(&self, params: &[f32]) -> Result<Vec<u8>> {
        if self.spec.members() > 1 && self.metadata.is_none() {
            let problem = "an ensemble without metadata, which a file needs to tell its members apart; expected one that was trained";
            return Err(unwritable(problem));
        }
        let layout = Layout::new(&self.spec)?;
        assert_eq!(
            params.len(),
            layout.len(),
            "bytes_with: the length of `params` is not that of the layout"
        );
        let bytes = files::le_bytes(params);
        let mut tensors = Vec::with_capacity(layout.tensors().len());
        for tensor in layout.tensors() {
            let data = &bytes[4 * tensor.range.start..4 * tensor.range.end];
            let view = TensorView::new(Dtype::F32, tensor.shape.clone(), data);
            tensors.push((tensor.name.clone(), view.map_err(unwritable)?));
        }
        let header = match &self.metadata {
            Some(metadata) => {
                let header = Header {
                    format_version: version_of(metadata, &self.spec),
                    activations: self.spec.activations(),
                    norm: self.spec.norm(),
                    members: self.spec.members(),
                    input_scales: self.spec.scales_inputs(),
                    metadata: metadata.clone(),
                };
                let json = checksum::sealed(&header, &[params]).map_err(unwritable)?;
                Some(HashMap::from([(METADATA_KEY.to_owned(), json)]))
            }
            None => None,
        };
        serialize(tensors, header).map_err(unwritable)
    }

    /// Writes the model to a file. A reader sees the old file or the complete new one.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        files::write_atomic(path, &self.to_bytes()?)
    }

    /// Reads a model from a file that densely wrote, or a PyTorch state dict of linear layers (`0.weight`, `0.bias`, `2.weight`,
    /// `net.0.weight`, and so on, in the natural order of their names; f64, f32, f16 or bf16) that `save_file` of the Python package
    /// `safetensors` wrote. `activations` are those of the hidden layers, for a file that does not record them (empty: the
    /// defaults).
    ///
    /// # Errors
    /// If the file is damaged or not a model, or records other activations than `activations`.
    pub fn load(path: &Path, activations: &[Activation]) -> Result<Self> {
        Self::from_bytes(&files::read(path)?, activations).map_err(|error| match error {
            Error::Invalid { problem, .. } => Error::invalid_file(path, problem),
            Error::Usage(problem) => Error::usage(format!("{}: {problem}", path.display())),
            other => other,
        })
    }

    /// Reads a model from the bytes of a file; otherwise as [`Model::load`].
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn from_bytes(bytes: &[u8], activations: &[Activation]) -> Result<Self> {
        require_safetensors(bytes)?;
        let (header, seal) = read_header(bytes)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(unreadable)?;
        let Linears { sizes, params, names } = match &header {
            Some(header) => own_layers(&tensors, header, bytes.len())?,
            None if tensors.names().iter().any(|name| name.starts_with("members.")) => {
                return Err(invalid(
                    "an ensemble without its metadata; expected the file as densely wrote it",
                ));
            }
            None => Linears::read(&tensors)?,
        };
        let &[n_in, ref hidden @ .., n_out] = &sizes[..] else {
            return Err(invalid("it has no layers; expected at least one"));
        };
        let spec = match &header {
            Some(header) => {
                let spec = Spec::new(n_in, hidden, &header.activations, n_out)
                    .map(|spec| spec.with_norm(header.norm).with_input_scales(header.input_scales))
                    .and_then(|spec| spec.with_members(header.members))
                    .map_err(|error| invalid(error.to_string()))?;
                if !activations.is_empty()
                    && Spec::new(n_in, hidden, activations, n_out)?.activations()
                        != spec.activations()
                {
                    return Err(Error::usage(format!(
                        "the activations are {}, not {}; expected the same, or none",
                        join(&spec.activations()),
                        join(activations)
                    )));
                }
                spec
            }
            None => Spec::new(n_in, hidden, activations, n_out)?,
        };
        let metadata = header.map(|header| header.metadata);
        if let Some(metadata) = &metadata {
            let (image, named) = (metadata.image, metadata.n_outputs());
            let pixels = image
                .map(|(height, width)| height.checked_mul(width)?.checked_mul(metadata.channels));
            if named != n_out || pixels.is_some_and(|pixels| pixels != Some(n_in)) {
                return Err(invalid(format!(
                    "damaged metadata: {named} labels and images of {image:?} for {n_out} outputs and {n_in} inputs"
                )));
            }
            metadata.regression.as_ref().map_or(Ok(()), Regression::check)?;
            metadata.prepare.as_ref().map_or(Ok(()), |prepare| prepare.check(n_in))?;
        }
        if let Some((value, checksum)) = seal {
            checksum::verify(&checksum, &value, &[&params])
                .map_err(|error| invalid(format!("damaged: {error}")))?;
        }
        Ok(Self { spec, params, metadata, layer_names: names })
    }
}

/// The oldest version that has everything that a model needs.
fn version_of(metadata: &Metadata, spec: &Spec) -> u32 {
    match (&metadata.regression, &metadata.prepare, metadata.channels) {
        (_, Some(prepare), _) if prepare.squash().is_some() => FORMAT_VERSION,
        _ if spec.scales_inputs() => FORMAT_VERSION,
        _ if spec.members() > 1 => ENSEMBLES_VERSION,
        _ if spec.norm() != Norm::None => NORMS_VERSION,
        (_, Some(prepare), _) if prepare.pca().is_some() => COMPONENTS_VERSION,
        (None, None, 1) => CLASSES_VERSION,
        _ => TABLES_VERSION,
    }
}

/// JSON and its checksum.
type Seal = (serde_json::Value, String);

/// The metadata that densely wrote, and what its checksum is of; `None` if the file has none.
fn read_header(bytes: &[u8]) -> Result<(Option<Header>, Option<Seal>)> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(unreadable)?;
    let texts = metadata.metadata().as_ref();
    if texts.is_some_and(|map| map.contains_key(CHECKPOINT_KEY)) {
        return Err(invalid(
            "it is a checkpoint; expected a model, such as best.safetensors beside it",
        ));
    }
    let Some(json) = texts.and_then(|map| map.get(METADATA_KEY)) else {
        // a key with one wrong bit would make a stranger's file of it
        let mut others = texts.into_iter().flat_map(|map| map.values());
        return match others.any(|text| text.contains("\"format_version\"")) {
            true => Err(invalid(format!("damaged metadata: expected the key `{METADATA_KEY}`"))),
            false => Ok((None, None)),
        };
    };
    /// Read first, so that a newer file is rejected by its version, not by its first new field.
    #[derive(Deserialize)]
    struct Version {
        format_version: u32,
    }
    fn damaged(error: impl std::fmt::Display) -> Error {
        invalid(format!("damaged metadata: {error}"))
    }
    let Version { format_version } = serde_json::from_str(json).map_err(damaged)?;
    if !(1..=FORMAT_VERSION).contains(&format_version) {
        return Err(invalid(format!(
            "format version {format_version}, expected {FORMAT_VERSION}; a newer densely wrote it"
        )));
    }
    let header = serde_json::from_str(json).map_err(damaged)?;
    let seal = match format_version {
        1 => None,
        _ => Some(checksum::opened(json).map_err(damaged)?),
    };
    Ok((Some(header), seal))
}

/// The layers of a model that densely wrote: `layers.{i}.weight`, `layers.{i}.bias` and what the norm of hidden layers has, of each member, and nothing else. The file has
/// `len` bytes.
fn own_layers(tensors: &SafeTensors<'_>, header: &Header, len: usize) -> Result<Linears> {
    let &Header { norm, members, input_scales, .. } = header;
    if !(1..=MAX_MEMBERS).contains(&members) {
        return Err(invalid(format!("damaged metadata: {members} members")));
    }
    let mut params = Vec::new();
    // densely writes four bytes a value
    let capacity = len / 4;
    require_memory(capacity, "the model")?;
    try_reserve(&mut params, capacity).map_err(|_| too_large(capacity, "the model"))?;
    let of_hidden = 2 + norm.tensors().len();
    // the output layer has no norm
    let before = usize::from(input_scales);
    let of_layers = (tensors.len() / members).saturating_sub(before);
    let n_layers = (of_layers + norm.tensors().len()) / of_hidden;
    let of_member = (of_hidden * n_layers).saturating_sub(norm.tensors().len()) + before;
    if members > 1 && of_member * members != tensors.len() {
        let problem = format!("{} tensors for {members} members", tensors.len());
        return Err(invalid(format!("damaged metadata: {problem}")));
    }
    let mut sizes = Vec::new();
    for member in 0..members {
        let prefix = member_prefix(members, member);
        let own = member_layers(tensors, &prefix, header, n_layers, &mut params)?;
        if member > 0 && own != sizes {
            return Err(invalid(format!(
                "the layers of member {member} have the sizes {own:?}, expected {sizes:?}, as those of the first"
            )));
        }
        sizes = own;
    }
    if sizes.contains(&0) {
        return Err(invalid(format!("layer sizes {sizes:?}, expected at least 1 each")));
    }
    match n_layers > 0 && tensors.len() == of_member * members {
        true => Ok(Linears { sizes, params, names: Vec::new() }),
        false => Err(invalid(format!(
            "{} tensors ({}); expected layers.0.weight, layers.0.bias, and so on",
            tensors.len(),
            shown_names(tensors)
        ))),
    }
}

/// Appends the parameters of one network, whose tensors begin with `prefix`; returns the sizes of its layers, from the inputs on.
fn member_layers(
    tensors: &SafeTensors<'_>,
    prefix: &str,
    header: &Header,
    n_layers: usize,
    params: &mut Vec<f32>,
) -> Result<Vec<usize>> {
    let mut sizes = Vec::with_capacity(n_layers + 1);
    let mut factors = 0;
    if header.input_scales {
        let name = format!("{prefix}{INPUT_SCALES}");
        let values = tensor(tensors, &name)?;
        append_values(params, &name, &values)?;
        factors = values.shape().iter().product();
    }
    for i in 0..n_layers {
        let names = ["weight", "bias"].map(|kind| format!("{prefix}layers.{i}.{kind}"));
        let [weight, bias] = [tensor(tensors, &names[0])?, tensor(tensors, &names[1])?];
        let &[n_out, n_in] = weight.shape() else {
            let problem = format!("{} has the shape {:?}", names[0], weight.shape());
            return Err(invalid(format!("{problem}, expected (n_out, n_in)")));
        };
        if bias.shape() != [n_out] {
            let problem = format!("{} has the shape {:?}", names[1], bias.shape());
            return Err(invalid(format!("{problem}, expected [{n_out}], the rows of its weight")));
        }
        if sizes.last().is_some_and(|&previous| previous != n_in) {
            let problem = format!("{} has {n_in} columns", names[0]);
            return Err(invalid(format!("{problem}, expected {} inputs", sizes[i])));
        }
        if i == 0 {
            sizes.push(n_in);
            if header.input_scales && factors != n_in {
                let problem = format!("{prefix}{INPUT_SCALES} has {factors} values");
                return Err(invalid(format!("{problem}, expected {n_in}, one for each input")));
            }
        }
        sizes.push(n_out);
        append_values(params, &names[0], &weight)?;
        append_values(params, &names[1], &bias)?;
        let own_norm = if i + 1 < n_layers { header.norm } else { Norm::None };
        for (kind, _) in own_norm.tensors() {
            let name = format!("{prefix}layers.{i}.{kind}");
            let values = tensor(tensors, &name)?;
            if values.shape() != [n_out] {
                let problem = format!("{name} has the shape {:?}", values.shape());
                return Err(invalid(format!(
                    "{problem}, expected [{n_out}], the rows of its weight"
                )));
            }
            let first = params.len();
            append_values(params, &name, &values)?;
            if kind.ends_with("running_var") && params[first..].iter().any(|x| *x < 0.0) {
                return Err(invalid(format!("{name} has a value below 0, expected variances")));
            }
        }
    }
    Ok(sizes)
}

fn tensor<'a>(tensors: &SafeTensors<'a>, name: &str) -> Result<TensorView<'a>> {
    tensors
        .tensor(name)
        .map_err(|_| invalid(format!("no tensor {name}, found {}", shown_names(tensors))))
}

fn join(activations: &[Activation]) -> String {
    activations.iter().map(|activation| activation.name()).collect::<Vec<_>>().join(",")
}

fn invalid(problem: impl Into<String>) -> Error {
    Error::invalid("model", problem)
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    invalid(format!(
        "it is truncated or not a safetensors file ({error}); expected a model of densely, such as best.safetensors, or a state dict \
         that safetensors.torch.save_file wrote"
    ))
}

fn unwritable(error: impl std::fmt::Display) -> Error {
    invalid(format!("cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, Features, Split};
    use Activation::{Relu, Tanh};

    fn model(with_metadata: bool) -> Model {
        let spec = Spec::new(3, &[4, 2], &[Relu, Tanh], 5).unwrap();
        let len = Layout::new(&spec).unwrap().len();
        let data = Dataset::new("test", Features::U8(vec![0; 15]), vec![0, 1, 2, 3, 4], 3).unwrap();
        Model {
            spec,
            params: (0..len).map(|i| i as f32 - 7.5).collect(),
            metadata: with_metadata
                .then(|| Metadata::of(&data, Split::Auto, 7, data.fingerprint())),
            layer_names: Vec::new(),
        }
    }

    const VERSION_1: &str = r#"{"activations":["relu","tanh"],"data_fingerprint":"xxh3:00","format_version":1,"image":null,"labels":["0","1"],"scaling":"u8/255","split":"pooled"}"#;

    fn message(bytes: &[u8], activations: &[Activation]) -> String {
        Model::from_bytes(bytes, activations).unwrap_err().to_string()
    }

    fn file(tensors: &[(&str, &[usize], Dtype)], metadata: Option<&str>) -> Vec<u8> {
        let zeros = [0; 1024];
        let views = tensors.iter().map(|(name, shape, dtype)| {
            let len = shape.iter().product::<usize>() * dtype.bitsize() / 8;
            (*name, TensorView::new(*dtype, shape.to_vec(), &zeros[..len]).unwrap())
        });
        let metadata =
            metadata.map(|json| HashMap::from([(METADATA_KEY.to_owned(), json.to_owned())]));
        serialize(views, metadata).unwrap()
    }

    #[test]
    fn models_round_trip_and_equal_models_are_equal_bytes() {
        let bytes = model(true).to_bytes().unwrap();
        assert_eq!(Model::from_bytes(&bytes, &[]).unwrap(), model(true));
        assert_eq!(bytes, model(true).to_bytes().unwrap());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.safetensors");
        model(true).save(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert_eq!(Model::load(&path, &[Relu, Tanh]).unwrap(), model(true));
    }

    #[test]
    fn ensembles_round_trip_and_their_damage_is_named() {
        let mut ensemble = model(true);
        for norm in [Norm::None, Norm::Batch, Norm::Layer] {
            ensemble.spec = ensemble.spec.with_norm(norm).with_members(3).unwrap();
            let len = Layout::new(&ensemble.spec).unwrap().len();
            ensemble.params = (0..len).map(|i| i as f32 / 8.0).collect();
            let bytes = ensemble.to_bytes().unwrap();
            let read = Model::from_bytes(&bytes, &[]).unwrap();
            assert_eq!(read, ensemble);
            let version = br#"format_version\":6,"#;
            assert!(bytes.windows(version.len()).any(|text| text == version));
            let members = read.members();
            assert_eq!(members.len(), 3);
            assert_eq!(members[1].params, ensemble.params[len / 3..2 * len / 3]);
            // a member is a model of its own
            let alone = Model::from_bytes(&members[1].to_bytes().unwrap(), &[]).unwrap();
            assert_eq!(alone, members[1]);
        }
        let unnamed = Model { metadata: None, ..ensemble.clone() };
        let error = unnamed.to_bytes().unwrap_err().to_string();
        assert!(error.contains("an ensemble without metadata"), "{error}");
        let stripped: [(&str, &[usize], Dtype); 2] = [
            ("members.0.layers.0.weight", &[3, 3], Dtype::F32),
            ("members.0.layers.0.bias", &[3], Dtype::F32),
        ];
        assert!(message(&file(&stripped, None), &[]).contains("an ensemble without its metadata"));
        let f32 = Dtype::F32;
        let json = VERSION_1.replace("{", r#"{"members":2,"#);
        let tensors = |second: &'static [usize; 2]| {
            let name = |k: usize, kind: &str| format!("members.{k}.layers.0.{kind}");
            let names = [name(0, "weight"), name(0, "bias"), name(1, "weight"), name(1, "bias")];
            let shapes: [&[usize]; 4] = [&[2, 3], &[2], second, &[2]];
            let tensors: Vec<(&str, &[usize], Dtype)> =
                names.iter().zip(shapes).map(|(name, shape)| (&name[..], shape, f32)).collect();
            file(&tensors, Some(&json))
        };
        assert!(Model::from_bytes(&tensors(&[2, 3]), &[Relu, Tanh]).is_err());
        assert!(message(&tensors(&[2, 4]), &[]).contains("the layers of member 1 have the sizes"));
        let own: [(&str, &[usize], Dtype); 2] =
            [("layers.0.weight", &[2, 3], f32), ("layers.0.bias", &[2], f32)];
        assert!(message(&file(&own, Some(&json)), &[]).contains("2 tensors for 2 members"));
        let none = VERSION_1.replace("{", r#"{"members":0,"#);
        assert!(message(&file(&own, Some(&none)), &[]).contains("0 members"));
    }

    #[test]
    fn missing_activations_are_filled_in() {
        let bytes = model(false).to_bytes().unwrap();
        assert_eq!(Model::from_bytes(&bytes, &[Relu, Tanh]).unwrap(), model(false));
        let defaults = Model::from_bytes(&bytes, &[]).unwrap();
        assert_eq!(defaults.spec.activations(), [Relu, Relu]);
        assert!(message(&bytes, &[Relu, Relu, Relu]).contains("3 activations, hidden layers: 2"));
    }

    #[test]
    fn contradictions_and_damage_are_named() {
        let good = model(true).to_bytes().unwrap();
        assert!(message(&good, &[Tanh]).contains("the activations are relu,tanh, not tanh"));
        for cut in [1, 7, 8, 100, good.len() - 1] {
            assert!(
                message(&good[..cut], &[]).contains("it is truncated or not a safetensors file ("),
                "{cut}"
            );
        }
        assert!(message(b"", &[]).contains("it is empty; expected a model"));
        for archive in [&b"PK\x03\x04 and so on"[..], b"\x80\x02\x8a\x0al\xfc\x9c"] {
            assert!(message(archive, &[]).contains("such as torch.save writes"));
        }
        let archive = Model::to_npz(&model(true)).unwrap();
        assert!(message(&archive, &[]).contains("it is an archive of NumPy"));
        let tensor = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
        let json = format!(r#"{{"0.bias":{tensor},"0.bias":{tensor}}}"#);
        let twice = [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &[0; 4]].concat();
        assert!(message(&twice, &[]).contains("two tensors called 0.bias; expected names"));
        let f32 = Dtype::F32;
        let w0: (&str, &[usize], Dtype) = ("layers.0.weight", &[2, 3], f32);
        let b0: (&str, &[usize], Dtype) = ("layers.0.bias", &[2], f32);
        // what densely writes has its own names alone
        for (tensors, expected) in [
            (vec![], "expected layers.0.weight"),
            (vec![w0], "1 tensors (layers.0.weight)"),
            (vec![w0, ("other", &[1], f32)], "no tensor layers.0.bias"),
            (vec![w0, b0, ("other", &[1], f32)], "3 tensors"),
            (vec![("0.weight", &[2, 3], f32), ("0.bias", &[2], f32)], "no tensor layers.0.weight"),
            (vec![("layers.0.weight", &[2, 3, 1], f32), b0], "expected (n_out, n_in)"),
            (vec![w0, ("layers.0.bias", &[3], f32)], "expected [2]"),
            (vec![w0, ("layers.0.bias", &[2], Dtype::I32)], "type I32"),
            (vec![("layers.0.weight", &[2, 0], f32), b0], "at least 1"),
            (
                vec![w0, b0, ("layers.1.weight", &[2, 4], f32), ("layers.1.bias", &[2], f32)],
                "4 columns, expected 2 inputs",
            ),
        ] {
            let own = file(&tensors, Some(VERSION_1));
            assert!(message(&own, &[]).contains(expected), "{expected}");
        }
        assert!(message(&file(&[w0, b0], Some("{")), &[]).contains("damaged metadata"));
        let newer = file(&[w0, b0], Some(r#"{"format_version":8}"#));
        assert!(message(&newer, &[]).contains("a newer densely wrote it"));
    }

    #[test]
    fn every_turned_bit_is_found() {
        let good = model(true).to_bytes().unwrap();
        for position in 0..good.len() {
            for bit in 0..8 {
                let mut bytes = good.clone();
                bytes[position] ^= 1 << bit;
                assert!(Model::from_bytes(&bytes, &[]).is_err(), "byte {position}, bit {bit}");
            }
        }
    }

    #[test]
    fn files_of_version_1_are_read() {
        let f32 = Dtype::F32;
        let bytes = file(
            &[
                ("layers.0.weight", &[2, 3], f32),
                ("layers.0.bias", &[2], f32),
                ("layers.1.weight", &[2, 2], f32),
                ("layers.1.bias", &[2], f32),
                ("layers.2.weight", &[2, 2], f32),
                ("layers.2.bias", &[2], f32),
            ],
            Some(VERSION_1),
        );
        let metadata = Model::from_bytes(&bytes, &[]).unwrap().metadata.unwrap();
        assert_eq!((metadata.split, metadata.split_seed), (Split::Pooled, 0));
    }

    #[test]
    fn doubles_are_rounded() {
        let tensors: [(&str, &[usize], Dtype); 2] =
            [("layers.0.weight", &[2, 3], Dtype::F64), ("layers.0.bias", &[2], Dtype::F64)];
        assert_eq!(Model::from_bytes(&file(&tensors, None), &[]).unwrap().params, [0.0; 8]);
    }
}
