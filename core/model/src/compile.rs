//! Compiles as jobs: what control asks of a builder, in which queue it waits, where its lines go.

use serde::{Deserialize, Serialize};

use crate::{CodeSource, FunctionId, JobId};

/// The queue that compiles wait in.
pub const COMPILE_JOBS: &str = "compile";

/// What a builder is to do: the payload of a job in [`COMPILE_JOBS`]. Stored as JSON, so it may only grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompileJob {
    /// The app, for the log and the cache's tenant.
    pub app: FunctionId,
    /// What to compile.
    pub source: CodeSource,
}

/// The log stream that the lines of a compile are appended to.
#[must_use]
pub fn compile_stream(app: &FunctionId, job: JobId) -> String {
    format!("{app}/compile/{job}")
}

/// A line of a compile or an instance, as it is kept in a log stream. Stored as JSON, so it may only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogLine {
    /// The instance that wrote it; empty for a compile.
    pub instance_id: String,
    /// The execution it belongs to, where that is known.
    pub execution_id: String,
    /// The trace that execution belongs to, where it belongs to one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub trace_id: String,
    /// `stdout`, `stderr`, `logger` or `host`: what was started said it, or who started it.
    pub stream: String,
    /// `info`, `warn` and so on.
    pub level: String,
    /// The line.
    pub text: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::{ArtifactKind, CompileSource, Digest, Runtime, Target};

    /// What an earlier release stored stays readable, and reads as it did.
    #[test]
    fn a_stored_job_reads_back() {
        let stored = r#"{"app":"acme/hello","source":{"kind":"compile","archive":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","archive_bytes":3,"runtime":"python","target":"native","artifact_kind":"packed"}}"#;
        let job: CompileJob = serde_json::from_str(stored).unwrap();
        let expected = CompileJob {
            app: "acme/hello".parse().unwrap(),
            source: CodeSource::Compile(CompileSource {
                archive: Digest::of(b"abc"),
                archive_bytes: 3,
                runtime: Some(Runtime::Python),
                target: Some(Target::Native),
                artifact_kind: Some(ArtifactKind::Packed),
            }),
        };
        assert_eq!(job, expected);
        assert_eq!(serde_json::to_string(&job).unwrap(), stored);
        let least = r#"{"app":"acme/hello","source":{"kind":"compile","archive":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","archive_bytes":3}}"#;
        let CodeSource::Compile(source) = serde_json::from_str::<CompileJob>(least).unwrap().source;
        assert_eq!((source.runtime, source.target, source.artifact_kind), (None, None, None));
    }

    #[test]
    fn a_stored_line_reads_back() {
        let stored = r#"{"instance_id":"i-1","execution_id":"","stream":"stdout","level":"info","text":"hello"}"#;
        let line: LogLine = serde_json::from_str(stored).unwrap();
        assert_eq!((line.instance_id.as_str(), line.text.as_str()), ("i-1", "hello"));
        assert_eq!(serde_json::to_string(&line).unwrap(), stored);
        let least: LogLine = serde_json::from_str(r#"{"text":"x","later":1}"#).unwrap();
        assert_eq!(least, LogLine { text: "x".into(), ..LogLine::default() });
    }

    #[test]
    fn a_compile_has_a_stream_of_its_own() {
        let job = JobId::from_parts(1_716_900_000_000, 1);
        assert_eq!(compile_stream(&"acme/hello".parse().unwrap(), job), format!("acme/hello/compile/{job}"));
    }
}
