use ignite::prelude::*;

struct Greeting;

#[ignite::main]
async fn handler(_req: Request, _ctx: Context) -> Result<Greeting> {
    Ok(Greeting)
}
