//! Automation: demo, test, bench, generate, tidy.
fn main() {}
