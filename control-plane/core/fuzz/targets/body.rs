//! A request's body; its first byte stands for the content type.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| control_plane_core::body::fuzz_body(data));
