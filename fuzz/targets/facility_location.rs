//! libFuzzer's entry to the check of this name.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tasksel_fuzz_checks::facility_location::check(bytes));
