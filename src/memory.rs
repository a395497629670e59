//! How much memory is available, checked before a large allocation: a kernel that overcommits grants memory that it does
//! not have, and ends the process when the pages are touched.
//!
//! Linux has it in text files: what the machine has left, what the control groups of a container or a service leave,
//! and what the shell's `ulimit` leaves. The smallest counts. On other systems nothing is rejected here. The crate
//! `sysinfo` (0.40) knows nothing of `ulimit` and counts a group's file cache, which the kernel gives up, as used.

use std::cell::Cell;
use std::collections::TryReserveError;
use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

thread_local! {
    static IN_TRY_RESERVE: Cell<bool> = const { Cell::new(false) };
}

/// [`Vec::try_reserve_exact`], which a program that ends when memory runs out has to tell from other allocations.
///
/// # Errors
/// If the memory is refused.
pub fn try_reserve<T>(values: &mut Vec<T>, additional: usize) -> Result<(), TryReserveError> {
    coping(|| values.try_reserve_exact(additional))
}

/// A vector of zeros in memory that nobody has touched, where it is large: its pages come when, and near the core where, they are first written.
///
/// # Errors
/// If the memory is refused.
pub fn try_zeroed<T: bytemuck::Zeroable>(len: usize) -> Result<Vec<T>, ()> {
    coping(|| bytemuck::allocation::try_zeroed_vec(len))
}

/// Makes an allocation whose failure the caller copes with.
fn coping<T>(allocate: impl FnOnce() -> T) -> T {
    IN_TRY_RESERVE.set(true);
    let allocated = allocate();
    IN_TRY_RESERVE.set(false);
    allocated
}

/// Whether the caller of the current allocation copes with its failure.
#[cfg(feature = "cli")]
pub fn may_fail() -> bool {
    IN_TRY_RESERVE.get()
}

/// Smaller allocations come in pages of the usual size.
#[cfg(feature = "cli")]
const WORTH_HUGE_PAGES: usize = 4 << 20;

/// Asks the kernel for huge pages where a large allocation, whose memory was not yet touched, lies. The CPU then knows by heart where more of it
/// is, and what reads samples in a random order waits less. It is a hint: where the kernel cannot do it, nothing changes.
#[cfg(feature = "cli")]
pub fn prefer_huge_pages(start: *mut u8, bytes: usize) {
    #[cfg(target_os = "linux")]
    #[allow(unsafe_code)]
    if bytes >= WORTH_HUGE_PAGES {
        /// The usual size of a huge page. Where it is another one, the kernel uses what lies in the range.
        const HUGE: usize = 2 << 20;
        let before = start.addr().next_multiple_of(HUGE) - start.addr();
        let whole = (bytes - before) / HUGE * HUGE;
        // SAFETY: whole pages within an allocation of the caller's; the advice changes nothing that they hold.
        unsafe { libc::madvise(start.wrapping_add(before).cast(), whole, libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, bytes);
}

/// Smaller allocations are not checked.
const WORTH_ASKING: u64 = 1 << 26;

const SMALLER_NETWORK: &str = "use smaller layers, a smaller batch or fewer samples";

/// Rejects an allocation of a number of 4-byte values that is larger than the available memory. `what` names its purpose.
///
/// # Errors
/// [`Error::Memory`].
pub fn require_memory(values: usize, what: &str) -> Result<()> {
    require_bytes((values as u64).saturating_mul(4), what, SMALLER_NETWORK)
}

/// The error of an allocation of a number of 4-byte values that failed although there seemed to be memory.
pub fn too_large(values: usize, what: &str) -> Error {
    let needed_bytes = (values as u64).saturating_mul(4);
    Error::Memory { what: what.to_owned(), needed_bytes, remedy: SMALLER_NETWORK }
}

/// [`require_memory`] in bytes, and with another remedy than smaller layers.
///
/// # Errors
/// [`Error::Memory`].
pub fn require_bytes(needed_bytes: u64, what: &str, remedy: &'static str) -> Result<()> {
    if needed_bytes > WORTH_ASKING
        && available_bytes().is_some_and(|available| needed_bytes > available)
    {
        return Err(Error::Memory { what: what.to_owned(), needed_bytes, remedy });
    }
    Ok(())
}

/// Rejects addresses to be mapped that the process's limits (`ulimit -v`, `ulimit -d`) do not leave, whether they will be
/// touched or not.
///
/// # Errors
/// [`Error::Memory`].
pub fn require_addresses(needed_bytes: u64, what: &str, remedy: &'static str) -> Result<()> {
    let left = left_of_process(Path::new("/"));
    match left.is_some_and(|left| needed_bytes > left) {
        true => Err(Error::Memory { what: what.to_owned(), needed_bytes, remedy }),
        false => Ok(()),
    }
}

/// What can be allocated without swapping; `None` where the system does not say.
pub fn available_bytes() -> Option<u64> {
    available_under(Path::new("/"))
}

/// [`available_bytes`] by the files under a root.
fn available_under(root: &Path) -> Option<u64> {
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let machine = read("proc/meminfo").and_then(|text| kibibytes(&text, "MemAvailable:"));
    let process = left_of_process(root);
    let groups = read("proc/self/cgroup");
    let groups = groups.and_then(|text| left_of_groups(&text, &root.join("sys/fs/cgroup")));
    [machine, process, groups].into_iter().flatten().min()
}

/// [`left_of_limits`] of this process, by the files under a root.
fn left_of_process(root: &Path) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(root.join("proc/self").join(name)).ok();
    left_of_limits(&read("limits")?, &read("status")?)
}

/// A line such as `MemAvailable:   1024 kB`, in bytes.
fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What the limits of the address space and of private memory (`ulimit -v`, `ulimit -d`) leave; `None` without any.
fn left_of_limits(limits: &str, status: &str) -> Option<u64> {
    let left = |limit: &str, used: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(limit))?;
        let soft: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(soft.saturating_sub(kibibytes(status, used)?))
    };
    let address_space = left("Max address space", "VmSize:");
    [address_space, left("Max data size", "VmData:")].into_iter().flatten().min()
}

/// What the control groups of the process leave, each with all its parents: a parent's limit holds for its children.
///
/// In a container the path may be one of the host; only its end, the mount point, is there then.
fn left_of_groups(groups: &str, mount: &Path) -> Option<u64> {
    let mut least = None;
    for line in groups.lines() {
        // `0::/path` of the unified hierarchy, `7:cpu,memory:/path` of the older one
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (top, files) = match controllers {
            "" if mount.join("unified").is_dir() => (mount.join("unified"), &UNIFIED),
            "" => (mount.to_owned(), &UNIFIED),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (mount.join("memory"), &OLDER)
            }
            _ => continue,
        };
        let group = Path::new(path.trim_start_matches('/'));
        let levels = group.ancestors().filter_map(|level| files.left(&top.join(level)));
        least = least.into_iter().chain(levels).min();
    }
    least
}

/// The files of a control group.
struct GroupFiles {
    limit: &'static str,
    used: &'static str,
    /// The key of file contents that the kernel drops first.
    cache: &'static str,
}

const UNIFIED: GroupFiles =
    GroupFiles { limit: "memory.max", used: "memory.current", cache: "inactive_file " };
const OLDER: GroupFiles = GroupFiles {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    cache: "total_inactive_file ",
};

impl GroupFiles {
    /// What one group leaves; `None` if it limits nothing.
    fn left(&self, group: &Path) -> Option<u64> {
        let read = |name: &str| fs::read_to_string(group.join(name)).ok();
        let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
        let limit = number(self.limit)?; // `max` is no number
        let statistics = read("memory.stat").unwrap_or_default();
        let cache = statistics.lines().find_map(|line| line.strip_prefix(self.cache));
        let cache = cache.and_then(|cache| cache.trim().parse().ok()).unwrap_or(0);
        let used = number(self.used).unwrap_or(0).saturating_sub(cache);
        Some(limit.saturating_sub(used))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units
Max data size             unlimited            unlimited            bytes
Max address space         1048576000           unlimited            bytes
";
    const STATUS: &str =
        "Name:\tdensely\nVmPeak:\t  900 kB\nVmSize:\t  1000 kB\nVmData:\t  10 kB\n";

    /// A root with such files.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_smallest_limit_counts_and_without_limits_nothing_is_rejected() {
        assert_eq!(available_under(root(&[]).path()), None);
        let machine = ("proc/meminfo", "MemTotal:  9000000 kB\nMemAvailable:  2000000 kB\n");
        assert_eq!(available_under(root(&[machine]).path()), Some(2_048_000_000));
        let process = [("proc/self/limits", LIMITS), ("proc/self/status", STATUS)];
        let files = [&[machine][..], &process].concat();
        assert_eq!(available_under(root(&files).path()), Some(1_048_576_000 - 1_024_000));
        let group = [("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "4096\n")];
        let files = [&files[..], &group].concat();
        assert_eq!(available_under(root(&files).path()), Some(4096));
        for odd in
            ["MemAvailable: many kB", "MemAvailable: 18446744073709551615 kB", "MemAvailable:"]
        {
            assert_eq!(available_under(root(&[("proc/meminfo", odd)]).path()), None, "{odd}");
        }
    }

    #[test]
    fn limits_of_the_shell_are_less_what_is_used() {
        assert_eq!(left_of_limits(LIMITS, STATUS), Some(1_048_576_000 - 1_024_000));
        let data = LIMITS.replace("size             unlimited", "size             20480    ");
        assert_eq!(left_of_limits(&data, STATUS), Some(20480 - 10240));
        let none = LIMITS.replace("1048576000", "unlimited ");
        assert_eq!(left_of_limits(&none, STATUS), None);
        assert_eq!(left_of_limits(&LIMITS.replace("1048576000", "1000"), STATUS), Some(0));
        assert_eq!(left_of_limits(LIMITS, ""), None);
    }

    #[test]
    fn groups_and_their_parents_limit() {
        let unified = |files: &[(&str, &str)], groups: &str| {
            let root = root(files);
            left_of_groups(groups, root.path())
        };
        let files = [
            ("memory.max", "max\n"),
            ("a/memory.max", "1000\n"),
            ("a/memory.current", "400\n"),
            ("a/memory.stat", "anon 7\ninactive_file 150\nactive_file 3\n"),
            ("a/b/memory.max", "9000\n"),
            ("a/b/memory.current", "100\n"),
            ("c/memory.max", "10\n"),
        ];
        assert_eq!(unified(&files, "0::/a/b\n"), Some(750));
        assert_eq!(unified(&files, "0::/\n"), None);
        assert_eq!(unified(&files, "0::/c\n"), Some(10));
        assert_eq!(unified(&files, "nonsense\n0:\n\n"), None);
        // a path of the host, within a container that sees its own group at the mount point
        assert_eq!(unified(&[("memory.max", "77")], "0::/docker/0123\n"), Some(77));

        let older = [
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/job/memory.limit_in_bytes", "5000\n"),
            ("memory/job/memory.usage_in_bytes", "2000\n"),
            ("memory/job/memory.stat", "inactive_file 1\ntotal_inactive_file 500\n"),
        ];
        let groups = "5:cpu,cpuacct:/x\n4:memory:/job/step\n1:name=systemd:/y\n";
        assert_eq!(unified(&older, groups), Some(3500));
        // both at once: the unified hierarchy is mounted beside the older ones
        let both = [&older[..], &[("unified/job/memory.max", "40")]].concat();
        assert_eq!(unified(&both, "4:memory:/job\n0::/job\n"), Some(40));
    }

    #[test]
    fn more_than_any_machine_has_is_rejected() {
        require_memory(1000, "a little").unwrap();
        for values in [usize::MAX, 1 << 42] {
            let message = require_memory(values, "the network").unwrap_err().to_string();
            assert!(message.contains("the network needs"), "{message}");
        }
    }
}
