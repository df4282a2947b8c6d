//! The UDP socket below QUIC, as quinn's own for tokio but for two things that cost a wake-up or a call per packet.
//!
//! The kernel says "writable" whenever a packet that was sent has been taken by its receiver. tokio's socket listens for that always, so
//! each packet sent wakes its sender once for nothing; here it is listened for only while the socket is full. And a read that gave fewer
//! packets than there was room for has emptied the socket, so it need not be tried again before waiting.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// tokio, with our socket.
#[derive(Debug)]
pub(crate) struct NetRuntime;

/// Registers a socket, which stays in the value and so keeps its descriptor.
#[expect(deprecated, reason = "unsound for types whose descriptor may change or be closed early; a UdpSocket's can't")]
fn register(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    AsyncFd::with_interest(socket, interest)
}

impl Runtime for NetRuntime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        TokioRuntime.spawn(future);
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let state = UdpSocketState::new((&socket).into())?;
        socket.set_nonblocking(true)?;
        let io = register(socket, Interest::READABLE)?;
        Ok(Arc::new(Socket { io, full: Mutex::new(None), state }))
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}

#[derive(Debug)]
struct Socket {
    io: AsyncFd<UdpSocket>,
    /// While the socket is full: a second handle, which hears of room.
    full: Mutex<Option<Handle>>,
    state: UdpSocketState,
}

type Handle = Arc<AsyncFd<UdpSocket>>;

impl Socket {
    /// From here on room is waited for. A handle that is fresh is told of room that is there already, so none is missed.
    fn is_full(&self) -> io::Result<()> {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        if full.is_none() {
            let second = self.io.get_ref().try_clone()?;
            *full = Some(Arc::new(register(second, Interest::WRITABLE)?));
        }
        Ok(())
    }

    fn has_room(&self, told: &Handle) {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        if full.as_ref().is_some_and(|handle| Arc::ptr_eq(handle, told)) {
            *full = None;
        }
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Room { socket: self, waiting: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = self.state.send(self.io.get_ref().into(), transmit);
        if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            self.is_full()?;
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.io.poll_read_ready(cx))?;
            match self.state.recv(self.io.get_ref().into(), bufs, meta) {
                Ok(packets) => {
                    if packets < bufs.len() {
                        // Emptied. A packet that has come since then makes the socket ready again: this clears only what was seen above.
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(packets));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }
}

/// Waits for room, for one connection; without waiting where the socket was not found full.
struct Room {
    socket: Arc<Socket>,
    waiting: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>>,
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("waiting", &self.waiting.is_some()).finish_non_exhaustive()
    }
}

impl UdpPoller for Room {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { socket, waiting } = &mut *self;
        if waiting.is_none() {
            let full = socket.full.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let Some(handle) = full else { return Poll::Ready(Ok(())) };
            let socket = Arc::clone(socket);
            *waiting = Some(Box::pin(async move {
                drop(handle.writable().await?);
                socket.has_room(&handle);
                Ok(())
            }));
        }
        if let Some(room) = waiting {
            ready!(room.as_mut().poll(cx))?;
        }
        *waiting = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn bound() -> Arc<Socket> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let state = UdpSocketState::new((&socket).into()).unwrap();
        let io = register(socket, Interest::READABLE).unwrap();
        Arc::new(Socket { io, full: Mutex::new(None), state })
    }

    async fn receive(socket: &Socket, room: usize) -> usize {
        let mut space = vec![[0; 2048]; room];
        let mut bufs: Vec<_> = space.iter_mut().map(|buf| IoSliceMut::new(buf)).collect();
        let mut meta = vec![RecvMeta::default(); room];
        std::future::poll_fn(|cx| socket.poll_recv(cx, &mut bufs, &mut meta)).await.unwrap()
    }

    #[tokio::test]
    async fn every_packet_is_told_of() {
        let (from, to) = (bound(), bound());
        let address = to.local_addr().unwrap();
        let transmit =
            Transmit { destination: address, ecn: None, contents: b"packet", segment_size: None, src_ip: None };
        // One at a time, after the socket was emptied; and more than a reader has room for.
        for burst in [1, 1, 2, 3, 7, 1] {
            for _ in 0..burst {
                from.try_send(&transmit).unwrap();
            }
            let mut packets = 0;
            while packets < burst {
                packets += receive(&to, 2).await;
            }
            assert_eq!(packets, burst);
        }
    }

    #[tokio::test]
    async fn a_full_socket_is_waited_for_and_told_of_room() {
        let socket = bound();
        let mut room = Arc::clone(&socket).create_io_poller();
        let mut poll = async || std::future::poll_fn(|cx| room.as_mut().poll_writable(cx)).await.unwrap();
        poll().await;
        // As after a send that found no room; by now there is some.
        socket.is_full().unwrap();
        poll().await;
        assert!(socket.full.lock().unwrap().is_none());
        poll().await;
    }
}
