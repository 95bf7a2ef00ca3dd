//! Answers every case by path; see tests/cases/behaviour.

use std::time::Duration;

use ignite::prelude::*;

#[ignite::main]
async fn handler(req: Request, ctx: Context) -> Result<Response> {
    match req.path().split('/').nth(1).unwrap_or_default() {
        "echo" => Ok(req.raw().to_vec().into_response()),
        "text" => Ok(format!("{}!", std::str::from_utf8(req.raw())?).into_response()),
        "json" => json_values(&req),
        "status" => status(&req),
        "raise" => Err(ignite::Error::msg("no such colour: mauve")),
        "panic" => panic!("out of paint"),
        "exit" => std::process::exit(3),
        "hang" => hang().await,
        "spin" => spin(),
        "allocate" => allocate(),
        "stream" => stream(&ctx).await,
        "stream-fail" => stream_fail(&ctx).await,
        "stream-large" => stream_large(&req, &ctx).await,
        "context" => context(&req, &ctx),
        "env" => Ok(ctx.env().get(&parameter(&req, "name")?).unwrap_or_default().into_response()),
        "scratch" => scratch(&req, &ctx),
        "sleep" => sleep(&req).await,
        "log" => log(&ctx),
        other => Err(ignite::Error::msg(format!("there is no case {other}"))),
    }
}

fn parameter(req: &Request, name: &str) -> Result<String> {
    let value = req.query_param(name).ok_or_else(|| ignite::Error::msg(format!("no parameter {name}")))?;
    Ok(value.into_owned())
}

fn json_values(req: &Request) -> Result<Response> {
    // A body error of the SDK is the caller's, a 400; the case wants the handler's own.
    let asked: serde_json::Value = serde_json::from_slice(req.raw())?;
    let numbers: Vec<f64> = serde_json::from_value(asked["numbers"].clone())?;
    let name: String = serde_json::from_value(asked["name"].clone())?;
    let sum: f64 = numbers.iter().sum();
    Ok(ignite::json!({ "sum": sum, "name": name, "list": [true, "x", { "deep": "ü" }] }).into_response())
}

fn status(req: &Request) -> Result<Response> {
    let code: u16 = parameter(req, "code")?.parse()?;
    let body = if code == 204 { "" } else { "made" };
    Ok(Response::new(body)
        .with_status(StatusCode::try_from(code)?)
        .with_header("x-case", "yes")
        .with_header("set-cookie", "a=1")
        .with_further_header("set-cookie", "b=2")
        .with_header("content-type", "text/x-case"))
}

async fn hang() -> Result<Response> {
    loop {
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
}

fn spin() -> Result<Response> {
    loop {
        std::hint::spin_loop();
    }
}

fn allocate() -> Result<Response> {
    let mut kept = Vec::new();
    loop {
        kept.push(vec![1_u8; 1 << 20]);
    }
}

async fn stream(ctx: &Context) -> Result<Response> {
    let mut body = ctx.stream().with_header("content-type", "text/plain").start()?;
    for index in 0..5 {
        body.write(format!("part {index}\n")).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(body.finish().into_response())
}

async fn stream_fail(ctx: &Context) -> Result<Response> {
    let mut body = ctx.stream().start()?;
    body.write("part 0\n").await?;
    tokio::time::sleep(Duration::from_millis(50)).await;
    Err(ignite::Error::msg("no more parts"))
}

async fn stream_large(req: &Request, ctx: &Context) -> Result<Response> {
    let mut left: usize = parameter(req, "bytes")?.parse()?;
    let mut body = ctx.stream().with_header("content-type", "text/plain").start()?;
    let part = vec![b'x'; 65536];
    while left > 0 {
        body.write(&part).await?;
        left -= part.len();
    }
    Ok(body.finish().into_response())
}

fn context(req: &Request, ctx: &Context) -> Result<Response> {
    let left = ctx.remaining().unwrap_or_default();
    Ok(ignite::json!({
        "execution_id": ctx.execution_id(),
        "function_id": ctx.function_id(),
        "organization_id": ctx.organization_id(),
        "method": req.method(),
        "path": req.path(),
        "query_b": parameter(req, "b")?,
        "header": req.header("x-case"),
        "deadline_is_near": !left.is_zero() && left <= Duration::from_secs(2),
    })
    .into_response())
}

fn scratch(req: &Request, ctx: &Context) -> Result<Response> {
    let store = ctx.temp_store();
    let before = store.list();
    store.put("first", req.raw())?;
    store.put("second", "2")?;
    let got = String::from_utf8(store.get("first").unwrap_or_default())?;
    store.remove("first");
    Ok(ignite::json!({ "before": before, "got": got, "after_delete": store.list() }).into_response())
}

async fn sleep(req: &Request) -> Result<Response> {
    let milliseconds = parameter(req, "ms")?;
    tokio::time::sleep(Duration::from_millis(milliseconds.parse()?)).await;
    Ok(milliseconds.into_response())
}

fn log(ctx: &Context) -> Result<Response> {
    println!("a printed line");
    eprintln!("an error line");
    ctx.log().field("colour", "mauve").warn("a record");
    Ok("logged".into_response())
}
