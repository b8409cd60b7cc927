//! Mail to people, where the operator has set a mail server (`SIESTA_SMTP`). What shall be sent is a row
//! first, so nobody who writes a letter waits for a server; `deliver` sends what is due, one after another,
//! and tries again for a while what did not work. A mail server that is dead is a line in the log.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::header::ContentType,
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
        extension::ClientId,
    },
};
use secrecy::ExposeSecret as _;

use crate::{
    clock::Clock,
    config::{Config, MailServer, MailTls},
    scheduler::Activator,
    store::{Reader, StoreError, Writer, letters::LetterRow},
};

/// After how long a letter is tried once more; then it is given up.
const AGAIN: [Duration; 5] = [
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(3600),
    Duration::from_secs(3 * 3600),
];
/// Letters that may wait at once.
const MOST: u32 = 1000;
/// Patience with each answer of the mail server, and with a whole letter.
const ANSWER: Duration = Duration::from_secs(15);
const LETTER: Duration = Duration::from_secs(60);

/// The owner of the queue. Cheap to clone.
#[derive(Clone)]
pub struct Mail {
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
    reader: Reader,
    writer: Writer,
    activator: Activator,
    /// Held by whoever sends.
    sending: Arc<tokio::sync::Mutex<()>>,
}

/// Why a letter was not sent.
#[derive(Debug, thiserror::Error)]
enum Unsent {
    /// Another try would end the same.
    #[error("{0}")]
    Never(String),
    #[error("{0}")]
    NotNow(String),
}

impl Mail {
    pub fn new(config: Arc<Config>, clock: Arc<dyn Clock>, reader: Reader, writer: Writer) -> Mail {
        Mail { config, clock, reader, writer, activator: Activator::new(), sending: Arc::default() }
    }

    /// Wakes `deliver` before its time.
    pub fn activator(&self) -> Activator {
        self.activator.clone()
    }

    /// Puts a letter into the queue; without a mail server it is no letter. A failure is logged: whoever
    /// writes one has other things to do.
    pub async fn post(&self, recipient: &str, subject: &str, text: &str) {
        if self.config.mail.is_none() {
            return;
        }
        match self.writer.add_letter((recipient, subject, text), MOST, self.clock.now()).await {
            Ok(true) => self.activator.activate(),
            Ok(false) => tracing::error!(subject, "a letter is not sent: {MOST} wait already. Look at SIESTA_SMTP"),
            Err(error) => tracing::error!(subject, %error, "a letter is not sent"),
        }
    }

    /// Sends the letters that are due. The server calls it now and then and whenever `activator` says so.
    pub async fn deliver(&self) {
        let Some(server) = self.config.mail.clone() else { return };
        let _sending = self.sending.lock().await;
        if let Err(error) = self.work_off(&server).await {
            tracing::error!(%error, "letters could not be read");
        }
    }

    async fn work_off(&self, server: &MailServer) -> Result<(), StoreError> {
        while let Some(letter) = self.reader.due_letter(self.clock.now()).await? {
            let sent = tokio::time::timeout(LETTER, self.send(server, &letter)).await;
            match sent.unwrap_or_else(|_| Err(Unsent::NotNow("it took too long".to_owned()))) {
                Ok(()) => {
                    tracing::info!(subject = letter.subject, "a letter was sent");
                    self.writer.drop_letter(letter.id).await?;
                }
                Err(Unsent::NotNow(why)) if (letter.attempts as usize) < AGAIN.len() => {
                    tracing::warn!(subject = letter.subject, why, "the mail server did not take a letter; it is tried again");
                    let again = self.clock.now() + AGAIN[letter.attempts as usize];
                    self.writer.put_off_letter(letter.id, &why, again).await?;
                    // Others would wait for the same dead server.
                    break;
                }
                Err(why) => {
                    tracing::error!(subject = letter.subject, %why, "a letter is given up. Look at SIESTA_SMTP");
                    self.writer.drop_letter(letter.id).await?;
                }
            }
        }
        Ok(())
    }

    async fn send(&self, server: &MailServer, letter: &LetterRow) -> Result<(), Unsent> {
        let (message, transport) = (self.message(server, letter)?, self.transport(server)?);
        match transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_permanent() => Err(Unsent::Never(told(&error))),
            Err(error) => Err(Unsent::NotNow(told(&error))),
        }
    }

    fn message(&self, server: &MailServer, letter: &LetterRow) -> Result<Message, Unsent> {
        let never = |error: &dyn std::error::Error| Unsent::Never(told(error));
        let millis = u64::try_from(letter.created_at.millis()).unwrap_or(0);
        Message::builder()
            .from(server.from.parse().map_err(|error: lettre::address::AddressError| never(&error))?)
            .to(letter.recipient.parse().map_err(|error: lettre::address::AddressError| never(&error))?)
            .subject(letter.subject.as_str())
            .date(UNIX_EPOCH + Duration::from_millis(millis))
            // The same for every try: one that came though its answer was lost is known again.
            .message_id(Some(format!("<{}.{millis}@{}>", letter.id, self.config.dashboard_host())))
            .header(ContentType::TEXT_PLAIN)
            .body(letter.body.clone())
            .map_err(|error| never(&error))
    }

    fn transport(&self, server: &MailServer) -> Result<AsyncSmtpTransport<Tokio1Executor>, Unsent> {
        let not_now = |error: &dyn std::error::Error| Unsent::NotNow(told(error));
        let tls = match server.tls {
            MailTls::Off => Tls::None,
            kind => {
                let mut parameters = TlsParameters::builder(server.host.clone());
                if let Some(path) = &self.config.options.egress_ca {
                    let pem = std::fs::read(path).map_err(|error| not_now(&error))?;
                    parameters = parameters.add_root_certificate(Certificate::from_pem(&pem).map_err(|error| not_now(&error))?);
                }
                let parameters = parameters.build().map_err(|error| not_now(&error))?;
                if kind == MailTls::FromTheStart { Tls::Wrapper(parameters) } else { Tls::Required(parameters) }
            }
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server.host.clone())
            .port(server.port)
            .tls(tls)
            .timeout(Some(ANSWER))
            .hello_name(ClientId::Domain(self.config.dashboard_host().to_owned()));
        if let Some((user, password)) = &server.login {
            builder = builder.credentials(Credentials::new(user.clone(), password.expose_secret().to_owned()));
        }
        Ok(builder.build())
    }
}

/// An error with its causes, in one line.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source()).map(ToString::to_string);
    std::iter::once(error.to_string()).chain(causes).collect::<Vec<_>>().join(": ")
}
