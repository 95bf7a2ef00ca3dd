//! What the API answers, drawn for people. Pure.

use ignite_core_proto::v1;

use crate::client::words::{instant, moment, number, or_nothing, plain, runtime, version, word};
use crate::ui::{size, table};

/// Characters of a digest that tell one from another at a glance.
const DIGEST_SHORT: usize = "sha256:".len() + 12;

/// Characters of an instance's id in front of its lines: the last ones differ most.
const INSTANCE_SHORT: usize = 6;

/// Rows of a name and a value.
pub(crate) fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (name, value) in rows {
        let mut lines = value.lines();
        text.push_str(format!("{name:<width$}  {}", lines.next().unwrap_or_default()).trim_end());
        text.push('\n');
        for line in lines {
            text.push_str(&format!("{:<width$}  {line}\n", ""));
        }
    }
    text
}

pub(crate) fn apps(apps: &[v1::AppMeta], wide: bool) -> String {
    let mut heading = vec!["APP", "STATE", "ACTIVE", "RUNTIME", "TIER"];
    if wide {
        heading.extend(["MEMORY", "CPU", "INSTANCES", "ACCESS", "CREATED"]);
    }
    heading.push("URL");
    let rows: Vec<Vec<String>> = apps
        .iter()
        .map(|app| {
            let mut row = vec![
                app.id.clone(),
                word(app.deployment_state),
                version(app.active_version),
                runtime(app.runtime.as_option()),
                word(app.resource_tier),
            ];
            if wide {
                row.extend([
                    format!("{} MiB", app.limits.memory_mb),
                    format!("{}m", app.limits.cpu_millicores),
                    format!("{}..{}", app.scaling.reserved, app.scaling.max_replicas),
                    access(app),
                    moment(app.created_at_ms),
                ]);
            }
            row.push(app.url.clone());
            row
        })
        .collect();
    table(&heading, &rows)
}

fn access(app: &v1::AppMeta) -> String {
    if app.allow_unauthenticated { "open" } else { "token" }.to_owned()
}

pub(crate) fn app(app: &v1::AppMeta, wide: bool) -> String {
    let limits = &app.limits;
    let mut names: Vec<&str> = app.env.keys().map(String::as_str).collect();
    names.sort_unstable();
    let mut rows = vec![
        ("app", app.id.clone()),
        ("url", or_nothing(&app.url)),
        ("state", word(app.deployment_state)),
        ("active", version(app.active_version)),
        ("runtime", runtime(app.runtime.as_option())),
        ("tier", format!("{} ({} MiB, {}m)", word(app.resource_tier), limits.memory_mb, limits.cpu_millicores)),
        ("instances", format!("{} to {}", app.scaling.reserved, app.scaling.max_replicas)),
        ("access", access(app)),
        ("variables", or_nothing(&names.join(", "))),
        ("about", or_nothing(&app.description)),
    ];
    if wide {
        rows.extend([
            ("timeout", format!("{} s", limits.timeout_secs)),
            ("idle", format!("{} s", app.scaling.idle_secs)),
            ("concurrency", number(app.max_concurrency.into())),
            ("tracebacks", if app.expose_errors { "sent" } else { "logged" }.to_owned()),
            ("created", moment(app.created_at_ms)),
        ]);
    }
    pairs(&rows)
}

pub(crate) fn state(state: &v1::GetAppStateResponse) -> String {
    let mut rows = vec![
        ("state", word(state.deployment_state)),
        ("active", version(state.active_version)),
        ("instances", format!("{} of {} healthy", state.healthy_instances, state.wanted_instances)),
        ("url", or_nothing(&state.url)),
    ];
    if let Some(rollout) = state.rollout.as_option() {
        let step = if rollout.step.is_empty() { String::new() } else { format!(", {}", rollout.step) };
        let what = format!("{} {}", rollout.kind, version(rollout.version));
        rows.push(("last", format!("{what}: {}{step}, {}", word(rollout.status), moment(rollout.began_at_ms))));
        rows.extend(failure(rollout.failure.as_option()).map(|why| ("because", why)));
    }
    pairs(&rows)
}

fn failure(failure: Option<&v1::Failure>) -> Option<String> {
    failure.map(|why| {
        let lines: Vec<String> = why.reason.lines().map(plain).collect();
        format!("{}: {}", why.step, lines.join("\n"))
    })
}

pub(crate) fn instances(instances: &[v1::Instance]) -> String {
    let rows: Vec<Vec<String>> = instances
        .iter()
        .map(|one| {
            vec![
                one.id.clone(),
                version(one.version),
                word(one.state),
                number(one.restarts.into()),
                moment(one.started_at_ms),
                or_nothing(one.reason.lines().next().unwrap_or_default()),
            ]
        })
        .collect();
    table(&["INSTANCE", "VERSION", "STATE", "RESTARTS", "STARTED", "REASON"], &rows)
}

pub(crate) fn versions(versions: &[v1::VersionInfo], wide: bool) -> String {
    let mut heading = vec!["VERSION", "STATUS", "RUNTIME", "CREATED", "SOURCE"];
    if wide {
        heading.extend(["KIND", "TIER", "SIZE", "ARTIFACT", "REASON"]);
    }
    let rows: Vec<Vec<String>> = versions
        .iter()
        .map(|one| {
            let mut row = vec![
                version(one.version),
                word(one.status),
                runtime(one.runtime.as_option()),
                moment(one.created_at_ms),
                digest(&one.code_hash),
            ];
            if wide {
                let why = failure(one.failure.as_option()).unwrap_or_default();
                row.extend([
                    word(one.code_kind),
                    word(one.resource_tier),
                    bytes(one.artifact_bytes),
                    digest(&one.artifact_digest),
                    or_nothing(why.lines().next().unwrap_or_default()),
                ]);
            }
            row
        })
        .collect();
    table(&heading, &rows)
}

fn digest(digest: &str) -> String {
    or_nothing(digest.get(..DIGEST_SHORT).unwrap_or(digest))
}

fn bytes(bytes: i64) -> String {
    u64::try_from(bytes).ok().filter(|bytes| *bytes > 0).map_or_else(|| "-".to_owned(), size)
}

/// A version, or the draft.
pub(crate) fn version_info(info: &v1::VersionInfo) -> String {
    let name = if info.version == 0 { "draft".to_owned() } else { version(info.version) };
    let mut rows = vec![
        ("version", name),
        ("status", word(info.status)),
        ("runtime", runtime(info.runtime.as_option())),
        ("tier", word(info.resource_tier)),
        ("kind", word(info.code_kind)),
        ("source", or_nothing(&info.code_hash)),
        ("saved", moment(info.created_at_ms)),
        ("compile", word(info.compile_status)),
        ("artifact", or_nothing(&info.artifact_digest)),
        ("size", bytes(info.artifact_bytes)),
    ];
    rows.extend(failure(info.failure.as_option()).map(|why| ("because", why)));
    pairs(&rows)
}

pub(crate) fn tokens(tokens: &[v1::TokenMetadata]) -> String {
    let rows: Vec<Vec<String>> = tokens
        .iter()
        .map(|token| {
            vec![
                token.id.clone(),
                token.scopes.join(","),
                moment(token.created_at_ms),
                if token.expires_at_ms == 0 { "never".to_owned() } else { moment(token.expires_at_ms) },
                moment(token.revoked_at_ms),
                or_nothing(&token.note),
            ]
        })
        .collect();
    table(&["TOKEN", "SCOPES", "CREATED", "EXPIRES", "REVOKED", "NOTE"], &rows)
}

pub(crate) fn secrets(secrets: &[v1::SecretMetadata]) -> String {
    let rows: Vec<Vec<String>> = secrets
        .iter()
        .map(|secret| {
            let kind = secret.r#type.trim_end_matches("_secret").to_owned();
            vec![secret.name.clone(), kind, moment(secret.updated_at_ms)]
        })
        .collect();
    table(&["SECRET", "TYPE", "UPDATED"], &rows)
}

pub(crate) fn executions(executions: &[v1::Execution], wide: bool) -> String {
    let mut heading = vec!["EXECUTION", "STATUS", "VERSION", "ANSWER", "TOOK", "CREATED"];
    if wide {
        heading.extend(["ATTEMPTS", "ERROR"]);
    }
    let rows: Vec<Vec<String>> = executions
        .iter()
        .map(|one| {
            let mut row = vec![
                one.id.clone(),
                word(one.status),
                version(one.version),
                number(one.response_status.into()),
                took(one),
                moment(one.created_at_ms),
            ];
            if wide {
                row.extend([number(one.attempts.into()), or_nothing(one.error.lines().next().unwrap_or_default())]);
            }
            row
        })
        .collect();
    table(&heading, &rows)
}

fn took(execution: &v1::Execution) -> String {
    match u64::try_from(execution.ended_at_ms - execution.started_at_ms) {
        Ok(ms) if execution.started_at_ms > 0 => crate::ui::time(std::time::Duration::from_millis(ms)),
        _ => "-".to_owned(),
    }
}

pub(crate) fn execution(execution: &v1::Execution) -> String {
    let mut rows = vec![
        ("execution", execution.id.clone()),
        ("app", or_nothing(&execution.app_id)),
        ("version", version(execution.version)),
        ("status", word(execution.status)),
        ("answer", number(execution.response_status.into())),
        ("attempts", number(execution.attempts.into())),
        ("created", moment(execution.created_at_ms)),
        ("took", took(execution)),
    ];
    if !execution.error.is_empty() {
        rows.push(("error", execution.error.lines().map(plain).collect::<Vec<_>>().join("\n")));
    }
    if !execution.response_body.is_empty() {
        rows.push(("body", body(execution)));
    }
    pairs(&rows)
}

fn body(execution: &v1::Execution) -> String {
    match std::str::from_utf8(&execution.response_body) {
        Ok(text) => text.lines().map(plain).collect::<Vec<_>>().join("\n"),
        Err(_) => {
            format!(
                "{} of {}",
                size(execution.response_body.len() as u64),
                or_nothing(&execution.response_content_type)
            )
        }
    }
}

/// A line of a log. What has several lines itself is indented, so that each time begins a line.
pub(crate) fn line(line: &v1::LogLine) -> String {
    let id = &line.instance_id;
    let short = id.get(id.len().saturating_sub(INSTANCE_SHORT)..).unwrap_or(id);
    let text: Vec<String> = line.text.lines().map(plain).collect();
    format!("{} {} {:<6} {}", instant(line.timestamp_ms), or_nothing(short), line.stream, text.join("\n  "))
}

/// An event.
pub(crate) fn event(event: &v1::AppEvent) -> String {
    let of = if event.version == 0 { String::new() } else { format!(" {}", version(event.version)) };
    let text = format!("{} {}{of} {}", instant(event.timestamp_ms), event.kind, plain(&event.message));
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_stand_below_each_other() {
        expect_test::expect![[r#"
            a        1
            because  one
                     two
        "#]]
        .assert_eq(&pairs(&[("a", "1".to_owned()), ("because", "one\ntwo".to_owned())]));
    }

    #[test]
    fn a_line_tells_when_who_and_where() {
        let log = v1::LogLine {
            timestamp_ms: 1_716_900_000_123,
            stream: "stdout".to_owned(),
            text: "hi \u{1b}]0;x\u{7}".to_owned(),
            instance_id: "01HYZX00000000000000ABCDEF".to_owned(),
            ..Default::default()
        };
        assert_eq!(line(&log), "2024-05-28T12:40:00.123Z ABCDEF stdout hi \\u{1b}]0;x\\u{7}");
    }

    #[test]
    fn lines_within_a_line_are_indented() {
        let log = v1::LogLine { text: "one\ntwo\r".to_owned(), stream: "host".to_owned(), ..Default::default() };
        assert_eq!(line(&log), "1970-01-01T00:00:00.000Z - host   one\n  two\\u{d}");
    }

    #[test]
    fn an_execution_that_never_began_took_no_time() {
        assert_eq!(took(&v1::Execution::default()), "-");
        let ran = v1::Execution { started_at_ms: 5, ended_at_ms: 43, ..Default::default() };
        assert_eq!(took(&ran), "38 ms");
    }
}
