//! Finds the project's scripts, and reads their output.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The project's folder, as it was when this was built.
pub fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new(".")).to_owned()
}

/// A file of the project.
pub fn file(path: &str) -> PathBuf {
    project().join(path)
}

/// The text that a command prints; its messages go where ours go.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().with_context(|| shown(command))?;
    if !output.status.success() {
        bail!("{} ended with {}", shown(command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The python of the environment that has the readers' libraries; made the first time.
pub fn python() -> Result<PathBuf> {
    Ok(PathBuf::from(output(&mut Command::new(file("scripts/python-env.sh")))?))
}

/// The sluicebox to run: the one named, or one built now beside this program.
pub fn binary(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = named {
        return path.canonicalize().with_context(|| format!("there is no program {}", path.display()));
    }
    let own = std::env::current_exe()?;
    let profile = own.parent().context("this program lies in no folder")?;
    let target = profile.parent().context("this program lies in no target folder")?;
    eprintln!("building sluicebox");
    let mut build = Command::new("cargo");
    build.args(["build", "--bin", "sluicebox", "--manifest-path"]).arg(file("Cargo.toml"));
    build.arg("--target-dir").arg(target);
    if profile.ends_with("release") {
        build.arg("--release");
    }
    output(&mut build)?;
    let built = profile.join("sluicebox");
    built.canonicalize().with_context(|| format!("{} is not there; name one by --binary", built.display()))
}

/// A command as a person would write it.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
