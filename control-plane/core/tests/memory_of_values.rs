//! What looks for values in a log says itself what it takes of memory, so that all together can have a bound. Counted by the allocator, so
//! this test has a process to itself.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use control_plane_core::mask::values::SecretValues;
use peak_alloc::PeakAlloc;
use shared::limits::VALUE_SEARCHERS_BYTES;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes that it says, and bytes that it takes.
fn searcher(values: usize, length: usize, first: u8, kinds: u64) -> (usize, usize) {
    // Bytes without order.
    let mut seed = 88_172_645_463_325_252_u64;
    let mut byte = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        first + u8::try_from((seed >> 20) % kinds).unwrap()
    };
    let values: Vec<Vec<u8>> = (0..values).map(|_| (0..length).map(|_| byte()).collect()).collect();
    let before = MEMORY.current_usage();
    let searcher = SecretValues::new(values.iter().map(Vec::as_slice)).unwrap();
    (searcher.memory(), MEMORY.current_usage() - before)
}

#[test]
fn what_looks_for_values_says_what_it_takes() {
    // Letters, as keys and certificates have them, and short keys of any bytes, which branch most: both to the bound.
    for (values, length, first, kinds) in
        [(0, 1000, b'a', 26), (1, 1000, b'a', 26), (10, 1000, b'a', 26), (70, 1000, b'a', 26), (580, 32, 0, 256)]
    {
        let (says, takes) = searcher(values, length, first, kinds);
        assert!(takes <= says + says / 8 && says <= takes + takes / 4, "{values} values: {takes} bytes, {says} said");
        assert!(says <= VALUE_SEARCHERS_BYTES, "{says} bytes");
    }
}
