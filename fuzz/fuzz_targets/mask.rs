#![no_main]
//! `cargo +nightly fuzz run mask`: see `control_plane_core::mask::fuzz_mask` for what must hold. The corpus is replayed by an ordinary
//! test of that module.

libfuzzer_sys::fuzz_target!(|data: &[u8]| control_plane_core::mask::fuzz_mask(data));
