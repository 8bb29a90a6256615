//! What runs the models, and what it answers.

use crate::lab::Lab;
use crate::phones::{
    FIXED, PATIENCE, assert_whole, biggest, litert, model, open, problem, profile, small, with_phones,
};
use mnas::device::Device as _;
use mnas::device::profile::{Profile, RunnerChoice};
use mnas::device::verify;

#[test]
fn two_phones_at_once_compute_what_torch_and_tract_do_and_tell_who_they_are() {
    with_phones(|lab| {
        let model = model("mnasnet-a1/32");
        let mut devices = [open(lab, 1, &profile()).unwrap(), open(lab, 2, &profile()).unwrap()];
        for (index, device) in devices.iter_mut().enumerate() {
            let phone = lab.phone(index as u16 + 1);
            crate::device_contract::check(device);
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
        assert!(timing.cpu_ms.is_empty() && timing.wall_ms.len() == 1, "one number stands for all runs: {timing:?}");
        assert!(!verify::verify(&mut device, &small(), None).unwrap().is_verified());
        crate::device_contract::check(&mut device);
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
