//! The private Python module `headrace._native`: steps and transforms, without any decision of its own.
//!
//! Importing it starts no thread and no runtime. Everything runs on a runtime that the first call makes, once in
//! each process (see [`runtime`]); the calling thread waits with the interpreter released, lets signals in ten
//! times a second and hands log lines to Python itself (see [`wait`]), so that no worker thread ever calls Python.

mod arrow;
mod error;
mod logs;
mod runtime;
mod step;
mod tables;
mod transforms;
mod wait;

use pyo3::prelude::*;

/// The private half of the package `headrace`.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("version", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<arrow::ArrowTable>()?;
    module.add_function(wrap_pyfunction!(step::describe, module)?)?;
    module.add_function(wrap_pyfunction!(step::run_step, module)?)?;
    module.add_function(wrap_pyfunction!(tables::commerce_table, module)?)?;
    module.add_function(wrap_pyfunction!(tables::commerce_counters, module)?)?;
    module.add_function(wrap_pyfunction!(arrow::recruitment_hourly, module)?)?;
    module.add_function(wrap_pyfunction!(arrow::recruitment_hourly_part, module)?)?;
    module.add_function(wrap_pyfunction!(arrow::recruitment_hourly_whole, module)?)?;
    module.add_function(wrap_pyfunction!(transforms::tumbling_window, module)?)?;
    module.add_function(wrap_pyfunction!(transforms::sliding_window, module)?)?;
    module.add_function(wrap_pyfunction!(transforms::session_window, module)?)?;
    module.add_function(wrap_pyfunction!(transforms::interval_join, module)?)?;
    module.add_function(wrap_pyfunction!(transforms::attribute, module)?)?;
    module.add_function(wrap_pyfunction!(transforms::deduplicate, module)?)
}
