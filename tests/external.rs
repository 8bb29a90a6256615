//! Programs of the user's own: a Python trainer and device, and shell commands that misbehave.

use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mnas::device::command::CommandDevice;
use mnas::device::{Device, DeviceError, Model};
use mnas::external::{Answer, ExternalError, Program, Request};
use mnas::space;
use mnas::train::command::CommandAccuracy;
use mnas::train::table::{AccuracyTable, StandIn};
use mnas::train::{self, Accuracy, AccuracyError};

/// Answers by the request itself, so that what was asked shows in what comes back.
const TRAINER: &str = r#"#!/usr/bin/env python3
import json, os, sys, time
time.sleep(float(os.environ.get("START_UP_S", "0")))
print("ready", file=sys.stderr, flush=True)
for line in sys.stdin:
    request = json.loads(line)
    block = request["blocks"][-1]
    assert request["tflite"] is None and request["architecture"].startswith("input=224 stem=32 r1_k3")
    assert set(block) == {"op", "expansion", "kernel", "se_ratio", "skip", "filters", "layers", "stride"}
    if request["id"] == 13:
        answer = {"id": 13, "error": "the loss is not a number"}
    else:
        answer = {"id": request["id"], "accuracy": block["filters"] / 1000 + block["se_ratio"] / 10, "note": "extra"}
    print(json.dumps(answer), flush=True)
"#;

const DEVICE: &str = r#"
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    size = len(open(request["tflite"], "rb").read())
    print(json.dumps({"id": request["id"], "latency_ms": [size / 10, size / 10 + 0.5]}), flush=True)
"#;

fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

/// A script that answers requests holding the first of a pair with the second, and all others with `else_line`.
fn answering(pairs: &[(&str, &str)], else_line: &str) -> String {
    let cases: String = pairs.iter().map(|(part, line)| format!("*'{part}'*) echo '{line}';; ")).collect();
    format!("while read request; do case \"$request\" in {cases} *) echo '{else_line}';; esac; done")
}

/// The number of lines in a file; 0 if there is none yet.
fn lines_of(path: &Path) -> usize {
    fs_err::read_to_string(path).map_or(0, |text| text.lines().count())
}

/// What `work` logs.
fn logged(work: impl FnOnce()) -> String {
    let mut file = tempfile::tempfile().unwrap();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(Arc::new(file.try_clone().unwrap()));
    tracing::subscriber::with_default(log.finish(), work);
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

fn script(folder: &Path, text: &str) -> Vec<String> {
    let path = folder.join("program.py");
    fs_err::write(&path, text).unwrap();
    vec!["python3".to_owned(), path.display().to_string()]
}

fn request(id: u64) -> train::Request {
    train::Request { id, architecture: space::parse("mnasnet-a1").unwrap(), seed: 1 }
}

fn question(id: u64) -> Request {
    Request::new(id, Some(&request(id).architecture), None)
}

#[test]
fn a_request_is_the_line_that_the_interface_promises() {
    let architecture = space::parse("stem=16 r2_k5_s22_e6_i16_o24_se0.25 r1_k3_s11_e1_i24_o32_conv_noskip").unwrap();
    let line = serde_json::to_string(&Request::new(17, Some(&architecture), Some(Path::new("/m.tflite")))).unwrap();
    insta::assert_snapshot!(line, @r#"{"id":17,"architecture":"input=224 stem=16 r2_k5_s22_e6_i16_o24_se0.25 r1_k3_s11_e1_i24_o32_noskip_conv head=1280 classes=1000","blocks":[{"op":"mbconv","expansion":6,"kernel":5,"se_ratio":0.25,"skip":"identity","filters":24,"layers":2,"stride":2},{"op":"conv","expansion":1,"kernel":3,"se_ratio":0.0,"skip":"none","filters":32,"layers":1,"stride":1}],"tflite":"/m.tflite"}"#);
}

#[test]
fn a_python_trainer_answers_many_requests_of_several_threads() {
    let folder = tempfile::tempdir().unwrap();
    let trainer = CommandAccuracy::start(&script(folder.path(), TRAINER), 2).unwrap();
    assert_eq!(trainer.workers(), 2);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let trainer = &trainer;
            scope.spawn(move || {
                for id in 0..10 {
                    let answer = trainer.evaluate(&request(100 * thread + id + 20));
                    assert_eq!(answer.unwrap(), 0.32);
                }
            });
        }
    });
}

#[test]
fn an_error_answer_costs_one_candidate_only() {
    let folder = tempfile::tempdir().unwrap();
    let trainer = CommandAccuracy::start(&script(folder.path(), TRAINER), 1).unwrap();
    let error = trainer.evaluate(&request(13)).unwrap_err();
    assert!(matches!(&error, AccuracyError::Candidate { id: 13, problem } if problem == "the loss is not a number"));
    assert!(trainer.evaluate(&request(14)).is_ok());
}

#[test]
fn a_slow_start_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = vec!["env".to_owned(), "START_UP_S=1.5".to_owned()];
    command.extend(script(folder.path(), TRAINER));
    let trainer = CommandAccuracy::start(&command, 1).unwrap();
    assert!(trainer.evaluate(&request(1)).is_ok());
}

#[test]
fn a_program_that_dies_is_restarted_and_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let asked = folder.path().join("asked");
    let script = format!(
        r#"while read line; do
            echo "$line" >> {0}
            case $(wc -l < {0}) in 2) kill -9 $$;; esac
            id=${{line#*:}}; echo "{{\"id\":${{id%%,*}},\"accuracy\":0.5}}"
        done"#,
        asked.display()
    );
    let mut program = Program::start(&shell(&script)).unwrap();
    for id in [5, 6, 7] {
        assert_eq!(program.ask(&question(id)).unwrap(), Answer::Accuracy(0.5));
    }
    let ids: Vec<u64> = fs_err::read_to_string(asked)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, [5, 6, 6, 7]);
}

#[test]
fn a_program_that_always_dies_is_given_up_with_its_last_words() {
    let mut program = Program::start(&shell("read line; echo first >&2; echo 'no GPU found' >&2; exit 3")).unwrap();
    let error = program.ask(&question(9)).unwrap_err();
    assert!(matches!(&error, ExternalError::Died { id: 9, .. }));
    let text = error.to_string();
    assert!(text.contains("exit status: 3") && text.ends_with("on stderr:\n  first\n  no GPU found"), "{text}");
    let mut silent = Program::start(&shell("exit 0")).unwrap();
    assert!(silent.ask(&question(1)).unwrap_err().to_string().contains("it wrote nothing to stderr"));
}

#[test]
fn a_line_that_is_no_answer_is_an_error_that_names_it() {
    for (line, problem) in [
        ("hello", r#"line 1 of its output: expected JSON like"#),
        ("Epoch 1/5", "a log or a banner, belongs on stderr"),
        (r#"{"id":2,"accuracy":0.5"#, "EOF while parsing"),
        (r#"{"id":1,"accuracy":0.5}"#, "expected the answer to request 2, found one to 1"),
        (r#"{"id":77,"accuracy":0.5}"#, r#"found one to 77: "{\"id\":77,"#),
        (r#"{"accuracy":0.5}"#, "missing field `id`"),
        (r#"{"id":2}"#, "exactly one of accuracy, latency_ms and error"),
        (r#"{"id":2,"accuracy":0.5,"error":"both"}"#, "exactly one of"),
        (r#"{"id":2,"accuracy":65.1}"#, "must be a fraction from 0 to 1, found 65.1; is it in percent?"),
        (r#"{"id":2,"accuracy":-0.1}"#, "from 0 to 1, found -0.1"),
        (r#"{"id":2,"accuracy":NaN}"#, "expected numbers, found NaN"),
        (r#"{"id":2,"accuracy":-Infinity}"#, "expected numbers, found -Infinity"),
        (r#"{"id":2,"accuracy":1e999}"#, "expected JSON"),
        (r#"{"id":2,"accuracy":"0.5"}"#, "expected JSON"),
        (r#"{"id":2,"accuracy":null}"#, "exactly one of"),
        (r#"{"id":2,"latency_ms":[5]}"#, "a trainer must answer with accuracy"),
    ] {
        let mut program =
            Program::start(&shell(&answering(&[(r#""id":1,"#, r#"{"id":1,"accuracy":0.1}"#)], line))).unwrap();
        assert_eq!(program.ask(&question(1)).unwrap(), Answer::Accuracy(0.1));
        let error = program.ask(&question(2)).unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains("of its output"), "{line}: {error}");
        assert_eq!(program.ask(&question(1)).unwrap(), Answer::Accuracy(0.1), "the next request is served again");
    }
}

#[test]
fn what_is_of_no_use_is_asked_for_once_more_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let starts = folder.path().join("starts");
    for useless in ["NaN", "Infinity", "-1", "1.01", "65.1"] {
        let answers =
            answering(&[(r#""id":1,"#, r#"{"id":1,"accuracy":0.5}"#)], &format!(r#"{{"id":2,"accuracy":{useless}}}"#));
        let mut program = Program::start(&shell(&format!("echo >> {}; {answers}", starts.display()))).unwrap();
        let error = program.ask(&question(2)).unwrap_err();
        assert!(error.to_string().contains("line 2 of its output"), "it was asked twice: {error}");
        assert_eq!(program.ask(&question(1)).unwrap(), Answer::Accuracy(0.5));
    }
    assert_eq!(lines_of(&starts), 5, "a start-up may take minutes: one each");
}

#[test]
fn a_program_that_dies_over_one_network_is_asked_twice_and_serves_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let asked = folder.path().join("asked");
    let deaths = [
        ("raise MemoryError('CUDA out of memory')", "exit status: 1): MemoryError: CUDA out of memory"),
        ("os.kill(os.getpid(), 9)", "signal: 9 (SIGKILL): usually the system was out of memory"),
        ("os.kill(os.getpid(), 11)", "SIGSEGV): usually a crash in native code"),
        ("os.abort()", "SIGABRT): it gave itself up"),
        ("os._exit(137)", "exit status: 137, a shell's word for signal 9 (SIGKILL)"),
        ("os.close(1); time.sleep(1000)", "it closed its output, and had to be ended"),
    ];
    for (death, reason) in deaths {
        let text = format!(
            "import json, os, sys, time\nfor line in sys.stdin:\n    id = json.loads(line)['id']\n    open({asked:?}, 'a').write('x\\n')\n    if id == 2: {death}\n    print(json.dumps({{'id': id, 'accuracy': 0.5}}))\n"
        );
        let trainer = CommandAccuracy::start(&script(folder.path(), &text), 1).unwrap();
        assert_eq!(trainer.evaluate(&request(1)).unwrap(), 0.5);
        let error = trainer.evaluate(&request(2)).unwrap_err();
        assert!(matches!(&error, AccuracyError::Candidate { id: 2, problem } if problem.contains(reason)), "{error}");
        assert_eq!(trainer.evaluate(&request(3)).unwrap(), 0.5);
        assert_eq!(lines_of(&asked), 4, "{death}");
        fs_err::remove_file(&asked).unwrap();
    }
}

#[test]
fn a_restart_shows_what_the_program_said_last() {
    let folder = tempfile::tempdir().unwrap();
    let once = folder.path().join("once");
    let dying = format!("[ -e {0} ] || {{ touch {0}; read a; echo 'no space left' >&2; exit 7; }}; ", once.display());
    let log = logged(|| {
        let mut program = Program::start(&shell(&(dying + &answering(&[], r#"{"id":1,"accuracy":0.5}"#)))).unwrap();
        assert_eq!(program.ask(&question(1)).unwrap(), Answer::Accuracy(0.5));
    });
    assert!(log.contains("exit status: 7") && log.contains("no space left"), "{log}");
    assert!(log.contains("request 1 is sent once more"), "{log}");
}

#[test]
fn a_program_that_ends_after_every_answer_has_not_failed() {
    let folder = tempfile::tempdir().unwrap();
    let parent = folder.path().join("parent");
    // What it is started by ends with it, and stays as what has ended until it is asked about.
    let has_ended = || {
        let parent = fs_err::read_to_string(&parent).unwrap();
        fs_err::read_to_string(format!("/proc/{}/status", parent.trim())).unwrap().contains("State:\tZ")
    };
    let one_shot = r#"echo $PPID > PARENT; read line; id=${line#*:}; echo "{\"id\":${id%%,*},\"accuracy\":0.5}""#;
    let log = logged(|| {
        let one_shot = one_shot.replace("PARENT", parent.to_str().unwrap());
        let mut program = Program::start(&shell(&one_shot)).unwrap();
        for id in 1..4 {
            assert_eq!(program.ask(&question(id)).unwrap(), Answer::Accuracy(0.5));
            while !has_ended() {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    });
    assert!(!log.contains("sent once more"), "{log}");
}

#[test]
fn a_silent_program_is_named_again_and_again_and_given_up_at_its_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let starts = folder.path().join("starts");
    let silent = format!("echo $$ >> {}; echo loading >&2; while read request; do sleep 1000; done", starts.display());
    let log = logged(|| {
        let program = Program::start(&shell(&silent)).unwrap();
        let timeout = Some(Duration::from_secs(2));
        let mut program = program.with_timeout(timeout).with_first_hint(Duration::from_millis(500));
        let start = Instant::now();
        let error = program.ask(&question(4)).unwrap_err();
        assert!(matches!(error, ExternalError::Expired { id: 4, .. }), "{error}");
        assert!(start.elapsed() >= Duration::from_secs(4), "two tries of two seconds");
        assert!(
            error.to_string().contains("within the timeout of 2 s; its last lines on stderr:\n  loading"),
            "{error}"
        );
    });
    assert_eq!(lines_of(&starts), 2, "it is started again for the second try");
    for silence in ["for 0.5 s", "for 1 s"] {
        assert_eq!(log.matches(&format!("has not answered request 4 {silence}")).count(), 2, "{log}");
    }
    assert!(log.contains("which must be flushed") && log.contains("The network: input=224"), "{log}");
    for pid in fs_err::read_to_string(starts).unwrap().lines() {
        assert!(!Path::new("/proc").join(pid).exists(), "{pid} lives on");
    }
}

#[test]
fn a_python_program_need_not_flush() {
    let folder = tempfile::tempdir().unwrap();
    let trainer = CommandAccuracy::start(&script(folder.path(), &TRAINER.replace(", flush=True", "")), 1).unwrap();
    assert!(trainer.evaluate(&request(1)).is_ok());
}

#[test]
fn a_program_that_fails_at_every_network_is_taken_to_be_broken() {
    let fatal = |trainer: &CommandAccuracy, tries: u64| {
        let results: Vec<_> = (0..tries).map(|number| trainer.evaluate(&numbered(number)).unwrap_err()).collect();
        let position = results.iter().position(|error| matches!(error, AccuracyError::Fatal(_)));
        position.map(|position| (position + 1, results[position].to_string()))
    };
    let trainer = |script: &str| CommandAccuracy::start(&shell(script), 1).unwrap();
    for broken in [
        "read a; exit 3",
        "echo 'Using TensorFlow backend.'; cat > /dev/null",
        r#"read a; echo '{"id":0,"latency_ms":[5]}'; read b; echo x"#,
    ] {
        let (count, message) = fatal(&trainer(broken), 5).expect(broken);
        assert!(count == 5 && message.contains("5 different networks in a row failed"), "{broken}: {message}");
    }
    let refusing = r#"while read line; do id=${line#*:}; echo "{\"id\":${id%%,*},\"error\":\"no GPU\"}"; done"#;
    let (count, message) = fatal(&trainer(refusing), 20).unwrap();
    assert!(count == 20 && message.ends_with("no GPU"), "{message}");
    // Every fifth is served.
    let mixed = r#"while read line; do id=${line#*:}; id=${id%%,*}; [ $((id % 5)) = 4 ] || exit 1; echo "{\"id\":$id,\"accuracy\":0.5}"; done"#;
    let mixed = trainer(mixed);
    for number in 0..12 {
        let result = mixed.evaluate(&numbered(number));
        assert_eq!(result.is_ok(), number % 5 == 4, "{number}: {result:?}");
        assert!(!matches!(result, Err(AccuracyError::Fatal(_))), "{number}");
    }
}

/// One request of many for different networks.
fn numbered(number: u64) -> train::Request {
    let architecture = space::parse(&format!("stem={} r1_k3_s22_e3_i8_o16", 8 + 8 * number)).unwrap();
    train::Request { id: number, architecture, seed: 1 }
}

#[test]
fn an_endless_line_is_cut_and_refused() {
    let mut program = Program::start(&shell("read a; head -c 3000000 /dev/zero | tr '\\0' x; read b")).unwrap();
    let error = program.ask(&question(1)).unwrap_err().to_string();
    assert!(error.contains("expected JSON") && error.len() < 1000, "{error}");
}

#[test]
fn a_command_that_cannot_start_is_refused_at_once() {
    let missing = |command: &[&str]| {
        let command: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
        CommandAccuracy::start(&command, 1).err().unwrap().to_string()
    };
    assert!(missing(&["./no-such-trainer.py"]).starts_with("cannot start './no-such-trainer.py': No such file"));
    assert!(missing(&[]).contains("is empty"));
}

fn model(bytes: usize) -> Model {
    let architecture = space::parse("mnasnet-a1").unwrap();
    Model { name: "a1".to_owned(), architecture: Some(architecture), network: None, bytes: vec![7; bytes] }
}

#[test]
fn a_python_device_times_the_file_it_is_given_and_nothing_is_left_behind() {
    let (folder, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut device = CommandDevice::start(&script(folder.path(), DEVICE), scratch.path()).unwrap();
    assert_eq!(device.description().kind, "command");
    for bytes in [50, 70, 50, 70] {
        let timing = device.time(&model(bytes)).unwrap();
        assert_eq!(timing.wall_ms, [bytes as f64 / 10.0, bytes as f64 / 10.0 + 0.5]);
        assert!(timing.cpu_ms.is_empty());
    }
    let files = || fs_err::read_dir(scratch.path()).unwrap().count();
    assert_eq!(files(), 2, "one file for each model, however often it is loaded");
    for bytes in 100..200 {
        device.time(&model(bytes)).unwrap();
    }
    assert!(files() < 100, "not the file of every model that ever was");
    drop(device);
    assert_eq!(files(), 0);
}

#[test]
fn trainers_and_devices_are_not_taken_for_each_other() {
    let echo = |answer: &str| {
        shell(&format!(r#"while read line; do id=${{line#*:}}; echo "{{\"id\":${{id%%,*}},{answer}}}"; done"#))
    };
    let scratch = tempfile::tempdir().unwrap();
    let mut device = CommandDevice::start(&echo(r#"\"accuracy\":0.5"#), scratch.path()).unwrap();
    let error = device.time(&model(1)).unwrap_err().to_string();
    assert!(error.contains("a device must answer with latency_ms, found accuracy"), "{error}");
    let trainer = CommandAccuracy::start(&echo(r#"\"latency_ms\":[5]"#), 1).unwrap();
    assert!(trainer.evaluate(&request(1)).unwrap_err().to_string().contains("a trainer must answer with accuracy"));
    let mut device = CommandDevice::start(&echo(r#"\"error\":\"too hot\""#), scratch.path()).unwrap();
    assert_eq!(device.time(&model(1)).unwrap_err().to_string(), "device command: model 'a1': too hot");
}

#[test]
fn a_device_that_cannot_time_a_network_costs_it_and_one_that_times_none_is_gone() {
    let (folder, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let deaths = [
        ("raise OSError('dlopen failed')", "OSError: dlopen failed"),
        ("print(json.dumps({'id': request['id'], 'latency_ms': [float('nan')]}))", "expected numbers, found NaN"),
        ("print(json.dumps({'id': request['id'], 'latency_ms': []}))", "at least one number above 0"),
        ("print(json.dumps({'id': request['id'], 'latency_ms': [0.0]}))", "at least one number above 0"),
        ("print(json.dumps({'id': request['id'] + 1, 'latency_ms': [1.0]}))", "expected the answer to request"),
    ];
    for (death, reason) in deaths {
        let text = format!(
            "import json, sys\nfor line in sys.stdin:\n    request = json.loads(line)\n    if len(open(request['tflite'], 'rb').read()) > 50: {death}\n    else: print(json.dumps({{'id': request['id'], 'latency_ms': [5.0]}}))\n"
        );
        let mut device = CommandDevice::start(&script(folder.path(), &text), scratch.path()).unwrap();
        assert!(device.time(&model(50)).is_ok());
        let named = |number: usize| Model { name: format!("m{number}"), ..model(51) };
        for number in 0..4 {
            let error = device.time(&named(number)).unwrap_err();
            assert!(matches!(&error, DeviceError::Model { problem, .. } if problem.contains(reason)), "{error}");
        }
        let error = device.time(&named(4)).unwrap_err();
        assert!(
            matches!(&error, DeviceError::Library(text) if text.contains("5 different networks in a row") && text.contains(reason)),
            "{error}"
        );
        assert!(device.time(&model(50)).is_ok(), "and it can be asked again");
    }
    assert_eq!(fs_err::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn the_stand_in_repeats_itself_and_prefers_larger_networks() {
    let small = train::Request { architecture: space::parse("mnasnet-a1@0.35/96").unwrap(), ..request(1) };
    let stand_in = StandIn { noise: 0.01, delay: std::time::Duration::ZERO, workers: 1 };
    assert_eq!(stand_in.evaluate(&small).unwrap(), stand_in.evaluate(&small).unwrap());
    let other_seed = train::Request { seed: 2, ..small.clone() };
    assert_ne!(stand_in.evaluate(&small).unwrap(), stand_in.evaluate(&other_seed).unwrap());
    assert!(StandIn::exact(&request(1)).unwrap() > StandIn::exact(&small).unwrap() + 0.1);
    let noise: Vec<f64> = (0..2000)
        .map(|seed| {
            stand_in.evaluate(&train::Request { seed, ..request(1) }).unwrap() - StandIn::exact(&request(1)).unwrap()
        })
        .collect();
    let deviation = (noise.iter().map(|n| n * n).sum::<f64>() / 2000.0).sqrt();
    assert!((deviation - 0.01).abs() < 0.001, "{deviation}");
}

#[test]
fn a_table_gives_what_it_holds_and_refuses_what_it_cannot_mean() {
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| -> PathBuf {
        let path = folder.path().join("table.json");
        fs_err::write(&path, text).unwrap();
        path
    };
    let table = AccuracyTable::load(&write(r#"{"mnasnet-a1": 0.752}"#)).unwrap();
    assert_eq!(table.evaluate(&request(1)).unwrap(), 0.752);
    let other = train::Request { architecture: space::parse("mobilenet-v2").unwrap(), ..request(4) };
    assert!(matches!(table.evaluate(&other), Err(AccuracyError::Candidate { id: 4, .. })));
    for (text, problem) in [
        ("[]", "expected a JSON object"),
        (r#"{"mnasnet-a1": 75}"#, "from 0 to 1, found 75"),
        (r#"{"r1_k4": 0.5}"#, "r1_k4"),
    ] {
        let error = AccuracyTable::load(&write(text)).unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains("table.json"), "{error}");
    }
}
