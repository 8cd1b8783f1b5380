//! An entry of the journal: the list of runs as of a commit, and the run of that commit's batch, unless it was large.
//!
//! One blob holds all that a small batch changes. Its manifest is JSON, so that later versions may add to it.

use std::sync::Arc;

use super::manifest::Manifest;
use super::section::Section;
use super::{Block, Error, check_format, number};

/// "Headrace ids, a journal entry", and the version of the format.
const FORMAT: [u8; 4] = *b"HIJ\x01";
/// Format, lengths of manifest and section; what remains is the block.
const HEADER_BYTES: usize = 4 + 4 + 4;

/// What a commit wrote.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct JournalEntry {
    pub(super) manifest: Manifest,
    pub(super) run: Option<(Section, Arc<Block>)>,
}

/// Gives the bytes to store.
pub(super) fn blob(manifest: &Manifest, run: Option<&(Section, Arc<Block>)>) -> Result<Vec<u8>, Error> {
    let manifest = serde_json::to_vec(manifest).map_err(|_| Error::Damaged("its list of runs cannot be written"))?;
    let section = run.map(|(section, _)| section.blob()).unwrap_or_default();
    let block = run.map_or(&[][..], |(_, block)| block.blob());
    let mut blob = Vec::with_capacity(HEADER_BYTES + manifest.len() + section.len() + block.len());
    blob.extend_from_slice(&FORMAT);
    blob.extend_from_slice(&(manifest.len() as u32).to_le_bytes());
    blob.extend_from_slice(&(section.len() as u32).to_le_bytes());
    [&manifest, &section, block].into_iter().for_each(|piece| blob.extend_from_slice(piece));
    Ok(blob)
}

/// Reads the bytes.
pub(super) fn read(blob: &[u8]) -> Result<JournalEntry, Error> {
    check_format(blob, FORMAT)?;
    let cut = Error::Damaged("a journal entry is cut");
    let Some((header, rest)) = blob.split_first_chunk::<HEADER_BYTES>() else { return Err(cut) };
    let lengths = [&header[4..8], &header[8..12]].map(|bytes| number(bytes) as usize);
    let Some((manifest, rest)) = rest.split_at_checked(lengths[0]) else { return Err(cut) };
    let Some((section, block)) = rest.split_at_checked(lengths[1]) else { return Err(cut) };
    let manifest = serde_json::from_slice(manifest).map_err(|_| Error::Damaged("its list of runs cannot be read"))?;
    if section.is_empty() {
        return if block.is_empty() { Ok(JournalEntry { manifest, run: None }) } else { Err(cut) };
    }
    let run = (Section::from_blob(section)?, Arc::new(Block::from_blob(block.to_vec())?));
    Ok(JournalEntry { manifest, run: Some(run) })
}

#[cfg(test)]
mod tests {
    use super::super::Entry;
    use super::super::manifest::{MergeInfo, RunInfo};
    use super::super::section::SectionWriter;
    use super::*;

    #[test]
    fn is_read_as_it_was_written() {
        let mut manifest = Manifest::default();
        let mut run = RunInfo::empty(i64::MAX, 2);
        run.add_section(4, 3, i64::MIN);
        manifest.runs.push(run.clone());
        manifest.merges.push(MergeInfo { inputs: vec![-4, 5], output: run });
        let mut writer = SectionWriter::new(9, 9);
        (0..5).for_each(|key| writer.push(Entry { key, payload: u64::MAX, time: 3 }));
        let (section, blocks) = writer.take().unwrap();
        for run in [None, Some((section, blocks[0].clone()))] {
            let blob = blob(&manifest, run.as_ref()).unwrap();
            assert_eq!(read(&blob), Ok(JournalEntry { manifest: manifest.clone(), run }));
            (0..blob.len()).for_each(|end| assert!(read(&blob[..end]).is_err(), "cut at {end}"));
        }
    }
}
