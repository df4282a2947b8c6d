//! Entry point for a fuzzer, and for the replay of its corpus as a plain test.

use bytes::{BufMut as _, BytesMut};
use shared::limits;

use super::frames::{BadLength, Frames, put};

/// `data` is what a peer sends over TCP; its first byte says in pieces of how many bytes it arrives.
///
/// Nothing panics, the pieces make no difference, no packet is empty or too long, and the packets written again are what was read.
///
/// # Panics
/// If that does not hold: a bug.
#[doc(hidden)]
pub fn fuzz_frames(data: &[u8]) {
    let Some((piece, stream)) = data.split_first() else { return };
    let (whole, end) = read(stream, stream.len().max(1));
    assert_eq!(read(stream, usize::from(*piece).max(1)), (whole.clone(), end), "the pieces make a difference");
    let mut again = BytesMut::new();
    for packet in &whole {
        assert!(!packet.is_empty() && packet.len() <= usize::from(limits::TCP_PACKET_BYTES), "no packet");
        put(&mut again, packet);
    }
    assert!(stream.starts_with(&again), "written again it is something else");
}

fn read(stream: &[u8], piece: usize) -> (Vec<BytesMut>, Option<BadLength>) {
    let (mut frames, mut packets) = (Frames::default(), Vec::new());
    for piece in stream.chunks(piece) {
        frames.room().put_slice(piece);
        loop {
            match frames.next() {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(bad) => return (packets, Some(bad)),
            }
        }
        frames.rest();
    }
    (packets, None)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_corpus_holds() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/frames");
        let mut files = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            fuzz_frames(&std::fs::read(entry.unwrap().path()).unwrap());
            files += 1;
        }
        assert!(files >= 8, "the corpus has {files} files");
    }
}
