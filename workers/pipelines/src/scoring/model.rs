//! Models: from registrations to scores, behind one trait, read from files and taken up anew when their file changes.
//!
//! A model never changes: what is scored while a new one is taken up is scored by the one or the other as a whole batch.
//! Ordering: the order of the registrations. Memory: one model, and a second one while it is being read.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use headrace_core::{Error, Result};
use ring::digest::{SHA256, digest};

use super::distribution::Distribution;
use super::linear::{Contribution, LinearModel};
use super::offer::Scores;
use super::onnx;
use super::registration::Registration;

/// The model that comes with Headrace: linear, trained on simulated registrations.
const BUILT_IN: &[u8] = include_bytes!("model/simulated.json");
/// How often a model's file is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Hexadecimal digits of the file's hash in a version.
const HASH_DIGITS: usize = 12;

/// Scores of one registration, and whether a category of it was never seen in training.
pub type Scored = (Scores, bool);

/// A trained model in memory.
pub trait Model: Send + Sync {
    /// Its name and the beginning of its file's hash: what is stored with every prediction.
    fn version(&self) -> &str;

    /// Scores registrations: as many results, in the same order.
    ///
    /// # Errors
    /// A data error when the model cannot be computed.
    fn score(&self, registrations: &[Registration]) -> Result<Vec<Scored>>;

    /// What each input adds to each target before it is clipped; none for models that are no sum.
    fn contributions(&self, registration: &Registration) -> Option<Vec<Contribution>>;

    /// How its training data were distributed; none where its file does not tell.
    fn distribution(&self) -> Option<&Distribution>;
}

/// A linear model of a version.
struct Linear {
    version: String,
    model: LinearModel,
    distribution: Option<Distribution>,
}

impl Model for Linear {
    fn version(&self) -> &str {
        &self.version
    }

    fn score(&self, registrations: &[Registration]) -> Result<Vec<Scored>> {
        Ok(registrations.iter().map(|registration| self.model.score(registration)).collect())
    }

    fn contributions(&self, registration: &Registration) -> Option<Vec<Contribution>> {
        Some(self.model.contributions(registration))
    }

    fn distribution(&self) -> Option<&Distribution> {
        self.distribution.as_ref()
    }
}

/// The version of a model: its name and the beginning of the SHA-256 of its file.
pub fn version_of(name: &str, content: &[u8]) -> String {
    let hash: String = digest(&SHA256, content).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name}-{}", &hash[..HASH_DIGITS])
}

/// Reads a linear model.
///
/// # Errors
/// A data error that says what does not fit.
pub fn linear(content: &[u8]) -> Result<Arc<dyn Model>> {
    let model = LinearModel::from_json(content)?;
    let version = version_of(model.name(), content);
    let distribution = Distribution::from_metadata(content)?;
    Ok(Arc::new(Linear { version, model, distribution }))
}

/// Reads a model's content by what its path ends in.
///
/// # Errors
/// A configuration error naming the file.
fn parse(path: &Path, content: &[u8]) -> Result<Arc<dyn Model>> {
    let named = |text: &str| Error::configuration(format!("model file {}: {text}", path.display()));
    let model = match path.extension().and_then(|ending| ending.to_str()) {
        Some("json") => linear(content),
        Some("onnx") => onnx::read(path, content),
        _ => Err(named("its name must end in .json or .onnx")),
    };
    model.map_err(|error| match error {
        Error::Data(text) => named(&text),
        other => other,
    })
}

/// What tells a file from a changed one without reading it.
type Stamp = (Option<SystemTime>, u64);

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::configuration(format!("cannot read model file {}: {error}", path.display()))
}

fn stamp(path: &Path) -> Result<Stamp> {
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    Ok((metadata.modified().ok(), metadata.len()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| unreadable(path, &error))
}

/// What is known of the file at the moment.
struct Current {
    model: Arc<dyn Model>,
    /// The stamp last looked at, also of a file that was refused.
    stamp: Option<Stamp>,
    hash: Vec<u8>,
    looked: Instant,
}

/// A model that follows its file. Cheap to ask for; a changed file is taken up within a second, a broken one is refused with
/// one warning and the model before it goes on.
pub struct ModelFile {
    path: Option<PathBuf>,
    current: Mutex<Current>,
}

impl ModelFile {
    /// Reads the file, or takes the built-in model where none is given.
    ///
    /// # Errors
    /// A configuration error naming the file.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        let looked = Instant::now();
        let current = match path {
            Some(path) => {
                let (stamp, content) = (stamp(path)?, read(path)?);
                Current { model: parse(path, &content)?, stamp: Some(stamp), hash: sha256(&content), looked }
            }
            None => Current { model: linear(BUILT_IN)?, stamp: None, hash: Vec::new(), looked },
        };
        Ok(Self { path: path.map(Path::to_owned), current: Mutex::new(current) })
    }

    /// The model as of now.
    pub fn current(&self) -> Arc<dyn Model> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = self.path.as_deref().filter(|_| current.looked.elapsed() >= LOOK) {
            current.looked = Instant::now();
            if let Err(error) = take_up(path, &mut current) {
                tracing::warn!("going on with model {}: {error}", current.model.version());
            }
        }
        current.model.clone()
    }
}

/// Takes a changed file up; the same bytes under a new time are no change.
fn take_up(path: &Path, current: &mut Current) -> Result<()> {
    // A file that is being replaced may be missing for a moment: nothing to tell until it stays so.
    let Ok(found) = stamp(path) else { return Ok(()) };
    if current.stamp == Some(found) {
        return Ok(());
    }
    current.stamp = Some(found);
    let content = read(path)?;
    let hash = sha256(&content);
    if hash == current.hash {
        return Ok(());
    }
    let model = parse(path, &content)?;
    tracing::info!("model {} takes over from {}", model.version(), current.model.version());
    (current.model, current.hash) = (model, hash);
    Ok(())
}

fn sha256(content: &[u8]) -> Vec<u8> {
    digest(&SHA256, content).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{BUILT_IN, LOOK, ModelFile, linear, version_of};

    /// Waits until the file is looked at again.
    fn later(file: &ModelFile) -> String {
        let mut current = file.current.lock().unwrap();
        current.looked = Instant::now().checked_sub(LOOK + Duration::from_millis(1)).unwrap();
        drop(current);
        file.current().version().to_owned()
    }

    #[test]
    fn the_version_is_the_name_and_the_hash() {
        // The SHA-256 of "abc" is a test vector of FIPS 180-2.
        assert_eq!(version_of("m", b"abc"), "m-ba7816bf8f01");
        let built_in = linear(BUILT_IN).unwrap();
        assert_eq!(built_in.version(), ModelFile::open(None).unwrap().current().version());
        assert!(built_in.version().starts_with("simulated-"), "{}", built_in.version());
    }

    #[test]
    fn a_changed_file_is_taken_up_and_a_broken_one_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.json");
        std::fs::write(&path, BUILT_IN).unwrap();
        let file = ModelFile::open(Some(&path)).unwrap();
        let first = file.current().version().to_owned();
        std::fs::write(&path, b"{").unwrap();
        assert_eq!(later(&file), first);
        let mut changed = BUILT_IN.to_vec();
        changed.push(b'\n');
        std::fs::write(&path, &changed).unwrap();
        let second = later(&file);
        assert_ne!(second, first);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(later(&file), second);
        std::fs::write(&path, BUILT_IN).unwrap();
        assert_eq!(later(&file), first);
    }

    #[test]
    fn what_is_no_model_is_refused_with_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let error = |name: &str, content: &[u8]| {
            let path = directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            ModelFile::open(Some(&path)).err().unwrap().to_string()
        };
        assert!(error("a.json", b"{}").contains("a.json"));
        assert!(error("a.bin", b"").contains(".json"));
        let missing = ModelFile::open(Some(&directory.path().join("none.json"))).err().unwrap();
        assert!(missing.to_string().contains("none.json"));
    }
}
