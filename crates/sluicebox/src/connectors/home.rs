//! The folder in which a pipeline runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sluicebox_core::Clock;
use sluicebox_engine::EngineError;
use sluicebox_sources::EmbeddedLog;

use crate::error::Result;

/// The folder of the embedded log and its registry, below the folder in which a pipeline runs.
pub const LOG_DIR: &str = "data/.log";

/// The folder in which a pipeline runs: relative paths begin there, tables are below `data/`, checkpoints below `checkpoints/`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Home(PathBuf);

impl Home {
    /// The working directory of the process, wherever that is when it is asked for.
    #[must_use]
    pub fn here() -> Self {
        Self::default()
    }

    /// The folder `dir`.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }

    /// Its absolute path.
    ///
    /// # Errors
    /// When there is no working directory.
    pub fn absolute(&self) -> Result<PathBuf> {
        match self.0.as_os_str().is_empty() {
            true => Ok(std::env::current_dir()?),
            false => Ok(std::path::absolute(&self.0)?),
        }
    }

    /// `path` in it; one that is absolute stays as it is. As messages show it: relative, if the folder is.
    #[must_use]
    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.join(path)
    }

    /// The folder of the embedded log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.join(LOG_DIR)
    }

    /// The folder of the embedded registry.
    #[must_use]
    pub fn registry(&self) -> PathBuf {
        self.log().join("registry")
    }

    /// The embedded log; its folder is made.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn open_log(&self, clock: &Arc<dyn Clock>) -> Result<EmbeddedLog> {
        Ok(EmbeddedLog::open(self.log(), Arc::clone(clock)).map_err(EngineError::from)?)
    }
}
