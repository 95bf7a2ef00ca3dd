//! What an author and an operator see, as text.

use expect_test::{Expect, expect};
use ignite_control_pipeline::{App, Bounds, CompileOutcome, Effect, Event};
use ignite_core_model::{
    AppSettings, ArtifactKind, CodeSource, CompileSource, Compiled, Digest, JobId, Runtime, Target, Version,
    VersionNumber,
};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Runs a story, one event a line, and compares what it did.
fn check(story: &str, expected: &Expect) {
    let mut stage = Stage::new();
    let mut seen = String::new();
    for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let done = stage.play(line);
        writeln!(seen, "{line}: {done}").unwrap();
    }
    expected.assert_eq(&seen);
}

struct Stage {
    app: App,
    now_ms: u64,
    versions: BTreeMap<u32, Version>,
}

impl Stage {
    fn new() -> Self {
        let app = App::new("acme/hello".parse().unwrap(), AppSettings::default(), 0);
        Self { app, now_ms: 0, versions: BTreeMap::new() }
    }

    fn play(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words[at].parse::<u32>().unwrap();
        let event = match words[0] {
            "save" => Event::SaveDraft(source(words[1])),
            "compile" => Event::Compile { job: job(number(1)) },
            "cancel-compile" => Event::CancelCompile,
            "publish" => Event::Publish { job: job(number(1)), compile: job(number(1) + 100) },
            "rollback" => Event::Rollback { job: job(number(1)), to: Box::new(self.versions[&number(2)].clone()) },
            "cancel" => Event::CancelRollout,
            "try" => Event::Try { compiled: Box::new(compiled()), settings: Box::default() },
            "tried" => Event::Tried { generation: u64::from(number(1)) },
            "delete" => Event::Delete,
            "compiled" => Event::CompileEnded { job: job(number(1)), outcome: CompileOutcome::Succeeded(compiled()) },
            "broken" => {
                Event::CompileEnded { job: job(number(1)), outcome: CompileOutcome::Failed("no handler".to_owned()) }
            }
            "healthy" => self.report(number(1), 1, 1, None),
            "gone" => self.report(number(1), 0, 0, None),
            "crash" => self.report(number(1), 0, 1, Some("exit status 1")),
            "served" => Event::Served { generation: u64::from(number(1)) },
            "scale" => Event::Scale { version: version(number(1)), instances: number(2) },
            "wait" => {
                self.now_ms += u64::from(number(1)) * 1000;
                Event::Tick
            }
            other => panic!("no such line: {other}"),
        };
        match self.app.step(event, self.now_ms, &Bounds::default()) {
            Err(refusal) => format!("refused: {refusal}"),
            Ok(effects) if effects.is_empty() => "-".to_owned(),
            Ok(effects) => effects.iter().map(|effect| self.carry_out(effect)).collect::<Vec<_>>().join(", "),
        }
    }

    fn report(&self, number: u32, healthy: u32, alive: u32, failure: Option<&str>) -> Event {
        let failure = failure.map(str::to_owned);
        Event::Instances { version: version(number), generation: self.app.generation, healthy, alive, failure }
    }

    fn carry_out(&mut self, effect: &Effect) -> String {
        match effect {
            Effect::WriteVersion(version) => {
                self.versions.insert(version.number.get(), (**version).clone());
                format!("write v{}", version.number)
            }
            Effect::Route { version, .. } => format!("route v{version}"),
            Effect::Unroute => "no route".to_owned(),
            Effect::Desire { version, instances, .. } => format!("want {instances} of v{version}"),
            Effect::DesireTrial { .. } => "want 1 to be tried".to_owned(),
            Effect::Undesire(VersionNumber::TRIAL) => "drain what was tried".to_owned(),
            Effect::Undesire(version) => format!("drain v{version}"),
            Effect::Compile { .. } => "queue compile".to_owned(),
            Effect::CancelCompile(_) => "cancel compile".to_owned(),
            Effect::Forget(_) => "forget".to_owned(),
        }
    }
}

fn job(number: u32) -> JobId {
    JobId::from_parts(0, u128::from(number))
}

fn version(number: u32) -> VersionNumber {
    VersionNumber::new(number).unwrap()
}

fn source(word: &str) -> CodeSource {
    CodeSource::Compile(CompileSource {
        archive: Digest::of(word.as_bytes()),
        archive_bytes: 1,
        runtime: None,
        target: None,
        artifact_kind: None,
    })
}

fn compiled() -> Compiled {
    Compiled {
        artifact: Digest::of(b"artifact"),
        artifact_bytes: 1,
        runtime: Runtime::Python,
        target: Target::Native,
        artifact_kind: ArtifactKind::Packed,
    }
}

const FIRST_VERSION: &str = "
    save a
    publish 1
    compiled 101
    healthy 1
";

#[test]
fn a_publish_compiles_starts_and_then_moves_the_route() {
    check(
        &format!("{FIRST_VERSION} save b \n publish 2 \n compiled 102 \n healthy 2 \n served 2"),
        &expect![[r#"
        save a: -
        publish 1: queue compile
        compiled 101: write v1, want 1 of v1
        healthy 1: route v1
        save b: -
        publish 2: queue compile
        compiled 102: write v2, want 1 of v2
        healthy 2: route v2
        served 2: drain v1
    "#]],
    );
}

#[test]
fn a_failure_leaves_the_live_version_alone() {
    check(
        &format!(
            "{FIRST_VERSION} save b \n publish 2 \n broken 102 \n publish 3 \n compiled 103 \n crash 2
            publish 4 \n wait 121 \n healthy 3 \n rollback 5 2"
        ),
        &expect![[r#"
            save a: -
            publish 1: queue compile
            compiled 101: write v1, want 1 of v1
            healthy 1: route v1
            save b: -
            publish 2: queue compile
            broken 102: -
            publish 3: queue compile
            compiled 103: write v2, want 1 of v2
            crash 2: drain v2
            publish 4: write v3, want 1 of v3
            wait 121: drain v3
            healthy 3: -
            rollback 5 2: refused: version 2 never went live (exit status 1): choose one that has
        "#]],
    );
}

#[test]
fn a_rollback_takes_precedence_over_a_publish() {
    check(
        &format!(
            "{FIRST_VERSION} save b \n publish 2 \n compiled 102 \n healthy 2 \n served 2
            save c \n publish 3 \n compiled 103 \n publish 4 \n rollback 5 1 \n healthy 3 \n healthy 1 \n rollback 6 1"
        ),
        &expect![[r#"
            save a: -
            publish 1: queue compile
            compiled 101: write v1, want 1 of v1
            healthy 1: route v1
            save b: -
            publish 2: queue compile
            compiled 102: write v2, want 1 of v2
            healthy 2: route v2
            served 2: drain v1
            save c: -
            publish 3: queue compile
            compiled 103: write v3, want 1 of v3
            publish 4: refused: publish 00000000000000000000000003 is under way: wait for it, or cancel it first
            rollback 5 1: drain v3, want 1 of v1
            healthy 3: -
            healthy 1: route v1
            rollback 6 1: refused: version 1 is live already
        "#]],
    );
}

#[test]
fn the_same_publish_twice_is_one() {
    check(
        "save a \n publish 1 \n publish 1 \n compiled 101 \n compiled 101 \n publish 1",
        &expect![[r#"
        save a: -
        publish 1: queue compile
        publish 1: -
        compiled 101: write v1, want 1 of v1
        compiled 101: -
        publish 1: -
    "#]],
    );
}

#[test]
fn a_publish_has_the_draft_of_its_moment() {
    check(
        "save a \n publish 1 \n save b \n compile 2 \n compiled 101 \n cancel-compile \n healthy 1",
        &expect![[r#"
            save a: -
            publish 1: queue compile
            save b: -
            compile 2: queue compile
            compiled 101: write v1, want 1 of v1
            cancel-compile: cancel compile
            healthy 1: route v1
        "#]],
    );
}

#[test]
fn a_deleted_app_drains_and_is_forgotten() {
    check(
        &format!("{FIRST_VERSION} save b \n publish 2 \n delete \n delete \n save c \n compiled 102 \n gone 1"),
        &expect![[r#"
            save a: -
            publish 1: queue compile
            compiled 101: write v1, want 1 of v1
            healthy 1: route v1
            save b: -
            publish 2: queue compile
            delete: cancel compile, no route, drain v1
            delete: -
            save c: refused: the app is being deleted
            compiled 102: -
            gone 1: forget
        "#]],
    );
}

#[test]
fn a_deletion_ends_though_instances_never_report() {
    check(
        &format!("{FIRST_VERSION} delete \n wait 121"),
        &expect![[r#"
        save a: -
        publish 1: queue compile
        compiled 101: write v1, want 1 of v1
        healthy 1: route v1
        delete: no route, drain v1
        wait 121: forget
    "#]],
    );
}

#[test]
fn the_live_version_scales_within_its_settings() {
    check(
        &format!("{FIRST_VERSION} scale 1 0 \n scale 1 0 \n scale 1 1 \n scale 1 99 \n scale 2 1"),
        &expect![[r#"
            save a: -
            publish 1: queue compile
            compiled 101: write v1, want 1 of v1
            healthy 1: route v1
            scale 1 0: want 0 of v1
            scale 1 0: -
            scale 1 1: want 1 of v1
            scale 1 99: want 10 of v1
            scale 2 1: -
        "#]],
    );
}

#[test]
fn nothing_can_be_done_without_code() {
    check(
        "publish 1 \n compile 2 \n cancel \n cancel-compile \n delete",
        &expect![[r#"
        publish 1: refused: the app has no draft: save one with `ignite draft save`
        compile 2: refused: the app has no draft: save one with `ignite draft save`
        cancel: refused: nothing is under way that could be cancelled
        cancel-compile: refused: nothing is under way that could be cancelled
        delete: forget
    "#]],
    );
}

#[test]
fn what_is_tried_touches_nothing_that_is_live() {
    check(
        r"
            save a
            publish 1
            compiled 101
            healthy 1
            try
            try
            scale 1 2
            tried 1
            tried 2
            tried 2
            try
            wait 181
            try
            delete
        ",
        &expect![[r#"
            save a: -
            publish 1: queue compile
            compiled 101: write v1, want 1 of v1
            healthy 1: route v1
            try: want 1 to be tried
            try: refused: a test of this app is under way: wait for its end
            scale 1 2: want 2 of v1
            tried 1: -
            tried 2: drain what was tried
            tried 2: -
            try: want 1 to be tried
            wait 181: drain what was tried
            try: want 1 to be tried
            delete: drain what was tried, no route, drain v1
        "#]],
    );
}
