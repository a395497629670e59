//! Files that are either complete or absent.

use std::borrow::Cow;
use std::fs::{self, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, Occupant, Result};
use crate::memory::{require_bytes, try_reserve};

/// The beginning of the names of files that are not complete yet.
const TEMPORARY: &str = ".densely-";

/// Replaces `path` with `bytes` in one step: a temporary file beside it, synced, then renamed.
///
/// A reader, or a process killed half-way, sees the old file or the new one, never a part. When this returns, the new one
/// survives a power cut.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes, None)
}

/// Likewise; the file that was there gets another name.
pub fn write_atomic_and_keep(path: &Path, bytes: &[u8], previous: &Path) -> Result<()> {
    replace(path, bytes, Some(previous))
}

fn replace(path: &Path, bytes: &[u8], previous: Option<&Path>) -> Result<()> {
    require_replaceable(path)?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let write = || -> std::io::Result<()> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(TEMPORARY);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // less the umask
        let mut file = builder.tempfile_in(directory)?;
        file.write_all(bytes)?;
        sync_all(file.as_file())?;
        let temporary = file.into_temp_path();
        if let Some(previous) = previous {
            match fs::rename(path, previous) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&temporary, path)?;
        drop(temporary.keep()); // it has another name now
        #[cfg(unix)]
        sync_all(&fs::File::open(directory)?)?; // the rename itself
        Ok(())
    };
    write().map_err(|error| Error::io("write", path)(without_path(error)))
}

/// Rejects a path at which there is something else than a file: a device or a pipe would be gone afterwards. A symbolic link counts
/// as what it leads to, so that `/dev/stdout` is a device; one that leads nowhere is replaced.
///
/// # Errors
/// If there is a directory, a device, a pipe or a socket.
pub fn require_replaceable(path: &Path) -> Result<()> {
    let Ok(found) = fs::metadata(path) else { return Ok(()) };
    let what = match (found.is_file(), found.is_dir()) {
        (true, _) => return Ok(()),
        (_, true) => "a directory",
        _ => "a device or a pipe",
    };
    let problem = format!("it is {what}; expected a file, or a path at which there is nothing");
    Err(Error::invalid_file(path, problem))
}

/// Waits until a file or directory is on the disk. Some file systems cannot do that, for directories or at all, and say so in
/// one of several ways: then there is nothing to wait for.
fn sync_all(file: &fs::File) -> std::io::Result<()> {
    /// Linux and macOS number these errors alike: EBADF, EINVAL. The others are ENOSYS and EOPNOTSUPP of both.
    const CANNOT: [i32; 6] = [9, 22, 38, 78, 95, 102];
    match file.sync_all() {
        Err(error) if error.raw_os_error().is_some_and(|code| CANNOT.contains(&code)) => Ok(()),
        other => other,
    }
}

/// Removes the temporary files of writes during which a process was killed. The caller holds the directory's lock, because
/// a write of another process would lose its file.
pub fn remove_temporaries(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            drop(fs::remove_file(entry.path())); // it does no harm where it cannot be removed
        }
    }
}

/// Writes a file unless it holds just this.
pub fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    require_replaceable(path)?;
    let same_length = fs::metadata(path).is_ok_and(|found| found.len() == bytes.len() as u64);
    if same_length && fs::read(path).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    write_atomic(path, bytes)
}

/// Rejects a directory in which no file can be made.
pub fn require_writable(directory: &Path) -> Result<()> {
    let probe = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(directory);
    probe.map(drop).map_err(|error| Error::io("write in", directory)(without_path(error)))
}

/// Keeps other processes out of a directory until it is dropped or the process ends in whatever way. File systems without
/// locks ignore it.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    directory: Option<fs::File>,
}

impl Lock {
    /// Checks that the directory is still the one that was locked.
    ///
    /// # Errors
    /// If it has been removed, or replaced by another.
    pub fn check(&self) -> Result<()> {
        #[cfg(unix)]
        if let Some(directory) = &self.directory {
            use std::os::unix::fs::MetadataExt as _;
            let found = fs::metadata(&self.path).map_err(Error::io("write in", &self.path))?;
            let held = directory.metadata().map_err(Error::io("look at", &self.path))?;
            if (found.dev(), found.ino()) != (held.dev(), held.ino()) {
                let problem = "it is not the directory that this process started in, which was moved or removed meanwhile";
                return Err(Error::invalid_file(&self.path, problem));
            }
        }
        Ok(())
    }
}

/// Locks a directory.
///
/// # Errors
/// [`Error::Occupied`] if another process is in it.
pub fn lock(directory: &Path) -> Result<Lock> {
    let path = directory.to_owned();
    // the directory itself, rather than a file of its own, which could be left behind or removed
    let Ok(file) = fs::File::open(directory) else { return Ok(Lock { path, directory: None }) };
    match file.try_lock() {
        Ok(()) => Ok(Lock { path, directory: Some(file) }),
        Err(TryLockError::WouldBlock) => Err(Error::Occupied { path, occupant: Occupant::Process }),
        Err(TryLockError::Error(_)) => Ok(Lock { path, directory: None }),
    }
}

/// An error of `tempfile` without the name of its temporary file, which means nothing to a user.
fn without_path(error: std::io::Error) -> std::io::Error {
    let text = error.to_string();
    match text.split_once(" at path ") {
        Some((reason, _)) => std::io::Error::new(error.kind(), reason),
        None => error,
    }
}

/// Numbers as little-endian bytes, without a copy where the machine stores them so.
pub fn le_bytes(values: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::Borrowed(bytemuck::cast_slice(values))
    } else {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }
}

/// At most this is read of a pipe or another file that does not say its length.
const LONGEST_STREAM: u64 = 1 << 30;

/// Reads a whole file. A directory is rejected, and so is a file that is larger than the available memory, before it is read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    if path.is_dir() {
        return Err(Error::invalid_file(path, "expected a file, found a directory"));
    }
    let file = fs::File::open(path).map_err(Error::io("read", path))?;
    let metadata = file.metadata().map_err(Error::io("read", path))?;
    require_bytes(metadata.len(), &path.display().to_string(), "expected a smaller file")?;
    // a file that grows meanwhile, or does not say its length, is read like a pipe
    let (len, limit) = (metadata.len(), metadata.len().max(LONGEST_STREAM));
    let mut bytes = Vec::new();
    if let Ok(len) = usize::try_from(len) {
        let full = |_| Error::io("read", path)(std::io::ErrorKind::OutOfMemory.into());
        try_reserve(&mut bytes, len).map_err(full)?;
    }
    file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > limit {
        let problem = format!("more than {limit} bytes, and no end; expected an ordinary file");
        return Err(Error::invalid_file(path, problem));
    }
    Ok(bytes)
}

/// Reads a whole file as text.
pub fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).map_err(|_| Error::invalid_file(path, "expected UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_replaces_and_leaves_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_write_that_fails_leaves_nothing_and_what_a_killed_one_left_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::create_dir(&path).unwrap(); // a file cannot take its place
        assert!(write_atomic(&path, b"one").is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        fs::write(directory.path().join(".densely-x1"), "t").unwrap();
        remove_temporaries(directory.path());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    #[cfg(unix)]
    fn pipes_and_links_to_them_stay_and_links_to_files_are_replaced() {
        use std::os::unix::fs::{FileTypeExt as _, symlink};
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let made = std::process::Command::new("mkfifo").arg(path("pipe")).status();
        assert!(made.unwrap().success());
        for (target, link) in [("pipe", "to-pipe"), ("file", "to-file"), ("none", "to-none")] {
            symlink(path(target), path(link)).unwrap();
        }
        symlink(directory.path(), path("to-directory")).unwrap();
        fs::write(path("file"), "old").unwrap();
        for (name, what) in [
            ("pipe", "it is a device or a pipe; expected a file"),
            ("to-pipe", "it is a device or a pipe"),
            ("to-directory", "it is a directory"),
        ] {
            for result in [
                write_atomic(&path(name), b"new"),
                write_atomic_and_keep(&path(name), b"new", &path("previous")),
                write_if_changed(&path(name), b"new"),
                write_if_changed(&path(name), b""), // as long as a pipe says that it is
            ] {
                assert!(result.unwrap_err().to_string().contains(what), "{name}");
            }
        }
        assert!(fs::symlink_metadata(path("pipe")).unwrap().file_type().is_fifo());
        assert!(fs::symlink_metadata(path("to-pipe")).unwrap().file_type().is_symlink());
        assert!(!path("previous").exists());
        for name in ["to-file", "to-none"] {
            write_atomic(&path(name), b"new").unwrap();
            assert_eq!(fs::read(path(name)).unwrap(), b"new");
        }
        assert_eq!(
            (fs::read(path("file")).unwrap(), path("none").exists()),
            (b"old".to_vec(), false)
        );
    }

    #[test]
    fn a_directory_is_locked_until_the_lock_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let held = lock(directory.path()).unwrap();
        assert!(held.directory.is_some(), "this file system has no locks");
        held.check().unwrap();
        let message = lock(directory.path()).unwrap_err().to_string();
        assert!(message.contains("is in use by another densely"), "{message}");
        drop(held);
        let held = lock(directory.path()).unwrap();
        fs::rename(directory.path(), directory.path().with_extension("moved")).unwrap();
        assert!(held.check().unwrap_err().to_string().contains("No such file"));
        fs::create_dir(directory.path()).unwrap();
        assert!(held.check().unwrap_err().to_string().contains("not the directory that"));
        fs::remove_dir(directory.path().with_extension("moved")).unwrap();
    }

    #[test]
    fn errors_name_the_path() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("no/such/file");
        let message = write_atomic(&missing, b"").unwrap_err().to_string();
        assert!(
            message.ends_with("no/such/file: No such file or directory (os error 2)"),
            "{message}"
        );
        let message = read(directory.path()).unwrap_err().to_string();
        assert!(message.contains("found a directory"), "{message}");
    }

    #[test]
    fn what_does_not_fit_into_memory_or_never_ends_is_rejected() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sparse");
        // 1 TB that takes no space on the disk
        fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(message.contains("sparse needs 1099.5 GB of memory"), "{message}");
        if cfg!(target_os = "linux") {
            let message = read(Path::new("/dev/zero")).unwrap_err().to_string();
            assert!(message.starts_with("/dev/zero: more than 1073741824 bytes"), "{message}");
            // says that it is empty
            assert!(read_text(Path::new("/proc/self/status")).unwrap().contains("VmSize"));
        }
    }
}
