use ignite::prelude::*;

#[ignite::main(flavor = "multi_thread")]
#[tokio::main]
pub const unsafe extern "C" fn main<T>(req: Request, ctx: Context, more: T)
where
    T: Send,
{
}
