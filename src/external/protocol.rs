//! The lines of the protocol.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::space::{Architecture, Block, Skip};

/// One request line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Request {
    /// Comes back with the answer.
    pub id: u64,
    /// The architecture line; null only for a foreign .tflite file.
    pub architecture: Option<String>,
    /// The same block by block, so that the program need not parse the line.
    pub blocks: Vec<BlockRequest>,
    /// Where the model lies: a request with one asks a device, and one without asks a trainer.
    pub tflite: Option<String>,
}

/// One block of a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BlockRequest {
    /// `conv`, `sepconv` or `mbconv`.
    pub op: &'static str,
    /// 1 for `conv` and `sepconv`.
    pub expansion: usize,
    /// Side of the square kernel.
    pub kernel: usize,
    /// Squeeze ratio, 0 for none.
    pub se_ratio: f64,
    /// `none`, `identity` or `pool`.
    pub skip: Skip,
    /// Output channels.
    pub filters: usize,
    /// Repeats.
    pub layers: usize,
    /// Stride of the first repeat.
    pub stride: usize,
}

impl From<&Block> for BlockRequest {
    fn from(block: &Block) -> Self {
        Self {
            op: block.operator.name(),
            expansion: block.operator.expansion(),
            kernel: block.kernel,
            se_ratio: block.squeeze_ratio,
            skip: block.skip,
            filters: block.filters,
            layers: block.layers,
            stride: block.stride,
        }
    }
}

/// What a program answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A trainer's: a fraction from 0 to 1.
    Accuracy(f64),
    /// A device's: the milliseconds of every run, at least one, all above 0.
    Latency(Vec<f64>),
    /// The program cannot serve this request.
    Error(String),
}

/// An answer line as it comes.
#[derive(Deserialize)]
struct AnswerLine {
    id: u64,
    accuracy: Option<f64>,
    latency_ms: Option<Vec<f64>>,
    error: Option<String>,
}

impl Request {
    /// A request for an architecture, a .tflite file, or both.
    pub fn new(id: u64, architecture: Option<&Architecture>, tflite: Option<&Path>) -> Self {
        Self {
            id,
            architecture: architecture.map(Architecture::to_string),
            blocks: architecture.map_or_else(Vec::new, |all| all.blocks.iter().map(BlockRequest::from).collect()),
            tflite: tflite.map(|path| path.display().to_string()),
        }
    }

    /// The line to send, with its newline.
    pub(super) fn to_line(&self) -> String {
        let line = serde_json::to_string(self).expect("strings and numbers can always be written as JSON");
        line + "\n"
    }

    /// The answer in `line`, or what is wrong with it.
    pub(super) fn read_answer(&self, line: &[u8]) -> Result<Answer, Wrong> {
        let form =
            r#"expected JSON like {"id":1,"accuracy":0.65}, {"id":1,"latency_ms":[5.1]} or {"id":1,"error":"…"}"#;
        let parsed: Result<AnswerLine, _> = serde_json::from_slice(line);
        let answer = match (parsed, without_non_numbers(line)) {
            (Ok(answer), _) => answer,
            (Err(_), Some((others, name))) if self.is_answered_by(&others) => {
                return Err(Wrong::Value(format!(
                    "expected numbers, found {name}: what has none, such as a training that diverged, answers with error"
                )));
            }
            (Err(error), _) => {
                return Err(Wrong::Line(format!(
                    "{form} ({error}); what is no answer, such as a log or a banner, belongs on stderr"
                )));
            }
        };
        match answer.id {
            id if id == self.id => {}
            id => return Err(Wrong::Line(format!("expected the answer to request {}, found one to {id}", self.id))),
        }
        let wrong = |problem: String| Err(Wrong::Value(problem));
        match (answer.accuracy, answer.latency_ms, answer.error) {
            (None, None, Some(error)) => Ok(Answer::Error(error.replace(['\n', '\r'], " "))),
            (Some(_), None, None) if self.tflite.is_some() => {
                wrong("a device must answer with latency_ms, found accuracy".to_owned())
            }
            (None, Some(_), None) if self.tflite.is_none() => {
                wrong("a trainer must answer with accuracy, found latency_ms".to_owned())
            }
            (Some(accuracy), None, None) if (0.0..=1.0).contains(&accuracy) => Ok(Answer::Accuracy(accuracy)),
            (Some(accuracy), None, None) => {
                let percent = if (1.0..=100.0).contains(&accuracy) { "; is it in percent?" } else { "" };
                wrong(format!("an accuracy must be a fraction from 0 to 1, found {accuracy}{percent}"))
            }
            (None, Some(latency), None) if usable(&latency) => Ok(Answer::Latency(latency)),
            (None, Some(_), None) => wrong("latency_ms must be a list of at least one number above 0".to_owned()),
            _ => wrong(format!("exactly one of accuracy, latency_ms and error must stand there; {form}")),
        }
    }

    fn is_answered_by(&self, line: &[u8]) -> bool {
        serde_json::from_slice::<AnswerLine>(line).is_ok_and(|answer| answer.id == self.id)
    }
}

/// What is wrong with a line.
#[derive(Debug)]
pub(super) enum Wrong {
    /// It is no answer to the request: what the program writes next belongs to none either.
    Line(String),
    /// It answers the request with what is of no use.
    Value(String),
}

/// What other languages write for numbers that JSON has not.
const NON_NUMBERS: [&str; 6] = ["-Infinity", "Infinity", "NaN", "nan", "-inf", "inf"];

/// The line with 0 in place of every NaN and infinity outside its texts, and the first of them.
fn without_non_numbers(line: &[u8]) -> Option<(Vec<u8>, &'static str)> {
    let (mut rest, mut text, mut first) = (line, false, None);
    let mut others = Vec::with_capacity(line.len());
    while let [byte, after @ ..] = rest {
        let name = NON_NUMBERS.into_iter().find(|name| !text && rest.starts_with(name.as_bytes()));
        match (name, byte, after) {
            (Some(name), ..) => {
                first.get_or_insert(name);
                others.push(b'0');
                rest = &rest[name.len()..];
                continue;
            }
            (None, b'\\', [escaped, after @ ..]) if text => {
                others.extend([*byte, *escaped]);
                rest = after;
                continue;
            }
            (None, b'"', _) => text = !text,
            _ => {}
        }
        others.push(*byte);
        rest = after;
    }
    Some((others, first?))
}

fn usable(latency_ms: &[f64]) -> bool {
    !latency_ms.is_empty() && latency_ms.iter().all(|ms| *ms > 0.0 && ms.is_finite())
}
