//! The door: a relay in a small container joins the networks of the apps with a database attached.
//! It asks here before it lets somebody in, so that a sleeping server wakes and a used one stays awake.

use std::{collections::BTreeMap, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpStream, UnixListener, UnixStream},
};

use crate::{
    addons::{
        AddonError, AddonsParts,
        keyvalue::KeyValue,
        postgres::{Postgres, ensure_running, find},
        work::password_of,
    },
    config::PostgresTls,
    domain::app::App,
    engine::{
        Container, ContainerId, ContainerSpec, EngineError, NetworkSpec,
        spec::{self, AddonInput, NetworkRange},
    },
};

/// Where dynos find it: the relay's name in every network it joins.
pub const HOST: &str = "postgres.siesta";
const NAME: &str = "relay";
/// Its certificate and key, in the folder of sockets.
const CERTIFICATE: &str = "relay.pem";
/// A line of the relay: a word and a role.
const LINE_BYTES: u64 = 200;
const MEMORY: i64 = 96 * 1024 * 1024;

/// Where it listens.
const PORT: u16 = 5432;
/// A relay that was just started is waited for: dynos may follow at once.
const BOOT: Duration = Duration::from_secs(20);

/// An app with the roles and databases that may come in by its network.
pub struct Entrance {
    pub app: App,
    pub pairs: Vec<(String, String)>,
}

/// The relay.
pub struct Door {
    parts: AddonsParts,
    postgres: Arc<Postgres>,
    keyvalue: Arc<KeyValue>,
    settling: tokio::sync::Mutex<Known>,
}

/// The relay as it was seen last: looked for once, then asked for by its id.
#[derive(Default)]
struct Known {
    looked: bool,
    id: Option<ContainerId>,
}

impl Door {
    pub fn new(parts: AddonsParts, postgres: Arc<Postgres>, keyvalue: Arc<KeyValue>) -> Door {
        Door { parts, postgres, keyvalue, settling: tokio::sync::Mutex::default() }
    }

    /// Makes the relay stand in the networks of these apps and in no other. Without any there is none.
    pub async fn settle(&self, entrances: &[Entrance]) -> Result<(), AddonError> {
        let mut known = self.settling.lock().await;
        let found = match known.id.clone() {
            Some(id) => self.parts.engine.inspect(id).await?,
            None if known.looked && entrances.is_empty() => None,
            None => find(&self.parts, NAME).await?,
        };
        known.looked = true;
        let networks = self.networks(entrances)?;
        let Some(first) = networks.first() else {
            if let Some(relay) = found {
                self.parts.engine.remove(relay.id).await?;
            }
            known.id = None;
            return Ok(());
        };
        let relay = match found {
            Some(relay) if relay.running => relay,
            found => self.start(first, found).await?,
        };
        known.id = Some(relay.id.clone());
        for network in networks.iter().filter(|network| !relay.addresses.contains_key(&network.name)) {
            self.parts.engine.ensure_network(network.clone()).await?;
            self.parts.engine.join_network(relay.id.clone(), network.name.clone(), HOST.to_owned()).await?;
        }
        for name in relay.addresses.keys().filter(|name| networks.iter().all(|network| network.name != **name)) {
            self.parts.engine.leave_network(relay.id.clone(), name.clone()).await?;
        }
        let relay = self.parts.engine.inspect(relay.id).await?.ok_or(EngineError::NoSuchContainer)?;
        self.tell(&relay, entrances, &networks)?;
        Ok(())
    }

    /// Where this machine reaches the databases of an app: as its dynos do.
    pub async fn address(&self, app: &App) -> Result<SocketAddr, AddonError> {
        let range: NetworkRange = self.parts.config.options.network_range.parse()?;
        let network = spec::network_spec(&self.parts.instance, app.id, app.number, range)?.name;
        let id = self.settling.lock().await.id.clone();
        let relay = match id {
            Some(id) => self.parts.engine.inspect(id).await?.filter(|relay| relay.running),
            None => None,
        };
        let address = relay.and_then(|relay| relay.addresses.get(&network).copied()).ok_or(AddonError::ServerDown)?;
        Ok((address, PORT).into())
    }

    fn networks(&self, entrances: &[Entrance]) -> Result<Vec<NetworkSpec>, AddonError> {
        let range: NetworkRange = self.parts.config.options.network_range.parse()?;
        let network = |entrance: &Entrance| spec::network_spec(&self.parts.instance, entrance.app.id, entrance.app.number, range);
        Ok(entrances.iter().map(network).collect::<Result<_, _>>()?)
    }

    /// The first network is entered anew, so that it knows the relay's name as the others do.
    async fn start(&self, first: &NetworkSpec, found: Option<Container>) -> Result<Container, AddonError> {
        self.make_certificate()?;
        self.parts.engine.ensure_network(first.clone()).await?;
        let relay = ensure_running(&self.parts, self.spec(&first.name)?, found).await?;
        self.parts.engine.leave_network(relay.id.clone(), first.name.clone()).await?;
        self.parts.engine.join_network(relay.id.clone(), first.name.clone(), HOST.to_owned()).await?;
        let relay = self.parts.engine.inspect(relay.id).await?.ok_or(EngineError::NoSuchContainer)?;
        if let Some(address) = relay.addresses.get(&first.name) {
            listens((*address, PORT).into()).await;
        }
        Ok(relay)
    }

    /// What the relay shows clients that want TLS (`sslmode=require`): signed by itself, made once. Behind
    /// TLS of a server's own it offers none: clients would bind their logins to the wrong one.
    fn make_certificate(&self) -> Result<(), AddonError> {
        let path = self.postgres.socket_folder().join(CERTIFICATE);
        if path.exists() || self.parts.config.postgres.as_ref().is_some_and(|server| server.tls != PostgresTls::Off) {
            return Ok(());
        }
        let made = rcgen::generate_simple_self_signed(vec![HOST.to_owned()]).map_err(std::io::Error::other)?;
        // The relay is another user; the folder around is closed to everybody else.
        write_for_all(&path, &format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem()))
    }

    fn spec(&self, network: &str) -> Result<ContainerSpec, AddonError> {
        Ok(spec::addon_spec(&AddonInput {
            instance: &self.parts.instance,
            name: NAME,
            image: self.postgres.image().ok_or(AddonError::NotOffered)?,
            command: vec!["/opt/siesta/relay".to_owned()],
            env: Vec::new(),
            uid: spec::RELAY_UID,
            network: Some(network.to_owned()),
            folders: vec![self.postgres.mount("run", "/run/postgres", true)],
            memory_bytes: MEMORY,
            pids: 32,
            stop_signal: "SIGTERM",
            stop_seconds: 1,
        }))
    }

    /// Writes down who may come in where: the relay reads it when it changes.
    fn tell(&self, relay: &Container, entrances: &[Entrance], networks: &[NetworkSpec]) -> Result<(), AddonError> {
        let doors: BTreeMap<String, &Vec<(String, String)>> = networks
            .iter()
            .zip(entrances)
            .filter_map(|(network, entrance)| Some((relay.addresses.get(&network.name)?.to_string(), &entrance.pairs)))
            .collect();
        let (text, path) = (json!(doors).to_string(), self.postgres.socket_folder().join("doors.json"));
        if std::fs::read_to_string(&path).is_ok_and(|known| known == text) {
            return Ok(());
        }
        write_for_all(&path, &text)
    }

    /// Binds the socket the relay asks at. One left by a server that was killed is replaced.
    pub fn listen(&self) -> std::io::Result<UnixListener> {
        let path = self.postgres.socket_folder().join("wake.sock");
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777))?;
        Ok(listener)
    }

    /// Answers the relay for ever.
    pub async fn answer(self: Arc<Self>, listener: UnixListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let me = self.clone();
                    self.parts.tasks.spawn(async move {
                        // A relay that is gone needs no answer.
                        let _ = me.serve(stream).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the relay's socket failed");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }

    async fn wake_store(&self, role: &str) -> Result<(), AddonError> {
        let addons = self.parts.reader.addons().await?;
        let addon = addons.into_iter().find(|addon| addon.role == role).ok_or(AddonError::NoSuchAddon)?;
        self.keyvalue.ensure_up(&addon, &password_of(&self.parts, &addon).await?).await
    }

    /// One visitor, as long as the relay keeps its line open.
    async fn serve(&self, stream: UnixStream) -> std::io::Result<()> {
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        let (mut hold, mut store_hold, mut store) = (None, None, None);
        loop {
            let mut line = String::new();
            (&mut reader).take(LINE_BYTES).read_line(&mut line).await?;
            let (word, role) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
            let answer = match word {
                "hold" if KeyValue::is_role(role) => {
                    store_hold = Some(self.keyvalue.hold(role).await);
                    store = Some(role.to_owned());
                    "ok\n".to_owned()
                }
                "wake" if store_hold.is_some() => match self.wake_store(store.as_deref().unwrap_or_default()).await {
                    Ok(()) => "up\n".to_owned(),
                    Err(error) => format!("no {error}\n"),
                },
                "hold" => {
                    hold = Some(self.postgres.hold(role).await);
                    "ok\n".to_owned()
                }
                "wake" if hold.is_some() => match self.postgres.ensure_up().await {
                    Ok(()) => "up\n".to_owned(),
                    Err(error) => format!("no {error}\n"),
                },
                _ => return Ok(()),
            };
            writer.write_all(answer.as_bytes()).await?;
        }
    }
}

/// Waits until somebody listens there, for a while: one that comes later is found by those who try again.
async fn listens(address: SocketAddr) {
    let knock = async {
        while tokio::time::timeout(Duration::from_secs(1), TcpStream::connect(address)).await.is_ok_and(|knocked| knocked.is_err()) {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    if tokio::time::timeout(BOOT, knock).await.is_err() {
        tracing::warn!(%address, "the relay of the databases does not listen yet");
    }
}

/// Writes a file that other users may read: whole or not at all.
fn write_for_all(path: &Path, text: &str) -> Result<(), AddonError> {
    let part = path.with_extension("part");
    std::fs::write(&part, text)?;
    std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o644))?;
    Ok(std::fs::rename(&part, path)?)
}
