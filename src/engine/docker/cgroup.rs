//! The only reader of cgroup files: memory and CPU of a container without asking the engine.
//! Works for a container on this machine under cgroup v1 and v2; elsewhere the engine is asked.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::engine::Usage;

const ROOT: &str = "/sys/fs/cgroup";

/// Where a container's numbers lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    V1 { memory: PathBuf, cpu: PathBuf, pids: PathBuf },
    V2(PathBuf),
}

impl Place {
    /// Of a running container by the pid of its init. `None` when the files are out of reach, or
    /// when the process does not belong to this container (any more).
    pub(super) fn of_process(pid: i64, container: &str) -> Option<Place> {
        if pid <= 0 {
            return None;
        }
        let lines = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        Place::find(Path::new(ROOT), &lines, container)
    }

    fn find(root: &Path, lines: &str, container: &str) -> Option<Place> {
        let paths: BTreeMap<&str, &str> = lines
            .lines()
            .filter_map(|line| line.splitn(3, ':').skip(1).collect::<Vec<_>>().try_into().ok())
            .filter(|[_, path]: &[&str; 2]| path.contains(container))
            .flat_map(|[controllers, path]| controllers.split(',').map(move |controller| (controller, path)))
            .collect();
        let below = |folder: &str, controller: &str| Some(root.join(folder).join(paths.get(controller)?.trim_start_matches('/')));
        match (below("memory", "memory"), below("cpuacct", "cpuacct"), below("pids", "pids")) {
            (Some(memory), Some(cpu), Some(pids)) => Some(Place::V1 { memory, cpu, pids }),
            _ => below("", "").map(Place::V2),
        }
        .filter(|place| place.usage().is_some())
    }

    /// What it uses now; `None` when the container has ended.
    pub(super) fn usage(&self) -> Option<Usage> {
        match self {
            Place::V1 { memory, cpu, pids } => {
                let detail = table(&memory.join("memory.stat"))?;
                Some(Usage {
                    memory_bytes: number(&memory.join("memory.usage_in_bytes"))?,
                    memory_cache_bytes: detail.get("total_cache").copied().unwrap_or(0),
                    swap_bytes: detail.get("total_swap").copied().unwrap_or(0),
                    cpu_nanos: number(&cpu.join("cpuacct.usage"))?,
                    pids: number(&pids.join("pids.current"))?,
                })
            }
            Place::V2(folder) => {
                let micros = table(&folder.join("cpu.stat"))?.get("usage_usec").copied().unwrap_or(0);
                Some(Usage {
                    memory_bytes: number(&folder.join("memory.current"))?,
                    memory_cache_bytes: table(&folder.join("memory.stat"))?.get("file").copied().unwrap_or(0),
                    // Not there without swap accounting.
                    swap_bytes: number(&folder.join("memory.swap.current")).unwrap_or(0),
                    cpu_nanos: micros.saturating_mul(1000),
                    pids: number(&folder.join("pids.current"))?,
                })
            }
        }
    }
}

/// Whether this machine has swap at all.
pub(super) fn host_has_swap() -> bool {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    memory.lines().filter_map(|line| line.strip_prefix("SwapTotal:")).any(|rest| !rest.trim().starts_with("0 "))
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn table(path: &Path) -> Option<BTreeMap<String, u64>> {
    let text = fs::read_to_string(path).ok()?;
    let rows = text.lines().filter_map(|line| line.split_once(' '));
    Some(rows.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn version_1_is_read_controller_by_controller() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[
                ("memory/docker/abc/memory.stat", "cache 5\ntotal_cache 4096\ntotal_swap 8192\n"),
                ("memory/docker/abc/memory.usage_in_bytes", "1048576\n"),
                ("cpuacct/docker/abc/cpuacct.usage", "77\n"),
                ("pids/docker/abc/pids.current", "3\n"),
            ],
        );
        let lines = "12:pids:/docker/abc\n5:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n0::/\n";
        let usage = Place::find(root.path(), lines, "abc").unwrap().usage();
        let expected = Usage { memory_bytes: 1_048_576, memory_cache_bytes: 4096, swap_bytes: 8192, cpu_nanos: 77, pids: 3 };
        assert_eq!(usage, Some(expected));
        assert_eq!(Place::find(root.path(), lines, "another"), None);
    }

    #[test]
    fn version_2_is_read_from_one_folder() {
        let root = tempfile::tempdir().unwrap();
        let folder = "system.slice/docker-abc.scope";
        write(
            &root.path().join(folder),
            &[
                ("memory.current", "2097152\n"),
                ("memory.stat", "anon 1\nfile 512\n"),
                ("cpu.stat", "usage_usec 12\nuser_usec 6\n"),
                ("pids.current", "2\n"),
            ],
        );
        let usage = Place::find(root.path(), &format!("0::/{folder}\n"), "abc").unwrap().usage();
        let expected = Usage { memory_bytes: 2_097_152, memory_cache_bytes: 512, swap_bytes: 0, cpu_nanos: 12_000, pids: 2 };
        assert_eq!(usage, Some(expected));
    }
}
