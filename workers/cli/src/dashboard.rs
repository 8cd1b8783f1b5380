//! `headrace dashboard`: becomes the Python program that serves the page, if the package is there.
//!
//! The store's URL goes by the environment, since it may hold a password and a program's words can be read by others.

use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use clap::{Args, ValueEnum, ValueHint};
use headrace_core::{Error, StoreUrl, clock};

use crate::exit;

/// The variable that names another Python.
const PYTHON: &str = "HEADRACE_PYTHON";
/// The variable that the page reads.
const STORE: &str = "HEADRACE_DASHBOARD_STORE";
/// The variables of the archive and of whether dead letters may be replayed.
const ARCHIVE: &str = "HEADRACE_DASHBOARD_ARCHIVE";
const REPLAY: &str = "HEADRACE_DASHBOARD_REPLAY";
const MODULE: &str = "headrace.dashboard";
/// Looks for what the page needs without loading it.
const PROBE: &str = "import importlib.util as i, sys\n\
    sys.exit(any(i.find_spec(n) is None for n in ('headrace', 'streamlit', 'polars')))";

/// Whose tables are shown.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum System {
    /// Sales, views, funnel, carts and data quality of a shop.
    Commerce,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Answer {
    /// Whoever reaches the page may.
    Yes,
    /// The page only reads.
    No,
}

/// What the page reads and where it listens.
#[derive(Args, Clone, Debug)]
pub(crate) struct Dashboard {
    /// The system.
    system: System,
    /// The tables: mysql://USER@HOST/DATABASE or embedded:DIRECTORY.
    #[arg(long, value_name = "URL", default_value = headrace_pipelines::stores::DEFAULT_STORE)]
    store: String,
    /// Where raw events are kept, as in `commerce stream`; a replay needs it. The folder `ecommerce` of an embedded store if not given.
    #[arg(long, value_name = "LAKE")]
    archive: Option<String>,
    /// Whether dead letters may be replayed from the page; on loopback if not given.
    #[arg(long)]
    replay: Option<Answer>,
    /// The port.
    #[arg(long, default_value_t = 8501)]
    port: u16,
    /// The address. The page has no login: on anything but loopback, whoever reaches it sees it.
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// Open the page in this machine's browser.
    #[arg(long)]
    open: bool,
    /// The Python that has `headrace[dashboard]`; HEADRACE_PYTHON or python3 if not given.
    #[arg(long, value_name = "COMMAND", value_hint = ValueHint::CommandName)]
    python: Option<String>,
}

/// Becomes the page's program; comes back only when it cannot.
pub(crate) fn dashboard(words: &Dashboard) -> ExitCode {
    // A wrong URL is told here, before anything starts.
    for url in [Some(&words.store), words.archive.as_ref().filter(|archive| *archive != "none")].into_iter().flatten() {
        if let Err(error) = StoreUrl::parse(url) {
            return exit::failure(&error);
        }
    }
    let python = words.python.clone().or_else(|| clock::environment(PYTHON)).unwrap_or_else(|| "python3".to_owned());
    let probe = Command::new(&python)
        .args(["-c", PROBE])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match probe {
        Ok(status) if status.success() => {
            exit::failure(&Error::external(format!("cannot start {python}"), serve(words, &python)))
        }
        Ok(_) => exit::failure(&missing(&format!("{python} has no package for the dashboard"))),
        Err(error) => exit::failure(&missing(&format!("cannot start {python}: {error}"))),
    }
}

fn serve(words: &Dashboard, python: &str) -> std::io::Error {
    let System::Commerce = words.system;
    let mut command = Command::new(python);
    command.args([
        "-m",
        MODULE,
        "commerce",
        "--port",
        &words.port.to_string(),
        "--address",
        &words.address.to_string(),
    ]);
    if words.open {
        command.arg("--open");
    }
    if let Some(archive) = &words.archive {
        command.env(ARCHIVE, archive);
    }
    if let Some(answer) = words.replay {
        command.env(REPLAY, if answer == Answer::Yes { "yes" } else { "no" });
    }
    command.env(STORE, &words.store).exec()
}

fn missing(what: &str) -> Error {
    Error::configuration(format!(
        "{what}: pip install 'headrace[dashboard]', or name another Python with --python or {PYTHON}"
    ))
}
