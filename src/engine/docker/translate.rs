//! Between our words and Docker's: specs to request bodies, answers and errors to values. Pure.
//!
//! What is the same for every container stands here: no capabilities, no new privileges, no
//! restarts, no ports, bounded logs (security.md 4.1).

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use bollard::{
    errors::Error,
    models::{
        ContainerConfig, ContainerCreateBody, ContainerInspectResponse, ContainerStatsResponse, HealthConfig, HostConfig,
        HostConfigCgroupnsModeEnum, HostConfigLogConfig, Ipam, IpamConfig, Mount, MountType, MountVolumeOptions, NetworkCreateRequest,
        ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
    },
    query_parameters::{CommitContainerOptions, CommitContainerOptionsBuilder},
};

use crate::engine::{
    Container, ContainerId, ContainerSpec, EngineError, Exit, ImageRef, Labels, NetworkSpec, Streams, Usage,
    spec::{self, LABEL_APP, LAUNCHER},
};

/// What a question was about: says what a "404 not found" means.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    Engine,
    Container,
    Image(&'a str),
    Network(&'a str),
    Volume(&'a str),
    Path(&'a str),
}

/// The body of a container's creation.
pub(super) fn container(spec: &ContainerSpec) -> ContainerCreateBody {
    ContainerCreateBody {
        hostname: Some(spec.hostname.clone()),
        user: Some(format!("{0}:{0}", spec.user.0)),
        env: Some(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        // The image's own entry point and health check count for nothing.
        entrypoint: Some(Vec::new()),
        cmd: Some(spec.command.clone()),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..Default::default() }),
        image: Some(spec.image.0.clone()),
        working_dir: Some(spec.working_dir.clone()),
        labels: Some(unordered(&spec.labels)),
        stop_signal: Some(spec.stop_signal.clone()),
        stop_timeout: Some(i64::from(spec.stop_seconds)),
        tty: spec.streams.map(|streams| streams == Streams::Terminal),
        open_stdin: (spec.held || spec.streams.is_some()).then_some(true),
        stdin_once: (spec.held || spec.streams.is_some()).then_some(true),
        host_config: Some(host_config(spec)),
        ..Default::default()
    }
}

fn host_config(spec: &ContainerSpec) -> HostConfig {
    let limit = |name: &str, value: i64| ResourcesUlimits { name: Some(name.to_owned()), soft: Some(value), hard: Some(value) };
    let tmp = format!("rw,exec,nosuid,nodev,mode=1777,size={}", spec.tmpfs_tmp_bytes);
    HostConfig {
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        privileged: Some(false),
        init: Some(true),
        network_mode: Some(spec.network.clone().unwrap_or_else(|| "none".to_owned())),
        ipc_mode: Some("private".to_owned()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
        publish_all_ports: Some(false),
        memory: Some(spec.memory_bytes),
        memory_swap: Some(spec.memory_swap_bytes),
        nano_cpus: Some(spec.nano_cpus),
        cpu_shares: Some(spec.cpu_shares),
        pids_limit: Some(spec.pids),
        ulimits: Some(vec![limit("nofile", spec.nofile), limit("core", 0), limit("fsize", spec.fsize_bytes)]),
        tmpfs: Some(HashMap::from([("/tmp".to_owned(), tmp)])),
        mounts: Some(mounts(spec)).filter(|mounts| !mounts.is_empty()),
        sysctls: Some(unordered(&spec.sysctls)).filter(|sysctls| !sysctls.is_empty()),
        extra_hosts: Some(spec.extra_hosts.clone()).filter(|hosts| !hosts.is_empty()),
        log_config: Some(log_config(spec)),
        ..Default::default()
    }
}

fn mounts(spec: &ContainerSpec) -> Vec<Mount> {
    let cache = spec.cache_volume.iter().map(|(volume, target)| cache(spec, volume, target));
    let folders = spec.folders.iter().map(|folder| Mount {
        typ: Some(MountType::BIND),
        source: Some(folder.source.display().to_string()),
        target: Some(folder.target.clone()),
        read_only: Some(folder.read_only),
        ..Default::default()
    });
    cache.chain(folders).collect()
}

/// Bounded, and never in the way of the process. What a client reads is not kept here.
fn log_config(spec: &ContainerSpec) -> HostConfigLogConfig {
    let keep = [("max-size", "10m"), ("max-file", "2"), ("mode", "non-blocking"), ("max-buffer-size", "1m")];
    match spec.streams {
        Some(_) => HostConfigLogConfig { typ: Some("none".to_owned()), config: None },
        None => HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(keep.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
        },
    }
}

/// A named volume of ours, made by the engine at the first use with our labels.
fn cache(spec: &ContainerSpec, volume: &str, target: &str) -> Mount {
    let app = spec.labels.get(LABEL_APP).map(|app| (LABEL_APP, app.clone()));
    let mut labels = spec::labels(spec.instance(), "cache", []);
    labels.extend(app.map(|(key, value)| (key.to_owned(), value)));
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(volume.to_owned()),
        target: Some(target.to_owned()),
        volume_options: Some(MountVolumeOptions { labels: Some(unordered(&labels)), ..Default::default() }),
        ..Default::default()
    }
}

/// The body of a network's creation: a bridge whose interface the firewall knows by its prefix.
pub(super) fn network(network: &NetworkSpec) -> NetworkCreateRequest {
    let pool = IpamConfig {
        subnet: Some(format!("{}/{}", network.subnet, network.prefix)),
        gateway: Some(network.gateway().to_string()),
        ..Default::default()
    };
    NetworkCreateRequest {
        name: network.name.clone(),
        driver: Some("bridge".to_owned()),
        enable_ipv6: Some(false),
        ipam: Some(Ipam { config: Some(vec![pool]), ..Default::default() }),
        options: Some(HashMap::from([("com.docker.network.bridge.name".to_owned(), network.bridge.clone())])),
        labels: Some(unordered(&network.labels)),
        ..Default::default()
    }
}

/// A commit whose configuration is the same for every image: our launcher, nobody's uid, our labels.
pub(super) fn commit(id: &ContainerId, image: &ImageRef, labels: Labels) -> (CommitContainerOptions, ContainerConfig) {
    let (repo, tag) = image.0.rsplit_once(':').unwrap_or((&image.0, "latest"));
    let options = CommitContainerOptionsBuilder::new().container(&id.0).repo(repo).tag(tag).pause(false).build();
    let config = ContainerConfig {
        cmd: Some(vec![LAUNCHER.to_owned()]),
        user: Some("65534:65534".to_owned()),
        hostname: Some(String::new()),
        working_dir: Some("/app".to_owned()),
        env: Some(Vec::new()),
        labels: Some(unordered(&labels)),
        ..Default::default()
    };
    (options, config)
}

/// A container of ours as the engine describes it.
pub(super) fn seen(id: ContainerId, found: ContainerInspectResponse) -> Container {
    let state = found.state.unwrap_or_default();
    let running = state.running.unwrap_or(false);
    let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let addresses: BTreeMap<String, IpAddr> =
        networks.into_iter().filter_map(|(name, endpoint)| Some((name, endpoint.ip_address?.parse().ok()?))).collect();
    let started = state.started_at.filter(|at| !at.starts_with("0001-"));
    let ended = !running && started.is_some();
    Container {
        id: found.id.map_or(id, ContainerId),
        name: found.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        labels: found.config.and_then(|config| config.labels).unwrap_or_default().into_iter().collect(),
        running,
        generation: started.unwrap_or_default(),
        address: addresses.values().next().copied().filter(|_| running),
        addresses: if running { addresses } else { BTreeMap::new() },
        exit: ended.then(|| Exit { code: state.exit_code.unwrap_or(-1), out_of_memory: state.oom_killed.unwrap_or(false) }),
    }
}

/// Usage from the engine's statistics, where the cgroup files are out of reach.
pub(super) fn usage(stats: &ContainerStatsResponse) -> Usage {
    let memory = stats.memory_stats.as_ref();
    let detail = |names: &[&str]| {
        let known = memory.and_then(|memory| memory.stats.as_ref());
        known.and_then(|known| names.iter().find_map(|name| known.get(*name).copied())).unwrap_or(0)
    };
    Usage {
        memory_bytes: memory.and_then(|memory| memory.usage).unwrap_or(0),
        memory_rss_bytes: detail(&["total_rss", "anon"]),
        memory_cache_bytes: detail(&["total_cache", "file"]),
        memory_idle_cache_bytes: detail(&["total_inactive_file", "inactive_file"]),
        swap_bytes: detail(&["total_swap", "swap"]),
        pages_in: detail(&["total_pgpgin"]),
        pages_out: detail(&["total_pgpgout"]),
        oom_kills: 0,
        cpu_nanos: stats.cpu_stats.as_ref().and_then(|cpu| cpu.cpu_usage.as_ref()?.total_usage).unwrap_or(0),
        pids: stats.pids_stats.as_ref().and_then(|pids| pids.current).unwrap_or(0),
    }
}

/// A failure in our words.
pub(super) fn error(error: Error, subject: Subject<'_>) -> EngineError {
    match error {
        Error::DockerResponseServerError { status_code: 404, message } => absent(message, subject),
        Error::DockerResponseServerError { message, .. } => EngineError::Refused(message),
        Error::DockerStreamError { error } => EngineError::Refused(error),
        Error::RequestTimeoutError => EngineError::TimedOut("answer"),
        Error::JsonDataError { .. } | Error::JsonSerdeError { .. } => {
            EngineError::Refused(format!("its answer is not understood: {error}"))
        }
        other => EngineError::Unreachable(chain(&other)),
    }
}

/// A refusal the client library did not see.
pub(super) fn refusal(status: u16, body: &[u8], subject: Subject<'_>) -> EngineError {
    let message = serde_json::from_slice::<serde_json::Value>(body).ok().and_then(|body| Some(body["message"].as_str()?.to_owned()));
    let message = message.unwrap_or_else(|| format!("it answered with status {status}"));
    error(Error::DockerResponseServerError { status_code: status, message }, subject)
}

/// Docker says 404 for a thing and for what the thing needs; its message tells which.
fn absent(message: String, subject: Subject<'_>) -> EngineError {
    let lower = message.to_ascii_lowercase();
    let named = || message.split_whitespace().find(|word| word.starts_with("siesta")).unwrap_or("").trim_matches(['"', '\'']).to_owned();
    match subject {
        _ if lower.starts_with("no such container") => EngineError::NoSuchContainer,
        Subject::Container if lower.contains("network") && lower.contains("not found") => EngineError::NoSuchNetwork(named()),
        Subject::Container if lower.starts_with("no such image") => EngineError::NoSuchImage(named()),
        Subject::Container => EngineError::NoSuchContainer,
        Subject::Image(name) => EngineError::NoSuchImage(name.to_owned()),
        Subject::Network(name) => EngineError::NoSuchNetwork(name.to_owned()),
        Subject::Path(path) | Subject::Volume(path) => EngineError::NoSuchPath(path.to_owned()),
        Subject::Engine => EngineError::Refused(message),
    }
}

/// An error with its causes: the outermost of an HTTP client says nothing.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

fn unordered(labels: &BTreeMap<String, String>) -> HashMap<String, String> {
    labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests;
