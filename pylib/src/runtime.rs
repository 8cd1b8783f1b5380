//! The runtime that steps run on: made by the first call, once in each process.

use headrace_core::per_process::PerProcess;
use polars_async::executor::ALLOW_RAYON_THREADS;
use pyo3::PyResult;
use tokio::runtime::{Builder, Runtime};

use crate::error;

static RUNTIME: PerProcess<Result<Runtime, String>> = PerProcess::new();

/// This process's runtime.
pub(crate) fn runtime() -> PyResult<&'static Runtime> {
    RUNTIME.get(make).as_ref().map_err(|text| error::internal(&format!("cannot start the runtime: {text}")))
}

fn make(generation: usize) -> Result<Runtime, String> {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all().thread_name("headrace");
    if generation > 0 {
        // Polars' pool was started by the parent and has no threads here; its jobs then run where they are made.
        builder.on_thread_start(|| ALLOW_RAYON_THREADS.set(false));
    }
    builder.build().map_err(|error| error.to_string())
}
