//! A bidirectional QUIC stream as one byte stream that is either *finished* or *reset*, never silently both.
//!
//! quinn's `SendStream` sends FIN when dropped (quinn-rs/quinn#2411), so an exchange that was given up would look complete. Here only
//! `poll_shutdown` finishes; any other drop resets our half and stops the peer's.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use quinn::{RecvStream, SendStream, VarInt, WriteError};
use shared::wire::code;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Both halves of one stream.
#[derive(Debug)]
pub struct QuicIo {
    send: SendStream,
    recv: RecvStream,
    finished: bool,
    unwanted: bool,
}

impl QuicIo {
    /// Joins the halves of a stream.
    pub const fn new(send: SendStream, recv: RecvStream) -> Self {
        Self { send, recv, finished: false, unwanted: false }
    }
}

impl AsyncRead for QuicIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.recv), cx, buf)
    }
}

impl AsyncWrite for QuicIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.unwanted {
            return Poll::Ready(Ok(buf.len()));
        }
        match Pin::new(&mut self.send).poll_write(cx, buf) {
            // An orderly stop means that the peer has answered and does not want the rest of our body. The answer must still be read, so
            // the rest goes nowhere instead of ending the exchange with an error. A stop with any other code is a cancellation.
            Poll::Ready(Err(WriteError::Stopped(reason))) if reason == VarInt::from_u32(code::SHUTDOWN) => {
                self.unwanted = true;
                Poll::Ready(Ok(buf.len()))
            }
            Poll::Ready(result) => Poll::Ready(result.map_err(io::Error::from)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // quinn sends what is written; there is no buffer of ours.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.finished {
            self.finished = true;
            if !self.unwanted {
                self.send.finish().map_err(io::Error::from)?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for QuicIo {
    fn drop(&mut self) {
        let reason = if self.finished {
            code::SHUTDOWN
        } else {
            drop(self.send.reset(VarInt::from_u32(code::CANCELLED)));
            code::CANCELLED
        };
        // Fails only when the peer's half has ended already.
        drop(self.recv.stop(VarInt::from_u32(reason)));
    }
}
