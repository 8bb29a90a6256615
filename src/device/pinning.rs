//! Keeping a thread, and the threads it starts, on chosen cores.

use super::DeviceError;

/// Cores that may be used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Pinning {
    /// Whatever the operating system chooses.
    #[default]
    None,
    /// These cores, numbered as the operating system does.
    Cores(Vec<usize>),
}

impl Pinning {
    /// # Errors
    /// [`DeviceError::Settings`] if a core lies beyond what a mask can hold, or there is none.
    pub(super) fn check(&self) -> Result<(), DeviceError> {
        match self {
            Self::Cores(cores) if cores.is_empty() => {
                Err(DeviceError::Settings("pinning needs at least one core".into()))
            }
            Self::Cores(cores) => match cores.iter().find(|&&core| core >= libc::CPU_SETSIZE as usize) {
                Some(core) => Err(DeviceError::Settings(format!("there is no core {core} to pin to"))),
                None => Ok(()),
            },
            Self::None => Ok(()),
        }
    }
}

/// While this lives, the calling thread is pinned; then it has its old cores again.
pub(super) struct Pinned {
    before: Option<libc::cpu_set_t>,
}

impl Pinned {
    pub fn to(pinning: &Pinning) -> Result<Self, String> {
        let Pinning::Cores(cores) = pinning else { return Ok(Self { before: None }) };
        let before = current().map_err(|error| format!("cannot read the thread's cores: {error}"))?;
        // SAFETY: a zeroed mask is the empty mask, and the cores were checked to lie within it.
        let wanted = unsafe {
            let mut mask: libc::cpu_set_t = std::mem::zeroed();
            cores.iter().for_each(|&core| libc::CPU_SET(core, &mut mask));
            mask
        };
        set(&wanted).map_err(|error| format!("cannot pin to cores {cores:?}: {error}"))?;
        Ok(Self { before: Some(before) })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.before.as_ref().map(set) {
            tracing::warn!("the thread stays pinned: {error}");
        }
    }
}

fn current() -> std::io::Result<libc::cpu_set_t> {
    // SAFETY: 0 is the calling thread; the mask is a local of the size that is passed.
    unsafe {
        let mut mask: libc::cpu_set_t = std::mem::zeroed();
        match libc::sched_getaffinity(0, size_of_val(&mask), &mut mask) {
            0 => Ok(mask),
            _ => Err(std::io::Error::last_os_error()),
        }
    }
}

fn set(mask: &libc::cpu_set_t) -> std::io::Result<()> {
    // SAFETY: 0 is the calling thread; the mask is read in the size that is passed.
    match unsafe { libc::sched_setaffinity(0, size_of_val(mask), mask) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
