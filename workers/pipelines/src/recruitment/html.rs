//! One HTML page about a result: charts as inline SVG, no script, nothing fetched; it opens offline.

use std::collections::BTreeMap;
use std::fmt::Write;

use headrace_core::progress::thousands;
use headrace_core::report::Outcome;
use headrace_core::store::Store;
use headrace_core::{Report, Result};
use headrace_transforms::{civil, decimal};

use super::schema::{RESULT_COLUMNS, ResultSchema};
use crate::reading::Pages;

/// Headings of the rows with the highest spend.
pub const TOP_COLUMNS: [&str; 8] =
    ["job", "hour (UTC)", "pub/camp/group", "clicks", "spend", "avg bid", "applications", "company"];
/// Rows shown.
const TOP: usize = 12;
/// Most bars of a chart over time: hours if they fit, else days, else several days a bar.
const BARS: i64 = 60;
/// Lines of a ranking.
const RANKS: usize = 10;
/// Hundredths in millionths, the unit of sums of money.
const CENT: i64 = 10_000;

/// Sums of one bar or line of the page.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    clicks: i64,
    spend_micros: i64,
    conversions: i64,
    qualified: i64,
    disqualified: i64,
}

/// What the page shows of a result.
#[derive(Debug, Default)]
pub struct Summary {
    by_hour: BTreeMap<i64, Sums>,
    by_company: BTreeMap<Option<i64>, Sums>,
    by_publisher: BTreeMap<i64, Sums>,
    total: Sums,
    /// The rows with the highest spend, as text.
    pub top: Vec<Vec<String>>,
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.clicks += other.clicks;
        self.spend_micros += other.spend_micros;
        self.conversions += other.conversions;
        self.qualified += other.qualified;
        self.disqualified += other.disqualified;
    }
}

/// An amount with commas between its thousands and two decimals.
fn money(micros: i64) -> String {
    let cents = decimal::cents(micros);
    let (sign, cents) = (if cents < 0 { "-" } else { "" }, cents.unsigned_abs());
    format!("{sign}{}.{:02}", thousands(cents / 100), cents % 100)
}

/// A number with commas between its thousands.
fn grouped(number: i64) -> String {
    format!("{}{}", if number < 0 { "-" } else { "" }, thousands(number.unsigned_abs()))
}

/// Whether a cell is a number, which stands at the right of its column.
fn is_number(cell: &str) -> bool {
    !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit() || b".,-".contains(&byte))
}

impl Summary {
    /// Reads a result, page by page; keeps sums by day, company and publisher.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn read(store: &dyn Store, schema: &ResultSchema) -> Result<Self> {
        let mut summary = Self::default();
        let mut top: Vec<(i64, Vec<String>)> = Vec::new();
        let mut pages = Pages::new(store, &schema.result, &RESULT_COLUMNS);
        while let Some(page) = pages.next().await? {
            let column = |name: &str| -> Result<Vec<Option<i64>>> { Ok(page.column(name)?.i64()?.iter().collect()) };
            let (jobs, times, companies) = (column("job_id")?, column("ts")?, column("company_id")?);
            let (publishers, campaigns, groups) =
                (column("publisher_id")?, column("campaign_id")?, column("group_id")?);
            let (clicks, spends) = (column("clicks")?, column("spend_hour")?);
            let (conversions, qualified) = (column("conversion")?, column("qualified_application")?);
            let disqualified = column("disqualified_application")?;
            for row in 0..page.height() {
                let number = |values: &[Option<i64>]| values[row].unwrap_or_default();
                let sums = Sums {
                    clicks: number(&clicks),
                    spend_micros: number(&spends),
                    conversions: number(&conversions),
                    qualified: number(&qualified),
                    disqualified: number(&disqualified),
                };
                summary.total.add(sums);
                summary.by_hour.entry(civil::hour_floor(number(&times))).or_default().add(sums);
                summary.by_company.entry(companies[row]).or_default().add(sums);
                summary.by_publisher.entry(number(&publishers)).or_default().add(sums);
                let floor = if top.len() < TOP { i64::MIN } else { top.last().map_or(i64::MIN, |(spend, _)| *spend) };
                if sums.spend_micros > floor {
                    let average = decimal::average_cents(sums.spend_micros, sums.clicks).unwrap_or_default();
                    let text = vec![
                        number(&jobs).to_string(),
                        civil::timestamp_text(number(&times))[..16].to_owned(),
                        format!("{}/{}/{}", number(&publishers), number(&campaigns), number(&groups)),
                        sums.clicks.to_string(),
                        money(sums.spend_micros),
                        money(average * CENT),
                        (sums.conversions + sums.qualified + sums.disqualified).to_string(),
                        companies[row].map_or_else(String::new, |company| company.to_string()),
                    ];
                    let place = top.partition_point(|(spend, _)| *spend >= sums.spend_micros);
                    top.insert(place, (sums.spend_micros, text));
                    top.truncate(TOP);
                }
            }
        }
        summary.top = top.into_iter().map(|(_, row)| row).collect();
        Ok(summary)
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The distance of a chart's lines: a round number, not under `least`, of which at most five reach `peak`.
fn distance(peak: i64, least: i64) -> i64 {
    let wanted = (peak + 4) / 5;
    let mut round = least.max(1);
    while round < wanted {
        // 1, 2, 5, 10, 20, 50…
        round = if round.to_string().starts_with('2') { round / 2 * 5 } else { round * 2 };
    }
    round
}

/// A bar chart over time; `least` is the smallest distance that `show` can tell apart.
fn bars(title: &str, values: &[(String, i64)], least: i64, show: impl Fn(i64) -> String) -> String {
    let (width, height, left, bottom) = (900.0, 220.0, 70.0, 24.0);
    let highest = values.iter().map(|(_, value)| *value).max().unwrap_or(0).max(1);
    let apart = distance(highest, least);
    let lines = (highest + apart - 1) / apart;
    let peak = lines * apart;
    let step = (width - left) / values.len().max(1) as f64;
    let mut out = format!(
        "<figure><figcaption>{}</figcaption><svg viewBox='0 0 {width} {}' role='img'><title>{0}</title>",
        escape(title),
        height + bottom
    );
    for line in 0..=lines {
        let y = height - height * line as f64 / lines as f64 + 6.0;
        let label = show(line * apart);
        let _ = write!(
            out,
            "<line class='grid' x1='{left}' x2='{width}' y1='{y:.1}' y2='{y:.1}'/><text class='axis' x='{}' y='{:.1}' text-anchor='end'>{label}</text>",
            left - 8.0,
            y + 4.0
        );
    }
    let every = values.len().div_ceil(10).max(1);
    for (place, (label, value)) in values.iter().enumerate() {
        let (x, tall) = (left + step * place as f64, height * *value as f64 / peak as f64);
        let _ = write!(
            out,
            "<rect x='{:.1}' y='{:.1}' width='{:.1}' height='{tall:.1}'><title>{}: {}</title></rect>",
            x + step * 0.1,
            height - tall + 6.0,
            step * 0.8,
            escape(label),
            show(*value)
        );
        if place % every == 0 {
            let _ =
                write!(out, "<text class='axis' x='{x:.1}' y='{:.1}'>{}</text>", height + bottom - 2.0, escape(label));
        }
    }
    out.push_str("</svg></figure>");
    out
}

/// Horizontal bars, the largest first.
fn ranking(title: &str, mut values: Vec<(String, i64)>, show: impl Fn(i64) -> String) -> String {
    values.retain(|(_, value)| *value > 0);
    values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let more = values.len().saturating_sub(RANKS);
    values.truncate(RANKS);
    let peak = values.first().map_or(1, |(_, value)| *value).max(1);
    let mut out = format!("<figure><figcaption>{}</figcaption><table class='ranking'>", escape(title));
    for (name, value) in &values {
        let share = *value as f64 / peak as f64 * 100.0;
        let _ = write!(
            out,
            "<tr><th>{}</th><td><i style='width:{share:.1}%'></i></td><td class='number'>{}</td></tr>",
            escape(name),
            show(*value)
        );
    }
    out.push_str("</table>");
    if more > 0 {
        let _ = write!(out, "<small>and {} more</small>", grouped(more as i64));
    } else if values.is_empty() {
        out.push_str("<small>none</small>");
    }
    out.push_str("</figure>");
    out
}

/// The bars of a chart over time, and what one of them is.
fn over_time(by_hour: &BTreeMap<i64, Sums>, value: impl Fn(&Sums) -> i64) -> (String, Vec<(String, i64)>) {
    let (Some((first, _)), Some((last, _))) = (by_hour.first_key_value(), by_hour.last_key_value()) else {
        return ("hour".to_owned(), Vec::new());
    };
    let hourly = (last - first) / civil::HOUR_US < BARS;
    let first = if hourly { *first } else { civil::days(*first) * civil::DAY_US };
    let days = (last - first) / civil::DAY_US / BARS + 1;
    let width = if hourly { civil::HOUR_US } else { days * civil::DAY_US };
    let bars = (0..=(last - first) / width).map(|bar| {
        let start = first + bar * width;
        let sum = by_hour.range(start..start + width).map(|(_, sums)| value(sums)).sum();
        let label = civil::timestamp_text(start);
        (if hourly { label[5..16].to_owned() } else { label[..10].to_owned() }, sum)
    });
    let unit = match days {
        _ if hourly => "hour".to_owned(),
        1 => "day".to_owned(),
        _ => format!("{days} days"),
    };
    (unit, bars.collect())
}

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#16202c;--soft:#5b6b7c;--line:#dde4ec;--paper:#fff;--ground:#f4f6f9;--water:#1673b8}\
@media(prefers-color-scheme:dark){:root{--ink:#e8edf3;--soft:#9db0c3;--line:#2c3947;--paper:#17212c;--ground:#0f1720;--water:#4aa8ea}}\
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif}\
main{max-width:1000px;margin:0 auto;padding:2rem 1rem 4rem}h1{margin:0}p{color:var(--soft);margin:.2rem 0 1.5rem}\
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(max(140px,22%),1fr));gap:.8rem;margin-bottom:1rem}\
.cards div,figure{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:1rem}\
.cards b{display:block;font-size:1.5rem}.cards span{color:var(--soft)}figure{margin:0 0 1rem;overflow-x:auto}\
figcaption{font-weight:600;margin-bottom:.6rem}svg{width:100%;min-width:600px;height:auto}small{color:var(--soft);display:block;margin-top:.5rem}rect{fill:var(--water)}.grid{stroke:var(--line)}\
.axis{fill:var(--soft);font-size:11px}table{border-collapse:collapse;width:100%}td,th{white-space:nowrap;padding:.3rem .6rem;text-align:left;border-bottom:1px solid var(--line);font-weight:400}\
thead th{color:var(--soft)}.number{text-align:right;font-variant-numeric:tabular-nums}.ranking td:nth-child(2){width:60%}thead .number{text-align:right}.ranking i{display:block;height:.8rem;border-radius:3px;background:var(--water)}\
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(380px,100%),1fr));gap:0 1rem}";

fn table(title: &str, columns: &[&str], rows: &[Vec<String>]) -> String {
    let mut out = format!("<figure><figcaption>{}</figcaption><table><thead><tr>", escape(title));
    for (place, column) in columns.iter().enumerate() {
        let numeric = rows.first().and_then(|row| row.get(place)).is_some_and(|cell| is_number(cell));
        let _ = write!(out, "<th{}>{}</th>", if numeric { " class='number'" } else { "" }, escape(column));
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows {
        out.push_str("<tr>");
        for cell in row {
            let class = if is_number(cell) { " class='number'" } else { "" };
            let _ = write!(out, "<td{class}>{}</td>", escape(cell));
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></figure>");
    out
}

/// Headings of the steps.
const STEP_COLUMNS: [&str; 8] =
    ["step", "outcome", "read", "written", "duplicate", "dead letters", "ignored", "seconds"];

fn step_row(step: &Report) -> Vec<String> {
    let counts = &step.counts;
    let outcome = match step.outcome {
        Outcome::Complete => "complete",
        Outcome::Stopped => "stopped",
        Outcome::Different => "different",
    };
    let mut row = vec![step.step.rsplit(' ').next().unwrap_or_default().to_owned(), outcome.to_owned()];
    row.extend([counts.read, counts.written, counts.duplicate, counts.dead_lettered, counts.ignored].map(thousands));
    row.push(format!("{:.2}", step.seconds));
    row
}

/// What the comparison of the stores has found, in a sentence.
fn verdict(steps: &[Report]) -> &'static str {
    match steps.iter().rev().find(|step| step.step.ends_with(" verify")).map(|step| step.outcome) {
        Some(Outcome::Complete) => {
            "Verified: every record read is in the raw store, a duplicate, or a dead letter, and the table is what the events add up to."
        }
        Some(Outcome::Different) => "The comparison found differences: see what verify says.",
        _ => "Not compared with its source yet.",
    }
}

/// Gives the page.
pub fn page(summary: &Summary, counters: &BTreeMap<String, u64>, steps: &[Report]) -> String {
    let counter = |name: &str| counters.get(name).copied().unwrap_or_default() as i64;
    let total = &summary.total;
    let cards = [
        ("records read", grouped(counter("read"))),
        ("events counted", grouped(counter("counted"))),
        ("hourly rows", grouped(counter("rows"))),
        ("clicks", grouped(total.clicks)),
        ("spend", money(total.spend_micros)),
        ("applications", grouped(total.conversions + total.qualified + total.disqualified)),
        ("duplicates", grouped(counter("duplicate"))),
        ("dead letters", grouped(counter("dead_letter"))),
    ];
    let mut out = format!(
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width'>\
         <title>Headrace: recruitment</title><style>{STYLE}</style></head><body><main><h1>Recruitment campaigns by the hour</h1>\
         <p>{} All times are UTC.</p><div class='cards'>",
        verdict(steps)
    );
    for (name, value) in &cards {
        let _ = write!(out, "<div><b>{value}</b><span>{name}</span></div>");
    }
    out.push_str("</div>");
    let (unit, clicks) = over_time(&summary.by_hour, |sums| sums.clicks);
    out.push_str(&bars(&format!("Clicks per {unit}"), &clicks, 1, grouped));
    let (unit, spend) = over_time(&summary.by_hour, |sums| sums.spend_micros);
    out.push_str(&bars(&format!("Spend per {unit}"), &spend, CENT, money));
    let publishers =
        summary.by_publisher.iter().map(|(id, sums)| (format!("publisher {id}"), sums.spend_micros)).collect();
    let companies = summary
        .by_company
        .iter()
        .map(|(id, sums)| (id.map_or("unknown".to_owned(), |id| format!("company {id}")), sums.spend_micros))
        .collect();
    let _ = write!(
        out,
        "<div class='two'>{}{}</div>",
        ranking("Spend by publisher", publishers, money),
        ranking("Spend by company", companies, money)
    );
    let named = |prefix: &str| -> Vec<(String, i64)> {
        let of = |(name, count): (&String, &u64)| Some((name.strip_prefix(prefix)?.replace('_', " "), *count as i64));
        counters.iter().filter_map(of).collect()
    };
    let classes = ["counted", "unattributed", "ignored"].iter().flat_map(|class| {
        named(&format!("{class}:")).into_iter().map(move |(name, count)| (format!("{class}: {name}"), count))
    });
    let _ = write!(
        out,
        "<div class='two'>{}{}</div>",
        ranking(
            "Records by class (unattributed: without a job; ignored: no click, no application)",
            classes.collect(),
            grouped
        ),
        ranking("Dead letters by reason", named("dead_letter:"), grouped)
    );
    out.push_str(&table("Hourly rows with the highest spend", &TOP_COLUMNS, &summary.top));
    let rows: Vec<Vec<String>> = steps.iter().map(step_row).collect();
    out.push_str(&table("Steps", &STEP_COLUMNS, &rows));
    out.push_str("</main></body></html>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas_and_amounts_two_decimals() {
        assert_eq!([money(7_303_430_000), money(-5_000_000), money(0)], ["7,303.43", "-5.00", "0.00"]);
        assert_eq!([grouped(-1_234_567), grouped(999)], ["-1,234,567", "999"]);
        assert!(is_number("7,303.43") && !is_number("6/103/0") && !is_number(""));
    }

    #[test]
    fn lines_of_a_chart_are_at_round_numbers() {
        let apart = [1, 5, 6, 499, 500, 501, 457_910_000].map(|peak| distance(peak, 1));
        assert_eq!(apart, [1, 1, 2, 100, 100, 200, 100_000_000]);
        assert_eq!(distance(1, CENT), CENT);
    }

    #[test]
    fn a_chart_over_time_has_hours_days_or_several_days_and_loses_nothing() {
        let start = civil::day_start(civil::date(1_657_098_597_000_000)) + 9 * civil::HOUR_US;
        for (hours, unit, bars) in [(1, "hour", 1), (60, "hour", 60), (61, "day", 3), (24 * 200, "4 days", 51)] {
            let one = Sums { clicks: 1, ..Sums::default() };
            let by_hour = (0..hours).map(|hour| (start + hour * civil::HOUR_US, one)).collect();
            let (found, values) = over_time(&by_hour, |sums| sums.clicks);
            assert_eq!((found.as_str(), values.len()), (unit, bars), "{hours} hours");
            assert_eq!(values.iter().map(|(_, value)| value).sum::<i64>(), hours);
        }
        assert_eq!(over_time(&BTreeMap::new(), |sums| sums.clicks).1, []);
    }
}
