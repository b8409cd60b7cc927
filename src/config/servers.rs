//! Servers of the operator's that an address names: PostgreSQL for add-ons, SMTP for mail.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::user::Email;

/// A PostgreSQL server of the operator's; its superuser is called `siesta`.
#[derive(Clone, Debug)]
pub struct PostgresServer {
    /// Host and port.
    pub address: String,
    pub password: SecretString,
    pub tls: PostgresTls,
}

/// How connections to it are protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostgresTls {
    /// Not at all: on loopback or a private network.
    Off,
    /// Encrypted, whoever answers.
    Encrypted,
    /// Encrypted, to a server with a certificate for its name, of an authority the system trusts or this
    /// file (PEM) holds.
    Verified { authority: Option<PathBuf> },
}

impl PostgresServer {
    /// Reads `postgres://siesta:PASSWORD@HOST:PORT?sslmode=MODE&sslrootcert=FILE`; what is wrong with it never repeats it.
    pub(super) fn parse(address: &SecretString) -> Result<PostgresServer, String> {
        let wrong = || {
            "--postgres-server must be an address such as postgres://siesta:PASSWORD@db.example.org:5432?sslmode=verify-full.".to_owned()
        };
        let (rest, options) = address.expose_secret().split_once('?').unwrap_or((address.expose_secret(), ""));
        let rest = rest.trim_end_matches('/');
        let rest = rest.strip_prefix("postgres://").or_else(|| rest.strip_prefix("postgresql://")).ok_or_else(wrong)?;
        let (who, place) = rest.split_once('@').ok_or_else(wrong)?;
        let password = who.strip_prefix("siesta:").filter(|password| !password.is_empty()).ok_or_else(wrong)?;
        let (host, port) = place.rsplit_once(':').unwrap_or((place, "5432"));
        let is_host = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
        if !is_host || port.parse::<u16>().is_err() {
            return Err(wrong());
        }
        if !password.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b)) {
            return Err("The password in --postgres-server may hold letters, digits and - _ . ~ only.".to_owned());
        }
        Ok(PostgresServer { address: format!("{host}:{port}"), password: password.into(), tls: PostgresTls::parse(options)? })
    }
}

impl PostgresTls {
    fn parse(options: &str) -> Result<PostgresTls, String> {
        let (mut mode, mut authority) = ("disable", None);
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("sslmode", value)) => mode = value,
                Some(("sslrootcert", path)) if !path.is_empty() => authority = Some(PathBuf::from(path)),
                _ => return Err("--postgres-server knows the options sslmode and sslrootcert only.".to_owned()),
            }
        }
        match (mode, authority) {
            ("verify-full", authority) => Ok(PostgresTls::Verified { authority }),
            (_, Some(_)) => Err("sslrootcert in --postgres-server needs sslmode=verify-full.".to_owned()),
            ("disable", None) => Ok(PostgresTls::Off),
            ("require", None) => Ok(PostgresTls::Encrypted),
            _ => Err("sslmode in --postgres-server is disable, require or verify-full.".to_owned()),
        }
    }
}

/// A mail server of the operator's.
#[derive(Clone, Debug)]
pub struct MailServer {
    pub host: String,
    pub port: u16,
    pub tls: MailTls,
    /// User and password.
    pub login: Option<(String, SecretString)>,
    /// Whom its letters are from.
    pub from: String,
}

/// How connections to a mail server are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// `smtps://`
    FromTheStart,
    /// `smtp://`: STARTTLS, or no mail.
    AfterHello,
    /// `smtp://…?tls=none`
    Off,
}

impl MailServer {
    /// Reads `smtps://USER:PASSWORD@HOST:PORT`; what is wrong with it never repeats it.
    pub(super) fn parse(address: &SecretString, from: &str) -> Result<MailServer, String> {
        let wrong = || "--smtp must be an address such as smtps://USER:PASSWORD@mail.example.org:465.".to_owned();
        let (rest, options) = address.expose_secret().split_once('?').unwrap_or((address.expose_secret(), ""));
        let (scheme, rest) = rest.trim_end_matches('/').split_once("://").ok_or_else(wrong)?;
        let (tls, usual) = match (scheme, options) {
            ("smtps", "") => (MailTls::FromTheStart, "465"),
            ("smtp", "") => (MailTls::AfterHello, "587"),
            ("smtp", "tls=none") => (MailTls::Off, "25"),
            _ => return Err(wrong()),
        };
        let (login, place) = rest.rsplit_once('@').map_or((None, rest), |(login, place)| (Some(login), place));
        let login = match login {
            None => None,
            Some(login) => {
                let (user, password) = login.split_once(':').ok_or_else(wrong)?;
                Some((decoded(user).ok_or_else(wrong)?, decoded(password).ok_or_else(wrong)?.into()))
            }
        };
        let (host, port) = place.rsplit_once(':').unwrap_or((place, usual));
        let is_host = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
        let port = port.parse().ok().filter(|_| is_host).ok_or_else(wrong)?;
        let from: Email = from.parse().map_err(|_| "--mail-from must be an e-mail address such as siesta@example.org.".to_owned())?;
        Ok(MailServer { host: host.to_owned(), port, tls, login, from: from.as_str().to_owned() })
    }
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(part.get(2..)?.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_postgresql_server_names_host_superuser_and_password() {
        let read = |text: &str| PostgresServer::parse(&text.into());
        let good = read("postgres://siesta:s3cret-x@db.example.org:5433/").unwrap();
        assert_eq!((good.address.as_str(), good.password.expose_secret()), ("db.example.org:5433", "s3cret-x"));
        assert_eq!(read("postgresql://siesta:x@10.0.0.7").unwrap().address, "10.0.0.7:5432");
        assert_eq!(good.tls, PostgresTls::Off);
        let tls = |options: &str| read(&format!("postgres://siesta:geheim@db/?{options}")).map(|server| server.tls);
        assert_eq!(tls("sslmode=require"), Ok(PostgresTls::Encrypted));
        assert_eq!(tls("sslmode=verify-full"), Ok(PostgresTls::Verified { authority: None }));
        assert_eq!(tls("sslrootcert=/etc/ca.pem&sslmode=verify-full"), Ok(PostgresTls::Verified { authority: Some("/etc/ca.pem".into()) }));
        for bad in ["sslmode=prefer", "sslmode=require&sslrootcert=/ca.pem", "sslmode=verify-full&user=x", "sslrootcert=/ca.pem"] {
            assert!(!tls(bad).expect_err(bad).contains("geheim"), "{bad}");
        }
        for bad in
            ["db", "postgres://siesta@db", "postgres://postgres:geheim@db", "https://siesta:geheim@db", "postgres://siesta:geheim x@db"]
        {
            assert!(!read(bad).expect_err(bad).contains("geheim"), "it is not repeated");
        }
    }

    #[test]
    fn the_address_of_a_mail_server_says_how_it_is_protected() {
        let read = |text: &str| MailServer::parse(&text.into(), "siesta@example.org");
        let good = read("smtps://ana%40example.org:s3c%2Fret@mail.example.org").unwrap();
        assert_eq!((good.host.as_str(), good.port, good.tls), ("mail.example.org", 465, MailTls::FromTheStart));
        let (user, password) = good.login.unwrap();
        assert_eq!((user.as_str(), password.expose_secret()), ("ana@example.org", "s3c/ret"));
        let plain = read("smtp://127.0.0.1:2525?tls=none").unwrap();
        assert_eq!((plain.port, plain.tls, plain.login.is_none()), (2525, MailTls::Off, true));
        assert_eq!(read("smtp://mail.example.org/").map(|server| (server.port, server.tls)), Ok((587, MailTls::AfterHello)));
        for bad in [
            "mail",
            "smtp://ana:geheim@",
            "smtps://geheim@mail",
            "smtp://ana:geheim@mail?tls=some",
            "smtps://ana:geheim%2@mail",
            "http://mail",
        ] {
            assert!(!read(bad).map(|_| ()).expect_err(bad).contains("geheim"), "it is not repeated");
        }
        assert!(MailServer::parse(&"smtp://mail".into(), "nobody").is_err());
    }
}
