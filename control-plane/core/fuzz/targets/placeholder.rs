//! A text, and what is made of a placeholder: its form, whether it is wrapped each time it is encoded, and a byte for each time.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| control_plane_core::mask::fuzz_placeholder(data));
