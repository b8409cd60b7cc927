//! The one constructor of container specs: what a dyno, a build, an image's assembly and the
//! isolation probe may be, deny by default (security.md SR3, SR21). Values in, values out; the
//! engine only translates, and tests snapshot both.
//!
//! A spec can be read by everyone and made here alone: `ContainerSpec` has one private field, and
//! the functions below are the only ones that fill it.

use std::{collections::BTreeMap, fmt, net::Ipv4Addr, ops::Deref, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    domain::{AppId, BuildId, DynoId, DynoName, Plan, ReleaseId},
    engine::ImageRef,
};

/// Label keys and values. Every container, network, volume and image of ours carries
/// `siesta.instance`: nothing without it is ever touched.
pub type Labels = BTreeMap<String, String>;

pub const LABEL_INSTANCE: &str = "siesta.instance";
pub const LABEL_APP: &str = "siesta.app";
/// `dyno`, `one-off`, `build`, `assembly`, `probe`, `addon`, `network` or `cache`.
pub const LABEL_KIND: &str = "siesta.kind";
/// The kind of a one-off dyno, the release phase's among them.
pub const KIND_ONE_OFF: &str = "one-off";
pub const LABEL_DYNO: &str = "siesta.dyno";
pub const LABEL_DYNO_ID: &str = "siesta.dyno-id";
pub const LABEL_RELEASE: &str = "siesta.release";
pub const LABEL_BUILD: &str = "siesta.build";
/// What a container of kind `addon` is: `postgres`, `relay`, or a task of a database.
pub const LABEL_ADDON: &str = "siesta.addon";
/// Says what an add-on's container was made of: one made of something else is made anew.
pub const LABEL_RECIPE: &str = "siesta.recipe";

/// Every image of ours is named below this prefix; no other is ever removed.
pub const IMAGE_PREFIX: &str = "siesta/";
/// What starts the process of a dyno, inside the image.
pub const LAUNCHER: &str = "/opt/siesta/launch";
/// What a standby runs until it is told to go on: the end of its input ends it, a line starts the command.
const HOLD: &str = "read -r _ || exit 0; exec \"$@\" </dev/null";
/// In the names of standbys, and of no other container.
const STANDBY: &str = "-standby-";
/// Where a build finds its app's cache.
pub const CACHE_PATH: &str = "/cache";

const TERM: &str = "SIGTERM";
const MIB: i64 = 1024 * 1024;
const GIB: i64 = 1024 * MIB;
/// One subnet an app: 16 addresses, 13 of them for dynos.
const SUBNET_PREFIX: u8 = 28;

/// The uid and gid of an app's processes: 20000 + the app's number. One a app: two containers
/// with one uid share kernel limits (security.md 0.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AppUid(pub u32);

impl AppUid {
    pub fn of(app_number: u32) -> AppUid {
        AppUid(20_000 + app_number)
    }

    /// Whether a uid is that of some app.
    pub fn is_one(uid: u64) -> bool {
        uid >= u64::from(AppUid::of(0).0)
    }
}

/// Our own address range, from which the networks of apps are cut: `10.213.0.0/16`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NetworkRange {
    base: u32,
    prefix: u8,
}

/// Why there is no network for an app.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NetworkFault {
    #[error("`{0}` is not a range for app networks. Name one like 10.213.0.0/16, at least a /28 and its first address.")]
    Malformed(String),
    #[error("The network range is used up: it has room for {room} apps, and this is number {number}. Set a larger SIESTA_NETWORK_RANGE.")]
    UsedUp { number: u32, room: u32 },
}

impl FromStr for NetworkRange {
    type Err = NetworkFault;

    fn from_str(text: &str) -> Result<NetworkRange, NetworkFault> {
        let malformed = || NetworkFault::Malformed(text.chars().take(80).collect());
        let (address, prefix) = text.split_once('/').ok_or_else(malformed)?;
        let base = u32::from(address.parse::<Ipv4Addr>().map_err(|_| malformed())?);
        let prefix = prefix.parse::<u8>().ok().filter(|p| (8..=SUBNET_PREFIX).contains(p)).ok_or_else(malformed)?;
        if base & (u32::MAX >> prefix) != 0 {
            return Err(malformed());
        }
        Ok(NetworkRange { base, prefix })
    }
}

impl NetworkRange {
    /// How many apps have a network of their own in it. Four hexadecimal digits of a number fit
    /// into an interface's name.
    pub fn room(self) -> u32 {
        (1u32 << (SUBNET_PREFIX - self.prefix)).min(0x1_0000)
    }
}

/// A bridge of our own for one app, with a /28 from our range.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// The engine's name for it: `siesta-<instance>-<app number>`.
    pub name: String,
    /// The interface on the host, prefix `sst`: what the firewall table matches.
    pub bridge: String,
    pub subnet: Ipv4Addr,
    pub prefix: u8,
    pub labels: Labels,
}

impl NetworkSpec {
    /// The host's own address on the bridge.
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.subnet) + 1)
    }
}

/// The network of an app. App numbers are never used again, so neither is a subnet. An instance begins
/// at a place of its own in the range: what an older server left on this machine is rarely in the way.
pub fn network_spec(instance: &str, app: AppId, app_number: u32, range: NetworkRange) -> Result<NetworkSpec, NetworkFault> {
    if app_number >= range.room() {
        return Err(NetworkFault::UsedUp { number: app_number, room: range.room() });
    }
    let digest = Sha256::digest(instance.as_bytes());
    let first = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    let place = first.wrapping_add(app_number) % range.room();
    let subnet = range.base + (place << (32 - SUBNET_PREFIX));
    Ok(NetworkSpec {
        name: format!("siesta-{instance}-{app_number}"),
        bridge: format!("sst{}{app_number:x}", &hex::encode(digest)[..8]),
        subnet: Ipv4Addr::from(subnet),
        prefix: SUBNET_PREFIX,
        labels: labels(instance, "network", [(LABEL_APP, app.to_string())]),
    })
}

/// Everything an engine needs to create a container: read it, but only this module makes one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerSpec(ContainerShape);

impl Deref for ContainerSpec {
    type Target = ContainerShape;
    fn deref(&self) -> &ContainerShape {
        &self.0
    }
}

/// What can be chosen about a container. Everything else (capabilities, privileges, mounts,
/// restart policy, log driver) is the same for all and lies in the translation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerShape {
    pub name: String,
    pub image: ImageRef,
    pub labels: Labels,
    pub command: Vec<String>,
    /// Secret: holds config vars.
    pub env: Vec<(String, String)>,
    pub user: AppUid,
    pub hostname: String,
    pub working_dir: String,
    /// The app's network, or None for no network at all.
    pub network: Option<String>,
    pub memory_bytes: i64,
    /// Memory and swap together.
    pub memory_swap_bytes: i64,
    pub nano_cpus: i64,
    pub cpu_shares: i64,
    pub pids: i64,
    pub nofile: i64,
    /// The largest file it may write.
    pub fsize_bytes: i64,
    pub tmpfs_tmp_bytes: i64,
    pub stop_seconds: u32,
    /// What asks its process to end.
    pub stop_signal: String,
    /// A cache volume of ours and where it is mounted: builds only.
    pub cache_volume: Option<(String, String)>,
    /// Folders of our data folder: add-ons only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<FolderMount>,
    /// Kernel settings of its own network: add-ons only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    pub extra_hosts: Vec<String>,
    /// Its standard streams belong to a client and are not kept by the engine: attached one-offs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<Streams>,
    /// Its process begins when a line comes on its input, and ends with that input before: standbys only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
}

/// How a client sees a container's standard streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Streams {
    /// A terminal: both outputs are one.
    Terminal,
    /// Plain pipes; the end of the input reaches the process.
    Pipes,
}

impl ContainerShape {
    /// The value of an environment variable.
    pub fn env_value(&self, name: &str) -> Option<&str> {
        self.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The label that says which server it belongs to.
    pub fn instance(&self) -> &str {
        self.labels.get(LABEL_INSTANCE).map_or("", String::as_str)
    }
}

impl fmt::Debug for ContainerShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerShape")
            .field("name", &self.name)
            .field("image", &self.image)
            .field("command", &self.command)
            .field("env", &self.env.iter().map(|(key, _)| key).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// What a dyno's spec is made of.
pub struct DynoInput<'a> {
    pub instance: &'a str,
    pub app: AppId,
    pub app_number: u32,
    pub dyno_id: DynoId,
    pub dyno: &'a DynoName,
    pub release: ReleaseId,
    pub image: ImageRef,
    /// The Procfile command; handed to our launcher as one argument, never to a host shell.
    pub command: &'a str,
    /// Config vars and platform variables, PORT among them for web.
    pub env: Vec<(String, String)>,
    pub plan: &'a Plan,
    pub host_has_swap: bool,
    pub network: String,
}

/// What a build container's spec is made of.
pub struct BuildInput<'a> {
    pub instance: &'a str,
    pub app: AppId,
    pub app_number: u32,
    pub build: BuildId,
    pub image: ImageRef,
    pub command: Vec<String>,
    pub env: Vec<(String, String)>,
    pub network: String,
    pub cache_volume: Option<String>,
    pub memory_bytes: i64,
    pub nano_cpus: i64,
}

/// What the spec of an assembly is made of: a container that never starts, takes files and is
/// frozen as an image.
pub struct AssemblyInput<'a> {
    pub instance: &'a str,
    pub app: AppId,
    pub app_number: u32,
    /// Unique among containers: `<slug id>`, for example.
    pub name: &'a str,
    pub image: ImageRef,
}

/// A folder of ours inside a container.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FolderMount {
    pub source: PathBuf,
    pub target: String,
    pub read_only: bool,
}

/// What the spec of an add-on's container is made of: a database server, its relay, a dump.
pub struct AddonInput<'a> {
    pub instance: &'a str,
    /// What it is, in its name and its label: `postgres`, `relay`.
    pub name: &'a str,
    pub image: ImageRef,
    pub command: Vec<String>,
    /// Secret: holds passwords.
    pub env: Vec<(String, String)>,
    pub uid: AppUid,
    /// The first of its networks, or None for no network at all.
    pub network: Option<String>,
    pub folders: Vec<FolderMount>,
    pub memory_bytes: i64,
    pub pids: i64,
    pub stop_signal: &'a str,
    pub stop_seconds: u32,
}

/// The uid of database servers, and of everything that touches their files.
pub const DATABASE_UID: AppUid = AppUid(19_998);
/// The uid of key-value servers.
pub const KEYVALUE_UID: AppUid = AppUid(19_996);
/// The uid of their relays.
pub const RELAY_UID: AppUid = AppUid(19_997);

/// What the isolation probe's spec is made of.
pub struct ProbeInput<'a> {
    pub instance: &'a str,
    /// Unique among containers.
    pub name: &'a str,
    pub image: ImageRef,
    pub command: Vec<String>,
    pub network: String,
}

/// A dyno: the plan's memory, one CPU at most, 30 seconds to stop.
pub fn dyno_spec(input: &DynoInput<'_>) -> ContainerSpec {
    let memory = input.plan.memory_bytes;
    let extra = [
        (LABEL_APP, input.app.to_string()),
        (LABEL_DYNO, input.dyno.to_string()),
        (LABEL_DYNO_ID, input.dyno_id.to_string()),
        (LABEL_RELEASE, input.release.to_string()),
    ];
    ContainerSpec(ContainerShape {
        name: dyno_name(input.instance, input.dyno_id),
        image: input.image.clone(),
        labels: labels(input.instance, "dyno", extra),
        command: vec![LAUNCHER.to_owned(), input.dyno.process_type.to_string(), input.command.to_owned()],
        env: with_init(&input.env),
        user: AppUid::of(input.app_number),
        hostname: input.dyno_id.to_string(),
        working_dir: "/app".to_owned(),
        network: Some(input.network.clone()),
        memory_bytes: memory,
        memory_swap_bytes: if input.host_has_swap { memory.saturating_mul(2) } else { memory },
        nano_cpus: 1_000_000_000,
        cpu_shares: 256,
        pids: 256,
        nofile: 8192,
        fsize_bytes: 2 * GIB,
        tmpfs_tmp_bytes: 64 * MIB,
        stop_seconds: 30,
        stop_signal: TERM.to_owned(),
        cache_volume: None,
        folders: Vec::new(),
        sysctls: BTreeMap::new(),
        extra_hosts: Vec::new(),
        streams: None,
        held: false,
    })
}

/// A part of an add-on: trusted programs of ours over folders of the data folder, where users'
/// bytes lie but never users' code. It forwards no packets between the networks it joins.
pub fn addon_spec(input: &AddonInput<'_>) -> ContainerSpec {
    let recipe = format!("{}|{:?}|{}|{:?}", input.image.0, input.command, input.memory_bytes, input.folders);
    let recipe = hex::encode(&Sha256::digest(recipe)[..6]);
    let on_network = input.network.is_some().then(|| ("net.ipv4.ip_forward".to_owned(), "0".to_owned()));
    ContainerSpec(ContainerShape {
        name: format!("siesta-{}-{}", input.instance, input.name),
        labels: labels(input.instance, "addon", [(LABEL_ADDON, input.name.to_owned()), (LABEL_RECIPE, recipe)]),
        command: input.command.clone(),
        env: input.env.clone(),
        user: input.uid,
        hostname: input.name.to_owned(),
        network: input.network.clone(),
        memory_bytes: input.memory_bytes,
        memory_swap_bytes: input.memory_bytes,
        cpu_shares: 512,
        pids: input.pids,
        nofile: 8192,
        fsize_bytes: 16 * GIB,
        stop_seconds: input.stop_seconds,
        stop_signal: input.stop_signal.to_owned(),
        folders: input.folders.clone(),
        sysctls: on_network.into_iter().collect(),
        ..small(input.image.clone())
    })
}

/// A task of an add-on, a dump for example: bytes go in and out by its standard streams.
pub fn addon_task_spec(input: &AddonInput<'_>) -> ContainerSpec {
    let ContainerSpec(shape) = addon_spec(input);
    ContainerSpec(ContainerShape { streams: Some(Streams::Pipes), ..shape })
}

/// The name of a dyno's container.
pub fn dyno_name(instance: &str, id: DynoId) -> String {
    format!("siesta-{instance}-{id}")
}

/// A standby: the same container as the dyno with this id, ready and held. Given a line it goes on as
/// that dyno, and takes its name.
pub fn standby_spec(input: &DynoInput<'_>) -> ContainerSpec {
    let ContainerSpec(shape) = dyno_spec(input);
    let hold = ["/bin/sh", "-c", HOLD, "standby"].map(str::to_owned);
    ContainerSpec(ContainerShape {
        name: format!("siesta-{}{STANDBY}{}", input.instance, input.dyno_id),
        command: hold.into_iter().chain(shape.command).collect(),
        held: true,
        ..shape
    })
}

/// Whether a container's name is that of a standby nobody has woken.
pub fn is_standby(name: &str) -> bool {
    name.contains(STANDBY)
}

/// A one-off dyno: a dyno whose streams may belong to a client.
pub fn one_off_spec(input: &DynoInput<'_>, streams: Option<Streams>) -> ContainerSpec {
    let ContainerSpec(mut shape) = dyno_spec(input);
    shape.labels.insert(LABEL_KIND.to_owned(), KIND_ONE_OFF.to_owned());
    ContainerSpec(ContainerShape { streams, ..shape })
}

/// A build: more memory and processes than a dyno, a lower CPU weight, a cache of its app.
pub fn build_spec(input: &BuildInput<'_>) -> ContainerSpec {
    let extra = [(LABEL_APP, input.app.to_string()), (LABEL_BUILD, input.build.to_string())];
    ContainerSpec(ContainerShape {
        name: format!("siesta-{}-build-{}", input.instance, input.build),
        image: input.image.clone(),
        labels: labels(input.instance, "build", extra),
        command: input.command.clone(),
        env: with_init(&input.env),
        user: AppUid::of(input.app_number),
        hostname: "build".to_owned(),
        working_dir: "/".to_owned(),
        network: Some(input.network.clone()),
        memory_bytes: input.memory_bytes,
        memory_swap_bytes: input.memory_bytes,
        nano_cpus: input.nano_cpus,
        cpu_shares: 128,
        pids: 512,
        nofile: 8192,
        fsize_bytes: 2 * GIB,
        tmpfs_tmp_bytes: 512 * MIB,
        stop_seconds: 5,
        stop_signal: TERM.to_owned(),
        cache_volume: input.cache_volume.clone().map(|volume| (volume, CACHE_PATH.to_owned())),
        folders: Vec::new(),
        sysctls: BTreeMap::new(),
        extra_hosts: Vec::new(),
        streams: None,
        held: false,
    })
}

/// An assembly: no variables, no network, never started. Only such a container is frozen as an
/// image, so no build secret can end in one.
pub fn assembly_spec(input: &AssemblyInput<'_>) -> ContainerSpec {
    ContainerSpec(ContainerShape {
        name: format!("siesta-{}-assembly-{}", input.instance, input.name),
        labels: labels(input.instance, "assembly", [(LABEL_APP, input.app.to_string())]),
        command: vec![LAUNCHER.to_owned()],
        user: AppUid::of(input.app_number),
        hostname: "assembly".to_owned(),
        ..small(input.image.clone())
    })
}

/// The isolation probe: a small container on a network like an app's. Its uid belongs to no app.
pub fn probe_spec(input: &ProbeInput<'_>) -> ContainerSpec {
    ContainerSpec(ContainerShape {
        name: format!("siesta-{}-probe-{}", input.instance, input.name),
        labels: labels(input.instance, "probe", []),
        command: input.command.clone(),
        env: with_init(&[("PORT".to_owned(), "5000".to_owned())]),
        network: Some(input.network.clone()),
        hostname: "probe".to_owned(),
        ..small(input.image.clone())
    })
}

fn small(image: ImageRef) -> ContainerShape {
    ContainerShape {
        name: String::new(),
        image,
        labels: Labels::new(),
        command: Vec::new(),
        env: Vec::new(),
        user: AppUid(19_999),
        hostname: String::new(),
        working_dir: "/".to_owned(),
        network: None,
        memory_bytes: 64 * MIB,
        memory_swap_bytes: 64 * MIB,
        nano_cpus: 1_000_000_000,
        cpu_shares: 128,
        pids: 32,
        nofile: 1024,
        fsize_bytes: 2 * GIB,
        tmpfs_tmp_bytes: 16 * MIB,
        stop_seconds: 1,
        stop_signal: TERM.to_owned(),
        cache_volume: None,
        folders: Vec::new(),
        sysctls: BTreeMap::new(),
        extra_hosts: Vec::new(),
        streams: None,
        held: false,
    }
}

/// The labels of everything of ours.
pub(super) fn labels<const N: usize>(instance: &str, kind: &str, extra: [(&str, String); N]) -> Labels {
    [(LABEL_INSTANCE, instance.to_owned()), (LABEL_KIND, kind.to_owned())]
        .into_iter()
        .chain(extra)
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// The engine's init hands SIGTERM to the whole process group, not to the launcher alone.
fn with_init(env: &[(String, String)]) -> Vec<(String, String)> {
    const GROUP: &str = "TINI_KILL_PROCESS_GROUP";
    let theirs = env.iter().filter(|(key, _)| key != GROUP).cloned();
    theirs.chain([(GROUP.to_owned(), "1".to_owned())]).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn range(text: &str) -> Result<NetworkRange, NetworkFault> {
        text.parse()
    }

    #[test]
    fn every_number_has_a_subnet_and_an_interface_of_its_own() {
        let (whole, app) = (range("10.213.0.0/16").unwrap(), AppId::new());
        let mut seen = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for instance in ["home", "test"] {
            for number in 0..whole.room() {
                let network = network_spec(instance, app, number, whole).unwrap();
                assert!(network.bridge.starts_with("sst") && network.bridge.len() <= 15, "{}", network.bridge);
                assert_eq!(u32::from(network.subnet) & 0xFFFF_0000, u32::from(Ipv4Addr::new(10, 213, 0, 0)));
                assert!(seen.0.insert(network.name) && seen.1.insert(network.bridge));
                assert!(seen.2.insert((instance, network.subnet)));
            }
        }
        assert_eq!(whole.room(), 4096);
        let first = |instance| network_spec(instance, app, 1, whole).unwrap().subnet;
        assert_ne!(first("home"), first("test"), "two servers begin at different places");
        assert_eq!(network_spec("home", app, 4096, whole), Err(NetworkFault::UsedUp { number: 4096, room: 4096 }));
    }

    #[test]
    fn only_whole_ranges_are_taken() {
        for bad in ["", "10.0.0.0", "10.0.0.0/29", "10.0.0.0/7", "10.0.0.1/16", "fd00::/16", "10.0.0/16", "a/b"] {
            assert!(range(bad).is_err(), "{bad}");
        }
        assert_eq!(range("10.0.0.0/8").unwrap().room(), 0x1_0000);
        assert_eq!(range("192.168.4.16/28").unwrap().room(), 1);
    }

    #[test]
    fn an_app_cannot_turn_off_the_group_signal_and_its_secrets_are_not_printed() {
        let env = [("TINI_KILL_PROCESS_GROUP".to_owned(), "0".to_owned()), ("KEY".to_owned(), "hunter2".to_owned())];
        let shape = ContainerShape { env: with_init(&env), ..small(ImageRef("siesta/run:1".to_owned())) };
        assert_eq!(shape.env_value("TINI_KILL_PROCESS_GROUP"), Some("1"));
        assert!(!format!("{:?}", ContainerSpec(shape)).contains("hunter2"));
    }
}
