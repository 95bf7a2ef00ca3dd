use ignite::prelude::*;

struct Function;

impl Function {
    #[ignite::main]
    async fn handler(&self, _req: Request, _ctx: Context) -> &'static str {
        "hello"
    }
}
