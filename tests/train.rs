//! The torch model computes what the network says, images are read or refused, and a proxy training learns and repeats.
#![cfg(feature = "torch")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mnas::network::{Network, Weights};
use mnas::space;
use mnas::train::data::{Dataset, LoadOptions, augment};
use mnas::train::draw::{DrawOptions, Folder};
use mnas::train::fit::{Recipe, fit};
use mnas::train::full::FullOptions;
use mnas::train::model::{Mode, TorchModel};
use mnas::train::proxy::{Proxy, ProxyOptions};
use mnas::train::{Accuracy as _, AccuracyError, Request};
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
    let model = TorchModel::from_weights(&network, &weights).unwrap();
    assert_eq!(model.to_weights(), weights);
    let (matrices, vectors) = model.trained();
    let count: usize = matrices.iter().chain(&vectors).map(|tensor| tensor.numel()).sum();
    assert_eq!(count, network.parameters());
}

#[test]
fn weights_of_another_network_are_refused_by_name() {
    let weights = Weights::random(&network(EVERY_LAYER), &mut mnas::seeded(1));
    let other = network("input=26 stem=12 r1_k3_s22_e3_i12_o16 head=0 classes=5");
    let error = TorchModel::from_weights(&other, &weights).unwrap_err().to_string();
    assert!(error.contains("stem.weight") && error.contains("[12, 3, 3, 3]"), "{error}");
}

#[test]
fn the_same_seed_draws_the_same_model_and_every_layer_has_the_shape_of_the_network() {
    let network = network(EVERY_LAYER);
    let logits = |seed| TorchModel::new(&network, &mut mnas::seeded(seed)).forward(&images(3, 26), Mode::Evaluate);
    assert_eq!(logits(1).size(), [3, 5]);
    assert!(logits(1) == logits(1));
    assert!(logits(1) != logits(2));
}

#[test]
fn evaluation_leaves_batch_norm_alone_and_training_moves_its_running_statistics() {
    let network = network(EVERY_LAYER);
    let model = TorchModel::new(&network, &mut mnas::seeded(3)).with_statistics_rate(1.0);
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
    let mut weights = TorchModel::new(&network, &mut mnas::seeded(1)).to_weights();
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
    let model = TorchModel::from_weights(&network, &weights).unwrap();
    let logit = model.forward(&Tensor::ones([1, 3, 4, 4], (Kind::Float, Device::Cpu)), Mode::Evaluate);
    assert!((logit.double_value(&[0, 0]) - 2.0 * 3.0 * (9.0 + 6.0 + 6.0 + 4.0) / 4.0).abs() < 1e-4, "{logit}");
}

#[test]
fn every_trained_tensor_receives_a_gradient() {
    let model = TorchModel::new(&network(EVERY_LAYER), &mut mnas::seeded(5));
    model.forward(&images(4, 26), Mode::Train).logsumexp([1i64].as_slice(), false).sum(Kind::Float).backward();
    let (matrices, vectors) = model.trained();
    assert!(matrices.iter().chain(&vectors).all(|tensor| tensor.grad().defined()));
}

/// A drawn data set in a temporary folder.
fn drawn(options: DrawOptions) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    options.check().unwrap().draw(&folder.path().join("images")).unwrap();
    folder
}

fn few() -> DrawOptions {
    DrawOptions { size: 16, classes: 4, train: 40, validation: 20, ..DrawOptions::default() }
}

/// Every file below `folder` with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(
                files(&path)
                    .into_iter()
                    .map(|(name, bytes)| (PathBuf::from(path.file_name().unwrap()).join(name), bytes)),
            );
        } else {
            found.insert(PathBuf::from(path.file_name().unwrap()), fs_err::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn drawing_gives_the_same_bytes_for_the_same_seed_on_any_number_of_threads() {
    let (first, other) = (drawn(few()), drawn(DrawOptions { seed: 2, ..few() }));
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let second = alone.install(|| drawn(few()));
    assert_eq!(files(first.path()).len(), 60);
    assert_eq!(files(first.path()), files(second.path()));
    assert_ne!(files(first.path()), files(other.path()));
}

#[test]
fn a_folder_that_holds_something_is_never_drawn_over() {
    let folder = drawn(few());
    let before = files(folder.path());
    let error = few().check().unwrap().draw(&folder.path().join("images")).unwrap_err().to_string();
    assert!(error.contains("not empty") && error.contains("images"), "{error}");
    assert_eq!(files(folder.path()), before);
    for (options, hint) in [
        (DrawOptions { classes: 17, ..few() }, "classes must be from 2 to 16, found 17"),
        (DrawOptions { train: 3, ..few() }, "train must be from 4"),
        (DrawOptions { difficulty: f32::NAN, ..few() }, "difficulty must be from 0 to 1, found NaN"),
    ] {
        let error = options.check().unwrap_err().to_string();
        assert!(error.contains(hint), "{error}");
    }
}

#[test]
fn an_image_folder_is_read_with_classes_in_order_of_their_names_and_pixels_as_they_were_drawn() {
    let folder = drawn(few());
    let data =
        Dataset::load(&folder.path().join("images"), &LoadOptions { size: 16, ..LoadOptions::default() }).unwrap();
    assert_eq!(data.classes, ["disc-horizontal", "disc-vertical", "triangle-horizontal", "triangle-vertical"]);
    assert_eq!((data.train.len(), data.validation.len()), (40, 20));
    let image = few().check().unwrap().image(Folder::Validation, 2, 3);
    assert_eq!((data.validation.labels()[13], data.validation.pixels(13)), (2, image.as_raw().as_slice()));

    let (images, labels) = data.validation.batch(&[13, 12], Device::Cpu);
    assert_eq!((images.size(), labels.int64_value(&[0])), (vec![2, 3, 16, 16], 2));
    let red = f64::from(image.get_pixel(5, 7)[0]) / 127.5 - 1.0;
    assert!((images.double_value(&[0, 0, 7, 5]) - red).abs() < 1e-6);
}

#[test]
fn images_of_any_shape_are_cut_to_their_middle_square_and_resized() {
    let folder = drawn(few());
    let path = folder.path().join("images/train/disc-vertical/00000.png");
    let wide = image::RgbImage::from_fn(96, 32, |x, _| image::Rgb([if (32..64).contains(&x) { 200 } else { 0 }, 0, 0]));
    wide.save(&path).unwrap();
    let data =
        Dataset::load(&folder.path().join("images"), &LoadOptions { size: 8, ..LoadOptions::default() }).unwrap();
    assert!(data.train.pixels(10).chunks_exact(3).all(|pixel| pixel == [200, 0, 0]));
}

#[test]
fn an_image_that_does_not_decode_is_named_and_skipped_until_there_are_too_many() {
    let folder = drawn(few());
    let images = folder.path().join("images");
    let broken = images.join("train/disc-vertical/00003.png");
    fs_err::write(&broken, b"not an image").unwrap();
    let load = |skip_limit| Dataset::load(&images, &LoadOptions { size: 16, skip_limit });

    let data = load(0.02).unwrap();
    assert_eq!((data.train.len(), data.skipped.len(), &data.skipped[0].path), (39, 1, &broken));
    let error = load(0.01).unwrap_err().to_string();
    assert!(error.contains("1 of 60 images") && error.contains("accepted 0") && error.contains("00003.png"), "{error}");
}

#[test]
fn a_folder_that_is_no_data_set_is_one_clear_error() {
    let refused = |damage: &dyn Fn(&Path)| {
        let folder = drawn(few());
        let images = folder.path().join("images");
        damage(&images);
        Dataset::load(&images, &LoadOptions::default()).unwrap_err().to_string()
    };
    let error = refused(&|images| fs_err::remove_dir_all(images.join("val")).unwrap());
    assert!(error.contains("val: no such folder") && error.contains("DIR/val/CLASS"), "{error}");
    let error = refused(&|images| fs_err::create_dir(images.join("val/hexagon")).unwrap());
    assert!(error.contains("hexagon: no image in this class"), "{error}");
    let error = refused(&|images| fs_err::remove_dir_all(images.join("train/disc-vertical")).unwrap());
    assert!(error.contains("class 'disc-vertical' has no folder in train"), "{error}");
    let error = refused(&|images| {
        fs_err::remove_dir_all(images.join("train")).unwrap();
        fs_err::create_dir(images.join("train")).unwrap();
    });
    assert!(error.contains("at least 2 class folders are needed, found 0"), "{error}");
}

const TINY: &str = "stem=8 r1_k3_s22_e1_i8_o16_conv r1_k3_s22_e3_i16_o24 head=0 classes=1000";

fn request(id: u64, seed: u64) -> Request {
    Request { id, architecture: space::parse(TINY).unwrap(), seed }
}

#[test]
fn a_tiny_network_learns_and_repeats_to_the_last_bit_whatever_trains_beside_it() {
    let options = DrawOptions { classes: 4, train: 640, validation: 200, difficulty: 0.1, ..DrawOptions::default() };
    let folder = drawn(options);
    let recipe = || Recipe { epochs: 4, batch: 32, ..Recipe::default() };
    let data = folder.path().join("images");
    let proxy = Proxy::load(ProxyOptions { data, recipe: recipe(), workers: 2, ..ProxyOptions::default() }).unwrap();
    let alone = proxy.evaluate(&request(1, 7)).unwrap();
    assert!(alone > 0.5, "chance is 0.25, found {alone}");
    let [same, other] = std::thread::scope(|scope| {
        let proxy = &proxy;
        [7, 8]
            .map(|seed| scope.spawn(move || proxy.evaluate(&request(1, seed)).unwrap()))
            .map(|worker| worker.join().unwrap())
    });
    assert_eq!(same.to_bits(), alone.to_bits());
    assert_eq!(proxy.workers(), 2);

    // The two runs of seed 1 are the single runs of seeds 2 and 3, and the better one counts.
    let [second, third] = [2, 3].map(|seed| proxy.evaluate(&request(1, seed)).unwrap());
    let options = ProxyOptions { runs: 2, recipe: recipe(), ..ProxyOptions::default() };
    let twice = Proxy::over(options, proxy.data().clone()).unwrap().evaluate(&request(1, 1)).unwrap();
    assert_eq!(twice, second.max(third));
    assert!(twice > 0.5 && other > 0.25);
}

#[test]
fn a_training_that_cannot_work_fails_that_candidate_or_says_that_none_can() {
    let folder = drawn(few());
    let data = folder.path().join("images");
    let load = |recipe| Proxy::load(ProxyOptions { data: data.clone(), size: 16, recipe, ..ProxyOptions::default() });

    let wild = load(Recipe { batch: 8, epochs: 100, learning_rate: 1.0, clip: 1e9, ..Recipe::default() }).unwrap();
    let mut wide = request(3, 1);
    wide.architecture.head = 400_000_000;
    assert!(matches!(wild.evaluate(&wide), Err(AccuracyError::Candidate { id: 3, .. })));

    let error = load(Recipe { batch: 64, ..Recipe::default() }).unwrap().evaluate(&request(4, 1)).unwrap_err();
    assert!(matches!(&error, AccuracyError::Fatal(problem) if problem.contains("40 training images")), "{error}");
    let error = load(Recipe { epochs: 0, ..Recipe::default() }).unwrap_err().to_string();
    assert!(error.contains("epochs must be from 1 to 10000, found 0"), "{error}");
}

#[test]
fn a_loss_that_is_no_number_ends_the_training_at_its_step() {
    let folder = drawn(few());
    let data =
        Dataset::load(&folder.path().join("images"), &LoadOptions { size: 16, ..LoadOptions::default() }).unwrap();
    let network = network(&format!("input=16 {TINY}"));
    let mut weights = TorchModel::new(&network, &mut mnas::seeded(1)).to_weights();
    weights.0.get_mut("classifier.weight").unwrap().fill(f32::MAX);
    let model = TorchModel::from_weights(&network, &weights).unwrap();
    let error = fit(&model, &data.train, &Recipe { epochs: 3, batch: 8, ..Recipe::default() }, &mut mnas::seeded(1))
        .unwrap_err();
    assert!(error.to_string().contains("diverged at step 1 of 15"), "{error}");
}

#[test]
fn options_are_read_from_a_search_file_and_a_misspelt_one_is_refused() {
    #[derive(serde::Deserialize)]
    #[serde(tag = "kind", rename_all = "lowercase")]
    enum Section {
        Proxy(ProxyOptions),
    }
    let read = |text: &str| toml::from_str(text).map(|Section::Proxy(options)| options);
    let options = read("kind = \"proxy\"\ndata = \"there\"\nepochs = 7\nsize = 24\nworkers = 2").unwrap();
    assert_eq!((options.recipe.epochs, options.size, options.workers), (7, 24, 2));
    assert_eq!(options.data, Path::new("there"));
    assert_eq!(options.recipe.batch, Recipe::default().batch);
    let error = read("kind = \"proxy\"\nepoch = 7").unwrap_err().to_string();
    assert!(error.contains("unknown field `epoch`"), "{error}");
}

#[test]
fn mirroring_flips_some_images_and_a_crop_of_everything_changes_nothing() {
    let images = images(16, 8);
    let mirrored = augment::mirror(&images, &mut mnas::seeded(1));
    let is = |image: i64, other: &Tensor| mirrored.get(image) == other.get(image);
    let flipped = (0..16).filter(|&image| is(image, &images.flip([3]))).count();
    assert!((0..16).all(|image| is(image, &images) || is(image, &images.flip([3]))));
    assert!((1..16).contains(&flipped), "{flipped} of 16");

    // A square view of the whole image: any ratio but 1 would need a smaller area.
    let ramp = Tensor::arange(8, (Kind::Float, Device::Cpu)).expand([4, 3, 8, 8], false).contiguous();
    let cropped = augment::crop(&ramp, 0.2, &mut mnas::seeded(1));
    let steps = cropped.narrow(3, 2, 4) - cropped.narrow(3, 1, 4);
    assert!(steps.min().double_value(&[]) > 0.0 && steps.max().double_value(&[]) <= 1.0001, "a crop only stretches");
}

#[test]
fn full_training_learns_saves_after_every_epoch_and_returns_what_it_saved_last() {
    let options = DrawOptions { size: 16, classes: 6, train: 600, validation: 120, difficulty: 0.1, seed: 1 };
    let folder = drawn(options);
    let data =
        Dataset::load(&folder.path().join("images"), &LoadOptions { size: 16, ..LoadOptions::default() }).unwrap();
    let network = network("input=16 stem=8 r1_k3_s22_e1_i8_o16_conv r1_k3_s22_e3_i16_o24 head=0 classes=6");
    let options = FullOptions {
        epochs: 12,
        batch: 20,
        learning_rate: 0.1,
        warm_up: 1.0,
        least_area: 0.8,
        mirror: false,
        ..FullOptions::default()
    };
    let mut seen = Vec::new();
    let (progress, weights) = options
        .clone()
        .check()
        .unwrap()
        .train(&network, &data, Device::Cpu, |progress, weights| {
            seen.push((*progress, weights.clone()));
            Ok(())
        })
        .unwrap();
    assert_eq!(seen.iter().map(|(progress, _)| progress.epochs).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    assert_eq!(seen[11], (progress, weights.clone()));
    assert!(progress.top1 > 0.4 && progress.top5 >= progress.top1, "{progress:?}");
    assert!(seen[11].0.loss < seen[0].0.loss);
    weights.check(&network).unwrap();

    let other = options.check().unwrap().train(
        &Network { input: mnas::network::Shape::square(64, 3), ..network },
        &data,
        Device::Cpu,
        |_, _| Ok(()),
    );
    let error = other.unwrap_err().to_string();
    assert!(error.contains("64x64 pixels in 6 classes") && error.contains("16x16"), "{error}");
}
