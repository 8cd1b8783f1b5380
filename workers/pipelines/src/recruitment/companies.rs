//! The dimension of companies by job: fetched whole, refreshed within a stated bound, and carried into rows stored earlier.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headrace_core::Result;
use headrace_core::store::{Store, Unit};
use headrace_core::table::{Table, Value};
use polars::prelude::{DataFrame, NamedFrom, Series};

use crate::reading::Pages;

/// Where companies come from, and what was last fetched.
pub struct Companies {
    store: Arc<dyn Store>,
    table: Table,
    /// No row is enriched with a dimension older than this.
    refresh: Duration,
    fetched: Option<Instant>,
    by_job: HashMap<i64, Option<i64>>,
    frame: DataFrame,
}

impl Companies {
    /// Makes a dimension that has not been fetched yet.
    pub fn new(store: Arc<dyn Store>, table: Table, refresh: Duration) -> Self {
        Self { store, table, refresh, fetched: None, by_job: HashMap::new(), frame: DataFrame::default() }
    }

    /// The dimension as a frame (`id`, `company_id`), as last fetched.
    pub fn frame(&self) -> &DataFrame {
        &self.frame
    }

    /// The company of a job, as last fetched; null for an unknown job.
    pub fn of(&self, job: i64) -> Option<i64> {
        self.by_job.get(&job).copied().flatten()
    }

    /// Tells whether the dimension has a job, as last fetched.
    pub fn knows(&self, job: i64) -> bool {
        self.by_job.contains_key(&job)
    }

    /// Tells whether the dimension is older than the bound.
    pub fn is_stale(&self) -> bool {
        self.fetched.is_none_or(|at| at.elapsed() >= self.refresh)
    }

    /// Makes the next look fetch the dimension again.
    pub fn expire(&mut self) {
        self.fetched = None;
    }

    /// Fetches the dimension, and tells which jobs have another company than before.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn fetch(&mut self) -> Result<Vec<i64>> {
        let started = Instant::now();
        let (mut ids, mut companies) = (Vec::new(), Vec::new());
        let mut pages = Pages::new(&*self.store, &self.table, &["id", "company_id"]);
        while let Some(page) = pages.next().await? {
            ids.extend(page.column("id")?.i64()?.into_no_null_iter());
            companies.extend(page.column("company_id")?.i64()?.iter());
        }
        let by_job: HashMap<i64, Option<i64>> = ids.iter().copied().zip(companies.iter().copied()).collect();
        let known: std::collections::BTreeSet<i64> = by_job.keys().chain(self.by_job.keys()).copied().collect();
        let company = |map: &HashMap<i64, Option<i64>>, job: &i64| map.get(job).copied().flatten();
        let changed = known.into_iter().filter(|job| company(&by_job, job) != company(&self.by_job, job)).collect();
        let height = ids.len();
        self.frame = DataFrame::new(
            height,
            vec![Series::new("id".into(), ids).into(), Series::new("company_id".into(), companies).into()],
        )?;
        self.by_job = by_job;
        self.fetched = Some(started);
        Ok(changed)
    }

    /// The jobs of stored result rows whose company is not the one of the dimension.
    ///
    /// # Errors
    /// When the result cannot be read.
    pub async fn differing(&self, results: &dyn Store, result: &Table) -> Result<Vec<i64>> {
        let mut differing = Vec::new();
        let mut pages = Pages::new(results, result, &["job_id", "company_id"]);
        while let Some(page) = pages.next().await? {
            let stored = page.column("company_id")?.i64()?;
            for (job, company) in page.column("job_id")?.i64()?.into_no_null_iter().zip(stored.iter()) {
                if company != self.of(job) && differing.last() != Some(&job) {
                    differing.push(job);
                }
            }
        }
        Ok(differing)
    }

    /// Carries the companies of some jobs into the result rows stored earlier; tells how many rows changed.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn carry(&self, unit: &mut dyn Unit, result: &Table, jobs: &[i64]) -> Result<u64> {
        let mut rows = 0;
        for job in jobs {
            let company = self.of(*job).map_or(Value::Null, Value::Int);
            rows += unit.update(result, ("company_id", company), ("job_id", Value::Int(*job))).await?;
        }
        Ok(rows)
    }
}
