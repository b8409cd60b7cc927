//! What the machine is like: the engine, images, room, ports, certificates, clock, the way to GitHub.

use std::{io, net::SocketAddr, path::Path, time::Duration};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Doctor, Finding};
use crate::{
    domain::{Plan, Timestamp},
    engine::ImageRef,
    host::Host,
};

/// How long GitHub or one of our own ports may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// A clock that differs more breaks one-time codes and the tokens of a GitHub App.
const SKEW: Duration = Duration::from_secs(60);

impl Doctor {
    pub(super) async fn docker(&self) -> Vec<Finding> {
        let socket = self.config.options.docker_socket.display();
        let info = match self.engine.info().await {
            Ok(info) => info,
            Err(error) => {
                let remedy = format!("Start Docker (systemctl start docker), and look whether {socket} is its socket (--docker-socket).");
                return vec![Finding::bad("docker", error.to_string(), remedy)];
            }
        };
        let driver = info.cgroup_driver.as_str();
        let says = format!("{} {} (API {}), cgroup v{} by {driver}", info.name, info.version, info.api_version, info.cgroup_version);
        let mut found = vec![match driver {
            "none" => {
                Finding::bad("docker", says, "Docker limits nothing without a cgroup driver. Run it as root, with systemd or cgroupfs.")
            }
            _ => Finding::fine("docker", says),
        }];
        found.extend(info.warnings.iter().map(|warning| match warning.starts_with("The engine cannot") {
            true => Finding::bad("docker", warning.as_str(), "Use a kernel and a Docker that can, or trust everybody who deploys here."),
            false => Finding::note("docker", warning.as_str(), ""),
        }));
        if !info.swap {
            let remedy = "script/swap zram gives the machine compressed swap; script/server --swap zram does at every start.";
            found.push(Finding::note(
                "swap",
                "Dynos have no swap, so idle apps cannot nap: they keep their memory until they sleep.",
                remedy,
            ));
        }
        found
    }

    /// The images everything is made of.
    pub(super) async fn images(&self) -> Vec<Finding> {
        let options = &self.config.options;
        let named =
            [("run", &options.stack_run, true), ("build", &options.stack_build, true), ("postgres", &options.stack_postgres, false)];
        let mut found = Vec::new();
        for (name, image, needed) in named {
            let remedy = "script/stack makes it; script/server does that and names it to the server.";
            let finding = match image.as_str() {
                "" if needed => {
                    Finding::bad("images", format!("No {name} image of the stack is named (SIESTA_STACK_RUN, SIESTA_STACK_BUILD)."), remedy)
                }
                "" => Finding::note("images", format!("No {name} image is named, so there are no such add-ons."), remedy),
                image => match self.engine.has_image(ImageRef(image.to_owned())).await {
                    Ok(true) => Finding::fine("images", format!("{image} is here.")),
                    Ok(false) if self.has_copy(image) => {
                        Finding::fine("images", format!("{image} is loaded from its copy when it is needed."))
                    }
                    Ok(false) => Finding::bad("images", format!("{image} is not here, and has no copy in the data folder."), remedy),
                    // Said already.
                    Err(_) => continue,
                },
            };
            found.push(finding);
        }
        found
    }

    fn has_copy(&self, image: &str) -> bool {
        let name = image.trim_start_matches("siesta/").replace(':', "-");
        self.config.options.data_dir.join("stack").join(format!("{name}.tar.zst")).is_file()
    }

    pub(super) fn disk(&self) -> Vec<Finding> {
        let data = &self.config.options.data_dir;
        if !data.exists() {
            return vec![Finding::note("disk", format!("{} is not there yet.", data.display()), "The server makes it at its first start.")];
        }
        vec![match Host::new(&self.config).has_disk() {
            Ok(()) => Finding::fine("disk", format!("{} has room.", data.display())),
            Err(why) => {
                let remedy = "Remove what is not needed (docker system df tells), destroy apps, or lower --disk-floor-mb.";
                Finding::bad("disk", why.to_string(), remedy)
            }
        }]
    }

    pub(super) fn memory(&self) -> Vec<Finding> {
        match Host::new(&self.config).would_fit(Plan::free().memory_bytes) {
            Ok(()) => vec![Finding::fine("memory", "Another dyno fits.")],
            // Disk is looked at by itself.
            Err(why) if why.to_string().contains("disk") => Vec::new(),
            Err(why) => vec![Finding::bad(
                "memory",
                why.to_string(),
                "Let apps sleep sooner (siesta plan set), or give the machine memory or swap.",
            )],
        }
    }

    /// Swap that is full makes a nap an out-of-memory kill.
    pub(super) fn swap_file(&self) -> Vec<Finding> {
        swap_use(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default()).into_iter().collect()
    }

    /// Our own ports: answered by the server that runs, else free.
    pub(super) async fn ports(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        for address in [self.config.options.listen, self.config.options.listen_tls] {
            found.push(match &self.running {
                Some(_) => answers(address).await,
                None => is_free(address).await,
            });
        }
        found
    }

    /// Files of certificates that are named.
    pub(super) fn certificates(&self) -> Vec<Finding> {
        let options = &self.config.options;
        let named = [("--build-ca", &options.build_ca), ("--egress-ca", &options.egress_ca), ("--tls-cert", &options.tls_cert)];
        let mut found: Vec<Finding> = named.into_iter().filter_map(|(flag, path)| Some(certificate_file(flag, path.as_ref()?))).collect();
        if let Err(why) = self.egress(&[]) {
            found.push(Finding::bad("egress", why, "Correct SIESTA_EGRESS_ALLOW or SIESTA_EGRESS_CA."));
        }
        found
    }

    /// Whether GitHub can be reached, and what it says the time is.
    pub(super) async fn github(&self) -> Vec<Finding> {
        let url = self.config.github_api_url();
        let unreachable = |why: String| {
            let remedy = "Pushes are not noticed and repositories not fetched meanwhile. Look at the network, a proxy or SIESTA_EGRESS_CA; \
                          without GitHub apps are deployed by git push, the heroku command and siesta deploy.";
            Finding::note("github", format!("{url} does not answer: {why}"), remedy)
        };
        // As the server does: the configured host itself needs no further permission.
        let own = url.parse::<reqwest::Url>().ok().and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
        let Ok(egress) = self.egress(own.as_slice()) else { return Vec::new() };
        let asked = async {
            let client = egress.http().timeout(PATIENCE).build().map_err(|error| error.to_string())?;
            let answer = client.head(&url).header("user-agent", "siesta-doctor").send().await.map_err(|error| root(&error))?;
            Ok::<_, String>(answer.headers().get("date").and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok()))
        };
        match asked.await {
            Err(why) => vec![unreachable(why)],
            Ok(date) => {
                let theirs = date.and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok()).map(|since| Timestamp(0) + since);
                let mut found = vec![Finding::fine("github", format!("{url} answers."))];
                found.extend(theirs.map(|theirs| clock(self.clock.now(), theirs, "GitHub")));
                found
            }
        }
    }
}

/// What a failure comes from in the end: the rest only says that a request failed.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Ours against another one.
fn clock(ours: Timestamp, theirs: Timestamp, whose: &str) -> Finding {
    let apart = ours.since(theirs).max(theirs.since(ours));
    if apart <= SKEW {
        return Finding::fine("clock", "The clock is right.");
    }
    let direction = if ours < theirs { "behind" } else { "ahead of" };
    let says = format!("The clock of this machine is {} seconds {direction} {whose}'s.", apart.as_secs());
    Finding::bad("clock", says, "Set it and keep it right: timedatectl set-ntp true, or chrony.")
}

fn swap_use(meminfo: &str) -> Option<Finding> {
    let kibibytes = |name: &str| -> Option<u64> {
        meminfo.lines().find_map(|line| line.strip_prefix(name)?.trim().trim_end_matches(" kB").trim().parse().ok())
    };
    let (total, free) = (kibibytes("SwapTotal:")?, kibibytes("SwapFree:")?);
    let used = total.saturating_sub(free) * 100 / total.max(1);
    (total > 0).then(|| match used {
        0..90 => Finding::fine("swap", format!("{} MB of swap, {used}% used.", total / 1024)),
        _ => Finding::note(
            "swap",
            format!("{} MB of swap are {used}% used.", total / 1024),
            "script/swap off, then script/swap zram with more MB.",
        ),
    })
}

async fn answers(address: SocketAddr) -> Finding {
    let reachable = match address.ip().is_unspecified() {
        true => SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), address.port()),
        false => address,
    };
    match tokio::time::timeout(PATIENCE, TcpStream::connect(reachable)).await {
        Ok(Ok(_)) => Finding::fine("ports", format!("{address} is answered.")),
        Ok(Err(error)) => {
            Finding::bad("ports", format!("{address} is not answered: {error}"), "Look into the server's log, then restart it.")
        }
        Err(_) => Finding::bad("ports", format!("{address} is not answered in time."), "Look into the server's log, then restart it."),
    }
}

async fn is_free(address: SocketAddr) -> Finding {
    match TcpListener::bind(address).await {
        Ok(_) => Finding::fine("ports", format!("{address} is free for the server.")),
        Err(error) => {
            let remedy = match error.kind() {
                io::ErrorKind::AddrInUse => {
                    "Another program has it (ss -ltnp tells which): end that, or choose another with --listen, --listen-tls."
                }
                io::ErrorKind::PermissionDenied => "Ports below 1024 are root's. Run the server as root or by its systemd socket.",
                _ => "Choose an address this machine has with --listen, --listen-tls.",
            };
            Finding::bad("ports", format!("{address} cannot be listened on: {error}"), remedy)
        }
    }
}

fn certificate_file(flag: &str, path: &Path) -> Finding {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if !certificates.is_empty() => {
            Finding::fine("ca", format!("{flag} {} holds {} certificates.", path.display(), certificates.len()))
        }
        Ok(_) => Finding::bad("ca", format!("{flag} {} holds no certificate.", path.display()), "Name a PEM file."),
        Err(error) => Finding::bad("ca", format!("{flag} {} cannot be read: {error}", path.display()), "Name a PEM file that is there."),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    #[test]
    fn a_clock_that_is_wrong_is_named_with_its_direction() {
        let right = Timestamp::from_secs(1_430_000_000);
        assert_eq!(clock(right, right + Duration::from_secs(59), "GitHub").verdict, Verdict::Fine);
        let behind = clock(right, right + Duration::from_secs(90), "GitHub");
        assert_eq!((behind.verdict, behind.says.as_str()), (Verdict::Bad, "The clock of this machine is 90 seconds behind GitHub's."));
        assert!(clock(right + Duration::from_secs(3600), right, "GitHub").says.contains("3600 seconds ahead of"));
    }

    #[test]
    fn swap_that_is_full_is_told() {
        let meminfo = |free: u32| format!("MemTotal: 100 kB\nSwapTotal:  1024000 kB\nSwapFree:  {free} kB\n");
        assert_eq!(swap_use(&meminfo(512_000)).map(|found| found.verdict), Some(Verdict::Fine));
        assert_eq!(swap_use(&meminfo(1_000)).map(|found| found.verdict), Some(Verdict::Note));
        assert_eq!(swap_use("SwapTotal: 0 kB\nSwapFree: 0 kB\n"), None);
    }
}
