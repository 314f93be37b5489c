//! Where a pipeline runs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sluicebox_core::Clock;
use sluicebox_engine::EngineError;
use sluicebox_sources::EmbeddedLog;

use crate::error::Result;

/// The folder of the embedded log and its registry, below the folder in which a pipeline runs.
pub const LOG_DIR: &str = "data/.log";

/// Where a pipeline runs: its folder, in which relative paths begin, tables are below `data/` and checkpoints below `checkpoints/`; and the
/// variables that its text and its options may name.
#[derive(Clone, Default)]
pub struct Home {
    /// Empty for the working directory of the process.
    dir: PathBuf,
    /// That of the embedded log, if it is another than usual.
    log: Option<PathBuf>,
    /// None for those of the process.
    variables: Option<Arc<BTreeMap<String, String>>>,
}

/// Without the values of variables, which may be secret.
impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Home {
    /// The working directory of the process, wherever that is when it is asked for.
    #[must_use]
    pub fn here() -> Self {
        Self::default()
    }

    /// The folder `dir`.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), ..Self::default() }
    }

    /// The same with the embedded log in the folder `log`, which several pipelines may read.
    #[must_use]
    pub fn with_log(self, log: impl Into<PathBuf>) -> Self {
        Self { log: Some(log.into()), ..self }
    }

    /// The same with these variables alone, whatever the environment of the process has: no broker and no registry but those that are named.
    #[must_use]
    pub fn with_variables(self, variables: BTreeMap<String, String>) -> Self {
        Self { variables: Some(Arc::new(variables)), ..self }
    }

    /// The value of a variable.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        match &self.variables {
            Some(variables) => variables.get(name).cloned(),
            None => std::env::var(name).ok(),
        }
    }

    /// Its absolute path.
    ///
    /// # Errors
    /// When there is no working directory.
    pub fn absolute(&self) -> Result<PathBuf> {
        match self.dir.as_os_str().is_empty() {
            true => Ok(std::env::current_dir()?),
            false => Ok(std::path::absolute(&self.dir)?),
        }
    }

    /// `path` in it; one that is absolute stays as it is. As messages show it: relative, if the folder is.
    #[must_use]
    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir.join(path)
    }

    /// The folder of the embedded log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.log.clone().unwrap_or_else(|| self.join(LOG_DIR))
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
