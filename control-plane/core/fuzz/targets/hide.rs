//! Bytes of a list or watch from which hidden objects are left out.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| control_plane_core::hide::fuzz_hide(data));
