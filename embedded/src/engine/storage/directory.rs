//! The data directory: private to its owner, used by one server at a time.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use crate::engine::EngineError;

pub(super) const DATABASE: &str = "kalam.db";
const LOCK: &str = "kalam.lock";

/// An open data directory. The operating system releases the lock with the process, however it ends.
pub(super) struct Lock {
    directory: PathBuf,
    _file: File,
}

impl Lock {
    pub(super) fn database(&self) -> PathBuf {
        self.directory.join(DATABASE)
    }
}

/// What tells a file from its copies: a restored one is another. `None` where the file system does not tell.
pub(super) fn identity(file: &Path) -> Option<String> {
    let metadata = fs::metadata(file).ok()?;
    // A number alone may be given to the next file.
    let created = metadata.created().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?.as_nanos();
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let number = 0;
    Some(format!("{number}-{created}"))
}

/// Creates what is missing and locks it.
pub(super) fn open(directory: &Path) -> Result<Lock, EngineError> {
    let failed = |what: &str, path: &Path, source| EngineError::Io {
        what: format!("{what} {}", path.display()),
        source,
    };
    if directory.exists() && !directory.is_dir() {
        let source = io::Error::from(io::ErrorKind::NotADirectory);
        return Err(failed("can not keep data in the file", directory, source));
    }
    create_directory(directory).map_err(|e| failed("can not create the data directory", directory, e))?;
    let lock_path = directory.join(LOCK);
    let lock = private_file(&lock_path).map_err(|e| failed("can not open", &lock_path, e))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(EngineError::Locked(directory.to_owned())),
        Err(TryLockError::Error(e)) => return Err(failed("can not lock", &lock_path, e)),
    }
    // Made before SQLite opens it: its WAL and index files take over the mode.
    let database = directory.join(DATABASE);
    private_file(&database).map_err(|e| failed("can not open", &database, e))?;
    Ok(Lock { directory: directory.to_owned(), _file: lock })
}

pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

pub(super) fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
