//! A day's tables, counted again from the archive and compared with what is stored.
//!
//! What came late is counted with what was on time: the archive knows events, not their order. Memory: a day's minutes and products.

use std::collections::BTreeMap;

use headrace_connectors::lake::{Lake, LakeSchema};
use headrace_core::Counts;
use headrace_core::Result;
use headrace_core::position::Reached;
use headrace_core::store::Store;
use headrace_core::table::Table;
use headrace_transforms::civil::DAY_US;
use polars::prelude::{Column, DataFrame};

use super::archive::folder;
use super::decode::texts;
use super::event::Kind;
use super::keeps::Keeps;
use super::schema::{Schema, UNKNOWN};
use super::stream_state::{MINUTE_US, minute_floor};
use super::sums::{ints, names};
use crate::reading::Pages;

/// A minute, and what else makes the key: nothing, a product, or category, city and store.
type Key = (i64, Vec<String>);

/// Numbers by key.
type Numbers = BTreeMap<Key, Vec<i64>>;

/// A table's numbers of a day.
#[derive(Clone, Debug)]
pub struct Recount {
    /// The table.
    pub table: Table,
    /// Key columns behind the minute.
    keys: &'static [&'static str],
    /// The columns that are compared.
    pub columns: &'static [&'static str],
    /// Columns that are added to them in what is stored.
    late: &'static [Option<&'static str>],
    /// As the archive gives them.
    rebuilt: Numbers,
    /// As they are stored.
    stored: Numbers,
}

/// A number that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The minute.
    pub minute_us: i64,
    /// What else makes the key.
    pub rest: Vec<String>,
    /// The column.
    pub column: &'static str,
    /// As the archive gives it.
    pub rebuilt: i64,
    /// As it is stored.
    pub stored: i64,
}

impl Recount {
    fn new(
        table: &Table,
        keys: &'static [&'static str],
        columns: &'static [&'static str],
        late: &'static [Option<&'static str>],
    ) -> Self {
        Self { table: table.clone(), keys, columns, late, rebuilt: Numbers::new(), stored: Numbers::new() }
    }

    fn add(&mut self, minute: i64, rest: &[&str], numbers: &[i64]) {
        let key = (minute, rest.iter().map(|text| (*text).to_owned()).collect());
        let sums = self.rebuilt.entry(key).or_insert_with(|| vec![0; numbers.len()]);
        sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
    }

    /// Reads what is stored of a day.
    async fn read(&mut self, store: &dyn Store, day: i64) -> Result<()> {
        let minute_column = self.table.columns[0].name.as_str().to_owned();
        let mut wanted: Vec<&str> = vec![&minute_column];
        wanted.extend(self.keys);
        wanted.extend(self.columns);
        wanted.extend(self.late.iter().flatten());
        let mut pages = Pages::new(store, &self.table, &wanted);
        while let Some(page) = pages.next().await? {
            let minutes = page.column(&minute_column)?.i64()?;
            for row in 0..page.height() {
                let minute = minutes.get(row).unwrap_or_default();
                if minute.div_euclid(DAY_US) != day {
                    continue;
                }
                let text = |name: &&str| -> Result<String> {
                    Ok(page.column(name)?.str()?.get(row).unwrap_or_default().to_owned())
                };
                let rest: Vec<String> = self.keys.iter().map(text).collect::<Result<_>>()?;
                let number = |name: &str| -> Result<i64> { Ok(page.column(name)?.i64()?.get(row).unwrap_or_default()) };
                let mut numbers = Vec::with_capacity(self.columns.len());
                for (column, late) in self.columns.iter().zip(self.late) {
                    numbers.push(number(column)? + late.map_or(Ok(0), number)?);
                }
                self.stored.insert((minute, rest), numbers);
            }
        }
        Ok(())
    }

    /// Keys the archive knows.
    pub fn rows(&self) -> usize {
        self.rebuilt.len()
    }

    /// The numbers that differ, by key.
    pub fn differences(&self) -> Vec<Difference> {
        let mut keys: Vec<&Key> = self.rebuilt.keys().chain(self.stored.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        let number = |numbers: &Numbers, key: &Key, place: usize| numbers.get(key).map_or(0, |numbers| numbers[place]);
        let mut differences = Vec::new();
        for key in keys {
            for (place, column) in self.columns.iter().enumerate() {
                let (rebuilt, stored) = (number(&self.rebuilt, key, place), number(&self.stored, key, place));
                if rebuilt != stored {
                    let (minute_us, rest) = key.clone();
                    differences.push(Difference { minute_us, rest, column, rebuilt, stored });
                }
            }
        }
        differences
    }

    /// Rows that, added to what is stored, make it what the archive gives.
    fn corrections(&self) -> Result<DataFrame> {
        let mut by_key: BTreeMap<Key, Vec<i64>> = BTreeMap::new();
        for difference in self.differences() {
            let place = self.columns.iter().position(|column| *column == difference.column).unwrap_or_default();
            let key = (difference.minute_us, difference.rest);
            let numbers = by_key.entry(key).or_insert_with(|| vec![0; self.columns.len()]);
            numbers[place] = difference.rebuilt - difference.stored;
        }
        let height = by_key.len();
        let minutes = || by_key.keys().map(|(minute, _)| *minute);
        let mut columns: Vec<Column> = Vec::new();
        for column in self.table.written() {
            let name = column.name.as_str();
            let own = self.columns.iter().position(|own| *own == name);
            columns.push(if name == self.table.columns[0].name.as_str() {
                ints(name, minutes())
            } else if let Some(place) = self.keys.iter().position(|key| *key == name) {
                names(name, by_key.keys().map(|(_, rest)| rest[place].as_str()))
            } else if let Some(place) = own {
                ints(name, by_key.values().map(|numbers| numbers[place]))
            } else if name == "window_end" {
                ints(name, minutes().map(|minute| minute + MINUTE_US))
            } else if name == "province" {
                names(name, by_key.keys().map(|_| UNKNOWN))
            } else {
                // Late sums stay as they are; a minute of an archived day that was missing is over.
                ints(name, minutes().map(|_| i64::from(name == "final")))
            });
        }
        Ok(DataFrame::new(height, columns)?)
    }
}

/// Counts a day again, and reads what is stored of it.
///
/// # Errors
/// When archive or store fail.
pub async fn recount(store: &dyn Store, schema: &Schema, lake: &Lake, day: i64) -> Result<Vec<Recount>> {
    let mut minutes = Recount::new(
        &schema.sales_per_minute,
        &[],
        &["total_sales", "total_orders"],
        &[Some("late_sales"), Some("late_orders")],
    );
    let mut products = Recount::new(
        &schema.sales_by_product,
        &["product_id"],
        &["product_revenue", "orders_count"],
        &[Some("late_revenue"), Some("late_orders")],
    );
    let mut places = Recount::new(
        &schema.activity_per_minute,
        &["category", "city", "store_id"],
        &["views", "carts", "orders", "revenue"],
        &[None, None, Some("late_orders"), Some("late_revenue")],
    );
    let (columns, keeps) = (columns()?, Keeps::of_store(store, schema).await?.unwrap_or_default());
    for kind in keeps.kinds() {
        let kind = *kind;
        for file in lake.list(&folder(kind, day)?).await? {
            let Some(mut reader) = lake.reader(&file.path, &columns).await? else { continue };
            while let Some(rows) = reader.next().await? {
                add(kind, &rows, [&mut minutes, &mut products, &mut places])?;
            }
        }
    }
    let mut recounts = match keeps {
        Keeps::Everything => vec![minutes, products, places],
        Keeps::Sales => vec![minutes],
    };
    for recount in &mut recounts {
        recount.read(store, day).await?;
    }
    Ok(recounts)
}

fn columns() -> Result<LakeSchema> {
    use headrace_connectors::lake::LakeKind::{Decimal, Text, Timestamp};
    let price = Decimal { precision: 18, scale: 4 };
    let places = [("city", Text), ("store_id", Text)];
    let mut columns = vec![("product_id", Text), ("category", Text), ("price", price), ("timestamp", Timestamp)];
    columns.extend(places);
    LakeSchema::new(&columns)
}

fn add(kind: Kind, rows: &DataFrame, [minutes, products, places]: [&mut Recount; 3]) -> Result<()> {
    let (product, category) = (texts(rows, "product_id")?, texts(rows, "category")?);
    let (city, store) = (texts(rows, "city")?, texts(rows, "store_id")?);
    let (price, time) = (rows.column("price")?.i64()?, rows.column("timestamp")?.i64()?);
    let short = |text: Option<&str>| -> String {
        let text = text.unwrap_or(UNKNOWN);
        text[..text.floor_char_boundary(80)].to_owned()
    };
    for row in 0..rows.height() {
        let minute = minute_floor(time.get(row).unwrap_or_default());
        let price = price.get(row).unwrap_or_default();
        let (city, store) = (short(city.get(row)), short(store.get(row)));
        let place = [category.get(row).unwrap_or(UNKNOWN), &city, &store];
        match kind {
            Kind::View => places.add(minute, &place, &[1, 0, 0, 0]),
            Kind::Cart => places.add(minute, &place, &[0, 1, 0, 0]),
            Kind::Purchase => {
                places.add(minute, &place, &[0, 0, 1, price]);
                minutes.add(minute, &[], &[price, 1]);
                products.add(minute, &[product.get(row).unwrap_or_default()], &[price, 1]);
            }
        }
    }
    Ok(())
}

/// Makes the stored tables what the archive gives, in one unit.
///
/// # Errors
/// When the store fails.
pub async fn apply(store: &dyn Store, schema: &Schema, recounts: &[Recount]) -> Result<()> {
    let mut unit = store.begin(&schema.scope(), &[]).await?;
    for recount in recounts {
        let rows = recount.corrections()?;
        if rows.height() > 0 {
            unit.upsert(&recount.table, &rows).await?;
        }
    }
    unit.commit(&Reached::new(), &Counts::default()).await
}
