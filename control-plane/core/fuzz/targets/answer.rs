//! Bytes of an answer, on their way through the masker.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| control_plane_core::mask::fuzz_mask_answer(data));
