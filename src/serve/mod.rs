//! The controller's web server: it gives a page its files and its job, and takes in what it says.
//!
//! Everything under `/api` belongs to one attempt and needs that attempt's token. The page says
//! facts; this stage checks that they are well formed and hands them to an [`Inbox`], which must have
//! them safe before the page is told so.

mod assets;
mod attempts;
mod check;
mod headers;
mod inbox;
mod refusal;
mod routes;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use webmatrix_wire::AttemptId;

pub use assets::{harness_hash, has_harness};
pub use attempts::{Attempts, FileSource, Files, Token};
pub use headers::OwnHosts;
pub use inbox::Inbox;
pub use routes::{AppState, app};

use refusal::Refusal;

/// The server could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on 127.0.0.1: {0}")]
pub struct ServeError(#[from] std::io::Error);

/// A running server. It stops when this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// Closing it is what stops the server.
    _stop: oneshot::Sender<()>,
}

impl Server {
    /// Serves the attempts on a free port of 127.0.0.1.
    pub async fn start(attempts: Attempts, inbox: Arc<dyn Inbox>) -> Result<Self, ServeError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let router = app(AppState { attempts, inbox, port: address.port() });
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let served = axum::serve(listener, router).with_graceful_shutdown(async move {
                // Ends when the sender is dropped; nothing is ever sent.
                stopped.await.ok();
            });
            if let Err(error) = served.await {
                tracing::error!(%error, "the server stopped");
            }
        });
        Ok(Self { address, _stop: stop })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL that makes a page work on an attempt. The fragment never leaves the browser, so the
    /// token is in no log and no referrer. The query is there because two URLs that differ in their
    /// fragment only are one document, which a browser would not load again.
    pub fn page_url(&self, attempt: &AttemptId, token: &Token) -> String {
        format!("http://{}/page/?{attempt}#attempt={attempt}&token={}", self.address, token.to_hex())
    }
}
