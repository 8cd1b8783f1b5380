//! The words of the command line: `headrace SYSTEM [GROUP] STEP`, and what every step has in common.

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};
use clap_complete::Shell;
use headrace_core::step::Step;

use crate::dashboard::Dashboard;
use crate::help;
use crate::serve::Serve;

/// What every step has in common.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Output")]
pub(crate) struct Options {
    /// Print the report as one JSON object, and nothing else on standard output.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print no progress and no report; errors still go to standard error.
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
    /// Print no progress.
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
    /// How much to log: off, error, warn, info, debug or trace; or a filter such as `info,scylla=debug`.
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info", env = "HEADRACE_LOG", hide_env_values = true,
          value_parser = NonEmptyStringValueParser::new())]
    pub(crate) log_level: String,
}

/// What the user chose.
pub(crate) enum Chosen {
    Step(Step, ArgMatches),
    Serve(Box<Serve>),
    Dashboard(Box<Dashboard>),
    Completions(Shell),
    Describe,
}

/// The whole command line.
pub(crate) fn root(steps: &[Step]) -> Command {
    let mut root = Options::augment_args(Command::new("headrace"))
        .version(env!("CARGO_PKG_VERSION"))
        .about(help::ABOUT)
        .long_about(help::LONG_ABOUT)
        .after_help(help::MORE)
        .after_long_help(help::after_help())
        .arg_required_else_help(true)
        .subcommand_required(true)
        .disable_help_subcommand(true)
        .max_term_width(100);
    let mut systems: Vec<&str> = Vec::new();
    for step in steps {
        if !systems.contains(&step.system) {
            systems.push(step.system);
        }
    }
    for system in systems {
        let own: Vec<&Step> = steps.iter().filter(|step| step.system == system).collect();
        root = root.subcommand(system_command(system, &own));
    }
    let shell = Arg::new("shell").required(true).value_parser(value_parser!(Shell)).help("The shell");
    let completions = Command::new("completions").about(help::COMPLETIONS).arg(shell);
    let describe = Command::new("describe").about("Describes all steps as a JSON array, for generators").hide(true);
    let serve =
        Serve::augment_args(Command::new("serve")).about(help::SERVE).long_about(None).after_help(help::AFTER_STEP);
    let dashboard = Dashboard::augment_args(Command::new("dashboard"))
        .about(help::DASHBOARD)
        .long_about(None)
        .after_help(help::AFTER_STEP);
    root.subcommands([serve, dashboard, completions, describe])
}

fn system_command(system: &'static str, steps: &[&Step]) -> Command {
    let words: Vec<&str> = steps.iter().filter(|step| step.group().is_none()).map(|step| step.word()).collect();
    let about = format!("The steps of {system}: {}", words.join(", "));
    let mut command = group_command(system, about);
    let mut groups: Vec<&str> = Vec::new();
    for step in steps {
        match step.group() {
            None => command = command.subcommand(step_command(step)),
            Some(group) if groups.contains(&group) => {}
            Some(group) => {
                groups.push(group);
                let own: Vec<&&Step> = steps.iter().filter(|step| step.group() == Some(group)).collect();
                let words: Vec<&str> = own.iter().map(|step| step.word()).collect();
                let mut inner = group_command(group, format!("Steps on {group}: {}", words.join(", ")));
                for step in own {
                    inner = inner.subcommand(step_command(step));
                }
                command = command.subcommand(inner);
            }
        }
    }
    command
}

fn group_command(name: &'static str, about: String) -> Command {
    Command::new(name).about(about).arg_required_else_help(true).subcommand_required(true).disable_help_subcommand(true)
}

fn step_command(step: &Step) -> Command {
    let command = step.command().after_help(help::AFTER_STEP);
    // A value may begin with a hyphen where a number is meant; everything else that does is an option.
    command.mut_args(|argument| match argument.get_action() {
        ArgAction::Set | ArgAction::Append => argument.allow_negative_numbers(true),
        _ => argument,
    })
}

/// What the user chose, none when no step was named.
pub(crate) fn chosen(steps: &[Step], matches: &ArgMatches) -> Option<Chosen> {
    let (system, inner) = matches.subcommand()?;
    match system {
        // The parser has seen to it that the words fit.
        "serve" => return Serve::from_arg_matches(inner).ok().map(|words| Chosen::Serve(Box::new(words))),
        "dashboard" => return Dashboard::from_arg_matches(inner).ok().map(|words| Chosen::Dashboard(Box::new(words))),
        "describe" => return Some(Chosen::Describe),
        "completions" => return inner.get_one::<Shell>("shell").copied().map(Chosen::Completions),
        _ => {}
    }
    let (mut name, mut words) = inner.subcommand()?;
    let joined;
    if let Some((word, deeper)) = words.subcommand() {
        joined = format!("{name} {word}");
        (name, words) = (&joined, deeper);
    }
    let step = steps.iter().find(|step| step.system == system && step.name == name)?;
    Some(Chosen::Step(step.clone(), words.clone()))
}

/// The common options, wherever on the line they were.
pub(crate) fn options(matches: &ArgMatches) -> Options {
    let mut deepest = matches;
    while let Some((_, inner)) = deepest.subcommand() {
        deepest = inner;
    }
    // All of them have defaults, so that this cannot fail.
    Options::from_arg_matches(deepest).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Chosen, chosen, options, root};
    use headrace_core::step::{Parameters, Step};
    use headrace_core::{Control, Report, Result};

    #[derive(clap::Args)]
    struct Sample {
        /// The file.
        file: std::path::PathBuf,
        /// How warm.
        #[arg(long)]
        celsius: Option<i64>,
    }

    #[async_trait::async_trait]
    impl Parameters for Sample {
        const SYSTEM: &'static str = "laboratory";
        const NAME: &'static str = "cold list";
        const ABOUT: &'static str = "Lists.";

        async fn run(self, _: Control) -> Result<Report> {
            let mut report = Report::default();
            report.note(format!("{} {:?}", self.file.display(), self.celsius));
            Ok(report)
        }
    }

    #[test]
    fn the_command_line_of_all_steps_is_sound() {
        root(&headrace_pipelines::steps::steps()).debug_assert();
        root(&[Step::of::<Sample>()]).debug_assert();
    }

    #[test]
    fn a_step_in_a_group_is_found_with_options_anywhere() {
        let steps = [Step::of::<Sample>()];
        let line = ["headrace", "--quiet", "laboratory", "cold", "list", "x", "--celsius", "-3", "--json"];
        let matches = root(&steps).try_get_matches_from(line).unwrap();
        let options = options(&matches);
        assert!(options.quiet && options.json && !options.no_progress);
        let Some(Chosen::Step(step, words)) = chosen(&steps, &matches) else { panic!("no step") };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let report = runtime.block_on(step.run(&words, Control::default())).unwrap();
        assert_eq!(report.notes, ["x Some(-3)"]);
    }
}
