//! `commerce compact`: what waits goes to the archive, left-overs of dead writers go, and the tables become files of the lake.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use headrace_connectors::lake::{Lake, LakePath};
use headrace_core::report::TextTable;
use headrace_core::step::Parameters;
use headrace_core::store::Store;
use headrace_core::{Control, Counts, Error, Report, Result, clock};

use super::DEFAULT_ARCHIVE;
use crate::commerce::archive::Archive;
use crate::commerce::event::Kind;
use crate::commerce::export::all;
use crate::commerce::schema::Schema;
use crate::steps::Tries;
use crate::stores::{DEFAULT_STORE, open_warehouse};

/// A temporary file that nobody has written to for so long is left over.
const LEFT_OVER: Duration = Duration::from_secs(3_600);

/// Brings archive and tables into the lake.
#[derive(Clone, Debug, clap::Args)]
pub struct Compact {
    /// Where the tables are: mysql://USER@HOST/DATABASE or embedded:DIRECTORY.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub store: String,
    /// The archive: file:DIRECTORY, hdfs://HOST/PATH or s3://BUCKET/PREFIX.
    #[arg(long, value_name = "LAKE", default_value = DEFAULT_ARCHIVE)]
    pub archive: String,
}

/// Writes the tables of the contract as files, each replaced at once; gives their rows.
///
/// # Errors
/// When store or lake fail.
pub(super) async fn publish(store: &dyn Store, schema: &Schema, lake: &Lake) -> Result<u64> {
    let mut rows = 0;
    for table in all(store, schema).await? {
        let path = LakePath::new(&format!("tables/{}.parquet", table.name))?;
        rows += lake.write(&path, &table.schema()?, std::slice::from_ref(&table.rows)).await?.rows;
    }
    Ok(rows)
}

#[async_trait]
impl Parameters for Compact {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "compact";
    const ABOUT: &'static str = "Bring waiting events and the tables into the lake, and clear up after dead writers";

    async fn run(self, control: Control) -> Result<Report> {
        let url = crate::steps::store_url("store", &self.store)?;
        let schema = Schema::of(&url)?;
        let store = open_warehouse(&url).await?;
        super::export::require_tables(&*store, &schema).await?;
        let lake = super::stream::open_archive(&self.archive).await?;
        let lake = lake.ok_or_else(|| Error::configuration("--archive none: there is no lake to write to"))?;
        let mut archive = Archive::of_stream(lake.clone());
        // A stream may be writing the same plan at this moment: then it is found done at the next try.
        let mut tries = Tries::new(&control);
        let (written, rows) = loop {
            let flushed = archive.flush(&*store, &schema.scope(), clock::now_us()).await;
            match flushed.map(|files| (files, publish(&*store, &schema, &lake))) {
                Ok((files, publishing)) => match publishing.await {
                    Ok(rows) => break (files, rows),
                    Err(error) => tries.again(error).await?,
                },
                Err(error) => tries.again(error).await?,
            }
        };
        let left_over = lake.sweep(LEFT_OVER).await?;
        let mut report =
            Report { counts: Counts { read: rows, written: rows, ..Counts::default() }, ..Report::default() };
        report.fact("archive_files_written", written);
        report.fact("left_over_files_removed", left_over);
        let mut folders: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for kind in Kind::ALL {
            for file in lake.list(&LakePath::new(kind.dataset())?).await? {
                let path = file.path.to_string();
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
                let (files, bytes) = folders.entry(folder).or_default();
                (*files, *bytes) = (*files + 1, *bytes + file.bytes);
            }
        }
        report.fact("archive", lake.name());
        report.table = Some(TextTable {
            title: "Files of the archive".to_owned(),
            columns: ["folder", "files", "bytes"].map(ToOwned::to_owned).to_vec(),
            rows: folders
                .into_iter()
                .map(|(folder, (files, bytes))| vec![folder, files.to_string(), bytes.to_string()])
                .collect(),
        });
        Ok(report)
    }
}
