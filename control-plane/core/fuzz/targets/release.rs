//! The document in a release of helm's, without gzip.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| control_plane_core::mask::fuzz_mask_release(data));
