//! A folder of Parquet files as a sink.

use std::path::Path;

use async_trait::async_trait;

use super::ParquetTable;
use crate::contents::contents;
use crate::error::{RemoteError, Result};
use crate::folder::{prepare, sweep};
use crate::output::{Staged, StagedFiles};
use crate::owner::{self, Owner};
use crate::publish::{Check, publish};
use crate::sink::{Rows, Sink};
use crate::staged::BatchKey;
use crate::upkeep::Upkeep;

#[async_trait]
impl Sink for ParquetTable {
    fn identity(&self) -> String {
        format!("the folder {}", self.location.display())
    }

    fn folder(&self) -> Option<&Path> {
        Some(&self.location)
    }

    async fn open(&self, owner: &Owner, _epoch: u64) -> Result<()> {
        prepare(&self.location)?;
        owner::claim(&self.location, owner)
    }

    fn stage(&self, batch: &BatchKey<'_>, rows: Rows<'_>) -> Result<Option<Staged>> {
        let files = match rows {
            Rows::All(rows) => self.stage_files(batch, rows)?,
            Rows::Stream(rows) => self.stage_stream(batch, rows)?,
        };
        let location = self.location.display().to_string();
        Ok((!files.is_empty()).then_some(Staged::Files(StagedFiles { location, files })))
    }

    async fn publish(&self, _batch: &BatchKey<'_>, staged: &Staged, check: Check) -> Result<()> {
        match staged {
            Staged::Files(staged) if Path::new(&staged.location) == self.location => {
                publish(&self.location, &staged.files, check)
            }
            Staged::Files(other) => {
                Err(RemoteError::Mixed { sink: self.identity(), given: other.location.clone() }.into())
            }
            Staged::Rows(other) => Err(RemoteError::Mixed { sink: self.identity(), given: other.sink.clone() }.into()),
        }
    }

    async fn published(&self) -> Result<Option<u64>> {
        Ok(contents(&self.location)?.newest.map(|(batch, _)| batch))
    }

    fn sweep(&self, epoch: u64) -> Result<()> {
        sweep(&self.location, epoch)
    }

    fn upkeep(&self) -> Option<&dyn Upkeep> {
        Some(self)
    }
}
