//! The texts of statements, for MariaDB and MySQL, which differ in few words.
//!
//! Names come only from [`Ident`], which cannot hold a quote; values are always placeholders.

use headrace_core::Ident;
use headrace_core::table::{Column, Kind, Merge, Table};

/// Which of the two servers it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// MariaDB.
    MariaDb,
    /// MySQL and what is made from it.
    MySql,
}

/// Quotes a name.
pub(super) fn quote(name: &Ident) -> String {
    format!("`{name}`")
}

/// Lists things with commas.
pub(super) fn commas<T: AsRef<str>>(parts: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for part in parts {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(part.as_ref());
    }
    text
}

impl Dialect {
    /// Compares by code point, and a trailing space counts: keys are exact, and sorted as their bytes are.
    pub(super) fn collation(self) -> &'static str {
        match self {
            Self::MariaDb => "utf8mb4_nopad_bin",
            Self::MySql => "utf8mb4_0900_bin",
        }
    }

    /// Creates a database unless it is there.
    pub(super) fn create_database(self, name: &Ident) -> String {
        format!("CREATE DATABASE IF NOT EXISTS {} CHARACTER SET utf8mb4 COLLATE {}", quote(name), self.collation())
    }

    /// Creates a table unless it is there.
    pub(super) fn create_table(self, table: &Table) -> String {
        let columns = table.columns.iter().map(column_definition);
        let key = format!("PRIMARY KEY ({})", commas(table.keys().map(|column| quote(&column.name))));
        format!(
            "CREATE TABLE IF NOT EXISTS {} ({}) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE {}",
            quote(&table.name),
            commas(columns.chain([key])),
            self.collation()
        )
    }

    /// Inserts so many rows, each merged into the one that has its key.
    pub(super) fn upsert(self, table: &Table, rows: usize) -> String {
        let columns: Vec<&Column> = table.written().collect();
        let row = format!("({})", commas(columns.iter().map(|_| "?")));
        let mut text = format!(
            "INSERT INTO {} ({}) VALUES {}",
            quote(&table.name),
            commas(columns.iter().map(|column| quote(&column.name))),
            commas(std::iter::repeat_n(row, rows))
        );
        // MySQL is about to drop VALUES(), MariaDB does not know the alias.
        if self == Self::MySql {
            text.push_str(" AS `fresh`");
        }
        text.push_str(" ON DUPLICATE KEY UPDATE ");
        // Columns change from left to right, and each change sees those before it: the version comes last.
        let (version, others): (Vec<&Column>, Vec<&Column>) = columns
            .iter()
            .filter(|column| column.merge != Merge::Key)
            .partition(|column| table.versioned_by.as_ref() == Some(&column.name));
        let mut changes: Vec<String> = others.iter().chain(&version).map(|column| self.change(table, column)).collect();
        if changes.is_empty() {
            changes.extend(table.keys().take(1).map(|column| {
                let name = quote(&column.name);
                format!("{name} = {}.{name}", quote(&table.name))
            }));
        }
        text.push_str(&commas(changes));
        text
    }

    fn change(self, table: &Table, column: &Column) -> String {
        let name = quote(&column.name);
        let fresh = self.fresh(&name);
        let old = format!("{}.{name}", quote(&table.name));
        let changed = match column.merge {
            Merge::Add => format!("IF({fresh} IS NULL, {old}, COALESCE({old}, 0) + {fresh})"),
            // Columns change from left to right, and each change sees those before it: the other column is still the old one.
            Merge::ReplaceWhileNull(other) => {
                format!("IF({}.`{other}` IS NULL, {fresh}, {old})", quote(&table.name))
            }
            Merge::First => format!("COALESCE({old}, {fresh})"),
            Merge::Key | Merge::Replace | Merge::Computed { .. } => fresh,
        };
        match &table.versioned_by {
            Some(version) => {
                let version = quote(version);
                let newest = format!("{}.{version}", quote(&table.name));
                format!("{name} = IF({} >= {newest}, {changed}, {old})", self.fresh(&version))
            }
            None => format!("{name} = {changed}"),
        }
    }

    /// The value that comes, for a quoted column.
    fn fresh(self, name: &str) -> String {
        match self {
            Self::MariaDb => format!("VALUES({name})"),
            Self::MySql => format!("`fresh`.{name}"),
        }
    }
}

/// The column's type as the server's.
pub(super) fn column_type(kind: Kind) -> String {
    match kind {
        Kind::Int => "BIGINT".to_owned(),
        Kind::Small => "TINYINT".to_owned(),
        Kind::Double => "DOUBLE".to_owned(),
        Kind::Single => "FLOAT".to_owned(),
        Kind::Text => "LONGTEXT".to_owned(),
        Kind::Name(characters) => format!("VARCHAR({characters})"),
        Kind::Bytes => "LONGBLOB".to_owned(),
        Kind::Decimal { scale } => format!("DECIMAL(18,{scale})"),
        Kind::DateTime => "DATETIME(6)".to_owned(),
        Kind::Date => "DATE".to_owned(),
        Kind::TimeUuid => "BINARY(16)".to_owned(),
    }
}

fn column_definition(column: &Column) -> String {
    let (name, kind) = (quote(&column.name), column_type(column.kind));
    match column.merge {
        // Neither server takes NOT NULL in the same place here; the expression decides.
        Merge::Computed { mysql, .. } => format!("{name} {kind} GENERATED ALWAYS AS ({mysql}) STORED"),
        _ if column.nullable => format!("{name} {kind} NULL"),
        _ => format!("{name} {kind} NOT NULL"),
    }
}

#[cfg(test)]
mod tests {
    use headrace_core::Ident;
    use headrace_core::table::{Kind, Merge, Table};

    use super::Dialect;

    fn table() -> Table {
        let computed = Merge::Computed { mysql: "`n` + 1", sqlite: "n + 1" };
        let table = Table::new(Ident::new("t").unwrap()).key("k", Kind::Name(9)).unwrap();
        let table = table.column("n", Kind::Int, true, Merge::Add).unwrap().value("v", Kind::Bytes).unwrap();
        table.column("c", Kind::Int, true, computed).unwrap()
    }

    #[test]
    fn texts_of_statements() {
        assert_eq!(
            Dialect::MariaDb.create_table(&table()),
            "CREATE TABLE IF NOT EXISTS `t` (`k` VARCHAR(9) NOT NULL, `n` BIGINT NULL, `v` LONGBLOB NULL, \
             `c` BIGINT GENERATED ALWAYS AS (`n` + 1) STORED, PRIMARY KEY (`k`)) \
             ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
        );
        assert_eq!(
            Dialect::MariaDb.upsert(&table(), 2),
            "INSERT INTO `t` (`k`, `n`, `v`) VALUES (?, ?, ?), (?, ?, ?) ON DUPLICATE KEY UPDATE \
             `n` = IF(VALUES(`n`) IS NULL, `t`.`n`, COALESCE(`t`.`n`, 0) + VALUES(`n`)), `v` = VALUES(`v`)"
        );
        assert_eq!(
            Dialect::MySql.upsert(&table(), 1),
            "INSERT INTO `t` (`k`, `n`, `v`) VALUES (?, ?, ?) AS `fresh` ON DUPLICATE KEY UPDATE \
             `n` = IF(`fresh`.`n` IS NULL, `t`.`n`, COALESCE(`t`.`n`, 0) + `fresh`.`n`), `v` = `fresh`.`v`"
        );
        let only_keys = Table::new(Ident::new("t").unwrap()).key("k", Kind::Int).unwrap();
        assert!(Dialect::MySql.upsert(&only_keys, 1).ends_with(" UPDATE `k` = `t`.`k`"));
        let versioned = only_keys.column("v", Kind::Int, false, Merge::Replace).unwrap().value("a", Kind::Int).unwrap();
        assert!(Dialect::MariaDb.upsert(&versioned.versioned_by("v").unwrap(), 1).ends_with(
            " UPDATE `a` = IF(VALUES(`v`) >= `t`.`v`, VALUES(`a`), `t`.`a`), \
             `v` = IF(VALUES(`v`) >= `t`.`v`, VALUES(`v`), `t`.`v`)"
        ));
    }
}
