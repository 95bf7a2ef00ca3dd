//! A machine that cannot hold code in: a compile is refused, and goes on only where a person allowed it.

use std::process::Command;
use std::sync::Arc;

use ignite_compiler_builder::{
    Builder, BuilderConfig, CompileError, CompileEvent, CompileRequest, SandboxOptions, SourceLimits,
};
use ignite_core_model::Fault;

use crate::support::{folder, slow};

const INNER: &str = "IGNITE_TEST_WITHOUT_A_SANDBOX";

#[test]
fn without_a_sandbox_a_compile_is_refused_unless_it_is_allowed() {
    if !slow() {
        return;
    }
    if std::env::var_os(INNER).is_some() {
        return on_such_a_machine();
    }
    // The same test in a user namespace that allows no further one.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && \
                  exec \"$0\" --exact unsandboxed::without_a_sandbox_a_compile_is_refused_unless_it_is_allowed";
    let inner = Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .env(INNER, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&inner.stdout);
    assert!(inner.status.success() && said.contains("1 passed"), "{said}");
}

fn on_such_a_machine() {
    let source = folder(&[("handler.py", "def handler(payload, ctx):\n    return payload\n")]);
    let cache = folder(&[]);
    let out = cache.path().join("out");
    let compile = |allow_unsandboxed| {
        let builder = Builder::new(BuilderConfig {
            cache_dir: cache.path().to_owned(),
            env: Arc::new(|name: &str| std::env::var_os(name)),
            limits: SourceLimits::default(),
            sandbox: SandboxOptions { allow_unsandboxed, ..SandboxOptions::default() },
        });
        let mut lines = Vec::new();
        let done = builder.compile(&CompileRequest::new(source.path(), &out), &mut |event| {
            if let CompileEvent::Line { line, .. } = event {
                lines.push(line.to_owned());
            }
        });
        (done, lines)
    };
    let (refused, _) = compile(false);
    let error = refused.unwrap_err();
    assert!(matches!(error, CompileError::Unprotected { .. }), "{}", error.report());
    assert_eq!(error.fault(), Fault::Missing);
    let report = error.report();
    assert!(report.starts_with("error: this machine cannot hold in the code it would compile: "), "{report}");
    assert!(report.contains("lacks namespaces") && report.contains("--allow-unsandboxed"), "{report}");
    assert!(!out.exists());

    let (done, lines) = compile(true);
    let done = done.unwrap_or_else(|error| panic!("{}", error.report()));
    let warned = |text: &str| text.contains("warning: this machine lacks namespaces") && text.contains("allowed by");
    assert!(lines.iter().any(|line| warned(line)), "{lines:?}");
    assert!(warned(&std::fs::read_to_string(&done.log).unwrap()), "the log says it too");
}
