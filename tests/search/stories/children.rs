//! What programs of the user's leave behind when their search ends, however it ends: nothing.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::bench::{Bench, mnas, search_file};

/// How long what is told to end may take: what ignores that is killed after three seconds.
const SOON: Duration = Duration::from_secs(20);

/// Answers requests; its words for the two kinds of program are put in. Every process of it notes its number.
const PROGRAM: &str = r#"#!/usr/bin/env python3
import json, os, subprocess, signal, sys, time
def note():
    with open("pids", "a") as file: file.write(f"{os.getpid()}\n")
note()
SETUP
for number, line in enumerate(sys.stdin):
    request = json.loads(line)
    HANG
    answer = {"latency_ms": [len(request["architecture"]) / 100.0]} if request["tflite"] else {"accuracy": 0.5}
    print(json.dumps({"id": request["id"], **answer}))
LAST
"#;

/// What makes a program hard to end.
#[derive(Clone, Copy, Default)]
struct Habits {
    /// How it is started.
    command: Option<&'static str>,
    /// Lines before it answers.
    setup: &'static str,
    /// What it does at every request.
    hang: &'static str,
    /// What it does when nothing more is asked.
    last: &'static str,
}

const THROUGH_A_SHELL: &str = r#"["sh", "-c", "python3 ./program.py; true"]"#;
const IGNORES_TERM: &str = "signal.signal(signal.SIGTERM, signal.SIG_IGN)";
/// A daemon: its parent ends at once, and it has a session of its own and ignores what it may.
const DAEMON: &str = r#"
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        note()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        time.sleep(1000)
    os._exit(0)
os.wait()
"#;
/// Another process in its own session, whose parent lives.
const WORKER: &str = "subprocess.Popen([sys.executable, '-c', 'import os, time; open(\"pids\", \"a\").write(f\"{os.getpid()}\\\\n\"); time.sleep(1000)'], start_new_session=True)";
const HANGS: &str = "time.sleep(1000)";

#[derive(Clone, Copy, Debug, PartialEq)]
enum As {
    Trainer,
    Device,
}

struct Scene {
    bench: Bench,
}

impl Scene {
    fn new(role: As, habits: Habits) -> Self {
        let command = habits.command.unwrap_or(r#"["./program.py"]"#);
        let search = search_file("random", 12, 0);
        let search = match role {
            As::Trainer => search.replace(
                "kind = \"simulated\"\ndelay_ms = 0\nworkers = 2",
                &format!("kind = \"command\"\ncommand = {command}"),
            ),
            As::Device => search.replace("id = \"simulated\"", &format!("command = {command}")),
        };
        let bench = Bench::new(&search);
        let text = PROGRAM.replace("SETUP", habits.setup).replace("HANG", habits.hang).replace("LAST", habits.last);
        let program = bench.path("program.py");
        fs_err::write(&program, text).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs_err::set_permissions(program, executable).unwrap();
        Self { bench }
    }

    fn start(&self) -> Child {
        let mut command = mnas();
        command.current_dir(self.folder()).args(["search", "search.toml", "--run", "run"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn folder(&self) -> PathBuf {
        self.bench.path("")
    }

    fn pids(&self) -> Vec<u32> {
        let text = fs_err::read_to_string(self.bench.path("pids")).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    /// Waits until so many processes have noted their number.
    fn wait_for(&self, processes: usize) {
        until("the program is started", || self.pids().len() >= processes);
    }

    /// Every process that works in the folder, those included that never noted their number, such as a shell.
    fn left(&self) -> Vec<String> {
        let folder = fs_err::canonicalize(self.folder()).unwrap();
        let inside = |process: &Path| std::fs::read_link(process.join("cwd")).is_ok_and(|place| place == folder);
        let processes = fs_err::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
        let name = |process: PathBuf| {
            let line = fs_err::read_to_string(process.join("cmdline")).unwrap_or_default().replace('\0', " ");
            format!("{}: {line}", process.display())
        };
        processes.filter(|process| inside(process)).map(name).collect()
    }

    fn nothing_is_left(&self) {
        assert!(!self.pids().is_empty(), "the program was never started");
        let start = Instant::now();
        while !self.left().is_empty() {
            assert!(start.elapsed() < SOON, "lives on: {:?}", self.left());
            std::thread::sleep(Duration::from_millis(10));
        }
        let lives = |pid: &u32| Path::new("/proc").join(pid.to_string()).exists();
        assert!(!self.pids().iter().any(lives), "lives on, elsewhere: {:?}", self.pids());
    }
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn send(signal: &str, process: &Child) {
    assert!(Command::new("kill").arg(signal).arg(process.id().to_string()).status().unwrap().success());
}

/// The kinds of program, each with the number of processes that note their number.
fn kinds() -> [(Habits, usize); 5] {
    let plain = Habits { hang: HANGS, last: HANGS, ..Habits::default() };
    [
        (plain, 1),
        (Habits { command: Some(THROUGH_A_SHELL), ..plain }, 1),
        (Habits { command: Some(THROUGH_A_SHELL), setup: IGNORES_TERM, ..plain }, 1),
        (Habits { command: Some(THROUGH_A_SHELL), setup: DAEMON, ..plain }, 2),
        (Habits { command: Some(THROUGH_A_SHELL), setup: WORKER, ..plain }, 2),
    ]
}

/// Ends searches whose programs hang over their first request.
fn ended_by(role: As, end: impl Fn(&mut Child) + Sync) {
    let one = |(habits, processes): (Habits, usize)| {
        let scene = Scene::new(role, habits);
        let mut search = scene.start();
        scene.wait_for(processes);
        end(&mut search);
        search.wait().unwrap();
        scene.nothing_is_left();
    };
    let one = &one;
    std::thread::scope(|scope| kinds().into_iter().for_each(|kind| drop(scope.spawn(move || one(kind)))));
}

fn twice_interrupted(search: &mut Child) {
    use std::io::BufRead as _;

    let mut lines = std::io::BufReader::new(search.stderr.take().unwrap()).lines();
    send("-INT", search);
    lines.find(|line| line.as_ref().unwrap().contains("press Ctrl-C again")).unwrap().unwrap();
    send("-INT", search);
    assert_eq!(search.wait().unwrap().code(), Some(130));
}

#[test]
fn nothing_is_left_of_a_trainer_after_two_interrupts() {
    ended_by(As::Trainer, twice_interrupted);
}

#[test]
fn nothing_is_left_of_a_device_after_two_interrupts() {
    ended_by(As::Device, twice_interrupted);
}

#[test]
fn nothing_is_left_of_a_trainer_after_a_request_to_terminate() {
    ended_by(As::Trainer, |search| send("-TERM", search));
}

#[test]
fn nothing_is_left_of_a_device_after_a_request_to_terminate() {
    ended_by(As::Device, |search| send("-TERM", search));
}

#[test]
fn nothing_is_left_of_a_trainer_whose_search_is_killed() {
    ended_by(As::Trainer, |search| search.kill().unwrap());
}

#[test]
fn nothing_is_left_of_a_device_whose_search_is_killed() {
    ended_by(As::Device, |search| search.kill().unwrap());
}

#[test]
fn nothing_is_left_after_everything_named_like_the_search_is_killed() {
    ended_by(As::Trainer, |search| {
        // As `pkill -9 -f 'mnas search'` would, which finds all that look like the search.
        let looks = |process: &Path| {
            let line = fs_err::read_to_string(process.join("cmdline")).unwrap_or_default();
            let parent = fs_err::read_to_string(process.join("status")).unwrap_or_default();
            line.contains("mnas\0search") && parent.contains(&format!("PPid:\t{}\n", search.id()))
        };
        let processes = fs_err::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
        assert_eq!(processes.filter(|process| looks(process)).count(), 0, "a supervisor looks like the search");
        search.kill().unwrap();
    });
}

/// Lets searches come to their ends, with programs that stay when nothing more is asked.
fn ended_by_itself(role: As, hang: &'static str, code: i32, kinds: &[(Habits, usize)]) {
    let one = |(habits, _): (Habits, usize)| {
        let scene = Scene::new(role, Habits { hang, ..habits });
        let output = scene.start().wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        let left = scene.left();
        assert!(left.is_empty(), "the search is over, and there is {left:?}");
        scene.nothing_is_left();
    };
    let one = &one;
    std::thread::scope(|scope| kinds.iter().for_each(|kind| drop(scope.spawn(move || one(*kind)))));
}

#[test]
fn nothing_is_left_of_a_trainer_at_the_end() {
    ended_by_itself(As::Trainer, "pass", 0, &kinds());
}

#[test]
fn nothing_is_left_of_a_device_at_the_end() {
    ended_by_itself(As::Device, "pass", 0, &kinds());
}

#[test]
fn nothing_is_left_of_a_trainer_after_an_error() {
    ended_by_itself(As::Trainer, "print('Epoch 1/5')", 1, &kinds()[..2]);
}

#[test]
fn nothing_is_left_of_a_device_after_an_error() {
    ended_by_itself(As::Device, "print('Epoch 1/5')", 1, &kinds()[3..]);
}

#[test]
fn the_first_interrupt_waits_for_the_answer_and_leaves_nothing() {
    let slow = Habits { command: Some(THROUGH_A_SHELL), hang: "time.sleep(2)", last: HANGS, ..Habits::default() };
    let scene = Scene::new(As::Trainer, slow);
    let mut search = scene.start();
    scene.wait_for(1);
    until("the first request is under way", || scene.bench.path("run/run.sqlite").exists());
    send("-INT", &search);
    assert_eq!(search.wait().unwrap().code(), Some(130));
    assert!(scene.left().is_empty(), "{:?}", scene.left());
    scene.nothing_is_left();
}
