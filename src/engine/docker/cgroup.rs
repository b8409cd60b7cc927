//! The only reader and writer of cgroup files: memory and CPU of a container without asking the
//! engine, and the nap, which pages out what its processes hold.
//!
//! Works for a container on this machine under cgroup v1 and v2; elsewhere the engine is asked for
//! the usage, and there is no nap. Version 2 is written after the kernel's documentation and read
//! from files made by tests: no machine of ours has its memory controller.

use std::{
    collections::BTreeMap,
    fs, io,
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
                let names = ["total_rss", "total_cache", "total_inactive_file", "total_swap", "total_pgpgin", "total_pgpgout"];
                let [rss, cache, idle, swap, pages_in, pages_out] = table(&memory.join("memory.stat"), names)?;
                Some(Usage {
                    memory_bytes: number(&memory.join("memory.usage_in_bytes"))?,
                    memory_rss_bytes: rss,
                    memory_cache_bytes: cache,
                    memory_idle_cache_bytes: idle,
                    swap_bytes: swap,
                    pages_in,
                    pages_out,
                    oom_kills: table(&memory.join("memory.oom_control"), ["oom_kill"])?[0],
                    cpu_nanos: number(&cpu.join("cpuacct.usage"))?,
                    pids: number(&pids.join("pids.current"))?,
                })
            }
            Place::V2(folder) => {
                let [rss, cache, idle] = table(&folder.join("memory.stat"), ["anon", "file", "inactive_file"])?;
                let [micros] = table(&folder.join("cpu.stat"), ["usage_usec"])?;
                Some(Usage {
                    memory_bytes: number(&folder.join("memory.current"))?,
                    memory_rss_bytes: rss,
                    memory_cache_bytes: cache,
                    memory_idle_cache_bytes: idle,
                    // Not there without swap accounting.
                    swap_bytes: number(&folder.join("memory.swap.current")).unwrap_or(0),
                    // Version 2 does not count them.
                    pages_in: 0,
                    pages_out: 0,
                    oom_kills: table(&folder.join("memory.events"), ["oom_kill"])?[0],
                    cpu_nanos: micros.saturating_mul(1000),
                    pids: number(&folder.join("pids.current"))?,
                })
            }
        }
    }

    /// Pages out whatever can be: blocks for as long as that takes, 10 to 200 ms for a small app.
    /// No limit is touched, and a process that needs a page gets it back at once.
    ///
    /// # Errors
    /// When the file cannot be written, or is not there: the container has ended.
    pub(super) fn reclaim(&self) -> io::Result<()> {
        match self {
            Place::V1 { memory, .. } => fs::write(memory.join("memory.force_empty"), "0"),
            Place::V2(folder) => {
                let held = number(&folder.join("memory.current")).unwrap_or(0);
                match fs::write(folder.join("memory.reclaim"), held.to_string()) {
                    // Less than all of it could go: as wished.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
                    done => done,
                }
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

/// The values of these names in a file of `name value` lines; 0 for a name that is not in it.
fn table<const N: usize>(path: &Path, names: [&str; N]) -> Option<[u64; N]> {
    let text = fs::read_to_string(path).ok()?;
    let mut values = [0; N];
    for (name, value) in text.lines().filter_map(|line| line.split_once(' ')) {
        if let Some(at) = names.iter().position(|wanted| *wanted == name) {
            values[at] = value.parse().unwrap_or(0);
        }
    }
    Some(values)
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
                ("memory/docker/abc/memory.stat", "cache 5\ntotal_cache 4096\ntotal_rss 1024\ntotal_inactive_file 512\ntotal_swap 8192\n"),
                ("memory/docker/abc/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
                ("memory/docker/abc/memory.force_empty", ""),
                ("memory/docker/abc/memory.usage_in_bytes", "1048576\n"),
                ("cpuacct/docker/abc/cpuacct.usage", "77\n"),
                ("pids/docker/abc/pids.current", "3\n"),
            ],
        );
        let lines = "12:pids:/docker/abc\n5:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n0::/\n";
        let place = Place::find(root.path(), lines, "abc").unwrap();
        let expected = Usage {
            memory_bytes: 1_048_576,
            memory_rss_bytes: 1024,
            memory_cache_bytes: 4096,
            memory_idle_cache_bytes: 512,
            swap_bytes: 8192,
            oom_kills: 2,
            cpu_nanos: 77,
            pids: 3,
            ..Usage::default()
        };
        assert_eq!(place.usage(), Some(expected));
        place.reclaim().unwrap();
        assert_eq!(fs::read_to_string(root.path().join("memory/docker/abc/memory.force_empty")).unwrap(), "0");
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
                ("memory.stat", "anon 1\nfile 512\ninactive_file 256\n"),
                ("memory.events", "low 0\noom 1\noom_kill 1\n"),
                ("memory.reclaim", ""),
                ("cpu.stat", "usage_usec 12\nuser_usec 6\n"),
                ("pids.current", "2\n"),
            ],
        );
        let place = Place::find(root.path(), &format!("0::/{folder}\n"), "abc").unwrap();
        let expected = Usage {
            memory_bytes: 2_097_152,
            memory_rss_bytes: 1,
            memory_cache_bytes: 512,
            memory_idle_cache_bytes: 256,
            oom_kills: 1,
            cpu_nanos: 12_000,
            pids: 2,
            ..Usage::default()
        };
        assert_eq!(place.usage(), Some(expected));
        place.reclaim().unwrap();
        assert_eq!(fs::read_to_string(root.path().join(folder).join("memory.reclaim")).unwrap(), "2097152");
    }
}
