//! A small mail server on loopback: takes letters by SMTP, or refuses them as it is told.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// What it says to a recipient.
#[derive(Clone, Copy, Debug)]
pub enum Mood {
    Takes,
    /// Not now.
    Busy,
    /// Never.
    Refuses,
}

/// A letter as it came.
#[derive(Clone, Debug)]
pub struct Received {
    pub from: String,
    pub to: String,
    /// Head and body, as sent.
    pub text: String,
}

impl Received {
    /// A header of it; folded lines are put together.
    pub fn header(&self, name: &str) -> String {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n ", " ");
        let line = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned));
        line.unwrap_or_default()
    }
}

/// The mail server. Cheap to clone.
#[derive(Clone)]
pub struct Postbox {
    pub port: u16,
    letters: Arc<Mutex<Vec<Received>>>,
    mood: Arc<Mutex<Mood>>,
}

impl Postbox {
    #[expect(clippy::disallowed_methods, reason = "visitors are served by tasks of the test's own")]
    pub async fn open() -> Postbox {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let postbox = Postbox { port, letters: Arc::default(), mood: Arc::new(Mutex::new(Mood::Takes)) };
        let me = postbox.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let me = me.clone();
                tokio::spawn(async move {
                    let _ = me.serve(stream).await;
                });
            }
        });
        postbox
    }

    /// The flags with which a server writes to it.
    pub fn flags(&self) -> [String; 4] {
        ["--smtp", &format!("smtp://127.0.0.1:{}?tls=none", self.port), "--mail-from", "siesta@example.org"].map(str::to_owned)
    }

    pub fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub fn letters(&self) -> Vec<Received> {
        self.letters.lock().unwrap().clone()
    }

    /// The subjects of the letters so far.
    pub fn subjects(&self) -> Vec<String> {
        self.letters().iter().map(|letter| letter.header("Subject")).collect()
    }

    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let (reader, mut writer) = stream.into_split();
        let mut lines = BufReader::new(reader).lines();
        writer.write_all(b"220 postbox\r\n").await?;
        let (mut from, mut to) = (String::new(), String::new());
        while let Some(line) = lines.next_line().await? {
            let answer = match line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "MAIL" => {
                    line.clone_into(&mut from);
                    "250 ok"
                }
                "RCPT" => {
                    line.clone_into(&mut to);
                    match *self.mood.lock().unwrap() {
                        Mood::Takes => "250 ok",
                        Mood::Busy => "451 not now",
                        Mood::Refuses => "550 nobody of that name",
                    }
                }
                "DATA" => {
                    writer.write_all(b"354 go on\r\n").await?;
                    let mut text = String::new();
                    while let Some(line) = lines.next_line().await?.filter(|line| line != ".") {
                        text.push_str(line.strip_prefix('.').unwrap_or(&line));
                        text.push_str("\r\n");
                    }
                    self.letters.lock().unwrap().push(Received { from: from.clone(), to: to.clone(), text });
                    "250 taken"
                }
                "QUIT" => {
                    writer.write_all(b"221 bye\r\n").await?;
                    return Ok(());
                }
                _ => "250 postbox",
            };
            writer.write_all(answer.as_bytes()).await?;
            writer.write_all(b"\r\n").await?;
        }
        Ok(())
    }
}
