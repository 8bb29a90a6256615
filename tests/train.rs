//! The torch model computes what the network says.
#![cfg(feature = "torch")]

use mnas::network::{Network, Weights};
use mnas::space;
use mnas::train::model::{Mode, Model};
use tch::{Device, Kind, Tensor};

/// Every kind of layer, with odd and even sides on the way down.
const EVERY_LAYER: &str = "input=26 stem=8 r2_k3_s22_e1_i8_o12_conv_pool r2_k5_s22_e3_i12_o12_se0.25_pool \
                           r2_k3_s11_e6_i12_o16 head=24 classes=5 act=relu6";

fn network(line: &str) -> Network {
    Network::expand(&space::parse(line).unwrap()).unwrap()
}

/// Torch's generator stays out of it: any fixed values do.
fn images(count: i64, side: i64) -> Tensor {
    (Tensor::arange(count * 3 * side * side, (Kind::Float, Device::Cpu)) * 0.37).sin().reshape([count, 3, side, side])
}

fn largest(tensor: &Tensor) -> f64 {
    tensor.abs().max().double_value(&[])
}

#[test]
fn weights_go_into_the_model_and_come_out_unchanged() {
    let network = network(EVERY_LAYER);
    let weights = Weights::random(&network, &mut mnas::seeded(1));
    let model = Model::from_weights(&network, &weights).unwrap();
    assert_eq!(model.to_weights(), weights);
    let (matrices, vectors) = model.trained();
    let count: usize = matrices.iter().chain(&vectors).map(|tensor| tensor.numel()).sum();
    assert_eq!(count, network.parameters());
}

#[test]
fn weights_of_another_network_are_refused_by_name() {
    let weights = Weights::random(&network(EVERY_LAYER), &mut mnas::seeded(1));
    let other = network("input=26 stem=12 r1_k3_s22_e3_i12_o16 head=0 classes=5");
    let error = Model::from_weights(&other, &weights).unwrap_err().to_string();
    assert!(error.contains("stem.weight") && error.contains("[12, 3, 3, 3]"), "{error}");
}

#[test]
fn the_same_seed_draws_the_same_model_and_every_layer_has_the_shape_of_the_network() {
    let network = network(EVERY_LAYER);
    let logits = |seed| Model::new(&network, &mut mnas::seeded(seed)).forward(&images(3, 26), Mode::Evaluate);
    assert_eq!(logits(1).size(), [3, 5]);
    assert!(logits(1) == logits(1));
    assert!(logits(1) != logits(2));
}

#[test]
fn evaluation_leaves_batch_norm_alone_and_training_moves_its_running_statistics() {
    let network = network(EVERY_LAYER);
    let model = Model::new(&network, &mut mnas::seeded(3)).with_statistics_rate(1.0);
    let before = model.to_weights();
    let alone = model.forward(&images(8, 26).narrow(0, 0, 1), Mode::Evaluate);
    let together = model.forward(&images(8, 26), Mode::Evaluate).narrow(0, 0, 1);
    assert!(largest(&(alone - together)) < 1e-5, "an image's logits do not depend on its batch");
    assert_eq!(model.to_weights(), before);

    let trained = model.forward(&images(8, 26), Mode::Train);
    assert_ne!(model.to_weights(), before);
    // With rate 1 the running statistics are this batch's own, up to n / (n - 1) in the variance.
    let evaluated = model.forward(&images(8, 26), Mode::Evaluate);
    assert!(largest(&(&trained - &evaluated)) < 0.2 * largest(&trained));
}

#[test]
fn a_strided_window_pads_at_the_bottom_and_right_as_tensorflow_does() {
    // A stem of ones over an image of ones, batch norm the identity: each output is the number of taps inside.
    let network = network("input=4 stem=1 r1_k3_s11_e1_i1_o1 head=0 classes=1");
    let mut weights = Model::new(&network, &mut mnas::seeded(1)).to_weights();
    for (name, array) in &mut weights.0 {
        let value = match name.as_str() {
            "stem.weight" | "classifier.weight" => 1.0,
            // The block's depthwise filter passes its centre on; its 1x1 projection and the norms scale by 1.
            "block1.1.depthwise.weight" => 0.0,
            name if name.ends_with("running_var") => 1.0 - mnas::network::weights::BATCH_NORM_EPSILON,
            name if name.ends_with("weight") => 1.0,
            _ => 0.0,
        };
        array.fill(value);
        if name == "block1.1.depthwise.weight" {
            array[[0, 0, 1, 1]] = 1.0;
        }
    }
    // The residual doubles the value and the pool takes the mean of 9, 6, 6 and 4 taps in three channels.
    let model = Model::from_weights(&network, &weights).unwrap();
    let logit = model.forward(&Tensor::ones([1, 3, 4, 4], (Kind::Float, Device::Cpu)), Mode::Evaluate);
    assert!((logit.double_value(&[0, 0]) - 2.0 * 3.0 * (9.0 + 6.0 + 6.0 + 4.0) / 4.0).abs() < 1e-4, "{logit}");
}

#[test]
fn every_trained_tensor_receives_a_gradient() {
    let model = Model::new(&network(EVERY_LAYER), &mut mnas::seeded(5));
    model.forward(&images(4, 26), Mode::Train).logsumexp([1i64].as_slice(), false).sum(Kind::Float).backward();
    let (matrices, vectors) = model.trained();
    assert!(matrices.iter().chain(&vectors).all(|tensor| tensor.grad().defined()));
}
