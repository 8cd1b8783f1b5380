//! The names of a store's keys. All of them have one hash tag, so that a cluster keeps them on one node and one script may change
//! them together; a prefix is part of the tag, so that stores of several prefixes spread over the nodes.

use headrace_core::Ident;

use crate::redis::layout::escaped;

/// The names of keys.
pub(super) struct Keys {
    start: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { start: format!("{prefix}{{headrace:{prefix}}}:") }
    }

    /// A hash of the tables' descriptions by name; the format is under the empty name.
    pub(super) fn tables(&self) -> String {
        format!("{}tables", self.start)
    }

    /// A hash of a table's rows by key, and the sorted set of these keys.
    pub(super) fn table(&self, name: &Ident) -> [String; 2] {
        [format!("{}rows:{name}", self.start), format!("{}order:{name}", self.start)]
    }

    /// A hash of all that is kept of a scope beside state: `sequence`, `totals`, `commit` (the token of the last one), `generation`, and
    /// by partition `e:` the epoch, `a:` and `d:` the position; `s:` for each space of state.
    pub(super) fn scope(&self, scope: &str) -> String {
        format!("{}scope:{}", self.start, escaped(scope))
    }

    /// A hash of the unit that has the scope's turn: `token`, and by partition `p:` the epoch it works under.
    pub(super) fn turn(&self, scope: &str) -> String {
        format!("{}turn:{}", self.start, escaped(scope))
    }

    /// A hash of those who wait for the turn: by token the times of coming and of asking last.
    pub(super) fn waiting(&self, scope: &str) -> String {
        format!("{}waiting:{}", self.start, escaped(scope))
    }

    /// A hash of the changes that a unit has staged, by number.
    pub(super) fn staged(&self, token: &str) -> String {
        format!("{}unit:{token}", self.start)
    }

    /// A hash of a space's segments by key and sequence, and one of the sequences by key.
    pub(super) fn state(&self, scope: &str, space: &str) -> [String; 2] {
        let (scope, space) = (escaped(scope), escaped(space));
        [format!("{}state:{scope}:{space}", self.start), format!("{}lists:{scope}:{space}", self.start)]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use headrace_core::Ident;

    use super::Keys;

    /// What chooses a key's node: the text between the first `{` and the first `}` behind it.
    fn tag(key: &str) -> &str {
        let (_, rest) = key.split_once('{').unwrap();
        rest.split_once('}').unwrap().0
    }

    #[test]
    fn all_keys_of_a_store_are_on_one_node_and_apart() {
        let names = ["", "a", "a:b", "{other}", "}:x{", "%3a", "b", "日本"];
        for prefix in ["", "app:", "other"] {
            let keys = Keys::new(prefix);
            let mut all = vec![keys.tables(), keys.staged("token")];
            all.extend(["t", "u"].iter().flat_map(|name| keys.table(&Ident::new(name).unwrap())));
            for scope in names {
                all.extend([keys.scope(scope), keys.turn(scope), keys.waiting(scope)]);
                all.extend(names.iter().flat_map(|space| keys.state(scope, space)));
            }
            for key in &all {
                assert_eq!(tag(key), format!("headrace:{prefix}"), "{key}");
                assert!(key.starts_with(prefix), "{key}");
            }
            let count = all.len();
            assert_eq!(all.into_iter().collect::<BTreeSet<String>>().len(), count);
        }
    }
}
