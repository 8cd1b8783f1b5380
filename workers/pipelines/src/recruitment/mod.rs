//! Recruitment campaign performance: from the browser tracking log of a job-advertising site to an
//! hourly table of clicks, spend and applications by job, publisher, campaign and group.
//!
//! The rules, all of them pure:
//! - [`columns`], [`record`]: the CSV log and what makes a record valid;
//! - [`message`]: the topic's messages, written and read;
//! - [`event`], [`classes`]: an event as far as the results need it, and the class it falls in;
//! - [`hourly`], [`export`]: the results and their CSV form;
//! - [`one_pass`]: the whole transform on one frame, for callers from Python;
//! - [`reason`]: why a record or message is refused.
//!
//! What moves the rows:
//! - [`schema`]: tables, topics and scopes by name;
//! - [`load_sink`], [`publish_sink`], [`clean_sink`], [`job_sink`]: what each step commits; [`seen_ids`], [`companies`], [`hour_progress`]: its state;
//! - [`sighting`], [`repeats`], [`precedence`]: which record of an id is the first in its file, and what becomes of the others;
//! - [`hours_source`]: raw rows not yet published, in time order;
//! - [`job_records`], [`dead_letter_replay`], [`verify`], [`quality`], [`html`]: the rest;
//! - [`steps`]: the steps, one file each.

pub mod classes;
pub mod clean_sink;
pub mod columns;
pub mod companies;
pub mod dead_letter_replay;
pub mod event;
pub mod export;
pub mod hour_progress;
pub mod hourly;
pub mod hours_source;
pub mod html;
pub mod job_records;
pub mod job_sink;
pub mod load_sink;
pub mod message;
pub mod one_pass;
pub mod precedence;
pub mod publish_sink;
pub mod quality;
pub mod reason;
pub mod record;
pub mod repeats;
pub mod schema;
pub mod seen_ids;
pub mod sighting;
pub mod simulate;
pub mod steps;
pub mod verify;
