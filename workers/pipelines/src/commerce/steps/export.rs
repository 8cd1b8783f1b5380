//! `commerce export`: the tables of the contract as CSV files, with late events, dead letters and counters.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use headrace_core::step::Parameters;
use headrace_core::store::Store;
use headrace_core::{Control, Counts, Error, Report, Result};
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Value};

use crate::commerce::alerts::time_text;
use crate::commerce::export::{Shown, all, whole};
use crate::commerce::schema::Schema;
use crate::stores::{DEFAULT_STORE, open_warehouse};
use crate::whole_file::WholeFile;

/// Exports the tables.
#[derive(Clone, Debug, clap::Args)]
pub struct Export {
    /// Where the tables are: mysql://USER@HOST/DATABASE or embedded:DIRECTORY.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub store: String,
    /// The directory for the files; each appears when it is whole.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

#[async_trait]
impl Parameters for Export {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "export";
    const ABOUT: &'static str = "Export all tables as CSV, with late events, dead letters and counters";

    async fn run(self, _: Control) -> Result<Report> {
        let url = crate::steps::store_url("store", &self.store)?;
        let schema = Schema::of(&url)?;
        let store = open_warehouse(&url).await?;
        require_tables(&*store, &schema).await?;
        std::fs::create_dir_all(&self.out)
            .map_err(|error| Error::configuration(format!("cannot write into {}: {error}", self.out.display())))?;
        let (mut report, mut rows) = (Report::default(), 0);
        let tables = all(&*store, &schema).await?;
        for table in &tables {
            write(&self.out, &format!("{}.csv", table.name), &table.csv()?)?;
            rows += table.rows.height() as u64;
            report.fact(table.name, table.rows.height());
        }
        write(&self.out, "late.csv", &late(&*store, &schema).await?)?;
        write(&self.out, "window_closings.csv", &closings(&*store, &schema).await?)?;
        write(&self.out, "dead_letter.csv", &dead_letters(&*store, &schema).await?)?;
        write(&self.out, "quality.json", &quality(&*store, &schema, &tables).await?)?;
        report.counts = Counts { read: rows, written: rows, ..Counts::default() };
        report.fact("directory", self.out.display().to_string());
        Ok(report)
    }
}

/// Makes sure that there is something to read.
///
/// # Errors
/// A configuration error saying what to run first.
pub(super) async fn require_tables(store: &dyn Store, schema: &Schema) -> Result<()> {
    if store.has_table(&schema.sales_per_minute.name).await? {
        return Ok(());
    }
    let (table, name) = (&schema.sales_per_minute.name, store.name());
    Err(Error::configuration(format!("there is no table {table} in {name}; run `headrace commerce stream` first")))
}

fn write(directory: &Path, name: &str, text: &str) -> Result<()> {
    let mut file = WholeFile::create(&directory.join(name))?;
    file.write(text.as_bytes())?;
    file.finish().map(drop)
}

async fn late(store: &dyn Store, schema: &Schema) -> Result<String> {
    let rows = whole(store, &schema.late_events).await?;
    let (topics, metrics) = (rows.column("topic")?.str()?, rows.column("metric")?.str()?);
    let (partitions, offsets) = (rows.column("partition_number")?.i64()?, rows.column("record_offset")?.i64()?);
    let (times, marks) = (rows.column("timestamp")?.i64()?, rows.column("watermark")?.i64()?);
    let ids = rows.column("event_id")?.str()?;
    let mut out = "topic,partition,offset,metric,event_id,timestamp,watermark\n".to_owned();
    for row in 0..rows.height() {
        let cells = [
            topics.get(row).unwrap_or_default().to_owned(),
            partitions.get(row).unwrap_or_default().to_string(),
            offsets.get(row).unwrap_or_default().to_string(),
            metrics.get(row).unwrap_or_default().to_owned(),
            ids.get(row).unwrap_or_default().to_owned(),
            times.get(row).map(time_text).unwrap_or_default(),
            marks.get(row).map(time_text).unwrap_or_default(),
        ];
        out.push_str(&(cells.join(",") + "\n"));
    }
    Ok(out)
}

async fn closings(store: &dyn Store, schema: &Schema) -> Result<String> {
    let rows = whole(store, &schema.window_closings).await?;
    let (starts, ends) = (rows.column("window_start")?.i64()?, rows.column("window_end")?.i64()?);
    let (topics, partitions) = (rows.column("topic")?.str()?, rows.column("partition_number")?.i64()?);
    let offsets = rows.column("record_offset")?.i64()?;
    let mut out = "window_start,window_end,topic,partition,offset\n".to_owned();
    for row in 0..rows.height() {
        let cells = [
            starts.get(row).map(time_text).unwrap_or_default(),
            ends.get(row).map(time_text).unwrap_or_default(),
            topics.get(row).unwrap_or_default().to_owned(),
            partitions.get(row).unwrap_or_default().to_string(),
            offsets.get(row).unwrap_or_default().to_string(),
        ];
        out.push_str(&(cells.join(",") + "\n"));
    }
    Ok(out)
}

/// The events that are refused; one that a replay has settled is what it became.
async fn dead_letters(store: &dyn Store, schema: &Schema) -> Result<String> {
    let rows = whole(store, &schema.dead_letters).await?;
    let (topics, places) = (rows.column("source")?.str()?, rows.column("position")?.str()?);
    let (reasons, settled) = (rows.column("reason")?.str()?, rows.column("settled_at")?.i64()?);
    let mut lines: Vec<(String, i64, i64, String)> = (0..rows.height())
        .filter(|row| settled.get(*row).is_none())
        .map(|row| {
            let (partition, offset) = places.get(row).and_then(|place| place.split_once('-')).unwrap_or_default();
            let number = |text: &str| text.parse().unwrap_or_default();
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            (text(topics.get(row)), number(partition), number(offset), text(reasons.get(row)))
        })
        .collect();
    lines.sort_unstable();
    let mut out = "topic,partition,offset,reason\n".to_owned();
    lines.iter().for_each(|(topic, partition, offset, reason)| {
        out.push_str(&format!("{topic},{partition},{offset},{reason}\n"));
    });
    Ok(out)
}

/// The counters, with the number of rows of three tables.
async fn quality(store: &dyn Store, schema: &Schema, tables: &[Shown]) -> Result<String> {
    let counts = store.counters(&schema.scope()).await?;
    let mut object: Map<String, Value> =
        counts.classes.iter().map(|(class, count)| (class.clone(), (*count).into())).collect();
    object.insert("read".to_owned(), counts.read.into());
    object.insert("accepted".to_owned(), counts.written.into());
    object.insert("duplicate".to_owned(), counts.duplicate.into());
    object.insert("dead_letter".to_owned(), counts.dead_lettered.into());
    for (name, table) in [("attributed", "conversion_attributed"), ("windows", "sales_per_minute")] {
        let rows = tables.iter().find(|shown| shown.name == table).map_or(0, |shown| shown.rows.height());
        object.insert(name.to_owned(), rows.into());
    }
    let mut out = Vec::new();
    let formatter = PrettyFormatter::with_indent(b" ");
    let written = Value::Object(object).serialize(&mut Serializer::with_formatter(&mut out, formatter));
    written.map_err(|error| Error::data(format!("cannot write the counters: {error}")))?;
    out.push(b'\n');
    String::from_utf8(out).map_err(|error| Error::data(error.to_string()))
}
