//! The scripts of the ledger; each says in its first lines what it takes and answers. Every key they touch has the store's tag.

use redis::Script;

const BEGIN: &str = include_str!("scripts/begin.lua");
const CLAIM: &str = include_str!("scripts/claim.lua");
const COMMIT: &str = include_str!("scripts/commit.lua");
const FORGET: &str = include_str!("scripts/forget.lua");
const RELEASE: &str = include_str!("scripts/release.lua");
const RENEW: &str = include_str!("scripts/renew.lua");

/// The scripts, by their digest.
pub(in crate::redis) struct StoreScripts {
    pub(super) begin: Script,
    pub(super) claim: Script,
    pub(super) commit: Script,
    pub(super) forget: Script,
    pub(super) release: Script,
    pub(super) renew: Script,
}

impl StoreScripts {
    /// Their texts.
    pub(in crate::redis) const TEXTS: [&'static str; 6] = [BEGIN, CLAIM, COMMIT, FORGET, RELEASE, RENEW];

    pub(in crate::redis) fn new() -> Self {
        Self {
            begin: Script::new(BEGIN),
            claim: Script::new(CLAIM),
            commit: Script::new(COMMIT),
            forget: Script::new(FORGET),
            release: Script::new(RELEASE),
            renew: Script::new(RENEW),
        }
    }
}
