//! Steps: declared once as a parameter struct and a function, seen from the command line, Python and Airflow.
//!
//! The parameter struct derives `clap::Args`; names, help, defaults and checks come from it and from nowhere else. Callers that
//! have values instead of words (Python, Airflow) pass a JSON object, which goes through the same parser.

use std::any::TypeId;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, ArgMatches, Args, Command};
use serde_json::{Map, Value, json};

use crate::report::Outcome;
use crate::secret::mask_word;
use crate::{Control, Error, Report, Result, StoreUrl};

/// How long a step may take to hear a stop; the run loop takes less.
const STOP_PATIENCE: Duration = Duration::from_millis(3_200);

/// The parameters of a step, and the step itself.
#[async_trait]
pub trait Parameters: Args + Send + Sized + 'static {
    /// The system the step belongs to, such as `recruitment`.
    const SYSTEM: &'static str;
    /// The step's name; a space makes a group, as in `dead-letters list`.
    const NAME: &'static str;
    /// One sentence.
    const ABOUT: &'static str;

    /// Does the work.
    ///
    /// # Errors
    /// See the step.
    async fn run(self, control: Control) -> Result<Report>;
}

/// What a parameter names, as data catalogues list it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A file or directory.
    File,
    /// A table of a store; the name where the URL gives none.
    Table(&'static str),
    /// A topic of a log; the name where the URL gives none.
    Topic(&'static str),
}

/// A data set that a step reads or writes.
#[derive(Clone, Debug)]
struct Dataset {
    parameter: &'static str,
    is_output: bool,
    holds: Holds,
    /// Only with one of these values of another parameter.
    when: Option<(&'static str, &'static [&'static str])>,
}

impl Dataset {
    fn describe(&self) -> Value {
        let (kind, name) = match self.holds {
            Holds::File => ("file", Value::Null),
            Holds::Table(name) => ("table", name.into()),
            Holds::Topic(name) => ("topic", name.into()),
        };
        let when = self.when.map(|(parameter, values)| json!({ parameter: values }));
        json!({ "parameter": self.parameter, "output": self.is_output, "kind": kind, "name": name, "when": when })
    }
}

type Running = Pin<Box<dyn Future<Output = Result<Report>> + Send>>;

/// A step, without its parameter type.
#[derive(Clone)]
pub struct Step {
    /// The system it belongs to.
    pub system: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub about: &'static str,
    augment: fn(Command) -> Command,
    start: fn(&ArgMatches, Control) -> Result<Running>,
    datasets: Vec<Dataset>,
}

impl Step {
    /// Makes a step of its parameter type.
    pub fn of<P: Parameters>() -> Self {
        Self {
            system: P::SYSTEM,
            name: P::NAME,
            about: P::ABOUT,
            augment: P::augment_args,
            start: |matches, control| {
                let parameters =
                    P::from_arg_matches(matches).map_err(|error| Error::configuration(error.to_string()))?;
                Ok(Box::pin(parameters.run(control)))
            },
            datasets: Vec::new(),
        }
    }

    /// Says that a parameter names something the step reads.
    #[must_use]
    pub fn reads(self, parameter: &'static str, holds: Holds) -> Self {
        self.with(Dataset { parameter, is_output: false, holds, when: None })
    }

    /// Says that a parameter names something the step reads when another parameter has one of some values.
    #[must_use]
    pub fn reads_when(
        self,
        parameter: &'static str,
        holds: Holds,
        other: &'static str,
        values: &'static [&'static str],
    ) -> Self {
        self.with(Dataset { parameter, is_output: false, holds, when: Some((other, values)) })
    }

    /// Says that a parameter names something the step writes.
    #[must_use]
    pub fn writes(self, parameter: &'static str, holds: Holds) -> Self {
        self.with(Dataset { parameter, is_output: true, holds, when: None })
    }

    fn with(mut self, dataset: Dataset) -> Self {
        self.datasets.push(dataset);
        self
    }

    /// The last word of the name, as the command line shows it.
    pub fn word(&self) -> &'static str {
        self.name.rsplit(' ').next().unwrap_or(self.name)
    }

    /// The group before the last word, if any.
    pub fn group(&self) -> Option<&'static str> {
        self.name.rsplit_once(' ').map(|(group, _)| group)
    }

    /// The command of the step.
    pub fn command(&self) -> Command {
        // The parameter struct's own comment is for readers of the code.
        let command = (self.augment)(Command::new(self.word())).about(self.about).long_about(None);
        // A wrong URL is wrong usage, told before anything starts; the step gets the text.
        command.mut_args(|argument| if holds(&argument, "URL") { argument.value_parser(checked_url) } else { argument })
    }

    /// Runs the step with parsed words.
    ///
    /// # Errors
    /// Those of the step, and a configuration error for parameters that do not fit.
    pub async fn run(&self, matches: &ArgMatches, control: Control) -> Result<Report> {
        let started = Instant::now();
        let running = (self.start)(matches, control.clone())?;
        let unheard = async {
            control.stopping().await;
            tokio::time::sleep(STOP_PATIENCE).await;
        };
        let mut report = tokio::select! {
            biased;
            report = running => report?,
            // It waits for a store that does not answer. What it has not committed is not there, as after a kill.
            () = unheard => Report { outcome: Outcome::Stopped, ..Report::default() },
        };
        report.step = format!("{} {}", self.system, self.name);
        report.seconds = started.elapsed().as_secs_f64();
        report.rows_per_second = if report.seconds > 0.0 { report.counts.read as f64 / report.seconds } else { 0.0 };
        Ok(report)
    }

    /// Runs the step with values by parameter name (underscores for hyphens); nulls mean "the default".
    ///
    /// # Errors
    /// Those of the step, and a configuration error for unknown or unfitting parameters.
    pub async fn run_values(&self, values: &Map<String, Value>, control: Control) -> Result<Report> {
        let words = self.words(values)?;
        let matches = self
            .command()
            .no_binary_name(true)
            .try_get_matches_from(words)
            .map_err(|error| Error::configuration(first_paragraph(&mask_command_error(error).to_string())))?;
        self.run(&matches, control).await
    }

    fn words(&self, values: &Map<String, Value>) -> Result<Vec<String>> {
        let command = self.command();
        let known: Vec<&Arg> = command.get_arguments().collect();
        for name in values.keys() {
            if !known.iter().any(|argument| argument.get_id().as_str() == name) {
                return Err(Error::configuration(format!("{} {} has no parameter {name}", self.system, self.name)));
            }
        }
        let (mut options, mut positional) = (Vec::new(), vec!["--".to_owned()]);
        for argument in known {
            let Some(value) = values.get(argument.get_id().as_str()).filter(|value| !value.is_null()) else { continue };
            match (argument.get_long(), argument.get_action()) {
                (None, _) => positional.extend(texts(value)),
                (Some(long), ArgAction::SetTrue) => {
                    if value.as_bool() == Some(true) {
                        options.push(format!("--{long}"));
                    }
                }
                (Some(long), _) => options.extend(texts(value).into_iter().map(|text| format!("--{long}={text}"))),
            }
        }
        options.extend(positional);
        Ok(options)
    }

    /// Describes the step for generators of other faces: names, help, types, defaults, data sets.
    pub fn describe(&self) -> Value {
        let command = self.command();
        let parameters: Vec<Value> =
            command.get_arguments().filter(|argument| !argument.is_hide_set()).map(describe_argument).collect();
        let datasets: Vec<Value> = self.datasets.iter().map(Dataset::describe).collect();
        json!({
            "system": self.system,
            "name": self.name,
            "about": self.about,
            "parameters": parameters,
            "datasets": datasets,
        })
    }
}

fn describe_argument(argument: &Arg) -> Value {
    let is_flag = matches!(argument.get_action(), ArgAction::SetTrue);
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let choices: Vec<String> = if is_flag {
        Vec::new()
    } else {
        argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
    };
    let default = argument.get_default_values().first().map(|value| value.to_string_lossy().into_owned());
    json!({
        "name": argument.get_id().as_str(),
        "positional": argument.is_positional(),
        "required": argument.is_required_set(),
        "many": matches!(argument.get_action(), ArgAction::Append),
        "type": if is_flag { "bool" } else { type_name(argument) },
        "default": if is_flag { Value::Bool(false) } else { default.map_or(Value::Null, Value::String) },
        "choices": choices,
        "help": help,
    })
}

/// Whether the value of a parameter is called so; store URLs are called `URL`, dates `DATE`.
fn holds(argument: &Arg, what: &str) -> bool {
    argument.get_value_names().is_some_and(|names| names.iter().any(|name| name.as_str() == what))
}

fn checked_url(text: &str) -> Result<String> {
    StoreUrl::parse(text).map(|_| text.to_owned())
}

fn type_name(argument: &Arg) -> &'static str {
    let is = |id: TypeId| argument.get_value_parser().type_id() == id;
    if holds(argument, "URL") {
        "url"
    } else if holds(argument, "DATE") {
        "date"
    } else if is(TypeId::of::<PathBuf>()) {
        "path"
    } else if is(TypeId::of::<Duration>()) {
        "duration"
    } else if [
        TypeId::of::<u64>(),
        TypeId::of::<u32>(),
        TypeId::of::<i64>(),
        TypeId::of::<usize>(),
        TypeId::of::<i32>(),
    ]
    .into_iter()
    .any(is)
    {
        "int"
    } else if is(TypeId::of::<f64>()) {
        "float"
    } else {
        "str"
    }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}

/// Hides logins in the values that an error of the argument parser would show.
pub fn mask_command_error(mut error: clap::Error) -> clap::Error {
    let texts: Vec<(ContextKind, String)> = error
        .context()
        .filter_map(|(kind, value)| match value {
            ContextValue::String(text) => Some((kind, text.clone())),
            _ => None,
        })
        .collect();
    for (kind, text) in texts {
        error.insert(kind, ContextValue::String(mask_word(&text)));
    }
    error
}

fn first_paragraph(text: &str) -> String {
    let lines: Vec<&str> = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect();
    lines.join(" ").trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests;
