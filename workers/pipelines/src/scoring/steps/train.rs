//! `scoring train`: the trainer of the Python package, started as a program of its own; nothing of it is in the way of scoring.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use headrace_core::report::Outcome;
use headrace_core::step::Parameters;
use headrace_core::{Control, Error, Report, Result, clock};
use serde_json::Value;
use tokio::task::JoinHandle;

/// The variable that names another Python.
const PYTHON: &str = "HEADRACE_PYTHON";
const MODULE: &str = "headrace.scoring_train";
/// How often the trainer is asked whether it has ended.
const LOOK: Duration = Duration::from_millis(50);
/// The trainer's exit codes.
const USAGE: i32 = 2;
const UNUSABLE: i32 = 3;

/// Trains the models.
#[derive(Clone, Debug, clap::Args)]
pub struct Train {
    /// The file to learn from.
    #[arg(long, value_name = "FILE")]
    pub training: Option<PathBuf>,
    /// The file for the metrics; nothing is learned from it.
    #[arg(long, value_name = "FILE")]
    pub holdout: Option<PathBuf>,
    /// Make both files in the output directory, by a rule of our own.
    #[arg(long, value_name = "ROWS")]
    pub simulate: Option<u64>,
    /// The directory of the models: tariff-linear.json, tariff-trees.onnx.
    #[arg(long, value_name = "DIRECTORY", default_value = "headrace-models")]
    pub out: PathBuf,
    /// The seed: the same files and seed give the same models.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Fail when the production model misses a bar: any target 1.03 times as bad as the linear model, or the cost.
    #[arg(long)]
    pub validate: bool,
    /// The bar of the cost: its greatest error in roubles.
    #[arg(long, value_name = "ROUBLES", default_value_t = 20.5)]
    pub worst_cost: f64,
    /// The Python that has `headrace[train]`; HEADRACE_PYTHON or python3 if not given.
    #[arg(long, value_name = "COMMAND")]
    pub python: Option<String>,
}

impl Train {
    fn command(&self) -> Command {
        let python = self.python.clone().or_else(|| clock::environment(PYTHON)).unwrap_or_else(|| "python3".to_owned());
        let mut command = Command::new(python);
        command.args(["-m", MODULE, "--seed", &self.seed.to_string()]).arg("--out").arg(&self.out);
        for (name, file) in [("--training", &self.training), ("--holdout", &self.holdout)] {
            if let Some(file) = file {
                command.arg(name).arg(file);
            }
        }
        if let Some(rows) = self.simulate {
            command.args(["--simulate", &rows.to_string()]);
        }
        if self.validate {
            command.args(["--validate", "--worst-cost", &self.worst_cost.to_string()]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

#[async_trait]
impl Parameters for Train {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "train";
    const ABOUT: &'static str = "Train the linear and the production model (needs Python with headrace[train])";

    async fn run(self, control: Control) -> Result<Report> {
        let mut command = self.command();
        let python = command.get_program().to_string_lossy().into_owned();
        let Some((status, told, complaints)) = run_program(&mut command, &python, &control).await? else {
            return Ok(Report { outcome: Outcome::Stopped, ..Report::default() });
        };
        if !status.success() {
            return Err(failure(&python, status.code(), &complaints));
        }
        let told: Value = serde_json::from_str(&told)
            .map_err(|error| Error::external("the trainer's report cannot be read", error))?;
        Ok(report(&told))
    }
}

/// Runs a program to its end, with what it wrote on standard output and standard error; none after a stop, which ends it.
async fn run_program(
    command: &mut Command,
    name: &str,
    control: &Control,
) -> Result<Option<(ExitStatus, String, String)>> {
    let mut child = command.spawn().map_err(|error| {
        Error::configuration(format!(
            "cannot start {name}: {error}; training needs Python with `pip install 'headrace[train]'`, named by --python or {PYTHON}"
        ))
    })?;
    let failed = |error: std::io::Error| Error::external(format!("cannot watch {name}"), error);
    let (told, complaints) = (reading(child.stdout.take()), reading(child.stderr.take()));
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        if control.is_stopping() {
            child.kill().and_then(|()| child.wait()).map_err(failed)?;
            return Ok(None);
        }
        tokio::time::sleep(LOOK).await;
    };
    let text = |read: std::result::Result<String, _>| {
        read.map_err(|error| Error::external(format!("cannot read what {name} told"), error))
    };
    Ok(Some((status, text(told.await)?, text(complaints.await)?)))
}

/// Reads to the end on a thread of its own, so that the program never waits for a full pipe.
fn reading(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error still tells something.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// What the trainer's exit code and its last line mean.
fn failure(python: &str, code: Option<i32>, told: &str) -> Error {
    let last = told.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it told nothing").trim();
    if told.contains("No module named") && !last.starts_with("headrace:") {
        return Error::configuration(format!(
            "{python} has no {MODULE}: pip install 'headrace[train]', or name another with --python"
        ));
    }
    let text = format!("training failed: {}", last.strip_prefix("headrace: ").unwrap_or(last));
    match code {
        Some(USAGE) => Error::configuration(text),
        Some(UNUSABLE) => Error::data(text),
        _ => Error::external(
            text,
            format!("{python} ended with {}", code.map_or("a signal".to_owned(), |code| code.to_string())),
        ),
    }
}

fn report(told: &Value) -> Report {
    let mut report = Report::default();
    for name in ["linear", "production", "validated"] {
        if let Some(value) = told.get(name) {
            report.fact(name, value.clone());
        }
    }
    for model in ["linear", "production"] {
        for (target, metrics) in told["metrics"][model].as_object().into_iter().flatten() {
            report.fact(format!("{model} {target} rmse"), metrics["rmse"].clone());
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use headrace_core::step::Parameters;
    use headrace_core::{Control, ErrorKind};
    use serde_json::json;

    use super::{Train, failure, report};

    fn train(python: &str) -> Train {
        let out = std::env::temp_dir().join("headrace-no-models");
        Train {
            training: None,
            holdout: None,
            simulate: None,
            out,
            seed: 1,
            validate: true,
            worst_cost: 20.5,
            python: Some(python.to_owned()),
        }
    }

    #[tokio::test]
    async fn a_python_that_is_not_there_is_told_with_what_to_install() {
        let error = train("headrace-no-such-python").run(Control::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(
            error.to_string().contains("headrace[train]") && error.to_string().contains("no-such-python"),
            "{error}"
        );
    }

    #[test]
    fn exit_codes_tell_the_kind_and_the_last_line_the_reason() {
        let missed = failure("python3", Some(3), "noise\nheadrace: the error of cost is 30\n");
        assert_eq!((missed.kind(), missed.to_string().contains("the error of cost is 30")), (ErrorKind::Data, true));
        assert_eq!(failure("python3", Some(2), "headrace: training needs onnx").kind(), ErrorKind::Configuration);
        assert_eq!(failure("python3", None, "").kind(), ErrorKind::External);
        let absent =
            failure("python3", Some(1), "/usr/bin/python3: Error while finding module: No module named 'headrace'");
        assert_eq!(absent.kind(), ErrorKind::Configuration);
        assert!(absent.to_string().contains("headrace[train]"), "{absent}");
    }

    #[test]
    fn the_report_has_the_models_and_their_errors() {
        let told = json!({"linear": "a.json", "production": "b.onnx", "metrics": {"linear": {"cost": {"rmse": 21.1}}, "production": {"cost": {"rmse": 19.2}}}});
        let facts = report(&told).facts;
        assert_eq!(
            (facts["production"].as_str(), facts["production cost rmse"].as_f64()),
            (Some("b.onnx"), Some(19.2))
        );
        assert_eq!(facts["linear cost rmse"], 21.1);
    }
}
