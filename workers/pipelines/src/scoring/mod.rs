//! Tariff offers from registrations: what a registration is, and what a model makes of it.

pub mod json;
pub mod linear;
pub mod offer;
pub mod registration;
