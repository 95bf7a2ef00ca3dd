//! Reading rows and binding values, alike for both databases.

use std::str::FromStr;

use sqlx::any::AnyRow;
use sqlx::{Row, ValueRef};

use crate::MetaError;

/// Which database it is, where the two need different words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

impl Backend {
    /// What a query that picks rows to lease ends with: two who lease at once must not wait for each other. SQLite has one
    /// writer, so there nobody is met. Such a query stands in a `MATERIALIZED` part of its statement: Postgres may run a plain
    /// subquery more than once, and then more rows are leased than were asked for.
    pub(crate) fn skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }

    /// What a query that reads a row to write it back ends with.
    pub(crate) fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE",
        }
    }
}

/// A number as both databases store it. What does not fit is a time beyond the year 292 million, or a bound that
/// means "none", and stays the largest there is.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The same for a number that may be absent.
pub(crate) fn int_option(number: Option<u64>) -> Option<i64> {
    number.map(int)
}

/// The columns of a row by name. A name is `table.column` in messages, `column` in the row.
pub(crate) struct Cells<'r>(pub(crate) &'r AnyRow);

impl Cells<'_> {
    pub(crate) fn text(&self, column: &'static str) -> Result<String, MetaError> {
        self.0.try_get(column).map_err(|_| MetaError::Unreadable(column))
    }

    pub(crate) fn text_option(&self, column: &'static str) -> Result<Option<String>, MetaError> {
        if self.is_null(column)? { Ok(None) } else { self.text(column).map(Some) }
    }

    pub(crate) fn parse<T: FromStr>(&self, column: &'static str) -> Result<T, MetaError> {
        self.text(column)?.parse().map_err(|_| MetaError::Unreadable(column))
    }

    pub(crate) fn parse_option<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, MetaError> {
        if self.is_null(column)? { Ok(None) } else { self.parse(column).map(Some) }
    }

    pub(crate) fn signed(&self, column: &'static str) -> Result<i64, MetaError> {
        self.0.try_get(column).map_err(|_| MetaError::Unreadable(column))
    }

    pub(crate) fn int(&self, column: &'static str) -> Result<u64, MetaError> {
        u64::try_from(self.signed(column)?).map_err(|_| MetaError::Unreadable(column))
    }

    pub(crate) fn int_option(&self, column: &'static str) -> Result<Option<u64>, MetaError> {
        if self.is_null(column)? { Ok(None) } else { self.int(column).map(Some) }
    }

    pub(crate) fn small(&self, column: &'static str) -> Result<u32, MetaError> {
        u32::try_from(self.signed(column)?).map_err(|_| MetaError::Unreadable(column))
    }

    pub(crate) fn version(&self, column: &'static str) -> Result<ignite_core_model::VersionNumber, MetaError> {
        ignite_core_model::VersionNumber::new(self.small(column)?).ok_or(MetaError::Unreadable(column))
    }

    pub(crate) fn flag(&self, column: &'static str) -> Result<bool, MetaError> {
        Ok(self.signed(column)? != 0)
    }

    pub(crate) fn bytes(&self, column: &'static str) -> Result<Vec<u8>, MetaError> {
        self.0.try_get(column).map_err(|_| MetaError::Unreadable(column))
    }

    pub(crate) fn bytes_option(&self, column: &'static str) -> Result<Option<Vec<u8>>, MetaError> {
        if self.is_null(column)? { Ok(None) } else { self.bytes(column).map(Some) }
    }

    pub(crate) fn is_null(&self, column: &'static str) -> Result<bool, MetaError> {
        self.0.try_get_raw(column).map(|value| value.is_null()).map_err(|_| MetaError::Unreadable(column))
    }
}

/// Refuses a value that is larger than what is stored of its kind.
pub(crate) fn bounded(what: &'static str, found: usize, max: usize, unit: &'static str) -> Result<(), MetaError> {
    if found <= max {
        return Ok(());
    }
    Err(MetaError::TooLarge { what, found: found as u64, max: max as u64, unit })
}

/// Splits rows into groups of a few sizes, largest first: each group is one statement and one way to the database and back,
/// and so few sizes make few statements to prepare.
pub(crate) fn groups<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = [64, 8, 1].into_iter().find(|size| *size <= rows.len())?;
        let (group, rest) = rows.split_at(size);
        rows = rest;
        Some(group)
    })
}

/// `($1, $2), ($3, $4)`: places for so many rows of so many columns.
pub(crate) fn places(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let places: Vec<_> = (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
        format!("({})", places.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_in_groups() {
        let rows: Vec<u32> = (0..147).collect();
        let sizes: Vec<usize> = groups(&rows).map(<[u32]>::len).collect();
        assert_eq!(sizes, [64, 64, 8, 8, 1, 1, 1]);
        assert_eq!(groups(&rows).collect::<Vec<_>>().concat(), rows);
        assert_eq!(groups::<u32>(&[]).count(), 0);
        assert_eq!(places(2, 3), "($1, $2, $3), ($4, $5, $6)");
    }
}
