//! A way to a server that can be slow, break, or lose the answer to a commit.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::recruitment::random::Random;

/// What a proxy does to what passes it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    /// Connections are cut after a time between these, in the middle of what passes then; never, if none.
    pub(crate) life: Option<(Duration, Duration)>,
    /// One piece in so many is delayed, at most so long; none, if 0.
    pub(crate) delay: (u64, Duration),
    /// MySQL: one commit in so many is executed but its answer is lost with the connection; none, if 0.
    pub(crate) answers_lost: u64,
    /// MySQL: one commit in so many is lost with the connection on its way to the server; none, if 0.
    pub(crate) commits_lost: u64,
}

/// What a proxy has done.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) cuts: AtomicU64,
    pub(crate) delays: AtomicU64,
    pub(crate) answers_lost: AtomicU64,
    pub(crate) commits_lost: AtomicU64,
}

impl Done {
    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// A proxy to one server, until the runtime ends.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) done: Arc<Done>,
    rules: Arc<Mutex<Rules>>,
    random: Arc<Mutex<Random>>,
}

impl Proxy {
    /// Listens at an address (port 0 is any) and forwards to a server; without rules, nothing happens.
    pub(crate) async fn listen(at: &str, server: &str, seed: u64) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            done: Arc::default(),
            rules: Arc::default(),
            random: Arc::new(Mutex::new(Random::new(seed))),
        };
        let (accepting, server) = (proxy.clone(), server.to_owned());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                accepting.connect(client, server);
            }
        });
        proxy
    }

    /// From now on, these rules, for connections that exist too.
    pub(crate) fn set(&self, rules: Rules) {
        *self.rules.lock().unwrap() = rules;
    }

    fn rules(&self) -> Rules {
        *self.rules.lock().unwrap()
    }

    fn random<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.random.lock().unwrap())
    }

    fn connect(&self, client: TcpStream, server: TcpStream) {
        // Small pieces go at once, as without a proxy.
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let way = Way {
            proxy: self.clone(),
            born: Instant::now(),
            lot: self.random(|random| random.below(1_000)),
            cut: watch::Sender::new(false).into(),
            loses_answer: Arc::default(),
        };
        tokio::spawn(way.clone().forward(from_client, to_server, true));
        tokio::spawn(way.forward(from_server, to_client, false));
    }
}

/// One connection.
#[derive(Clone)]
struct Way {
    proxy: Proxy,
    born: Instant,
    /// Where in the range of lives this one's end lies, in thousandths.
    lot: u64,
    cut: Arc<watch::Sender<bool>>,
    loses_answer: Arc<AtomicBool>,
}

/// What becomes of a piece.
enum Fate {
    Pass,
    /// The connection ends, after a part of the piece.
    Cut(usize),
}

impl Way {
    async fn forward(self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_request: bool) {
        let mut buffer = vec![0; 64 << 10];
        let mut is_cut = self.cut.subscribe();
        loop {
            let read = tokio::select! {
                _ = is_cut.wait_for(|cut| *cut) => return,
                read = from.read(&mut buffer) => read.unwrap_or(0),
            };
            if read == 0 {
                // The other direction may have something left to say.
                let _ = to.shutdown().await;
                return;
            }
            match self.judge(&buffer[..read], is_request).await {
                Fate::Pass if to.write_all(&buffer[..read]).await.is_ok() => {}
                Fate::Pass => return,
                Fate::Cut(part) => {
                    let _ = to.write_all(&buffer[..part]).await;
                    self.cut.send_replace(true);
                    return;
                }
            }
        }
    }

    async fn judge(&self, piece: &[u8], is_request: bool) -> Fate {
        let (proxy, rules) = (&self.proxy, self.proxy.rules());
        let strikes = |one_in: u64| one_in > 0 && proxy.random(|random| random.one_in(one_in));
        if is_request && is_commit(piece) {
            if strikes(rules.commits_lost) {
                Done::count(&proxy.done.commits_lost);
                return Fate::Cut(0);
            }
            self.loses_answer.store(strikes(rules.answers_lost), Ordering::Relaxed);
        }
        if !is_request && self.loses_answer.load(Ordering::Relaxed) {
            Done::count(&proxy.done.answers_lost);
            return Fate::Cut(0);
        }
        if let Some((shortest, longest)) = rules.life
            && self.born.elapsed() >= shortest + (longest - shortest).mul_f64(self.lot as f64 / 1_000.0)
        {
            Done::count(&proxy.done.cuts);
            return Fate::Cut(proxy.random(|random| random.below(piece.len() as u64)) as usize);
        }
        let (one_in, longest) = rules.delay;
        if strikes(one_in) {
            Done::count(&proxy.done.delays);
            tokio::time::sleep(proxy.random(|random| random.millis(1, longest.as_millis() as u64))).await;
        }
        Fate::Pass
    }
}

/// Tells whether a piece is the client's packet with the query COMMIT: length, number, kind, text.
fn is_commit(piece: &[u8]) -> bool {
    piece.get(4..) == Some(b"\x03COMMIT")
}
