//! A unit of work: what it changes is gathered, staged when it is large, and carried out by one script that commits.
//!
//! A unit reads state as it was when the unit began, without what it writes itself. After an error it is over.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use headrace_core::position::{Claim, Reached};
use headrace_core::store::{Segment, Unit};
use headrace_core::table::{Column, Table, Value};
use headrace_core::{Counts, Error, Ident, Result, clock};
use polars::prelude::DataFrame;

use super::changes::{Changes, cut};
use super::turn::{self, Begun, Turn};
use super::{Place, pack, page, state, tables};
use crate::redis::layout::field;
use crate::redis::read::{at, fitting};
use crate::redis::scripts::call;
use crate::redis::write;

/// One unit of work under claims.
pub(super) struct RedisUnit {
    place: Arc<Place>,
    turn: Turn,
    scope: String,
    claims: Vec<Claim>,
    begun: Begun,
    /// What the commit takes off the counters.
    less: Counts,
    changes: Changes,
    staged: usize,
    /// The pairs of keys it changes, in the order in which the changes count them.
    pairs: Vec<Pair>,
    /// Set while something is sent, and left so when that fails or is given up.
    is_broken: bool,
}

struct Pair {
    keys: [String; 2],
    /// The space of state, or none for a table.
    space: Option<String>,
    /// The table, by its name.
    table: Option<Table>,
    /// The columns that [`Unit::update`] must not ask for, because this unit has changed them; all of them, if none.
    changed: Option<BTreeSet<String>>,
}

impl RedisUnit {
    /// Begins a unit, once it has the scope's turn.
    ///
    /// # Errors
    /// [`Error::Fenced`] when a claim is no longer the newest; an external one when the server has lost what it had answered.
    pub(super) async fn begin(place: &Arc<Place>, scope: &str, claims: &[Claim]) -> Result<Self> {
        let (turn, begun) = turn::take(place, scope, claims).await?;
        if let Some(lost) = place.memories().entry(scope.to_owned()).or_default().compare(claims, &begun) {
            let context = format!("cannot begin a unit of `{scope}`");
            let server = place.link.options.name();
            return Err(Error::external(
                context,
                format!(
                    "{server} has lost what it had committed ({lost}): start the step again, which goes on from the committed \
                     positions; set appendfsync always to lose nothing"
                ),
            ));
        }
        Ok(Self {
            place: place.clone(),
            turn,
            scope: scope.to_owned(),
            claims: claims.to_vec(),
            begun,
            less: Counts::default(),
            changes: Changes::default(),
            staged: 0,
            pairs: Vec::new(),
            is_broken: false,
        })
    }

    fn enter(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.is_broken, true) {
            let context = format!("cannot go on with a unit of `{}`", self.scope);
            return Err(Error::external(context, "an earlier call failed or was given up; begin a new unit"));
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.is_broken = false;
    }

    /// The pair's number in the script, whose keys are counted from 1 and begin with three others.
    fn number(pair: usize) -> usize {
        4 + 2 * pair
    }

    /// Finds or adds the pair of a table that is there.
    async fn table(&mut self, table: &Table) -> Result<usize> {
        tables::check(&self.place, table).await?;
        let is_it = |pair: &Pair| pair.table.as_ref().is_some_and(|other| other.name == table.name);
        if let Some(found) = self.pairs.iter().position(is_it) {
            return Ok(found);
        }
        let keys = self.place.keys.table(&table.name);
        let table = Some(table.clone());
        self.pairs.push(Pair { keys, space: None, table, changed: Some(BTreeSet::new()) });
        Ok(self.pairs.len() - 1)
    }

    fn space(&mut self, space: &str) -> usize {
        self.pairs.iter().position(|pair| pair.space.as_deref() == Some(space)).unwrap_or_else(|| {
            let keys = self.place.keys.state(&self.scope, space);
            self.pairs.push(Pair { keys, space: Some(space.to_owned()), table: None, changed: None });
            self.pairs.len() - 1
        })
    }

    /// Adds an operation on a pair: further parts, packed; stages what has come together.
    async fn change(&mut self, name: &str, pair: usize, parts: usize, packed: &[u8]) -> Result<()> {
        let mut all = Vec::with_capacity(packed.len() + 8);
        pack::number(&mut all, Self::number(pair));
        all.extend(packed);
        self.changes.push(name, parts + 1, &all);
        if self.changes.is_full() {
            let commands = self.turn.stage(self.staged + 1, &self.changes.take());
            self.place.link.run(&format!("cannot stage a unit of `{}`", self.scope), &commands).await?;
            self.staged += 1;
        }
        Ok(())
    }

    async fn write_rows(&mut self, table: &Table, frame: &DataFrame) -> Result<()> {
        let columns: Vec<&Column> = table.written().collect();
        let rows = write::rows(table, &columns, frame)?;
        let pair = self.table(table).await?;
        self.pairs[pair].changed = None;
        let merges = tables::merges(table);
        let version = table.versioned_by.as_ref().and_then(|name| tables::packed_at(table, name.as_str()));
        for (keys, rows) in cut(rows.iter().map(|row| tables::pack_row(table, row))) {
            let mut packed = Vec::new();
            pack::texts(&mut packed, &merges);
            pack::number(&mut packed, version.unwrap_or_default());
            pack::texts(&mut packed, &keys);
            pack::texts(&mut packed, &rows);
            self.change("upsert", pair, 4, &packed).await?;
        }
        Ok(())
    }

    async fn delete_rows(&mut self, table: &Table, keys: &DataFrame) -> Result<()> {
        let only_keys = table.only_keys();
        let columns: Vec<&Column> = only_keys.keys().collect();
        let rows = write::rows(&only_keys, &columns, keys)?;
        let pair = self.table(table).await?;
        self.pairs[pair].changed = None;
        for (keys, _) in cut(rows.iter().map(|row| tables::pack_row(&only_keys, row))) {
            let mut packed = Vec::new();
            pack::texts(&mut packed, &keys);
            self.change("delete", pair, 1, &packed).await?;
        }
        Ok(())
    }

    async fn update_rows(&mut self, table: &Table, set: (&str, Value), equal: (&str, Value)) -> Result<u64> {
        let refuse = |why: &str| Err(Error::configuration(format!("cannot update table `{}`: {why}", table.name)));
        let column = &table.columns[fitting(table, at(table, set.0)?, &set.1)?];
        let Some(target) = tables::packed_at(table, set.0) else {
            return refuse(&format!("`{}` is part of the key", set.0));
        };
        if !column.nullable && set.1 == Value::Null {
            return refuse(&format!("`{}` is never null", set.0));
        }
        let equal = [equal];
        let conditions = page::conditions(table, &equal)?;
        let pair = self.table(table).await?;
        if self.pairs[pair].changed.as_ref().is_none_or(|changed| changed.contains(equal[0].0)) {
            return refuse(&format!("in Redis a unit cannot ask for `{}` after having changed it", equal[0].0));
        }
        let (mut range, is_possible) = page::narrowed(table, &conditions);
        let mut is_over = !is_possible;
        let mut found = 0;
        while !is_over {
            let page = page::read(&self.place, table, &range, page::PAGE_ROWS).await?;
            let keys = page.rows.iter().filter(|(_, row)| page::meets(row, &conditions)).map(|(key, _)| key.as_slice());
            let keys: Vec<&[u8]> = keys.collect();
            found += keys.len() as u64;
            if !keys.is_empty() {
                // A row that another scope changes meanwhile is looked at once more.
                let condition = &table.columns[conditions[0].0];
                let mut packed = Vec::new();
                pack::number(&mut packed, target);
                pack::optional(&mut packed, field(column, &set.1).as_deref());
                pack::number(&mut packed, tables::packed_at(table, equal[0].0).unwrap_or_default());
                pack::optional(&mut packed, field(condition, &equal[0].1).as_deref());
                pack::texts(&mut packed, &keys);
                self.change("update", pair, 5, &packed).await?;
            }
            is_over = page.next.is_none();
            range.after = page.next;
        }
        if let Some(changed) = &mut self.pairs[pair].changed {
            changed.insert(set.0.to_owned());
        }
        Ok(found)
    }

    async fn write_segments(&mut self, space: &str, put: Vec<(i64, Vec<u8>)>, drop: Vec<(i64, i64)>) -> Result<()> {
        let pair = self.space(space);
        let drop = drop.into_iter().map(|(key, sequence)| (key.to_string(), sequence.to_string()));
        for (keys, sequences) in cut(drop) {
            let mut packed = Vec::new();
            pack::texts(&mut packed, &keys);
            pack::texts(&mut packed, &sequences);
            self.change("drop", pair, 2, &packed).await?;
        }
        for (keys, blobs) in cut(put.into_iter().map(|(key, blob)| (key.to_string(), blob))) {
            let mut packed = Vec::new();
            pack::texts(&mut packed, &keys);
            pack::texts(&mut packed, &blobs);
            self.change("put", pair, 2, &packed).await?;
        }
        Ok(())
    }

    /// What the script must know beside the changes.
    fn heading(&self, reached: &Reached, totals: &str) -> Vec<u8> {
        let mut heading = Vec::new();
        pack::array(&mut heading, 8);
        pack::text(&mut heading, &self.turn.token);
        pack::text(&mut heading, self.begun.sequence.to_string());
        pack::text(&mut heading, totals);
        pack::number(&mut heading, self.staged);
        let claims = self.claims.iter().flat_map(|claim| [claim.partition.0.clone(), claim.epoch.to_string()]);
        pack::texts(&mut heading, &claims.collect::<Vec<String>>());
        let positions = reached
            .iter()
            .flat_map(|(name, position)| [name.0.clone(), position.at.to_string(), position.detail.clone()]);
        pack::texts(&mut heading, &positions.collect::<Vec<String>>());
        let spaces: Vec<&str> = self.pairs.iter().filter_map(|pair| pair.space.as_deref()).collect();
        pack::texts(&mut heading, &spaces);
        let kinds: String = self.pairs.iter().map(|pair| if pair.space.is_some() { 's' } else { 't' }).collect();
        pack::text(&mut heading, kinds);
        heading
    }
}

/// What the script refused, as an error.
fn refused(context: String, pairs: &[Pair], answer: &[String]) -> Error {
    let at = |number: &str, first: usize| number.parse::<usize>().ok()?.checked_sub(first);
    match answer {
        [said, partition] if said == "fenced" => Error::Fenced(partition.clone()),
        [said] if said == "turn" => {
            Error::external(context, "another worker has taken the turn, for want of a sign of life")
        }
        [said, number, column] if said == "overflow" => {
            let table = at(number, 4).and_then(|number| pairs.get(number / 2)?.table.as_ref());
            let column = table.zip(at(column, 1)).and_then(|(table, column)| tables::packed(table).nth(column));
            let name = |name: Option<&Ident>| name.map(Ident::to_string).unwrap_or_default();
            Error::data(format!(
                "{context}: the sum in column `{}` of table `{}` has more than 64 bits",
                name(column.map(|column| &column.name)),
                name(table.map(|table| &table.name))
            ))
        }
        _ => Error::external(context, format!("the answer is {answer:?}")),
    }
}

#[async_trait]
impl Unit for RedisUnit {
    fn positions(&self) -> &Reached {
        &self.begun.positions
    }

    fn sequence(&self) -> i64 {
        self.begun.sequence
    }

    async fn read_state(&mut self, space: &str, wanted: &[(i64, i64)]) -> Result<Vec<Segment>> {
        state::read(&self.place, &self.scope, space, wanted).await
    }

    async fn write_state(&mut self, space: &str, put: Vec<(i64, Vec<u8>)>, drop: Vec<(i64, i64)>) -> Result<()> {
        self.enter()?;
        self.write_segments(space, put, drop).await?;
        self.leave();
        Ok(())
    }

    async fn upsert(&mut self, table: &Table, frame: &DataFrame) -> Result<()> {
        self.enter()?;
        self.write_rows(table, frame).await?;
        self.leave();
        Ok(())
    }

    async fn delete(&mut self, table: &Table, keys: &DataFrame) -> Result<()> {
        self.enter()?;
        self.delete_rows(table, keys).await?;
        self.leave();
        Ok(())
    }

    async fn update(&mut self, table: &Table, set: (&str, Value), equal: (&str, Value)) -> Result<u64> {
        self.enter()?;
        let changed = self.update_rows(table, set, equal).await?;
        self.leave();
        Ok(changed)
    }

    fn take_off(&mut self, counts: Counts) {
        self.less.add(&counts);
    }

    async fn commit(mut self: Box<Self>, reached: &Reached, counts: &Counts) -> Result<()> {
        self.enter()?;
        let is_claimed = |name: &&_| self.claims.iter().any(|claim| claim.partition == **name);
        if let Some(partition) = reached.keys().find(|name| !is_claimed(name)) {
            return Err(Error::Fenced(partition.to_string()));
        }
        let totals = std::mem::take(&mut self.begun.totals).after(counts, &self.less, clock::now_us())?;
        let mut keys = self.turn.keys().to_vec();
        keys.extend(self.pairs.iter().flat_map(|pair| pair.keys.iter().cloned()));
        let mut commit = call(&self.place.link.scripts.store.commit, &keys);
        commit.arg(self.heading(reached, &totals)).arg(self.changes.take());
        let Self { place, turn, scope, claims, begun, pairs, .. } = *self;
        let context = format!("cannot commit a unit of `{scope}`");
        let token = turn.token.clone();
        place.memories().entry(scope.clone()).or_default().forget(&claims);
        let answer = turn.end(&context, &commit).await?;
        if !matches!(answer.as_slice(), [said] if said == "ok") {
            return Err(refused(context, &pairs, &answer));
        }
        place.memories().entry(scope).or_default().committed(begun.sequence + 1, &token, &claims, reached);
        Ok(())
    }
}
