//! The ledger's tables.

use std::path::Path;

use rusqlite::Connection;

/// Format of the tables below; raised when they change.
pub const FORMAT: &str = "5";

const TABLES: &str = "
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

-- One finished evaluation: a network is trained once, whatever architectures describe it.
CREATE TABLE evaluations (
    id           INTEGER PRIMARY KEY,   -- number within the run, from 1, in the order of proposal
    digest       TEXT NOT NULL UNIQUE,  -- of the network
    architecture TEXT NOT NULL,
    step         INTEGER NOT NULL,
    accuracy     REAL,                  -- NULL: it failed, see problem
    problem      TEXT,
    seconds      REAL NOT NULL,
    finished     TEXT NOT NULL
) STRICT;

CREATE INDEX evaluations_by_step ON evaluations (step);

-- One finished timing.
CREATE TABLE measurements (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    device       INTEGER NOT NULL,      -- its place among the search file's devices, from 0
    digest       TEXT NOT NULL,
    architecture TEXT NOT NULL,
    purpose      TEXT NOT NULL,         -- warm-up, search or anchor
    step         INTEGER NOT NULL,
    latency_ms   REAL NOT NULL,         -- on the undisturbed device, as is its 95 % interval:
    least_ms     REAL NOT NULL,
    most_ms      REAL NOT NULL,
    drift        REAL,                  -- the device's slowness now over that at its calibration
    predicted_ms REAL,                  -- what was expected beforehand, with its interval
    low_ms       REAL,
    high_ms      REAL,
    timing       TEXT NOT NULL,         -- every sample, JSON
    seconds      REAL NOT NULL,
    finished     TEXT NOT NULL,
    attempts     INTEGER NOT NULL,      -- sessions made until the device was at its usual pace
    UNIQUE (device, digest, purpose, step)
) STRICT;

CREATE INDEX measurements_by_step ON measurements (step);

-- One finished step and the proposer's state behind it.
CREATE TABLE steps (
    step       INTEGER PRIMARY KEY,
    summary    TEXT NOT NULL,           -- JSON
    proposer   BLOB NOT NULL
) STRICT;

-- What the proposer learnt from, candidate by candidate.
CREATE TABLE experiences (
    step         INTEGER NOT NULL,
    position     INTEGER NOT NULL,
    digest       TEXT NOT NULL,
    architecture TEXT NOT NULL,
    tokens       TEXT NOT NULL,         -- JSON
    accuracy     REAL NOT NULL,
    latency_ms   REAL NOT NULL,
    measured     INTEGER NOT NULL,      -- 1: timed on the device, 0: predicted
    reward       REAL NOT NULL,
    PRIMARY KEY (step, position)
) STRICT;

-- The table at the end: the best candidates and the references, re-timed in interleaved rounds.
CREATE TABLE finals (
    position INTEGER PRIMARY KEY,
    row      TEXT NOT NULL              -- JSON
) STRICT;
";

/// Creates the tables in a new file, with the run's first settings.
pub fn create(path: &Path, settings: &[(String, String)]) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    connection.execute_batch(TABLES)?;
    for (name, value) in settings.iter().chain([&("format".to_owned(), FORMAT.to_owned())]) {
        connection.execute("INSERT INTO settings (name, value) VALUES (?1, ?2)", [name, value])?;
    }
    // Last, so that the file to be renamed has no log beside it yet.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.close().map_err(|(_, error)| error)
}
