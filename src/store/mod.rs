//! The run directory and its ledger.
//!
//! ```text
//! RUN/search.toml     the search file as it was given
//! RUN/run.sqlite      every finished evaluation, timing and step (SQLite, WAL)
//! RUN/best.tflite     the winner
//! RUN/report.html     what `mnas report` prints, as a page
//! RUN/artefacts/HASH  larger files, named by the blake3 of their content
//! ```
//! The ledger is written in units of finished work: one row when an evaluation or a timing ends, and one transaction
//! when a step ends, which stores the step's experiences together with the proposer's state after learning from them.
//! Whatever a crash interrupts is therefore either wholly there or not there, and a run that is resumed repeats the
//! open step with the same decisions, taking the rows that already exist instead of doing that work again.

mod rows;
mod schema;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

pub use rows::{
    BeyondLimits, Evaluation, Experience, FailedTiming, FinalRow, FinalTiming, INTERVAL_LEVEL, Measurement, Purpose,
    Seconds, Step,
};

/// What went wrong with a run directory.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file of the run cannot be read or written.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// SQLite refused.
    #[error("{path}: {message}")]
    Database {
        /// The database file.
        path: PathBuf,
        /// SQLite's message, and for a full disk what to do.
        message: String,
    },
    /// `mnas search` would overwrite a run.
    #[error("{0} already holds a run; continue it with `mnas resume {0}` or give another folder")]
    Exists(PathBuf),
    /// Nothing to resume or report.
    #[error("{0} holds no run (no run.sqlite there); start one with `mnas search FILE.toml --run {0}`")]
    Missing(PathBuf),
    /// Another process has it open for writing.
    #[error("the run in {0} is being written by another process; stop it first with `mnas stop {0}`")]
    Locked(PathBuf),
    /// The file is of another program version or no ledger at all.
    #[error(
        "{path}: the ledger has format {found}, this program writes {expected}; use the version of mnas that made it"
    )]
    Format {
        /// The database file.
        path: PathBuf,
        /// Format this program writes.
        expected: String,
        /// Format found.
        found: String,
    },
}

/// What a run begins with.
#[derive(Debug, Clone, Default)]
pub struct Beginning {
    /// Files beside the ledger: name and content.
    pub files: Vec<(&'static str, Vec<u8>)>,
    /// Artefacts, each with the name of the setting that holds its hash.
    pub artefacts: Vec<(String, Vec<u8>)>,
    /// Named texts.
    pub settings: Vec<(&'static str, String)>,
}

/// One run's ledger. Only one process writes it at a time (an advisory lock beside it); any number may read.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    connection: Connection,
    /// Held for as long as the ledger may be written; `None` for readers.
    _lock: Option<fs_err::File>,
}

impl Ledger {
    /// Makes the run directory: its files, its artefacts, and last the ledger, so that one that exists is whole.
    ///
    /// # Errors
    /// [`StoreError::Exists`] where there is a run already; file and database errors.
    pub fn create(folder: &Path, beginning: Beginning) -> Result<Self, StoreError> {
        fs_err::create_dir_all(folder)?;
        let lock = lock(folder)?;
        if database(folder).exists() {
            return Err(StoreError::Exists(folder.to_owned()));
        }
        for (name, content) in &beginning.files {
            crate::files::write_atomically(&folder.join(name), content)?;
        }
        let mut settings: Vec<(String, String)> =
            beginning.settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        for (name, content) in beginning.artefacts {
            let hash = blake3::hash(&content).to_hex().to_string();
            crate::files::write_atomically(&artefact(folder, &hash), &content)?;
            settings.push((name, hash));
        }
        // Built under another name: a run.sqlite that exists is always a complete one.
        let unfinished = folder.join("run.sqlite.new");
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let _ = std::fs::remove_file(folder.join(format!("run.sqlite.new{suffix}")));
        }
        schema::create(&unfinished, &settings).map_err(|error| describe(&unfinished, error))?;
        fs_err::rename(&unfinished, database(folder))?;
        Self::connect(folder, Some(lock))
    }

    /// Opens a run for writing.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Locked`], [`StoreError::Format`] or a database error.
    pub fn resume(folder: &Path) -> Result<Self, StoreError> {
        if !database(folder).exists() {
            return Err(StoreError::Missing(folder.to_owned()));
        }
        let lock = lock(folder)?;
        Self::connect(folder, Some(lock))
    }

    /// Opens a run for reading, also while another process writes it.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Format`] or a database error.
    pub fn read(folder: &Path) -> Result<Self, StoreError> {
        if !database(folder).exists() {
            return Err(StoreError::Missing(folder.to_owned()));
        }
        Self::connect(folder, None)
    }

    fn connect(folder: &Path, lock: Option<fs_err::File>) -> Result<Self, StoreError> {
        let path = database(folder);
        let open = || {
            let connection = Connection::open(&path)?;
            connection.busy_timeout(Duration::from_secs(10))?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            Ok(connection)
        };
        let connection = open().map_err(|error| describe(&path, error))?;
        let ledger = Self { folder: folder.to_owned(), connection, _lock: lock };
        let found = ledger.setting("format")?.unwrap_or_else(|| "none".to_owned());
        if found != schema::FORMAT {
            return Err(StoreError::Format { path, expected: schema::FORMAT.to_owned(), found });
        }
        Ok(ledger)
    }

    /// The run directory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A named text stored with the run.
    ///
    /// # Errors
    /// A database error.
    pub fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let query = "SELECT value FROM settings WHERE name = ?1";
        self.check(self.connection.query_row(query, [name], |row| row.get(0)).optional())
    }

    /// Stores a named text, replacing an older one.
    ///
    /// # Errors
    /// A database error.
    pub fn set(&self, name: &str, value: &str) -> Result<(), StoreError> {
        let statement =
            "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2";
        self.check(self.connection.execute(statement, params![name, value])).map(drop)
    }

    /// Path of the artefact with this hash.
    pub fn artefact(&self, hash: &str) -> PathBuf {
        artefact(&self.folder, hash)
    }

    /// Asks the process that writes this run to finish what it is doing and stop; `false` if none does.
    ///
    /// # Errors
    /// File errors with the path.
    pub fn request_stop(folder: &Path) -> Result<bool, StoreError> {
        if !database(folder).exists() {
            return Err(StoreError::Missing(folder.to_owned()));
        }
        match lock(folder) {
            Ok(_unused) => Ok(false),
            Err(StoreError::Locked(_)) => {
                fs_err::write(stop_file(folder), "")?;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Forgets an earlier stop request.
    ///
    /// # Errors
    /// File errors with the path.
    pub fn clear_stop(&self) -> Result<(), StoreError> {
        match fs_err::remove_file(stop_file(&self.folder)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn check<T>(&self, result: rusqlite::Result<T>) -> Result<T, StoreError> {
        result.map_err(|error| describe(&database(&self.folder), error))
    }
}

fn artefact(folder: &Path, hash: &str) -> PathBuf {
    folder.join("artefacts").join(hash)
}

fn database(folder: &Path) -> PathBuf {
    folder.join("run.sqlite")
}

fn stop_file(folder: &Path) -> PathBuf {
    folder.join("stop")
}

/// Takes the run's lock; the operating system releases it when the process ends, however it ends.
fn lock(folder: &Path) -> Result<fs_err::File, StoreError> {
    let file = fs_err::OpenOptions::new().create(true).append(true).open(folder.join("lock"))?;
    match file.file().try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::Locked(folder.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(error.into()),
    }
}

fn describe(path: &Path, error: rusqlite::Error) -> StoreError {
    let full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
    let advice = "the disk is full. Nothing finished is lost: free some space and continue with `mnas resume`";
    let message = if full { format!("{error}: {advice}") } else { error.to_string() };
    StoreError::Database { path: path.to_owned(), message }
}
