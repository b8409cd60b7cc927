//! An app that prints as fast as it can, on real Docker: it is not slowed, its log stays small, and
//! what was lost is said. `SIESTA_TEST_SOAK` makes the flood ten times as long.

use std::{fs, os::unix::fs::MetadataExt as _, time::Duration};

use futures_util::StreamExt as _;
use siesta::{
    domain::Plan,
    engine::Engine as _,
    logs::{Filter, KEPT_LINES, TailItem},
};

use super::builds::with_yard;
use crate::{engine_contract::tar_of, support::yard::succeeded};

/// Prints from a thread of its own and tells in `/` how many lines it got rid of.
const APP: &str = r#"
import http.server, os, sys, threading, time
printed = 0
def flood():
    global printed
    block, deadline = b"flood flood flood\n" * 1000, time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        os.write(1, block)
        printed += 1000
    # More than once: the engine may still drop lines while it takes the flood down.
    while True:
        time.sleep(1)
        os.write(1, b"the flood is over\n")
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/flood":
            threading.Thread(target=flood, daemon=True).start()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(printed).encode())
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), H).serve_forever()
"#;

#[tokio::test]
async fn a_flood_slows_nobody_fills_no_disk_and_is_told() {
    let seconds = if std::env::var_os("SIESTA_TEST_SOAK").is_some() { 60 } else { 6 };
    with_yard(Plan::free(), async |yard, engine| {
        let app = yard.app("flood").await;
        let code = APP.replace("SECONDS", &seconds.to_string());
        let archive = tar_of(&[("Procfile", b"web: python app.py\n"), ("requirements.txt", b""), ("app.py", code.as_bytes())]);
        succeeded(yard.deploy(app.id, archive).await);
        yard.answer("flood", "/flood").await;
        let mut tail = yard.logs.tail(app.id, Filter::default(), 10, None).await.unwrap();
        let to_the_end = async {
            let mut told = false;
            loop {
                match tail.next().await.expect("the app is there") {
                    TailItem::Line(_, line) if line.message == "the flood is over" => return told,
                    TailItem::Line(_, line) => told |= line.message.starts_with("Error L10 (output buffer overflow): "),
                    TailItem::Dropped(_) => told = true,
                }
            }
        };
        let told = tokio::time::timeout(Duration::from_secs(seconds + 180), to_the_end).await;
        assert!(told.expect("the end is read, however much there was"), "what was lost is said");
        let printed: u64 = yard.answer("flood", "/").await.parse().unwrap();
        assert!(printed > 100_000, "the app went on printing: {printed}");
        println!("{} lines a second", printed / seconds);

        yard.logs.flush().await;
        let lines = yard.logs.recent(app.id, &Filter::default(), usize::MAX).await.unwrap();
        assert!(lines.len() <= KEPT_LINES, "{}", lines.len());
        let kept: u64 = ["logs.db", "logs.db-wal"].iter().filter_map(|name| Some(fs::metadata(yard.data.join(name)).ok()?.size())).sum();
        assert!(kept < 64 * 1024 * 1024, "{kept} bytes");
        for container in engine.list().await.unwrap() {
            let folder = std::path::Path::new("/var/lib/docker/containers").join(&container.id.0);
            let files = fs::read_dir(&folder).into_iter().flatten().flatten();
            let logs = files.filter(|file| file.file_name().to_string_lossy().contains("-json.log"));
            let held: u64 = logs.filter_map(|file| Some(file.metadata().ok()?.size())).sum();
            assert!(held < 25_000_000, "{held} bytes in {}", folder.display());
        }
    })
    .await;
}
