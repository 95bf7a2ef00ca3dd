//! The reference page of the command line is generated from the help; `UPDATE_GOLDEN=1` writes it anew.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fmt::Write as _;

use clap::CommandFactory as _;
use ignite_cli::args::Args;

const EXITS: &str = "\n## Exit codes\n\n\
    | code | meaning |\n| ---: | --- |\n\
    | 0 | done |\n| 1 | the author's code or build failed |\n| 2 | an argument or a file it names is invalid |\n\
    | 3 | no or no valid token |\n| 4 | the token does not allow it |\n| 5 | what was named does not exist |\n\
    | 6 | it exists already |\n| 7 | a limit is reached |\n| 8 | it took too long |\n\
    | 9 | something needed is not there: a tool, a server |\n| 10 | a fault of Ignite itself |\n\
    | 130 | Ctrl-C, before the end was known: what was begun goes on |\n";

#[test]
fn the_reference_is_generated_from_the_help() {
    let mut command = Args::command().term_width(100);
    command.build();
    let mut page = String::from(
        "# The command line\n\nGenerated from the help. Results go to stdout, everything else to stderr. The program is also called as\n\
         `dodil ignite …`.\n",
    );
    let _ = write!(page, "\n```text\n{}\n```\n", trimmed(&command.render_help().to_string()));
    for verb in command.get_subcommands_mut().filter(|verb| verb.get_name() != "help") {
        describe(verb, "ignite", "##", &mut page);
    }
    page.push_str(EXITS);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/cli.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), page, "docs/reference/cli.md is old");
}

/// A verb, and the verbs below it.
fn describe(verb: &mut clap::Command, above: &str, heading: &str, page: &mut String) {
    let name = format!("{above} {}", verb.get_name());
    let help = verb.render_help().to_string();
    // The flags that every verb has stand once, at the top.
    let own = help.split("\nPlatform:\n").next().unwrap_or_default();
    let _ = write!(page, "\n{heading} {name}\n\n```text\n{}\n```\n", trimmed(own));
    for below in verb.get_subcommands_mut().filter(|below| below.get_name() != "help") {
        describe(below, &name, "###", page);
    }
}

fn trimmed(help: &str) -> String {
    help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim().to_owned()
}
