//! One HTML page about a result: charts as inline SVG, no script, nothing fetched; it opens offline.

use std::collections::BTreeMap;
use std::fmt::Write;

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
/// Days shown in a chart; more are joined into wider bars.
const BARS: usize = 60;

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
    by_day: BTreeMap<i64, Sums>,
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

fn money(micros: i64) -> String {
    let mut out = Vec::new();
    decimal::write_cents(decimal::cents(micros), &mut out);
    String::from_utf8_lossy(&out).into_owned()
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
                summary.by_day.entry(civil::days(number(&times))).or_default().add(sums);
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
                        money(average * 10_000),
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

/// Groups digits by thousands.
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) && digit.is_ascii_digit() && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A bar chart over time.
fn bars(title: &str, values: &[(String, i64)], show: impl Fn(i64) -> String) -> String {
    let (width, height, left, bottom) = (900.0, 220.0, 70.0, 24.0);
    let peak = values.iter().map(|(_, value)| *value).max().unwrap_or(0).max(1);
    let step = (width - left) / values.len().max(1) as f64;
    let mut out = format!(
        "<figure><figcaption>{}</figcaption><svg viewBox='0 0 {width} {}' role='img'>",
        escape(title),
        height + bottom
    );
    for part in 0..=4 {
        let y = height - height * f64::from(part) / 4.0 + 6.0;
        let label = show(peak * i64::from(part) / 4);
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
    values.truncate(10);
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
    out.push_str("</table></figure>");
    out
}

fn days(by_day: &BTreeMap<i64, Sums>, value: impl Fn(&Sums) -> i64) -> Vec<(String, i64)> {
    let (Some((first, _)), Some((last, _))) = (by_day.first_key_value(), by_day.last_key_value()) else {
        return Vec::new();
    };
    let width = (last - first) / BARS as i64 + 1;
    (0..=(last - first) / width)
        .map(|bar| {
            let start = first + bar * width;
            let sum = by_day.range(start..start + width).map(|(_, sums)| value(sums)).sum();
            (civil::timestamp_text(start * civil::DAY_US)[..10].to_owned(), sum)
        })
        .collect()
}

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#16202c;--soft:#5b6b7c;--line:#dde4ec;--paper:#fff;--ground:#f4f6f9;--water:#1673b8}\
@media(prefers-color-scheme:dark){:root{--ink:#e8edf3;--soft:#9db0c3;--line:#2c3947;--paper:#17212c;--ground:#0f1720;--water:#4aa8ea}}\
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif}\
main{max-width:1000px;margin:0 auto;padding:2rem 1rem 4rem}h1{margin:0}p{color:var(--soft);margin:.2rem 0 1.5rem}\
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(200px,1fr));gap:.8rem;margin-bottom:1rem}\
.cards div,figure{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:1rem}\
.cards b{display:block;font-size:1.5rem}.cards span{color:var(--soft)}figure{margin:0 0 1rem;overflow-x:auto}\
figcaption{font-weight:600;margin-bottom:.6rem}svg{width:100%;height:auto}rect{fill:var(--water)}.grid{stroke:var(--line)}\
.axis{fill:var(--soft);font-size:11px}table{border-collapse:collapse;width:100%}td,th{padding:.3rem .6rem;text-align:left;border-bottom:1px solid var(--line);font-weight:400}\
thead th{color:var(--soft)}.number{text-align:right;font-variant-numeric:tabular-nums}.ranking th{width:11rem}.ranking td:nth-child(2){width:50%}thead .number{text-align:right}.ranking i{display:block;height:.8rem;border-radius:3px;background:var(--water)}\
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(380px,1fr));gap:0 1rem}";

fn table(title: &str, columns: &[&str], rows: &[Vec<String>]) -> String {
    let mut out = format!("<figure><figcaption>{}</figcaption><table><thead><tr>", escape(title));
    for (place, column) in columns.iter().enumerate() {
        let numeric = rows.first().and_then(|row| row.get(place)).is_some_and(|cell| cell.parse::<f64>().is_ok());
        let _ = write!(out, "<th{}>{}</th>", if numeric { " class='number'" } else { "" }, escape(column));
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows {
        out.push_str("<tr>");
        for cell in row {
            let class = if cell.parse::<f64>().is_ok() { " class='number'" } else { "" };
            let _ = write!(out, "<td{class}>{}</td>", escape(cell));
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></figure>");
    out
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
         <p>Every record read is stored, a duplicate, or a dead letter. All times are UTC.</p><div class='cards'>"
    );
    for (name, value) in &cards {
        let _ = write!(out, "<div><b>{value}</b><span>{name}</span></div>");
    }
    out.push_str("</div>");
    out.push_str(&bars("Clicks per day", &days(&summary.by_day, |sums| sums.clicks), grouped));
    out.push_str(&bars("Spend per day", &days(&summary.by_day, |sums| sums.spend_micros), money));
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
    let prefixed = |prefix: &str| -> Vec<(String, i64)> {
        let named =
            counters.iter().filter_map(|(name, count)| Some((name.strip_prefix(prefix)?.to_owned(), *count as i64)));
        named.collect()
    };
    let classes = ["counted:", "unattributed:", "ignored:"];
    let classes = classes
        .iter()
        .flat_map(|prefix| prefixed(prefix).into_iter().map(move |(name, count)| (format!("{prefix} {name}"), count)));
    let _ = write!(
        out,
        "<div class='two'>{}{}</div>",
        ranking("Records by class", classes.collect(), grouped),
        ranking("Dead letters by reason", prefixed("dead_letter:"), grouped)
    );
    out.push_str(&table("Hourly rows with the highest spend", &TOP_COLUMNS, &summary.top));
    let rows: Vec<Vec<String>> = steps
        .iter()
        .map(|step| {
            let counts = &step.counts;
            let numbers = [counts.read, counts.written, counts.duplicate, counts.dead_lettered, counts.ignored];
            let mut row = vec![step.step.clone()];
            row.extend(numbers.iter().map(ToString::to_string));
            row.push(format!("{:.2}", step.seconds));
            row
        })
        .collect();
    out.push_str(&table(
        "Steps",
        &["step", "read", "written", "duplicate", "dead letters", "ignored", "seconds"],
        &rows,
    ));
    out.push_str("</main></body></html>\n");
    out
}
