//! All tables and columns, as dump and restore need them. A test compares this list with a database.

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    Text,
    Bytes,
}

/// A table with the columns that are dumped, in an order in which rows may be inserted: what is referred to comes first.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [(&'static str, Kind)],
    /// What its rows are read in the order of.
    pub(crate) key: &'static str,
}

use Kind::{Bytes, Int, Text};

/// Not dumped: `changes` and `watchers`, which belong to those who follow a running platform; after a restore they begin
/// anew.
pub(crate) const TABLES: &[Table] = &[
    Table { name: "organizations", columns: &[("id", Text), ("created_ms", Int)], key: "id" },
    Table {
        name: "tokens",
        columns: &[
            ("id", Text),
            ("organization", Text),
            ("hash", Bytes),
            ("scopes", Text),
            ("note", Text),
            ("created_ms", Int),
            ("expires_ms", Int),
            ("revoked_ms", Int),
        ],
        key: "id",
    },
    Table {
        name: "apps",
        columns: &[
            ("id", Text),
            ("organization", Text),
            ("label", Text),
            ("revision", Int),
            ("state", Text),
            ("created_ms", Int),
            ("updated_ms", Int),
            ("deleted_ms", Int),
        ],
        key: "id",
    },
    Table {
        name: "versions",
        columns: &[("app", Text), ("number", Int), ("created_ms", Int), ("artifact", Text), ("snapshot", Text)],
        key: "app, number",
    },
    Table { name: "object_uses", columns: &[("object", Text), ("app", Text)], key: "object, app" },
    Table { name: "routes", columns: &[("label", Text), ("app", Text), ("version", Int)], key: "label" },
    Table {
        name: "desired",
        columns: &[("app", Text), ("version", Int), ("instances", Int), ("spec", Text), ("generation", Int)],
        key: "app, version",
    },
    Table {
        name: "instances",
        columns: &[
            ("id", Text),
            ("agent", Text),
            ("app", Text),
            ("version", Int),
            ("generation", Int),
            ("state", Text),
            ("address", Text),
            ("detail", Text),
            ("updated_ms", Int),
        ],
        key: "id",
    },
    Table { name: "counters", columns: &[("name", Text), ("value", Int)], key: "name" },
    Table {
        name: "outbox",
        columns: &[
            ("id", Int),
            ("app", Text),
            ("idempotence", Text),
            ("body", Text),
            ("due_ms", Int),
            ("attempt", Int),
            ("error", Text),
            ("created_ms", Int),
        ],
        key: "id",
    },
    Table {
        name: "jobs",
        columns: &[
            ("id", Text),
            ("kind", Text),
            ("app", Text),
            ("payload", Text),
            ("state", Text),
            ("attempt", Int),
            ("attempts_max", Int),
            ("owner", Text),
            ("due_ms", Int),
            ("ends_by_ms", Int),
            ("cancel", Int),
            ("outcome", Text),
            ("result", Text),
            ("settled", Int),
            ("created_ms", Int),
            ("started_ms", Int),
            ("ended_ms", Int),
        ],
        key: "id",
    },
    Table {
        name: "log_streams",
        columns: &[
            ("name", Text),
            ("first_sequence", Int),
            ("next_sequence", Int),
            ("bytes", Int),
            ("updated_ms", Int),
        ],
        key: "name",
    },
    Table {
        name: "log_lines",
        columns: &[("stream", Text), ("sequence", Int), ("at_ms", Int), ("bytes", Int), ("body", Text)],
        key: "stream, sequence",
    },
    Table {
        name: "executions",
        columns: &[
            ("id", Text),
            ("app", Text),
            ("version", Int),
            ("status", Text),
            ("attempt", Int),
            ("owner", Text),
            ("due_ms", Int),
            ("request", Text),
            ("input", Bytes),
            ("input_object", Text),
            ("response", Text),
            ("output", Bytes),
            ("output_object", Text),
            ("error", Text),
            ("created_ms", Int),
            ("started_ms", Int),
            ("ended_ms", Int),
        ],
        key: "id",
    },
    Table {
        name: "secrets",
        columns: &[
            ("organization", Text),
            ("name", Text),
            ("kind", Text),
            ("sealed", Bytes),
            ("created_ms", Int),
            ("updated_ms", Int),
        ],
        key: "organization, name",
    },
    Table {
        name: "uploads",
        columns: &[
            ("object", Text),
            ("organization", Text),
            ("app", Text),
            ("size", Int),
            ("digest", Text),
            ("expires_ms", Int),
            ("used_ms", Int),
        ],
        key: "object",
    },
];

/// Tables that are not dumped, for the test that compares.
#[cfg(test)]
pub(crate) const NOT_DUMPED: &[&str] = &["changes", "watchers", "ignite_schema"];
