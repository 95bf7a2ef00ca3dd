//! Whoever invokes: waits, gives up, reads at leisure, and checks what comes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use ignite_core_model::ExecutionId;
use ignite_runtimes_executor::{Executor as _, Invocation, InvokeError, Reply, ReplyBody, RequestBody, Slot};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Dice, Fate, Right, World};
use crate::executor::ProcessExecutor;
use crate::shared::Shared;

/// A deadline that nobody meets here.
const FAR: Duration = Duration::from_secs(30);
/// How long an answer may take where there is no deadline: workers that are stuck are found by the deadlines of others, and
/// one that never answers is given up by its caller.
const PATIENCE: Duration = Duration::from_millis(400);

/// The body an execution is sent with, by which its worker knows it.
pub(super) fn body(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(1 + number as usize % 40)
}

/// What answers it: nothing else will do.
pub(super) fn answer(number: u64) -> Vec<u8> {
    (0..number * 13 % 997).flat_map(|index| (number * 31 + index).to_le_bytes()).collect()
}

/// One execution, from its caller's side.
pub(super) async fn call(
    executor: Arc<ProcessExecutor>,
    shared: Arc<Shared>,
    world: Arc<World>,
    number: u64,
    hurry: u64,
    mut dice: Dice,
) {
    tokio::time::sleep(Duration::from_micros(dice.roll(20_000))).await;
    if dice.roll(2) == 0 {
        shared.pace.assume_quick();
    }
    let deadline = Instant::now() + if dice.roll(100) < hurry { Duration::from_micros(dice.roll(30_000)) } else { FAR };
    let invocation = Invocation {
        execution_id: ExecutionId::from_parts(1_700_000_000_000, number.into()),
        function_id: "acme/chaos".parse().expect("an id"),
        organization_id: "acme".parse().expect("an id"),
        method: Method::POST,
        path: "/".into(),
        query: String::new(),
        headers: HeaderMap::new(),
        body: RequestBody::Full(Bytes::from(body(number))),
        deadline,
        head_by: deadline,
        slot: Slot::new(Right(Arc::clone(&world), number)),
    };
    let gives_up = if dice.roll(6) == 0 { Duration::from_micros(dice.roll(10_000)) } else { PATIENCE };
    // As the host does it: at the deadline the call is dropped, and when the caller goes away as well.
    let answered = timeout(gives_up, timeout_at(deadline, executor.invoke(invocation))).await;
    let Ok(Ok(answered)) = answered else { return };
    match answered {
        Ok(reply) => read(&world, number, reply, &mut dice).await,
        Err(error) => judge(&world, number, &error, deadline),
    }
}

/// Reads an answer, all of it or some.
async fn read(world: &World, number: u64, reply: Reply, dice: &mut Dice) {
    assert_eq!(reply.headers["x-number"], number.to_string(), "the answer of another execution");
    let expected = answer(number);
    match reply.body {
        ReplyBody::Full(body) => {
            assert!(body == expected, "execution {number}: another body of {} bytes", body.len());
            assert_eq!(world.fate(number), Some(Fate::Answered));
        }
        ReplyBody::Stream(mut body) => {
            let mut read = Vec::new();
            let enough = if dice.roll(4) == 0 { dice.roll(4) } else { u64::MAX };
            for _ in 0..enough {
                dice.pause(2_000).await;
                // A worker that never goes on is given up.
                let Ok(part) = timeout(PATIENCE, body.next()).await else { return };
                match part {
                    Some(Ok(part)) => read.extend_from_slice(&part),
                    Some(Err(_)) => {
                        let known = world.fate(number);
                        let broke = known == Some(Fate::BrokenOff) || world.had_trouble();
                        assert!(broke, "execution {number} broke off by itself: {known:?}");
                        return assert!(expected.starts_with(&read), "execution {number}: another body");
                    }
                    None => {
                        assert!(read == expected, "execution {number}: {} of {} bytes", read.len(), expected.len());
                        return assert_eq!(world.fate(number), Some(Fate::Answered));
                    }
                }
            }
            assert!(expected.starts_with(&read), "execution {number}: another body");
        }
    }
}

/// Whether an error is one that this execution can have.
fn judge(world: &World, number: u64, error: &InvokeError, deadline: Instant) {
    let fate = world.fate(number);
    let fits = match error {
        InvokeError::Handler { kind, message, .. } => {
            kind == "Chaos" && *message == number.to_string() && fate == Some(Fate::Failed)
        }
        // It was with a worker that ended, or on its way to one.
        InvokeError::WorkerLost { .. } => matches!(fate, None | Some(Fate::Given)) && world.had_trouble(),
        InvokeError::BadReply(_) => {
            fate == Some(Fate::Odd) || (matches!(fate, None | Some(Fate::Given)) && world.had_trouble())
        }
        InvokeError::TimedOut => Instant::now() + super::GRACE >= deadline,
        InvokeError::Unavailable(why) => why.contains("keep ending") && world.had_trouble(),
        InvokeError::Cancelled
        | InvokeError::MemoryLimit { .. }
        | InvokeError::NotLoaded { .. }
        | InvokeError::ResponseTooLarge { .. } => false,
    };
    assert!(fits, "execution {number}, whose fate was {fate:?}, had {error:?}");
}
