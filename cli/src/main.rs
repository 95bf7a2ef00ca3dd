//! The `ignite` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut ui = ignite_cli::ui::Ui::of_process();
    let exit =
        ignite_cli::run(std::env::args_os().collect(), std::sync::Arc::new(|name| std::env::var_os(name)), &mut ui);
    ExitCode::from(exit.code())
}
