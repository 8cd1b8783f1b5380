//! The one list of steps. Command line, Python and Airflow see steps only through it.

use headrace_core::step::Step;

/// All steps, in the order people use them.
pub fn steps() -> Vec<Step> {
    crate::recruitment::steps::steps()
}
