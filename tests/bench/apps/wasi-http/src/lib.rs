//! The three handlers of the bench for any host of `wasi:http/incoming-handler`, by path.
//!
//! It reads the two fields by hand: what is measured are hosts, and a JSON library would be the same weight on each.

use std::io::{Read as _, Write as _};

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

/// How long `/wait` waits, in nanoseconds.
const WAIT_NS: u64 = 10_000_000;

struct Component;

wasip2::http::proxy::export!(Component);

impl Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let mut payload = Vec::new();
        if let Ok(body) = request.consume()
            && let Ok(mut stream) = body.stream()
        {
            let _ = stream.read_to_end(&mut payload);
        }
        let answer = match path.as_str() {
            "/echo" => payload,
            "/wait" => {
                wasip2::clocks::monotonic_clock::subscribe_duration(WAIT_NS).block();
                greeting(&payload)
            }
            _ => greeting(&payload),
        };
        let headers = Fields::new();
        let _ = headers.set("content-type", &[b"application/json".to_vec()]);
        let _ = headers.set("content-length", &[answer.len().to_string().into_bytes()]);
        let response = OutgoingResponse::new(headers);
        let Ok(body) = response.body() else { return };
        ResponseOutparam::set(out, Ok(response));
        // A caller that has gone away is no fault of this component's.
        if let Ok(mut stream) = body.write() {
            let _ = stream.write_all(&answer);
            let _ = stream.flush();
        }
        let _ = OutgoingBody::finish(body, None);
    }
}

fn greeting(payload: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(payload);
    format!(r#"{{"greeting":"Hello, {}!","id":"{}"}}"#, field(&text, "name"), field(&text, "id")).into_bytes()
}

/// The text of a field that holds no quotation mark.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let begins = format!("\"{name}\":\"");
    let value = text.split_once(&begins).map_or("", |(_, rest)| rest);
    value.split_once('"').map_or("", |(value, _)| value)
}
