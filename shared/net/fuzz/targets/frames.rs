//! What a peer sends over TCP; the first byte says in which pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shared_net::tcp::fuzz::fuzz_frames(data));
