//! The functions that the workers of these tests serve.

use std::sync::Mutex;
use std::time::Duration;

/// The worker itself, when [`crate::host`] starts this program again; otherwise it has nothing to do.
#[test]
fn serve() {
    match std::env::var("IT_FUNCTION").as_deref() {
        Ok("asynchronous") => asynchronous::__ignite_main(),
        Ok("synchronous") => synchronous::__ignite_main(),
        Ok(other) => panic!("no function {other}"),
        Err(_) => {}
    }
}

/// Opened by one execution for others.
static GATE: (Mutex<bool>, std::sync::Condvar) = (Mutex::new(false), std::sync::Condvar::new());

struct LogsWhenDropped(ignite::Context);

impl Drop for LogsWhenDropped {
    fn drop(&mut self) {
        self.0.log().info("dropped");
    }
}

#[derive(Debug)]
struct Outer(std::num::ParseIntError);

impl std::fmt::Display for Outer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no number came")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

fn parse(text: &str) -> Result<u8, Outer> {
    text.parse().map_err(Outer)
}

pub(crate) mod asynchronous {
    use ignite::prelude::*;

    use super::*;

    #[ignite::main]
    async fn handler(req: Request, ctx: Context) -> Result<impl IntoResponse> {
        let response = match req.path() {
            "/echo" => {
                let kind = req.header("Content-Type").unwrap_or("application/octet-stream").to_owned();
                (StatusCode::OK, [("content-type", kind)], req.raw().to_vec()).into_response()
            }
            "/request" => {
                let headers: Vec<_> =
                    req.headers().map(|(name, value)| format!("{name}={}", value.escape_ascii())).collect();
                json!({
                    "method": req.method(), "path": req.path(), "query": req.query(), "q": req.query_param("q"),
                    "absent": req.query_param("absent"), "headers": headers, "length": req.raw().len(),
                    "execution": ctx.execution_id(), "function": ctx.function_id(), "organization": ctx.organization_id(),
                    "greeting": ctx.env().get("GREETING"), "unset": ctx.env().get("IT_UNSET"),
                })
                .into_response()
            }
            "/gr%C3%BC%C3%9Fe" => {
                format!("{} {}", req.query_param("an").unwrap_or_default(), req.field::<String>("größe")?)
                    .into_response()
            }
            "/nothing" => ().into_response(),
            "/teapot" => Response::new("short and stout")
                .with_status(StatusCode::IM_A_TEAPOT)
                .with_header("X-Kind", "first")
                .with_header("x-kind", "pot")
                .with_further_header("set-cookie", "a=1")
                .with_further_header("set-cookie", "b=2"),
            "/body" => Json(req.body::<std::collections::BTreeMap<String, u8>>()?).into_response(),
            "/error" => parse(req.query())?.to_string().into_response(),
            "/refused" => return Err(Error::status(StatusCode::NOT_FOUND, "no such thing").with_type("unknown_thing")),
            "/unavailable" => {
                return Err(Error::from(std::io::Error::other("disk")).with_status(StatusCode::SERVICE_UNAVAILABLE));
            }
            "/panic" => panic!("all {} lost", req.raw().len()),
            "/header" => ().into_response().with_header("x-bad", "a\nb"),
            "/large" => vec![b'x'; req.query().parse()?].into_response(),
            "/log" => {
                ctx.log().field("n", 7).field("who", "Ada").warn("took long");
                ctx.log().trace("fine");
                ctx.log().info("x".repeat(ignite::LOG_BYTES_MAX) + "beyond");
                ctx.log().field("much", "y".repeat(ignite::LOG_BYTES_MAX)).debug("large");
                "logged".into_response()
            }
            "/flood" => {
                for n in 0..100_000 {
                    ctx.log()
                        .field("n", n)
                        .info("a line of a hundred bytes or so, of which there are far too many for anyone");
                }
                "flooded".into_response()
            }
            "/deadline" => json!({
                "left_ms": ctx.remaining().map(|left| left.as_millis() as u64),
                "at": ctx.deadline().is_some(),
            })
            .into_response(),
            "/store" => {
                let store = ctx.temp_store();
                assert_eq!(store.list(), Vec::<String>::new());
                store.put("b", "two")?;
                store.put("a", vec![0; 30 << 20])?;
                let full = store.put("c", vec![0; 40 << 20]).unwrap_err().to_string();
                let swapped = store.put("a", vec![0; 60 << 20]).is_ok();
                let taken = store.remove("a").map(|value| value.len());
                json!({ "b": store.get("b"), "full": full, "swapped": swapped, "taken": taken, "list": store.list() })
                    .into_response()
            }
            "/stream" => {
                let mut stream =
                    ctx.stream().with_status(StatusCode::ACCEPTED).with_header("x-way", "streamed").start()?;
                for part in ["0123456789", "", "abcdefghijklmno"] {
                    stream.write(part).await?;
                }
                stream.finish().into_response()
            }
            "/stream/error" => {
                let mut stream = ctx.stream().start()?;
                stream.write("begun").await?;
                parse("x")?;
                stream.finish().into_response()
            }
            "/stream/refused" => {
                let _stream = ctx.stream().start()?;
                return Err(Error::status(StatusCode::NOT_FOUND, "too late"));
            }
            "/stream/panic" => {
                let _stream = ctx.stream().start()?;
                panic!("midway");
            }
            "/stream/unfinished" => {
                let _stream = ctx.stream().start()?;
                "this instead".into_response()
            }
            "/stream/twice" => {
                let stream = ctx.stream().start()?;
                let again = ctx.stream().start().map(drop).unwrap_err().to_string();
                ctx.log().info(again);
                stream.finish().into_response()
            }
            "/stream/outlived" => {
                let stream = ctx.stream().start()?.finish();
                ctx.log().info("after the end");
                stream.into_response()
            }
            "/background" => {
                let late = ctx.clone();
                tokio::spawn(async move {
                    while ctx.temp_store().list().is_empty() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                });
                let gate = tokio::task::spawn_blocking(move || {
                    drop(GATE.1.wait_while(GATE.0.lock().unwrap(), |open| !*open));
                    late.log().info("late");
                });
                drop(gate);
                "at once".into_response()
            }
            "/wait" => std::future::pending().await,
            "/wait/drop" => {
                let _guard = LogsWhenDropped(ctx.clone());
                std::future::pending().await
            }
            "/wait/listen" => {
                ctx.cancelled().await;
                ctx.log().info("tidied up");
                return Err(Error::msg("stopped by myself"));
            }
            "/wait/deaf" => {
                ctx.cancelled().await;
                std::future::pending().await
            }
            "/gate/wait" => {
                tokio::task::spawn_blocking(|| drop(GATE.1.wait_while(GATE.0.lock().unwrap(), |open| !*open))).await?;
                "passed".into_response()
            }
            "/gate/block" => {
                ctx.log().info("will block");
                drop(GATE.1.wait_while(GATE.0.lock().unwrap(), |open| !*open));
                "passed".into_response()
            }
            "/gate/open" => {
                *GATE.0.lock().unwrap() = true;
                GATE.1.notify_all();
                "opened".into_response()
            }
            "/fds" => {
                let fds = std::process::Command::new("sh")
                    .args(["-c", "for fd in /proc/self/fd/*; do readlink $fd; done"])
                    .output()?;
                String::from_utf8(fds.stdout)?.into_response()
            }
            other => return Err(Error::msg(format_args!("no route {other}"))),
        };
        Ok(response)
    }
}

pub(crate) mod synchronous {
    use std::io::Write as _;

    use ignite::prelude::*;

    use super::*;

    #[ignite::main]
    fn handler(req: Request, ctx: Context) -> Result<Response, Box<dyn std::error::Error + Send + Sync>> {
        Ok(match req.path() {
            "/echo" => req.raw().to_vec().into_response(),
            "/error" => return Err("in words".into()),
            "/refused" => return Err(Error::status(StatusCode::NOT_FOUND, "no such thing").into()),
            "/panic" => std::panic::panic_any(7),
            "/stream" => {
                let mut stream = ctx.stream().start()?;
                stream.write_blocking("0123456789")?;
                write!(stream.blocking(), "abc-{}", 7)?;
                stream.finish().into_response()
            }
            "/wait/listen" => {
                while !ctx.is_cancelled() {
                    std::thread::yield_now();
                }
                return Err("stopped by myself".into());
            }
            "/gate/wait" => {
                drop(GATE.1.wait_while(GATE.0.lock().unwrap(), |open| !*open));
                "passed".into_response()
            }
            "/gate/open" => {
                *GATE.0.lock().unwrap() = true;
                GATE.1.notify_all();
                "opened".into_response()
            }
            "/runtime" => {
                tokio::runtime::Handle::current().block_on(tokio::time::sleep(Duration::from_millis(1)));
                "has one".into_response()
            }
            _ => ().into_response(),
        })
    }
}
