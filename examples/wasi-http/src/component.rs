//! The component's export, and the streams around the counting.

use std::io::Write;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

use crate::count;

struct Component;

wasip2::http::proxy::export!(Component);

impl Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let is_post = matches!(request.method(), Method::Post);
        let (status, text) = match request.consume() {
            Ok(body) => respond(is_post, &body),
            Err(()) => (400, "the request has no body\n".to_owned()),
        };
        let headers = Fields::new();
        let _ = headers.set("content-type", &[b"text/plain; charset=utf-8".to_vec()]);
        let response = OutgoingResponse::new(headers);
        let _ = response.set_status_code(status);
        let Ok(body) = response.body() else { return };
        ResponseOutparam::set(out, Ok(response));
        // A caller that has gone away is no fault of this component's.
        if let Ok(mut stream) = body.write() {
            let _ = stream.write_all(text.as_bytes());
            let _ = stream.flush();
        }
        let _ = OutgoingBody::finish(body, None);
    }
}

fn respond(is_post: bool, body: &IncomingBody) -> (u16, String) {
    match body.stream() {
        Ok(mut stream) => count::answer(is_post, &mut stream),
        Err(()) => (400, "the body cannot be read\n".to_owned()),
    }
}
