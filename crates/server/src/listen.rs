//! Takes connections and answers what comes over them. It knows sockets and HTTP versions, not routes.

use crate::app::{App, HttpSettings};
use crate::caller::Peer;
use crate::front::Front;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::{SockRef, TcpKeepalive};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// How long to wait when the system has no descriptor or memory for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// HTTP/2 streams of one connection.
const H2_STREAMS_MAX: u32 = 256;

/// Streams that a peer may reset before they are answered, so that a flood of resets ends its connection.
const H2_RESETS_MAX: usize = 64;

/// Serves until `app.stop` is cancelled, then lets open requests finish within `drain_timeout`.
pub async fn serve(listener: TcpListener, app: App) {
    let front = Arc::new(Front::new(app.clone()));
    let settings = &app.settings;
    let builder = Arc::new(http(settings));
    let places = Arc::new(Semaphore::new(settings.connections_max));
    let connections = TaskTracker::new();
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place.expect("nobody closes it"),
            () = app.stop.cancelled() => break,
        };
        let (stream, peer) = tokio::select! {
            accepted = accept(&listener) => accepted,
            () = app.stop.cancelled() => break,
        };
        if let Err(error) = prepare(&stream, settings) {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "a connection was gone before it began");
            continue;
        }
        let (front, builder) = (front.clone(), builder.clone());
        connections.spawn(async move {
            connection(stream, peer, front, &builder).await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    let ended = tokio::time::timeout(settings.drain_timeout, connections.wait()).await;
    if ended.is_err() {
        let open = connections.len();
        tracing::warn!(
            connections.open = open,
            "connections were cut at the end of the drain"
        );
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // One peer's bad luck; the next is waiting already.
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "no connection can be taken right now"
                );
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Small writes go out at once, and a peer that has gone away silently is noticed.
fn prepare(stream: &TcpStream, settings: &HttpSettings) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(settings.keepalive)
        .with_interval(settings.keepalive / 3);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(settings.send_timeout))?;
    Ok(())
}

fn http(settings: &HttpSettings) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // The library's limits are wider than ours, so that ours can answer in the form of every other failure.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_headers(settings.headers_max * 2)
        .max_buf_size((settings.header_bytes_max * 2).max(16 << 10));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(settings.keepalive)
        .keep_alive_timeout(settings.send_timeout)
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_pending_accept_reset_streams(H2_RESETS_MAX)
        .max_header_list_size(u32::try_from(settings.header_bytes_max * 2).unwrap_or(u32::MAX));
    builder
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    front: Arc<Front>,
    builder: &auto::Builder<TokioExecutor>,
) {
    let app = front.app().clone();
    let spoken = AtomicBool::new(false);
    let service = service_fn(|request: Request<Incoming>| {
        spoken.store(true, Ordering::Relaxed);
        let front = front.clone();
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer.ip()));
            Ok::<_, Infallible>(front.answer(request).await)
        }
    });
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // Telling the versions apart waits for bytes without any limit of its own.
    let silence = async {
        tokio::time::sleep(app.settings.header_timeout).await;
        if spoken.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let mut silence = pin!(silence);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = silence.as_mut() => return,
        () = app.stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = &*error, "a connection broke off");
    }
}
