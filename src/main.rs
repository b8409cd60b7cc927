//! The siesta program: subcommands, logging, exit code.

fn main() {}
