//! The bodies that Docker gets: as snapshots, and deny-by-default for whatever goes in (security.md T3).

use bollard::models::{ContainerCreateBody, HostConfigCgroupnsModeEnum, MountType, RestartPolicyNameEnum};
use proptest::prelude::*;

use super::*;
use crate::{
    domain::{AppId, BuildId, DynoId, Plan, ReleaseId},
    engine::spec::{
        AddonInput, AssemblyInput, BuildInput, DATABASE_UID, DynoInput, FolderMount, ProbeInput, addon_spec, assembly_spec, build_spec,
        dyno_spec, network_spec, probe_spec,
    },
};

fn uuid<T: std::str::FromStr<Err = uuid::Error>>(last: u8) -> T {
    format!("00000000-0000-7000-8000-0000000000{last:02x}").parse().unwrap()
}

fn dyno(env: Vec<(String, String)>, command: &str, number: u32, swap: bool) -> ContainerSpec {
    dyno_spec(&DynoInput {
        instance: "home",
        app: uuid::<AppId>(1),
        app_number: number,
        dyno_id: uuid::<DynoId>(2),
        dyno: &"web.1".parse().unwrap(),
        release: uuid::<ReleaseId>(3),
        image: ImageRef("siesta/slug:1".to_owned()),
        command,
        env,
        plan: &Plan::free(),
        host_has_swap: swap,
        network: "siesta-home-7".to_owned(),
    })
}

fn build(env: Vec<(String, String)>, command: Vec<String>, number: u32, cache_volume: Option<String>) -> ContainerSpec {
    build_spec(&BuildInput {
        instance: "home",
        app: uuid::<AppId>(1),
        app_number: number,
        build: uuid::<BuildId>(4),
        image: ImageRef("siesta/build:1".to_owned()),
        command,
        env,
        network: "siesta-home-7".to_owned(),
        cache_volume,
        memory_bytes: 2 << 30,
        nano_cpus: 1_000_000_000,
    })
}

fn shown(spec: &ContainerSpec) -> String {
    // Through a value: maps in bodies have no order of their own.
    let body = serde_json::to_value(container(spec)).unwrap();
    let spec = serde_json::to_value(spec).unwrap();
    serde_json::to_string_pretty(&serde_json::json!({ "spec": spec, "body": body })).unwrap()
}

#[test]
fn a_dyno_and_its_body() {
    insta::assert_snapshot!(shown(&dyno(vec![("PORT".to_owned(), "5000".to_owned())], "gunicorn app:app", 7, false)));
}

#[test]
fn a_build_and_its_body() {
    let env = vec![("STACK".to_owned(), "siesta-1".to_owned())];
    insta::assert_snapshot!(shown(&build(env, vec!["/opt/siesta/build".to_owned()], 7, Some("siesta-home-cache-7".to_owned()))));
}

#[test]
fn an_assembly_and_a_probe_and_their_bodies() {
    let image = ImageRef("siesta/run:1".to_owned());
    let assembly = AssemblyInput { instance: "home", app: uuid(1), app_number: 7, name: "slug", image: image.clone() };
    let probe = ProbeInput { instance: "home", name: "1", image, command: vec!["true".to_owned()], network: "siesta-home-0".to_owned() };
    insta::assert_snapshot!(format!("{}\n{}", shown(&assembly_spec(&assembly)), shown(&probe_spec(&probe))));
}

#[test]
fn an_addon_has_folders_of_ours_and_is_denied_the_rest() {
    let folder = FolderMount { source: "/data/postgres/run".into(), target: "/run/postgres".to_owned(), read_only: true };
    let addon = |network: Option<&str>| {
        addon_spec(&AddonInput {
            instance: "home",
            name: "relay",
            image: ImageRef("siesta/postgres:1".to_owned()),
            command: vec!["/opt/siesta/relay".to_owned()],
            env: Vec::new(),
            uid: DATABASE_UID,
            network: network.map(str::to_owned),
            folders: vec![folder.clone()],
            memory_bytes: 64 << 20,
            pids: 32,
            stop_signal: "SIGINT",
            stop_seconds: 60,
        })
    };
    let (alone, joined) = (container(&addon(None)), container(&addon(Some("siesta-home-7"))));
    let host = alone.host_config.unwrap();
    assert_eq!((host.network_mode.as_deref(), alone.stop_signal.as_deref()), (Some("none"), Some("SIGINT")));
    let [mount] = &host.mounts.unwrap()[..] else { panic!("one folder") };
    assert_eq!((mount.typ, mount.source.as_deref(), mount.read_only), (Some(MountType::BIND), Some("/data/postgres/run"), Some(true)));
    assert_eq!(alone.user.as_deref(), Some("19998:19998"));
    let host = joined.host_config.unwrap();
    assert_eq!(host.sysctls.unwrap()["net.ipv4.ip_forward"], "0", "it forwards nothing between the networks it joins");
    assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
    assert_eq!(host.security_opt, Some(vec!["no-new-privileges".to_owned()]));
    assert!(host.privileged == Some(false) && host.port_bindings.is_none() && host.pid_mode.is_none());
}

#[test]
fn a_network_and_its_body() {
    let network = network_spec("home", uuid(1), 7, "10.213.0.0/16".parse().unwrap()).unwrap();
    let body = serde_json::to_value(super::network(&network)).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&body).unwrap());
}

#[test]
fn memory_and_swap_are_twice_the_memory_only_where_there_is_swap() {
    assert_eq!(dyno(Vec::new(), "", 1, true).memory_swap_bytes, 2 * 512 * 1024 * 1024);
    assert_eq!(dyno(Vec::new(), "", 1, false).memory_swap_bytes, 512 * 1024 * 1024);
}

/// Everything that must hold for a container of ours whatever its app asked for.
fn assert_denied_by_default(body: &ContainerCreateBody, spec: &ContainerSpec) {
    let host = body.host_config.as_ref().unwrap();
    assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
    assert!(host.cap_add.is_none() && host.privileged == Some(false));
    assert_eq!(host.security_opt, Some(vec!["no-new-privileges".to_owned()]));
    assert!(host.binds.is_none() && host.volumes_from.is_none() && host.volume_driver.is_none() && body.volumes.is_none());
    for mount in host.mounts.iter().flatten() {
        let (volume, target) = spec.cache_volume.as_ref().unwrap();
        assert_eq!((mount.typ, mount.source.as_ref(), mount.target.as_ref()), (Some(MountType::VOLUME), Some(volume), Some(target)));
        assert!(mount.bind_options.is_none() && mount.volume_options.as_ref().unwrap().driver_config.is_none());
    }
    assert!(host.pids_limit.unwrap() > 0 && host.memory.unwrap() > 0 && host.nano_cpus.unwrap() > 0);
    assert!(host.memory_swap.unwrap() >= host.memory.unwrap() && host.oom_kill_disable.is_none());
    let uid: u32 = body.user.as_ref().unwrap().split(':').next().unwrap().parse().unwrap();
    assert!(uid >= 19_999);
    assert_eq!(host.network_mode.as_deref(), Some(spec.network.as_deref().unwrap_or("none")));
    assert_ne!(host.network_mode.as_deref(), Some("host"));
    assert!(body.networking_config.is_none() && host.links.is_none());
    assert_eq!(host.ipc_mode.as_deref(), Some("private"));
    assert_eq!(host.cgroupns_mode, Some(HostConfigCgroupnsModeEnum::PRIVATE));
    assert!(host.pid_mode.is_none() && host.uts_mode.is_none() && host.userns_mode.is_none());
    assert!(host.devices.is_none() && host.device_cgroup_rules.is_none() && host.device_requests.is_none());
    assert!(host.sysctls.is_none() && host.group_add.is_none() && host.cgroup_parent.is_none() && host.runtime.is_none());
    assert_eq!(host.restart_policy.as_ref().unwrap().name, Some(RestartPolicyNameEnum::NO));
    assert!(host.port_bindings.is_none() && host.publish_all_ports == Some(false) && body.exposed_ports.is_none());
    assert_eq!(host.init, Some(true));
    let log = host.log_config.as_ref().unwrap().config.as_ref().unwrap();
    assert!(log.contains_key("max-size") && log["mode"] == "non-blocking");
    assert!(
        host.ulimits
            .iter()
            .flatten()
            .all(|limit| limit.hard.unwrap() >= 0 && limit.hard.unwrap() < 20_000 || limit.name.as_deref() == Some("fsize"))
    );
    assert_eq!(body.labels.as_ref().unwrap()["siesta.instance"], "home");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn nothing_an_app_says_opens_its_container(
        env in proptest::collection::vec((".{0,20}", ".{0,60}"), 0..8),
        command in ".{0,200}",
        arguments in proptest::collection::vec(".{0,40}", 0..4),
        number in 0u32..4096,
        cache in proptest::option::of("[a-z0-9-]{1,40}"),
        swap: bool,
    ) {
        let dyno = dyno(env.clone(), &command, number, swap);
        let body = container(&dyno);
        assert_denied_by_default(&body, &dyno);
        prop_assert!(body.host_config.as_ref().unwrap().mounts.is_none());
        prop_assert_eq!(body.cmd.unwrap(), vec![LAUNCHER.to_owned(), "web".to_owned(), command]);
        let build = build(env, arguments, number, cache);
        assert_denied_by_default(&container(&build), &build);
    }
}
