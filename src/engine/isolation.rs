//! Proves at the server's start that a dyno cannot reach this machine (decisions.md 3): a container
//! on a network like an app's tries a door that the server has opened, and must fail.
//!
//! Four knocks, so that a failure to connect means a closed way and not a broken probe: the server
//! reaches its own door, the container reaches its own, the server reaches the container's, and the
//! container must not reach the server's.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use futures_util::StreamExt;
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use super::{ContainerId, Engine, EngineError, ImageRef, NetworkRange, NetworkSpec, spec};
use crate::domain::AppId;

/// Occurs in the probe's command.
pub const PROBE_MARK: &str = "siesta isolation probe";
/// Where the container listens.
const PORT: u16 = 5000;
/// One knock of the server.
const KNOCK: Duration = Duration::from_secs(3);
/// The whole probe on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says `own open` and `host open` or `host closed`, then waits to be knocked at.
const PROGRAM: &str = r#"# siesta isolation probe
import socket, sys
door = socket.create_server(("0.0.0.0", 5000))
def reach(*address):
    try:
        socket.create_connection(address, 3).close()
        return "open"
    except OSError:
        return "closed"
print("own", reach("127.0.0.1", 5000), flush=True)
print("host", reach(sys.argv[1], int(sys.argv[2])), flush=True)
while True:
    door.accept()[0].close()
"#;

/// Why dynos should not run here.
#[derive(Debug, thiserror::Error)]
pub enum IsolationFault {
    #[error(
        "Apps on this machine can reach the machine itself: a container connected to {0}, which should be closed to it. \
         Run script/firewall as root, or start with --accept-open-network if you know who can deploy here."
    )]
    Open(SocketAddr),
    /// Nothing is known: something else than the firewall stood in the way.
    #[error("Whether apps are cut off from this machine could not be proven: {0}")]
    Unproven(String),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

fn unproven(what: &str) -> impl Fn(std::io::Error) -> IsolationFault + '_ {
    move |error| IsolationFault::Unproven(format!("{what}: {error}"))
}

/// Runs the probe with the stack's run image, on the network of number 0, which no app has.
/// Removes container and network again.
pub async fn probe_isolation(engine: &dyn Engine, instance: &str, image: ImageRef, range: NetworkRange) -> Result<(), IsolationFault> {
    let network =
        spec::network_spec(instance, AppId(Uuid::nil()), 0, range).map_err(|fault| IsolationFault::Unproven(fault.to_string()))?;
    engine.ensure_network(network.clone()).await?;
    let outcome = probe_on(engine, instance, image, &network).await;
    // Kept when it is in use: another server of this instance probes too.
    match engine.remove_network(network.name).await {
        Ok(()) | Err(EngineError::Refused(_)) => outcome,
        Err(error) => outcome.and(Err(error.into())),
    }
}

async fn probe_on(engine: &dyn Engine, instance: &str, image: ImageRef, network: &NetworkSpec) -> Result<(), IsolationFault> {
    let door = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.map_err(unproven("no port for the probe"))?;
    let port = door.local_addr().map_err(unproven("no port for the probe"))?.port();
    let probe = spec::probe_spec(&spec::ProbeInput {
        instance,
        name: &port.to_string(),
        image,
        command: ["python3", "-c", PROGRAM, &network.gateway().to_string(), &port.to_string()].map(str::to_owned).to_vec(),
        network: network.name.clone(),
    });
    let id = engine.create(probe).await?;
    let outcome = tokio::time::timeout(PATIENCE, knock(engine, &id, network, &door)).await;
    engine.remove(id).await?;
    outcome.unwrap_or_else(|_| Err(IsolationFault::Unproven(format!("the probe took longer than {} seconds", PATIENCE.as_secs()))))
}

async fn knock(engine: &dyn Engine, id: &ContainerId, network: &NetworkSpec, door: &TcpListener) -> Result<(), IsolationFault> {
    let port = door.local_addr().map_err(unproven("the probe's door"))?.port();
    let target = SocketAddr::from((network.gateway(), port));
    within_a_knock("this machine's own door", TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await?;
    let started = engine.start(id.clone()).await?;
    let address = started.address.ok_or_else(|| IsolationFault::Unproven("the probe has no address".to_owned()))?;
    let visitors = async {
        loop {
            match door.accept().await {
                Ok((_, peer)) if in_network(peer.ip(), network) => return IsolationFault::Open(target),
                Ok(_) => {}
                Err(error) => return IsolationFault::Unproven(format!("the probe's door broke: {error}")),
            }
        }
    };
    tokio::select! {
        biased;
        fault = visitors => Err(fault),
        answer = answers(engine, id, SocketAddr::new(address, PORT), target) => answer,
    }
}

/// Reads what the container found, then knocks at its door.
async fn answers(engine: &dyn Engine, id: &ContainerId, container: SocketAddr, door: SocketAddr) -> Result<(), IsolationFault> {
    let mut lines = engine.logs(id.clone(), None).await?;
    let mut own_is_open = false;
    let mut last = String::new();
    while let Some(line) = lines.next().await {
        last = String::from_utf8_lossy(&line?.bytes).into_owned();
        match last.as_str() {
            "own open" => own_is_open = true,
            "host open" => return Err(IsolationFault::Open(door)),
            "host closed" if own_is_open => {
                within_a_knock("the way to a container", TcpStream::connect(container)).await?;
                return Ok(());
            }
            _ => {}
        }
    }
    Err(IsolationFault::Unproven(format!("the probe ended too early. Its last words: {last}")))
}

async fn within_a_knock(what: &str, connecting: impl Future<Output = std::io::Result<TcpStream>>) -> Result<TcpStream, IsolationFault> {
    match tokio::time::timeout(KNOCK, connecting).await {
        Ok(connected) => connected.map_err(unproven(what)),
        Err(_) => Err(IsolationFault::Unproven(format!("{what}: no answer"))),
    }
}

fn in_network(peer: IpAddr, network: &NetworkSpec) -> bool {
    let IpAddr::V4(peer) = peer else { return false };
    let distance = u32::from(peer) ^ u32::from(network.subnet);
    distance >> (32 - u32::from(network.prefix)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fake::{FakeEngine, Script};

    const RANGE: &str = "10.215.0.0/16";

    async fn probe(script: Option<Script>) -> Result<(), IsolationFault> {
        let engine = FakeEngine::new("test");
        engine.add_image("siesta/run:1");
        if let Some(script) = script {
            engine.on(PROBE_MARK, script);
        }
        let outcome = probe_isolation(&engine, "test", ImageRef("siesta/run:1".to_owned()), RANGE.parse().unwrap()).await;
        assert!(engine.containers().is_empty() && engine.networks().is_empty(), "it leaves nothing");
        outcome
    }

    #[tokio::test]
    async fn a_closed_machine_passes() {
        probe(None).await.unwrap();
    }

    #[tokio::test]
    async fn a_reached_machine_is_open() {
        let outcome = probe(Some(Script::default().says("own open").says("host open"))).await;
        assert!(matches!(outcome, Err(IsolationFault::Open(_))), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_probe_without_its_positive_controls_proves_nothing() {
        let no_own = Script::exits(1).says("own closed").says("host closed").says_err("Traceback");
        let no_way_back = Script::default().never_listens().says("own open").says("host closed");
        for script in [no_own, no_way_back, Script::exits(127).says_err("python3: not found")] {
            let outcome = probe(Some(script)).await;
            assert!(matches!(outcome, Err(IsolationFault::Unproven(_))), "{outcome:?}");
        }
    }

    #[test]
    fn visitors_from_the_network_are_known_by_their_address() {
        let network = spec::network_spec("test", AppId(Uuid::nil()), 0, RANGE.parse().unwrap()).unwrap();
        let at = |place: u32| IpAddr::from(Ipv4Addr::from(u32::from(network.subnet) + place));
        assert!(in_network(at(2), &network) && in_network(at(14), &network));
        assert!(!in_network(at(16), &network) && !in_network("127.0.0.1".parse().unwrap(), &network));
    }
}
