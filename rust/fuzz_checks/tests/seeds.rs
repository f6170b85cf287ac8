//! Every committed input of the fuzz targets once more: seeds that reach all that fuzzing has reached,
//! and cases that a check failed at before they were mended.

use std::path::Path;

use tasksel_fuzz_checks::TARGETS;

#[test]
fn every_seed_and_found_case_passes() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    for (target, check) in TARGETS {
        let folder = seeds.join(target);
        let mut files: Vec<_> = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "{} holds no seeds", folder.display());
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            let passed = std::panic::catch_unwind(|| check(&bytes));
            assert!(passed.is_ok(), "{} fails; the assertion stands above", file.display());
        }
    }
}

#[test]
fn any_bytes_are_an_input() {
    for (_, check) in TARGETS {
        for length in [0, 1, 7, 64, 500] {
            for byte in [0_u8, 1, 15, 127, 255] {
                check(&vec![byte; length]);
            }
        }
    }
}
