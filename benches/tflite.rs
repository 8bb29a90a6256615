//! How long it takes to write MnasNet-A1 as a .tflite file, weights in memory to bytes in memory: at most 30 ms wanted.

use criterion::{Criterion, criterion_group, criterion_main};
use mnas::network::{Network, Weights};

fn write(criterion: &mut Criterion) {
    let architecture = mnas::space::parse("mnasnet-a1").expect("a reference name");
    let network = Network::expand(&architecture).expect("a network of usual size");
    let weights = Weights::random(&network, &mut mnas::seeded(1));
    criterion.bench_function("write MnasNet-A1 as .tflite", |bencher| {
        bencher.iter(|| mnas::tflite::write(&network, &weights));
    });
}

criterion_group!(benches, write);
criterion_main!(benches);
