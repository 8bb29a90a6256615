//! The .tflite writer against three runtimes: LiteRT and tract read the file, torch has the same weights.

use mnas::device::host::{HostDevice, HostSettings};
use mnas::device::{Device, Model, tract};
use mnas::network::{Activation, Layer, LayerKind, Network, Shape, TensorId, Weights};
use mnas::space::{self, Architecture, Block, Operator, Skip, Space};
use mnas::{Random, seeded, tflite};
use rand::Rng;
use rand::seq::SliceRandom;

/// What the outputs may differ by, relative to the range of torch's.
const TOLERANCE: f64 = 1e-4;

fn model(name: &str, network: &Network, weights: &Weights) -> Model {
    let bytes = tflite::write(network, weights).expect("the weights are the network's");
    Model { name: name.into(), architecture: None, network: Some(network.clone()), bytes }
}

fn random_image(shape: Shape, random: &mut Random) -> Vec<f32> {
    (0..shape.elements()).map(|_| random.gen_range(-1.0..1.0)).collect()
}

/// Largest difference relative to the range of `expected`.
fn deviation(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let bound = |better: fn(f32, f32) -> f32| expected.iter().copied().reduce(better).unwrap();
    let differences = found.iter().zip(expected).map(|(a, b)| f64::from((a - b).abs()));
    differences.fold(0.0, f64::max) / f64::from(bound(f32::max) - bound(f32::min))
}

#[cfg(feature = "torch")]
fn torch(network: &Network, weights: &Weights, image: &[f32]) -> Vec<f32> {
    use mnas::train::model::{Mode, Model};
    let Shape { height, width, channels } = network.input;
    let image = tch::Tensor::from_slice(image).view([1, height as i64, width as i64, channels as i64]);
    let model = Model::from_weights(network, weights).expect("the weights are the network's");
    let logits = tch::no_grad(|| model.forward(&image.permute([0, 3, 1, 2]), Mode::Evaluate));
    Vec::try_from(logits.flatten(0, -1)).expect("logits are f32")
}

/// Without torch, tract is what LiteRT is compared with.
#[cfg(not(feature = "torch"))]
fn torch(network: &Network, weights: &Weights, image: &[f32]) -> Vec<f32> {
    tract::infer(&model("network", network, weights).bytes, image).expect("tract reads it")
}

fn assert_all_agree(host: &mut HostDevice, name: &str, network: &Network, random: &mut Random) {
    let weights = Weights::random(network, random);
    let image = random_image(network.input, random);
    let model = model(name, network, &weights);
    let expected = torch(network, &weights, &image);
    let litert = host.infer(&model, &image).unwrap().expect("the host returns outputs");
    let tract = tract::infer(&model.bytes, &image).unwrap();
    for (runtime, found) in [("LiteRT", litert), ("tract", tract)] {
        let deviation = deviation(&found, &expected);
        assert!(deviation <= TOLERANCE, "{name}: {runtime} deviates from torch by {deviation:e}");
    }
}

/// A network of one layer between the image and the dense layer; layers that change no pixel count follow a 3x3 conv.
fn alone(kind: LayerKind, input: Shape) -> Network {
    let (kernel, stride) = kind.window();
    let after =
        |channels| Shape { height: input.height.div_ceil(stride), width: input.width.div_ceil(stride), channels };
    let first = Layer {
        name: "first".into(),
        kind: LayerKind::Conv { kernel: 3, stride: 1, batch_norm: true, activation: Activation::None },
        inputs: vec![TensorId::IMAGE],
        output: Shape { channels: 6, ..input },
    };
    let gate = Layer {
        name: "gate".into(),
        kind: LayerKind::GlobalPool,
        inputs: vec![TensorId(1)],
        output: Shape::square(1, 6),
    };
    let (inputs, output) = match kind {
        LayerKind::Conv { .. } => (vec![TensorId(1)], after(10)),
        LayerKind::Add => (vec![TensorId(1), TensorId(1)], after(6)),
        LayerKind::Scale => (vec![TensorId(1), TensorId(2)], after(6)),
        _ => (vec![TensorId(1)], after(6)),
    };
    let channels = output.channels;
    let layer = Layer { name: format!("tested{kernel}"), kind, inputs, output };
    let pool = Layer {
        name: "pool".into(),
        kind: LayerKind::GlobalPool,
        inputs: vec![TensorId(3)],
        output: Shape::square(1, channels),
    };
    let dense = Layer {
        name: "classifier".into(),
        kind: LayerKind::Dense,
        inputs: vec![TensorId(4)],
        output: Shape::square(1, 12),
    };
    Network { input, layers: vec![first, gate, layer, pool, dense] }
}

#[test]
fn every_operator_alone_computes_what_torch_does() {
    use Activation::{None, Relu, Relu6, Sigmoid};
    let mut kinds = vec![LayerKind::Add, LayerKind::Scale];
    for (kernel, stride) in [(1, 1), (1, 2), (3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2)] {
        for activation in [None, Relu, Relu6] {
            kinds.push(LayerKind::DepthwiseConv { kernel, stride, activation });
        }
        for (batch_norm, activation) in [(true, None), (true, Relu), (true, Relu6), (false, Relu), (false, Sigmoid)] {
            kinds.push(LayerKind::Conv { kernel, stride, batch_norm, activation });
        }
        kinds.push(LayerKind::MaxPool { kernel, stride });
    }
    let mut host = HostDevice::new(HostSettings::default()).unwrap();
    let mut random = seeded(1);
    for kind in kinds {
        for side in [1, 2, 5, 8] {
            let network = alone(kind, Shape { height: side, width: side, channels: 3 });
            assert_all_agree(&mut host, &format!("{kind:?} at {side}"), &network, &mut random);
        }
    }
}

/// A network of no preset: every kernel, skip, activation and expansion that the notation can say.
fn wild(random: &mut Random) -> Architecture {
    let block = |random: &mut Random| Block {
        operator: *[
            Operator::Conv,
            Operator::SeparableConv,
            Operator::InvertedBottleneck { expansion: 2 },
            Operator::InvertedBottleneck { expansion: 6 },
        ]
        .choose(random)
        .unwrap(),
        kernel: *[1, 3, 5, 7].choose(random).unwrap(),
        stride: random.gen_range(1..=2),
        squeeze_ratio: *[0.0, 0.25, 0.5].choose(random).unwrap(),
        skip: *[Skip::None, Skip::Identity, Skip::Pool].choose(random).unwrap(),
        filters: *[4, 7, 16, 24].choose(random).unwrap(),
        layers: random.gen_range(1..=3),
        activate_projection: random.gen_bool(0.3),
    };
    Architecture {
        input_size: random.gen_range(32..=64),
        stem: *[4, 7, 16].choose(random).unwrap(),
        blocks: (0..random.gen_range(1..=5)).map(|_| block(random)).collect(),
        head: *[0, 32].choose(random).unwrap(),
        classes: random.gen_range(2..=20),
        activation: *[space::Activation::Relu, space::Activation::Relu6].choose(random).unwrap(),
    }
}

#[test]
fn two_hundred_random_networks_compute_what_torch_does() {
    let mut host = HostDevice::new(HostSettings::default()).unwrap();
    let mut random = seeded(2);
    let presets = ["mnasnet-small", "mnasnet"].map(|name| Space::preset(name).unwrap());
    for number in 0..200 {
        let architecture = match number % 4 {
            0 => wild(&mut random),
            other => {
                let space = &presets[usize::from(other == 3)];
                let size = random.gen_range(32..=64);
                space.decode(&space.sample(&mut random)).unwrap().at_input(size).with_classes(10)
            }
        };
        let network = Network::expand(&architecture).unwrap();
        assert_all_agree(&mut host, &architecture.to_string(), &network, &mut random);
    }
}

#[test]
fn the_reference_networks_compute_what_torch_does() {
    let mut host = HostDevice::new(HostSettings::default()).unwrap();
    for name in space::reference::names() {
        let network = Network::expand(&space::parse(name).unwrap().at_input(96)).unwrap();
        assert_all_agree(&mut host, name, &network, &mut seeded(3));
    }
}
