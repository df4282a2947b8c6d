//! Values of Secrets, each ended by 0xFD, and a text in which they are looked for.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| control_plane_core::mask::values::fuzz_values(data));
