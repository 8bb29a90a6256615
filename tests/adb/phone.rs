//! A phone of the lab: a real adbd in a root of its own, which looks like Android where `mnas` looks.

use std::cell::RefCell;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::laboratory::{mount, signal, until};
use super::tools::Tools;

/// What `/data/local/tmp` holds.
const DISK: &str = "256m";

/// Zones that every phone has; more can be added with [`LabPhone::heat`].
const ZONES: [&str; 2] = ["cpu-0-0-usr", "battery"];

const LITTLE_KHZ: u64 = 1_800_000;
const BIG_KHZ: u64 = 2_850_000;

/// Prints `[name]: [value]` of all properties, or the value of one.
const GETPROP: &str = r#"#!/system/bin/sh
while IFS='=' read -r name value; do
  if [ $# -eq 0 ]; then echo "[$name]: [$value]"; elif [ "$name" = "$1" ]; then echo "$value"; fi
done </lab/properties
"#;

/// Every service is a file.
const DUMPSYS: &str = r#"#!/system/bin/sh
if [ -e "/lab/dumpsys/$1" ]; then cat "/lab/dumpsys/$1"; else echo "Can't find service: $1" >&2; fi
"#;

/// Every setting is a file.
const SETTINGS: &str = r#"#!/system/bin/sh
file="/lab/settings/$2/$3"
case $1 in
  get) if [ -e "$file" ]; then cat "$file"; else echo null; fi ;;
  put) mkdir -p "${file%/*}"; echo "$4" >"$file" ;;
esac
"#;

/// Knows the fixed-performance mode, and writes down every call.
const CMD: &str = r#"#!/system/bin/sh
echo "$*" >>/lab/cmd.log
case "$1 $2" in
  "power set-fixed-performance-mode-enabled") echo "$3" >/lab/fixed-performance ;;
  *) echo "cmd: Can't find service: $1" >&2; exit 20 ;;
esac
"#;

/// One phone. Its files can be read and changed while it runs.
pub struct LabPhone {
    number: u16,
    root: PathBuf,
    adbd: RefCell<Option<Child>>,
}

impl LabPhone {
    pub(super) fn boot(number: u16, root: &Path, tools: &Tools) -> Self {
        let phone = Self { number, root: root.to_owned(), adbd: RefCell::default() };
        phone.make_root(tools);
        phone.make_system();
        phone.make_hardware();
        phone.restart_adbd();
        phone
    }

    /// `HOST:PORT`. The ports keep off those where the server looks for emulators.
    pub fn serial(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// Where a path of the phone lies.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Reads a file of the phone as text.
    pub fn read(&self, path: &str) -> String {
        fs_err::read_to_string(self.path(path)).unwrap()
    }

    /// Writes a file of the phone, in place.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    /// Sets the temperature of `/sys/class/thermal/thermal_zoneZONE`.
    pub fn heat(&self, zone: usize, millidegrees: i64) {
        self.write(&format!("/sys/class/thermal/thermal_zone{zone}/temp"), &format!("{millidegrees}\n"));
    }

    /// Sets what `dumpsys thermalservice` says: 0 none, 1 light, 2 moderate, 3 severe, …
    pub fn thermal_status(&self, status: u8) {
        let text = format!("IsStatusOverride: false\nThermal Status: {status}\nHAL Ready: true\n");
        self.write("/lab/dumpsys/thermalservice", &text);
    }

    /// Sets the present clock of a core.
    pub fn clock(&self, core: usize, khz: u64) {
        self.write(&format!("{}/scaling_cur_freq", frequencies(core)), &format!("{khz}\n"));
    }

    /// Cores, and the highest clock of each in kHz: the host's number, so that affinities hold; the upper half is big.
    pub fn cores(&self) -> Vec<u64> {
        let number = std::thread::available_parallelism().unwrap().get();
        (0..number).map(|core| if core < number / 2 { LITTLE_KHZ } else { BIG_KHZ }).collect()
    }

    /// Sets what `dumpsys battery` says; the temperature in tenths of a degree.
    pub fn battery(&self, level: u8, charging: bool, temperature: i32) {
        let status = if charging { 2 } else { 3 };
        let text = format!(
            "Current Battery Service state:\n  AC powered: false\n  USB powered: {charging}\n  Wireless powered: false\n  \
             status: {status}\n  health: 2\n  present: true\n  level: {level}\n  scale: 100\n  voltage: 4200\n  \
             temperature: {temperature}\n  technology: Li-ion\n"
        );
        self.write("/lab/dumpsys/battery", &text);
    }

    /// Sets or adds a property.
    pub fn property(&self, name: &str, value: &str) {
        let others = self.read("/lab/properties");
        let others = others.lines().filter(|line| !line.starts_with(&format!("{name}=")));
        let lines: Vec<_> = others.map(str::to_owned).chain([format!("{name}={value}")]).collect();
        self.write("/lab/properties", &(lines.join("\n") + "\n"));
    }

    /// Fills `/data/local/tmp` until `bytes_free` are left, up to a page.
    pub fn fill(&self, bytes_free: u64) {
        let ballast = self.path("/data/local/tmp/ballast");
        // What an earlier call put there counts as free.
        let _ = std::fs::remove_file(&ballast);
        let free = free_bytes(&self.path("/data/local/tmp"));
        let file = fs_err::File::create(&ballast).unwrap();
        allocate(file.file(), free.saturating_sub(bytes_free));
    }

    /// Kills adbd with -9; what it had started goes on.
    pub fn kill_adbd(&self) {
        if let Some(mut adbd) = self.adbd.borrow_mut().take() {
            adbd.kill().unwrap();
            adbd.wait().unwrap();
        }
    }

    /// Starts adbd, afresh if it runs, and waits until it listens.
    pub fn restart_adbd(&self) {
        self.kill_adbd();
        let adbd = Command::new("/usr/bin/unshare")
            .arg(format!("--root={}", self.root.display()))
            .args(["--wd=/", "/android/programs/adbd"])
            .env_clear()
            .envs([("PATH", "/system/bin"), ("HOME", "/"), ("TMPDIR", "/data/local/tmp"), ("ANDROID_LOG_TAGS", "*:f")])
            .envs([("LD_LIBRARY_PATH", "/android/libraries"), ("ADBD_PORT", &self.port().to_string())])
            .stdin(Stdio::null())
            .spawn();
        *self.adbd.borrow_mut() = Some(adbd.unwrap());
        until("adbd listens", || TcpStream::connect(("127.0.0.1", self.port())).is_ok());
    }

    /// Stops adbd in its tracks: connections stay, nothing moves.
    pub fn freeze_adbd(&self) {
        self.signal_adbd(libc::SIGSTOP);
    }

    /// Lets it go on.
    pub fn thaw_adbd(&self) {
        self.signal_adbd(libc::SIGCONT);
    }

    fn signal_adbd(&self, number: i32) {
        let adbd = self.adbd.borrow();
        signal(adbd.as_ref().expect("adbd runs").id() as i32, number);
    }

    fn port(&self) -> u16 {
        6000 + self.number
    }

    fn make_root(&self, tools: &Tools) {
        fs_err::create_dir_all(&self.root).unwrap();
        mount(&["-t", "tmpfs", "-o", "mode=755", "phone"], &self.root);
        for place in ["/usr/lib", "/usr/lib64", "/lib", "/lib64", "/proc", "/dev"] {
            match fs_err::symlink_metadata(place) {
                Ok(kind) if kind.is_symlink() => symlink(fs_err::read_link(place).unwrap(), self.path(place)).unwrap(),
                Ok(_) => self.bind(Path::new(place), place),
                Err(_) => {}
            }
        }
        self.bind(&tools.folder, "/android");
        self.folder("/data/local/tmp");
        mount(&["-t", "tmpfs", "-o", &format!("mode=777,size={DISK}"), "disk"], &self.path("/data/local/tmp"));
    }

    /// Shell, tools and the commands that only Android has.
    fn make_system(&self) {
        self.folder("/system/bin");
        symlink("/system/bin", self.path("/bin")).unwrap();
        symlink("/android/programs/mksh", self.path("/system/bin/sh")).unwrap();
        let list = Command::new(self.path("/android/programs/toybox")).output().unwrap();
        for name in String::from_utf8(list.stdout).unwrap().split_whitespace() {
            symlink("/android/programs/toybox", self.path(&format!("/system/bin/{name}"))).unwrap();
        }
        for (name, text) in [("getprop", GETPROP), ("dumpsys", DUMPSYS), ("settings", SETTINGS), ("cmd", CMD)] {
            let path = format!("/system/bin/{name}");
            self.write(&path, text);
            fs_err::set_permissions(self.path(&path), PermissionsExt::from_mode(0o755)).unwrap();
        }
        self.write("/etc/passwd", "shell:x:0:0:shell:/:/bin/sh\n");
        self.write("/etc/group", "shell:x:0:\n");
        let number = self.number;
        self.write(
            "/lab/properties",
            &format!(
                "ro.product.model=Lab Phone {number}\nro.product.manufacturer=Lab\nro.product.device=lab{number}\n\
                 ro.hardware=lab\nro.soc.model=LAB{number}\nro.build.version.release=14\nro.build.version.sdk=34\n\
                 ro.product.cpu.abi=x86_64\nro.build.fingerprint=lab/lab{number}/lab{number}:14/LAB/{number}:user/release-keys\n"
            ),
        );
        self.write("/lab/dumpsys/power", "POWER MANAGER (dumpsys power)\n  mWakefulness=Awake\n");
    }

    /// Cores, clocks, temperatures and the battery.
    fn make_hardware(&self) {
        let cores = self.cores();
        for list in ["online", "present", "possible"] {
            self.write(&format!("/sys/devices/system/cpu/{list}"), &format!("0-{}\n", cores.len() - 1));
        }
        for (core, khz) in cores.into_iter().enumerate() {
            for name in ["cpuinfo_max_freq", "scaling_max_freq", "scaling_cur_freq"] {
                self.write(&format!("{}/{name}", frequencies(core)), &format!("{khz}\n"));
            }
            for name in ["cpuinfo_min_freq", "scaling_min_freq"] {
                self.write(&format!("{}/{name}", frequencies(core)), "300000\n");
            }
            self.write(&format!("{}/scaling_governor", frequencies(core)), "schedutil\n");
        }
        for (zone, name) in ZONES.iter().enumerate() {
            self.write(&format!("/sys/class/thermal/thermal_zone{zone}/type"), &format!("{name}\n"));
            self.heat(zone, 30_000);
        }
        self.thermal_status(0);
        self.battery(80, true, 250);
        // The real one with a phone's last line: the runtime reads it too, and must find the processor it runs on.
        let processor = fs_err::read_to_string("/proc/cpuinfo").unwrap();
        self.write("/lab/cpuinfo", &format!("{processor}Hardware\t: Lab {}\n", self.number));
        self.write("/lab/loadavg", "0.10 0.10 0.10 1/100 1000\n");
        for name in ["cpuinfo", "loadavg"] {
            mount(
                &["--bind", self.path(&format!("/lab/{name}")).to_str().unwrap()],
                &self.path(&format!("/proc/{name}")),
            );
        }
    }

    fn folder(&self, path: &str) {
        fs_err::create_dir_all(self.path(path)).unwrap();
    }

    fn bind(&self, source: &Path, path: &str) {
        self.folder(path);
        mount(&["--rbind", source.to_str().unwrap()], &self.path(path));
    }
}

fn frequencies(core: usize) -> String {
    format!("/sys/devices/system/cpu/cpu{core}/cpufreq")
}

fn free_bytes(folder: &Path) -> u64 {
    let path = std::ffi::CString::new(folder.to_str().unwrap()).unwrap();
    // SAFETY: the path ends with a zero byte, and a zeroed answer is a valid one to write to.
    unsafe {
        let mut answer: libc::statvfs = std::mem::zeroed();
        assert_eq!(libc::statvfs(path.as_ptr(), &mut answer), 0);
        answer.f_bavail * answer.f_frsize
    }
}

fn allocate(file: &impl std::os::fd::AsRawFd, bytes: u64) {
    if bytes > 0 {
        // SAFETY: the descriptor is open for the whole call.
        let result = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes as libc::off_t) };
        assert_eq!(result, 0, "{}", std::io::Error::from_raw_os_error(result));
    }
}
