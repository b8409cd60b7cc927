//! Databases on loopback: a client's first packet says which; the server switches a connection
//! of ours to it. The password is the client's to send.

use std::{io, time::Duration};

use http::{StatusCode, header};
use secrecy::ExposeSecret as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional},
    net::TcpStream,
    time::timeout,
};

use super::Login;

/// Requests to encrypt, which are declined: the connection to the server is encrypted, and here nobody listens in.
const ENCRYPT: [u32; 2] = [80_877_103, 80_877_104];
const VERSION_3: u32 = 3;
const LONGEST: u32 = 10_000;
const PATIENCE: Duration = Duration::from_secs(15);
/// A sleeping server is woken first.
const OPENING: Duration = Duration::from_secs(120);

/// The packet a client begins with.
struct First {
    packet: Vec<u8>,
    role: String,
    database: String,
}

/// Serves one session.
pub async fn serve(login: Login, client: reqwest::Client, mut stream: TcpStream) {
    let Ok(Ok(Some(first))) = timeout(PATIENCE, first(&mut stream)).await else { return };
    // A client that breaks off needs no answer.
    let _ = match open(&login, &client, &first).await {
        Ok(mut database) => carry(&mut stream, &mut database, &first.packet).await,
        Err(why) => refuse(&mut stream, &why).await,
    };
}

async fn carry(stream: &mut TcpStream, database: &mut reqwest::Upgraded, packet: &[u8]) -> io::Result<()> {
    database.write_all(packet).await?;
    copy_bidirectional(stream, database).await.map(drop)
}

/// None: it is no session (a cancellation names no database, so that it cannot be brought anywhere).
async fn first(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<Option<First>> {
    loop {
        let length = stream.read_u32().await?;
        if !(8..=LONGEST).contains(&length) {
            return Ok(None);
        }
        let mut packet = length.to_be_bytes().to_vec();
        packet.resize(length as usize, 0);
        stream.read_exact(&mut packet[4..]).await?;
        let code = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
        if ENCRYPT.contains(&code) {
            stream.write_all(b"N").await?;
            continue;
        }
        let mut words = packet[8..].split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        let (mut role, mut database) = (String::new(), String::new());
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            match name.as_str() {
                "user" => role = value,
                "database" => database = value,
                _ => {}
            }
        }
        if database.is_empty() {
            database.clone_from(&role);
        }
        return Ok((code >> 16 == VERSION_3).then_some(First { packet, role, database }));
    }
}

async fn open(login: &Login, client: &reqwest::Client, first: &First) -> Result<reqwest::Upgraded, String> {
    let request = client
        .get(format!("{}/postgres/v0/tunnel", login.server))
        .query(&[("role", &first.role), ("database", &first.database)])
        .bearer_auth(login.key().expose_secret())
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "postgres");
    let Ok(answer) = timeout(OPENING, request.send()).await else { return Err("the server does not answer".to_owned()) };
    let answer = answer.map_err(|error| login.unreachable(&error).to_string())?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return answer.upgrade().await.map_err(|error| login.unreachable(&error).to_string());
    }
    let status = answer.status();
    let body: serde_json::Value = answer.json().await.unwrap_or_default();
    Err(body["message"].as_str().map_or_else(|| format!("the server answers with {status}"), str::to_owned))
}

/// Tells it as PostgreSQL would.
async fn refuse(stream: &mut TcpStream, why: &str) -> io::Result<()> {
    let fields = format!("SFATAL\0VFATAL\0C08004\0M{}\0\0", why.replace('\0', ""));
    let length = u32::try_from(fields.len() + 4).map_err(io::Error::other)?;
    stream.write_all(&[b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(code: u32, fields: &[u8]) -> Vec<u8> {
        [&(8 + fields.len() as u32).to_be_bytes()[..], &code.to_be_bytes(), fields].concat()
    }

    async fn read(bytes: &[u8]) -> (io::Result<Option<First>>, Vec<u8>) {
        let (mut ours, mut theirs) = tokio::io::duplex(64 * 1024);
        theirs.write_all(bytes).await.unwrap();
        theirs.shutdown().await.unwrap();
        let found = first(&mut ours).await;
        drop(ours);
        let mut answered = Vec::new();
        theirs.read_to_end(&mut answered).await.unwrap();
        (found, answered)
    }

    #[tokio::test]
    async fn the_first_packet_names_role_and_database_and_encryption_is_declined() {
        let begin = packet(3 << 16, b"user\0u1\0database\0d1\0application_name\0psql\0\0");
        let (found, answered) = read(&[packet(ENCRYPT[0], b""), packet(ENCRYPT[1], b""), begin.clone()].concat()).await;
        let found = found.unwrap().unwrap();
        assert_eq!((found.role.as_str(), found.database.as_str(), found.packet, answered), ("u1", "d1", begin, b"NN".to_vec()));
        let (found, _) = read(&packet(3 << 16, b"user\0u1\0\0")).await;
        assert_eq!(found.unwrap().unwrap().database, "u1", "as PostgreSQL has it");
    }

    #[tokio::test]
    async fn what_is_no_session_is_turned_away() {
        let cancel = packet(80_877_102, &[0; 8]);
        let huge = 100_000_u32.to_be_bytes().to_vec();
        for bytes in [cancel, huge, packet(2 << 16, b"user\0u1\0\0")] {
            assert!(matches!(read(&bytes).await, (Ok(None), _)), "{bytes:?}");
        }
        assert!(read(b"\0\0").await.0.is_err());
    }
}
