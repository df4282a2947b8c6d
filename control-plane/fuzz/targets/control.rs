//! What a peer says under our own host; the first byte stands for the call.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    control_plane::peers::messages::fuzz_control(data);
});
