//! Parameters as words and as JSON, masked errors, descriptions.

use super::{Holds, Parameters, Step};
use crate::report::Outcome;
use crate::{Control, Report, Result};
use serde_json::{Map, json};
use std::time::Duration;

#[derive(clap::Args)]
struct Sample {
    /// The file.
    file: std::path::PathBuf,
    /// How many.
    #[arg(long, default_value_t = 7)]
    many: u64,
    /// Whether.
    #[arg(long)]
    again: bool,
    /// Where to.
    #[arg(long, value_name = "URL", default_value = "embedded:x")]
    to: String,
}

#[async_trait::async_trait]
impl Parameters for Sample {
    const SYSTEM: &'static str = "test";
    const NAME: &'static str = "group sample";
    const ABOUT: &'static str = "Samples.";

    async fn run(self, _: Control) -> Result<Report> {
        let mut report = Report::default();
        report.note(format!("{} {} {}", self.file.display(), self.many, self.again));
        Ok(report)
    }
}

fn run(values: serde_json::Value) -> Result<Report> {
    let values: Map<_, _> = values.as_object().unwrap().clone();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(Step::of::<Sample>().run_values(&values, Control::default()))
}

#[derive(clap::Args)]
struct Deaf {}

#[async_trait::async_trait]
impl Parameters for Deaf {
    const SYSTEM: &'static str = "test";
    const NAME: &'static str = "deaf";
    const ABOUT: &'static str = "Waits for a store that does not answer.";

    async fn run(self, _: Control) -> Result<Report> {
        std::future::pending().await
    }
}

#[test]
fn a_step_that_does_not_hear_a_stop_is_left_in_time() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let control = Control::default();
    control.stop();
    let step = Step::of::<Deaf>();
    let run = async { tokio::time::timeout(Duration::from_secs(4), step.run_values(&Map::new(), control)).await };
    assert_eq!(runtime.block_on(run).unwrap().unwrap().outcome, Outcome::Stopped);
}

#[test]
fn values_go_through_the_parser_of_the_command_line() {
    assert_eq!(run(json!({"file": "-x", "again": true})).unwrap().notes, ["-x 7 true"]);
    assert_eq!(run(json!({"file": "f", "many": 3, "again": null})).unwrap().notes, ["f 3 false"]);
    assert!(run(json!({"file": "f", "many": "x"})).unwrap_err().to_string().contains("invalid value"));
    assert!(run(json!({"file": "f", "mony": 1})).unwrap_err().to_string().contains("no parameter mony"));
    let missing = run(json!({})).unwrap_err().to_string();
    assert!(missing.contains("required") && missing.contains("<FILE>"), "{missing}");
    let refused = run(json!({"file": "f", "many": "mysql://u:can ary@h"})).unwrap_err().to_string();
    assert!(refused.contains("'mysql://u:***@h'"), "{refused}");
    let refused = run(json!({"file": "f", "to": "mysql:u:canary@h"})).unwrap_err().to_string();
    assert!(refused.contains("'mysql:***@h'") && refused.contains("needs //"), "{refused}");
}

#[test]
fn a_description_has_names_types_and_defaults() {
    let description = Step::of::<Sample>().describe();
    assert_eq!(description["parameters"][0]["type"], "path");
    assert_eq!(description["parameters"][1]["type"], "int");
    assert_eq!(description["parameters"][1]["default"], "7");
    assert_eq!(description["parameters"][2]["type"], "bool");
    assert_eq!(description["parameters"][3]["type"], "url");
    assert_eq!(description["datasets"], json!([]));
}

#[test]
fn a_description_has_the_data_sets_in_the_order_they_were_named() {
    let step = Step::of::<Sample>().reads_when("file", Holds::File, "many", &["7"]).writes("to", Holds::Table("t"));
    let read = json!({ "parameter": "file", "output": false, "kind": "file", "name": null, "when": {"many": ["7"]} });
    let written = json!({ "parameter": "to", "output": true, "kind": "table", "name": "t", "when": null });
    assert_eq!(step.describe()["datasets"], json!([read, written]));
}
