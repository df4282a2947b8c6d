//! An admission review, to every webhook of the injector.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| control_plane::injector::review::fuzz_admission(data));
