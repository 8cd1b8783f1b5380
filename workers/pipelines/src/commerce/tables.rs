//! Reads this system's tables as they are committed, for pages and notebooks.
//!
//! Reading takes no lock and claims nothing, so it neither waits for a writer nor keeps one waiting. Every page of rows is what
//! was committed when it was read; a table of several pages may show later commits in its last rows than in its first.
//! Memory: the rows that are given back, and one page.

use std::path::Path;
use std::sync::Arc;

use headrace_core::store::{Select, Store};
use headrace_core::table::{Column, Kind, Table, Value};
use headrace_core::{Counts, Error, Result, StoreUrl};
use polars::prelude::{
    BinaryChunked, ChunkCompareIneq, DataFrame, Float32Chunked, Float64Chunked, IdxCa, Int64Chunked, IntoColumn,
    NewChunkedArray, PlSmallStr, StringChunked,
};

use super::schema::Schema;
use crate::reading::Pages;
use crate::stores::open_warehouse;

/// Which rows and columns of a table to read.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Only rows of this time or later, microseconds since 1970, by the table's own time; see [`time_column`].
    pub since_us: Option<i64>,
    /// Only these columns; empty means all.
    pub columns: Vec<String>,
    /// Only so many rows, the newest first.
    pub newest: Option<usize>,
}

/// The tables of a store that is kept open.
pub struct Tables {
    store: Arc<dyn Store>,
    schema: Schema,
}

impl Tables {
    /// Opens the store of a URL, which must be there.
    ///
    /// # Errors
    /// A configuration error when there is no such store, else what the connector says.
    pub async fn open(url: &str) -> Result<Self> {
        let url = StoreUrl::parse(url)?;
        if let Some(directory) = url.path.first().filter(|_| url.scheme == "embedded")
            && !Path::new(directory).join("headrace.sqlite").exists()
        {
            // Opening would make it, and hide a typing error.
            return Err(Error::configuration(format!("there is no store in embedded:{directory}")));
        }
        Ok(Self { schema: Schema::of(&url)?, store: open_warehouse(&url).await? })
    }

    /// The description of a table by its name, without the prefix that the store's URL may give it.
    ///
    /// # Errors
    /// A configuration error that lists the names there are.
    pub fn table(&self, name: &str) -> Result<&Table> {
        let prefix = self.schema.sales_per_minute.name.as_str().strip_suffix("sales_per_minute").unwrap_or_default();
        let named = |table: &&Table| table.name.as_str().strip_prefix(prefix) == Some(name);
        self.schema.tables().into_iter().find(named).ok_or_else(|| {
            let known: Vec<_> =
                self.schema.tables().iter().map(|table| table.name.as_str().replacen(prefix, "", 1)).collect();
            Error::configuration(format!("commerce has no table {name:?}; there are {}", known.join(", ")))
        })
    }

    /// Reads a table; one that nobody has created yet is empty. Amounts are whole numbers of ten-thousandths, times are
    /// microseconds; rows are in key order, or the newest first where a number of them is asked for.
    ///
    /// # Errors
    /// A configuration error when there is no such table or column, or no time to choose by, else what the store says.
    pub async fn read(&self, name: &str, choice: &Choice) -> Result<DataFrame> {
        let table = self.table(name)?;
        let wanted: Vec<&str> = if choice.columns.is_empty() {
            table.columns.iter().map(|column| column.name.as_str()).collect()
        } else {
            choice.columns.iter().map(String::as_str).collect()
        };
        if let Some(unknown) = wanted.iter().find(|name| table.find(name).is_none()) {
            return Err(Error::configuration(format!("table `{}` has no column {unknown:?}", table.name)));
        }
        let time = match (time_column(table), choice.since_us.is_some() || choice.newest.is_some()) {
            (found, true) => Some(found.ok_or_else(|| {
                Error::configuration(format!("table `{}` has no time to choose rows by; read it whole", table.name))
            })?),
            (_, false) => None,
        };
        let mut read = wanted.clone();
        read.extend(time.filter(|time| !wanted.contains(time)));
        let mut frame = empty(table, &read)?;
        if !self.store.has_table(&table.name).await? {
            return Ok(frame.select(wanted.iter().copied())?);
        }
        let mut pages = match choice.since_us.filter(|_| is_first_key(table, time)) {
            Some(since) => Pages::behind(&*self.store, table, &read, before(table, since)),
            None => Pages::new(&*self.store, table, &read),
        };
        while let Some(page) = pages.next().await? {
            let mut page = page.select(read.iter().copied())?;
            if let (Some(time), Some(since)) = (time, choice.since_us) {
                page = page.filter(&page.column(time)?.i64()?.gt_eq(since))?;
            }
            frame.vstack_mut(&page)?;
            if let (Some(time), Some(newest)) = (time, choice.newest) {
                frame = latest(&frame, time, newest)?;
            }
        }
        frame.rechunk_mut();
        Ok(frame.select(wanted.iter().copied())?)
    }

    /// The latest minute of event time that has a row, none before the first event.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn newest_minute(&self) -> Result<Option<i64>> {
        let table = &self.schema.activity_per_minute;
        if !self.store.has_table(&table.name).await? {
            return Ok(None);
        }
        // Each look reads one row behind a key, so some fifty of them cost less than one page.
        let (mut low, mut high) = (0_i64, i64::from(u32::MAX) * 1_000_000);
        let Some(mut found) = self.first_behind(table, low).await? else { return Ok(None) };
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.first_behind(table, middle).await? {
                Some(time) => (found, low) = (time, time.max(middle)),
                None => high = middle,
            }
        }
        Ok(Some(found))
    }

    /// The first minute at or behind a time.
    async fn first_behind(&self, table: &Table, time_us: i64) -> Result<Option<i64>> {
        let columns = vec!["minute"];
        let select = Select { table, columns, equal: Vec::new(), after: before(table, time_us), limit: 1 };
        Ok(self.store.select(&select).await?.column("minute")?.i64()?.iter().next().flatten())
    }

    /// The counters of the stream, and when it committed last in microseconds since 1970.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn counters(&self) -> Result<(Counts, Option<i64>)> {
        let scope = self.schema.scope();
        Ok((self.store.counters(&scope).await?, self.store.committed_at_us(&scope).await?))
    }
}

/// The column that says when a row happened: a time in the key, else the purchase, the cart, the event or the refusal.
pub fn time_column(table: &Table) -> Option<&str> {
    let of_key = table.keys().find(|column| column.kind == Kind::DateTime).map(|column| column.name.as_str());
    let named = ["purchase_timestamp", "cart_timestamp", "timestamp", "failed_at"];
    of_key.or_else(|| named.into_iter().find(|name| table.find(name).is_some()))
}

fn is_first_key(table: &Table, time: Option<&str>) -> bool {
    time.is_some() && table.keys().next().map(|column| column.name.as_str()) == time
}

/// A key before all rows of a time.
fn before(table: &Table, time_us: i64) -> Vec<Value> {
    let least = |column: &Column| match column.kind {
        Kind::Text | Kind::Name(_) => Value::Text(String::new()),
        Kind::Bytes | Kind::TimeUuid => Value::Bytes(Vec::new()),
        Kind::Double | Kind::Single => Value::Double(f64::MIN),
        _ => Value::Int(0),
    };
    // One microsecond earlier; rows of that time are filtered out where there are any.
    std::iter::once(Value::Int(time_us - 1)).chain(table.keys().skip(1).map(least)).collect()
}

/// The rows of the greatest times, in descending order.
fn latest(frame: &DataFrame, time: &str, count: usize) -> Result<DataFrame> {
    let times = frame.column(time)?.i64()?;
    let mut rows: Vec<(i64, u32)> =
        (0u32..).zip(times.iter()).map(|(row, time)| (time.unwrap_or(i64::MIN), row)).collect();
    rows.sort_unstable_by_key(|(time, row)| (std::cmp::Reverse(*time), *row));
    rows.truncate(count);
    let rows = IdxCa::from_iter_values(PlSmallStr::EMPTY, rows.into_iter().map(|(_, row)| row));
    Ok(frame.take(&rows)?)
}

fn empty(table: &Table, columns: &[&str]) -> Result<DataFrame> {
    let columns = columns.iter().filter_map(|name| table.find(name)).map(|column| {
        let name = PlSmallStr::from_str(column.name.as_str());
        match column.kind {
            Kind::Text | Kind::Name(_) => StringChunked::from_slice(name, &[] as &[&str]).into_column(),
            Kind::Bytes | Kind::TimeUuid => BinaryChunked::from_slice(name, &[] as &[&[u8]]).into_column(),
            Kind::Double => Float64Chunked::from_slice(name, &[]).into_column(),
            Kind::Single => Float32Chunked::from_slice(name, &[]).into_column(),
            _ => Int64Chunked::from_slice(name, &[]).into_column(),
        }
    });
    Ok(DataFrame::new(0, columns.collect())?)
}

#[cfg(test)]
mod tests {
    use headrace_core::position::Reached;
    use headrace_core::store::Store;
    use headrace_core::{Counts, ErrorKind, Partition, Position};
    use polars::df;

    use super::{Choice, Tables};

    const MINUTE: i64 = 60_000_000;

    async fn commit(tables: &Tables, read: u64, rows: &[(&str, polars::prelude::DataFrame)]) {
        let store: &dyn Store = &*tables.store;
        store.create(&tables.schema.tables()).await.unwrap();
        let partition = Partition::new("0");
        let scope = tables.schema.scope();
        let claims = store.claim(&scope, std::slice::from_ref(&partition)).await.unwrap();
        let mut unit = store.begin(&scope, &claims).await.unwrap();
        for (name, frame) in rows {
            unit.upsert(tables.table(name).unwrap(), frame).await.unwrap();
        }
        let reached = Reached::from([(partition, Position::at(read as i64))]);
        unit.commit(&reached, &Counts { read, ..Counts::default() }).await.unwrap();
    }

    fn activity(minutes: &[i64]) -> polars::prelude::DataFrame {
        let texts = |text: &str| vec![text.to_owned(); minutes.len()];
        let ones = vec![1_i64; minutes.len()];
        df!("minute" => minutes, "category" => texts("Tech"), "city" => texts("Quito"), "store_id" => texts("ST1"),
            "province" => texts("Pichincha"), "views" => &ones, "carts" => &ones, "orders" => &ones, "revenue" => &ones,
            "late_orders" => &ones, "late_revenue" => &ones)
        .unwrap()
    }

    fn abandoned(times: &[(&str, i64)]) -> polars::prelude::DataFrame {
        let texts = |text: &str| vec![text.to_owned(); times.len()];
        let ids: Vec<&str> = times.iter().map(|(id, _)| *id).collect();
        let at: Vec<i64> = times.iter().map(|(_, at)| *at).collect();
        df!("cart_event_id" => ids, "user_id" => texts("1"), "product_id" => texts("100"), "category" => texts("Tech"),
            "city" => texts("Quito"), "store_id" => texts("ST1"), "price" => vec![10_000_i64; times.len()], "cart_timestamp" => at)
        .unwrap()
    }

    #[tokio::test]
    async fn a_store_that_is_not_there_is_not_made() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("embedded:{}/none", directory.path().display());
        let error = Tables::open(&url).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("there is no store"), "{error}");
        assert!(!directory.path().join("none").exists());
    }

    #[tokio::test]
    async fn rows_by_time_and_the_newest_of_what_is_committed() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("headrace.sqlite"), "").unwrap();
        let tables = Tables::open(&format!("embedded:{}", directory.path().display())).await.unwrap();
        let all = Choice::default();
        assert_eq!(tables.newest_minute().await.unwrap(), None);
        let before = tables.read("activity_per_minute", &all).await.unwrap();
        assert_eq!((before.height(), before.width()), (0, 11));
        assert_eq!(tables.counters().await.unwrap().0, Counts::default());

        let minutes: Vec<i64> = (0..100).map(|minute| minute * MINUTE).collect();
        let carts = abandoned(&[("a", 5), ("b", 9), ("c", 1), ("d", 7)]);
        commit(&tables, 7, &[("activity_per_minute", activity(&minutes)), ("abandoned_carts", carts)]).await;
        assert_eq!(tables.newest_minute().await.unwrap(), Some(99 * MINUTE));
        assert_eq!(tables.counters().await.unwrap().0.read, 7);
        assert!(tables.counters().await.unwrap().1.is_some());
        let since = |since_us| Choice { since_us: Some(since_us), ..Choice::default() };
        for (from, rows) in [(0, 100), (MINUTE, 99), (MINUTE + 1, 98), (99 * MINUTE, 1), (99 * MINUTE + 1, 0)] {
            assert_eq!(tables.read("activity_per_minute", &since(from)).await.unwrap().height(), rows, "{from}");
        }
        let carts = tables.read("abandoned_carts", &since(7)).await.unwrap();
        assert_eq!(
            carts.column("cart_event_id").unwrap().str().unwrap().iter().collect::<Vec<_>>(),
            [Some("b"), Some("d")]
        );
        let newest = Choice { newest: Some(3), columns: vec!["cart_event_id".to_owned()], ..Choice::default() };
        let carts = tables.read("abandoned_carts", &newest).await.unwrap();
        assert_eq!(carts.width(), 1);
        let ids: Vec<_> = carts.column("cart_event_id").unwrap().str().unwrap().iter().flatten().collect();
        assert_eq!(ids, ["b", "d", "a"]);

        // A unit that is not committed shows nothing, and a read does not wait for it.
        let claims = tables.store.claim("other", &[Partition::new("0")]).await.unwrap();
        let mut unit = tables.store.begin("other", &claims).await.unwrap();
        unit.upsert(tables.table("abandoned_carts").unwrap(), &abandoned(&[("e", 99)])).await.unwrap();
        assert_eq!(tables.read("abandoned_carts", &all).await.unwrap().height(), 4);
    }

    #[tokio::test]
    async fn what_cannot_be_chosen_is_told() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("headrace.sqlite"), "").unwrap();
        let tables = Tables::open(&format!("embedded:{}?table=shop", directory.path().display())).await.unwrap();
        assert_eq!(tables.table("funnel").unwrap().name.as_str(), "shop_funnel");
        let told = |error: headrace_core::Error| error.to_string();
        assert!(told(tables.read("carts", &Choice::default()).await.unwrap_err()).contains("abandoned_carts"));
        let column = Choice { columns: vec!["cost".to_owned()], ..Choice::default() };
        assert!(told(tables.read("funnel", &column).await.unwrap_err()).contains("\"cost\""));
        let since = Choice { since_us: Some(1), ..Choice::default() };
        assert!(told(tables.read("funnel", &since).await.unwrap_err()).contains("no time"));
    }
}
