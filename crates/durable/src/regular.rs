//! Opens regular files only. Other things may have a file's name: opening a FIFO blocks until somebody opens its other end, and opening a
//! device may have any effect.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;
use sluicebox_core::threads;
use thiserror::Error;

/// How long whoever writes to a pipe may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most bytes that are taken from a pipe: what comes out of one may have no end.
const LONGEST_PIPED: u64 = 64 << 20;

/// What has the name of a file.
#[derive(Debug, Error)]
#[error("it is {0}, and no file")]
struct NoFile(&'static str);

/// Whether `error` says that something else than a file has the name. It is not opened then.
#[must_use]
pub fn is_no_file(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<NoFile>())
}

/// Opens the file `path` for reading; links are followed. It never waits for anybody but the disk.
///
/// # Errors
/// When it cannot be opened, or is a folder, a FIFO, a socket or a device ([`is_no_file`]).
pub fn open_regular(path: &Path) -> io::Result<File> {
    open_as(OpenOptions::new().read(true), path)
}

/// The content of the file `path`, opened as by [`open_regular`].
///
/// # Errors
/// When it cannot be opened or read, or is no file.
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open_regular(path)?.read_to_end(&mut content)?;
    Ok(content)
}

/// The content of a file that a person names on the command line or in an option. It may be a pipe, such as the shell makes of
/// `<(command)`: whoever writes to it has 10 seconds to end. Of a pipe 64 MiB are read at most.
///
/// # Errors
/// When it cannot be opened or read, is a folder, a socket or a device, or the pipe does not end in time.
pub fn read_given(path: &Path) -> io::Result<Vec<u8>> {
    read_within(path, PATIENCE)
}

/// [`read_given`] of text.
///
/// # Errors
/// As [`read_given`]; and when it is not UTF-8.
pub fn read_given_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read_given(path)?).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

fn read_within(path: &Path, patience: Duration) -> io::Result<Vec<u8>> {
    if !fs::metadata(path).is_ok_and(|seen| seen.file_type().is_fifo()) {
        return read_regular(path);
    }
    let given = path.to_owned();
    let read = move || -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        File::open(given)?.take(LONGEST_PIPED).read_to_end(&mut content)?;
        Ok(content)
    };
    // Only a thread can wait for an end that may never come.
    threads::given_within("pipe", patience, read).unwrap_or_else(|error| match error.kind() {
        io::ErrorKind::TimedOut => {
            let why = format!("it is a pipe, and what is written to it did not end within {} s", patience.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        }
        _ => Err(error),
    })
}

/// Opens the file `path` by `options`, unless something else has the name.
pub(super) fn open_as(options: &OpenOptions, path: &Path) -> io::Result<File> {
    // The look comes first, since merely opening a device may do something.
    if let Ok(seen) = fs::metadata(path) {
        refuse(seen.file_type())?;
    }
    // What takes the name after the look is not waited for either.
    let mut at_once = options.clone();
    at_once.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = match at_once.open(path) {
        // A file server has lent the file out. It gives it back when it is asked to, which takes it a moment.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => options.open(path)?,
        opened => opened?,
    };
    refuse(file.metadata()?.file_type())?;
    Ok(file)
}

/// Opens the folder `dir`. What is none is refused by the system, before it waits for anybody.
pub(super) fn open_folder(dir: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlags::DIRECTORY.bits().cast_signed()).open(dir)
}

fn refuse(found: FileType) -> io::Result<()> {
    let what = match found {
        _ if found.is_file() => return Ok(()),
        _ if found.is_dir() => "a folder",
        _ if found.is_fifo() => "a FIFO",
        _ if found.is_socket() => "a socket",
        _ => "a device",
    };
    Err(io::Error::other(NoFile(what)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::io::Write;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::super::{DurableFile, FileError, FoundFile, checksum_of, list, read, replace, sync_dir, sync_dirs};
    use super::*;
    use crate::fault::What;

    fn fifo(path: &Path) {
        mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
    }

    #[test]
    fn what_is_no_file_is_named_and_never_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fifo(&at("fifo"));
        symlink(at("fifo"), at("link")).unwrap();
        let _listening = UnixListener::bind(at("socket")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        symlink("/dev/null", at("device")).unwrap();
        let kinds = [
            ("fifo", "a FIFO"),
            ("link", "a FIFO"),
            ("socket", "a socket"),
            ("folder", "a folder"),
            ("device", "a device"),
        ];
        for (name, kind) in kinds {
            let path = at(name);
            let file = |error: FileError| error.source;
            let all: [io::Result<()>; 7] = [
                open_regular(&path).map(drop),
                checksum_of(&path).map(drop),
                read(What::Stage, &path).map(drop).map_err(file),
                FoundFile::open(What::Stage, &path).map(drop).map_err(file),
                DurableFile::open(What::Stage, &path).map(drop).map_err(file),
                DurableFile::open_found(What::Stage, &path).map(drop).map_err(file),
                DurableFile::create(What::Stage, &path).map(drop).map_err(file),
            ];
            for (way, opened) in all.into_iter().enumerate() {
                let error = opened.unwrap_err();
                assert!(is_no_file(&error), "{name}, {way}: {error}");
                assert_eq!(error.to_string(), format!("it is {kind}, and no file"), "{name}, {way}");
            }
            let told = read(What::Stage, &path).unwrap_err().to_string();
            let way_on = "; put the file back that belongs there, or remove it if none does, and run again";
            assert!(told.contains(path.to_str().unwrap()) && told.ends_with(way_on), "{told}");
        }
        assert!(!is_no_file(&open_regular(&at("nothing")).unwrap_err()));
        // Where it lies in the way of a rename it goes, as a file would.
        replace(What::Stage, &at("fifo"), b"whole").unwrap();
        assert_eq!(read_regular(&at("fifo")).unwrap(), b"whole");
    }

    #[test]
    fn what_is_no_folder_is_named_and_never_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (at, sound) = (dir.path().join("fifo"), dir.path());
        fifo(&at);
        sync_dirs(What::Stage, &[sound, sound, sound]).unwrap();
        let refused = [
            sync_dir(What::Stage, &at).unwrap_err(),
            sync_dirs(What::Stage, &[sound, sound, &at]).unwrap_err(),
            list(What::Stage, &at).map(drop).unwrap_err(),
        ];
        for error in refused {
            assert_eq!(error.source.kind(), io::ErrorKind::NotADirectory, "{error}");
            assert!(error.to_string().contains("move it away, and run again"), "{error}");
        }
    }

    #[test]
    fn a_file_is_opened_as_it_was_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        assert_eq!(open_regular(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&path, "abc").unwrap();
        symlink(&path, dir.path().join("link")).unwrap();
        assert_eq!(read_regular(&dir.path().join("link")).unwrap(), b"abc");
        assert!(open_regular(&path).unwrap().write_all(b"x").is_err(), "it is open for reading");
        assert!(DurableFile::create_new(What::Stage, &path).is_err());
        drop(DurableFile::create(What::Stage, &path).unwrap());
        assert_eq!(read_regular(&path).unwrap(), b"");
    }

    #[test]
    fn a_pipe_is_read_to_its_end_and_one_that_has_none_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let (path, silent) = (dir.path().join("pipe"), dir.path().join("silent"));
        fifo(&path);
        fifo(&silent);
        let given_up = read_within(&silent, Duration::from_millis(20)).unwrap_err();
        assert_eq!(given_up.kind(), io::ErrorKind::TimedOut, "{given_up}");
        let writing = {
            let path = path.clone();
            std::thread::spawn(move || fs::write(path, "SELECT 1"))
        };
        assert_eq!(read_given(&path).unwrap(), b"SELECT 1");
        writing.join().unwrap().unwrap();
        fs::write(dir.path().join("file"), "as it is").unwrap();
        assert_eq!(read_given(&dir.path().join("file")).unwrap(), b"as it is");
        assert!(is_no_file(&read_given(Path::new("/dev/null")).unwrap_err()));
        fs::write(dir.path().join("bytes"), [0xFF]).unwrap();
        let wrong = read_given_text(&dir.path().join("bytes")).unwrap_err();
        assert_eq!(wrong.to_string(), "it is not UTF-8");
    }
}
