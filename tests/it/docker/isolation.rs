//! What a dyno and a build can reach and use, asked from inside of each on real Docker. Everything
//! that is closed stands beside the same thing open (security.md 4.2, T24).

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    process::Command,
    sync::OnceLock,
};

use siesta::engine::{ContainerId, ImageRef, NetworkSpec, isolation::probe_isolation};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::tiny::{socket, with_docker};
use crate::engine_contract::{Bench, exit};

const RANGE: &str = "10.214.0.0/16";

/// Puts the table in place, as `script/server` does.
#[expect(clippy::disallowed_methods, reason = "a test runs the project's script")]
pub fn firewall() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/script/firewall");
        let done = |arguments: &[&str]| Command::new(script).args(arguments).status().unwrap().success();
        // Not again where it is: that would reset the counters under another run.
        if !done(&["--check"]) {
            assert!(done(&[]) && done(&["--check"]));
        }
    });
}

/// How many packets a rule of the table has stopped.
#[expect(clippy::disallowed_methods, reason = "a test reads the firewall's counters")]
fn stopped(rule: &str) -> u64 {
    let output = Command::new("nft").args(["list", "table", "inet", "siesta"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| line.contains(&format!("comment \"{rule}\"")));
    let packets = lines.filter_map(|line| line.split("counter packets ").nth(1)?.split(' ').next()?.parse::<u64>().ok());
    packets.sum()
}

/// Answers every connection with a word of HTTP.
async fn answer(listener: &TcpListener) -> ! {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\ncontent-length: 4\r\n\r\nhost").await;
    }
}

/// This machine's address towards the world, where it has one.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.254:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// A web server at port 5000 that also tries `targets` and says `name open` or `name closed`.
fn visitor(targets: &[(&str, String)]) -> String {
    let tries: String = targets.iter().map(|(name, address)| format!("try {name} {address}; ")).collect();
    format!(
        "try() {{ if timeout 4 wget -q -O /dev/null http://$2/; then echo $1 open; else echo $1 closed; fi; }}; \
         echo hello > /app/index.html; httpd -p 5000 -h /app; \
         until wget -q -O /dev/null http://127.0.0.1:5000/; do true; done 2>/dev/null; \
         {tries} echo done; sleep 1000"
    )
}

async fn address_of(bench: &Bench, id: &ContainerId) -> IpAddr {
    bench.hears(id, "out done").await;
    bench.engine.inspect(id.clone()).await.unwrap().unwrap().address.unwrap()
}

async fn is_open(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_ok()
}

#[tokio::test]
async fn a_dyno_and_a_build_reach_their_own_app_and_nothing_else_of_ours() {
    firewall();
    with_docker(async |bench| {
        let other = Bench::new(bench.engine.clone(), &bench.instance, bench.image.clone(), RANGE).await;
        other.run(async |other| reach_from_both_kinds(&bench, &other).await).await;
    })
    .await;
}

async fn reach_from_both_kinds(bench: &Bench, other: &Bench) {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stranger = address_of(other, &other.dyno(&visitor(&[])).await).await;
    let twin = address_of(bench, &bench.dyno(&visitor(&[])).await).await;
    let hosts: Vec<IpAddr> =
        [Some(bench.network.gateway().into()), Some(other.network.gateway().into()), outer_address()].into_iter().flatten().collect();
    let mut targets = vec![
        ("own", "127.0.0.1:5000".to_owned()),
        ("twin", format!("{twin}:5000")),
        ("stranger", format!("{stranger}:5000")),
        ("metadata", "169.254.169.254:80".to_owned()),
        ("mail", "192.0.2.250:25".to_owned()),
    ];
    targets.extend(hosts.iter().map(|host| ("host", format!("{host}:{port}"))));
    let mut expected = vec!["out own open", "out twin open", "out stranger closed", "out metadata closed", "out mail closed"];
    expected.extend(hosts.iter().map(|_| "out host closed"));
    let rules = ["app to host", "app to app", "app to private network", "app to mail"];
    let inside = async {
        for kind in ["dyno", "build"] {
            let before = rules.map(stopped);
            let shell = visitor(&targets);
            let id = if kind == "dyno" { bench.dyno(&shell).await } else { bench.start(&shell).await };
            let mut said = bench.hears(&id, "out done").await;
            said.retain(|line| line.starts_with("out "));
            assert_eq!(said, expected, "from inside a {kind}");
            for (rule, before) in rules.into_iter().zip(before) {
                assert!(stopped(rule) > before, "the rule `{rule}` stopped the {kind}");
            }
        }
        // The same doors are open to this machine.
        assert!(is_open((stranger, 5000).into()).await && is_open((twin, 5000).into()).await);
        for host in &hosts {
            assert!(is_open((*host, port).into()).await);
        }
    };
    tokio::select! {
        () = inside => {}
        _ = answer(&listener) => {}
    }
}

#[tokio::test]
async fn a_bridge_the_firewall_does_not_know_is_open_to_this_machine() {
    firewall();
    with_docker(async |bench| {
        let network = NetworkSpec { bridge: bench.network.bridge.replace("sst", "xst"), ..bench.network.clone() };
        bench.engine.remove_network(network.name.clone()).await.unwrap();
        bench.engine.ensure_network(network.clone()).await.unwrap();
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let host = format!("{}:{}", network.gateway(), listener.local_addr().unwrap().port());
        let inside = async {
            let id = bench.dyno(&visitor(&[("host", host)])).await;
            assert_eq!(bench.hears(&id, "out done").await, ["out host open"]);
        };
        tokio::select! {
            () = inside => {}
            _ = answer(&listener) => {}
        }
    })
    .await;
}

#[tokio::test]
async fn the_probe_of_the_server_passes_behind_the_firewall() {
    firewall();
    with_docker(async |bench| {
        let client = bollard::Docker::connect_with_unix(&socket(), 30, bollard::API_DEFAULT_VERSION).unwrap();
        let options = bollard::query_parameters::ListImagesOptionsBuilder::new()
            .filters(&[("reference".to_owned(), vec!["siesta/run".to_owned()])].into())
            .build();
        let images = client.list_images(Some(options)).await.unwrap();
        let known = images.iter().flat_map(|image| image.repo_tags.first()).next().cloned();
        let image = std::env::var("SIESTA_STACK_RUN").ok().or(known).expect("the stack's run image (script/stack makes it)");
        // A part of the range that no other run uses now.
        let range = format!("10.216.{}.0/24", rand::random::<u8>()).parse().unwrap();
        probe_isolation(bench.engine.as_ref(), &bench.instance, ImageRef(image), range).await.unwrap();
        assert_eq!(bench.engine.list().await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_dyno_is_nobody_and_has_no_privileges() {
    with_docker(async |bench| {
        let shell = "id -u; id -g; grep -E '^(Cap|NoNewPrivs)' /proc/self/status | tr '\\t' ' '; \
            ulimit -n; ulimit -c; touch /etc/x 2>/dev/null || echo /etc closed; touch /app/x && echo /app open; \
            arping -c 1 -I eth0 127.0.0.1 2>&1 | grep -o 'not permitted'; cat /proc/1/comm";
        for id in [bench.dyno(shell).await, bench.start(shell).await] {
            assert_eq!(
                bench.lines(&id, None).await,
                [
                    "out 20007",
                    "out 20007",
                    "out CapInh: 0000000000000000",
                    "out CapPrm: 0000000000000000",
                    "out CapEff: 0000000000000000",
                    "out CapBnd: 0000000000000000",
                    "out CapAmb: 0000000000000000",
                    "out NoNewPrivs: 1",
                    "out 8192",
                    "out 0",
                    "out /etc closed",
                    "out /app open",
                    "out not permitted",
                    "out docker-init",
                ]
            );
        }
    })
    .await;
}

#[tokio::test]
async fn memory_and_processes_are_capped() {
    with_docker(async |bench| {
        let cap = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; ";
        let forks = "(for i in $(seq 300); do sleep 1000 & done) 2>/dev/null && echo no limit; echo end";
        let id = bench.dyno(&format!("{cap}{forks}")).await;
        let lines = bench.lines(&id, None).await;
        assert_eq!(lines, [format!("out {}", 512 << 20), "out end".to_owned()]);
        let id =
            bench.dyno("head -c 400000000 /dev/zero | tail -c 400000000 | head -c 1 > /dev/null; echo fits; exec tail /dev/zero").await;
        let ended = bench.engine.wait(id.clone()).await.unwrap();
        assert!(ended.out_of_memory && ended != exit(0), "{ended:?}");
        assert_eq!(bench.lines(&id, None).await, ["out fits"]);
        let id = bench.dyno("head -c 100000000 /dev/zero > /tmp/big || echo full; true").await;
        assert!(bench.lines(&id, None).await.contains(&"out full".to_owned()), "/tmp is small");
    })
    .await;
}

#[tokio::test]
async fn the_live_container_is_denied_by_default() {
    with_docker(async |bench| {
        let client = bollard::Docker::connect_with_unix(&socket(), 30, bollard::API_DEFAULT_VERSION).unwrap();
        for id in [bench.dyno("sleep 1000").await, bench.start("sleep 1000").await] {
            let found = client.inspect_container(&id.0, None).await.unwrap();
            let host = found.host_config.unwrap();
            assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
            assert!(host.cap_add.unwrap_or_default().is_empty() && host.privileged == Some(false));
            assert_eq!(host.security_opt, Some(vec!["no-new-privileges".to_owned()]));
            assert!(host.binds.unwrap_or_default().is_empty() && found.mounts.unwrap_or_default().is_empty());
            assert!(host.devices.unwrap_or_default().is_empty() && host.port_bindings.unwrap_or_default().is_empty());
            assert_eq!(host.network_mode.as_deref(), Some(bench.network.name.as_str()));
            assert_eq!(host.ipc_mode.as_deref(), Some("private"));
            assert!([host.pid_mode, host.uts_mode, host.userns_mode].into_iter().all(|mode| mode.unwrap_or_default().is_empty()));
            assert!(host.pids_limit.unwrap() > 0 && host.memory.unwrap() > 0 && host.memory_swap == host.memory);
            assert_eq!(host.restart_policy.unwrap().name.unwrap().to_string(), "no");
            let config = found.config.unwrap();
            assert_eq!(config.user, Some(format!("{0}:{0}", bench.uid())));
            assert!(config.exposed_ports.unwrap_or_default().is_empty());
        }
    })
    .await;
}
