//! As much of an HTTP client as a page needs.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where a page speaks to, taken from the URL it was opened with.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) attempt: String,
    pub(crate) token: String,
}

impl Address {
    /// Reads `http://HOST/page/…#attempt=A&token=T`.
    pub(crate) fn of(url: &str) -> Self {
        let host = url.trim_start_matches("http://").split('/').next().unwrap_or_default().to_owned();
        let fragment = url.split_once('#').map_or("", |(_, fragment)| fragment);
        let field = |name: &str| {
            let found = fragment.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            found.unwrap_or_default().to_owned()
        };
        Self { host, attempt: field("attempt"), token: field("token") }
    }

    /// Status and body of a request to the attempt's API.
    pub(crate) async fn call(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let path = format!("/api/attempts/{}/{path}", self.attempt);
        self.send(method, &path, &self.host, &self.token, body).await
    }

    /// Status and body of any request.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        host: &str,
        token: &str,
        body: &[u8],
    ) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.host).await.unwrap_or_else(|error| panic!("{error}"));
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let mut answer = Vec::new();
        // A server that refuses a body may close before it is all sent: the answer counts.
        stream.write_all(head.as_bytes()).await.unwrap_or_else(|error| panic!("{error}"));
        stream.write_all(body).await.ok();
        stream.read_to_end(&mut answer).await.ok();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, answer[end..].to_vec())
    }
}
