//! A policy file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    control_plane_core::policy::fuzz_policy(data);
});
