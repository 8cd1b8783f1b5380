//! Dead letters of all systems: which to take, how they are shown, and another try.
//!
//! - [`choice`]: which letters, with which corrections; [`listing`]: how they are shown and written to a file; [`steps`]: that as steps;
//! - [`retaking`], [`settling`]: letters through their step again, each at most once;
//! - [`message`]: letters as messages, [`message_letter`]: those that were messages themselves; [`limits`]: how long they may be.

pub mod choice;
pub(crate) mod limits;
pub(crate) mod listing;
pub mod message;
pub(crate) mod message_letter;
pub(crate) mod retaking;
pub mod settling;
pub(crate) mod steps;
