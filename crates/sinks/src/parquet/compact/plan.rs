//! Plans which files of a folder are merged: a pure function.

use std::ops::Range;

/// What counts of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    /// Its size.
    pub bytes: u64,
    /// Whether it has the columns of the file before it.
    pub like_before: bool,
}

/// What becomes of some files, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The file gets a new name, its content stays.
    Keep(usize),
    /// The rows of these files are written anew, one after the other.
    Merge(Range<usize>),
}

/// Whether a file is so much smaller than `target` that it is put together with others: under three quarters of it.
#[must_use]
pub fn is_small(bytes: u64, target: u64) -> bool {
    bytes / 3 < target / 4
}

/// Neighbouring small files with the same columns are merged where that makes fewer files; all others are kept. The order
/// of the rows stays.
#[must_use]
pub fn plan(files: &[FileFacts], target: u64) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(first) = files.get(at) {
        let mut end = at + 1;
        if is_small(first.bytes, target) {
            end += files.iter().skip(end).take_while(|f| f.like_before && is_small(f.bytes, target)).count();
        }
        if files_of(files, &(at..end), target) < end - at {
            pieces.push(Piece::Merge(at..end));
        } else {
            pieces.extend((at..end).map(Piece::Keep));
        }
        at = end;
    }
    pieces
}

/// How many files there will be, about: a merged file may be somewhat smaller or larger than the ones before together.
#[must_use]
pub fn files_after(files: &[FileFacts], pieces: &[Piece], target: u64) -> usize {
    let of = |piece: &Piece| match piece {
        Piece::Keep(_) => 1,
        Piece::Merge(range) => files_of(files, range, target),
    };
    pieces.iter().map(of).sum()
}

fn files_of(files: &[FileFacts], range: &Range<usize>, target: u64) -> usize {
    let bytes: u64 = files.iter().take(range.end).skip(range.start).map(|file| file.bytes).sum();
    usize::try_from(bytes.div_ceil(target.max(1))).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(bytes: &[u64]) -> Vec<Piece> {
        let files: Vec<FileFacts> = bytes.iter().map(|bytes| FileFacts { bytes: *bytes, like_before: true }).collect();
        plan(&files, 100)
    }

    #[test]
    fn neighbours_are_merged_where_that_makes_fewer_files() {
        use Piece::{Keep, Merge};
        assert_eq!(decided(&[]), []);
        assert_eq!(decided(&[10]), [Keep(0)]);
        assert_eq!(decided(&[10, 20, 30]), [Merge(0..3)]);
        assert_eq!(decided(&[10, 20, 90, 30, 40]), [Merge(0..2), Keep(2), Merge(3..5)]);
        assert_eq!(decided(&[70, 70]), [Keep(0), Keep(1)], "two files again");
        assert_eq!(decided(&[74, 74, 40]), [Merge(0..3)]);
        assert_eq!(decided(&[100, 200, 75]), [Keep(0), Keep(1), Keep(2)]);
        assert_eq!(decided(&[100, 44]), [Keep(0), Keep(1)], "what a merge left");
    }

    #[test]
    fn files_with_other_columns_are_not_put_together() {
        let file = |like_before| FileFacts { bytes: 5, like_before };
        let files = [file(false), file(true), file(false), file(false), file(true)];
        assert_eq!(plan(&files, 100), [Piece::Merge(0..2), Piece::Keep(2), Piece::Merge(3..5)]);
        assert_eq!(files_after(&files, &plan(&files, 100), 100), 3);
    }
}
