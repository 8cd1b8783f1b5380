//! Models as ONNX files: one input, the feature vector, and one output, the eight raw predictions.
//!
//! The graph is run by tract, in batches; it blocks, so it belongs on a thread that may. The file itself says what it is in its
//! property `headrace` (or the JSON file `NAME.onnx.json` beside it does): its name and the columns of the feature vector.
//! Memory: the model, and one batch of rows while it is scored.

mod features;
pub mod forest;
mod operator;

use std::path::Path;
use std::sync::Arc;

use headrace_core::{Error, Result};
use serde::Deserialize;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::format_err;

use self::features::Features;
use super::distribution::Distribution;
use super::linear::Contribution;
use super::model::{Model, Scored, version_of};
use super::offer::{Scores, TARGETS};
use super::registration::Registration;

const FORMAT: &str = "tariff-onnx-1";
/// The property of a file that holds its metadata.
const PROPERTY: &str = "headrace";
/// Rows that are computed at once: their features stay in the processor's cache.
const ROWS: usize = 512;

/// What is told about a model, as far as scoring needs it.
#[derive(Deserialize)]
struct Metadata {
    format: String,
    name: String,
    targets: Vec<String>,
    columns: Vec<String>,
}

/// A model that tract runs.
struct OnnxModel {
    version: String,
    features: Features,
    distribution: Option<Distribution>,
    plan: Arc<TypedRunnableModel>,
}

/// Reads a model from the content of its file; the path is only for its metadata, if they are beside it.
///
/// # Errors
/// A data error that says what does not fit.
pub fn read(path: &Path, content: &[u8]) -> Result<Arc<dyn Model>> {
    let bad = |detail: String| Error::data(format!("cannot use the ONNX model: {detail}"));
    let mut framework = tract_onnx::onnx();
    operator::register(&mut framework.op_register);
    let file = framework.proto_model_for_read(&mut &*content).map_err(|error| bad(format!("{error:#}")))?;
    let metadata = match file.metadata_props.iter().find(|property| property.key == PROPERTY) {
        Some(property) => property.value.clone(),
        None => beside(path).map_err(bad)?,
    };
    let distribution = Distribution::from_metadata(metadata.as_bytes())?;
    let metadata: Metadata =
        serde_json::from_str(&metadata).map_err(|error| bad(format!("its metadata cannot be read: {error}")))?;
    if metadata.format != FORMAT {
        return Err(bad(format!("its format is `{}`, not `{FORMAT}`", metadata.format)));
    }
    if metadata.targets != TARGETS {
        return Err(bad(format!("its targets are not {}", TARGETS.join(", "))));
    }
    let features = Features::of(&metadata.columns).map_err(bad)?;
    let plan = framework
        .model_for_proto_model(&file)
        .and_then(|graph| graph.into_optimized())
        .and_then(|graph| graph.into_runnable())
        .map_err(|error| bad(format!("{error:#}")))?;
    let model = OnnxModel { version: version_of(&metadata.name, content), features, distribution, plan };
    // A graph that does not take our rows is found out here, not while registrations wait.
    model.run(1, vec![0.0; model.features.width()])?;
    Ok(Arc::new(model))
}

fn beside(path: &Path) -> std::result::Result<String, String> {
    let mut name = path.as_os_str().to_owned();
    name.push(".json");
    let path = Path::new(&name);
    std::fs::read_to_string(path)
        .map_err(|error| format!("it has no property `{PROPERTY}`, and {} cannot be read: {error}", path.display()))
}

impl OnnxModel {
    fn run(&self, rows: usize, features: Vec<f32>) -> Result<Vec<f32>> {
        let failed = |detail: String| Error::data(format!("model {} cannot be computed: {detail}", self.version));
        let run = || -> TractResult<Vec<f32>> {
            let input = tract_ndarray::Array2::from_shape_vec((rows, self.features.width()), features)?;
            let outputs = self.plan.run(tvec!(Tensor::from(input).into()))?;
            let output = outputs.first().ok_or_else(|| format_err!("it has no output"))?;
            Ok(output.to_plain_array_view::<f32>()?.iter().copied().collect())
        };
        let results = run().map_err(|error| failed(format!("{error:#}")))?;
        if results.len() != rows * TARGETS.len() {
            return Err(failed(format!("{} results for {rows} rows", results.len())));
        }
        Ok(results)
    }
}

impl Model for OnnxModel {
    fn version(&self) -> &str {
        &self.version
    }

    fn score(&self, registrations: &[Registration]) -> Result<Vec<Scored>> {
        let width = self.features.width();
        let mut scored = Vec::with_capacity(registrations.len());
        for chunk in registrations.chunks(ROWS) {
            let mut rows = vec![0.0; chunk.len() * width];
            let unseen: Vec<bool> = chunk
                .iter()
                .zip(rows.chunks_exact_mut(width))
                .map(|(registration, row)| self.features.write(registration, row))
                .collect();
            let results = self.run(chunk.len(), rows)?;
            let (results, _) = results.as_chunks::<{ TARGETS.len() }>();
            scored.extend(
                results.iter().zip(unseen).map(|(raw, unseen)| (Scores::from_raw(&raw.map(f64::from)), unseen)),
            );
        }
        Ok(scored)
    }

    fn contributions(&self, _: &Registration) -> Option<Vec<Contribution>> {
        None
    }

    fn distribution(&self) -> Option<&Distribution> {
        self.distribution.as_ref()
    }
}
