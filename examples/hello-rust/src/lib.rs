//! Greets whoever the JSON payload names.

use ignite::prelude::*;

/// Answers `{"name":"Ada"}` with `{"greeting":"Hello, Ada!"}`.
#[ignite::main]
async fn handler(req: Request, _ctx: Context) -> Result<impl IntoResponse> {
    let name = if req.raw().is_empty() { "world".to_owned() } else { req.field::<String>("name")? };
    Ok(json!({ "greeting": format!("Hello, {name}!") }))
}

#[cfg(test)]
mod tests {
    use ignite::prelude::*;
    use ignite::test::{context, invoke, request};

    use super::handler;

    #[test]
    fn greets_by_name() {
        let reply = invoke(handler, request().json(&json!({ "name": "Zoë" })), context());
        assert_eq!((reply.status, reply.text()), (200, r#"{"greeting":"Hello, Zoë!"}"#));
    }

    #[test]
    fn greets_the_world_without_a_payload() {
        assert_eq!(invoke(handler, request(), context()).text(), r#"{"greeting":"Hello, world!"}"#);
    }

    #[test]
    fn says_what_is_missing() {
        let reply = invoke(handler, request().json(&json!({ "nmae": "Ada" })), context());
        assert_eq!(reply.status, 400);
        assert!(reply.text().contains("name"), "{}", reply.text());
    }
}
