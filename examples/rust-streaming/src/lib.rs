//! Streams prime numbers, one line of JSON each, as they are found.

use ignite::prelude::*;

/// Answers `?count=N` with the first N primes. The first lines are on their way while the last are still looked for.
#[ignite::main]
async fn handler(req: Request, ctx: Context) -> Result<impl IntoResponse> {
    let count = count(&req)?;
    let mut stream = ctx.stream().with_header("content-type", "application/x-ndjson").start()?;
    let mut primes: Vec<u64> = Vec::new();
    let mut candidate = 2;
    while primes.len() < count {
        if primes.iter().take_while(|prime| *prime * *prime <= candidate).all(|prime| candidate % prime != 0) {
            primes.push(candidate);
            let line = json!({ "number": primes.len(), "prime": candidate });
            // Waits while the caller is slow, and fails once it has gone away: then nobody needs the rest.
            stream.write(format!("{line}\n")).await?;
        }
        candidate += 1;
    }
    Ok(stream.finish())
}

const COUNT_MAX: usize = 100_000;

fn count(req: &Request) -> Result<usize> {
    let wrong = || Error::status(StatusCode::BAD_REQUEST, format!("`count` is a number from 1 to {COUNT_MAX}"));
    let count = req.query_param("count").map_or(Ok(10), |text| text.parse()).map_err(|_| wrong())?;
    if (1..=COUNT_MAX).contains(&count) { Ok(count) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use ignite::test::{Reply, context, invoke, request};

    use super::handler;

    fn ask(path: &str) -> Reply {
        invoke(handler, request().method("GET").path(path), context())
    }

    #[test]
    fn each_line_is_sent_by_itself() {
        let reply = ask("/?count=3");
        assert_eq!(reply.header("content-type"), Some("application/x-ndjson"));
        let lines: Vec<&str> = reply.parts.iter().map(|part| std::str::from_utf8(part).expect("UTF-8")).collect();
        assert_eq!(
            lines,
            ["{\"number\":1,\"prime\":2}\n", "{\"number\":2,\"prime\":3}\n", "{\"number\":3,\"prime\":5}\n"]
        );
    }

    #[test]
    fn the_thousandth_prime() {
        let reply = ask("/?count=1000");
        assert!(reply.text().ends_with("{\"number\":1000,\"prime\":7919}\n"), "{}", reply.text());
    }

    #[test]
    fn a_count_that_is_none_is_refused() {
        for path in ["/?count=0", "/?count=ten", "/?count=100001", "/?count=-1"] {
            let reply = ask(path);
            assert_eq!(reply.status, 400, "{path}");
            assert!(reply.text().contains("from 1 to 100000"), "{}", reply.text());
        }
    }
}
