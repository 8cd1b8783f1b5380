//! Tables: what is noted of them, and what can be kept.
//!
//! A table is a hash of rows, each packed under its key's bytes (see `order`), and a sorted set of these keys. A row is an array of
//! the columns that are no keys, as texts (see `layout`), with null as `false`.

use headrace_core::table::{Column, Kind, Merge, Table, Value};
use headrace_core::{Error, Ident, Result, ledger_format};

use super::{Place, order, pack};
use crate::redis::layout::{self, difference, field, value};

/// The format of everything in the store; see [`ledger_format`].
const FORMAT: u32 = 1;
/// The field of the tables' hash that tells it.
const FORMAT_FIELD: &str = "";

/// Refuses a store of a newer format.
///
/// # Errors
/// A configuration error that names both formats.
pub(super) async fn check_format(place: &Place) -> Result<()> {
    let context = format!("cannot read the ledger at {}", place.link.options.place);
    let mut get = redis::cmd("HGET");
    get.arg(place.keys.tables()).arg(FORMAT_FIELD);
    let comment: Option<String> = place.link.ask(&context, &None, get).await?;
    ledger_format::check(&place.link.options.name(), comment.as_deref().unwrap_or_default(), FORMAT)
}

/// Checks what can be kept, and notes the columns of tables that are new.
///
/// # Errors
/// A configuration error naming the table and the difference.
pub(super) async fn create(place: &Place, tables: &[&Table]) -> Result<()> {
    let mut notes = vec![note(place, FORMAT_FIELD, &ledger_format::comment(FORMAT))];
    for table in tables {
        refuse_what_cannot_be_kept(table)?;
        notes.push(note(place, table.name.as_str(), &described(table)?));
    }
    place.link.run(&format!("cannot create tables at {}", place.link.options.place), &notes).await?;
    for table in tables {
        check(place, table).await?;
    }
    Ok(())
}

fn note(place: &Place, name: &str, text: &str) -> redis::Cmd {
    let mut note = redis::cmd("HSETNX");
    note.arg(place.keys.tables()).arg(name).arg(text);
    note
}

/// Tells whether a table is there.
///
/// # Errors
/// When the server cannot be asked.
pub(super) async fn has_table(place: &Place, table: &Ident) -> Result<bool> {
    let context = format!("cannot look for table `{table}` at {}", place.link.options.place);
    let mut exists = redis::cmd("HEXISTS");
    exists.arg(place.keys.tables()).arg(table.as_str());
    place.link.ask(&context, &None, exists).await
}

/// Checks that a table is there and has the same columns; asks the server once.
///
/// # Errors
/// A configuration error naming the table and the difference.
pub(super) async fn check(place: &Place, table: &Table) -> Result<()> {
    let needed = described(table)?;
    let is_known = place.known().contains(&(table.name.to_string(), needed.clone()));
    if is_known {
        return Ok(());
    }
    let server = &place.link.options.place;
    let mut get = redis::cmd("HGET");
    get.arg(place.keys.tables()).arg(table.name.as_str());
    let context = format!("cannot look for table `{}` at {server}", table.name);
    let Some(found) = place.link.ask::<Option<String>>(&context, &None, get).await? else {
        return Err(Error::configuration(format!(
            "there is no table `{}` at {server}; run the step that writes it first, or check the URL",
            table.name
        )));
    };
    if let Some(difference) = difference(&found, &needed) {
        return Err(Error::configuration(format!(
            "table `{}` at {server} is there but does not fit: {difference}; choose another database, prefix or table",
            table.name
        )));
    }
    place.known().insert((table.name.to_string(), needed));
    Ok(())
}

/// A table's columns and their order, which is that of packed rows.
fn described(table: &Table) -> Result<String> {
    let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let mut parts = layout::parts(table);
    parts.insert("the order of its columns".to_owned(), format!("({})", names.join(", ")));
    layout::described(table, &parts)
}

fn refuse_what_cannot_be_kept(table: &Table) -> Result<()> {
    let refuse = |what: String| Err(Error::configuration(format!("redis: table `{}`: {what}", table.name)));
    if table.keys().next().is_none() {
        return refuse("it has no key".to_owned());
    }
    if table.documents {
        return refuse(
            "it is one of documents, which other programs read; these are written as rows, not in units of work"
                .to_owned(),
        );
    }
    for column in &table.columns {
        let is_sum = matches!(column.kind, Kind::Int | Kind::Small | Kind::Decimal { .. });
        match column.merge {
            Merge::Computed { .. } => {
                return refuse(format!(
                    "column `{}` is computed, which Redis cannot do; use MySQL or the embedded store",
                    column.name
                ));
            }
            Merge::Add if !is_sum => {
                return refuse(format!("column `{}` is added up, which only whole numbers are here", column.name));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The columns of a packed row, in its order.
pub(super) fn packed(table: &Table) -> impl Iterator<Item = &Column> {
    table.written().filter(|column| column.merge != Merge::Key)
}

/// The number of a column in a packed row, counted from 1; none for a key.
pub(super) fn packed_at(table: &Table, name: &str) -> Option<usize> {
    packed(table).position(|column| column.name.as_str() == name).map(|at| at + 1)
}

/// How the script merges each column of a packed row; empty where a new row just takes the place.
pub(super) fn merges(table: &Table) -> Vec<String> {
    let merge = |column: &Column| match column.merge {
        Merge::First => "first".to_owned(),
        Merge::Add => "add".to_owned(),
        Merge::ReplaceWhileNull(other) => packed_at(table, other).unwrap_or_default().to_string(),
        Merge::Key | Merge::Replace | Merge::Computed { .. } => "replace".to_owned(),
    };
    let merges: Vec<String> = packed(table).map(merge).collect();
    let is_plain = table.versioned_by.is_none() && merges.iter().all(|merge| merge == "replace");
    if is_plain { Vec::new() } else { merges }
}

/// A row's key and packed rest, of values of the written columns.
pub(super) fn pack_row(table: &Table, row: &[Value]) -> (Vec<u8>, Vec<u8>) {
    let keys: Vec<&Column> = table.keys().collect();
    let named = || table.written().zip(row);
    let key = order::encode(named().filter(|(column, _)| column.merge == Merge::Key).map(|(_, value)| value), &keys);
    let rest = || named().filter(|(column, _)| column.merge != Merge::Key);
    let mut packed = Vec::new();
    pack::array(&mut packed, rest().count());
    for (column, value) in rest() {
        pack::optional(&mut packed, field(column, value).as_deref());
    }
    (key, packed)
}

/// The values of a row's columns, of its key and packed rest.
///
/// # Errors
/// A data error naming the table when they are damaged.
pub(super) fn unpack_row(table: &Table, key: &[u8], packed: &[u8]) -> Result<Vec<Value>> {
    let damaged = || Error::data(format!("table `{}` has a row that is damaged", table.name));
    let columns: Vec<&Column> = table.keys().collect();
    let mut keys = order::decode(key, &columns).ok_or_else(damaged)?.into_iter();
    let mut fields = pack::read(packed).ok_or_else(damaged)?.into_iter();
    let one = |column: &Column| match column.merge {
        Merge::Key => keys.next().ok_or_else(damaged),
        _ => value(table, column, fields.next().ok_or_else(damaged)?),
    };
    table.columns.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use headrace_core::Ident;
    use headrace_core::table::{Kind, Merge, Table, Value};

    use super::{described, merges, pack_row, packed_at, refuse_what_cannot_be_kept, unpack_row};
    use crate::redis::layout::difference;

    fn table() -> Table {
        let table = Table::new(Ident::new("t").unwrap()).column("open", Kind::Int, true, Merge::ReplaceWhileNull("at"));
        let table = table.unwrap().key("id", Kind::Int).unwrap().column("sum", Kind::Int, true, Merge::Add).unwrap();
        table.column("at", Kind::DateTime, true, Merge::First).unwrap().value("note", Kind::Text).unwrap()
    }

    #[test]
    fn rows_come_back_and_merges_name_their_columns() {
        let table = table();
        let row = [Value::Int(5), Value::Int(-1), Value::Null, Value::Int(i64::MAX), Value::Text("ä\0".into())];
        let (key, packed) = pack_row(&table, &row);
        assert_eq!(unpack_row(&table, &key, &packed).unwrap(), row);
        assert!(unpack_row(&table, &key[1..], &packed).is_err() && unpack_row(&table, &key, &packed[1..]).is_err());
        assert_eq!(merges(&table), ["3", "add", "first", "replace"]);
        assert_eq!((packed_at(&table, "open"), packed_at(&table, "id")), (Some(1), None));
        assert!(merges(&table.only_keys()).is_empty());
    }

    #[test]
    fn what_cannot_be_kept_is_refused_and_another_order_is_seen() {
        let computed = Merge::Computed { mysql: "1", sqlite: "1" };
        let real = Table::new(Ident::new("t").unwrap()).key("id", Kind::Int).unwrap();
        for (broken, named) in [
            (table().column("twice", Kind::Int, true, computed).unwrap(), "twice"),
            (real.column("real", Kind::Double, true, Merge::Add).unwrap(), "real"),
            (table().documents(), "documents"),
            (Table::new(Ident::new("t").unwrap()), "no key"),
        ] {
            let text = refuse_what_cannot_be_kept(&broken).unwrap_err().to_string();
            assert!(text.contains(named), "{text}");
        }
        refuse_what_cannot_be_kept(&table()).unwrap();
        let mut turned = table();
        turned.columns.swap(2, 3);
        let text = difference(&described(&table()).unwrap(), &described(&turned).unwrap()).unwrap();
        assert!(text.contains("the order of its columns is (open, id, sum, at, note)"), "{text}");
    }
}
