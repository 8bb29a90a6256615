//! Keeping a thread, and the threads it starts, on chosen cores.

use std::str::FromStr;

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
    /// If a core lies beyond what a mask can hold, or there is none.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Cores(cores) if cores.is_empty() => Err("pinning needs at least one core".into()),
            Self::Cores(cores) => match cores.iter().find(|&&core| core >= libc::CPU_SETSIZE as usize) {
                Some(core) => Err(format!("there is no core {core} to pin to")),
                None => Ok(()),
            },
            Self::None => Ok(()),
        }
    }
}

/// `0xf0` (hexadecimal, as for `taskset`), a list like `4,5,7`, or a mixture with ranges: `0-1,4-7`.
impl FromStr for Pinning {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("cores are a mask like 0xf0 or a list like 4,6-7, found '{text}'");
        let cores = match text.strip_prefix("0x") {
            Some(digits) => {
                let mask = u64::from_str_radix(digits, 16).map_err(|_| wrong())?;
                (0..u64::BITS as usize).filter(|core| mask >> core & 1 == 1).collect()
            }
            None => cores_of(text).ok_or_else(wrong)?,
        };
        let pinning = Self::Cores(cores);
        pinning.check().map(|()| pinning)
    }
}

/// The cores of a list like `4,6-7`, which is also how Linux prints them; `None` for anything else.
pub fn cores_of(list: &str) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        // More cores than a mask holds are somebody's garbage.
        if last < first || last >= libc::CPU_SETSIZE as usize {
            return None;
        }
        cores.extend(first..=last);
    }
    Some(cores)
}

/// The cores that the calling thread may use now.
///
/// # Errors
/// The system's message.
pub fn allowed() -> std::io::Result<Vec<usize>> {
    let mask = current()?;
    // SAFETY: the mask is alive and every number lies within it.
    Ok((0..libc::CPU_SETSIZE as usize).filter(|&core| unsafe { libc::CPU_ISSET(core, &mask) }).collect())
}

/// While this lives, the calling thread is pinned; then it has its old cores again.
pub struct Pinned {
    before: Option<libc::cpu_set_t>,
}

impl Pinned {
    /// Pins the calling thread.
    ///
    /// # Errors
    /// The cores and the system's message, for cores that are not there for instance.
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
            eprintln!("warning: the thread stays pinned: {error}");
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
