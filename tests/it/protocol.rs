//! A live server against clients that are not its pages.

use std::sync::Arc;

use webmatrix::collect;
use webmatrix_wire::Backend;

use crate::fake::{Act, Script, Stage, context, plan, rows};

#[tokio::test]
async fn strangers_get_nothing_from_a_running_attempt() {
    let plan = plan(&["bert"], &[Backend::Wasm], 3);
    let out = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let cell = "chromium/bert@tiny/webmatrix/wasm/fp32/default".to_owned();
    let stage = Arc::new(Stage::new(Script::from([(cell, vec![Act::Hang])])));
    let mut ctx = context(out.path(), &plan, &stage, false).await;
    ctx.settings.run.retries = 0;
    let (watched, seen) = (stage.clone(), out.path().to_owned());
    let strangers = tokio::spawn(async move {
        // The probe's page is done in no time; then the cell's hangs until its deadline.
        let address = loop {
            let address = watched.last.lock().ok().and_then(|last| last.clone());
            match address {
                Some(address) if address.call("GET", "files/config.json", b"").await.0 == 200 => {
                    break address;
                }
                _ => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        };
        let path = |what: &str| format!("/api/attempts/{}/{what}", address.attempt);
        let host = address.host.clone();
        let wrong = "0".repeat(64);
        assert_eq!(address.send("GET", &path("job"), &host, &wrong, b"").await.0, 401);
        assert_eq!(address.send("GET", &path("job"), "evil.example", &address.token, b"").await.0, 403);
        assert_eq!(address.call("POST", "messages", &vec![b' '; (1 << 20) + 1]).await.0, 413);
        let (status, body) = address.call("POST", "messages", br#"{"wire_version":1}"#).await;
        assert_eq!(status, 400, "{}", String::from_utf8_lossy(&body));
        assert_eq!(
            address.call("GET", "files/expected.safetensors", b"").await.0,
            404,
            "answers are not served"
        );
        assert_eq!(address.call("GET", "files/..%2f..%2f..%2fetc%2fpasswd", b"").await.0, 404);
        let kept = std::fs::read_to_string(seen.join("journal/R1.jsonl")).unwrap_or_default();
        assert!(!kept.contains(&address.token), "tokens are in no file");
        address
    });
    collect::collect(&ctx, &plan, 1).await.unwrap_or_else(|error| panic!("{error}"));
    let address = strangers.await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(address.call("GET", "job", b"").await.0, 401, "the token died with its attempt");
    assert_eq!(rows(out.path())[0].status.as_deref(), Some("timeout"));
}
