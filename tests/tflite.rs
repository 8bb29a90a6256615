//! The .tflite writer against three runtimes: LiteRT and tract read the file, torch has the same weights.

use mnas::device::host::{HostDevice, HostSettings};
use mnas::device::{Device, Model, tract};
use mnas::network::{Activation, Inputs, Layer, LayerKind, LayerName, Network, Shape, TensorId, Weights};
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
    use mnas::train::model::{Mode, TorchModel};
    let Shape { height, width, channels } = network.input;
    // Two OpenMP threads on a busy machine wait for each other most of the time.
    tch::set_num_threads(1);
    let image = tch::Tensor::from_slice(image).view([1, height as i64, width as i64, channels as i64]);
    let model = TorchModel::from_weights(network, weights).expect("the weights are the network's");
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
    let (_, stride) = kind.window();
    let after =
        |channels| Shape { height: input.height.div_ceil(stride), width: input.width.div_ceil(stride), channels };
    let first = Layer {
        name: LayerName::Single("first"),
        kind: LayerKind::Conv { kernel: 3, stride: 1, batch_norm: true, activation: Activation::None },
        inputs: TensorId::IMAGE.into(),
        output: Shape { channels: 6, ..input },
    };
    let gate = Layer {
        name: LayerName::Single("gate"),
        kind: LayerKind::GlobalPool,
        inputs: TensorId(1).into(),
        output: Shape::square(1, 6),
    };
    let (inputs, output): (Inputs, Shape) = match kind {
        LayerKind::Conv { .. } => (TensorId(1).into(), after(10)),
        LayerKind::Add => ((TensorId(1), TensorId(1)).into(), after(6)),
        LayerKind::Scale => ((TensorId(1), TensorId(2)).into(), after(6)),
        _ => (TensorId(1).into(), after(6)),
    };
    let channels = output.channels;
    let layer = Layer { name: LayerName::Single("tested"), kind, inputs, output };
    let pool = Layer {
        name: LayerName::Single("pool"),
        kind: LayerKind::GlobalPool,
        inputs: TensorId(3).into(),
        output: Shape::square(1, channels),
    };
    let dense = Layer {
        name: LayerName::Single("classifier"),
        kind: LayerKind::Dense,
        inputs: TensorId(4).into(),
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

#[test]
fn a_file_says_what_is_in_it_and_its_weights_are_aligned() {
    let network = Network::expand(&space::parse("mnasnet-a1").unwrap()).unwrap();
    let file = model("A1", &network, &Weights::random(&network, &mut seeded(4))).bytes;
    let summary = tflite::read(&file).unwrap();
    let counts: Vec<(&str, usize)> = [
        ("ADD", 9),
        ("AVERAGE_POOL_2D", 9),
        ("CONV_2D", 49),
        ("DEPTHWISE_CONV_2D", 16),
        ("FULLY_CONNECTED", 1),
        ("LOGISTIC", 8),
        ("MUL", 8),
        ("RESHAPE", 1),
    ]
    .into();
    assert_eq!(summary.counts().iter().map(|(name, count)| (name.as_str(), *count)).collect::<Vec<_>>(), counts);
    assert_eq!((&summary.inputs[0].shape[..], &summary.outputs[0].shape[..]), (&[1, 224, 224, 3][..], &[1, 1000][..]));
    assert_eq!(summary.min_runtime_version.as_deref(), Some("1.14.0"));
    let root = tract_tflite::tflite::root_as_model(&file).unwrap();
    let buffers = root.buffers().unwrap();
    assert!(buffers.get(0).data().is_none(), "buffer 0 is the empty one");
    for data in buffers.iter().filter_map(|buffer| buffer.data()) {
        let offset = data.bytes().as_ptr() as usize - file.as_ptr() as usize;
        assert_eq!(offset % 16, 0, "a buffer of {} bytes starts at {offset}", data.len());
    }
}

#[test]
fn the_same_network_and_weights_give_the_same_bytes() {
    let network = Network::expand(&space::parse("mnasnet-small/32").unwrap()).unwrap();
    let weights = Weights::random(&network, &mut seeded(5));
    assert_eq!(tflite::write(&network, &weights).unwrap(), tflite::write(&network, &weights).unwrap());
}

#[test]
fn a_file_cut_anywhere_is_one_clear_error_on_every_path() {
    let network = Network::expand(&space::parse("mnasnet-small/32").unwrap().with_classes(10)).unwrap();
    let whole = model("cut", &network, &Weights::random(&network, &mut seeded(6)));
    let mut host = HostDevice::new(HostSettings::default()).unwrap();
    for part in 0..40 {
        let cut = Model { bytes: whole.bytes[..whole.bytes.len() * part / 40].to_vec(), ..whole.clone() };
        let problem = tflite::read(&cut.bytes).unwrap_err().to_string();
        assert!(problem.contains("cut short") && problem.lines().count() == 1, "{problem}");
        let problem = host.time(&cut).unwrap_err().to_string();
        assert!(problem.starts_with("device host: model 'cut': not a usable .tflite file"), "{problem}");
        assert!(tract::infer(&cut.bytes, &[]).unwrap_err().contains("cut short"));
    }
    assert!(!host.time(&whole).unwrap().wall_ms.is_empty(), "the device stays usable");
}

#[test]
fn flipped_bytes_in_the_structure_never_crash_the_reader() {
    let network = Network::expand(&space::parse("mnasnet-small/32").unwrap().with_classes(10)).unwrap();
    let whole = model("flipped", &network, &Weights::random(&network, &mut seeded(7))).bytes;
    let mut random = seeded(8);
    let refused = (0..300).filter(|_| {
        let mut broken = whole.clone();
        // The structure lies in front, the weights behind it.
        let place = random.gen_range(0..8192);
        broken[place] = broken[place].wrapping_add(random.gen_range(1..=255));
        tflite::read(&broken).is_err()
    });
    assert!(refused.count() > 30, "a good part of the structure is offsets, and those are verified");
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let network = Network::expand(&space::parse("mnasnet-small/32").unwrap()).unwrap();
    let good = Weights::random(&network, &mut seeded(9));
    let refusal = |spoil: &dyn Fn(&mut Weights)| {
        let mut weights = good.clone();
        spoil(&mut weights);
        tflite::write(&network, &weights).unwrap_err().to_string()
    };
    let missing = refusal(&|weights| drop(weights.0.remove("stem.weight")));
    assert!(missing.contains("'stem.weight' of shape [8, 3, 3, 3]"), "{missing}");
    let diverged = refusal(&|weights| weights.0.get_mut("head.bn.bias").unwrap().fill(f32::NAN));
    assert!(diverged.contains("'head.bn.bias'") && diverged.contains("diverge"), "{diverged}");
    let negative = refusal(&|weights| weights.0.get_mut("head.bn.running_var").unwrap().fill(-1.0));
    assert!(negative.contains("layer 'head'") && negative.contains("running_var"), "{negative}");
}
