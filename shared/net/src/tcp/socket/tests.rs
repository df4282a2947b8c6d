use std::net::Ipv4Addr;
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// A socket and the other end of its TCP connection.
async fn pair() -> (Arc<Socket>, TcpStream, Arc<Sockets>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let dialled = TcpStream::connect(listener.local_addr().unwrap());
    let (accepted, dialled) = tokio::join!(listener.accept(), dialled);
    let family = Sockets::new();
    (Socket::new(accepted.unwrap().0, &family).unwrap(), dialled.unwrap(), family)
}

fn transmit<'a>(socket: &Socket, contents: &'a [u8]) -> Transmit<'a> {
    Transmit { destination: socket.peer(), ecn: None, contents, segment_size: None, src_ip: None }
}

/// The next packet, as quinn's driver asks for it.
async fn receive(socket: &Socket) -> Vec<u8> {
    let mut space = vec![0; usize::from(limits::TCP_PACKET_BYTES)];
    let mut meta = [RecvMeta::default()];
    let got = std::future::poll_fn(|cx| socket.poll_recv(cx, &mut [IoSliceMut::new(&mut space)], &mut meta));
    assert_eq!(tokio::time::timeout(PATIENCE, got).await.expect("a packet").unwrap(), 1);
    assert_eq!((meta[0].addr, meta[0].stride), (socket.peer(), meta[0].len));
    space.truncate(meta[0].len);
    space
}

/// Sends as a connection's driver does: waits for room, tries.
async fn send(socket: &Arc<Socket>, packet: &[u8]) {
    let mut room = Arc::clone(socket).create_io_poller();
    std::future::poll_fn(|cx| room.as_mut().poll_writable(cx)).await.unwrap();
    socket.try_send(&transmit(socket, packet)).unwrap();
}

/// Polls for packets, which is what empties the buffer, until `work` is done.
async fn driving<T>(socket: &Arc<Socket>, work: impl Future<Output = T>) -> T {
    tokio::select! {
        packet = receive(socket) => panic!("nobody sends {} bytes", packet.len()),
        done = tokio::time::timeout(PATIENCE, work) => done.expect("it gets on"),
    }
}

#[tokio::test]
async fn packets_arrive_whole_however_their_bytes_do() {
    let (socket, mut peer, _family) = pair().await;
    let packets = [vec![1; 1], vec![2; 1200], vec![3; usize::from(limits::TCP_PACKET_BYTES)], vec![4; 7]];
    let mut bytes = BytesMut::new();
    packets.iter().for_each(|packet| put(&mut bytes, packet));
    let writing = async {
        for piece in bytes.chunks(611) {
            peer.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let reading = async {
        for packet in &packets {
            assert_eq!(&receive(&socket).await, packet);
        }
    };
    tokio::join!(writing, reading);
}

/// A peer that reads nothing, then everything: the buffer fills to its bound, who sends waits, and every packet arrives whole and once.
#[tokio::test]
async fn a_full_connection_is_waited_for_and_breaks_no_packet() {
    let (socket, mut peer, _family) = pair().await;
    let packet = |n: u32| n.to_be_bytes().repeat(usize::from(limits::TCP_PACKET_BYTES) / 4);
    let mut sent = 0;
    while socket.try_send(&transmit(&socket, &packet(sent))).is_ok() {
        sent += 1;
        assert!(lock(&socket.outbox).bytes.len() <= limits::TCP_WRITE_BYTES);
    }
    let mut room = Arc::clone(&socket).create_io_poller();
    let full = std::future::poll_fn(|cx| Poll::Ready(room.as_mut().poll_writable(cx).is_pending())).await;
    assert!(full, "who was told that there is no room is not told that there is");
    let total = sent + 50;
    let sending = async {
        for n in sent..total {
            send(&socket, &packet(n)).await;
        }
    };
    let reading = async {
        for n in 0..total {
            assert_eq!(peer.read_u16().await.unwrap(), limits::TCP_PACKET_BYTES);
            let mut got = vec![0; usize::from(limits::TCP_PACKET_BYTES)];
            peer.read_exact(&mut got).await.unwrap();
            assert!(got == packet(n), "packet {n}");
        }
    };
    driving(&socket, async { tokio::join!(sending, reading) }).await;
}

#[tokio::test]
async fn the_end_is_told_after_what_came_before_it() {
    for last in [&[0, 3, 7, 7, 7][..], &[0, 3, 7, 7, 7, 0, 9, 1], &[0, 3, 7, 7, 7, 0, 0], &[0, 3, 7, 7, 7, 255, 255]] {
        let (socket, mut peer, family) = pair().await;
        peer.write_all(last).await.unwrap();
        if last.len() < 7 || last[5..7] == [0, 9] {
            peer.shutdown().await.unwrap();
        }
        assert_eq!(receive(&socket).await, [7; 3]);
        driving(&socket, socket.ended()).await;
        assert_eq!(*socket.end.borrow(), End::Lost);
        drop(socket);
        family.gone().await;
        assert!(lock(&family.all).is_empty());
    }
}

/// quinn must not be told: it would leave the connection hanging.
#[tokio::test]
async fn writing_to_a_peer_that_has_gone_is_no_error() {
    let (socket, peer, _family) = pair().await;
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    driving(&socket, socket.ended()).await;
    for _ in 0..100 {
        socket.try_send(&transmit(&socket, &[1; 16_000])).unwrap();
    }
    send(&socket, &[1]).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_sent_is_received(lengths in proptest::collection::vec(1..=usize::from(limits::TCP_PACKET_BYTES), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (to, peer, family) = pair().await;
            let from = Socket::new(peer, &family).unwrap();
            let packets: Vec<_> = (0_u8..).zip(&lengths).map(|(n, length)| vec![n; *length]).collect();
            let sending = driving(&from, async {
                for packet in &packets {
                    send(&from, packet).await;
                }
                // What is still in the buffer needs the driver.
                std::future::poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    if lock(&from.outbox).bytes.is_empty() { Poll::Ready(()) } else { Poll::Pending }
                }).await;
            });
            let receiving = async {
                for packet in &packets {
                    assert!(&receive(&to).await == packet);
                }
            };
            tokio::join!(sending, receiving);
        });
    }
}
