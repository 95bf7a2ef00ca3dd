//! `ignite::test`, as an author uses it.

use ignite::prelude::*;
use ignite::test;
use std::time::Duration;

async fn asynchronous(req: Request, ctx: Context) -> Result<impl IntoResponse> {
    tokio::time::sleep(Duration::from_millis(1)).await;
    ctx.log().field("n", 1).info("seen");
    let name: String = req.field("name")?;
    Ok((StatusCode::CREATED, [("x-id", ctx.execution_id().to_owned())], name))
}

fn synchronous(req: Request, _ctx: Context) -> Response {
    Response::new(req.query_param("q").map(|value| value.into_owned()).unwrap_or_default())
}

async fn streaming(_req: Request, ctx: Context) -> Result<ignite::Streamed> {
    let mut stream = ctx.stream().with_header("content-type", "text/csv").start()?;
    stream.write("a,").await?;
    stream.write(b"b").await?;
    Ok(stream.finish())
}

#[test]
fn handlers_of_both_kinds_are_called() {
    let request = test::request().json(&json!({ "name": "Ada" }));
    let reply = test::invoke(asynchronous, request, test::context().execution_id("E1"));
    assert_eq!((reply.status, reply.text(), reply.header("X-Id")), (201, "Ada", Some("E1")));
    let log = &reply.logs[0];
    assert_eq!((log.level, &*log.message, log.fields["n"].as_u64()), ("info", "seen", Some(1)));
    let reply = test::invoke(synchronous, test::request().method("GET").path("/x?q=%C3%BC"), test::context());
    assert_eq!(reply.text(), "ü");
}

#[test]
fn failures_are_answered_as_the_host_would() {
    let reply = test::invoke(asynchronous, test::request(), test::context());
    assert_eq!(reply.status, 400);
    assert_eq!(reply.json::<serde_json::Value>()["error"], "the request body is empty, JSON was expected");
    assert!(reply.error.is_some());
    let failing = |_: Request, _: Context| -> Result<(), String> { Err("in words".to_owned()) };
    let reply = test::invoke(failing, test::request(), test::context());
    assert_eq!((reply.status, reply.error.unwrap().to_string()), (500, "in words".to_owned()));
}

#[test]
fn streams_are_put_together() {
    let reply = test::invoke(streaming, test::request(), test::context());
    assert_eq!((reply.text(), reply.parts.len(), reply.header("content-type")), ("a,b", 2, Some("text/csv")));
    let unfinished = async |_: Request, ctx: Context| ctx.stream().start().map(drop);
    let reply = test::invoke(unfinished, test::request(), test::context());
    assert!(reply.error.unwrap().to_string().contains("without finishing it"));
}

#[test]
fn deadlines_and_cancellation_are_made_up() {
    let seen = |_: Request, ctx: Context| {
        format!("{:?} {}", ctx.remaining().map(|left| left.as_secs() < 9), ctx.is_cancelled())
    };
    let context = test::context().timeout(Duration::from_secs(9)).cancelled();
    assert_eq!(test::invoke(seen, test::request(), context).text(), "Some(true) true");
    let waiting = async |_: Request, ctx: Context| {
        test::cancel(&ctx);
        ctx.cancelled().await;
        ctx.stream().start()?.write("x").await.map(|()| "sent").map_err(Error::from)
    };
    let reply = test::invoke(waiting, test::request(), test::context());
    assert!(reply.error.unwrap().find::<ignite::Closed>().is_some());
}

#[test]
fn a_runtime_of_the_tests_own_will_do() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let inner = runtime.block_on(async {
        let blocking = test::invoke(asynchronous, test::request().json(&json!({ "name": "a" })), test::context());
        let awaited =
            test::invoke_async(asynchronous, test::request().json(&json!({ "name": "b" })), test::context()).await;
        format!("{}{}", blocking.text(), awaited.text())
    });
    assert_eq!(inner, "ab");
}

#[test]
#[should_panic(expected = "the test sees this")]
fn a_panic_fails_the_test() {
    test::invoke(|_: Request, _: Context| -> () { panic!("the test sees this") }, test::request(), test::context());
}
