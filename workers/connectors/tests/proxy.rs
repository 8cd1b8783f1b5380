//! A way to the server that can be blocked: it forwards bytes, holds answers back, or breaks every connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A proxy on a port of its own, until it is dropped with the runtime.
#[derive(Clone)]
pub(crate) struct Proxy {
    /// `host:port` to connect to.
    pub(crate) address: String,
    silent: Arc<AtomicBool>,
    broken: Arc<AtomicU64>,
}

impl Proxy {
    /// Listens, and forwards to a server.
    pub(crate) async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap().to_string(),
            silent: Arc::default(),
            broken: Arc::default(),
        };
        let accepting = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(accepting.clone().forward(from_client, to_server, false));
                tokio::spawn(accepting.clone().forward(from_server, to_client, true));
            }
        });
        proxy
    }

    /// Holds back everything the server answers, or lets it through again.
    pub(crate) fn hold_answers(&self, hold: bool) {
        self.silent.store(hold, Ordering::SeqCst);
    }

    /// Breaks all connections there are.
    pub(crate) fn break_connections(&self) {
        self.broken.fetch_add(1, Ordering::SeqCst);
    }

    async fn forward(self, mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, answers: bool) {
        let born = self.broken.load(Ordering::SeqCst);
        let mut buffer = vec![0; 64 << 10];
        while self.broken.load(Ordering::SeqCst) == born {
            let read = match tokio::time::timeout(Duration::from_millis(50), from.read(&mut buffer)).await {
                Err(_) => continue,
                Ok(Ok(read)) if read > 0 => read,
                Ok(_) => return,
            };
            while answers && self.silent.load(Ordering::SeqCst) && self.broken.load(Ordering::SeqCst) == born {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            if to.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    }
}
