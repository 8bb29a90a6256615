//! The policy: a one-layer LSTM with one softmax per token and the previous token as the next input, and a value head.
//!
//! All parameters are one flat f32 vector, cut into (T tokens, at most K choices each, E embedding, H hidden):
//!
//! | part | shape | use |
//! |---|---|---|
//! | embedding | `[1 + (T−1)·K, E]` | row 0 starts a sequence; row 1 + t·K + k says that token t was k |
//! | input, recurrent weights | `[4H, E]`, `[4H, H]` | LSTM, gates in torch's order |
//! | their biases | `[4H]` twice | |
//! | output weight, bias | `[T, H, K]`, `[T, 1, K]` | logits of token t |
//! | value weight, bias | `[H]`, `[1]` | expected standardised reward |
//!
//! A logit x counts as c · tanh(x / c) with c = `logit_bound` (Bello et al., "Neural Combinatorial Optimization with
//! Reinforcement Learning", 2016, appendix A.1), so that no policy decides wholly: of three choices the best has at most
//! the probability 1 / (1 + 2 exp(−2c)), 0.965 with c = 2. Choices that token t does not have get a logit so low that
//! their probability, and every gradient through it, is exactly zero.

use tch::{Kind, Tensor};

use super::settings::PpoSettings;

/// Added to the logits of choices that do not exist; finite, so that p · log p is 0 there and not NaN.
const NEVER: f32 = -1e9;

/// Shape of the policy; the parameters are passed in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Policy {
    sizes: Vec<usize>,
    hidden: i64,
    embedding: i64,
    logit_bound: f64,
}

/// The flat parameter vector cut into its parts.
struct PolicyParameters {
    embedding: Tensor,
    /// Input weights, recurrent weights and their biases, as torch's LSTM takes them.
    lstm: [Tensor; 4],
    output_weight: Tensor,
    output_bias: Tensor,
    mask: Tensor,
    value_weight: Tensor,
    value_bias: Tensor,
}

/// What the policy says along given token sequences; T tokens, B sequences.
pub(super) struct Scores {
    /// log probability of each given token, `[T, B]`.
    pub log_probabilities: Tensor,
    /// Entropy of each softmax in nats, `[T, B]`.
    pub entropies: Tensor,
    /// The value head, `[T, B]`.
    pub values: Tensor,
}

impl Policy {
    pub fn new(sizes: &[usize], settings: &PpoSettings) -> Self {
        let PpoSettings { hidden, embedding, logit_bound, .. } = *settings;
        Self { sizes: sizes.to_vec(), hidden: hidden as i64, embedding: embedding as i64, logit_bound }
    }

    /// Number of choices behind each token.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    fn tokens(&self) -> i64 {
        self.sizes.len() as i64
    }

    fn most_choices(&self) -> i64 {
        self.sizes.iter().copied().max().unwrap_or(0) as i64
    }

    fn shapes(&self) -> [Vec<i64>; 9] {
        let (t, k, e, h) = (self.tokens(), self.most_choices(), self.embedding, self.hidden);
        [
            vec![1 + (t - 1) * k, e],
            vec![4 * h, e],
            vec![4 * h, h],
            vec![4 * h],
            vec![4 * h],
            vec![t, h, k],
            vec![t, 1, k],
            vec![h],
            vec![1],
        ]
    }

    /// Length of the flat parameter vector.
    pub fn parameters(&self) -> usize {
        self.shapes().iter().map(|shape| shape.iter().product::<i64>()).sum::<i64>() as usize
    }

    fn cut(&self, flat: &Tensor) -> PolicyParameters {
        let shapes = self.shapes();
        let lengths: Vec<i64> = shapes.iter().map(|shape| shape.iter().product()).collect();
        let pieces = flat.split_with_sizes(&lengths, 0);
        let part = |index: usize| pieces[index].view(shapes[index].as_slice());
        PolicyParameters {
            embedding: part(0),
            lstm: [part(1), part(2), part(3), part(4)],
            output_weight: part(5),
            output_bias: part(6),
            mask: self.mask(),
            value_weight: part(7),
            value_bias: part(8),
        }
    }

    /// `[T, 1, K]`: 0 where the choice exists, [`NEVER`] elsewhere.
    fn mask(&self) -> Tensor {
        let most = self.most_choices() as usize;
        let cells: Vec<f32> =
            self.sizes.iter().flat_map(|&size| (0..most).map(move |k| if k < size { 0.0 } else { NEVER })).collect();
        Tensor::from_slice(&cells).view([self.tokens(), 1, most as i64])
    }

    fn bounded(&self, logits: Tensor) -> Tensor {
        (logits / self.logit_bound).tanh() * self.logit_bound
    }

    /// Embedding row that stands for `token` at `position`.
    fn row(&self, position: usize, token: usize) -> i64 {
        1 + position as i64 * self.most_choices() + token as i64
    }

    /// Scores given sequences in one fused LSTM pass.
    pub fn score(&self, flat: &Tensor, sequences: &[&[usize]]) -> Scores {
        let parts = self.cut(flat);
        let (t, b, k) = (self.tokens(), sequences.len() as i64, self.most_choices());
        let at = |position: usize| sequences.iter().map(move |sequence| sequence[position]);
        let chosen: Vec<i64> = (0..self.sizes.len()).flat_map(|p| at(p).map(|token| token as i64)).collect();
        let mut rows = vec![0; sequences.len()];
        rows.extend((1..self.sizes.len()).flat_map(|p| at(p - 1).map(move |token| self.row(p - 1, token))));

        let inputs = parts.embedding.index_select(0, &Tensor::from_slice(&rows)).view([t, b, self.embedding]);
        let start = Tensor::zeros([1, b, self.hidden], (Kind::Float, tch::Device::Cpu));
        let (hidden, _, _) = inputs.lstm(&[&start, &start], &parts.lstm.each_ref(), true, 1, 0.0, true, false, false);
        let logits = self.bounded(hidden.bmm(&parts.output_weight) + &parts.output_bias) + &parts.mask;
        let logs = logits.log_softmax(-1, Kind::Float);
        let chosen = Tensor::from_slice(&chosen).view([t, b, 1]);
        debug_assert_eq!(logs.size(), [t, b, k]);
        Scores {
            log_probabilities: logs.gather(-1, &chosen, false).squeeze_dim(-1),
            entropies: -(logs.exp() * &logs).sum_dim_intlist(-1, false, Kind::Float),
            values: hidden.matmul(&parts.value_weight) + &parts.value_bias,
        }
    }

    /// Draws `count` sequences, token by token: `choose(sequence, log probabilities)` picks each.
    pub fn unroll(&self, flat: &Tensor, count: usize, mut choose: impl FnMut(usize, &[f32]) -> usize) {
        let _no_gradient = tch::no_grad_guard();
        let parts = self.cut(flat);
        let [input_weight, recurrent_weight, input_bias, recurrent_bias] = &parts.lstm;
        let b = count as i64;
        let start = || Tensor::zeros([b, self.hidden], (Kind::Float, tch::Device::Cpu));
        let (mut hidden, mut cell) = (start(), start());
        let mut rows = vec![0; count];
        let most = self.most_choices() as usize;
        let mut logs = vec![0.0; count * most];
        for (position, &size) in self.sizes.iter().enumerate() {
            let input = parts.embedding.index_select(0, &Tensor::from_slice(&rows));
            (hidden, cell) = input.lstm_cell(
                &[&hidden, &cell],
                input_weight,
                recurrent_weight,
                Some(input_bias),
                Some(recurrent_bias),
            );
            let at = position as i64;
            let logits = hidden.matmul(&parts.output_weight.get(at)) + parts.output_bias.get(at);
            let logits = self.bounded(logits) + parts.mask.get(at);
            logits.log_softmax(-1, Kind::Float).copy_data(&mut logs, count * most);
            for (sequence, row) in rows.iter_mut().enumerate() {
                let token = choose(sequence, &logs[sequence * most..][..size]);
                *row = self.row(position, token);
            }
        }
    }
}
