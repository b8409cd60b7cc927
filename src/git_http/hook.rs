//! `siesta git-hook`: what git runs before it takes a push. It is not the server but a process of
//! the push; it says what it is told to stdout, which git shows as `remote:` lines.

use std::{
    io::{self, BufRead as _, Read as _, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    process::{Command, ExitCode, Stdio},
};

use crate::git_http::push::TAKEN;

const MAIN: &str = "refs/heads/main";

/// Reads `old new ref` lines; builds what `main` becomes. Fails the push with its exit code.
pub fn run() -> ExitCode {
    match judge() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!(" !     The push could not be taken: {error}");
            ExitCode::FAILURE
        }
    }
}

fn judge() -> io::Result<bool> {
    let mut taken = true;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split(' ');
        let (Some(old), Some(new), Some(name)) = (words.next(), words.next(), words.next()) else { continue };
        let deleted = new.bytes().all(|b| b == b'0');
        if name == MAIN && deleted {
            println!(" !     The branch main is what runs: it cannot be deleted.");
            taken = false;
        } else if name == MAIN && !is_still(old)? {
            println!(" !     Somebody else has pushed meanwhile. Fetch, then push again.");
            taken = false;
        } else if name == MAIN {
            taken &= build(new)?;
        } else if !deleted && name.starts_with("refs/heads/") {
            println!("Pushed to non-main branch, skipping build.");
            println!("To build it: git push heroku {}:main", name.trim_start_matches("refs/heads/"));
        }
    }
    Ok(taken)
}

/// Whether `main` is what the pusher saw: else git would refuse the push after it was built.
#[expect(clippy::disallowed_methods, reason = "runs inside git's own hook, beside the server: git reads its own repository")]
fn is_still(old: &str) -> io::Result<bool> {
    let found = Command::new("git").args(["rev-parse", "--verify", "--quiet", MAIN]).stdin(Stdio::null()).output()?;
    let now = String::from_utf8_lossy(&found.stdout);
    Ok(if found.status.success() { now.trim() == old } else { old.bytes().all(|b| b == b'0') })
}

#[expect(clippy::disallowed_methods, reason = "runs inside git's own hook, beside the server: git reads its own repository")]
fn build(commit: &str) -> io::Result<bool> {
    let socket = std::env::var_os("SIESTA_PUSH_SOCKET").ok_or_else(|| io::Error::other("SIESTA_PUSH_SOCKET is not set"))?;
    let mut stream = UnixStream::connect(socket)?;
    writeln!(stream, "{commit}")?;
    let mut archive = Command::new("git")
        .args(["archive", "--format=tar.gz", "--prefix=source/", commit])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut files = archive.stdout.take().ok_or_else(|| io::Error::other("git has no output"))?;
    // A server that takes no more says why in its answer.
    let copied = io::copy(&mut files, &mut stream);
    drop(files);
    if !archive.wait()?.success() && copied.is_ok() {
        return Err(io::Error::other("git archive failed"));
    }
    let _ = stream.shutdown(Shutdown::Write);
    pass_on(stream)
}

/// Shows the output as it comes; the last two bytes are the verdict and not shown.
fn pass_on(mut stream: UnixStream) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    let (mut held, mut buffer) = (Vec::new(), [0; 8192]);
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(held == TAKEN);
        }
        held.extend_from_slice(&buffer[..count]);
        let shown = held.len().saturating_sub(TAKEN.len());
        out.write_all(&held[..shown])?;
        out.flush()?;
        held.drain(..shown);
    }
}
