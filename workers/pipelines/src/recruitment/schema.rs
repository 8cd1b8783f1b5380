//! The tables and scopes of this system, by the names the store URLs give.

use headrace_core::table::{Kind, Merge, Table, View};
use headrace_core::{Ident, Result, StoreUrl, dead_letter};

use super::columns::{self, BID, CAMPAIGN_ID, CREATE_TIME, CUSTOM_TRACK, GROUP_ID, JOB_ID, PUBLISHER_ID, TRACKING};

/// The topic's name where the URL names none; a historical misnomer.
pub const TOPIC: &str = "users_created";
/// The column of an hour's start.
pub const HOUR: &str = "hour";
/// The column of the commit that loaded a row.
pub const SEQUENCE: &str = "sequence";
/// The columns a message is made of.
pub const MESSAGE_COLUMNS: [&str; 7] = [CREATE_TIME, CUSTOM_TRACK, BID, CAMPAIGN_ID, GROUP_ID, JOB_ID, PUBLISHER_ID];
/// The columns of the result in the order of the export.
pub const RESULT_COLUMNS: [&str; 15] = [
    "job_id",
    "ts",
    "dates",
    "hours",
    "publisher_id",
    "campaign_id",
    "group_id",
    "bid_set",
    "clicks",
    "spend_hour",
    "conversion",
    "qualified_application",
    "disqualified_application",
    "company_id",
    "sources",
];

/// The raw store's tables.
#[derive(Clone, Debug)]
pub struct RawSchema {
    /// Every valid record, by event id.
    pub tracking: Table,
    /// What messages are made of, by hour: for reading in time order and incrementally.
    pub by_hour: Table,
    /// The last commit that touched each hour.
    pub hours: Table,
    /// Refused records.
    pub dead_letters: Table,
}

impl RawSchema {
    /// The tables a URL names.
    ///
    /// # Errors
    /// When the name is not usable.
    pub fn of(url: &StoreUrl) -> Result<Self> {
        let name = url.table("tracking")?;
        let mut tracking = Table::new(name.clone()).key(CREATE_TIME, Kind::TimeUuid)?;
        for column in
            TRACKING.iter().filter(|column| !matches!(column.kind, columns::Kind::Index | columns::Kind::EventId))
        {
            tracking = tracking.value(column.name, if column.kind.is_double() { Kind::Double } else { Kind::Text })?;
        }
        let by_hour = Table::new(name.with_suffix("_by_hour")?)
            .key(HOUR, Kind::DateTime)?
            .key(CREATE_TIME, Kind::TimeUuid)?
            .value(CUSTOM_TRACK, Kind::Text)?
            .value(BID, Kind::Double)?
            .value(CAMPAIGN_ID, Kind::Double)?
            .value(GROUP_ID, Kind::Double)?
            .value(JOB_ID, Kind::Double)?
            .value(PUBLISHER_ID, Kind::Double)?
            .column(SEQUENCE, Kind::Int, false, Merge::Replace)?;
        let hours = Table::new(name.with_suffix("_hours")?).key(HOUR, Kind::DateTime)?.column(
            SEQUENCE,
            Kind::Int,
            false,
            Merge::Replace,
        )?;
        let dead_letters = dead_letter::table(name.with_suffix("_dead_letter")?)?;
        Ok(Self { tracking, by_hour, hours, dead_letters })
    }

    /// All tables.
    pub fn tables(&self) -> [&Table; 4] {
        [&self.tracking, &self.by_hour, &self.hours, &self.dead_letters]
    }

    /// The scope under which records are loaded: one for all files, so that an id is known whichever file it came from.
    pub fn load_scope(&self) -> String {
        format!("recruitment load {}", self.tracking.name)
    }

    /// The scope under which rows are published to a topic of a log.
    pub fn replay_scope(&self, log: &str, topic: &str) -> String {
        format!("recruitment replay {} to {log} {topic}", self.tracking.name)
    }
}

/// The warehouse's tables.
#[derive(Clone, Debug)]
pub struct ResultSchema {
    /// The product: one row per job, hour, publisher, campaign and group.
    pub result: Table,
    /// Metric events without a job, per hour and event.
    pub unattributed: Table,
    /// Refused messages.
    pub dead_letters: Table,
    /// The result with 0 for counts and spend that are null.
    pub filled: View,
}

impl ResultSchema {
    /// The tables a URL names.
    ///
    /// # Errors
    /// When the name is not usable.
    pub fn of(url: &StoreUrl) -> Result<Self> {
        let name = url.table("result")?;
        let bid_set = Merge::Computed {
            mysql: "((2 * CAST(spend_hour * 1000000 AS SIGNED) + 10000 * clicks) DIV NULLIF(20000 * clicks, 0)) / 100",
            // Without doubling, which could leave the whole numbers.
            sqlite: "spend_hour / (10000 * clicks) + (spend_hour % (10000 * clicks) >= 5000 * clicks)",
        };
        let result = Table::new(name.clone())
            .key("job_id", Kind::Int)?
            .column("ts", Kind::DateTime, false, Merge::Replace)?
            .key("dates", Kind::Date)?
            .key("hours", Kind::Small)?
            .key("publisher_id", Kind::Int)?
            .key("campaign_id", Kind::Int)?
            .key("group_id", Kind::Int)?
            .column("bid_set", Kind::Decimal { scale: 2 }, true, bid_set)?
            .column("clicks", Kind::Int, true, Merge::Add)?
            .column("spend_hour", Kind::Decimal { scale: 6 }, true, Merge::Add)?
            .column("conversion", Kind::Int, true, Merge::Add)?
            .column("qualified_application", Kind::Int, true, Merge::Add)?
            .column("disqualified_application", Kind::Int, true, Merge::Add)?
            .column("company_id", Kind::Int, true, Merge::Replace)?
            .column("sources", Kind::Name(255), false, Merge::Replace)?;
        let unattributed = Table::new(name.with_suffix("_unattributed")?)
            .key("ts", Kind::DateTime)?
            .key("custom_track", Kind::Name(64))?
            .column("events", Kind::Int, false, Merge::Add)?;
        let dead_letters = dead_letter::table(name.with_suffix("_dead_letter")?)?;
        let filled = filled_view(&name)?;
        Ok(Self { result, unattributed, dead_letters, filled })
    }

    /// All tables.
    pub fn tables(&self) -> [&Table; 3] {
        [&self.result, &self.unattributed, &self.dead_letters]
    }

    /// The scope under which messages are cleaned into the table: one for all topics, so that an event is counted once
    /// whichever way it came.
    pub fn clean_scope(&self) -> String {
        format!("recruitment clean {}", self.result.name)
    }
}

fn filled_view(result: &Ident) -> Result<View> {
    let select = |quote: char, money: &dyn Fn(&str, &str) -> String, time: &dyn Fn(&str) -> String| {
        let column = |name: &str| {
            let quoted = format!("{quote}{name}{quote}");
            match name {
                "ts" | "dates" => format!("{} AS {quoted}", time(name)),
                "bid_set" => format!("{} AS {quoted}", money(&quoted, "100.0")),
                "spend_hour" => format!("{} AS {quoted}", money(&format!("COALESCE({quoted}, 0)"), "1000000.0")),
                "clicks" | "conversion" | "qualified_application" | "disqualified_application" => {
                    format!("COALESCE({quoted}, 0) AS {quoted}")
                }
                _ => quoted,
            }
        };
        let columns: Vec<String> = RESULT_COLUMNS.iter().map(|name| column(name)).collect();
        format!("SELECT {} FROM {quote}{result}{quote}", columns.join(", "))
    };
    let sqlite_time = |name: &str| match name {
        "ts" => "datetime(\"ts\" / 1000000, 'unixepoch')".to_owned(),
        _ => "date(\"dates\" * 86400, 'unixepoch')".to_owned(),
    };
    Ok(View {
        name: result.with_suffix("_filled")?,
        mysql: select('`', &|text, _| text.to_owned(), &|name| format!("`{name}`")),
        sqlite: select('"', &|text, scale| format!("{text} / {scale}"), &sqlite_time),
    })
}

/// The dimension table of jobs.
///
/// # Errors
/// When the name is not usable.
pub fn job_table(name: Ident) -> Result<Table> {
    Table::new(name)
        .key("id", Kind::Int)?
        .value("company_id", Kind::Int)?
        .value("title", Kind::Text)?
        .value("status", Kind::Int)?
        .value("is_active", Kind::Small)?
        .value("campaign_id", Kind::Int)?
        .value("group_id", Kind::Int)?
        .value("created_date", Kind::Text)?
        .value("last_modified_date", Kind::Text)
}

#[cfg(test)]
mod tests {
    use super::{RawSchema, ResultSchema};
    use headrace_core::StoreUrl;

    #[test]
    fn tables_take_their_names_from_the_url() {
        let raw = RawSchema::of(&StoreUrl::parse("cassandra://h/kafka_stream/events").unwrap()).unwrap();
        assert_eq!(raw.tracking.name.as_str(), "events");
        assert_eq!(raw.tracking.columns.len(), 29);
        assert_eq!(raw.by_hour.name.as_str(), "events_by_hour");
        let result = ResultSchema::of(&StoreUrl::parse("mysql://h/spark_stream").unwrap()).unwrap();
        assert_eq!(result.filled.name.as_str(), "result_filled");
        assert!(result.filled.mysql.contains("COALESCE(`clicks`, 0) AS `clicks`"));
        assert!(!result.filled.mysql.contains("COALESCE(`bid_set`"));
    }
}
