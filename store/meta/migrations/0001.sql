-- Version 1. The words in braces are replaced for each database, see `src/schema.rs`. A migration that was released is
-- never edited; the next one has the next number.

CREATE TABLE organizations (
    id {key} NOT NULL PRIMARY KEY,
    created_ms {int} NOT NULL
) {table};

-- Only the hash of a token's secret is kept.
CREATE TABLE tokens (
    id {key} NOT NULL PRIMARY KEY,
    organization {key} NOT NULL REFERENCES organizations (id),
    hash {bytes} NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    note TEXT NOT NULL,
    created_ms {int} NOT NULL,
    expires_ms {int},
    revoked_ms {int}
) {table};
CREATE INDEX tokens_by_organization ON tokens (organization, id);

CREATE TABLE apps (
    id {key} NOT NULL PRIMARY KEY,
    organization {key} NOT NULL REFERENCES organizations (id),
    label {key} NOT NULL,
    revision {int} NOT NULL,
    state TEXT NOT NULL,
    created_ms {int} NOT NULL,
    updated_ms {int} NOT NULL,
    deleted_ms {int},
    CONSTRAINT apps_label UNIQUE (label)
) {table};
CREATE INDEX apps_by_organization ON apps (organization, id);

-- Rows are inserted and, with their app, deleted. A trigger refuses each update.
CREATE TABLE versions (
    app {key} NOT NULL REFERENCES apps (id),
    number {int} NOT NULL,
    created_ms {int} NOT NULL,
    artifact {key},
    snapshot TEXT NOT NULL,
    PRIMARY KEY (app, number)
) {table};
CREATE INDEX versions_by_artifact ON versions (artifact);

-- Which objects an app needs beyond the artifacts of its versions, so that the rest can be deleted.
CREATE TABLE object_uses (
    object {key} NOT NULL,
    app {key} NOT NULL REFERENCES apps (id),
    PRIMARY KEY (object, app)
) {table};
CREATE INDEX object_uses_by_app ON object_uses (app);

CREATE TABLE routes (
    label {key} NOT NULL PRIMARY KEY,
    app {key} NOT NULL REFERENCES apps (id),
    version {int} NOT NULL
) {table};
CREATE INDEX routes_by_app ON routes (app);

CREATE TABLE desired (
    app {key} NOT NULL REFERENCES apps (id),
    version {int} NOT NULL,
    instances {int} NOT NULL,
    spec TEXT NOT NULL,
    generation {int} NOT NULL,
    PRIMARY KEY (app, version)
) {table};

-- What agents report. An app may be gone before its last instance, so nothing is referenced.
CREATE TABLE instances (
    id {key} NOT NULL PRIMARY KEY,
    agent {key} NOT NULL,
    app {key} NOT NULL,
    version {int} NOT NULL,
    generation {int} NOT NULL,
    state {key} NOT NULL,
    address TEXT,
    detail TEXT NOT NULL,
    updated_ms {int} NOT NULL
) {table};
CREATE INDEX instances_by_app ON instances (app, version);
CREATE INDEX instances_by_agent ON instances (agent);

-- What happened to routes, desired state and instances, for those who follow.
CREATE TABLE changes (
    sequence {int} NOT NULL,
    part {int} NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (sequence, part)
) {table};

-- `change`: the last sequence given. `change_floor`: the highest that is no longer kept.
CREATE TABLE counters (
    name {key} NOT NULL PRIMARY KEY,
    value {int} NOT NULL
) {table};
INSERT INTO counters (name, value) VALUES ('change', 0), ('change_floor', 0);

CREATE TABLE watchers (
    name {key} NOT NULL PRIMARY KEY,
    sequence {int} NOT NULL,
    seen_ms {int} NOT NULL
) {table};

-- A lease is a due time in the future: an effect whose carrier died is due again by itself.
CREATE TABLE outbox (
    id {int} NOT NULL PRIMARY KEY,
    app {key} NOT NULL,
    idempotence {key} NOT NULL,
    body TEXT NOT NULL,
    due_ms {int} NOT NULL,
    attempt {int} NOT NULL,
    error TEXT,
    created_ms {int} NOT NULL
) {table};
CREATE INDEX outbox_due ON outbox (due_ms, id);
CREATE INDEX outbox_by_app ON outbox (app);

CREATE TABLE jobs (
    id {key} NOT NULL PRIMARY KEY,
    kind {key} NOT NULL,
    app {key},
    payload TEXT NOT NULL,
    state {key} NOT NULL,
    attempt {int} NOT NULL,
    attempts_max {int} NOT NULL,
    owner {key},
    due_ms {int} NOT NULL,
    ends_by_ms {int} NOT NULL,
    cancel {int} NOT NULL,
    outcome {key},
    result TEXT,
    settled {int} NOT NULL,
    created_ms {int} NOT NULL,
    started_ms {int},
    ended_ms {int}
) {table};
CREATE INDEX jobs_due ON jobs (kind, due_ms, id) WHERE state <> 'ended';
CREATE INDEX jobs_unsettled ON jobs (id) WHERE state = 'ended' AND settled = 0;
CREATE INDEX jobs_by_app ON jobs (app, id);

CREATE TABLE log_streams (
    name {key} NOT NULL PRIMARY KEY,
    first_sequence {int} NOT NULL,
    next_sequence {int} NOT NULL,
    bytes {int} NOT NULL,
    updated_ms {int} NOT NULL
) {table};
CREATE INDEX log_streams_by_age ON log_streams (updated_ms);

CREATE TABLE log_lines (
    stream {key} NOT NULL,
    sequence {int} NOT NULL,
    at_ms {int} NOT NULL,
    bytes {int} NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (stream, sequence)
) {table};

CREATE TABLE executions (
    id {key} NOT NULL PRIMARY KEY,
    app {key} NOT NULL,
    version {int},
    status {key} NOT NULL,
    attempt {int} NOT NULL,
    owner {key},
    due_ms {int},
    request TEXT NOT NULL,
    input {bytes},
    input_object {key},
    response TEXT,
    output {bytes},
    output_object {key},
    error TEXT,
    created_ms {int} NOT NULL,
    started_ms {int},
    ended_ms {int}
) {table};
CREATE INDEX executions_by_app ON executions (app, id);
CREATE INDEX executions_by_status ON executions (app, status, id);
CREATE INDEX executions_due ON executions (due_ms, id) WHERE due_ms IS NOT NULL;
CREATE INDEX executions_ended ON executions (ended_ms) WHERE ended_ms IS NOT NULL;

CREATE TABLE secrets (
    organization {key} NOT NULL REFERENCES organizations (id),
    name {key} NOT NULL,
    kind {key} NOT NULL,
    sealed {bytes} NOT NULL,
    created_ms {int} NOT NULL,
    updated_ms {int} NOT NULL,
    PRIMARY KEY (organization, name)
) {table};

CREATE TABLE uploads (
    object {key} NOT NULL PRIMARY KEY,
    organization {key} NOT NULL,
    app {key},
    size {int} NOT NULL,
    digest {key} NOT NULL,
    expires_ms {int} NOT NULL,
    used_ms {int}
) {table};
CREATE INDEX uploads_by_expiry ON uploads (expires_ms);
