//! Memory that this process may still take.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// Bytes that can be had without swapping: the machine's, or fewer where a container allows fewer; `None` where the
/// system does not tell.
pub(super) fn available() -> Option<u64> {
    let system =
        System::new_with_specifics(RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram()));
    let machine = Some(system.available_memory()).filter(|bytes| *bytes > 0);
    let container = system.cgroup_limits().filter(|limits| limits.total_memory > 0).map(|limits| limits.free_memory);
    machine.into_iter().chain(container).min()
}
