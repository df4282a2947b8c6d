//! A client's request, as HTTP/1.1 writes it with LF line ends.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| control_plane_core::request::fuzz_request(data));
