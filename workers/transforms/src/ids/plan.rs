//! What is merged when.
//!
//! As many runs of a level as the fan become one of the next, the oldest first, as far as the result is not too large;
//! a run that is too large to be merged at all rises a level as it is. So the list stays in order of age, no level
//! keeps more runs than the fan (and those that come while it is merged), and an id is written once a level.

use super::Shape;
use super::manifest::{Manifest, MergeInfo, RunInfo};

impl Manifest {
    /// Begins the merges that are due, at most one of a level at a time.
    pub(super) fn begin_merges(&mut self, shape: &Shape) {
        let mut level = 0;
        while level < u8::MAX && self.runs.iter().any(|run| run.level >= level) {
            let is_merged = self.merges.iter().any(|merge| merge.output.level == level + 1);
            let start = self.runs.partition_point(|run| run.level > level);
            let count = self.runs[start..].partition_point(|run| run.level == level);
            if is_merged || count < shape.fan {
                level += 1;
                continue;
            }
            let mut entries = 0;
            let inputs = self.runs[start..start + shape.fan].iter().take_while(|run| {
                entries += run.entries;
                entries <= shape.run_entries
            });
            let inputs: Vec<i64> = inputs.map(|run| run.number).collect();
            if inputs.len() < 2 {
                self.runs[start].level += 1;
            } else {
                let output = RunInfo::empty(self.take_number(), level + 1);
                self.merges.push(MergeInfo { inputs, output });
            }
        }
    }

    /// Puts the run that a merge has written in the place of those it was made of.
    pub(super) fn finish_merge(&mut self, output: i64) {
        let Some(place) = self.merges.iter().position(|merge| merge.output.number == output) else { return };
        let merge = self.merges.swap_remove(place);
        let start = self.runs.iter().position(|run| merge.inputs.contains(&run.number)).unwrap_or_default();
        self.runs.retain(|run| !merge.inputs.contains(&run.number));
        if merge.output.entries > 0 {
            self.runs.insert(start, merge.output);
        }
    }

    /// Forgets runs that have nothing but expired entries.
    pub(super) fn drop_expired(&mut self) {
        let merged: Vec<i64> = self.merges.iter().flat_map(|merge| &merge.inputs).copied().collect();
        self.runs.retain(|run| run.newest >= self.cutoff || merged.contains(&run.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds runs of some size and carries out every merge at once.
    fn fill(runs: usize, entries: u64, shape: &Shape) -> (Manifest, u64) {
        let mut manifest = Manifest::default();
        let mut written = 0;
        for _ in 0..runs {
            manifest.begin_merges(shape);
            while let Some(merge) = manifest.merges.first_mut() {
                assert!((2..=shape.fan).contains(&merge.inputs.len()));
                let inputs = manifest.runs.iter().filter(|run| merge.inputs.contains(&run.number));
                merge.output.entries = inputs.map(|run| run.entries).sum();
                assert!(merge.output.entries <= shape.run_entries);
                written += merge.output.entries;
                let number = merge.output.number;
                manifest.finish_merge(number);
            }
            assert!(manifest.runs.is_sorted_by_key(|run| std::cmp::Reverse(run.level)));
            let mut run = RunInfo::empty(manifest.take_number(), 0);
            run.entries = entries;
            manifest.runs.push(run);
        }
        assert_eq!(manifest.runs.iter().map(|run| run.entries).sum::<u64>(), runs as u64 * entries);
        (manifest, written)
    }

    #[test]
    fn few_runs_and_few_rewrites() {
        let shape = Shape::default();
        for (runs, entries, most_runs, rewrites) in
            [(1_000, 10_000, 27, 3), (10_000, 1_000, 33, 4), (20_000, 10, 40, 5), (300, 1_500_000, 301, 0)]
        {
            let (manifest, written) = fill(runs, entries, &shape);
            assert!(manifest.runs.len() <= most_runs, "{} runs of {runs} times {entries}", manifest.runs.len());
            assert!(written <= runs as u64 * entries * rewrites, "{written} written of {runs} times {entries}");
        }
    }

    #[test]
    fn large_runs_rise_as_they_are() {
        let shape = Shape { fan: 3, run_entries: 10, ..Shape::default() };
        let (manifest, written) = fill(40, 9, &shape);
        assert_eq!((manifest.runs.len(), written), (40, 0));
        let levels = |level: u8| manifest.runs.iter().filter(|run| run.level == level).count();
        assert!(manifest.runs.iter().all(|run| levels(run.level) <= shape.fan));
    }

    #[test]
    fn a_level_is_merged_once_at_a_time() {
        let shape = Shape { fan: 2, ..Shape::default() };
        let mut manifest = Manifest::default();
        for number in 1..=5 {
            manifest.runs.push(RunInfo { entries: 1, ..RunInfo::empty(-number, 0) });
            manifest.begin_merges(&shape);
        }
        assert_eq!(manifest.merges.len(), 1);
        assert_eq!(manifest.merges[0].inputs, [-1, -2]);
        manifest.cutoff = 7;
        manifest.drop_expired();
        assert_eq!(manifest.runs.iter().map(|run| run.number).collect::<Vec<_>>(), [-1, -2]);
    }

    #[test]
    fn a_merge_without_entries_leaves_no_run() {
        let mut manifest = Manifest::default();
        manifest.runs.extend([RunInfo::empty(-1, 1), RunInfo::empty(-2, 0), RunInfo::empty(-3, 0)]);
        manifest.merges.push(MergeInfo { inputs: vec![-2, -3], output: RunInfo::empty(9, 1) });
        manifest.finish_merge(9);
        assert_eq!(manifest.runs.iter().map(|run| run.number).collect::<Vec<_>>(), [-1]);
        assert!(manifest.merges.is_empty());
    }
}
