//! `headrace serve`: the publisher, from the words to its graceful stop.
//!
//! The first SIGINT or SIGTERM lets open requests end and takes no new ones; a second one ends the program at once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, value_parser};
use headrace_core::{Error, Result};
use headrace_publisher::scoring::Scoring;
use headrace_publisher::server::{Server, Systems};
use headrace_publisher::settings::{Settings, token};
use tokio::runtime::Builder;
use tokio::signal::unix::SignalKind;

use crate::command::Options;
use crate::execute::{LEFT_BEHIND, check_descriptors, listen, next};
use crate::{exit, logs, output};

/// What the publisher reads and where it listens.
#[derive(Args, Clone, Debug)]
pub(crate) struct Serve {
    /// The offers: clickhouse://USER@HOST/DATABASE, mysql://USER@HOST/DATABASE or embedded:DIRECTORY.
    #[arg(long, value_name = "URL", default_value = headrace_pipelines::stores::DEFAULT_STORE)]
    offers: String,
    /// The cache that offers are looked up in: redis://HOST or a store with tables; the ledger's store if not given.
    #[arg(long, value_name = "URL")]
    cache: Option<String>,
    /// The ledger of `scoring score`, for the live page; as there, by default where the offers are or the embedded store.
    #[arg(long, value_name = "URL")]
    ledger: Option<String>,
    /// The model of the what-if form and of explanations; taken up when it changes. The built-in one if not given.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// The address; anything but loopback needs a token.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8088", value_parser = value_parser!(SocketAddr))]
    listen: SocketAddr,
    /// A file whose first line is the token that clients send as `Authorization: Bearer …`; or HEADRACE_SERVE_TOKEN.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Serves until a signal comes.
pub(crate) fn serve(words: &Serve, options: &Options) -> ExitCode {
    if let Err(text) = logs::start(options, None) {
        output::complain(&format!("headrace: {text}"));
        return ExitCode::from(2);
    }
    if let Err(error) = check_descriptors() {
        return exit::failure(&error);
    }
    let runtime = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::failure(&Error::external("cannot start the runtime", error)),
    };
    let ended = runtime.block_on(run(words));
    runtime.shutdown_timeout(LEFT_BEHIND);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::failure(&error),
    }
}

async fn run(words: &Serve) -> Result<()> {
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt()), listen(SignalKind::terminate()));
    let settings = Settings { token: token(words.token_file.as_deref())?, ..Settings::at(words.listen) };
    // Before stores are opened: a server that may not listen asks nobody.
    let server = Server::bind(settings).await?;
    let scoring =
        Scoring::open(&words.offers, words.cache.as_deref(), words.ledger.as_deref(), words.model.as_deref()).await?;
    tracing::info!("listening on http://{}; Ctrl-C stops", server.address()?);
    let stop = async move {
        tokio::select! {
            () = next(&mut interrupt) => {}
            () = next(&mut terminate) => {}
        }
        tracing::info!("stopping when the open requests have ended; a second signal ends at once");
        tokio::spawn(async move {
            let number = tokio::select! {
                () = next(&mut interrupt) => 2,
                () = next(&mut terminate) => 15,
            };
            std::process::exit(128 + number);
        });
    };
    server.run(Systems::new(scoring), stop).await
}
