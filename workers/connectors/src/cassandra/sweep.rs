//! Removes what uncommitted units left beneath committed rows.
//!
//! A row is written with one timestamp, that of its unit's turn, and the row that counts has the highest one. Values in
//! columns that are null in it can be older only: a deletion just beneath the newest value of a row takes them away, and
//! whatever a paused worker still sends of them.

use futures::StreamExt as _;
use futures::stream;
use headrace_core::Result;
use headrace_core::table::Table;
use polars::prelude::DataFrame;
use scylla::deserialize::row::ColumnIterator;
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;
use scylla::statement::prepared::PreparedStatement;

use super::client::{Client, Use};
use super::failure;
use super::rows::{Row, Rows};
use super::storage::{Layout, quoted};

/// Rows at work at once.
const IN_FLIGHT: usize = 32;

/// A row's key behind a timestamp.
struct Stamped<'a>(i64, Row<'a>);

impl SerializeRow for Stamped<'_> {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter,
    ) -> Result<(), SerializationError> {
        let stamp = self.0.to_be_bytes();
        writer.make_cell_writer().set_value(&stamp).map_err(SerializationError::new)?;
        self.1.serialize(context, writer)
    }

    fn is_empty(&self) -> bool {
        false
    }
}

struct Sweeping<'a> {
    client: &'a Client,
    context: String,
    look: PreparedStatement,
    delete: PreparedStatement,
}

/// Removes what is older than the newest value of each of the rows with the keys of a frame.
///
/// # Errors
/// When the server stays unable to, or a key does not fit.
pub(super) async fn sweep(client: &Client, table: &Table, keys: &DataFrame) -> Result<()> {
    let layout = Layout::of(&client.keyspace, table)?;
    let only_keys = table.only_keys();
    let keys_layout = Layout::of(&client.keyspace, &only_keys)?;
    let name = table.name.as_str();
    let context = format!("cannot sweep table `{}.{name}`", client.keyspace);
    let (of, condition) = (&layout.name, layout.key_condition());
    let times: Vec<String> =
        layout.values.iter().map(|column| format!("WRITETIME({})", quoted(&column.name))).collect();
    let look = format!("SELECT {} FROM {of} WHERE {condition}", times.join(", "));
    let delete = format!("DELETE FROM {of} USING TIMESTAMP ? WHERE {condition}");
    let rows = Rows::new(name, keys_layout.columns(), keys)?;
    rows.check(name, keys_layout.columns(), keys_layout.partition.len())?;
    let look = client.prepare(&context, &look, Use::Rows).await?;
    let delete = client.prepare(&context, &delete, Use::Rows).await?;
    let sweeping = &Sweeping { client, context, look, delete };
    let mut running =
        stream::iter((0..rows.height()).map(|row| sweeping.row(rows.row(row)))).buffer_unordered(IN_FLIGHT);
    while let Some(swept) = running.next().await {
        swept?;
    }
    Ok(())
}

impl Sweeping<'_> {
    async fn row(&self, key: Row<'_>) -> Result<()> {
        let found = self.client.rows(&self.context, &self.look, &key).await?;
        let row = failure::answer(&self.context, found.maybe_first_row::<ColumnIterator<'_, '_>>())?;
        let mut newest = None;
        for column in row.into_iter().flatten() {
            let column = failure::answer(&self.context, column)?;
            let time = column.slice.and_then(|slice| Some(i64::from_be_bytes(slice.as_slice().try_into().ok()?)));
            newest = newest.max(time);
        }
        let Some(newest) = newest else { return Ok(()) };
        let beneath = newest.saturating_sub(1);
        self.client.run(&self.context, &self.delete, Stamped(beneath, key)).await.map(|_| ())
    }
}
