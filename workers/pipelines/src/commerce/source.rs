//! Where events come from: the three topics of a log, read as one, or a file of recorded events.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headrace_core::log::{Consume, Log};
use headrace_core::merge::Merged;
use headrace_core::source::Source;
use headrace_core::{Error, Result, StoreUrl};

use super::event::Kind;
use super::file_source::FileSource;
use super::schema::{ABANDONED_TOPIC, DEAD_LETTER_TOPIC, PARTITIONS, PEAKS_TOPIC};
use crate::stores::open_log;

/// Events to read.
pub enum From {
    /// Topics of a log, and what stands before their names.
    Log(Arc<dyn Log>, String),
    /// A file.
    File(PathBuf),
}

/// How events are read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The group of workers.
    pub group: String,
    /// The kinds of events whose topics are read.
    pub kinds: &'static [Kind],
    /// Go on forever.
    pub follow: bool,
    /// Events in a batch.
    pub batch_rows: usize,
    /// Longest wait for a batch to fill, when following.
    pub interval: Duration,
}

/// The file a URL names, if it names one: `file:PATH`, or a path that ends in `.jsonl`.
pub fn file_of(text: &str) -> Option<PathBuf> {
    if let Some(path) = text.strip_prefix("file:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return Some(PathBuf::from(path));
    }
    text.ends_with(".jsonl").then(|| PathBuf::from(text))
}

impl From {
    /// Opens a log, or takes a file.
    ///
    /// # Errors
    /// What the log says.
    pub async fn open(option: &str, text: &str) -> Result<Self> {
        match file_of(text) {
            Some(path) => Ok(Self::File(path)),
            None => {
                let url = crate::steps::store_url(option, text)?;
                Ok(Self::Log(open_log(&url).await?, prefix(&url)?))
            }
        }
    }

    /// Names the place.
    pub fn name(&self) -> String {
        match self {
            Self::Log(log, _) => log.name(),
            Self::File(path) => format!("file:{}", path.display()),
        }
    }

    /// Begins to read.
    ///
    /// # Errors
    /// A configuration error when there are no topics or no file.
    pub async fn source(&self, reading: &Reading) -> Result<Box<dyn Source>> {
        match self {
            Self::File(path) => Ok(Box::new(FileSource::open(path, reading.batch_rows).await?)),
            Self::Log(log, prefix) => topics(&**log, prefix, reading).await,
        }
    }
}

/// What stands before the names of topics: the topic a URL names, and a point.
fn prefix(url: &StoreUrl) -> Result<String> {
    let given = url.topic("none")?;
    Ok(if given == "none" { String::new() } else { format!("{given}.") })
}

async fn topics(log: &dyn Log, prefix: &str, reading: &Reading) -> Result<Box<dyn Source>> {
    let mut sources = Vec::new();
    for kind in reading.kinds {
        let topic = format!("{prefix}{}", kind.topic());
        if log.extents(&topic).await?.is_none() {
            return Err(Error::configuration(format!(
                "topic {topic} does not exist in {}; run `headrace commerce simulate` first, or correct the URL",
                log.name()
            )));
        }
        let consume = Consume {
            group: format!("{}-{topic}", reading.group),
            follow: reading.follow,
            batch_rows: reading.batch_rows,
            batch_bytes: 16 << 20,
            interval: reading.interval,
        };
        let source = log.consume(&topic, &consume).await?;
        sources.push((topic, source));
    }
    Ok(Box::new(Merged::new(sources)))
}

/// Creates the topics of events.
///
/// # Errors
/// When the log refuses.
pub async fn create_topics(log: &dyn Log, prefix: &str, partitions: i32) -> Result<()> {
    for kind in Kind::ALL {
        log.create_topic(&format!("{prefix}{}", kind.topic()), partitions).await?;
    }
    Ok(())
}

/// Creates the topics of dead letters and alerts.
///
/// # Errors
/// When the log refuses.
pub async fn create_outputs(log: &dyn Log, prefix: &str) -> Result<()> {
    log.create_topic(&format!("{prefix}{DEAD_LETTER_TOPIC}"), 1).await?;
    log.create_topic(&format!("{prefix}{PEAKS_TOPIC}"), PARTITIONS).await?;
    log.create_topic(&format!("{prefix}{ABANDONED_TOPIC}"), PARTITIONS).await
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::file_of;

    #[test]
    fn files_and_logs_are_told_apart() {
        assert_eq!(file_of("events.jsonl").as_deref(), Some(Path::new("events.jsonl")));
        assert_eq!(file_of("file:///a/b.txt").as_deref(), Some(Path::new("/a/b.txt")));
        assert_eq!(file_of("file:b.txt").as_deref(), Some(Path::new("b.txt")));
        assert_eq!(file_of("kafka://h:9092"), None);
        assert_eq!(file_of("embedded:x"), None);
    }
}
