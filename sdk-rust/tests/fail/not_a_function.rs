#[ignite::main]
#[derive(Debug)]
struct Handler;
