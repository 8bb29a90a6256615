//! One load after the other: put the model there, wait while the phone is above its limits, run, judge, repeat.

use std::time::Duration;

use super::PhoneDevice;
use super::health::{self, Patience};
use super::launch::{Answer, Launch, Remote};
use super::link::FOLDER;
use super::pace::Slow;
use crate::adb::AdbError;
use crate::device::incident::IncidentKind;
use crate::device::noise::Noise;
use crate::device::{DeviceError, Model, Timing};

/// Bytes of models that are left on the phone at most, for rounds that come back to them.
const KEPT_BYTES: usize = 256 << 20;
/// How often the phone may be lost during one load, before that is an error.
const LOSSES: usize = 6;
/// How long a slowness must last to be the phone's speed.
const LASTING: Duration = Duration::from_secs(60);
/// Loads of the reference network behind its baseline.
const BASELINE_LOADS: usize = 3;

impl PhoneDevice {
    /// Waits until the phone is within its limits.
    fn wait_until_healthy(&mut self) -> Result<(), DeviceError> {
        let limits = self.launch.profile.limits.clone();
        let mut patience = Patience::of(Duration::from_secs(limits.max_wait_s));
        let mut first = None;
        loop {
            let complaints = health::complaints(&self.link.state()?, &limits);
            if complaints.is_empty() {
                if let Some(first) = first {
                    let waited = patience.waited().as_secs_f64();
                    self.note(IncidentKind::Waited, format!("waited {waited:.0} s: {first}"));
                }
                return Ok(());
            }
            let text = health::describe(&complaints);
            if !complaints.iter().all(|complaint| complaint.passes) || !patience.pause() {
                return Err(DeviceError::NotReady {
                    device: self.name(),
                    waited_s: patience.waited().as_secs(),
                    problem: text,
                });
            }
            first.get_or_insert(text);
        }
    }

    /// Puts a model on the phone, removing the oldest ones if there is no room.
    fn put(&mut self, model: &Model) -> Result<Remote, AdbError> {
        let sha256 = mnas_runner::sha256(&model.bytes);
        if let Some((remote, _)) = self.models.iter().find(|(remote, _)| remote.sha256 == sha256) {
            return Ok(remote.clone());
        }
        let kept = |models: &[(Remote, usize)]| models.iter().map(|(_, bytes)| bytes).sum::<usize>();
        while !self.models.is_empty() && kept(&self.models) + model.bytes.len() > KEPT_BYTES {
            self.link.remove(&[&self.models[0].0.path])?;
            self.models.remove(0);
        }
        let remote = Remote { path: format!("{FOLDER}/{}.tflite", &sha256[..32]), sha256 };
        match self.link.push(&model.bytes, &remote.path, 0o644) {
            Err(AdbError::NoSpace { .. }) if !self.models.is_empty() => {
                let paths: Vec<&str> = self.models.iter().map(|(remote, _)| remote.path.as_str()).collect();
                self.link.remove(&paths)?;
                self.models.clear();
                self.link.push(&model.bytes, &remote.path, 0o644)?;
            }
            other => other?,
        }
        self.models.push((remote.clone(), model.bytes.len()));
        Ok(remote)
    }

    /// One start of the runner.
    fn load(&mut self, model: &Model) -> Result<Answer, DeviceError> {
        let answer = self.start(&self.launch.clone(), model)?;
        self.last_report.clone_from(&answer.report);
        Ok(answer)
    }

    fn start(&mut self, launch: &Launch, model: &Model) -> Result<Answer, DeviceError> {
        let remote = self.put(model)?;
        let output = self.link.run(&launch.time(&remote), launch.limit())?;
        launch.answer(&remote, &output).map_err(|problem| self.failed(model, problem))
    }

    /// What the reference network takes now, if there is one.
    fn reference_ms(&mut self) -> Result<Option<f64>, DeviceError> {
        let Some(reference) = self.reference.take() else { return Ok(None) };
        let answer = self.start(&self.launch.of_reference(), &reference);
        self.reference = Some(reference);
        let timing = answer?.timing;
        Ok(timing.ln_ms(self.clock(), &Noise::RUNS).map(f64::exp))
    }

    /// One attempt at a load; one that was slow is to be repeated, unless that slowness has lasted.
    fn attempt(&mut self, model: &Model) -> Result<(Timing, Result<(), Slow>), DeviceError> {
        std::thread::sleep(Duration::from_millis(self.launch.profile.run.rest_ms));
        if !self.prepared {
            self.prepare()?;
        }
        self.wait_until_healthy()?;
        while self.reference.is_some() && !self.pace.has_baseline(BASELINE_LOADS) {
            if let Some(ms) = self.reference_ms()? {
                self.pace.learn(ms);
            }
        }
        let answer = self.load(model)?;
        if let Some(report) = &answer.report
            && let Err(slow) = self.pace.clocks(report)
        {
            return Ok((answer.timing, Err(slow)));
        }
        let mut verdict = Ok(());
        // Once may be chance.
        for _ in 0..2 {
            verdict = match self.reference_ms()? {
                Some(ms) => self.pace.reference(ms),
                None => Ok(()),
            };
            if verdict.is_ok() {
                break;
            }
        }
        Ok((answer.timing, verdict))
    }

    /// Attempts until one counts: slow ones until patience ends or the slowness has lasted, lost ones a few times.
    pub(super) fn time_with_retries(&mut self, model: &Model) -> Result<Timing, DeviceError> {
        let mut patience = Patience::of(Duration::from_secs(self.launch.profile.limits.max_wait_s));
        let mut lost = 0;
        while lost < LOSSES {
            match self.attempt(model) {
                Ok((timing, Ok(()))) => return Ok(timing),
                // Whoever compares sessions has interleaved rounds, paces and anchors against a speed that changes
                // slowly; waiting for ever for the old one would help nobody.
                Ok((timing, Err(Slow { why, reference_ms: Some(reference_ms) }))) if patience.waited() >= LASTING => {
                    self.pace.settle(reference_ms);
                    let waited = patience.waited().as_secs();
                    self.note(IncidentKind::Slower, format!("taken as its speed from now on, after {waited} s: {why}"));
                    return Ok(timing);
                }
                Ok((_, Err(Slow { why, .. }))) => {
                    self.note(IncidentKind::Repeated, format!("a load of '{}' does not count: {why}", model.name));
                    if !patience.pause() {
                        break;
                    }
                }
                Err(DeviceError::Adb(error)) if error.retryable() => {
                    lost += 1;
                    self.recover(&error)?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(DeviceError::NotReady {
            device: self.name(),
            waited_s: patience.waited().as_secs(),
            problem: format!(
                "'{}' could not be timed; the last thing that happened: {}",
                model.name,
                self.incidents.last().map_or("nothing", |incident| &incident.message)
            ),
        })
    }

    /// Finds a lost phone again. That it gets lost once more on the way is not the end; that it stays away is.
    fn recover(&mut self, error: &AdbError) -> Result<(), DeviceError> {
        self.link.reconnect(Duration::from_secs(self.launch.profile.limits.max_away_s))?;
        self.note(IncidentKind::Reconnected, format!("found again after: {error}; the load under way is repeated"));
        match self.prepare() {
            Err(DeviceError::Adb(again)) if again.retryable() => Ok(()),
            other => other,
        }
    }

    /// The output for an input, with a lost phone found again.
    pub(super) fn infer_with_retries(&mut self, model: &Model, input: &[f32]) -> Result<Option<Vec<f32>>, DeviceError> {
        for _ in 0..LOSSES {
            match self.infer_once(model, input) {
                Err(DeviceError::Adb(error)) if error.retryable() => self.recover(&error)?,
                other => return other,
            }
        }
        self.infer_once(model, input)
    }

    fn infer_once(&mut self, model: &Model, input: &[f32]) -> Result<Option<Vec<f32>>, DeviceError> {
        if !self.prepared {
            self.prepare()?;
        }
        let remote = self.put(model)?;
        let (from, to) =
            (format!("{FOLDER}/input-{}", &remote.sha256[..16]), format!("{FOLDER}/output-{}", &remote.sha256[..16]));
        let Some(command) = self.launch.infer(&remote, &from, &to) else { return Ok(None) };
        let bytes: Vec<u8> = input.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.link.push(&bytes, &from, 0o644)?;
        let output = self.link.run(&command, self.launch.limit())?;
        let once = Launch { runs: 0, ..self.launch.clone() };
        once.answer(&remote, &output).map_err(|problem| self.failed(model, problem))?;
        let bytes = self.link.pull(&to)?;
        self.link.remove(&[&from, &to])?;
        if bytes.len() % 4 != 0 {
            return Err(self.failed(model, format!("its output has {} bytes, no whole number of f32", bytes.len())));
        }
        Ok(Some(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()))
    }
}
