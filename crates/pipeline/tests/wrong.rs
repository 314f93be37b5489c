//! Pipelines that are wrong, one mistake a file in `wrong/`: what the user reads.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use sluicebox_pipeline::parse;

/// Every file's message is in the snapshot beside it. A file of this folder is wrong before any schema is known.
#[test]
fn every_mistake_has_place_and_fix() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrong");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "sql"));
    files.sort();
    assert!(files.len() > 50, "the files are there");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        let stem = file.file_stem().unwrap().to_str().unwrap();
        let rendered = match parse(name, &text, &[]) {
            Ok(_) => "no mistake was found\n".to_owned(),
            Err(diagnostics) => {
                assert!(!diagnostics.is_empty());
                assert!(diagnostics.to_string().starts_with(&format!("{name}:")), "{diagnostics}");
                diagnostics.render(false)
            }
        };
        assert!(rendered.contains(&format!("{name}:")), "{name}: {rendered}");
        insta::with_settings!({
            snapshot_path => "wrong", prepend_module_to_snapshot => false, omit_expression => true
        }, {
            insta::assert_snapshot!(stem, rendered);
        });
    }
}
