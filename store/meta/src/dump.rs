//! Backup and restore.
//!
//! A dump is JSON lines, compressed with zstd: a head with the dump's version and the schema; for each table a line with its
//! name and columns, then a line for each row; an end that counts the rows. It is taken while the platform serves, shows
//! one moment, and can be restored into either database. Bytes are written as hexadecimal digits.

use std::io::{BufRead, BufReader, Read, Write};

use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use crate::open::make_private;
use crate::sql::{Backend, Cells};
use crate::tables::{Kind, TABLES, Table};
use crate::{Meta, MetaError, schema};

/// The version of the format.
const DUMP: u64 = 1;

/// Longest line of a dump, in bytes: a row of the largest values, each byte of them escaped.
const LINE_BYTES_MAX: u64 = 32 << 20;

/// How many lines go through compression at once.
const LINES_AT_ONCE: usize = 512;

/// How far sequences jump in a restored database. Whoever has followed the former one, and so may have seen sequences that
/// the backup does not know, is behind the jump and begins anew.
const SEQUENCE_JUMP: i64 = 1 << 32;

#[derive(Serialize, Deserialize)]
struct Head {
    ignite_dump: u64,
    schema: u64,
}

#[derive(Serialize, Deserialize)]
struct TableHead {
    table: String,
    columns: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct End {
    end: u64,
}

impl Meta {
    /// Writes a dump of all records as they are at this moment. Returns how many rows it has.
    ///
    /// # Errors
    /// [`MetaError::File`] if `to` cannot be written.
    pub async fn dump<W: Write + Send + 'static>(&self, to: W) -> Result<u64, MetaError> {
        let mut tx = self.begin_snapshot().await?;
        if self.0.backend == Backend::Postgres {
            // A long dump is no mistake.
            let statement = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";
            sqlx::raw_sql(statement).execute(&mut *tx).await?;
        }
        let mut out = Compressor::new(to)?;
        out.line(&Head { ignite_dump: DUMP, schema: schema::SCHEMA }).await?;
        let mut count = 0;
        for table in TABLES {
            let columns: Vec<_> = table.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
            let statement = format!("SELECT {} FROM {} ORDER BY {}", columns.join(", "), table.name, table.key);
            out.line(&TableHead { table: table.name.to_owned(), columns }).await?;
            let mut rows = sqlx::query(AssertSqlSafe(statement)).fetch(&mut *tx);
            while let Some(row) = rows.try_next().await? {
                out.line(&values(table, &row)?).await?;
                count += 1;
            }
        }
        out.line(&End { end: count }).await?;
        out.finish().await?;
        tx.commit().await?;
        Ok(count)
    }

    /// Reads a dump into this database, which must have no records: all of it or, if anything is wrong, nothing. Returns
    /// how many rows it has read. Instances are restored as they were reported; their agents report anew.
    ///
    /// # Errors
    /// [`MetaError::NotEmpty`], and [`MetaError::BadDump`] if it is damaged, cut, or of a later release.
    pub async fn restore<R: Read + Send + 'static>(&self, from: R) -> Result<u64, MetaError> {
        let mut tx = self.begin().await?;
        for table in TABLES.iter().filter(|table| table.name != "counters") {
            let any = sqlx::query(AssertSqlSafe(format!("SELECT 1 AS row FROM {} LIMIT 1", table.name)));
            if any.fetch_optional(&mut *tx).await?.is_some() {
                return Err(MetaError::NotEmpty(table.name));
            }
        }
        sqlx::query("DELETE FROM counters").execute(&mut *tx).await?;
        let mut lines = Decompressor::new(from)?;
        let head: Head = lines.next().await?;
        if head.ignite_dump != DUMP {
            return Err(bad(format!("it has format {}, and this program reads format {DUMP}", head.ignite_dump)));
        }
        if head.schema > schema::SCHEMA {
            return Err(MetaError::SchemaNewer { found: head.schema, known: schema::SCHEMA });
        }
        let count = read_tables(&mut tx, &mut lines).await?;
        sqlx::query("UPDATE counters SET value = value + $1").bind(SEQUENCE_JUMP).execute(&mut *tx).await?;
        sqlx::query(
            "UPDATE counters SET value = (SELECT value FROM counters WHERE name = 'change') WHERE name = 'change_floor'",
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(count)
    }

    /// Copies a SQLite database to a file that is not there yet, while the platform serves. It can be opened as it is.
    ///
    /// # Errors
    /// [`MetaError::File`] if the file is there or cannot be made. [`MetaError::Database`] for Postgres, which has tools
    /// of its own; [`Meta::dump`] works for both.
    pub async fn copy_sqlite(&self, to: &std::path::Path) -> Result<(), MetaError> {
        if self.0.backend != Backend::Sqlite {
            return Err(MetaError::Database("only a SQLite database is a file that can be copied".into()));
        }
        let failed = |doing| move |cause| MetaError::File { doing, path: to.display().to_string(), cause };
        if to.exists() {
            return Err(failed("make")(std::io::ErrorKind::AlreadyExists.into()));
        }
        make_private(to)?;
        let path = to.to_str().ok_or_else(|| failed("make")(std::io::ErrorKind::InvalidInput.into()))?;
        // On a connection that reads, so that nobody who writes waits for it.
        let mut connection = self.0.read.acquire().await?;
        sqlx::raw_sql("PRAGMA query_only = OFF").execute(&mut *connection).await?;
        let copied = sqlx::query("VACUUM INTO $1").bind(path).execute(&mut *connection).await;
        sqlx::raw_sql("PRAGMA query_only = ON").execute(&mut *connection).await?;
        copied?;
        std::fs::File::open(to).and_then(|file| file.sync_all()).map_err(failed("write"))
    }
}

fn values(table: &Table, row: &AnyRow) -> Result<Vec<Value>, MetaError> {
    let cells = Cells(row);
    let value = |(name, kind): &(&'static str, Kind)| {
        Ok(match kind {
            _ if cells.is_null(name)? => Value::Null,
            Kind::Int => row.try_get::<i64, _>(*name).map_err(|_| MetaError::Unreadable(name))?.into(),
            Kind::Text => cells.text(name)?.into(),
            Kind::Bytes => hex(&cells.bytes(name)?).into(),
        })
    };
    table.columns.iter().map(value).collect()
}

async fn read_tables<R: Read + Send + 'static>(
    tx: &mut AnyConnection,
    lines: &mut Decompressor<R>,
) -> Result<u64, MetaError> {
    let mut count = 0;
    let mut into: Option<(String, Vec<Kind>)> = None;
    loop {
        let line: Value = lines.next().await?;
        match line {
            Value::Array(row) => {
                let Some((statement, kinds)) = &into else { return Err(bad("a row comes before its table")) };
                insert(tx, statement, kinds, row).await?;
                count += 1;
            }
            Value::Object(ref object) if object.contains_key("end") => {
                let end: End = serde_json::from_value(line).map_err(|error| bad(error.to_string()))?;
                if end.end != count {
                    return Err(bad(format!("it has {count} rows and its end counts {}", end.end)));
                }
                return Ok(count);
            }
            other => {
                let head: TableHead = serde_json::from_value(other).map_err(|error| bad(error.to_string()))?;
                into = Some(insertion(&head)?);
            }
        }
    }
}

/// The statement that inserts rows of a dumped table. What names it has come from this program's own list.
fn insertion(head: &TableHead) -> Result<(String, Vec<Kind>), MetaError> {
    let table = TABLES.iter().find(|table| table.name == head.table);
    let table = table.ok_or_else(|| bad(format!("there is no table `{}`", head.table)))?;
    let (mut names, mut kinds) = (Vec::new(), Vec::new());
    for column in &head.columns {
        let (name, kind) = table
            .columns
            .iter()
            .find(|(name, _)| name == column)
            .ok_or_else(|| bad(format!("table `{}` has no column `{column}`", table.name)))?;
        names.push(*name);
        kinds.push(*kind);
    }
    let places: Vec<_> = (1..=names.len()).map(|place| format!("${place}")).collect();
    Ok((format!("INSERT INTO {} ({}) VALUES ({})", table.name, names.join(", "), places.join(", ")), kinds))
}

async fn insert(tx: &mut AnyConnection, statement: &str, kinds: &[Kind], row: Vec<Value>) -> Result<(), MetaError> {
    if row.len() != kinds.len() {
        return Err(bad("a row has other columns than its table"));
    }
    let mut query = sqlx::query(AssertSqlSafe(statement.to_owned()));
    for (value, kind) in row.into_iter().zip(kinds) {
        query = match (kind, value) {
            (Kind::Int, Value::Null) => query.bind(None::<i64>),
            (Kind::Text, Value::Null) => query.bind(None::<String>),
            (Kind::Bytes, Value::Null) => query.bind(None::<Vec<u8>>),
            (Kind::Int, Value::Number(number)) => {
                query.bind(number.as_i64().ok_or_else(|| bad("a number is too large"))?)
            }
            (Kind::Text, Value::String(text)) => query.bind(text),
            (Kind::Bytes, Value::String(text)) => query.bind(unhex(&text)?),
            _ => return Err(bad("a column holds what is not of its kind")),
        };
    }
    query.execute(tx).await?;
    Ok(())
}

fn bad(what: impl Into<String>) -> MetaError {
    MetaError::BadDump(what.into())
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

fn unhex(text: &str) -> Result<Vec<u8>, MetaError> {
    let wrong = || bad("bytes are not hexadecimal digits");
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or_else(wrong);
    if !text.len().is_multiple_of(2) {
        return Err(wrong());
    }
    text.as_bytes().chunks_exact(2).map(|pair| Ok(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// Compresses lines on a thread where waiting for a disk disturbs nobody.
struct Compressor<W: Write> {
    encoder: Option<zstd::Encoder<'static, W>>,
    pending: Vec<u8>,
    lines: usize,
}

impl<W: Write + Send + 'static> Compressor<W> {
    fn new(to: W) -> Result<Self, MetaError> {
        let mut encoder = zstd::Encoder::new(to, 3).map_err(write_failed)?;
        encoder.include_checksum(true).map_err(write_failed)?;
        Ok(Self { encoder: Some(encoder), pending: Vec::new(), lines: 0 })
    }

    async fn line(&mut self, line: &impl Serialize) -> Result<(), MetaError> {
        serde_json::to_writer(&mut self.pending, line).map_err(|error| write_failed(error.into()))?;
        self.pending.push(b'\n');
        self.lines += 1;
        if self.lines >= LINES_AT_ONCE || self.pending.len() > 1 << 20 {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), MetaError> {
        let pending = std::mem::take(&mut self.pending);
        self.lines = 0;
        let Some(mut encoder) = self.encoder.take() else { return Ok(()) };
        let written = tokio::task::spawn_blocking(move || encoder.write_all(&pending).map(|()| encoder)).await;
        self.encoder =
            Some(written.map_err(|error| write_failed(std::io::Error::other(error)))?.map_err(write_failed)?);
        Ok(())
    }

    async fn finish(mut self) -> Result<(), MetaError> {
        self.flush().await?;
        let Some(encoder) = self.encoder.take() else { return Ok(()) };
        let finished = tokio::task::spawn_blocking(move || encoder.finish().and_then(|mut to| to.flush())).await;
        finished.map_err(|error| write_failed(std::io::Error::other(error)))?.map_err(write_failed)
    }
}

fn write_failed(cause: std::io::Error) -> MetaError {
    MetaError::File { doing: "write", path: "the dump".into(), cause }
}

/// What reads a dump, and the lines it has read.
type Lines<R> = (BufReader<zstd::Decoder<'static, BufReader<R>>>, Vec<Vec<u8>>);

/// Decompresses lines, some at once, on a thread where waiting for a disk disturbs nobody.
struct Decompressor<R: Read> {
    reader: Option<BufReader<zstd::Decoder<'static, BufReader<R>>>>,
    ready: std::vec::IntoIter<Vec<u8>>,
}

impl<R: Read + Send + 'static> Decompressor<R> {
    fn new(from: R) -> Result<Self, MetaError> {
        let decoder = zstd::Decoder::new(from).map_err(|error| bad(error.to_string()))?;
        Ok(Self { reader: Some(BufReader::new(decoder)), ready: Vec::new().into_iter() })
    }

    async fn next<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T, MetaError> {
        if self.ready.len() == 0 {
            let reader = self.reader.take().ok_or_else(|| bad("it could not be read before"))?;
            let read = tokio::task::spawn_blocking(move || read_lines(reader)).await;
            let (reader, lines) = read.map_err(|error| bad(error.to_string()))??;
            self.reader = Some(reader);
            self.ready = lines.into_iter();
        }
        let line = self.ready.next().ok_or_else(|| bad("it has no end; it was cut"))?;
        serde_json::from_slice(&line).map_err(|error| bad(error.to_string()))
    }
}

fn read_lines<R: Read>(mut reader: BufReader<zstd::Decoder<'static, BufReader<R>>>) -> Result<Lines<R>, MetaError> {
    let (mut lines, mut bytes) = (Vec::new(), 0);
    while lines.len() < LINES_AT_ONCE && bytes < 1 << 20 {
        let mut line = Vec::new();
        let limited = &mut (&mut reader).take(LINE_BYTES_MAX);
        limited.read_until(b'\n', &mut line).map_err(|error| bad(error.to_string()))?;
        match line.last() {
            None => break,
            Some(b'\n') => {}
            Some(_) if line.len() as u64 == LINE_BYTES_MAX => return Err(bad("a line is too long")),
            Some(_) => return Err(bad("it has no end; it was cut")),
        }
        bytes += line.len();
        lines.push(line);
    }
    Ok((reader, lines))
}
