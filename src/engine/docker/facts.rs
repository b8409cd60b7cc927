//! What the engine is, and what the operator should know about it.

use bollard::models::{SystemInfo, SystemInfoCgroupVersionEnum, SystemVersion};

use crate::engine::EngineInfo;

/// The first releases of runc's lines with the fixes of November 2025 for escapes.
const FIXED_RUNC: [[u32; 3]; 3] = [[1, 2, 8], [1, 3, 3], [1, 4, 0]];

pub(super) fn engine_info(version: &SystemVersion, info: &SystemInfo, host_has_swap: bool) -> EngineInfo {
    let components = version.components.iter().flatten();
    let runc = components.clone().find(|part| part.name == "runc").map(|part| part.version.clone());
    let accounted = info.swap_limit.unwrap_or(false);
    let mut warnings = Vec::new();
    if let Some(runc) = runc.filter(|version| is_old(version)) {
        warnings
            .push(format!("runc {runc} is older than the fixes of November 2025 (1.2.8, 1.3.3). Upgrade it when your system offers it."));
    }
    if host_has_swap && !accounted {
        warnings.push("The host has swap, but the kernel does not count it for containers: dynos run without it.".to_owned());
    }
    let lacks = [
        (info.memory_limit == Some(false), "cap the memory of a dyno"),
        (info.pids_limit == Some(false), "cap the processes of a dyno"),
        (info.cpu_cfs_quota == Some(false), "cap the CPU time of a dyno"),
        (!info.security_options.iter().flatten().any(|option| option.contains("seccomp")), "filter system calls (seccomp)"),
    ];
    warnings.extend(lacks.iter().filter(|(lacking, _)| *lacking).map(|(_, what)| format!("The engine cannot {what} on this machine.")));
    EngineInfo {
        name: components.map(|part| part.name.as_str()).next().unwrap_or("Engine").to_owned(),
        version: version.version.clone().unwrap_or_default(),
        api_version: version.api_version.clone().unwrap_or_default(),
        cgroup_version: if info.cgroup_version == Some(SystemInfoCgroupVersionEnum::_2) { 2 } else { 1 },
        cgroup_driver: info.cgroup_driver.map_or("none".to_owned(), |driver| driver.to_string()),
        swap: host_has_swap && accounted,
        cpus: info.ncpu.and_then(|cpus| u32::try_from(cpus).ok()).unwrap_or(1),
        memory_bytes: info.mem_total.unwrap_or(0),
        warnings,
    }
}

/// `1.1.5+ds1` is; a version that is not understood is not.
fn is_old(version: &str) -> bool {
    let number = version.split(['+', '-', '~']).next().unwrap_or_default();
    let parts: Vec<u32> = number.split('.').map_while(|part| part.parse().ok()).collect();
    let [major, minor, patch] = parts[..] else { return false };
    match FIXED_RUNC.iter().find(|fixed| fixed[..2] == [major, minor]) {
        Some(fixed) => patch < fixed[2],
        None => [major, minor] < [1, 2],
    }
}

#[cfg(test)]
mod tests {
    use super::is_old;

    #[test]
    fn an_old_runc_is_told_from_a_fixed_one() {
        for old in ["1.1.5+ds1", "1.1.15", "1.2.7", "1.3.2", "1.3.0-rc.1", "0.9.9"] {
            assert!(is_old(old), "{old}");
        }
        for fixed in ["1.2.8", "1.3.3", "1.4.0", "1.5.0", "2.0.0", "unknown", ""] {
            assert!(!is_old(fixed), "{fixed}");
        }
    }
}
