//! The executor against a worker that misbehaves on command (`fake_worker.py`).
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use ignite_runtimes_executor::{Executor as _, Health, InvokeError, ReplyBody};
use serde_json::Value;
use support::{Fake, ends_within, invocation};
use tokio::time::Instant;

#[tokio::test]
async fn a_request_reaches_the_worker_whole_and_its_answer_comes_back() {
    let fake = Fake::start(&[("SECRET", "s3")]).await;
    let mut sent = invocation("/context", "a=1&a=%20", Bytes::from((0..=255).collect::<Vec<u8>>()));
    sent.headers.append("x-two", "a".parse().unwrap());
    sent.headers.append("x-two", "b".parse().unwrap());
    let (reply, body) = fake.full(sent).await.unwrap();
    assert_eq!(reply.status, 200);
    let seen: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(seen["method"], "POST");
    assert_eq!(seen["query"], "a=1&a=%20");
    assert_eq!(seen["function_id"], "acme/hello");
    assert_eq!(seen["organization_id"], "acme");
    assert_eq!(seen["execution_id"].as_str().unwrap().len(), 26);
    assert_eq!(seen["headers"], serde_json::json!([["x-two", "a"], ["x-two", "b"]]));
    assert_eq!(seen["body"].as_str().unwrap().len(), 512);
    assert!(seen["timeout_us"].as_u64().unwrap() > 1_000_000);
    assert_eq!(seen["env"]["SECRET"], "s3");
    assert_eq!(seen["env"]["HOME"], "/tmp");
    assert!(seen["env"]["CARGO_MANIFEST_DIR"].is_null(), "nothing of the host's environment is passed on");
    assert_eq!(seen["cwd"].as_str().unwrap(), env!("CARGO_MANIFEST_DIR").to_owned() + "/tests");
    let limits = seen["limits"].as_str().unwrap();
    assert!(limits.lines().any(|line| line.starts_with("Max core file size        0 ")), "{limits}");
    assert_eq!((&seen["stdin"], &seen["sockets"]), (&"/dev/null".into(), &1.into()));
}

#[tokio::test]
async fn answers_out_of_order_find_their_callers() {
    let fake = Fake::start(&[]).await;
    let slow = fake.full(invocation("/sleep", "ms=150", Bytes::new()));
    let fast = async {
        for number in 0..50_u32 {
            let body = Bytes::copy_from_slice(&number.to_le_bytes());
            let (_, answer) = fake.full(invocation("/echo", "", body.clone())).await.unwrap();
            assert_eq!(answer, body);
        }
    };
    let (slow, ()) = tokio::join!(slow, fast);
    assert_eq!(slow.unwrap().1, "slept");
}

#[tokio::test]
async fn many_at_once_are_all_answered() {
    let fake = Fake::start(&[]).await;
    let calls = (0..200_u32).map(|number| {
        let body = Bytes::from(vec![number as u8; (number * 977) as usize]);
        async {
            let expected = body.clone();
            let (_, answer) = fake.full(invocation("/echo", "", body)).await.unwrap();
            assert!(answer == expected);
        }
    });
    futures_util::future::join_all(calls).await;
}

#[tokio::test]
async fn a_socket_that_must_be_connected_to_works_as_well() {
    let fake = Fake::start_by_socket().await;
    let (_, body) = fake.full(invocation("/context", "", Bytes::new())).await.unwrap();
    let seen: Value = serde_json::from_slice(&body).unwrap();
    let path = seen["env"]["IGNITE_WORKER_SOCKET"].as_str().unwrap();
    assert!(!std::path::Path::new(path).exists(), "the path is removed once it has served");
}

#[tokio::test]
async fn an_error_of_the_handler_keeps_the_worker() {
    let fake = Fake::start(&[]).await;
    let pid = fake.pid().await;
    let error = fake.full(invocation("/raise", "", Bytes::new())).await.unwrap_err();
    let InvokeError::Handler { kind, message, trace } = error else { panic!("{error}") };
    assert_eq!((kind.as_str(), message.as_str()), ("ValueError", "no good"));
    assert!(trace.contains("line 1"));
    fake.logs.wait("host error Traceback:\n  line 1\nValueError: no good").await;
    assert_eq!(fake.pid().await, pid);
}

#[tokio::test]
async fn a_dead_worker_costs_its_executions_and_is_replaced() {
    let fake = Fake::start(&[]).await;
    for (path, query, cause) in
        [("/exit", "code=3", "exited with code 3; last on stderr: last words"), ("/signal", "number=11", "SIGSEGV")]
    {
        let before = fake.pid().await;
        let error = fake.full(invocation(path, query, Bytes::new())).await.unwrap_err();
        assert!(
            matches!(error, InvokeError::WorkerLost { .. }) && !error.to_string().contains("last words"),
            "{error}"
        );
        let found = error.in_full();
        assert!(found.contains(cause), "{found}");
        assert_ne!(fake.pid().await, before);
    }
}

#[tokio::test]
async fn kill_9_while_answering_is_told_as_that() {
    let fake = Fake::start(&[]).await;
    let pid = fake.pid().await;
    let waiting = fake.full(invocation("/sleep", "ms=5000", Bytes::new()));
    let killing = async {
        fake.in_flight(1).await;
        support::kill(pid);
    };
    let (error, ()) = tokio::join!(waiting, killing);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("killed by signal 9 (SIGKILL)"), "{error}");
    assert_ne!(fake.pid().await, pid);
}

#[tokio::test]
async fn a_worker_that_breaks_the_protocol_is_replaced() {
    let fake = Fake::start(&[]).await;
    for path in ["/malformed", "/truncated", "/unknown-id", "/host-frame", "/chunk-first"] {
        let before = fake.pid().await;
        let error = fake.full(invocation(path, "", Bytes::new())).await.unwrap_err();
        assert!(matches!(error, InvokeError::BadReply(_)), "{path}: {error}");
        assert_ne!(fake.pid().await, before, "{path}");
    }
}

#[tokio::test]
async fn a_worker_that_closes_its_socket_and_stays_is_killed() {
    let fake = Fake::start(&[]).await;
    let before = fake.pid().await;
    let error = fake.full(invocation("/close", "", Bytes::new())).await.unwrap_err();
    assert!(matches!(error, InvokeError::BadReply(_)), "{error}");
    support::gone(before).await;
    assert_ne!(fake.pid().await, before);
}

#[tokio::test]
async fn the_second_of_two_answers_is_dropped() {
    let fake = Fake::start(&[]).await;
    let pid = fake.pid().await;
    let (_, body) = fake.full(invocation("/twice", "", Bytes::new())).await.unwrap();
    assert_eq!(body, "1");
    assert_eq!(fake.pid().await, pid);
    assert_eq!(fake.gauge("late_results_total"), 1.0);
}

#[tokio::test]
async fn a_worker_that_never_reads_is_ended_at_the_deadline() {
    let fake = Fake::start(&[]).await;
    let before = fake.pid().await;
    let mut stuck = invocation("/never-read", "", Bytes::new());
    stuck.deadline = Instant::now() + Duration::from_millis(100);
    assert!(fake.with_deadline(stuck).await.is_none());
    support::gone(before).await;
    assert_ne!(fake.pid().await, before);
}

#[tokio::test]
async fn what_http_cannot_carry_is_an_error_and_keeps_the_worker() {
    let fake = Fake::start(&[]).await;
    let pid = fake.pid().await;
    for (path, query) in [("/status", "n=99"), ("/status", "n=600"), ("/header", "name=x"), ("/header", "name=%20")] {
        let error = fake.full(invocation(path, query, Bytes::new())).await.unwrap_err();
        assert!(matches!(error, InvokeError::BadReply(_)), "{path}?{query}: {error}");
    }
    assert_eq!(fake.pid().await, pid);
}

#[tokio::test]
async fn a_response_one_byte_over_is_an_error_and_keeps_the_worker() {
    let fake = Fake::limited(|limits| limits.response_bytes_max = 1000, &[]).await;
    let pid_fits = fake.full(invocation("/bytes", "n=1000", Bytes::new())).await.unwrap();
    assert_eq!(pid_fits.1.len(), 1000);
    for length in [1001, 5_000_000, 60_000_000] {
        let error = fake.full(invocation("/bytes", &format!("n={length}"), Bytes::new())).await.unwrap_err();
        assert_eq!(error, InvokeError::ResponseTooLarge { response_bytes_max: 1000 });
    }
    assert_eq!(fake.full(invocation("/bytes", "n=7", Bytes::new())).await.unwrap().1.len(), 7);
    assert_eq!(fake.gauge("workers_started_total"), 1.0);
}

#[tokio::test]
async fn dropping_the_call_cancels_and_the_slot_is_free_when_the_work_has_stopped() {
    let fake = Fake::start(&[]).await;
    let pid = fake.pid().await;
    let (slot, freed) = support::slot();
    let mut call = invocation("/sleep", "ms=60000", Bytes::new());
    call.slot = slot;
    call.deadline = Instant::now() + Duration::from_millis(50);
    assert!(fake.with_deadline(call).await.is_none());
    ends_within(Duration::from_secs(2), freed).await;
    assert_eq!(fake.pid().await, pid, "it stopped when it was asked to");
}

#[tokio::test]
async fn work_that_does_not_stop_is_killed_after_the_grace_and_holds_its_slot_until_then() {
    let fake = Fake::limited(|limits| limits.cancel_grace = Duration::from_millis(200), &[]).await;
    let pid = fake.pid().await;
    let (slot, freed) = support::slot();
    let mut call = invocation("/deaf", "ms=60000", Bytes::new());
    call.slot = slot;
    call.deadline = Instant::now() + Duration::from_millis(50);
    let started = Instant::now();
    assert!(fake.with_deadline(call).await.is_none());
    ends_within(Duration::from_secs(2), freed).await;
    assert!(started.elapsed() >= Duration::from_millis(250), "{:?}", started.elapsed());
    support::gone(pid).await;
    assert_ne!(fake.pid().await, pid);
    assert_eq!(fake.gauge("worker_ends_overdue_total"), 1.0);
}

#[tokio::test]
async fn siblings_of_work_that_does_not_stop_finish_first() {
    let fake = Fake::limited(|limits| limits.cancel_grace = Duration::from_millis(20), &[]).await;
    let pid = fake.pid().await;
    let sibling = fake.full(invocation("/sleep", "ms=400", Bytes::new()));
    let culprit = async {
        let mut call = invocation("/deaf", "ms=60000", Bytes::new());
        call.deadline = Instant::now() + Duration::from_millis(20);
        fake.with_deadline(call).await
    };
    let others = async {
        tokio::time::timeout(Duration::from_secs(5), async {
            // Another worker takes over while the first one still has the sibling.
            while fake.pid().await == pid {}
        })
        .await
    };
    let (sibling, culprit, others) = tokio::join!(sibling, culprit, others);
    assert_eq!(sibling.unwrap().1, "slept");
    assert!(culprit.is_none() && others.is_ok());
    support::gone(pid).await;
}

#[tokio::test]
async fn an_answer_within_the_grace_keeps_the_worker() {
    let fake = Fake::limited(|limits| limits.cancel_grace = Duration::from_secs(5), &[]).await;
    let pid = fake.pid().await;
    let (slot, freed) = support::slot();
    let mut call = invocation("/deaf", "ms=150", Bytes::new());
    call.slot = slot;
    call.deadline = Instant::now() + Duration::from_millis(30);
    assert!(fake.with_deadline(call).await.is_none());
    ends_within(Duration::from_secs(2), freed).await;
    assert_eq!(fake.pid().await, pid);
    assert_eq!(fake.gauge("late_results_total"), 1.0);
}

#[tokio::test]
async fn a_streamed_answer_comes_whole() {
    let fake = Fake::start(&[]).await;
    for (parts, size) in [(1, 1), (3, 0), (2000, 7), (64, 65_536)] {
        let call = invocation("/stream", &format!("parts={parts}&size={size}"), Bytes::new());
        let reply = fake.executor.invoke(call).await.unwrap();
        assert_eq!(reply.headers["content-type"], "text/x-stream");
        let body = support::read(reply.body).await.unwrap();
        let expected: Vec<u8> = (0..parts).flat_map(|number: u32| vec![number as u8; size]).collect();
        assert!(body == expected, "{parts} parts of {size}");
    }
}

#[tokio::test]
async fn a_stream_waits_for_its_reader_and_others_do_not() {
    let fake = Fake::start(&[]).await;
    let reply = fake.executor.invoke(invocation("/stream", "parts=1000&size=65536", Bytes::new())).await.unwrap();
    // Nobody reads; others are served meanwhile, and memory stays within the window.
    for _ in 0..20 {
        fake.full(invocation("/echo", "", Bytes::from_static(b"x"))).await.unwrap();
    }
    let body = support::read(reply.body).await.unwrap();
    assert_eq!(body.len(), 65_536_000);
}

#[tokio::test]
async fn a_stream_that_breaks_never_ends_well() {
    let fake = Fake::start(&[]).await;
    for end in ["error", "exit"] {
        let call = invocation("/stream", &format!("parts=4&size=10&end={end}"), Bytes::new());
        let reply = fake.executor.invoke(call).await.unwrap();
        let error = support::read(reply.body).await.unwrap_err();
        assert!(!error.0.is_empty(), "{end}");
    }
    let reply = fake.executor.invoke(invocation("/overrun", "", Bytes::new())).await.unwrap();
    support::read(reply.body).await.unwrap_err();
}

#[tokio::test]
async fn dropping_a_streamed_body_cancels_the_execution() {
    let fake = Fake::start(&[]).await;
    let (slot, freed) = support::slot();
    let mut call = invocation("/stream", "parts=100000&size=1000", Bytes::new());
    call.slot = slot;
    let reply = fake.executor.invoke(call).await.unwrap();
    let ReplyBody::Stream(mut body) = reply.body else { panic!("not streamed") };
    body.next().await.unwrap().unwrap();
    drop(body);
    ends_within(Duration::from_secs(2), freed).await;
    fake.logs.wait("stdout info stream cancelled").await;
}

#[tokio::test]
async fn one_at_a_time_where_the_worker_says_so_and_more_workers_for_more() {
    let fake = Fake::limited(|limits| limits.max_concurrency = 3, &[("FAKE_CONCURRENCY", "1")]).await;
    let started = Instant::now();
    let calls = (0..6).map(|_| fake.full(invocation("/sleep", "ms=200", Bytes::new())));
    for answer in futures_util::future::join_all(calls).await {
        answer.unwrap();
    }
    assert!(started.elapsed() >= Duration::from_millis(400), "at most three at once");
    assert_eq!(fake.gauge("workers_count"), 3.0);
}

#[tokio::test]
async fn a_zygote_forks_workers_on_demand() {
    let extra = [("FAKE", "zygote"), ("FAKE_CONCURRENCY", "1")];
    let fake = Fake::limited(|limits| limits.max_concurrency = 4, &extra).await;
    assert_eq!(fake.gauge("workers_count"), 1.0);
    let calls = (0..4).map(|_| fake.full(invocation("/sleep", "ms=100", Bytes::new())));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.unwrap().1, "slept");
    }
    assert_eq!(fake.gauge("workers_count"), 4.0);
    // A forked worker's end is known as well as a started one's.
    let error = fake.full(invocation("/exit", "code=5", Bytes::new())).await.unwrap_err();
    let words = error.in_full();
    assert!(words.contains("exited with code 5; last on stderr: last words"), "{words}");
    let pid = fake.pid().await;
    assert!(fake.gauge("workers_count") >= 3.0);
    fake.executor.drain(Instant::now() + Duration::from_secs(5)).await;
    support::gone(pid).await;
}

#[tokio::test]
async fn a_zygote_has_a_worker_ready_before_it_is_needed() {
    let extra = [("FAKE", "zygote"), ("FAKE_CONCURRENCY", "1")];
    let fake = Fake::limited(|limits| limits.max_concurrency = 2, &extra).await;
    let first = fake.pid().await;
    // The zygote, its worker, and the spare one, which serves nobody.
    fake.started(3).await;
    assert_eq!(fake.gauge("workers_count"), 1.0);
    let zygote = support::parent(first);
    let before = support::children(zygote);
    assert_eq!(before.len(), 2);
    // Long enough for the other one on any machine.
    let held = fake.full(invocation("/sleep", "ms=2000", Bytes::new()));
    let second = async {
        fake.in_flight(1).await;
        fake.pid().await
    };
    let (held, second) = tokio::join!(held, second);
    held.unwrap();
    assert!(second != first && before.contains(&second), "{second:?} of {before:?}");
    // Both may run now, and there is one more for when one of them ends.
    fake.started(4).await;
    assert_eq!(fake.gauge("workers_count"), 2.0);
    let spare = support::children(zygote).into_iter().find(|pid| !before.contains(pid)).unwrap();
    support::kill(spare);
    support::gone(spare).await;
    fake.started(5).await;
    let spare = support::children(zygote).into_iter().find(|pid| !before.contains(pid)).unwrap();
    before.into_iter().for_each(support::kill);
    // The host has heard of all three.
    fake.ended_by_signal(3).await;
    let third = fake.pid().await;
    assert_eq!(third, spare);
    fake.executor.drain(Instant::now() + Duration::from_secs(5)).await;
    support::gone(third).await;
}

#[tokio::test]
async fn a_drain_ends_soon_at_any_moment_of_a_spare_workers_start() {
    let extra = [("FAKE", "zygote"), ("FAKE_CONCURRENCY", "1")];
    for step in 0..48 {
        let fake = Fake::limited(|limits| limits.max_concurrency = 2, &extra).await;
        fake.pid().await;
        // The spare one is forked 10 ms after the first.
        tokio::time::sleep(Duration::from_micros(500 * step)).await;
        let begun = Instant::now();
        fake.executor.drain(begun + Duration::from_secs(20)).await;
        assert!(begun.elapsed() < Duration::from_secs(10), "{step}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_worker_is_nicer_than_its_host() {
    let fake = Fake::start(&[]).await;
    let (own, worker) = (support::nice(rustix::process::getpid()), support::nice(fake.pid().await));
    // 19 is the end of the scale.
    assert_eq!(worker, (own + 5).min(19));
}

#[tokio::test]
async fn workers_outlive_their_zygote_and_it_is_replaced() {
    let extra = [("FAKE", "zygote"), ("FAKE_CONCURRENCY", "1")];
    let fake = Fake::limited(|limits| limits.max_concurrency = 2, &extra).await;
    let worker = fake.pid().await;
    let zygote = support::parent(worker);
    support::kill(zygote);
    support::gone(zygote).await;
    assert_eq!(fake.pid().await, worker);
    // The orphan is this process's child now, and its end is still known.
    let error = fake.full(invocation("/exit", "code=6", Bytes::new())).await.unwrap_err();
    assert!(error.to_string().contains("exited with code 6"), "{error}");
    assert_ne!(fake.pid().await, worker);
}

#[tokio::test]
async fn a_worker_that_allocates_for_ever_is_killed_at_the_limit() {
    let fake = Fake::limited(|limits| limits.memory_mb = 96, &[]).await;
    let pid = fake.pid().await;
    let error = fake.full(invocation("/alloc", "", Bytes::new())).await.unwrap_err();
    assert_eq!(error, InvokeError::MemoryLimit { memory_mb: 96 });
    assert_ne!(fake.pid().await, pid);
    assert_eq!(fake.gauge("worker_ends_memory_total"), 1.0);
}

#[tokio::test]
async fn prints_are_lines_of_their_execution_and_nothing_more() {
    let fake = Fake::limited(|limits| limits.log_line_bytes_max = 40, &[("FAKE_CONCURRENCY", "1")]).await;
    let mut forged = Vec::new();
    ignite_core_abi::payload::encode_chunk(1, true, b"forged", &mut forged);
    let long = "y".repeat(100);
    let body = format!("one\ntwo {}\n{long}\nlast without end", String::from_utf8_lossy(&forged));
    let call = invocation("/print", "", Bytes::from(body));
    let id = call.execution_id;
    assert_eq!(fake.full(call).await.unwrap().1, "printed");
    let lines = fake.logs.of(id);
    assert_eq!(lines[0], "stdout info one");
    assert!(lines[1].starts_with("stdout info two "), "{lines:?}");
    assert_eq!(lines[lines.len() - 2], format!("stdout info {}… (60 bytes cut)", "y".repeat(40)));
    assert_eq!(lines[lines.len() - 1], "stdout info last without end");
    let next = invocation("/log", "", Bytes::new());
    let next_id = next.execution_id;
    fake.full(next).await.unwrap();
    assert_eq!(fake.logs.of(next_id), [r#"logger warn careful {"n": 1}"#]);
}

#[tokio::test]
async fn a_handler_that_cannot_be_loaded_is_told_at_once() {
    let fake = Fake::start_unready(&[("FAKE", "init_error")]);
    let health = fake.executor.started().await;
    assert_eq!(health, Health::Failed("ImportError: no module named nothing".into()));
    fake.logs.wait("host error ImportError: no module named nothing\nTraceback: here").await;
    let error = fake.full(invocation("/echo", "", Bytes::new())).await.unwrap_err();
    assert_eq!(error, InvokeError::NotLoaded { reason: "ImportError: no module named nothing".into() });
}

#[tokio::test]
async fn a_handler_that_takes_too_long_to_load_is_told_too() {
    let fake =
        Fake::unready_limited(|limits| limits.start_timeout = Duration::from_millis(300), &[("FAKE", "never_ready")]);
    let health = fake.executor.started().await;
    assert_eq!(health, Health::Failed("the handler was not loaded within 300 ms (IGNITE_START_MS)".into()));
}

#[tokio::test]
async fn a_crash_loop_is_told_with_its_reason() {
    for (mode, words) in [
        ("exits_at_start", "exited with code 7; last on stderr: cannot go on"),
        ("exits_when_ready", "exited with code 8"),
    ] {
        let fake = Fake::start_unready(&[("FAKE", mode)]);
        let failed = async {
            loop {
                match fake.executor.health() {
                    Health::Failed(reason) => return reason,
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        let reason = tokio::time::timeout(Duration::from_secs(20), failed).await.unwrap();
        assert!(reason.starts_with("crash loop, 5 ends without a served request"), "{reason}");
        assert!(reason.contains(words), "{reason}");
    }
}

#[tokio::test]
async fn an_idle_drain_is_quick_and_one_in_flight_is_waited_for() {
    let fake = Fake::start(&[]).await;
    let pid = fake.pid().await;
    let started = Instant::now();
    let call = fake.full(invocation("/sleep", "ms=300", Bytes::new()));
    let drain = async {
        fake.in_flight(1).await;
        fake.executor.drain(Instant::now() + Duration::from_secs(10)).await;
    };
    let (answer, ()) = tokio::join!(call, drain);
    assert_eq!(answer.unwrap().1, "slept");
    assert!(started.elapsed() < Duration::from_secs(2));
    support::gone(pid).await;
    assert_eq!(fake.executor.health(), Health::Draining);
    let error = fake.full(invocation("/echo", "", Bytes::new())).await.unwrap_err();
    assert!(matches!(error, InvokeError::Unavailable(_)), "{error}");
    // Once more does nothing.
    fake.executor.drain(Instant::now()).await;

    let idle = Fake::start(&[]).await;
    idle.pid().await;
    let started = Instant::now();
    idle.executor.drain(Instant::now() + Duration::from_secs(10)).await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_drain_ends_at_its_deadline_whatever_the_worker_does() {
    let fake = Fake::start(&[("FAKE", "ignores_drain")]).await;
    let pid = fake.pid().await;
    let started = Instant::now();
    let call = fake.full(invocation("/deaf", "ms=60000", Bytes::new()));
    let drain = async {
        fake.in_flight(1).await;
        fake.executor.drain(Instant::now() + Duration::from_millis(200)).await;
    };
    let (answer, ()) = tokio::join!(call, drain);
    answer.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    support::gone(pid).await;
}

#[tokio::test]
async fn nothing_outlives_a_dropped_executor() {
    let fake = Fake::start(&[]).await;
    let pid = fake.pid().await;
    drop(fake);
    support::gone(pid).await;
}

#[tokio::test]
async fn what_a_worker_leaves_behind_ends_and_is_reaped() {
    let fake = Fake::start(&[]).await;
    let (_, pids) = fake.full(invocation("/leave-behind", "", Bytes::new())).await.unwrap();
    let pids: Vec<i32> = str::from_utf8(&pids).unwrap().split(' ').map(|pid| pid.parse().unwrap()).collect();
    let [group, session, daemon] = [pids[0], pids[1], pids[2]].map(|pid| rustix::process::Pid::from_raw(pid).unwrap());
    fake.full(invocation("/exit", "code=0", Bytes::new())).await.unwrap_err();
    support::gone(group).await;
    support::gone(session).await;
    assert!(rustix::process::test_kill_process(daemon).is_ok(), "a daemon is left alone while the app lives");
    fake.executor.drain(Instant::now() + Duration::from_secs(5)).await;
    support::gone(daemon).await;
}
