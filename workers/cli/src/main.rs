//! The `headrace` command: every step of every system, one word after the other.
//!
//! The command line is built at run time from the list of steps; nothing about a step is written here.
//! The publisher and the dashboard, which are no steps because they have no end, are started by [`serve`] and [`dashboard`].
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done with dead letters.

mod command;
mod dashboard;
mod execute;
mod exit;
mod help;
mod logs;
mod memory;
mod output;
mod progress;
mod report;
mod serve;
mod table;

use std::process::ExitCode;

use headrace_pipelines::steps::steps;

use crate::command::Chosen;

fn main() -> ExitCode {
    memory::settle();
    exit::on_panic();
    let steps = steps();
    let mut root = command::root(&steps);
    let matches = match root.try_get_matches_from_mut(std::env::args_os()) {
        Ok(matches) => matches,
        Err(error) => return exit::usage(error),
    };
    match command::chosen(&steps, &matches) {
        Some(Chosen::Step(step, words)) => execute::execute(&step, words, &command::options(&matches)),
        Some(Chosen::Serve(words)) => serve::serve(&words, &command::options(&matches)),
        Some(Chosen::Dashboard(words)) => dashboard::dashboard(&words),
        Some(Chosen::Completions(shell)) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut root, "headrace", &mut script);
            output::write(&script);
            ExitCode::SUCCESS
        }
        Some(Chosen::Describe) => {
            let descriptions: Vec<_> = steps.iter().map(headrace_core::step::Step::describe).collect();
            output::write_json(&descriptions);
            ExitCode::SUCCESS
        }
        None => exit::usage(root.error(clap::error::ErrorKind::MissingSubcommand, "no step was given")),
    }
}
