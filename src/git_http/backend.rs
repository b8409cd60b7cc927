//! The one program this server runs on its own machine: `git http-backend`, without a shell, with an
//! environment of our making, on a repository of ours (security.md SR1).

use std::{
    io,
    path::Path,
    pin::Pin,
    process::Stdio,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, StreamExt as _, future::Fuse};
use http::{HeaderName, HeaderValue, StatusCode, header, request::Parts};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdout, Command},
    time::{Duration, timeout},
};
use tokio_util::io::ReaderStream;

use crate::git_http::push::Door;

/// The head of an answer must come in this time; a build goes on behind it.
const HEAD_PATIENCE: Duration = Duration::from_secs(60);
/// Where git itself is looked for.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

#[expect(clippy::disallowed_methods, reason = "the one exception of SR1: git's own server side, see the module's words")]
fn command(root: &Path, path: &str, parts: &Parts, door: Option<&Door>) -> io::Result<Command> {
    let text = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", path)
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", text(header::CONTENT_TYPE))
        .env("REMOTE_USER", "siesta")
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    if text(header::CONTENT_ENCODING) == "gzip" {
        command.env("HTTP_CONTENT_ENCODING", "gzip");
    }
    let protocol = text(HeaderName::from_static("git-protocol"));
    if protocol.starts_with("version=") && protocol.len() < 40 {
        command.env("GIT_PROTOCOL", protocol);
    }
    if let Some(door) = door {
        command.env("SIESTA_PUSH_SOCKET", door.path()).env("SIESTA_PROGRAM", std::env::current_exe()?);
    }
    Ok(command)
}

/// Runs it for one request: the body goes in, headers and the body of the answer come out.
///
/// # Errors
/// When git is not there or says nothing that makes sense.
pub async fn run(root: &Path, path: &str, parts: &Parts, body: Body, door: Option<Door>) -> io::Result<Response> {
    let mut child = command(root, path, parts, door.as_ref())?.spawn()?;
    let mut input = child.stdin.take().ok_or_else(|| io::Error::other("git has no input"))?;
    let mut output = BufReader::new(child.stdout.take().ok_or_else(|| io::Error::other("git has no output"))?);
    let mut body = body.into_data_stream();
    let feed = async move {
        while let Some(piece) = body.next().await {
            // A git that takes no more has said why.
            let Ok(piece) = piece else { return };
            if input.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = input.shutdown().await;
    };
    let mut feed = (Box::pin(feed) as Pin<Box<dyn Future<Output = ()> + Send>>).fuse();
    let head = async {
        tokio::select! {
            head = head(&mut output) => head,
            () = async { (&mut feed).await; std::future::pending::<()>().await } => unreachable!("it stays pending"),
        }
    };
    let mut response = timeout(HEAD_PATIENCE, head).await.map_err(|_| io::Error::other("git http-backend does not answer"))??;
    *response.body_mut() = Body::from_stream(Answer { feed, output: ReaderStream::new(output), _child: child, _door: door });
    Ok(response)
}

/// The body on its way in; done, it stays pending.
type Feed = Fuse<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// The CGI headers, up to the blank line.
async fn head(output: &mut BufReader<ChildStdout>) -> io::Result<Response> {
    let mut response = Response::new(Body::empty());
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).await? == 0 {
            return Err(io::Error::other("git http-backend ended without an answer"));
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(response);
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("status") {
            let code = value.trim().split(' ').next().and_then(|code| code.parse().ok());
            *response.status_mut() = code.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::BAD_GATEWAY);
        } else if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value.trim())) {
            response.headers_mut().insert(name, value);
        }
    }
}

/// The rest of the answer; dropped, it takes the process along.
struct Answer {
    feed: Feed,
    output: ReaderStream<BufReader<ChildStdout>>,
    _child: Child,
    _door: Option<Door>,
}

impl Stream for Answer {
    type Item = io::Result<Bytes>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        // What is still to come of the request goes in while the answer comes out.
        let _ = self.feed.poll_unpin(cx);
        self.output.poll_next_unpin(cx)
    }
}
