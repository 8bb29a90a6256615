//! How fast a search can ask: tokens to architecture to network to features to prediction, and each part of it.
//!
//! `cargo bench --bench predict`; the whole way must stay below 10 µs, which is 100,000 predictions per second.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mnas::device::simulated::SimulatedDevice;
use mnas::latency::{DataSet, Features, FitSettings, Predictor};
use mnas::network::Network;
use mnas::space::Space;

fn measured(space: &Space, count: usize) -> DataSet {
    let (mut random, mut data) = (mnas::seeded(1), DataSet::default());
    for _ in 0..count {
        let architecture = space.decode(&space.sample(&mut random)).expect("a sample of the space");
        let network = Network::expand(&architecture).expect("a network of the space");
        data.push(&architecture, SimulatedDevice::latency_ms(&network), "").expect("a network of the space");
    }
    data
}

fn predict(criterion: &mut Criterion) {
    let space = Space::preset("mnasnet").expect("a preset");
    let mut random = mnas::seeded(2);
    let mut group = criterion.benchmark_group("predict");
    group.throughput(Throughput::Elements(1));
    let sample = |random: &mut mnas::Random| space.sample(random);
    let expand = |tokens: &[usize]| Network::expand(&space.decode(tokens).expect("tokens")).expect("network");
    group.bench_function("tokens to network", |bencher| {
        bencher.iter_batched(|| sample(&mut random), |tokens| black_box(expand(&tokens)), BatchSize::SmallInput);
    });
    group.bench_function("network to features", |bencher| {
        let network = |random: &mut mnas::Random| expand(&sample(random));
        bencher.iter_batched(|| network(&mut random), |network| Features::of(&network), BatchSize::SmallInput);
    });
    for networks in [100, 300] {
        let predictor = Predictor::fit(&measured(&space, networks), FitSettings::default()).expect("a fit");
        group.bench_function(format!("tokens to prediction, {networks} networks"), |bencher| {
            let way = |tokens: Vec<usize>| predictor.predict(&expand(&tokens)).latency_ms;
            bencher.iter_batched(|| sample(&mut random), way, BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn fit(criterion: &mut Criterion) {
    let space = Space::preset("mnasnet").expect("a preset");
    let mut group = criterion.benchmark_group("fit");
    group.sample_size(10);
    for networks in [100, 300] {
        let data = measured(&space, networks);
        group.bench_function(format!("{networks} networks"), |bencher| {
            bencher.iter(|| Predictor::fit(&data, FitSettings::default()).expect("a fit"));
        });
    }
    group.finish();
}

criterion_group!(benches, predict, fit);
criterion_main!(benches);
