//! Augmentation: the time of a sample on one thread, for each kind of change. `none` scales the bytes, which every sample needs.
#![allow(missing_docs)]

mod common;

use std::time::Duration;

use common::mnist;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use densely::data::{Augment, Augmenter, Features, ImageShape};

const KINDS: [&str; 6] =
    ["none", "shift", "affine", "elastic", "affine,elastic", "shift,affine,elastic"];

/// Times samples of a kind, and checks that they are images of about as much ink.
fn kinds(criterion: &mut Criterion, name: &str, shape: ImageShape, pixels: &[u8]) {
    let mut group = criterion.benchmark_group(format!("augment/{name}"));
    group.sample_size(20).warm_up_time(Duration::from_millis(200));
    group.measurement_time(Duration::from_millis(600));
    let mut out = vec![f32::NAN; shape.n_values()];
    for kind in KINDS {
        let augment: Augment = kind.parse().expect(kind);
        let mut augmenter = Augmenter::new(augment, shape);
        let images: Vec<&[u8]> = pixels.chunks_exact(shape.n_values()).collect();
        let mut sample = 0;
        let (mut before, mut after) = (0.0, 0.0);
        group.bench_function(BenchmarkId::from_parameter(kind), |bencher| {
            bencher.iter(|| {
                let image = images[sample as usize % images.len()];
                augmenter.augment(&mut out, image, 0, 1, sample);
                sample += 1;
                out[0]
            });
        });
        for (sample, image) in (0..).zip(&images) {
            augmenter.augment(&mut out, image, 0, 2, sample);
            before += image.iter().map(|&x| f64::from(x) / 255.0).sum::<f64>();
            after += out.iter().map(|&x| f64::from(x)).sum::<f64>();
        }
        assert!((after / before - 1.0).abs() < 0.1, "{kind}: {before} before, {after} after");
    }
    group.finish();
}

fn augment(criterion: &mut Criterion) {
    let data = mnist();
    let Features::U8(pixels) = data.features() else { panic!("MNIST has bytes") };
    let digits = ImageShape { height: 28, width: 28, channels: 1 };
    kinds(criterion, "28x28", digits, &pixels[..2000 * digits.n_values()]);
    // in the middle of each image, so that hardly anything leaves it
    let photos = ImageShape { height: 32, width: 32, channels: 3 };
    let pixel = |i: usize| {
        let [row, column] = [i / 3 / 32 % 32, i / 3 % 32];
        let inside = (8..24).contains(&row) && (8..24).contains(&column);
        if inside { (i * 7919 % 256) as u8 } else { 0 }
    };
    let pixels: Vec<u8> = (0..500 * photos.n_values()).map(pixel).collect();
    kinds(criterion, "32x32x3", photos, &pixels);
}

criterion_group!(benches, augment);
criterion_main!(benches);
