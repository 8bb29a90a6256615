//! Heat, clocks, full disks, locks, and what a session leaves behind.

use crate::phones::{FIXED, assert_whole, kinds, mnas, model, once, open, problem, profile, small, with_phones};
use mnas::device::Device as _;
use mnas::device::IncidentKind;
use mnas::device::phone::lock::Lock;
use mnas::device::phone::pace::Pace;
use mnas::device::profile::Charging;

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
        let runs = || !crate::lab::processes("--graph=").is_empty();
        let restored = once("it runs", runs, move || {
            crate::lab::until("it ran", move || !runs());
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
        crate::lab::until("it is at it", || !crate::lab::processes("--graph=").is_empty());
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
