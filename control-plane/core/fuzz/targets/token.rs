//! A key set, LF, and a token or the claims of one.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    control_plane_core::identity::fuzz_token(data);
});
