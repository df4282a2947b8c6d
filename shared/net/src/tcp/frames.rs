//! Packets in a stream of bytes: each after its length in two bytes, big-endian.

use bytes::{Buf as _, BufMut as _, BytesMut};
use shared::limits;

/// Bytes of the length.
const LENGTH: usize = 2;

/// The most that one packet takes.
pub(super) const LONGEST: usize = LENGTH + limits::TCP_PACKET_BYTES as usize;

/// No packet has this length: what follows can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a packet of {0} bytes")]
pub(super) struct BadLength(usize);

/// What has arrived and was not taken yet; bounded by [`LONGEST`] and what is read at once.
#[derive(Debug, Default)]
pub(super) struct Frames(BytesMut);

impl Frames {
    /// Where to put what arrives, with room for [`limits::TCP_READ_BYTES`].
    pub(super) fn room(&mut self) -> &mut BytesMut {
        self.0.reserve(limits::TCP_READ_BYTES);
        &mut self.0
    }

    /// The next packet, if it has arrived whole. After an error there is none any more.
    pub(super) fn next(&mut self) -> Result<Option<BytesMut>, BadLength> {
        let Some(length) = self.0.first_chunk::<LENGTH>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*length));
        if length == 0 || length > usize::from(limits::TCP_PACKET_BYTES) {
            return Err(BadLength(length));
        }
        if self.0.len() < LENGTH + length {
            return Ok(None);
        }
        self.0.advance(LENGTH);
        Ok(Some(self.0.split_to(length)))
    }

    /// Gives its memory back if nothing is in it: most connections are silent most of the time.
    pub(super) fn rest(&mut self) {
        if self.0.is_empty() {
            self.0 = BytesMut::new();
        }
    }
}

/// What stands before a packet; nothing stands before one that a reader would refuse.
pub(super) fn head(packet: &[u8]) -> Option<[u8; LENGTH]> {
    let length = u16::try_from(packet.len()).ok().filter(|length| (1..=limits::TCP_PACKET_BYTES).contains(length))?;
    Some(length.to_be_bytes())
}

/// Writes one packet. One that has no head is not written, as if it had been lost; QUIC makes none.
pub(super) fn put(out: &mut BytesMut, packet: &[u8]) {
    if let Some(head) = head(packet) {
        out.put_slice(&head);
        out.put_slice(packet);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(frames: &mut Frames) -> Result<Vec<Vec<u8>>, BadLength> {
        let mut packets = Vec::new();
        while let Some(packet) = frames.next()? {
            packets.push(packet.to_vec());
        }
        Ok(packets)
    }

    fn packets() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let length = prop_oneof![1..40_usize, 1000..1500_usize, 16_000..=usize::from(limits::TCP_PACKET_BYTES)];
        proptest::collection::vec(length.prop_flat_map(|length| proptest::collection::vec(any::<u8>(), length)), 0..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn however_the_bytes_are_split_the_same_packets_come_out(
            packets in packets(),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..20),
        ) {
            let mut stream = BytesMut::new();
            for packet in &packets {
                put(&mut stream, packet);
            }
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.sort_unstable();
            cuts.push(stream.len());
            let (mut frames, mut got, mut from) = (Frames::default(), Vec::new(), 0);
            for cut in cuts {
                frames.room().put_slice(&stream[from..cut]);
                got.extend(all(&mut frames).unwrap());
                from = cut;
            }
            prop_assert_eq!(got, packets);
            prop_assert!(frames.0.is_empty());
        }
    }

    #[test]
    fn one_byte_at_a_time() {
        let (mut stream, mut frames, mut got) = (BytesMut::new(), Frames::default(), Vec::new());
        let packets = [vec![1], vec![2; 300], vec![3; usize::from(limits::TCP_PACKET_BYTES)]];
        packets.iter().for_each(|packet| put(&mut stream, packet));
        for byte in stream {
            frames.room().put_u8(byte);
            got.extend(all(&mut frames).unwrap());
            frames.rest();
        }
        assert_eq!(got, packets);
    }

    #[test]
    fn a_length_that_no_packet_has_is_an_error_before_anything_is_waited_for() {
        for (length, bytes) in [(0, [0, 0]), (16_385, [0x40, 1]), (65_535, [0xff, 0xff])] {
            let mut frames = Frames::default();
            frames.room().put_slice(&bytes);
            assert_eq!(frames.next(), Err(BadLength(length)));
            assert_eq!(frames.next(), Err(BadLength(length)), "and stays one");
        }
        let mut out = BytesMut::new();
        put(&mut out, &[]);
        put(&mut out, &[0; 16_385]);
        put(&mut out, &[0; 65_536]);
        assert!(out.is_empty(), "none is written either");
    }
}
