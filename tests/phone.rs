//! Phones as devices: the real adb server, real adbds and the real runner with the real LiteRT, in private namespaces.
//!
//! | what goes wrong | what is said and done |
//! |---|---|
//! | the processor is hot, and cools down | waited, then timed; the wait is told |
//! | it stays hot; Android's thermal status; a warm, an empty battery; charging where it must not | not timed; phone, sensor and limit named |
//! | clocks drop during a load | the load does not count, is repeated, and that is told |
//! | /data/local/tmp is full | own models make room; else an error that names the phone |
//! | adbd is killed during a load | found again, this load repeated, the other phone untouched |
//! | the adb server is killed during a load | the same |
//! | the phone does not come back | an error that names it |
//! | another session has it | an error that names that process |
//! | a session was killed with -9 | the next one switches fixed-performance mode off |
//! | the runner prints garbage, half lines, another model's report, times of zero, or crashes | an error that shows it; nothing is timed |
//! | runner or library are missing | what to build and where to put it |
//! | the phone does not trust this computer | listed as that; what to do |
//! | no fixed-performance mode | timed all the same, and told |

#[path = "adb/mod.rs"]
mod lab;

mod built_runner;
mod device_contract;

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use lab::{Lab, LabPhone, Needs, inside, inside_for};
use mnas::device::checks::busy_percent;
use mnas::device::phone::PhoneDevice;
use mnas::device::phone::lock::Lock;
use mnas::device::phone::pace::Pace;
use mnas::device::phone::state::{Properties, State};
use mnas::device::profile::{Charging, Kind, Profile, RunnerChoice};
use mnas::device::{Device, DeviceError, IncidentKind, Model, Timing, verify};
use mnas::network::{Network, Weights};
use mnas::{seeded, space, tflite};
use proptest::prelude::*;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);
const FIXED: &str = "/lab/fixed-performance";

fn model(name: &str) -> Model {
    let architecture = space::parse(name).unwrap();
    let network = Network::expand(&architecture).unwrap();
    let bytes = tflite::write(&network, &Weights::random(&network, &mut seeded(1))).unwrap();
    Model { name: name.into(), architecture: Some(architecture), network: Some(network), bytes }
}

fn small() -> Model {
    model("mnasnet-small/32")
}

fn litert() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(".deps/litert/libLiteRt.so")
        .canonicalize()
        .expect("`make setup` fetched it")
}

/// Tells a story with the runner built beforehand: inside there is no cargo.
fn with_phones<F: FnOnce(&Lab)>(story: F) {
    built_runner::path();
    inside(Needs::Phones, story);
}

/// Quick and impatient, without the reference network, whose times mean little on a machine that runs tests.
fn profile() -> Profile {
    let mut profile = Profile::new("lab", Kind::Phone);
    profile.run.runner_path = Some(built_runner::path());
    profile.run.library_path = Some(litert());
    profile.run.warmup_runs = 1;
    profile.run.steady = Some(false);
    profile.run.reference = false;
    profile.limits.max_wait_s = 0;
    profile
}

fn open(lab: &Lab, number: u16, profile: &Profile) -> Result<PhoneDevice, DeviceError> {
    lab.link(number);
    PhoneDevice::open(lab.server(), &lab.phone(number).serial(), profile, 3)
}

fn problem<T>(result: Result<T, DeviceError>) -> String {
    result.err().expect("it cannot be").to_string()
}

fn assert_whole(timing: &Timing) {
    assert_eq!((timing.wall_ms.len(), timing.cpu_ms.len()), (3, 3));
}

fn kinds(device: &mut PhoneDevice) -> Vec<IncidentKind> {
    device.incidents().into_iter().map(|incident| incident.kind).collect()
}

/// Does something to the phone once something else is the case, beside the story.
fn once(
    what: &'static str,
    is: impl Fn() -> bool + Send + 'static,
    deed: impl FnOnce() + Send + 'static,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        lab::until(what, is);
        deed();
    })
}

/// The program, with files for the lab's phones where it looks for them.
fn mnas(lab: &Lab, arguments: &[&str]) -> Command {
    let files = lab.folder().join("files/x86_64");
    if !files.exists() {
        fs_err::create_dir_all(&files).unwrap();
        fs_err::os::unix::fs::symlink(built_runner::path(), files.join("mnas-runner")).unwrap();
        fs_err::os::unix::fs::symlink(litert(), files.join("libLiteRt.so")).unwrap();
    }
    let mut command = Command::cargo_bin("mnas").unwrap();
    command.args(arguments).env("MNAS_PHONE_FILES", lab.folder().join("files")).current_dir(lab.folder());
    command.env("NO_COLOR", "1").env_remove("RUST_LOG");
    command
}

fn json(command: &mut Command, code: i32) -> Value {
    let output = command.arg("--json").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn two_phones_at_once_compute_what_torch_and_tract_do_and_tell_who_they_are() {
    with_phones(|lab| {
        let model = model("mnasnet-a1/32");
        let mut devices = [open(lab, 1, &profile()).unwrap(), open(lab, 2, &profile()).unwrap()];
        for (index, device) in devices.iter_mut().enumerate() {
            let phone = lab.phone(index as u16 + 1);
            device_contract::check(device);
            assert!(verify::verify(device, &model, None).unwrap().is_verified());
            assert_whole(&device.time(&model).unwrap());
            let surroundings = device.surroundings().unwrap();
            assert_eq!(surroundings.serial, phone.serial());
            assert_eq!(surroundings.properties.model, format!("Lab Phone {}", index + 1));
            assert!(surroundings.properties.fingerprint.contains(&format!("lab/lab{}", index + 1)));
            assert_eq!(surroundings.before.battery.percent, Some(80));
            assert_eq!(surroundings.cores, device.cores().to_vec());
            assert_eq!(device.cores(), biggest(&phone));
            assert_eq!(phone.read(FIXED).trim(), "true");
        }
        drop(devices);
        assert_eq!((lab.phone(1).read(FIXED).trim(), lab.phone(2).read(FIXED).trim()), ("false", "false"));
        let left = fs_err::read_dir(lab.phone(1).path("/data/local/tmp/mnas")).unwrap();
        let models =
            left.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|kind| kind == "tflite"));
        assert_eq!(models.count(), 0);
    });
}

fn biggest(phone: &LabPhone) -> Vec<usize> {
    let clocks = phone.cores();
    let most = clocks.iter().max().unwrap();
    (0..clocks.len()).filter(|&core| clocks[core] == *most).collect()
}

#[test]
fn a_hot_phone_is_waited_for_and_one_above_a_limit_is_not_timed() {
    with_phones(|lab| {
        let phone = lab.phone(1);
        let mut patient = profile();
        patient.limits.max_wait_s = 30;
        let mut device = open(lab, 1, &patient).unwrap();
        phone.heat(0, 95_000);
        // Every look at the phone leaves a trace.
        phone.write("/system/bin/dumpsys", "#!/system/bin/sh\necho looked >>/lab/looks\ncat /lab/dumpsys/$1\n");
        let (zone, looks) = (phone.path("/sys/class/thermal/thermal_zone0/temp"), phone.path("/lab/looks"));
        let cool = move || fs_err::write(zone, "40000\n").unwrap();
        let cooled = once("it was looked at", move || looks.exists(), cool);
        assert_whole(&device.time(&small()).unwrap());
        cooled.join().unwrap();
        let incidents = device.incidents();
        assert_eq!(incidents.len(), 1);
        assert!(
            incidents[0].kind == IncidentKind::Waited && incidents[0].message.contains("cpu-0-0-usr shows 95.0 °C")
        );
        drop(device);

        let mut hasty = profile();
        hasty.limits.charging = Charging::Forbidden;
        let mut device = open(lab, 1, &profile()).unwrap();
        let mut refused = |part: &str| {
            let problem = problem(device.time(&small()));
            assert!(problem.contains(part) && problem.contains(&phone.serial()), "{problem}");
        };
        phone.heat(0, 95_000);
        refused("sensor cpu-0-0-usr shows 95.0 °C, limit 70 °C");
        phone.heat(0, 40_000);
        phone.thermal_status(3);
        refused("thermal status is 3");
        phone.thermal_status(0);
        phone.battery(12, false, 250);
        refused("the battery is at 12 %, limit 30 %");
        phone.battery(80, true, 460);
        refused("the battery has 46.0 °C");
        phone.battery(80, true, 250);
        assert_whole(&device.time(&small()).unwrap());
        drop(device);
        let problem = problem(open(lab, 1, &hasty).unwrap().time(&small()));
        assert!(problem.contains("charging is on") && problem.contains("unplug"), "{problem}");
    });
}

#[test]
fn a_load_during_which_clocks_dropped_does_not_count_and_is_repeated() {
    with_phones(|lab| {
        let phone = lab.phone(1);
        let mut patient = profile();
        patient.limits.max_wait_s = 30;
        let mut device = open(lab, 1, &patient).unwrap();
        let big = device.cores()[0];
        assert_whole(&device.time(&small()).unwrap());
        phone.clock(big, 1_200_000);
        let clock = phone.path(&format!("/sys/devices/system/cpu/cpu{big}/cpufreq/scaling_cur_freq"));
        let runs = || !lab::processes("--graph=").is_empty();
        let restored = once("it runs", runs, move || {
            lab::until("it ran", move || !runs());
            fs_err::write(clock, "2850000\n").unwrap();
        });
        assert_whole(&device.time(&small()).unwrap());
        restored.join().unwrap();
        let incidents = device.incidents();
        assert!(
            !incidents.is_empty() && incidents.iter().all(|one| one.kind == IncidentKind::Repeated),
            "{incidents:?}"
        );
        assert!(incidents[0].message.contains("1200 MHz, after 2850 MHz before"), "{incidents:?}");
        drop(device);
        let mut device = open(lab, 1, &profile()).unwrap();
        device.time(&small()).unwrap();
        phone.clock(big, 1_200_000);
        let problem = problem(device.time(&small()));
        assert!(problem.contains(&phone.serial()) && problem.contains("1200 MHz"), "{problem}");
    });
}

#[test]
fn a_full_disk_is_an_error_unless_our_own_models_fill_it() {
    with_phones(|lab| {
        let phone = lab.phone(1);
        let mut device = open(lab, 1, &profile()).unwrap();
        let large = |name: &str| model(name);
        let (first, second) = (large("mnasnet-a1/32"), large("mnasnet-b1/32"));
        phone.fill(first.bytes.len() as u64 + (2 << 20));
        assert_whole(&device.time(&first).unwrap());
        // There is room for one only: the first makes way.
        assert_whole(&device.time(&second).unwrap());
        drop(device);
        let mut device = open(lab, 1, &profile()).unwrap();
        phone.fill(1 << 20);
        let other = device.time(&large("mobilenet-v2/32"));
        let problem = problem(other);
        assert!(problem.contains("no space left") && problem.contains(&phone.serial()), "{problem}");
        // Whatever failed, the phone stays usable.
        phone.fill(64 << 20);
        assert_whole(&device.time(&second).unwrap());
    });
}

#[test]
fn a_load_cut_by_the_death_of_adbd_is_repeated_on_that_phone_alone() {
    with_phones(|lab| {
        let mut devices = [open(lab, 1, &slow()).unwrap(), open(lab, 2, &slow()).unwrap()];
        let models = [small(), model("mnasnet-a1/32")];
        std::thread::scope(|scope| {
            let threads: Vec<_> = devices
                .iter_mut()
                .zip(&models)
                .map(|(device, model)| scope.spawn(move || device.time(model).unwrap()))
                .collect();
            lab::until("both run", || lab::processes("--graph=").len() >= 2);
            lab.phone(1).kill_adbd();
            std::thread::sleep(Duration::from_millis(200));
            lab.phone(1).restart_adbd();
            for thread in threads {
                assert!(thread.join().unwrap().wall_ms.len() >= 3);
            }
        });
        let [first, second] = &mut devices;
        assert_eq!(kinds(first), [IncidentKind::Reconnected]);
        assert_eq!(kinds(second), []);
        // What the cut load left running was ended.
        assert!(lab::processes("--graph=").is_empty());
        assert_eq!(lab.phone(1).read(FIXED).trim(), "true");
    });
}

/// Loads long enough to be hit.
fn slow() -> Profile {
    let mut profile = profile();
    profile.run.warmup_runs = 3000;
    profile
}

#[test]
fn the_death_of_the_adb_server_costs_nothing_but_time() {
    with_phones(|lab| {
        let mut device = open(lab, 1, &slow()).unwrap();
        std::thread::scope(|scope| {
            let timing = scope.spawn(|| device.time(&small()).unwrap());
            lab::until("it runs", || !lab::processes("--graph=").is_empty());
            lab.kill_server();
            assert_whole(&timing.join().unwrap());
        });
        assert_eq!(kinds(&mut device), [IncidentKind::Reconnected]);
    });
}

#[test]
fn a_phone_that_does_not_come_back_is_an_error_that_names_it() {
    with_phones(|lab| {
        let mut hasty = slow();
        hasty.limits.max_away_s = 1;
        let mut device = open(lab, 1, &hasty).unwrap();
        std::thread::scope(|scope| {
            let timing = scope.spawn(|| problem(device.time(&small())));
            lab::until("it runs", || !lab::processes("--graph=").is_empty());
            lab.phone(1).kill_adbd();
            let problem = timing.join().unwrap();
            assert!(problem.contains(&lab.phone(1).serial()), "{problem}");
        });
    });
}

#[test]
fn a_phone_in_use_names_who_uses_it() {
    with_phones(|lab| {
        let lock = Lock::take(&lab.phone(1).serial()).unwrap();
        let problem = problem(open(lab, 1, &profile()));
        let holder = format!("is being measured by process {}", std::process::id());
        assert!(problem.contains(&holder) && problem.contains(&lab.phone(1).serial()), "{problem}");
        assert!(open(lab, 2, &profile()).is_ok(), "the other phone is free");
        drop(lock);
        assert!(open(lab, 1, &profile()).is_ok());
    });
}

#[test]
fn what_a_killed_session_left_on_the_next_one_switches_off() {
    with_phones(|lab| {
        lab.link(1);
        let phone = lab.phone(1);
        let command = mnas(lab, &["bench", "mnasnet-small/32", "--rounds", "10000", "--device", &phone.serial()]);
        let mut child = std::process::Command::new(command.get_program());
        child.args(command.get_args()).env("MNAS_PHONE_FILES", lab.folder().join("files"));
        let mut child = child.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        lab::until("it is at it", || !lab::processes("--graph=").is_empty());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(phone.read(FIXED).trim(), "true");
        let mut without = profile();
        without.run.fixed_performance = false;
        let mut device = open(lab, 1, &without).unwrap();
        assert_eq!(kinds(&mut device), [IncidentKind::TidiedUp]);
        assert_eq!(phone.read(FIXED).trim(), "false");
        assert_whole(&device.time(&small()).unwrap());
    });
}

#[test]
fn a_phone_without_fixed_performance_mode_is_timed_all_the_same() {
    with_phones(|lab| {
        let phone = lab.phone(1);
        phone.write("/system/bin/cmd", "#!/system/bin/sh\necho \"cmd: Can't find service: power\" >&2; exit 20\n");
        let mut device = open(lab, 1, &profile()).unwrap();
        assert_eq!(kinds(&mut device), [IncidentKind::Unavailable]);
        assert!(!device.surroundings().unwrap().fixed_performance);
        assert_whole(&device.time(&small()).unwrap());
    });
}

/// A profile whose runner is a shell script.
fn scripted(lab: &Lab, name: &str, script: &str) -> Profile {
    let path = lab.folder().join(name);
    fs_err::write(&path, format!("#!/system/bin/sh\n{script}\n")).unwrap();
    let mut profile = profile();
    profile.run.runner_path = Some(path);
    profile
}

#[test]
fn a_runner_that_answers_something_else_times_nothing() {
    with_phones(|lab| {
        // A true report, of another model.
        let mut device = open(lab, 1, &profile()).unwrap();
        device.time(&model("mnasnet-a1/32")).unwrap();
        let other = serde_json::to_string(device.last_report().unwrap()).unwrap();
        drop(device);
        let zeros =
            other.replacen("\"wall_ms\":[", "\"wall_ms\":[0.0,", 1).replacen("\"cpu_ms\":[", "\"cpu_ms\":[0.0,", 1);
        let zeros =
            zeros.replace(&mnas_runner::sha256(&model("mnasnet-a1/32").bytes), &mnas_runner::sha256(&small().bytes));
        for (name, script, part) in [
            ("garbage", "echo nonsense".to_owned(), "is not its report"),
            ("half", format!("printf '%s' '{}'", &other[..other.len() / 2]), "is not its report"),
            ("other", format!("echo '{other}'"), "is about other models"),
            ("zero", format!("echo '{zeros}'"), "a run took 0 ms"),
            ("crash", "echo 'out of luck' >&2; kill -SEGV $$".to_owned(), "out of luck"),
            ("silent", "exit 0".to_owned(), "is not its report"),
        ] {
            let mut device = open(lab, 1, &scripted(lab, name, &script)).unwrap();
            let problem = problem(device.time(&small()));
            assert!(problem.contains(part) && problem.contains(&lab.phone(1).serial()), "{name}: {problem}");
            assert!(problem.contains("mnasnet-small/32"), "{name}: {problem}");
        }
    });
}

#[test]
fn benchmark_model_times_too_and_its_half_lines_do_not() {
    with_phones(|lab| {
        let stock = |mut profile: Profile| {
            profile.run.runner = RunnerChoice::BenchmarkModel;
            profile.run.steady = None;
            profile
        };
        // Our runner takes the stock tool's place: it has its flags and prints its lines.
        let link = lab.link(1);
        link.push(
            &fs_err::read(litert()).unwrap(),
            "/data/local/tmp/mnas/libLiteRt.so",
            0o644,
            PATIENCE,
            &mut |_, _| {},
        )
        .unwrap();
        let mut device = open(lab, 1, &stock(profile())).unwrap();
        let timing = device.time(&small()).unwrap();
        assert!(
            timing.cpu_ms.is_empty() && timing.wall_ms.len() == 5,
            "order statistics of the wall clock: {timing:?}"
        );
        assert!(!verify::verify(&mut device, &small(), None).unwrap().is_verified());
        device_contract::check(&mut device);
        drop(device);
        let half =
            "echo 'count=50 first=5216 curr=5302 min=5101 max=56'; echo 'Inference timings in us: Init: 1, First inf'";
        let few = "echo 'count=1 curr=5216'; echo 'Inference timings in us: Init: 1, First inference: 5216, Warmup (avg): 0, Inference (avg): 5216'";
        for (name, script, part) in
            [("half", half, "'"), ("few", few, "made 1 runs of 3"), ("none", "exit 0", "(nothing)")]
        {
            let mut device = open(lab, 1, &stock(scripted(lab, name, script))).unwrap();
            let problem = problem(device.time(&small()));
            assert!(problem.contains("benchmark_model") && problem.contains(part), "{name}: {problem}");
        }
        let mut absent = stock(profile());
        absent.run.runner_path = Some("/data/local/tmp/nowhere".into());
        let problem = problem(open(lab, 1, &absent));
        assert!(problem.contains("/data/local/tmp/nowhere is not there"), "{problem}");
    });
}

#[test]
fn bench_over_adb_is_verified_and_stored_with_its_phone() {
    with_phones(|lab| {
        lab.link(1);
        let serial = lab.phone(1).serial();
        let arguments =
            ["bench", "mnasnet-small/32", "mnasnet-a1/32", "--rounds", "2", "--runs", "3", "--device", &serial];
        let answer = json(&mut mnas(lab, &arguments), 0);
        assert_eq!(answer["verified"], true);
        assert_eq!(answer["environment"]["phone"]["serial"], serial);
        assert_eq!(answer["environment"]["phone"]["properties"]["soc"], "LAB1");
        assert_eq!(answer["environment"]["device"]["kind"], "phone");
        let hash = mnas_runner::sha256(&fs_err::read(built_runner::path()).unwrap());
        assert_eq!(answer["environment"]["phone"]["runner_sha256"], hash);
        let results = answer["results"].as_array().unwrap();
        assert!(results.iter().all(|result| result["samples_ms"].as_array().unwrap().len() == 6));
        assert!(results[0]["median_ms"].as_f64() < results[1]["median_ms"].as_f64(), "the small one is faster");
        let mut missing = mnas(lab, &["bench", "mnasnet-small/32", "--device", &serial]);
        let output = missing.env("MNAS_PHONE_FILES", "/nowhere").output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(1) && message.contains("/nowhere/x86_64/mnas-runner is not there"),
            "{message}"
        );
        assert!(message.contains("devices/README.md"), "{message}");
    });
}

#[test]
fn devices_lists_phones_in_every_state_and_saves_a_profile_that_works() {
    with_phones(|lab| {
        lab.link(1);
        let listed = json(&mut mnas(lab, &["devices"]), 0);
        let serial = lab.phone(1).serial();
        let phone = listed["devices"].as_array().unwrap().iter().find(|device| device["id"] == serial).unwrap().clone();
        assert_eq!((&phone["state"], &phone["model"]), (&"ready".into(), &"Lab Phone 1".into()));
        assert_eq!(phone["cores"], lab.phone(1).cores().len());
        let saved = json(&mut mnas(lab, &["devices", "--save"]), 0);
        assert_eq!(saved["path"], "devices/lab-phone-1.toml");
        assert_eq!(mnas(lab, &["devices", "--save"]).output().unwrap().status.code(), Some(1), "never overwritten");
        let arguments = ["bench", "mnasnet-small/32", "--rounds", "1", "--runs", "2", "--device", "lab-phone-1"];
        let answer = json(&mut mnas(lab, &arguments), 0);
        assert_eq!(answer["environment"]["device"]["id"], "lab-phone-1");
        assert_eq!(answer["environment"]["phone"]["serial"], serial);
        lab.link(2);
        let several = mnas(lab, &["devices", "--save"]).output().unwrap();
        assert!(String::from_utf8_lossy(&several.stderr).contains("127.0.0.1:6002"), "both are named");
        let unknown = mnas(lab, &["bench", "mnasnet-small/32", "--device", "nobody"]).output().unwrap();
        assert!(String::from_utf8_lossy(&unknown.stderr).contains("no device 'nobody'"));
    });
}

/// Lets the phone's processor look as busy as it says, in percent: `/proc/stat` is the host's otherwise.
fn play_load(phone: &LabPhone) -> Arc<AtomicU64> {
    let line = |busy: u64, idle: u64| format!("cpu  {busy:010} 0 0 {idle:010} 0 0 0 0 0 0\n");
    let (file, percent) = (phone.path("/lab/stat"), Arc::new(AtomicU64::new(1)));
    phone.write("/lab/stat", &line(0, 0));
    let mut mount = std::process::Command::new("mount");
    assert!(mount.arg("--bind").arg(&file).arg(phone.path("/proc/stat")).status().unwrap().success());
    let share = percent.clone();
    // Ends with the story's process.
    std::thread::spawn(move || {
        let (mut busy, mut idle) = (0, 0);
        let file = fs_err::OpenOptions::new().write(true).open(file).unwrap();
        loop {
            std::thread::sleep(Duration::from_millis(20));
            let share = share.load(Ordering::Relaxed);
            (busy, idle) = (busy + share, idle + 100 - share);
            // In one piece and of one length, so that nobody reads a half.
            file.file().write_all_at(line(busy, idle).as_bytes(), 0).unwrap();
        }
    });
    percent
}

#[test]
fn doctor_says_what_is_wrong_with_a_phone_and_exits_with_3() {
    with_phones(|lab| {
        lab.link(1);
        let phone = lab.phone(1);
        let serial = phone.serial();
        let look = |code| json(&mut mnas(lab, &["doctor", "--device", &serial]), code);
        let of = |answer: &Value, name: &str| -> Value {
            answer["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).cloned().unwrap_or_default()
        };
        let percent = play_load(&phone);
        percent.store(90, Ordering::Relaxed);
        let busy = look(3);
        assert!(of(&busy, "load")["found"].as_str().unwrap().contains("90 % of all cores busy"), "{busy}");
        percent.store(1, Ordering::Relaxed);
        for (name, spoil, mend) in [
            (
                "temperature",
                (|phone| phone.heat(0, 95_000)) as fn(&LabPhone),
                (|phone| phone.heat(0, 30_000)) as fn(&LabPhone),
            ),
            ("thermal status", |phone| phone.thermal_status(2), |phone| phone.thermal_status(0)),
            ("battery", |phone| phone.battery(7, false, 250), |phone| phone.battery(80, true, 250)),
            (
                "battery saver",
                |phone| phone.write("/lab/settings/global/low_power", "1\n"),
                |phone| phone.write("/lab/settings/global/low_power", "0\n"),
            ),
            ("free space", |phone| phone.fill(1 << 20), |phone| phone.fill(200 << 20)),
        ] {
            spoil(&phone);
            let answer = look(3);
            mend(&phone);
            let check = of(&answer, name);
            assert!(check["ok"] == false && !check["advice"].as_str().unwrap().is_empty(), "{name}: {answer}");
            let failed = answer["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false).count();
            assert_eq!(failed, 2, "{name} and what was therefore not tried: {answer}");
        }
        let big = biggest(&phone)[0];
        phone.clock(big, 900_000);
        let throttled = look(3);
        assert!(of(&throttled, "clocks")["found"].as_str().unwrap().contains("900 of 2850 MHz"), "{throttled}");
        phone.clock(big, 2_850_000);
        let output = mnas(lab, &["doctor", "--json", "--device", &serial]).output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let wrong = answer["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false);
        // How well timings repeat is up to whatever else this machine does.
        assert!(wrong.clone().all(|check| check["name"] == "repeatability"), "{answer}");
        assert_eq!(output.status.code(), Some(if wrong.count() == 0 { 0 } else { 3 }));
        phone.kill_adbd();
        let gone = look(3);
        assert!(of(&gone, "connection")["found"].as_str().unwrap().contains(&serial), "{gone}");
    });
}

#[test]
fn a_phone_that_does_not_trust_this_computer_is_listed_and_doctor_says_what_to_do() {
    built_runner::path();
    inside(Needs::Server, |lab| {
        let phone = lab::stand_in::StandIn::suspicious(6100, |_| Vec::new());
        let serial = phone.serial();
        // That the key is not accepted is how this call ends.
        let _ = lab.server().connect_phone(&serial, PATIENCE);
        lab::until("it is listed", || !lab.server().devices(PATIENCE).unwrap().is_empty());
        let listed = json(&mut mnas(lab, &["devices"]), 0);
        let devices = listed["devices"].as_array().unwrap();
        assert_eq!(devices.iter().find(|device| device["id"] == serial).unwrap()["state"], "unauthorized");
        let answer = json(&mut mnas(lab, &["doctor", "--device", &serial]), 3);
        let found = answer["checks"][0]["found"].as_str().unwrap();
        assert!(found.contains(&serial) && found.contains("accept 'Allow USB debugging?'"), "{answer}");
    });
}

#[test]
fn without_adb_devices_still_lists_this_machine_and_says_why_there_are_no_phones() {
    let mut command = Command::cargo_bin("mnas").unwrap();
    command
        .args(["devices"])
        .env("PATH", "/nowhere")
        .env("ANDROID_ADB_SERVER_PORT", "1")
        .env_remove("ADB_SERVER_SOCKET");
    let answer = json(&mut command, 0);
    assert_eq!(answer["devices"][0]["id"], "host");
    assert!(answer["adb"].as_str().unwrap().contains("install Android's platform tools"), "{answer}");
}

#[test]
fn doctor_looks_at_this_machine_too() {
    let output = Command::cargo_bin("mnas").unwrap().args(["doctor", "--json"]).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let failed = answer["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false).count();
    assert_eq!(output.status.code(), Some(if failed == 0 { 0 } else { 3 }), "{answer}");
    let names: Vec<_> = answer["checks"].as_array().unwrap().iter().map(|check| check["name"].clone()).collect();
    assert!(names.contains(&"load".into()) && names.contains(&"repeatability".into()), "{answer}");
    assert!(
        answer["checks"]
            .as_array()
            .unwrap()
            .iter()
            .all(|check| check["ok"] == check["advice"].as_str().unwrap().is_empty())
    );
}

#[test]
fn the_profiles_that_come_along_are_valid_and_the_hosts_can_be_used() {
    let profiles = Profile::all_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("devices"));
    assert!(profiles.len() >= 5);
    for (path, profile) in profiles {
        let profile = profile.unwrap();
        assert_eq!(path.file_stem().unwrap().to_str(), Some(profile.id.as_str()));
        assert_eq!(Profile::parse(&profile.to_toml().unwrap()).unwrap(), profile);
    }
    let mut command = Command::cargo_bin("mnas").unwrap();
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args(["bench", "mnasnet-small/32", "--rounds", "1", "--device", "host-two-threads"]);
    let answer = json(&mut command, 0);
    let device = &answer["environment"]["device"];
    assert_eq!(
        (&device["id"], &device["threads"], &device["clock"]),
        (&"host-two-threads".into(), &2.into(), &"wall".into())
    );
    let mut command = Command::cargo_bin("mnas").unwrap();
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args(["bench", "mnasnet-small/32", "--rounds", "1", "--kernels", "builtin", "--threads", "1"]);
    let answer = json(&mut command, 0);
    assert!(answer["environment"]["device"]["runtime"].as_str().unwrap().ends_with("without XNNPACK"));
}

#[test]
fn a_mistake_in_a_profile_is_one_line_with_its_place() {
    for (text, part) in [
        ("kind = \"phone\"", "missing field `id`"),
        ("id = \"a\"\ncolour = \"red\"", "line 2: unknown field `colour`"),
        ("id = \"host\"", "id must be a file name of its own"),
        ("id = \"a\"\n[run]\nthreads = 0", "run.threads must be from 1 to 64, found 0"),
        ("id = \"a\"\n[run]\ncores = \"4,x\"", "run.cores: cores are a mask like 0xf0"),
        ("id = \"a\"\n[run]\ncores = \"7\"\nthreads = 2", "run.threads is 2, more than the 1 of run.cores"),
        ("id = \"a\"\n[run]\ndelegate = \"gpu\"", "only runner = \"benchmark_model\""),
        ("id = \"a\"\n[limits]\nmax_slowdown = 1.0", "limits.max_slowdown must be from 1.01 to 2"),
        ("id = \"a\"\n[run]\nrunner = \"theirs\"", "run.runner: line 3: unknown variant `theirs`"),
    ] {
        let problem = Profile::parse(text).unwrap_err();
        assert!(problem.contains(part) && !problem.contains('\n'), "{problem}");
    }
}

#[test]
fn a_reference_that_slows_down_is_told_and_one_that_speeds_up_is_the_new_baseline() {
    let mut pace = Pace::new(1.10);
    [2.0, 2.1, 1.9].into_iter().for_each(|ms| pace.learn(ms));
    assert!(pace.has_baseline(3) && pace.reference(2.19).is_ok());
    let slow = pace.reference(2.5).unwrap_err();
    assert!(slow.why.contains("1.25 × its 2.000 ms, limit 1.10 ×"), "{slow:?}");
    // It was throttled when it began.
    assert!(pace.reference(1.5).is_ok());
    assert!(pace.reference(1.9).is_err());
}

#[test]
fn a_slowness_that_lasts_is_the_new_speed_unless_it_is_beyond_belief() {
    let mut pace = Pace::new(1.10);
    [2.0, 2.0, 2.0].into_iter().for_each(|ms| pace.learn(ms));
    assert_eq!(pace.reference(3.1).unwrap_err().reference_ms, None);
    let lasting = pace.reference(2.5).unwrap_err().reference_ms;
    pace.settle(lasting.expect("a quarter slower can be believed"));
    assert!(pace.reference(2.6).is_ok() && pace.reference(2.9).is_err());
}

#[test]
fn busy_shares_come_from_ticks_and_from_nothing_else() {
    assert_eq!(busy_percent("cpu  10 0 10 80 0 0", "cpu  20 0 20 140 20 0"), Some(20.0));
    for (before, after) in [("", ""), ("cpu 1", "cpu 2"), ("cpu  1 1 1 1 1", "cpu  1 1 1 1 1"), ("intr 5", "intr 6")] {
        assert_eq!(busy_percent(before, after), None);
    }
}

proptest! {
    #[test]
    fn whatever_a_phone_says_of_itself_is_read_without_panic(
        text in "((core|zone|load|saver|property|@battery|@thermal|level:|temperature:|Thermal Status:|[0-9]{1,20}|-|\\?|cpu| |\n|\\PC){0,12}\n){0,20}",
    ) {
        let state = State::parse(&text);
        let cores = state.biggest_cores();
        prop_assert!(cores.iter().all(|core| state.moment.cores.iter().any(|one| one.core == *core)));
        prop_assert!(state.hottest().is_none_or(|zone| zone.celsius.is_finite()));
        let _ = Properties::parse(&text);
    }
}

#[test]
#[ignore = "minutes of measuring; shows how long a calibration over adb takes"]
fn a_calibration_of_100_networks_over_adb_takes_less_than_ten_minutes() {
    built_runner::path();
    inside_for(Duration::from_secs(3600), Needs::Phones, |lab| {
        lab.link(1);
        let start = Instant::now();
        // This machine stands in for the phone, and its neighbours make it a tenth slower or faster at any moment.
        let mut profile = Profile::new("stand-in", Kind::Phone);
        profile.serial = Some(lab.phone(1).serial());
        profile.limits.max_slowdown = 1.5;
        let file = lab.folder().join("stand-in.toml");
        fs_err::write(&file, profile.to_toml().unwrap()).unwrap();
        let device = file.to_str().unwrap();
        let arguments = ["calibrate", "--device", device, "--out", "calibration", "--networks", "100"];
        let answer = json(&mut mnas(lab, &arguments), 0);
        println!("{} s: {answer}", start.elapsed().as_secs());
        assert_eq!((&answer["networks"], &answer["validation"]), (&100.into(), &30.into()));
        assert!(start.elapsed() < Duration::from_secs(600));
    });
}
