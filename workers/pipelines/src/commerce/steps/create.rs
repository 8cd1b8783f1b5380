//! `commerce create`: topics, tables and the archive's folder, where they are missing.
//!
//! Safe to repeat: what is there stays as it is, and a table that is there is checked.

use async_trait::async_trait;
use headrace_core::step::Parameters;
use headrace_core::{Control, Error, Report, Result};

use super::DEFAULT_ARCHIVE;
use crate::commerce::schema::{PARTITIONS, Schema};
use crate::commerce::source::{From, create_outputs, create_topics};
use crate::stores::{DEFAULT_STORE, open_warehouse};

/// Creates what the other steps use.
#[derive(Clone, Debug, clap::Args)]
pub struct Create {
    /// The log of the events: kafka://HOST or embedded:DIRECTORY.
    #[arg(long, value_name = "EVENTS", default_value = DEFAULT_STORE)]
    pub log: String,
    /// Partitions of each topic of events, if it has to be created.
    #[arg(long, default_value_t = PARTITIONS, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: i32,
    /// Tables, state and positions: mysql://USER@HOST/DATABASE or embedded:DIRECTORY.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub store: String,
    /// The archive: file:DIRECTORY, hdfs://HOST/PATH, s3://BUCKET/PREFIX, or `none`.
    #[arg(long, value_name = "LAKE", default_value = DEFAULT_ARCHIVE)]
    pub archive: String,
}

#[async_trait]
impl Parameters for Create {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "create";
    const ABOUT: &'static str = "Create topics, tables and the archive's folder where they are missing";

    async fn run(self, _: Control) -> Result<Report> {
        let url = crate::steps::store_url("store", &self.store)?;
        let schema = Schema::of(&url)?;
        let From::Log(log, prefix) = From::open("log", &self.log).await? else {
            return Err(Error::configuration("--log: a file has no topics; give kafka://HOST or embedded:DIRECTORY"));
        };
        create_topics(&*log, &prefix, self.partitions).await?;
        create_outputs(&*log, &prefix).await?;
        let store = open_warehouse(&url).await?;
        store.create(&schema.tables()).await?;
        let mut report = Report::default();
        report.fact("log", log.name());
        report.fact("store", store.name());
        if let Some(lake) = super::stream::open_archive(&self.archive).await? {
            report.fact("archive", lake.name());
        }
        Ok(report)
    }
}
