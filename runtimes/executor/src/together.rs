//! Answers that leave together.

use crate::{Reply, ReplyBody};

/// Longest body that waits, in bytes: what waits is kept in memory.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// Waits with a reply until the tasks that are ready at the same time have had their turn; where there is none, for nothing.
///
/// Were each answer sent at once, the first would wake its caller, which takes a processor from the executions that are ready too;
/// then the next would, and so on. Sent one after the other, they wake callers once, who find several and ask for as many
/// again. Streams and long bodies do not wait. For executors whose answers come one by one; the caller sees to it that what
/// else is ready is quick.
pub async fn leave_together(reply: &Reply) {
    if matches!(&reply.body, ReplyBody::Full(body) if body.len() <= BODY_BYTES_MAX) {
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use super::*;

    /// What three executions do that are ready at once: run, and send their answer.
    async fn order(body_bytes: usize) -> String {
        let done = Arc::new(Mutex::new(String::new()));
        let all: Vec<_> = (0..3)
            .map(|_| {
                let body = ReplyBody::Full(Bytes::from(vec![0; body_bytes]));
                let reply = Reply { status: StatusCode::OK, headers: HeaderMap::new(), body };
                let done = Arc::clone(&done);
                tokio::spawn(async move {
                    done.lock().unwrap().push('r');
                    leave_together(&reply).await;
                    done.lock().unwrap().push('s');
                })
            })
            .collect();
        for one in all {
            one.await.unwrap();
        }
        done.lock().unwrap().clone()
    }

    #[tokio::test]
    async fn what_is_ready_runs_before_the_first_is_sent() {
        assert_eq!(order(100).await, "rrrsss");
    }

    #[tokio::test]
    async fn long_bodies_are_sent_at_once() {
        assert_eq!(order(BODY_BYTES_MAX + 1).await, "rsrsrs");
    }
}
