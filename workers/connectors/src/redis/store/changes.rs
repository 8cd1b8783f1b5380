//! What a unit changes, packed as the commit's script reads it: small operations in chunks of bounded size.

use super::pack;

/// A chunk is staged when it reaches so many bytes.
pub(super) const CHUNK_BYTES: usize = 512 << 10;

/// Operations that are not staged yet.
#[derive(Default)]
pub(super) struct Changes {
    operations: Vec<Vec<u8>>,
    bytes: usize,
}

impl Changes {
    /// Adds an operation: its name, and how many parts it has besides, which follow in their packed form.
    pub(super) fn push(&mut self, name: &str, parts: usize, packed: &[u8]) {
        let mut operation = Vec::with_capacity(packed.len() + 16);
        pack::array(&mut operation, parts + 1);
        pack::text(&mut operation, name);
        operation.extend(packed);
        self.bytes += operation.len();
        self.operations.push(operation);
    }

    /// Tells whether it is time to stage them.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= CHUNK_BYTES
    }

    /// Takes them as a chunk.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let mut chunk = Vec::with_capacity(self.bytes + 8);
        pack::array(&mut chunk, self.operations.len());
        self.operations.drain(..).for_each(|operation| chunk.extend(operation));
        self.bytes = 0;
        chunk
    }
}

/// Cuts pairs into lists whose pairs together have at most about half a chunk.
pub(super) fn cut<One: AsRef<[u8]>, Other: AsRef<[u8]>>(
    pairs: impl IntoIterator<Item = (One, Other)>,
) -> Vec<(Vec<One>, Vec<Other>)> {
    let mut lists: Vec<(Vec<One>, Vec<Other>)> = Vec::new();
    let mut bytes = usize::MAX;
    for (one, other) in pairs {
        let size = one.as_ref().len() + other.as_ref().len();
        if bytes.saturating_add(size) > CHUNK_BYTES / 2 {
            lists.push(Default::default());
            bytes = 0;
        }
        bytes += size;
        if let Some(last) = lists.last_mut() {
            last.0.push(one);
            last.1.push(other);
        }
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::{CHUNK_BYTES, Changes, cut};

    #[test]
    fn lists_are_bounded_and_complete() {
        let sizes = [0, 1, CHUNK_BYTES, 5, CHUNK_BYTES / 4, CHUNK_BYTES / 4 - 5, 1];
        let pairs: Vec<(String, Vec<u8>)> =
            sizes.iter().enumerate().map(|(at, size)| (at.to_string(), vec![0; *size])).collect();
        let lists = cut(pairs.clone());
        assert!(lists.iter().all(|list| list.0.len() == list.1.len() && !list.0.is_empty()));
        assert_eq!(lists.iter().map(|list| list.0.len()).collect::<Vec<_>>(), [2, 1, 2, 2]);
        let together: Vec<(String, Vec<u8>)> =
            lists.into_iter().flat_map(|list| list.0.into_iter().zip(list.1)).collect();
        assert!(together == pairs);
        assert!(cut(Vec::<(String, String)>::new()).is_empty());
    }

    #[test]
    fn a_chunk_is_an_array_of_operations() {
        let mut changes = Changes::default();
        changes.push("drop", 0, &[]);
        changes.push("put", 1, b"\xa1x");
        assert_eq!(changes.take(), b"\x92\x91\xa4drop\x92\xa3put\xa1x");
        assert_eq!(changes.take(), b"\x90");
        changes.push("put", 1, &vec![0; CHUNK_BYTES]);
        assert!(changes.is_full());
    }
}
