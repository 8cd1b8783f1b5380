//! The systems built on Headrace, one module each: schema, rules, steps and simulator.
//!
//! - [`steps`]: the one list of all steps;
//! - [`stores`]: opens what a store URL names;
//! - [`reading`]: reads tables and sources whole;
//! - [`random`]: numbers for simulations; [`parsing`]: values of options;
//! - [`dead_letters`]: refused rows, listed and put through their step again;
//! - [`id_index`]: which event ids a scope has seen; [`keyed_pages`]: state of very many small keys;
//! - [`recruitment`]: campaign performance from a tracking log;
//! - [`scoring`]: tariff offers from registrations;
//! - [`commerce`]: sales, views and conversions from shop events.

pub mod commerce;
pub mod dead_letters;
#[cfg(test)]
mod edits;
pub mod id_index;
pub mod keyed_pages;
pub(crate) mod parsing;
pub mod random;
pub mod reading;
pub mod recruitment;
pub mod scoring;
pub mod steps;
pub mod stores;
pub(crate) mod whole_file;
