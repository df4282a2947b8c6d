//! One TCP connection as quinn's socket.
//!
//! A packet is written whole or not at all. What the kernel does not take at once waits in a bounded buffer, which the endpoint's driver
//! empties (it is the one that polls for what arrives), so there is no task of ours. When that buffer has no room for the largest packet,
//! senders wait.
//!
//! The end of the TCP connection is the end of the QUIC connection, at once: the endpoint's driver is dropped, and with it goes all that it
//! drives (`Driven`). What came before the end is looked at first, so that a peer that says why it closes is heard. quinn is told of no
//! error: of one in reading it makes a line in the log, which any stranger could fill, and one in writing leaves the connection hanging.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::{Buf as _, BytesMut};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, UdpPoller, VarInt};
use shared::limits;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Sleep;

use super::frames::{Frames, LONGEST, head, put};
use crate::udp::NetRuntime;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sockets of one endpoint of ours that still live. Bounded by the connections that it takes and makes.
#[derive(Debug)]
pub(crate) struct Sockets {
    all: Mutex<HashMap<u64, Weak<Socket>>>,
    next: AtomicU64,
    alive: watch::Sender<()>,
}

impl Sockets {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { all: Mutex::default(), next: AtomicU64::new(0), alive: watch::Sender::new(()) })
    }

    /// Closes all connections with a code.
    pub(crate) fn close(&self, code: VarInt, reason: &[u8]) {
        // The lock is not held while one of them is closed or dropped: a socket that ends takes it.
        let sockets: Vec<_> = lock(&self.all).values().filter_map(Weak::upgrade).collect();
        for socket in sockets {
            if let Some(connection) = &*lock(&socket.carried) {
                connection.close(code, reason);
            }
        }
    }

    /// Resolves when none is left.
    pub(crate) async fn gone(&self) {
        self.alive.closed().await;
    }
}

/// One TCP connection.
pub(crate) struct Socket {
    stream: TcpStream,
    local: SocketAddr,
    peer: SocketAddr,
    inbox: Mutex<Inbox>,
    outbox: Mutex<Outbox>,
    /// The QUIC connection, as long as somebody holds it.
    carried: Mutex<Option<quinn::Connection>>,
    end: watch::Sender<End>,
    id: u64,
    family: Arc<Sockets>,
    _alive: watch::Receiver<()>,
}

/// Whether the peer has ended the TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// After the QUIC connection had ended.
    InOrder,
    /// The QUIC connection, if there was one, is lost.
    Lost,
}

#[derive(Default)]
struct Inbox {
    frames: Frames,
    /// Runs once the stream has ended, and then once more as long as what came last is looked at.
    end: Option<Pin<Box<Sleep>>>,
    over: bool,
}

#[derive(Default)]
struct Outbox {
    bytes: BytesMut,
    /// The kernel takes nothing any more.
    broken: bool,
    /// Who waits for room.
    waiting: Vec<Waker>,
    /// Who empties it.
    driver: Option<Waker>,
}

impl Outbox {
    fn has_room(&self) -> bool {
        self.broken || self.bytes.len() + LONGEST <= limits::TCP_WRITE_BYTES
    }

    /// Writes what the kernel takes.
    fn write(&mut self, stream: &TcpStream) -> io::Result<()> {
        while !self.bytes.is_empty() {
            match stream.try_write(&self.bytes) {
                Ok(written) => self.bytes.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                Err(_) => {
                    self.broken = true;
                    self.bytes.clear();
                }
            }
        }
        self.bytes = BytesMut::new();
        Ok(())
    }

    /// Writes a packet, what the kernel does not take of it into the buffer. Says whether all is written.
    fn send(&mut self, stream: &TcpStream, packet: &[u8]) -> bool {
        let mut written = 0;
        if self.bytes.is_empty()
            && let Some(head) = head(packet)
        {
            match stream.try_write_vectored(&[IoSlice::new(&head), IoSlice::new(packet)]) {
                Ok(all) if all == head.len() + packet.len() => return true,
                Ok(part) => written = part,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    self.broken = true;
                    return true;
                }
            }
        }
        put(&mut self.bytes, packet);
        self.bytes.advance(written);
        self.write(stream).is_ok()
    }

    fn tell(&mut self) {
        if self.has_room() {
            self.waiting.drain(..).for_each(Waker::wake);
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, family: &Arc<Sockets>) -> io::Result<Arc<Self>> {
        stream.set_nodelay(true)?;
        let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
        let id = family.next.fetch_add(1, Ordering::Relaxed);
        let socket = Arc::new(Self {
            stream,
            local,
            peer,
            inbox: Mutex::default(),
            outbox: Mutex::default(),
            carried: Mutex::default(),
            end: watch::Sender::new(End::Open),
            id,
            family: Arc::clone(family),
            _alive: family.alive.subscribe(),
        });
        lock(&family.all).insert(id, Arc::downgrade(&socket));
        Ok(socket)
    }

    pub(crate) const fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) fn carries(&self, connection: quinn::Connection) {
        lock(&self.carried).replace(connection);
    }

    pub(super) fn carries_nothing(&self) {
        // Dropped after the lock: with the last handle the connection closes, and sends.
        let carried = lock(&self.carried).take();
        drop(carried);
    }

    /// Resolves when the peer has ended the TCP connection.
    pub(super) async fn ended(&self) {
        // Fails only if the sender is gone, which is ours.
        drop(self.end.subscribe().wait_for(|end| *end != End::Open).await);
    }

    /// Ends the TCP connection, whoever still holds a handle.
    pub(super) fn shut(&self) {
        // Fails where the peer was first.
        drop(socket2::SockRef::from(&self.stream).shutdown(Shutdown::Both));
    }

    /// What is still to be written goes on, and goes on being waited for.
    fn write_on(&self, cx: &Context<'_>) {
        let mut outbox = lock(&self.outbox);
        let mut cx = Context::from_waker(cx.waker());
        if !outbox.driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker())) {
            outbox.driver = Some(cx.waker().clone());
        }
        while !outbox.bytes.is_empty() && self.stream.poll_write_ready(&mut cx).is_ready() {
            drop(outbox.write(&self.stream));
        }
        outbox.tell();
    }

    /// The next packet; an error when there will be none.
    fn poll_packet(&self, inbox: &mut Inbox, cx: &mut Context<'_>) -> Poll<io::Result<BytesMut>> {
        loop {
            if let Some(packet) = inbox.frames.next().map_err(io::Error::other)? {
                return Poll::Ready(Ok(packet));
            }
            if inbox.end.is_none() {
                let read = match self.stream.poll_read_ready(cx) {
                    Poll::Ready(ready) => ready.and_then(|()| self.stream.try_read_buf(inbox.frames.room())),
                    Poll::Pending => {
                        inbox.frames.rest();
                        return Poll::Pending;
                    }
                };
                match read {
                    Ok(0) => {}
                    Ok(_) => continue,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    Err(error) => tracing::debug!(%error, peer = %self.peer, "TCP connection broke"),
                }
            }
            let end = inbox.end.get_or_insert_with(|| Box::pin(tokio::time::sleep(limits::TCP_LAST_WORDS)));
            ready!(Future::poll(end.as_mut(), cx));
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
    }

    /// Whether the QUIC connection has ended by itself, for a reason of its own.
    fn is_over(&self) -> bool {
        lock(&self.carried).as_ref().is_some_and(|connection| connection.close_reason().is_some())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        lock(&self.family.all).remove(&self.id);
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Room(self))
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let mut outbox = lock(&self.outbox);
        if outbox.bytes.len() + LONGEST > limits::TCP_WRITE_BYTES {
            drop(outbox.write(&self.stream));
        }
        if !outbox.has_room() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if outbox.broken {
            return Ok(());
        }
        if !outbox.send(&self.stream, transmit.contents) {
            // The rest is the driver's.
            if let Some(driver) = outbox.driver.take() {
                driver.wake();
            }
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.write_on(cx);
        let mut inbox = lock(&self.inbox);
        if inbox.over {
            return Poll::Pending;
        }
        let mut packet = match ready!(self.poll_packet(&mut inbox, cx)) {
            Ok(packet) => packet,
            Err(error) => {
                tracing::debug!(%error, peer = %self.peer, "TCP connection ended");
                inbox.over = true;
                // A connection that has ended knows why; to drop its driver would put that in the reason's place.
                self.end.send_replace(if self.is_over() { End::InOrder } else { End::Lost });
                return Poll::Pending;
            }
        };
        // One at a time: they are in memory already, and quinn's buffers past the first stay untouched, which are memory per connection.
        let (Some(buf), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else { return Poll::Ready(Ok(0)) };
        // Its buffers have room for what we take as the longest.
        let length = packet.len().min(buf.len());
        packet.copy_to_slice(buf.get_mut(..length).unwrap_or_default());
        *meta = RecvMeta { addr: self.peer, len: length, stride: length, ecn: None, dst_ip: None };
        Poll::Ready(Ok(1))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

/// quinn's runtime for the one endpoint of a socket. The first that quinn spawns is the endpoint's driver, as the endpoint is made; it is
/// dropped when the connection is lost.
#[derive(Debug)]
pub(super) struct Driven {
    end: watch::Receiver<End>,
    has_driver: AtomicBool,
}

impl Driven {
    pub(super) fn new(socket: &Socket) -> Arc<Self> {
        Arc::new(Self { end: socket.end.subscribe(), has_driver: AtomicBool::new(false) })
    }
}

impl Runtime for Driven {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        NetRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        if self.has_driver.swap(true, Ordering::Relaxed) {
            return NetRuntime.spawn(future);
        }
        let mut end = self.end.clone();
        NetRuntime.spawn(Box::pin(async move {
            tokio::select! {
                biased;
                _ = end.wait_for(|end| *end == End::Lost) => {}
                () = future => {}
            }
        }));
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        NetRuntime.wrap_udp_socket(socket)
    }

    fn now(&self) -> Instant {
        NetRuntime.now()
    }
}

/// Waits for room, for one connection.
#[derive(Debug)]
struct Room(Arc<Socket>);

impl UdpPoller for Room {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut outbox = lock(&self.0.outbox);
        if outbox.has_room() {
            return Poll::Ready(Ok(()));
        }
        if !outbox.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            outbox.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
