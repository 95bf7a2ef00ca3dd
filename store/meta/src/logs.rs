//! Log streams: lines numbered from 1 without a gap, bounded each, to be read from any number on.

use ignite_core_model::JobId;
use sqlx::{AnyConnection, AssertSqlSafe};

use crate::sql::{Backend, Cells, bounded, groups, int, places};
use crate::{Meta, MetaError, Topic, jobs};

/// Longest line, in bytes.
pub const LINE_BYTES_MAX: usize = 64 << 10;

/// Most lines in one append.
pub const APPEND_LINES_MAX: usize = 4096;

/// A line to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it was said, in milliseconds since 1970.
    pub at_ms: u64,
    /// The line, as JSON the store does not interpret.
    pub body: String,
}

/// A line as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLine {
    /// Its number in the stream, from 1.
    pub sequence: u64,
    /// When it was said.
    pub at_ms: u64,
    /// The line.
    pub body: String,
}

/// How much is kept of a stream. What is more is trimmed from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most lines.
    pub lines_max: u64,
    /// Most bytes of their bodies.
    pub bytes_max: u64,
}

/// A stream as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStream {
    /// Its name.
    pub name: String,
    /// The number of the first line that is kept.
    pub first: u64,
    /// The number that the next line will have.
    pub next: u64,
    /// Bytes of the bodies of all lines that are kept.
    pub bytes: u64,
    /// When it was last appended to, in milliseconds since 1970.
    pub updated_ms: u64,
}

impl Meta {
    /// Appends lines to a stream, which is made if it is not there, and trims it. Returns the number the next line
    /// will have.
    ///
    /// With `first`, the lines are numbered by the caller from there: those that are stored already are ignored, so a batch
    /// may be sent again after a doubtful answer.
    ///
    /// # Errors
    /// [`MetaError::LogGap`] if `first` leaves a gap, [`MetaError::TooLarge`] beyond [`LINE_BYTES_MAX`] and
    /// [`APPEND_LINES_MAX`].
    pub async fn append_log(
        &self,
        stream: &str,
        first: Option<u64>,
        lines: &[Line],
        bounds: &Bounds,
        now_ms: u64,
    ) -> Result<u64, MetaError> {
        let mut tx = self.begin().await?;
        let next = append_in(&mut tx, self.0.backend, stream, first, lines, bounds, now_ms).await?;
        tx.commit().await?;
        self.raise(&Topic::Log(stream.to_owned()));
        Ok(next)
    }

    /// Appends lines that a job's worker has said, as [`Meta::append_log`] does with `first`, if this attempt still has the
    /// job: one that was taken over cannot write between the lines of the one that took it. `None`: it has not, and nothing
    /// was written.
    ///
    /// # Errors
    /// Those of [`Meta::append_log`].
    pub async fn append_job_log(
        &self,
        (job, attempt): (JobId, u32),
        stream: &str,
        first: u64,
        lines: &[Line],
        bounds: &Bounds,
        now_ms: u64,
    ) -> Result<Option<u64>, MetaError> {
        let mut tx = self.begin().await?;
        if !jobs::hold(&mut tx, self.0.backend, job, attempt).await? {
            return Ok(None);
        }
        let next = append_in(&mut tx, self.0.backend, stream, Some(first), lines, bounds, now_ms).await?;
        tx.commit().await?;
        self.raise(&Topic::Log(stream.to_owned()));
        Ok(Some(next))
    }

    /// Lines of a stream whose number is `from` or more, at most `limit`, in order. What was trimmed is not there, and
    /// a stream that is not there has no lines. Wait with [`Topic::Log`] between calls.
    pub async fn read_log(&self, stream: &str, from: u64, limit: u32) -> Result<Vec<StoredLine>, MetaError> {
        let rows = sqlx::query(
            "SELECT sequence, at_ms, body FROM log_lines WHERE stream = $1 AND sequence >= $2 ORDER BY sequence LIMIT $3",
        )
        .bind(stream)
        .bind(int(from))
        .bind(i64::from(limit))
        .fetch_all(&self.0.read)
        .await?;
        rows.iter()
            .map(|row| {
                let cells = Cells(row);
                Ok(StoredLine {
                    sequence: cells.int("sequence")?,
                    at_ms: cells.int("at_ms")?,
                    body: cells.text("body")?,
                })
            })
            .collect()
    }

    /// How a stream stands, if it is there.
    pub async fn find_log(&self, stream: &str) -> Result<Option<LogStream>, MetaError> {
        let row = sqlx::query("SELECT * FROM log_streams WHERE name = $1").bind(stream);
        row.fetch_optional(&self.0.read).await?.as_ref().map(|row| log_stream(&Cells(row))).transpose()
    }

    /// Streams whose name begins with `prefix`, after the name `after`, at most `limit`, by name.
    pub async fn list_logs(&self, prefix: &str, after: &str, limit: u32) -> Result<Vec<LogStream>, MetaError> {
        let rows = sqlx::query(
            "SELECT * FROM log_streams WHERE name >= $1 AND name < $2 AND name > $3 ORDER BY name LIMIT $4",
        )
        .bind(prefix)
        .bind(beyond(prefix))
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.0.read)
        .await?;
        rows.iter().map(|row| log_stream(&Cells(row))).collect()
    }

    /// Deletes a stream with its lines.
    pub async fn delete_log(&self, stream: &str) -> Result<(), MetaError> {
        let mut tx = self.begin().await?;
        delete_in(&mut tx, stream).await?;
        tx.commit().await?;
        self.raise(&Topic::Log(stream.to_owned()));
        Ok(())
    }

    /// Deletes streams whose name begins with `prefix` and that nobody has appended to since `before_ms`, at most `limit`.
    /// Returns how many.
    pub async fn sweep_logs(&self, prefix: &str, before_ms: u64, limit: u32) -> Result<u64, MetaError> {
        let rows = sqlx::query(
            "SELECT name FROM log_streams WHERE updated_ms < $1 AND name >= $2 AND name < $3 ORDER BY updated_ms LIMIT $4",
        )
        .bind(int(before_ms))
        .bind(prefix)
        .bind(beyond(prefix))
        .bind(i64::from(limit))
        .fetch_all(&self.0.read)
        .await?;
        for row in &rows {
            self.delete_log(&Cells(row).text("name")?).await?;
        }
        Ok(rows.len() as u64)
    }
}

/// The first text after all that begin with `prefix`. Names are of printable characters, so any of the last plane is beyond.
fn beyond(prefix: &str) -> String {
    format!("{prefix}\u{10ffff}")
}

pub(crate) async fn append_in(
    tx: &mut AnyConnection,
    backend: Backend,
    stream: &str,
    first: Option<u64>,
    lines: &[Line],
    bounds: &Bounds,
    now_ms: u64,
) -> Result<u64, MetaError> {
    bounded("an append to a log", lines.len(), APPEND_LINES_MAX, "lines")?;
    for line in lines {
        bounded("a log line", line.body.len(), LINE_BYTES_MAX, "bytes")?;
    }
    let mut state = lock_stream(tx, backend, stream, now_ms).await?;
    let first = first.unwrap_or(state.next);
    if first > state.next {
        return Err(MetaError::LogGap { stream: stream.to_owned(), expected: state.next, found: first });
    }
    let known = usize::try_from(state.next - first).unwrap_or(usize::MAX);
    for group in groups(lines.get(known..).unwrap_or_default()) {
        let values = places(group.len(), 5);
        let statement = format!("INSERT INTO log_lines (stream, sequence, at_ms, bytes, body) VALUES {values}");
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for line in group {
            let bytes = line.body.len() as u64;
            query = query
                .bind(stream)
                .bind(int(state.next))
                .bind(int(line.at_ms))
                .bind(int(bytes))
                .bind(line.body.as_str());
            state.next += 1;
            state.bytes += bytes;
        }
        query.execute(&mut *tx).await?;
    }
    trim(tx, &mut state, bounds).await?;
    sqlx::query(
        "UPDATE log_streams SET first_sequence = $1, next_sequence = $2, bytes = $3, updated_ms = $4 WHERE name = $5",
    )
    .bind(int(state.first))
    .bind(int(state.next))
    .bind(int(state.bytes))
    .bind(int(now_ms))
    .bind(stream)
    .execute(tx)
    .await?;
    Ok(state.next)
}

/// Reads the stream's row, made if it is not there, and keeps others from appending until the transaction ends.
async fn lock_stream(
    tx: &mut AnyConnection,
    backend: Backend,
    stream: &str,
    now_ms: u64,
) -> Result<LogStream, MetaError> {
    sqlx::query(
        "INSERT INTO log_streams (name, first_sequence, next_sequence, bytes, updated_ms) VALUES ($1, 1, 1, 0, $2) \
         ON CONFLICT (name) DO NOTHING",
    )
    .bind(stream)
    .bind(int(now_ms))
    .execute(&mut *tx)
    .await?;
    let statement = format!("SELECT * FROM log_streams WHERE name = $1{}", backend.for_update());
    let row = sqlx::query(AssertSqlSafe(statement)).bind(stream).fetch_one(tx).await?;
    log_stream(&Cells(&row))
}

/// Lines read at once to find out where to cut.
const TRIM_LINES: i64 = 1024;

/// Deletes lines from the beginning if the stream is beyond its bounds, and a sixteenth more, so that not each line that
/// follows has to do it again.
async fn trim(tx: &mut AnyConnection, state: &mut LogStream, bounds: &Bounds) -> Result<(), MetaError> {
    if state.next - state.first <= bounds.lines_max && state.bytes <= bounds.bytes_max {
        return Ok(());
    }
    let bounds = Bounds {
        lines_max: bounds.lines_max - bounds.lines_max / 16,
        bytes_max: bounds.bytes_max - bounds.bytes_max / 16,
    };
    while state.next - state.first > bounds.lines_max || state.bytes > bounds.bytes_max {
        let rows = sqlx::query(
            "SELECT sequence, bytes FROM log_lines WHERE stream = $1 AND sequence >= $2 ORDER BY sequence LIMIT $3",
        )
        .bind(state.name.as_str())
        .bind(int(state.first))
        .bind(TRIM_LINES)
        .fetch_all(&mut *tx)
        .await?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in &rows {
            if state.next - state.first <= bounds.lines_max && state.bytes <= bounds.bytes_max {
                break;
            }
            state.first = Cells(row).int("sequence")? + 1;
            state.bytes = state.bytes.saturating_sub(Cells(row).int("bytes")?);
        }
        sqlx::query("DELETE FROM log_lines WHERE stream = $1 AND sequence < $2")
            .bind(state.name.as_str())
            .bind(int(state.first))
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

pub(crate) async fn delete_in(tx: &mut AnyConnection, stream: &str) -> Result<(), MetaError> {
    // The stream's row first, as appending locks it first.
    sqlx::query("DELETE FROM log_streams WHERE name = $1").bind(stream).execute(&mut *tx).await?;
    sqlx::query("DELETE FROM log_lines WHERE stream = $1").bind(stream).execute(tx).await?;
    Ok(())
}

fn log_stream(cells: &Cells<'_>) -> Result<LogStream, MetaError> {
    Ok(LogStream {
        name: cells.text("name")?,
        first: cells.int("first_sequence")?,
        next: cells.int("next_sequence")?,
        bytes: cells.int("bytes")?,
        updated_ms: cells.int("updated_ms")?,
    })
}
