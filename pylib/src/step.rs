//! Steps as Python calls them: by name, with a JSON object of values, giving the report as JSON.

use headrace_core::step::Step;
use headrace_core::{Control, Error};
use headrace_pipelines::steps::steps;
use pyo3::prelude::*;
use serde_json::{Map, Value};

use crate::wait::Caller;
use crate::{error, logs};

/// Describes all steps: a JSON array.
#[pyfunction]
pub(crate) fn describe() -> String {
    Value::from(steps().iter().map(Step::describe).collect::<Vec<_>>()).to_string()
}

/// Runs a step to its end and gives its report as JSON.
#[pyfunction]
#[pyo3(signature = (system, name, values, *, token, log, log_level, progress))]
#[expect(clippy::too_many_arguments, reason = "they are Python keyword arguments")]
pub(crate) fn run_step<'py>(
    py: Python<'py>,
    system: &str,
    name: &str,
    values: &str,
    token: Option<Bound<'py, PyAny>>,
    log: Option<Bound<'py, PyAny>>,
    log_level: u8,
    progress: Option<Bound<'py, PyAny>>,
) -> PyResult<String> {
    let values: Map<String, Value> = serde_json::from_str(values)
        .map_err(|cause| error::raised(&Error::configuration(format!("the parameters of {system} {name}: {cause}"))))?;
    let step = steps()
        .into_iter()
        .find(|step| step.system == system && step.name == name)
        .ok_or_else(|| error::raised(&Error::configuration(format!("there is no step {system} {name}"))))?;
    logs::collect(log_level);
    let control = Control::default();
    let given = control.clone();
    let ended =
        Caller { token, log, progress }.wait(py, &control, async move { step.run_values(&values, given).await })?;
    let report = ended.map_err(|error| error::raised(&error))?;
    serde_json::to_string(&report).map_err(|cause| error::internal(&cause.to_string()))
}
