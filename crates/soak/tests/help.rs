//! The command says what it does, and builds with the tests.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::process::Command;

#[test]
fn help_has_an_example_and_mistakes_are_told() {
    let soak = |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_sluicebox-soak")).args(args).output().unwrap();
    let help = soak(&["soak", "--help"]);
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(text.contains("soak --minutes 10") && text.contains("seed"), "{text}");
    let wrong = soak(&["soak", "--minutes", "0"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("more than 0"));
    let wrong = soak(&["soak", "--binary", "/no/such/program"]);
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("/no/such/program"));
}
