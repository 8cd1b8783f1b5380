//! Tariff offers from registrations on a topic: read, scored by a model, written to history, offers and cache.
//!
//! - [`registration`], [`json`], `plain`: what a registration is, and why a message is none;
//! - [`model`], [`linear`], [`onnx`], [`offer`]: what a model makes of it;
//! - [`scored`]: both for a batch, as a pure function; [`shadow`]: a second model beside it;
//! - [`classify`], [`seen_values`], [`offer_versions`]: what is new, what is repeated and what comes late;
//! - [`early_cache`], [`gathered`]: offers in the cache while commits are under way;
//! - [`score_sink`], [`targets`], [`schema`], [`frames`], [`cache_value`]: what is written where;
//! - [`dead_letter_replay`]: refused messages once more;
//! - [`distribution`], [`profile`], [`drift`]: whether registrations are still those that a model was trained on;
//! - [`agreement`], [`pages`]: whether all of that agrees;
//! - [`simulate`]: registrations of our own; [`steps`]: the steps.

pub mod agreement;
pub mod cache_value;
pub mod classify;
pub mod dead_letter_replay;
pub mod distribution;
pub mod drift;
pub mod early_cache;
pub mod frames;
pub mod gathered;
pub mod json;
pub mod linear;
pub mod model;
pub mod offer;
pub mod offer_versions;
pub mod onnx;
pub mod pages;
mod plain;
pub mod profile;
pub mod registration;
pub mod schema;
pub mod score_sink;
pub mod scored;
pub mod seen_values;
pub mod shadow;
pub mod simulate;
pub mod steps;
pub mod targets;
