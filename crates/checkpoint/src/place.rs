//! How records name folders outside the checkpoint. A project that was moved or copied finds its own folders.
//!
//! A folder below the run's working directory is named relative to the checkpoint (`../../data/...`), if the checkpoint is below the
//! working directory too. Every other folder is named by its absolute path. In memory all paths are absolute.

use std::path::{Component, Path, PathBuf};

/// The name of the absolute folder `location` in the checkpoint `root` of a run in `project`.
pub(super) fn name_of(root: &Path, project: Option<&Path>, location: &str) -> String {
    let below = |path: &Path| -> Option<PathBuf> {
        let rest = path.strip_prefix(project?).ok()?;
        rest.components().all(|c| matches!(c, Component::Normal(_))).then(|| rest.to_owned())
    };
    match (below(root), below(Path::new(location))) {
        (Some(root), Some(location)) => {
            let up: PathBuf = root.components().map(|_| Component::ParentDir).collect();
            up.join(location).display().to_string()
        }
        _ => location.to_owned(),
    }
}

/// The absolute folder that `name` stands for in the checkpoint `root`. Without a look at the disk: a checkpoint that is a
/// link to another place belongs to the project that it is linked from.
pub(super) fn location_of(root: &Path, name: &str) -> String {
    if Path::new(name).is_absolute() {
        return name.to_owned();
    }
    let mut location = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    for part in Path::new(name).components() {
        match part {
            Component::ParentDir => drop(location.pop()),
            part => location.push(part),
        }
    }
    location.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_the_project_moves_with_it() {
        let (root, project) = (Path::new("/a/b/checkpoints/p"), Some(Path::new("/a/b")));
        let name = name_of(root, project, "/a/b/data/gold/t");
        assert_eq!(name, "../../data/gold/t");
        assert_eq!(location_of(root, &name), "/a/b/data/gold/t");
        assert_eq!(location_of(Path::new("/elsewhere/checkpoints/p"), &name), "/elsewhere/data/gold/t");
    }

    #[test]
    fn what_lies_elsewhere_keeps_its_absolute_name() {
        let root = Path::new("/a/b/checkpoints/p");
        for (project, location) in
            [(Some("/a/b"), "/lake/t"), (Some("/c"), "/c/t"), (None, "/a/b/t"), (Some("/a/b"), "/a/b/../t")]
        {
            let name = name_of(root, project.map(Path::new), location);
            assert_eq!(name, location);
            assert_eq!(location_of(Path::new("/elsewhere/p"), &name), location);
        }
        assert_eq!(name_of(Path::new("/a/b"), Some(Path::new("/a/b")), "/a/b/t"), "t");
    }
}
